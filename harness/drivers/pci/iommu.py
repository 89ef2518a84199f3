# SPDX-License-Identifier: Apache-2.0
"""IOMMU groups of PCI functions: drivers/iommu/{iommu,iommu-sysfs}.c, intel/iommu.c, 6.1.

The plan: ``/sys/kernel/iommu_groups/N`` has ``devices/``, ``reserved_regions`` and ``type``; each
function links to its group and to the unit above it, ``/sys/class/iommu/dmarN``, one a root bus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from harness.kernel.driver_core import Device, DeviceClass, device_add
from harness.kernel.iommu import IommuCapabilities, IommuGroup, ReservedRegion
from harness.kernel.sysfs import sysfs_create_link, sysfs_remove_link

if TYPE_CHECKING:
    from harness.drivers.pci.device import PciDevice
    from harness.kernel.system import Kernel

_CLASS_BRIDGE_ISA = 0x0601
_MSI_REGION = (0xFEE00000, 0xFEEFFFFF, "msi")
#: Where ISA devices may reach at any time.
_ISA_REGION = (0, 0xFFFFFF, "direct-relaxable")


@frozen
class IommuInfo:
    """What the IOMMU above a function can do: user SVA, PASIDs at all, and for its group."""

    sva: bool = False
    pasid: bool = False
    capabilities: IommuCapabilities = field(factory=IommuCapabilities)


#: What is above a function that no IOMMU looks at.
NO_IOMMU = IommuInfo(capabilities=IommuCapabilities(isolates_msi=False))


def intel_iommu_get_resv_regions(devices: list[Device]) -> list[ReservedRegion]:
    """Where messages go, and what ISA devices need (iommu_get_group_resv_regions)."""
    isa = any(
        getattr(device, "class_code", 0) >> 8 == _CLASS_BRIDGE_ISA
        and device.kernel.iommu_groups.section.isa_region
        for device in devices
    )
    return [_ISA_REGION, _MSI_REGION] if isa else [_MSI_REGION]


class Iommu:
    """All IOMMU units of a machine, and their groups."""

    def __init__(self, kernel: Kernel, info: IommuInfo, domain_type: str) -> None:
        self.kernel = kernel
        self.info = info
        self.domain_type = domain_type
        self._units: dict[str, Device] = {}

    def iommu_probe_device(self, device: PciDevice) -> None:
        """Put a new function into its group and below its unit."""
        group = self._group_of(device) or self.kernel.iommu_groups.alloc(
            self.domain_type, intel_iommu_get_resv_regions, self.info.capabilities
        )
        group.add_device(device)
        unit = self._unit(device)
        sysfs_create_link(unit.sysfs.directory("devices"), device.sysfs, device.name)
        sysfs_create_link(device.sysfs, unit.sysfs, "iommu")

    def iommu_release_device(self, device: PciDevice) -> None:
        """A function went; its group goes with the last one."""
        sysfs_remove_link(self._unit(device).sysfs.directory("devices"), device.name)
        assert device.iommu_group is not None
        device.iommu_group.remove_device(device)

    def _group_of(self, device: PciDevice) -> IommuGroup | None:
        """The group of the bridge above, or of another function in the slot (pci_device_group).

        Nothing here has access control services, which would keep functions apart.
        """
        for group in self.kernel.iommu_groups.groups.values():
            for other in group.devices:
                if other is device.segment.self_device:
                    return group
                if device.is_multifunction and other.name[:-2] == device.name[:-2]:
                    return group
        return None

    def _unit(self, device: PciDevice) -> Device:
        """The unit above a root bus, made for its first function (alloc_iommu)."""
        root = device.root_bus_name
        if root not in self._units:
            unit = Device(self.kernel, f"dmar{len(self._units)}", None, None)
            unit.device_class = DeviceClass(self.kernel, "iommu")
            device_add(unit)
            unit.sysfs.directory("devices")
            self._units[root] = unit
        return self._units[root]
