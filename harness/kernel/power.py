# SPDX-License-Identifier: Apache-2.0
"""The ``power/`` directory of every device (drivers/base/power/sysfs.c, 6.1)."""

from __future__ import annotations

import errno

from attrs import define

from harness.kernel.errors import Errno
from harness.kernel.kstrtox import sysfs_streq
from harness.kernel.sysfs import Attribute, AttributeGroup
from harness.kernel.task import Caller


@define(eq=False)
class PowerState:
    """Runtime power management of a device. The defaults are those of one whose driver has none."""

    runtime_pm: bool = False
    runtime_auto: bool = True
    async_suspend: bool = False
    status: str = "suspended"
    usage_count: int = 0
    active_kids: int = 0


def async_show(power: PowerState, caller: Caller) -> str:
    return "enabled\n" if power.async_suspend else "disabled\n"


def async_store(power: PowerState, caller: Caller, data: bytes) -> None:
    if sysfs_streq(data, "enabled"):
        power.async_suspend = True
    elif sysfs_streq(data, "disabled"):
        power.async_suspend = False
    else:
        raise Errno(errno.EINVAL)


def autosuspend_delay_ms_show(power: PowerState, caller: Caller) -> str:
    raise Errno(errno.EIO)  # no driver here uses autosuspend


def autosuspend_delay_ms_store(power: PowerState, caller: Caller, data: bytes) -> None:
    raise Errno(errno.EIO)


def control_show(power: PowerState, caller: Caller) -> str:
    return "auto\n" if power.runtime_auto else "on\n"


def control_store(power: PowerState, caller: Caller, data: bytes) -> None:
    """pm_runtime_allow and pm_runtime_forbid hold or drop one use of the device."""
    if sysfs_streq(data, "auto"):
        auto = True
    elif sysfs_streq(data, "on"):
        auto = False
    else:
        raise Errno(errno.EINVAL)
    power.usage_count += power.runtime_auto - auto
    power.runtime_auto = auto


def runtime_status_show(power: PowerState, caller: Caller) -> str:
    return f"{power.status}\n" if power.runtime_pm else "unsupported\n"


def runtime_enabled_show(power: PowerState, caller: Caller) -> str:
    if not power.runtime_pm:
        return "disabled\n" if power.runtime_auto else "disabled & forbidden\n"
    return "enabled\n" if power.runtime_auto else "forbidden\n"


def runtime_usage_show(power: PowerState, caller: Caller) -> str:
    return f"{power.usage_count}\n"


def runtime_active_kids_show(power: PowerState, caller: Caller) -> str:
    return f"{power.active_kids}\n"


def _zero_show(power: PowerState, caller: Caller) -> str:
    return "0\n"


POWER_GROUP = AttributeGroup(
    name="power",
    attributes=(
        Attribute("async", 0o644, async_show, async_store),
        Attribute(
            "autosuspend_delay_ms", 0o644, autosuspend_delay_ms_show, autosuspend_delay_ms_store
        ),
        Attribute("control", 0o644, control_show, control_store),
        Attribute("runtime_active_kids", 0o444, runtime_active_kids_show),
        Attribute("runtime_active_time", 0o444, _zero_show),
        Attribute("runtime_enabled", 0o444, runtime_enabled_show),
        Attribute("runtime_status", 0o444, runtime_status_show),
        Attribute("runtime_suspended_time", 0o444, _zero_show),
        Attribute("runtime_usage", 0o444, runtime_usage_show),
    ),
)
