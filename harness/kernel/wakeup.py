# SPDX-License-Identifier: Apache-2.0
"""Wakeup sources: ``wakeup/wakeupN`` below a device (drivers/base/power/wakeup_stats.c, 7.2).

Nothing here ever wakes a machine, so all counts and times are zero.
"""

from __future__ import annotations

from harness.kernel.driver_core import Device, DeviceClass, device_add, device_del
from harness.kernel.sysfs import Attribute, AttributeGroup
from harness.kernel.task import Caller


def zero_show(source: WakeupSource, caller: Caller) -> str:
    return "0\n"


def name_show(source: WakeupSource, caller: Caller) -> str:
    return f"{source.source}\n"


_COUNTS = (
    *("active_count", "event_count", "wakeup_count", "expire_count", "relax_count"),
    *("active_time_ms", "total_time_ms", "max_time_ms", "last_change_ms"),
    "prevent_suspend_time_ms",
)


class WakeupSource(Device):
    """What may wake the machine for the sake of ``parent``; ``source`` is its own name."""

    groups = (
        AttributeGroup(
            (
                Attribute("name", 0o444, name_show),
                *(Attribute(name, 0o444, zero_show) for name in _COUNTS),
            )
        ),
    )
    power_managed = False

    def __init__(self, parent: Device, source: str, number: int) -> None:
        super().__init__(parent.kernel, f"wakeup{number}", None, parent)
        self.device_class = DeviceClass(parent.kernel, "wakeup")
        self.number = number
        self.source = source


def wakeup_source_register(parent: Device, source: str) -> WakeupSource:
    """Make the next wakeup source of the kernel, below a registered device."""
    registered = WakeupSource(parent, source, parent.kernel.wakeup_ida.alloc())
    device_add(registered)
    return registered


def wakeup_source_unregister(source: WakeupSource) -> None:
    """Take it away."""
    device_del(source)
    source.kernel.wakeup_ida.free(source.number)
