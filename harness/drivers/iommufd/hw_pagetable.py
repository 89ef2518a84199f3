# SPDX-License-Identifier: Apache-2.0
"""Commands on page tables of the hardware: drivers/iommu/iommufd/hw_pagetable.c, 6.12.

The IOMMUs here are Intel's without nesting, dirty bits and requests for pages.
"""

from __future__ import annotations

import errno

from harness.drivers.iommufd.device import iommufd_get_device
from harness.drivers.iommufd.io_pagetable import ULONG_MAX, IoPagetable
from harness.drivers.iommufd.main import (
    BoundDevice,
    FaultQueue,
    Hwpt,
    Ioas,
    IommufdObject,
    Operation,
    Request,
)
from harness.kernel.errors import Errno
from harness.uapi import iommufd as u
from harness.uapi.fs import PAGE_SIZE

#: More entries at once, and longer ones than a page, are refused (a run of 6.12 and of 7.2).
_MOST_ENTRIES = 1 << 19


def iommufd_hwpt_alloc(request: Request) -> int:
    """EOPNOTSUPP, EINVAL for data that do not fit, ENOENT for the device, EINVAL for the parent;
    ENOENT for the queue of faults comes last."""
    command, context = request.command, request.context
    if command.reserved:
        raise Errno(errno.EOPNOTSUPP)
    if (command.data_type == u.IOMMU_HWPT_DATA_NONE) == bool(command.data_len):
        raise Errno(errno.EINVAL)
    device = iommufd_get_device(context, command.dev_id)
    parent = context.objects.get(command.pt_id)
    if isinstance(parent, Hwpt):
        _nested_alloc(request)
    if not isinstance(parent, Ioas):
        raise Errno(errno.EINVAL)
    hwpt = _paging_alloc(request, parent, device)
    try:
        if command.flags & u.IOMMU_HWPT_FAULT_ID_VALID:
            hwpt.report_to(context.get(command.fault_id, FaultQueue))
        command.out_hwpt_id = hwpt.id
        return request.respond()
    except Errno:
        hwpt.destroy()
        raise


def _paging_alloc(request: Request, ioas: Ioas, device: BoundDevice) -> Hwpt:
    """EOPNOTSUPP for flags that the IOMMU has no use for, and for data
    (iommufd_hwpt_paging_alloc, intel_iommu_domain_alloc_paging_flags)."""
    command = request.command
    if command.flags & ~request.context.section.hwpt_flags or command.data_len:
        raise Errno(errno.EOPNOTSUPP)
    assert device.group is not None
    return Hwpt(ioas, device.group.capabilities, auto_domain=False)


def _nested_alloc(request: Request) -> None:
    """EOPNOTSUPP; then EINVAL, as no page table can be a parent (iommufd_hwpt_nested_alloc)."""
    command = request.command
    unknown = command.flags & ~request.context.section.nested_flags
    raise Errno(errno.EOPNOTSUPP if unknown or not command.data_len else errno.EINVAL)


def iommufd_hwpt_set_dirty_tracking(request: Request) -> int:
    """EOPNOTSUPP for flags, ENOENT; then EOPNOTSUPP, as no IOMMU here tracks."""
    command = request.command
    if not command.flags & ~u.IOMMU_HWPT_DIRTY_TRACKING_ENABLE:
        request.context.get(command.hwpt_id, Hwpt)
    raise Errno(errno.EOPNOTSUPP)


def iommufd_hwpt_get_dirty_bitmap(request: Request) -> int:
    """EOPNOTSUPP for flags, ENOENT, for the range; then EOPNOTSUPP, as no IOMMU here tracks."""
    command, context = request.command, request.context
    if not command.flags & ~u.IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR and not command.reserved:
        table = context.get(command.hwpt_id, Hwpt).ioas.table
        _check_iova_range(request, table)
    raise Errno(errno.EOPNOTSUPP)


def _check_iova_range(request: Request, table: IoPagetable) -> None:
    """EOVERFLOW, EINVAL for what is not aligned (iommufd_check_iova_range)."""
    command = request.command
    if not command.length and not request.context.section.empty_bitmap:
        raise Errno(errno.EINVAL)
    last = command.iova + (command.length - 1 & ULONG_MAX)
    if last > ULONG_MAX:
        raise Errno(errno.EOVERFLOW)
    alignment, size = table.alignment - 1, command.page_size - 1
    ends = command.iova | last + 1
    if ends & alignment or not command.page_size or ends & size:
        raise Errno(errno.EINVAL)


def iommufd_hwpt_invalidate(request: Request) -> int:
    """How many entries were done, which is none, goes back after a failure, too.

    EOPNOTSUPP, EINVAL for entries that are nowhere, ENOENT; EINVAL for what is not nested.
    """
    command = request.command
    problem = _invalidate_problem(request)
    command.entry_num = 0
    request.respond()
    raise problem


def _invalidate_problem(request: Request) -> Errno:
    command, context = request.command, request.context
    if command.reserved:
        return Errno(errno.EOPNOTSUPP)
    if command.entry_num and not (command.data_uptr and command.entry_len):
        return Errno(errno.EINVAL)
    if command.entry_num > _MOST_ENTRIES or (command.entry_num and command.entry_len > PAGE_SIZE):
        return Errno(errno.EINVAL)
    exists = isinstance(context.objects.get(command.hwpt_id), IommufdObject)
    return Errno(errno.EINVAL if exists and context.section.viommus else errno.ENOENT)


OPERATIONS = {
    u.IOMMUFD_CMD_HWPT_ALLOC: Operation(u.HwptAlloc, "reserved", iommufd_hwpt_alloc),
    u.IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING: Operation(
        u.HwptSetDirtyTracking, "reserved", iommufd_hwpt_set_dirty_tracking
    ),
    u.IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP: Operation(
        u.HwptGetDirtyBitmap, "data", iommufd_hwpt_get_dirty_bitmap
    ),
    u.IOMMUFD_CMD_HWPT_INVALIDATE: Operation(u.HwptInvalidate, "reserved", iommufd_hwpt_invalidate),
}
