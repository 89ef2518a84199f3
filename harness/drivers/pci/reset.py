# SPDX-License-Identifier: Apache-2.0
"""Resetting one function: drivers/pci/pci.c, 6.1."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.drivers.pci.driver import PciDriver
from harness.hardware import pci_config as cfg
from harness.kernel.errors import Errno
from harness.kernel.kstrtox import c_string, sysfs_streq

if TYPE_CHECKING:
    from harness.drivers.pci.bus import PciSegment
    from harness.drivers.pci.device import PciDevice

#: Registers outside the header that a reset clears: capability, offset, size, is it extended.
_SAVED = (
    (cfg.CAP_PCIE, 0x08, 2, False),
    (cfg.CAP_PCIE, 0x28, 2, False),
    (cfg.CAP_MSI, cfg.MSI_CONTROL, 2, False),
    (cfg.CAP_MSIX, cfg.MSIX_CONTROL, 2, False),
    (cfg.EXT_CAP_PRI, 0x0C, 4, True),
    (cfg.EXT_CAP_PRI, 0x04, 2, True),
    (cfg.EXT_CAP_PASID, 0x06, 2, True),
    (cfg.EXT_CAP_ATS, 0x06, 2, True),
    # pci_save_aer_state: masks, severity and control.
    *((cfg.EXT_CAP_AER, offset, 4, True) for offset in (0x08, 0x0C, 0x14, 0x18)),
)


def pcie_reset_flr(device: PciDevice, *, probe: bool) -> None:
    """Function level reset of PCI Express; ENOTTY if the function has none."""
    capability = device.pci_find_capability(cfg.CAP_PCIE)
    if not capability:
        raise Errno(errno.ENOTTY)
    if not device.pci_read_config(capability + cfg.PCIE_DEVICE, 4) & cfg.PCIE_DEVICE_FLR:
        raise Errno(errno.ENOTTY)
    if not probe:
        device.function.reset()


def pci_pm_reset(device: PciDevice, *, probe: bool) -> None:
    """Through D3hot and back, for functions that lose their state on the way; else ENOTTY."""
    if not device.pm_cap:
        raise Errno(errno.ENOTTY)
    if device.pci_read_config(device.pm_cap + cfg.PM_CONTROL, 2) & cfg.PM_NO_SOFT_RESET:
        raise Errno(errno.ENOTTY)
    if probe:
        return
    if device.current_state != "D0":
        raise Errno(errno.EINVAL)
    device.function.reset()


def pci_parent_bus_reset(device: PciDevice, *, probe: bool) -> None:
    """Reset the bus, if the function is alone on it and it is not a root bus; else ENOTTY."""
    if device.segment.self_device is None or device.is_bridge:
        raise Errno(errno.ENOTTY)
    if device.segment.devices not in ([], [device]):
        raise Errno(errno.ENOTTY)
    if not probe:
        device.function.reset()


ResetMethod = Callable[..., None]
#: In the order they are tried (pci_reset_fn_methods). No function here has one of its own
#: (device_specific), an ACPI method (acpi) or conventional PCI's advanced features (af_flr).
PCI_RESET_FN_METHODS: dict[str, ResetMethod] = {
    "flr": pcie_reset_flr,
    "pm": pci_pm_reset,
    "bus": pci_parent_bus_reset,
}


def _supported(device: PciDevice, name: str) -> bool:
    try:
        PCI_RESET_FN_METHODS[name](device, probe=True)
    except (Errno, KeyError):
        return False
    return True


def pci_init_reset_methods(device: PciDevice) -> list[str]:
    """The methods that the function supports."""
    return [name for name in PCI_RESET_FN_METHODS if _supported(device, name)]


def reset_method_select(device: PciDevice, data: bytes) -> list[str]:
    """The methods that a write to ``reset_method`` asks for; EINVAL for one that cannot be."""
    if sysfs_streq(data, ""):
        return []
    if sysfs_streq(data, "default"):
        return pci_init_reset_methods(device)
    names = [name for name in c_string(data).split(b" ") if not sysfs_streq(name, "")]
    chosen = [name.strip().decode(errors="replace") for name in names]
    if not all(_supported(device, name) for name in chosen) or len(chosen) > _MOST:
        raise Errno(errno.EINVAL)
    return chosen


#: PCI_NUM_RESET_METHODS - 1.
_MOST = 6


def pci_reset_function(device: PciDevice) -> None:
    """Save, reset by the first method that works, restore. ENOTTY if none does."""
    if not device.reset_methods:
        raise Errno(errno.ENOTTY)
    with _pci_dev_saved(device):
        _pci_reset_function_locked(device)


def pci_reset_bus(segment: PciSegment) -> None:
    """Reset all functions of one bus (__pci_reset_bus)."""
    for device in segment.devices:
        with _pci_dev_saved(device):
            device.function.reset()


@contextmanager
def _pci_dev_saved(device: PciDevice) -> Iterator[None]:
    """Between pci_dev_save_and_disable and pci_dev_restore; the driver hears of both."""
    driver = device.driver
    assert driver is None or isinstance(driver, PciDriver)
    if driver is not None:
        driver.reset_prepare(device)
    device.pci_power_up()
    saved = pci_save_state(device)
    try:
        yield
    finally:
        pci_restore_state(device, saved)
        if driver is not None:
            driver.reset_done(device)


def _pci_reset_function_locked(device: PciDevice) -> None:
    for name in device.reset_methods:
        try:
            PCI_RESET_FN_METHODS[name](device, probe=False)
        except Errno as error:
            if error.errno != errno.ENOTTY:
                raise
        else:
            return
    raise Errno(errno.ENOTTY)


#: What is kept of configuration space: offsets, sizes and values.
SavedState = list[tuple[int, int, int]]


def pci_save_state(device: PciDevice) -> SavedState:
    """Offsets, sizes and values: the capabilities' registers first, then the header."""
    places = []
    for number, offset, size, extended in _SAVED:
        find = device.pci_find_ext_capability if extended else device.pci_find_capability
        capability = find(number)
        if capability:
            places.append((capability + offset, size))
    places += [(offset, 4) for offset in reversed(range(0, 0x40, 4))]
    return [(offset, size, device.pci_read_config(offset, size)) for offset, size in places]


def pci_restore_state(device: PciDevice, saved: SavedState) -> None:
    """Write back what differs, and the messages of MSI-X."""
    for offset, size, value in saved:
        if device.pci_read_config(offset, size) != value:
            device.pci_write_config(offset, size, value)
    if device.msix_enabled:
        for vector in device.irq_handlers:  # __pci_restore_msix_state
            device.pci_write_msg_msix(vector)
