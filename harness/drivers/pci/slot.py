# SPDX-License-Identifier: Apache-2.0
"""Hot-plug slots that ACPI describes: drivers/pci/{slot,hotplug/acpiphp_core}.c, 6.1.

The plan: ``/sys/bus/pci/slots/N`` is device N of the bus behind a bridge, whether or not there is
one; ``power`` takes its functions away or looks for them. Functions that come and go by other
ways, such as their own ``remove``, do not change what it says.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from attrs import define

from harness.drivers.pci.remove import pci_stop_and_remove_bus_device
from harness.kernel.errors import Errno
from harness.kernel.kstrtox import c_string
from harness.kernel.sysfs import Attribute, sysfs_create_file, sysfs_create_link
from harness.kernel.task import Caller

if TYPE_CHECKING:
    from harness.drivers.pci.bus import PciSegment
    from harness.drivers.pci.device import PciDevice
    from harness.kernel.kernfs import KernfsDirectory


@define(eq=False)
class Slot:
    """Device ``number`` of a bus (struct acpiphp_slot). ``enabled``: it was given power."""

    segment: PciSegment
    number: int
    name: str
    enabled: bool

    @property
    def address(self) -> str:
        """``DDDD:BB:DD``, without a function."""
        return f"{self.segment.name}:{self.number:02x}"

    @property
    def devices(self) -> list[PciDevice]:
        """Its functions."""
        return [one for one in self.segment.devices if one.address.startswith(f"{self.address}.")]

    @property
    def occupied(self) -> bool:
        """Whether the hardware has something there."""
        return any(site.startswith(f"{self.address}.") for site in self.segment.pci_bus.sites)


def address_read_file(slot: Slot, caller: Caller) -> str:
    return f"{slot.address}\n"


def max_speed_read_file(slot: Slot, caller: Caller) -> str:
    return f"{slot.segment.max_bus_speed}\n"


def cur_speed_read_file(slot: Slot, caller: Caller) -> str:
    return f"{slot.segment.cur_bus_speed}\n"


def adapter_show(slot: Slot, caller: Caller) -> str:
    return f"{slot.occupied:d}\n"


def latch_show(slot: Slot, caller: Caller) -> str:
    return f"{not slot.occupied:d}\n"


def power_show(slot: Slot, caller: Caller) -> str:
    return f"{slot.enabled:d}\n"


def power_store(slot: Slot, caller: Caller, data: bytes) -> None:
    """0 ejects, 1 looks for functions; EINVAL for another number modulo 256."""
    digits = re.match(rb"\d*", c_string(data))
    wanted = int(digits[0] or b"0") & 0xFF if digits else 0
    if wanted == 0:
        acpiphp_disable_slot(slot)
    elif wanted == 1:
        acpiphp_enable_slot(slot)
    else:
        raise Errno(errno.EINVAL)


def acpiphp_enable_slot(slot: Slot) -> None:
    """Look for functions, unless the slot is enabled; without any it stays disabled."""
    if not slot.enabled:
        slot.segment.pci_rescan_bus()
        slot.enabled = bool(slot.devices)


def hotplug_event(segment: PciSegment, address: str) -> None:
    """The hardware has a new function: firmware says so of its slot, if it has one."""
    segment.pci_rescan_bus()
    for slot in segment.slots:
        slot.enabled = slot.enabled or address.startswith(f"{slot.address}.")


def acpiphp_disable_slot(slot: Slot) -> None:
    """Take the functions out of the tree, and have firmware eject the device (_EJ0)."""
    slot.enabled = False
    for device in reversed(slot.devices):
        del slot.segment.pci_bus.sites[device.address]
        pci_stop_and_remove_bus_device(device)


def attention_show(slot: Slot, caller: Caller) -> str:
    """EINVAL: there is no indicator."""
    raise Errno(errno.EINVAL)


def attention_store(slot: Slot, caller: Caller, data: bytes) -> None:
    """ENODEV: there is no indicator."""
    raise Errno(errno.ENODEV)


_ATTRIBUTES = (
    Attribute("address", 0o444, address_read_file),
    Attribute("max_bus_speed", 0o444, max_speed_read_file),
    Attribute("cur_bus_speed", 0o444, cur_speed_read_file),
    Attribute("power", 0o644, power_show, power_store),
    Attribute("attention", 0o644, attention_show, attention_store),
    Attribute("latch", 0o444, latch_show),
    Attribute("adapter", 0o444, adapter_show),
)


def _make_slot_name(name: str, slots: KernfsDirectory) -> str:
    tries = (name, *(f"{name}-{number}" for number in range(1, len(slots.children) + 1)))
    return next(one for one in tries if one not in slots.children)


def acpiphp_enumerate_slots(segment: PciSegment, count: int) -> None:
    """The slots of a new bus; they go with it. Of two with one number, the second is ``N-1``.

    A kernel that has /sys/module/acpiphp only once it is up links no slot that it found before.
    """
    bus = segment.pci_bus
    module = segment.kernel.sysfs.directory("module").directory("acpiphp")
    slots = bus.sysfs.directory("slots")
    for number in range(count):
        slot = Slot(segment, number, _make_slot_name(str(number), slots), enabled=False)
        slot.enabled = slot.occupied
        segment.slots.append(slot)
        directory = slots.directory(slot.name)
        for attribute in _ATTRIBUTES:
            sysfs_create_file(directory, slot, attribute)
        if bus.is_up or not bus.section.late_builtin_modules:  # pci_hp_create_module_link
            sysfs_create_link(directory, module, "module")
