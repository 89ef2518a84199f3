# SPDX-License-Identifier: Apache-2.0
"""A context in place of a container: drivers/iommu/iommufd/vfio_compat.c, 6.12."""

from __future__ import annotations

import errno
from ctypes import sizeof

from harness.drivers.iommufd.io_pagetable import IOMMU_READ, IOMMU_WRITE, ULONG_MAX
from harness.drivers.iommufd.ioas import map_user_pages, unmap_range
from harness.drivers.iommufd.main import Ioas, IommufdContext, Operation, Request
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.kernel.uaccess import copy_from_user
from harness.uapi import iommufd, vfio

_U32_MAX = 0xFFFFFFFF
_TYPES = (vfio.VFIO_TYPE1_IOMMU, vfio.VFIO_TYPE1v2_IOMMU)


def get_compat_ioas(context: IommufdContext) -> Ioas:
    """ENODEV unless a group or the program chose one."""
    if context.vfio_ioas is None:
        raise Errno(errno.ENODEV)
    return context.vfio_ioas


def iommufd_vfio_compat_ioas_create(context: IommufdContext) -> None:
    """A group comes: there must be one."""
    if context.vfio_ioas is None:
        context.vfio_ioas = Ioas(context)


def iommufd_vfio_ioas(request: Request) -> int:
    """IOMMU_VFIO_IOAS: EOPNOTSUPP; ENODEV or ENOENT without one."""
    command, context = request.command, request.context
    if command.reserved:
        raise Errno(errno.EOPNOTSUPP)
    if command.op == iommufd.IOMMU_VFIO_IOAS_GET:
        command.ioas_id = get_compat_ioas(context).id
        return request.respond()
    if command.op == iommufd.IOMMU_VFIO_IOAS_SET:
        context.vfio_ioas = context.get(command.ioas_id, Ioas)
    elif command.op == iommufd.IOMMU_VFIO_IOAS_CLEAR:
        context.vfio_ioas = None
    else:
        raise Errno(errno.EOPNOTSUPP)
    return 0


def iommufd_vfio_ioctl(context: IommufdContext, caller: Caller, command: int, argument: int) -> int:
    """What a container is asked; ENOTTY for what is not known, and for dirty pages."""
    if command == vfio.VFIO_GET_API_VERSION:
        return vfio.VFIO_API_VERSION
    if command == vfio.VFIO_SET_IOMMU:
        return _set_iommu(context, argument)
    if command == vfio.VFIO_CHECK_EXTENSION:
        return _check_extension(context, argument)
    if command == vfio.VFIO_IOMMU_GET_INFO:
        return _get_info(context, caller, argument)
    if command == vfio.VFIO_IOMMU_MAP_DMA:
        return _map_dma(context, caller, argument)
    if command == vfio.VFIO_IOMMU_UNMAP_DMA:
        return _unmap_dma(context, caller, argument)
    raise Errno(errno.ENOTTY)


def _set_iommu(context: IommufdContext, kind: int) -> int:
    """iommufd_vfio_set_iommu: type 1 can be unmapped anywhere, so it has small pages only."""
    if kind not in _TYPES:
        raise Errno(errno.EINVAL)
    table = get_compat_ioas(context).table
    if kind == vfio.VFIO_TYPE1_IOMMU:
        table.disable_large_pages()
    return 0


def _check_extension(context: IommufdContext, extension: int) -> int:
    """iommufd_vfio_check_extension."""
    if extension == vfio.VFIO_DMA_CC_IOMMU:
        hwpts = get_compat_ioas(context).hwpts
        return int(all(hwpt.capabilities.enforces_coherency for hwpt in hwpts))
    return int(extension in (*_TYPES, vfio.VFIO_UNMAP_ALL))


def _map_dma(context: IommufdContext, caller: Caller, argument: int) -> int:
    """iommufd_vfio_map_dma: without a direction, too."""
    given = copy_from_user(caller, vfio.DmaMap, argument)
    flags = vfio.VFIO_DMA_MAP_FLAG_READ | vfio.VFIO_DMA_MAP_FLAG_WRITE
    if given.argsz < sizeof(vfio.DmaMap) or given.flags & ~flags:
        raise Errno(errno.EINVAL)
    prot = IOMMU_READ if given.flags & vfio.VFIO_DMA_MAP_FLAG_READ else 0
    prot |= IOMMU_WRITE if given.flags & vfio.VFIO_DMA_MAP_FLAG_WRITE else 0
    table = get_compat_ioas(context).table
    map_user_pages(context, caller, table, given.vaddr, given.size, given.iova, prot, mm=True)
    return 0


def _unmap_dma(context: IommufdContext, caller: Caller, argument: int) -> int:
    """iommufd_vfio_unmap_dma: the size goes back after a failure, too."""
    given = copy_from_user(caller, vfio.DmaUnmap, argument)
    if given.argsz < sizeof(vfio.DmaUnmap) or given.flags & ~vfio.VFIO_DMA_UNMAP_FLAG_ALL:
        raise Errno(errno.EINVAL)
    table = get_compat_ioas(context).table
    unmap_all = bool(given.flags & vfio.VFIO_DMA_UNMAP_FLAG_ALL)
    if unmap_all and (given.iova or given.size):
        raise Errno(errno.EINVAL)
    iova, size = given.iova, given.size
    given.size = 0
    problem: Errno | None = None
    try:
        if unmap_all:
            given.size = table.unmap(0, ULONG_MAX)
        else:
            if not table.large_pages and size:
                table.cut(iova + size - 1)
                if iova:
                    table.cut(iova - 1)
            given.size = unmap_range(table, iova, size)
    except Errno as error:
        problem = error
    caller.copy_to_user(argument, bytes(given))
    if problem is not None:
        raise problem
    return 0


def _get_info(context: IommufdContext, caller: Caller, argument: int) -> int:
    """iommufd_vfio_iommu_get_info: capabilities that fit are written even if not all do."""
    given = copy_from_user(caller, vfio.IommuType1Info, argument)
    if given.argsz < sizeof(vfio.IommuType1Info):
        raise Errno(errno.EINVAL)
    table = get_compat_ioas(context).table
    whole = sizeof(vfio.IommuType1InfoCaps)
    avail = vfio.IommuType1InfoDmaAvail(
        header=vfio.InfoCapHeader(id=vfio.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, version=1),
        avail=_U32_MAX,
    )
    ranges = table.usable()
    iovas = vfio.IommuType1InfoCapIovaRange(
        header=vfio.InfoCapHeader(id=vfio.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, version=1),
        nr_iovas=len(ranges),
    )
    # Each begins at a multiple of 8 (a run of 6.12 and of 7.2).
    second = whole + -(-sizeof(avail) // 8) * 8
    total = second + sizeof(iovas) + 16 * len(ranges)
    if given.argsz >= whole + sizeof(avail):
        avail.header.next = second if given.argsz >= second else 0
        caller.copy_to_user(argument + whole, bytes(avail))
    for number, (start, last) in enumerate(ranges):
        end = second + sizeof(iovas) + 16 * (number + 1)
        if given.argsz >= end:
            caller.copy_to_user(argument + end - 16, bytes(vfio.IovaRange(start, last)))
    if given.argsz >= total:
        caller.copy_to_user(argument + second, bytes(iovas))
    info = vfio.IommuType1InfoCaps(
        argsz=total,
        flags=vfio.VFIO_IOMMU_INFO_PGSIZES | vfio.VFIO_IOMMU_INFO_CAPS,
        iova_pgsizes=table.page_sizes,
        cap_offset=whole if given.argsz >= total else 0,
    )
    caller.copy_to_user(argument, bytes(info)[: min(given.argsz, whole)])
    return 0


OPERATIONS = {
    iommufd.IOMMUFD_CMD_VFIO_IOAS: Operation(iommufd.VfioIoas, "reserved", iommufd_vfio_ioas)
}
