# SPDX-License-Identifier: Apache-2.0
"""Devices that are bound to a context and attached to its page tables: device.c,
hw_pagetable.c in drivers/iommu/iommufd, 6.12."""

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
from harness.kernel.driver_core import Device
from harness.kernel.errors import Errno
from harness.kernel.iommu import BlockingDomain
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
    return BoundDevice(context, group)


def iommufd_access_create(context: IommufdContext) -> BoundDevice:
    """A device whose DMA is the driver's."""
    return BoundDevice(context, None)


def iommufd_device_unbind(device: BoundDevice) -> None:
    """Undo the binding; it is detached."""
    group = device.group
    if group is not None:
        group.owner_count -= 1
        if not group.owner_count:
            group.release_dma_owner()
    device.destroy()


def iommufd_device_attach(device: BoundDevice, pt_id: int) -> int:
    """Attach to a page table, or to an address space by one that is made or found: its number.

    ENOENT, EINVAL for another object; EADDRINUSE where mappings are in the way; what pinning says.
    A device that is attached changes over in one step (iommufd_device_replace).
    """
    wanted = device.context.get(pt_id, IommufdObject)
    old = device.hwpt
    if isinstance(wanted, Hwpt):
        hwpt = wanted
    elif isinstance(wanted, Ioas):
        hwpt = _auto_domain(device, wanted)
    else:
        raise Errno(errno.EINVAL)
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
    if old is None or old.ioas is not hwpt.ioas:
        hwpt.ioas.table.unreserve(device)
        _reserve(device, hwpt.ioas)
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
    """Give a driver an address space: ENOENT for anything else."""
    ioas = device.context.get(ioas_id, Ioas)
    iommufd_access_detach(device)
    device.ioas = ioas
    ioas.users += 1
    return ioas_id


def iommufd_access_detach(device: BoundDevice) -> None:
    """Take it away, if there is one."""
    if device.ioas is not None:
        device.ioas.users -= 1
        device.ioas = None


# --- commands


def iommufd_hwpt_alloc(request: Request) -> int:
    """EOPNOTSUPP, EINVAL for data that do not fit, ENOENT for the device, EINVAL for the parent."""
    command, context = request.command, request.context
    if command.reserved:
        raise Errno(errno.EOPNOTSUPP)
    if (command.data_type == u.IOMMU_HWPT_DATA_NONE) == bool(command.data_len):
        raise Errno(errno.EINVAL)
    device = context.get(command.dev_id, BoundDevice)
    parent = context.objects.get(command.pt_id)
    if not isinstance(parent, Ioas | Hwpt) or device.group is None:
        raise Errno(errno.EINVAL)
    # No IOMMU here can nest, track what is written, or report faults.
    if command.flags or command.data_len or isinstance(parent, Hwpt):
        raise Errno(errno.EOPNOTSUPP)
    hwpt = Hwpt(parent, device.group.capabilities, auto_domain=False)
    command.out_hwpt_id = hwpt.id
    return request.respond()


def iommufd_get_hw_info(request: Request) -> int:
    """EOPNOTSUPP for flags, ENOENT. The registers of the IOMMU are not modelled: all zero."""
    command, context = request.command, request.context
    if command.flags or any(command.reserved):
        raise Errno(errno.EOPNOTSUPP)
    context.get(command.dev_id, BoundDevice)
    data = bytes(u.HwInfoVtd())[: command.data_len].ljust(command.data_len, b"\0")
    if data:
        request.caller.copy_to_user(command.data_uptr, data)
    command.data_len = len(bytes(u.HwInfoVtd()))
    command.out_data_type = u.IOMMU_HW_INFO_TYPE_INTEL_VTD
    command.out_capabilities = 0
    return request.respond()


def iommufd_hwpt_set_dirty_tracking(request: Request) -> int:
    """EOPNOTSUPP for flags, ENOENT; then EOPNOTSUPP, as no IOMMU here tracks."""
    return _dirty(request, u.IOMMU_HWPT_DIRTY_TRACKING_ENABLE)


def iommufd_hwpt_get_dirty_bitmap(request: Request) -> int:
    """EOPNOTSUPP for flags, ENOENT; then EOPNOTSUPP, as no IOMMU here tracks."""
    return _dirty(request, u.IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR)


def _dirty(request: Request, flags: int) -> int:
    command = request.command
    if not command.flags & ~flags and not command.reserved:
        request.context.get(command.hwpt_id, Hwpt)
    raise Errno(errno.EOPNOTSUPP)


OPERATIONS = {
    u.IOMMUFD_CMD_HWPT_ALLOC: Operation(u.HwptAlloc, "reserved", iommufd_hwpt_alloc),
    u.IOMMUFD_CMD_GET_HW_INFO: Operation(u.HwInfo, "reserved", iommufd_get_hw_info),
    u.IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING: Operation(
        u.HwptSetDirtyTracking, "reserved", iommufd_hwpt_set_dirty_tracking
    ),
    u.IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP: Operation(
        u.HwptGetDirtyBitmap, "data", iommufd_hwpt_get_dirty_bitmap
    ),
}
