# SPDX-License-Identifier: Apache-2.0
"""PCI drivers, and which functions they take: drivers/pci/pci-driver.c, 6.1."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from attrs import field, frozen

from harness.kernel.driver_core import (
    Bus,
    DeviceDriver,
    driver_attach,
    driver_register,
    driver_unregister,
)
from harness.kernel.errors import Errno
from harness.kernel.kstrtox import c_string
from harness.kernel.sysfs import Attribute, AttributeGroup
from harness.kernel.task import Caller

if TYPE_CHECKING:
    from harness.drivers.pci.device import PciDevice
    from harness.kernel.system import Kernel

PCI_ANY_ID = 0xFFFFFFFF


@frozen
class PciId:
    """What a driver takes, or what a function is (struct pci_device_id).

    ``override_only``: it takes only functions whose driver_override names the driver.
    """

    vendor: int = PCI_ANY_ID
    device: int = PCI_ANY_ID
    subvendor: int = PCI_ANY_ID
    subdevice: int = PCI_ANY_ID
    class_code: int = 0
    class_mask: int = 0
    driver_data: int = 0
    override_only: bool = field(default=False, kw_only=True)


class PciDriver(DeviceDriver):
    """A driver of PCI functions (struct pci_driver)."""

    id_table: tuple[PciId, ...] = ()
    #: The driver sees to the DMA ownership of its functions itself.
    driver_managed_dma = False

    def __init__(self, kernel: Kernel, bus: Bus, module: str | None = None) -> None:
        super().__init__(kernel, bus, module)
        self.dynids: list[PciId] = []

    @property
    def known_data(self) -> Collection[int] | None:
        """The driver data that its static ids have; None if it has no table of them."""
        return {entry.driver_data for entry in self.id_table} if self.id_table else None

    def probe(self, device: PciDevice) -> None:  # type: ignore[override]
        """Take the function into service, or raise Errno; ``device.id`` is what matched."""

    def remove(self, device: PciDevice) -> None:  # type: ignore[override]
        """Take the function out of service. Cannot fail."""

    def sriov_configure(self, device: PciDevice, count: int) -> None:
        """Let ``count`` virtual functions be there; ENOENT from drivers that cannot."""
        raise Errno(errno.ENOENT)

    def virtfn_added(self, virtfn: PciDevice) -> None:
        """One is about to appear (the notification BUS_NOTIFY_ADD_DEVICE)."""

    def reset_prepare(self, device: PciDevice) -> None:
        """The function is about to be reset, its registers are as ever (err_handler)."""

    def reset_done(self, device: PciDevice) -> None:
        """The function was reset, and its configuration space restored (err_handler)."""


def pci_register_driver(driver: PciDriver) -> None:
    """Make the driver known and let it probe (__pci_register_driver)."""
    driver_register(driver)


def pci_unregister_driver(driver: PciDriver) -> None:
    """Take the driver from its functions, and forget its dynamic ids."""
    driver_unregister(driver)
    driver.dynids.clear()


def pci_match_one_id(entry: PciId, given: PciId) -> bool:
    """Whether what is ``given`` is what ``entry`` takes (drivers/pci/pci.h)."""
    return (
        entry.vendor in (PCI_ANY_ID, given.vendor)
        and entry.device in (PCI_ANY_ID, given.device)
        and entry.subvendor in (PCI_ANY_ID, given.subvendor)
        and entry.subdevice in (PCI_ANY_ID, given.subdevice)
        and not (entry.class_code ^ given.class_code) & entry.class_mask
    )


def pci_id_from_device(device: PciDevice) -> PciId:
    """What the function is."""
    return PciId(
        device.vendor,
        device.device,
        device.subsystem_vendor,
        device.subsystem_device,
        device.class_code,
    )


def pci_match_device(driver: PciDriver, device: PciDevice) -> PciId | None:
    """Dynamic ids, then the static ones; driver_override excludes others and always matches."""
    if device.driver_override is not None and device.driver_override != driver.name:
        return None
    entry = _find_id(driver, pci_id_from_device(device), device.driver_override is not None)
    if entry is None and device.driver_override is not None:
        return PciId()
    return entry


def _find_id(driver: PciDriver, given: PciId, overridden: bool) -> PciId | None:
    for entry in (*driver.dynids, *driver.id_table):
        if pci_match_one_id(entry, given) and (overridden or not entry.override_only):
            return entry
    return None


def pci_device_probe(device: PciDevice, driver: PciDriver) -> None:
    """Find the id again and call the driver; ENODEV if it takes the function no longer."""
    if not device.may_probe:
        raise Errno(errno.ENODEV)
    found = pci_match_device(driver, device)
    if found is None:
        raise Errno(errno.ENODEV)
    _local_pci_probe(device, driver, found)


def _local_pci_probe(device: PciDevice, driver: PciDriver, found: PciId) -> None:
    """One use of the function is held while a driver has it."""
    device.power.pm_runtime_get_sync()
    device.id = found
    try:
        driver.probe(device)
    except Errno:
        device.id = None
        device.power.pm_runtime_put()
        raise


def pci_device_remove(device: PciDevice, driver: PciDriver) -> None:
    """Wake the function, call the driver, and undo _local_pci_probe."""
    device.power.pm_runtime_get_sync()
    driver.remove(device)
    device.id = None
    device.power.usage_count -= 1  # pm_runtime_put_noidle
    device.power.pm_runtime_put()


def pci_uevent(device: PciDevice) -> dict[str, str]:
    """The variables of every uevent of a function."""
    return {
        "PCI_CLASS": f"{device.class_code:04X}",
        "PCI_ID": f"{device.vendor:04X}:{device.device:04X}",
        "PCI_SUBSYS_ID": f"{device.subsystem_vendor:04X}:{device.subsystem_device:04X}",
        "PCI_SLOT_NAME": device.address,
        "MODALIAS": device.modalias,
    }


# --- new_id and remove_id

_HEX_FIELD = re.compile(rb"\s*(?:0[xX])?([0-9a-fA-F]+)")


def _scan(data: bytes, most: int) -> list[int]:
    """Up to ``most`` hexadecimal numbers, as sscanf("%x %x ...") reads them into 32 bits."""
    text = c_string(data)
    numbers: list[int] = []
    position = 0
    while len(numbers) < most and (field := _HEX_FIELD.match(text, position)):
        numbers.append(int(field[1], 16) & 0xFFFFFFFF)
        position = field.end()
    return numbers


def new_id_store(driver: PciDriver, caller: Caller, data: bytes) -> None:
    """Take functions of one more id, and try them at once.

    EINVAL for fewer than two numbers, EEXIST for an id that is there already (unless all seven
    numbers are given), EINVAL for driver data that no static id has.
    """
    numbers = _scan(data, 7)
    if len(numbers) < 2:
        raise Errno(errno.EINVAL)
    new = PciId(*numbers)
    complete = len(numbers) == 7
    if not complete and _find_id(driver, new, overridden=False) is not None:
        raise Errno(errno.EEXIST)
    known = driver.known_data
    if known is not None and new.driver_data not in known:
        raise Errno(errno.EINVAL)
    driver.dynids.append(new)  # pci_add_dynid
    driver_attach(driver)


def remove_id_store(driver: PciDriver, caller: Caller, data: bytes) -> None:
    """Forget the first dynamic id that fits: EINVAL for fewer than two numbers, else ENODEV."""
    numbers = _scan(data, 6)
    if len(numbers) < 2:
        raise Errno(errno.EINVAL)
    wanted = PciId(*numbers)
    for entry in driver.dynids:
        if (
            (entry.vendor, entry.device) == (wanted.vendor, wanted.device)
            and wanted.subvendor in (PCI_ANY_ID, entry.subvendor)
            and wanted.subdevice in (PCI_ANY_ID, entry.subdevice)
            and not (entry.class_code ^ wanted.class_code) & wanted.class_mask
        ):
            driver.dynids.remove(entry)
            return
    raise Errno(errno.ENODEV)


PCI_DRV_GROUP = AttributeGroup(
    (
        Attribute("new_id", 0o200, None, new_id_store),
        Attribute("remove_id", 0o200, None, remove_id_store),
    )
)
