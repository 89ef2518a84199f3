# SPDX-License-Identifier: Apache-2.0
"""Runtime power management of devices (drivers/base/power/runtime.c, 6.1), and the directory
``power/`` that shows it (drivers/base/power/sysfs.c, 6.1).

What the kernel leaves to a work queue is done at once.
"""

from __future__ import annotations

import errno
from typing import Protocol

from attrs import define

from harness.kernel.errors import Errno
from harness.kernel.kstrtox import sysfs_streq
from harness.kernel.sysfs import Attribute, AttributeGroup
from harness.kernel.task import Caller


class RuntimeOps(Protocol):
    """What bus and driver do when a device goes to sleep and when it wakes."""

    def runtime_suspend(self) -> None:
        """The device is about to sleep."""

    def runtime_resume(self) -> None:
        """The device wakes."""


@define(eq=False)
class PowerState:
    """Runtime power management of a device. The defaults are those of one whose driver has none.

    ``parent`` counts this device among its ``active_kids`` while it is awake.
    """

    runtime_pm: bool = False
    runtime_auto: bool = True
    async_suspend: bool = False
    status: str = "suspended"
    usage_count: int = 0
    active_kids: int = 0
    parent: PowerState | None = None
    ops: RuntimeOps | None = None

    def pm_runtime_set_active(self) -> None:
        """The device is awake, which is said before runtime_pm is on."""
        self.status = "active"
        if self.parent is not None:
            self.parent.active_kids += 1

    def pm_runtime_get_sync(self) -> None:
        """One more user, for whom the device wakes."""
        self.usage_count += 1
        self._rpm_resume()

    def pm_runtime_put(self) -> None:
        """One user less; after the last the device sleeps."""
        self.usage_count -= 1
        self._rpm_idle()

    def pm_runtime_allow(self) -> None:
        """``auto``: give back the use that pm_runtime_forbid holds."""
        if not self.runtime_auto:
            self.runtime_auto = True
            self.pm_runtime_put()

    def pm_runtime_forbid(self) -> None:
        """``on``: hold a use of the device."""
        if self.runtime_auto:
            self.runtime_auto = False
            self.pm_runtime_get_sync()

    def pm_runtime_remove(self) -> None:
        """The device goes: it is not among those awake any more."""
        if self.status == "active":
            self.status = "suspended"
            self._leave_parent()
        self.runtime_pm = False

    def _rpm_idle(self) -> None:
        """Sleep if nobody uses the device and none below it is awake (rpm_idle, rpm_suspend)."""
        awake = self.runtime_pm and self.status == "active"
        if not awake or self.usage_count or self.active_kids:
            return
        if self.ops is not None:
            self.ops.runtime_suspend()
        self.status = "suspended"
        self._leave_parent()

    def _leave_parent(self) -> None:
        if self.parent is not None:
            self.parent.active_kids -= 1
            self.parent._rpm_idle()

    def _rpm_resume(self) -> None:
        """Wake, after those above (rpm_resume)."""
        if not self.runtime_pm or self.status == "active":
            return
        if self.parent is not None:
            self.parent._rpm_resume()
            self.parent.active_kids += 1
        if self.ops is not None:
            self.ops.runtime_resume()
        self.status = "active"


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
    if sysfs_streq(data, "auto"):
        power.pm_runtime_allow()
    elif sysfs_streq(data, "on"):
        power.pm_runtime_forbid()
    else:
        raise Errno(errno.EINVAL)


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
