# SPDX-License-Identifier: Apache-2.0
"""PCI: the bus, its functions in sysfs, and their drivers (drivers/pci, 6.1)."""

from harness.drivers.pci.bus import Interrupt, PciBus, PciSegment
from harness.drivers.pci.cpumask import Numa, parse_cpulist
from harness.drivers.pci.device import PciDevice, Site
from harness.drivers.pci.driver import (
    PciDriver,
    PciId,
    pci_register_driver,
    pci_unregister_driver,
)
from harness.drivers.pci.iommu import Iommu, IommuInfo
from harness.drivers.pci.remove import pci_stop_and_remove_bus_device
from harness.drivers.pci.reset import pci_reset_function

__all__ = [
    "Interrupt",
    "Iommu",
    "IommuInfo",
    "Numa",
    "PciBus",
    "PciDevice",
    "PciDriver",
    "PciId",
    "PciSegment",
    "Site",
    "parse_cpulist",
    "pci_register_driver",
    "pci_reset_function",
    "pci_stop_and_remove_bus_device",
    "pci_unregister_driver",
]
