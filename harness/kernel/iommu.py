# SPDX-License-Identifier: Apache-2.0
"""IOMMU groups and who owns their DMA: drivers/iommu/iommu.c, 6.1.

The plan: ``/sys/kernel/iommu_groups/N`` has ``devices/``, ``reserved_regions`` and ``type``, and
``name`` if somebody gave it one. A group's functions reach memory through its domain: the kernel's
own (None here) or one that a program fills.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from attrs import define, field, frozen

from harness.kernel.errors import Errno
from harness.kernel.ida import Ida
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
    from harness.kernel.driver_core import Device
    from harness.kernel.system import Kernel


class IommuDomain(Protocol):
    """Where a device's addresses lead (struct iommu_domain). All outside it faults: EFAULT."""

    def read(self, iova: int, count: int) -> bytes:
        """Exactly ``count`` bytes, as a device reads them."""

    def write(self, iova: int, data: bytes) -> None:
        """Store all of ``data``, as a device writes it."""


#: First and last address, and kind, of what cannot be mapped (struct iommu_resv_region).
ReservedRegion = tuple[int, int, str]

DOMAIN_TYPES = ("identity", "DMA", "DMA-FQ")


@frozen
class IommuSection:
    """The profile's section ``iommu``.

    ``type_needs_unowned``: a group's type changes unless somebody has its DMA (6.12); before, only
    that of a group of one device without a driver. ``isa_region``: ISA devices may reach what is
    theirs at any time (CONFIG_INTEL_IOMMU_FLOPPY_WA).
    """

    type_needs_unowned: bool
    isa_region: bool = True


class BlockingDomain:
    """Lets nothing through: what a group has whose owner attached no domain."""

    def read(self, iova: int, count: int) -> bytes:
        """EFAULT."""
        raise Errno(errno.EFAULT)

    def write(self, iova: int, data: bytes) -> None:
        """EFAULT."""
        raise Errno(errno.EFAULT)


@frozen
class IommuCapabilities:
    """What the IOMMU before a group can do.

    ``address_width`` is that of addresses that devices use, in bits; ``page_sizes`` a bit for each
    size; ``enforces_coherency`` says whether it makes all DMA snoop the processor's caches, and
    ``isolates_msi`` whether a device can send no interrupts but its own. ``takes_ats``: functions
    may ask it for translations of their own accord.
    """

    address_width: int = 57
    page_sizes: int = 0x40201000
    enforces_coherency: bool = True
    takes_ats: bool = False
    isolates_msi: bool = True


@define(eq=False)
class IommuGroup:
    """Devices that the IOMMU cannot tell apart (struct iommu_group)."""

    kernel: Kernel
    number: int
    directory: KernfsDirectory
    #: Type of the default domain (None: there is none), and what it was at first.
    type: str | None = None
    boot_type: str | None = None
    #: What cannot be mapped, of a list of devices: first and last address, and kind.
    get_resv_regions: Callable[[list[Device]], list[ReservedRegion]] = lambda devices: []
    capabilities: IommuCapabilities = IommuCapabilities()
    devices: list[Device] = field(factory=list)
    #: None is the default domain, the kernel's own.
    domain: IommuDomain | None = None
    #: Who owns all DMA of the group (None: drivers of the host), and how many rely on that.
    owner: object | None = None
    owner_count: int = 0

    @property
    def reserved_regions(self) -> list[ReservedRegion]:
        """What programs cannot map."""
        return self.get_resv_regions(self.devices)

    def set_name(self, name: str) -> None:
        """Show a name in the group's directory (iommu_group_set_name)."""
        attribute = Attribute("name", 0o444, lambda group, caller: f"{name}\n")
        sysfs_create_file(self.directory, self, attribute)

    def add_device(self, device: Device) -> None:
        """iommu_group_add_device: the links both ways."""
        sysfs_create_link(device.sysfs, self.directory, "iommu_group")
        sysfs_create_link(self.directory.directory("devices"), device.sysfs, device.name)
        self.devices.append(device)
        device.iommu_group = self

    def remove_device(self, device: Device) -> None:
        """iommu_group_remove_device; the group goes with its last device."""
        self.devices.remove(device)
        device.iommu_group = None
        sysfs_remove_link(self.directory.directory("devices"), device.name)
        if device.directory is not None and "iommu_group" in device.directory.children:
            sysfs_remove_link(device.directory, "iommu_group")
        if not self.devices:
            self.kernel.iommu_groups.release(self)

    def use_default_domain(self) -> None:
        """A driver of the host begins DMA; EBUSY if somebody else owns it
        (iommu_device_use_default_domain)."""
        if self.owner_count and (self.domain is not None or self.owner is not None):
            raise Errno(errno.EBUSY)
        self.owner_count += 1

    def unuse_default_domain(self) -> None:
        """It ends (iommu_device_unuse_default_domain)."""
        self.owner_count -= 1

    def claim_dma_owner(self, owner: object) -> None:
        """All DMA is ``owner``'s; EPERM while a driver of the host or another owner uses it
        (iommu_group_claim_dma_owner)."""
        if self.owner_count:
            raise Errno(errno.EPERM)
        self.domain = BlockingDomain()
        self.owner = owner
        self.owner_count = 1

    def release_dma_owner(self) -> None:
        """Back to the default domain (iommu_group_release_dma_owner)."""
        self.owner_count = 0
        self.owner = None
        self.domain = None

    @property
    def dma_owner_claimed(self) -> bool:
        """Whether anybody uses or owns DMA (iommu_group_dma_owner_claimed)."""
        return self.owner_count > 0


def iommu_group_show_resv_regions(group: IommuGroup, caller: Caller) -> str:
    regions = group.reserved_regions
    return "".join(f"0x{start:016x} 0x{end:016x} {kind}\n" for start, end, kind in regions)


def iommu_group_show_type(group: IommuGroup, caller: Caller) -> str:
    return f"{group.type or 'unknown'}\n"


def iommu_group_store_type(group: IommuGroup, caller: Caller, data: bytes) -> None:
    """EACCES; EINVAL without a default domain or for another word; then what the kernel forbids.

    A flush queue is added to DMA at any time, but in 6.1 only to a group of one device.
    """
    credentials = caller.credentials
    if not credentials.capable(CAP_SYS_ADMIN) or not credentials.capable(CAP_SYS_RAWIO):
        raise Errno(errno.EACCES)
    words = (*DOMAIN_TYPES, "auto")
    wanted = next((word for word in words if sysfs_streq(data, word)), None)
    if wanted is None or group.type is None:
        raise Errno(errno.EINVAL)
    adds_queue = (wanted, group.type) == ("DMA-FQ", "DMA")
    if group.kernel.iommu_groups.section.type_needs_unowned:
        if not adds_queue and (not group.devices or group.dma_owner_claimed):
            raise Errno(errno.EPERM)
    elif len(group.devices) != 1:
        raise Errno(errno.EINVAL)
    elif group.devices[0].driver is not None and not adds_queue:
        raise Errno(errno.EBUSY)
    group.type = group.boot_type if wanted == "auto" else wanted


_ATTRIBUTES = (
    Attribute("reserved_regions", 0o444, iommu_group_show_resv_regions),
    Attribute("type", 0o644, iommu_group_show_type, iommu_group_store_type),
)


class IommuGroups:
    """All groups of a machine by number; where they and the units of IOMMUs are is always there
    (iommu_init, iommu_dev_init)."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.section = kernel.profile.section("iommu", IommuSection)
        self.groups: dict[int, IommuGroup] = {}
        self._ida = Ida()
        self._directory = kernel.sysfs.directory("kernel").directory("iommu_groups")
        kernel.sysfs.directory("class").directory("iommu")

    def alloc(
        self,
        domain_type: str | None = None,
        get_resv_regions: Callable[[list[Device]], list[ReservedRegion]] = lambda devices: [],
        capabilities: IommuCapabilities | None = None,
    ) -> IommuGroup:
        """A new group with the lowest free number (iommu_group_alloc)."""
        number = self._ida.alloc()
        directory = self._directory.directory(str(number))
        directory.directory("devices")
        group = IommuGroup(
            self.kernel,
            number,
            directory,
            domain_type,
            domain_type,
            get_resv_regions,
            capabilities or IommuCapabilities(),
        )
        for attribute in _ATTRIBUTES:
            sysfs_create_file(directory, group, attribute)
        self.groups[number] = group
        return group

    def release(self, group: IommuGroup) -> None:
        """The last reference is gone (iommu_group_release)."""
        self._directory.remove(str(group.number))
        del self.groups[group.number]
        self._ida.free(group.number)
