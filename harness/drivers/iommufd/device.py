# SPDX-License-Identifier: Apache-2.0
"""Devices that are bound to a context and attached to its page tables:
drivers/iommu/iommufd/device.c, 6.12."""

from __future__ import annotations

import errno

from harness.drivers.iommufd.main import (
    BoundDevice,
    Hwpt,
    Ioas,
    IommufdContext,
    IommufdObject,
    Operation,
    Request,
)
from harness.drivers.pci.device import PciDevice
from harness.hardware import vtd
from harness.hardware.pci_config import EXT_CAP_ATS
from harness.kernel.driver_core import Device
from harness.kernel.errors import Errno
from harness.kernel.iommu import BlockingDomain, IommuCapabilities
from harness.kernel.uaccess import clear_user
from harness.uapi import iommufd as u

#: Reserved only while the kernel's own drivers need it.
_RELAXABLE = "direct-relaxable"


def iommufd_device_bind(context: IommufdContext, dev: Device) -> BoundDevice:
    """All DMA of the device's group is the context's: ENODEV, EPERM if it is another's, or if the
    group could send interrupts of others and that is not allowed."""
    group = dev.iommu_group
    if group is None:
        raise Errno(errno.ENODEV)
    unsafe_interrupts = dev.kernel.modules["iommufd"].parameters["allow_unsafe_interrupts"]
    if not (group.capabilities.isolates_msi or unsafe_interrupts.value):
        raise Errno(errno.EPERM)
    if group.owner is context:
        group.owner_count += 1
    else:
        group.claim_dma_owner(context)
    return BoundDevice(context, dev, group)


def iommufd_access_create(context: IommufdContext) -> BoundDevice:
    """A device whose DMA is the driver's."""
    return BoundDevice(context, None, None)


def iommufd_device_unbind(device: BoundDevice) -> None:
    """Undo the binding; it is detached."""
    group = device.group
    if group is not None:
        group.owner_count -= 1
        if not group.owner_count:
            group.release_dma_owner()
    device.destroy()


def iommufd_page_table(device: BoundDevice, pt_id: int) -> Hwpt | Ioas:
    """What a device can be attached to: ENOENT, EINVAL for another object."""
    wanted = device.context.get(pt_id, IommufdObject)
    if not isinstance(wanted, Hwpt | Ioas):
        raise Errno(errno.EINVAL)
    return wanted


def iommufd_device_attach(device: BoundDevice, pt_id: int, *, replace: bool) -> int:
    """Attach to a page table, or to an address space by one that is made or found: its number.

    ENOENT, EINVAL for another object; EBUSY for a device that is attached, unless it is to change
    over in one step (iommufd_device_replace); EADDRINUSE where mappings are in the way; what
    pinning says.
    """
    wanted = iommufd_page_table(device, pt_id)
    old = device.hwpt
    if old is not None and not replace:
        raise Errno(errno.EBUSY)
    hwpt = wanted if isinstance(wanted, Hwpt) else _auto_domain(device, wanted)
    if hwpt is not old:
        _switch(device, hwpt)
    return hwpt.id


def _auto_domain(device: BoundDevice, ioas: Ioas) -> Hwpt:
    """The one that a device made before, else a new one (iommufd_device_auto_get_domain)."""
    for hwpt in ioas.hwpts:
        if hwpt.auto_domain:
            return hwpt
    assert device.group is not None
    _reserve(device, ioas)
    try:
        return Hwpt(ioas, device.group.capabilities, auto_domain=True)
    except Errno:
        ioas.table.unreserve(device)
        raise


def _reserve(device: BoundDevice, ioas: Ioas) -> None:
    """What the group cannot use (iopt_table_enforce_dev_resv_regions)."""
    assert device.group is not None
    try:
        for start, last, kind in device.group.reserved_regions:
            if kind != _RELAXABLE:
                ioas.table.reserve(start, last, device)
    except Errno:
        ioas.table.unreserve(device)
        raise


def _switch(device: BoundDevice, hwpt: Hwpt) -> None:
    group, old = device.group, device.hwpt
    assert group is not None
    moves = old is None or old.ioas is not hwpt.ioas
    if moves:
        hwpt.ioas.table.unreserve(device)
        _reserve(device, hwpt.ioas)
    if hwpt.fault is not None:
        if moves:
            hwpt.ioas.table.unreserve(device)
        # intel_iommu_enable_iopf: no IOMMU here takes requests for pages.
        raise Errno(errno.ENODEV)
    hwpt.users += 1
    device.hwpt = hwpt
    group.domain = hwpt.ioas.table
    if old is not None:
        _put(old)
        if old.ioas is not hwpt.ioas:
            old.ioas.table.unreserve(device)


def _put(hwpt: Hwpt) -> None:
    hwpt.users -= 1
    if hwpt.auto_domain and not hwpt.users:
        hwpt.destroy()


def iommufd_device_detach(device: BoundDevice) -> None:
    """Nothing is reachable any more."""
    hwpt, group = device.hwpt, device.group
    assert hwpt is not None
    assert group is not None
    device.hwpt = None
    group.domain = BlockingDomain()
    hwpt.ioas.table.unreserve(device)
    _put(hwpt)


def iommufd_access_attach(device: BoundDevice, ioas_id: int) -> int:
    """Give a driver an address space: ENOENT for anything else; EADDRINUSE if what is mapped there
    is not made of whole pages (iommufd_access_change_ioas)."""
    ioas = device.context.get(ioas_id, Ioas)
    if ioas is device.ioas:
        return ioas_id
    ioas.table.add_access(device)
    iommufd_access_detach(device)
    device.ioas = ioas
    ioas.users += 1
    return ioas_id


def iommufd_access_detach(device: BoundDevice) -> None:
    """Take it away, if there is one."""
    if device.ioas is not None:
        device.ioas.table.remove_access(device)
        device.ioas.users -= 1
        device.ioas = None


# --- commands


def iommufd_get_device(context: IommufdContext, number: int) -> BoundDevice:
    """ENOENT, also for a device whose DMA is the driver's."""
    device = context.get(number, BoundDevice)
    if device.group is None:
        raise Errno(errno.ENOENT)
    return device


def iommufd_get_hw_info(request: Request) -> int:
    """EOPNOTSUPP for flags, ENOENT, EOPNOTSUPP for another type of IOMMU; EFAULT. What does not fit
    is left out, and the rest of the room zeroed (intel_iommu_hw_info)."""
    command, section = request.command, request.context.section
    typed = u.IOMMU_HW_INFO_FLAG_INPUT_TYPE if section.hw_info_type else 0
    if command.flags & ~typed or any(command.reserved):
        raise Errno(errno.EOPNOTSUPP)
    device = iommufd_get_device(request.context, command.dev_id)
    known = (u.IOMMU_HW_INFO_TYPE_DEFAULT, u.IOMMU_HW_INFO_TYPE_INTEL_VTD)
    if command.flags & typed and command.out_data_type not in known:
        raise Errno(errno.EOPNOTSUPP)
    assert device.group is not None
    info = _registers(device.group.capabilities)
    caller, room = request.caller, command.data_len
    if room:
        caller.copy_to_user(command.data_uptr, info[:room])
        clear_user(caller, command.data_uptr + len(info), room - len(info))
    command.data_len = len(info)
    command.out_data_type = u.IOMMU_HW_INFO_TYPE_INTEL_VTD
    command.out_max_pasid_log2 = 0
    command.out_capabilities = 0
    if section.hw_info_ats and not _ats_supported(device):
        command.out_capabilities = u.IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED
    return request.respond()


def _registers(iommu: IommuCapabilities) -> bytes:
    """intel_iommu_hw_info; the erratum is always told of."""
    info = u.HwInfoVtd(
        flags=u.IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17,
        cap_reg=vtd.capability(iommu.address_width, iommu.page_sizes),
        ecap_reg=vtd.extended_capability(
            snoop_control=iommu.enforces_coherency, device_iotlb=iommu.takes_ats
        ),
    )
    return bytes(info)


def _ats_supported(device: BoundDevice) -> bool:
    """The function has ATS, and the IOMMU takes it (dmar_ats_supported, pci_ats_supported)."""
    dev, group = device.dev, device.group
    capable = isinstance(dev, PciDevice) and dev.pci_find_ext_capability(EXT_CAP_ATS)
    return bool(capable and group is not None and group.capabilities.takes_ats)


OPERATIONS = {u.IOMMUFD_CMD_GET_HW_INFO: Operation(u.HwInfo, "reserved", iommufd_get_hw_info)}
