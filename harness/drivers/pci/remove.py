# SPDX-License-Identifier: Apache-2.0
"""Taking functions out of the tree: drivers/pci/remove.c, 6.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.drivers.pci.resource import pci_remove_resource_files
from harness.kernel.driver_core import device_del, device_release_driver
from harness.kernel.wakeup import wakeup_source_unregister

if TYPE_CHECKING:
    from harness.drivers.pci.device import PciDevice


def pci_stop_and_remove_bus_device(device: PciDevice) -> None:
    """Unbind a function and all behind it, then take them out of the tree."""
    _pci_stop_bus_device(device)
    _pci_remove_bus_device(device)


def _pci_stop_bus_device(device: PciDevice) -> None:
    for child in reversed(_children(device)):
        _pci_stop_bus_device(child)
    if device.is_added:
        device_release_driver(device)
        pci_remove_resource_files(device)
        device.is_added = False


def _pci_remove_bus_device(device: PciDevice) -> None:
    for child in _children(device):
        _pci_remove_bus_device(child)
    if device.subordinate is not None:
        for slot in device.subordinate.slots:  # acpiphp_remove_slots
            device.pci_bus.sysfs.directory("slots").remove(slot.name)
        device_del(device.subordinate)
        del device.pci_bus.segments[device.subordinate.name]
        device.subordinate = None
    if device.wakeup is not None:
        wakeup_source_unregister(device.wakeup)
        device.wakeup = None
    device_del(device)
    if device.pci_bus.iommu is not None:
        device.pci_bus.iommu.iommu_release_device(device)
    device.segment.devices.remove(device)
    device.power.pm_runtime_remove()


def _children(device: PciDevice) -> list[PciDevice]:
    return list(device.subordinate.devices) if device.subordinate is not None else []
