# SPDX-License-Identifier: Apache-2.0
"""IOMMU groups of PCI functions: drivers/iommu/{iommu,iommu-sysfs}.c, intel/iommu.c, 6.1.

The plan: ``/sys/kernel/iommu_groups/N`` has ``devices/``, ``reserved_regions`` and ``type``; each
function links to its group and to the unit above it, ``/sys/class/iommu/dmarN``, one a root bus.
"""

from __future__ import annotations

import errno
from itertools import count
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from harness.kernel.driver_core import Device, DeviceClass, device_add
from harness.kernel.errors import Errno
from harness.kernel.kernfs import KernfsDirectory
from harness.kernel.kstrtox import sysfs_streq
from harness.kernel.sysfs import (
    Attribute,
    sysfs_create_file,
    sysfs_create_link,
    sysfs_remove_link,
)
from harness.kernel.task import Caller
from harness.uapi.fs import CAP_SYS_ADMIN, CAP_SYS_RAWIO

if TYPE_CHECKING:
    from harness.drivers.pci.device import PciDevice
    from harness.kernel.system import Kernel

_CLASS_BRIDGE_ISA = 0x0601
_MSI_REGION = (0xFEE00000, 0xFEEFFFFF, "msi")
#: Where ISA devices may reach at any time (CONFIG_INTEL_IOMMU_FLOPPY_WA).
_ISA_REGION = (0, 0xFFFFFF, "direct-relaxable")
DOMAIN_TYPES = ("identity", "DMA", "DMA-FQ")


@frozen
class IommuInfo:
    """What the IOMMU above a function can do for its driver: user SVA, and PASIDs at all."""

    sva: bool = False
    pasid: bool = False


@define(eq=False)
class IommuGroup:
    """Functions that the IOMMU cannot tell apart (struct iommu_group)."""

    number: int
    directory: KernfsDirectory
    #: Type of the default domain, and what it was at first.
    type: str
    boot_type: str
    devices: list[PciDevice] = field(factory=list)


def iommu_group_show_resv_regions(group: IommuGroup, caller: Caller) -> str:
    isa = any(device.class_code >> 8 == _CLASS_BRIDGE_ISA for device in group.devices)
    regions = [_ISA_REGION, _MSI_REGION] if isa else [_MSI_REGION]
    return "".join(f"0x{start:016x} 0x{end:016x} {kind}\n" for start, end, kind in regions)


def iommu_group_show_type(group: IommuGroup, caller: Caller) -> str:
    return f"{group.type}\n"


def iommu_group_store_type(group: IommuGroup, caller: Caller, data: bytes) -> None:
    """EACCES, EINVAL for another word or a group of several, EBUSY while a driver is bound."""
    credentials = caller.credentials
    if not credentials.capable(CAP_SYS_ADMIN) or not credentials.capable(CAP_SYS_RAWIO):
        raise Errno(errno.EACCES)
    words = (*DOMAIN_TYPES, "auto")
    wanted = next((word for word in words if sysfs_streq(data, word)), None)
    if wanted is None or len(group.devices) != 1:
        raise Errno(errno.EINVAL)
    if group.devices[0].driver is not None and (wanted, group.type) != ("DMA-FQ", "DMA"):
        raise Errno(errno.EBUSY)
    group.type = group.boot_type if wanted == "auto" else wanted


_ATTRIBUTES = (
    Attribute("reserved_regions", 0o444, iommu_group_show_resv_regions),
    Attribute("type", 0o644, iommu_group_show_type, iommu_group_store_type),
)


class Iommu:
    """All IOMMU units of a machine, and their groups."""

    def __init__(self, kernel: Kernel, info: IommuInfo, domain_type: str) -> None:
        self.kernel = kernel
        self.info = info
        self.domain_type = domain_type
        self.groups: dict[int, IommuGroup] = {}
        self._units: dict[str, Device] = {}
        self._directory = kernel.sysfs.directory("kernel").directory("iommu_groups")

    def iommu_probe_device(self, device: PciDevice) -> None:
        """Put a new function into its group and below its unit."""
        group = self._group_of(device) or self._iommu_group_alloc()
        group.devices.append(device)
        sysfs_create_link(device.sysfs, group.directory, "iommu_group")
        sysfs_create_link(group.directory.directory("devices"), device.sysfs, device.name)
        unit = self._unit(device)
        sysfs_create_link(unit.sysfs.directory("devices"), device.sysfs, device.name)
        sysfs_create_link(device.sysfs, unit.sysfs, "iommu")

    def iommu_release_device(self, device: PciDevice) -> None:
        """A function went; its group goes with the last one."""
        sysfs_remove_link(self._unit(device).sysfs.directory("devices"), device.name)
        group = next(group for group in self.groups.values() if device in group.devices)
        group.devices.remove(device)
        sysfs_remove_link(group.directory.directory("devices"), device.name)
        if not group.devices:
            self._directory.remove(str(group.number))
            del self.groups[group.number]

    def _group_of(self, device: PciDevice) -> IommuGroup | None:
        """The group of the bridge above, or of another function in the slot (pci_device_group).

        Nothing here has access control services, which would keep functions apart.
        """
        for group in self.groups.values():
            for other in group.devices:
                if other is device.segment.self_device:
                    return group
                if device.is_multifunction and other.name[:-2] == device.name[:-2]:
                    return group
        return None

    def _iommu_group_alloc(self) -> IommuGroup:
        number = next(number for number in count() if number not in self.groups)
        directory = self._directory.directory(str(number))
        directory.directory("devices")
        group = IommuGroup(number, directory, self.domain_type, self.domain_type)
        for attribute in _ATTRIBUTES:
            sysfs_create_file(directory, group, attribute)
        self.groups[number] = group
        return group

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
