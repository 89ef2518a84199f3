# SPDX-License-Identifier: Apache-2.0
"""Commands on address spaces: drivers/iommu/iommufd/ioas.c, 6.12."""

from __future__ import annotations

import errno
from ctypes import sizeof

from harness.drivers.iommufd.io_pagetable import (
    IOMMU_READ,
    IOMMU_WRITE,
    ULONG_MAX,
    IoPagetable,
    Pages,
    Piece,
)
from harness.drivers.iommufd.main import Ioas, IommufdContext, IommufdObject, Operation, Request
from harness.kernel.dma_buf import DmaBuf
from harness.kernel.errors import Errno
from harness.kernel.memfd import file_memory
from harness.kernel.task import Caller
from harness.kernel.uaccess import copy_from_user
from harness.uapi import iommufd as u
from harness.uapi.fs import CAP_SYS_RESOURCE, PAGE_SIZE

_RW = u.IOMMU_IOAS_MAP_WRITEABLE | u.IOMMU_IOAS_MAP_READABLE
_FLAGS = _RW | u.IOMMU_IOAS_MAP_FIXED_IOVA
_GET, _SET = u.IOMMU_OPTION_OP_GET, u.IOMMU_OPTION_OP_SET


def _unsupported(condition: object) -> None:
    if condition:
        raise Errno(errno.EOPNOTSUPP)


def iommufd_destroy(request: Request) -> int:
    """ENOENT, EBUSY while another object needs it (main.c)."""
    found = request.context.get(request.command.id, IommufdObject)
    if found.users:
        raise Errno(errno.EBUSY)
    found.destroy()
    return 0


def iommufd_ioas_alloc(request: Request) -> int:
    """EOPNOTSUPP for any flag."""
    _unsupported(request.command.flags)
    ioas = Ioas(request.context)
    request.command.out_ioas_id = ioas.id
    try:
        return request.respond()
    except Errno:
        ioas.destroy()
        raise


def iommufd_ioas_iova_ranges(request: Request) -> int:
    """As many as there is room for; EMSGSIZE if there are more, and how many there are."""
    command = request.command
    _unsupported(command.reserved)
    table = request.context.get(command.ioas_id, Ioas).table
    room, ranges = command.num_iovas, table.usable()
    found = b"".join(bytes(u.IovaRange(start, last)) for start, last in ranges[:room])
    if found:
        request.caller.copy_to_user(command.allowed_iovas, found)
    command.num_iovas = len(ranges)
    command.out_iova_alignment = table.alignment
    request.respond()
    if len(ranges) > room:
        raise Errno(errno.EMSGSIZE)
    return 0


def iommufd_ioas_allow_iovas(request: Request) -> int:
    """EINVAL for a range without a second address, or that overlaps another; EADDRINUSE."""
    command = request.command
    _unsupported(command.reserved)
    table = request.context.get(command.ioas_id, Ioas).table
    ranges: list[tuple[int, int]] = []
    for number in range(command.num_iovas):
        address = command.allowed_iovas + number * sizeof(u.IovaRange)
        given = copy_from_user(request.caller, u.IovaRange, address)
        overlaps = any(low <= given.last and given.start <= high for low, high in ranges)
        if given.start >= given.last or overlaps:
            raise Errno(errno.EINVAL)
        ranges.append((given.start, given.last))
    table.set_allowed(ranges)
    return 0


def _prot(flags: int) -> int:
    """conv_iommu_prot."""
    readable = IOMMU_READ if flags & u.IOMMU_IOAS_MAP_READABLE else 0
    return readable | (IOMMU_WRITE if flags & u.IOMMU_IOAS_MAP_WRITEABLE else 0)


def map_user_pages(
    context: IommufdContext,
    caller: Caller,
    table: IoPagetable,
    vaddr: int,
    length: int,
    iova: int | None,
    prot: int,
    *,
    mm: bool = False,
) -> int:
    """Map memory of the caller: EOVERFLOW and EINVAL, then what the table says
    (iopt_map_user_pages, iopt_alloc_user_pages)."""
    address_first = context.section.address_first
    if address_first:
        _check_address(vaddr, length)
    _check_length(length)
    if not address_first:
        _check_address(vaddr, length)
    writable = bool(prot & IOMMU_WRITE)
    pages = Pages(caller.address_space, writable, context.accounting(caller, mm=mm))
    return table.map_pages([Piece(pages, vaddr, length)], iova, prot)


def _check_address(vaddr: int, length: int) -> None:
    """EOVERFLOW."""
    if vaddr + length > ULONG_MAX:
        raise Errno(errno.EOVERFLOW)


def _check_length(length: int) -> None:
    """EINVAL (iopt_alloc_pages)."""
    if not length or length > ULONG_MAX - PAGE_SIZE:
        raise Errno(errno.EINVAL)


def _table_to_map_in(request: Request) -> IoPagetable:
    """EOVERFLOW, EINVAL without a direction, ENOENT."""
    command = request.command
    if ULONG_MAX in (command.iova, command.length):
        raise Errno(errno.EOVERFLOW)
    if not command.flags & _RW:
        raise Errno(errno.EINVAL)
    return request.context.get(command.ioas_id, Ioas).table


def iommufd_ioas_map_file(request: Request) -> int:
    """EOPNOTSUPP, EOVERFLOW, EINVAL without a direction, ENOENT, then EINVAL and EOVERFLOW for the
    part of the file, EBADF, and what the table says (iopt_map_file_pages, 7.2)."""
    command, context, caller = request.command, request.context, request.caller
    _unsupported(command.flags & ~_FLAGS)
    table = _table_to_map_in(request)
    if not command.length:
        raise Errno(errno.EINVAL)
    if command.start + command.length - 1 > ULONG_MAX:
        raise Errno(errno.EOVERFLOW)
    file = caller.file(command.fd)
    if isinstance(file, DmaBuf):
        # iopt_alloc_dmabuf_pages: no exporter here is vfio-pci, the only one that will do.
        beyond = command.start + command.length > file.node.size
        raise Errno(errno.EINVAL if beyond else errno.EOPNOTSUPP)
    _check_length(command.length)
    prot = _prot(command.flags)
    accounting = context.accounting(caller)
    pages = Pages(file_memory(file), bool(prot & IOMMU_WRITE), accounting, of_file=True)
    fixed = command.flags & u.IOMMU_IOAS_MAP_FIXED_IOVA
    pieces = [Piece(pages, command.start, command.length)]
    command.iova = table.map_pages(pieces, command.iova if fixed else None, prot)
    return request.respond()


def iommufd_ioas_change_process(request: Request) -> int:
    """Pinned pages count against the caller: EOPNOTSUPP, EINVAL unless all are of files, ENOMEM."""
    context, caller = request.context, request.caller
    _unsupported(request.command.reserved)
    tables = [found.table for found in context.objects.values() if isinstance(found, Ioas)]
    areas = [area for table in tables for area in table.areas]
    if not all(area.pages.of_file for area in areas):
        raise Errno(errno.EINVAL)
    account = context.account(caller)
    free = (None, account.payer)
    charged = [area for area in areas if area.pages.accounting.payer not in free]
    account.lock(sum(area.pinned for area in charged))
    for area in charged:
        area.pages.accounting.unlock(area.pinned)
    for area in charged:
        area.pages.accounting = account
    return 0


def iommufd_ioas_map(request: Request) -> int:
    """EOPNOTSUPP, EOVERFLOW, EINVAL without a direction, ENOENT; then as map_user_pages."""
    command = request.command
    _unsupported(command.flags & ~_FLAGS or command.reserved)
    table = _table_to_map_in(request)
    fixed = command.flags & u.IOMMU_IOAS_MAP_FIXED_IOVA
    command.iova = map_user_pages(
        request.context,
        request.caller,
        table,
        command.user_va,
        command.length,
        command.iova if fixed else None,
        _prot(command.flags),
    )
    return request.respond()


def iommufd_ioas_copy(request: Request) -> int:
    """As a map, of what another address space, or the same, has mapped."""
    command = request.command
    _unsupported(command.flags & ~_FLAGS)
    if ULONG_MAX in (command.length, command.src_iova, command.dst_iova):
        raise Errno(errno.EOVERFLOW)
    if not command.flags & _RW:
        raise Errno(errno.EINVAL)
    source = request.context.get(command.src_ioas_id, Ioas)
    pieces = source.table.get_pages(command.src_iova, command.length)
    target = request.context.get(command.dst_ioas_id, Ioas)
    fixed = command.flags & u.IOMMU_IOAS_MAP_FIXED_IOVA
    iova = command.dst_iova if fixed else None
    command.dst_iova = target.table.map_pages(pieces, iova, _prot(command.flags))
    return request.respond()


def iommufd_ioas_unmap(request: Request) -> int:
    """All, or a range: EOVERFLOW, EINVAL, ENOENT if it cuts an area or has none."""
    command = request.command
    table = request.context.get(command.ioas_id, Ioas).table
    if (command.iova, command.length) == (0, ULONG_MAX):
        command.length = table.unmap(0, ULONG_MAX)
        return request.respond()
    if ULONG_MAX in (command.iova, command.length):
        raise Errno(errno.EOVERFLOW)
    unmapped = unmap_range(table, command.iova, command.length)
    if not unmapped:
        raise Errno(errno.ENOENT)
    command.length = unmapped
    return request.respond()


def unmap_range(table: IoPagetable, iova: int, length: int) -> int:
    """EINVAL for nothing, EOVERFLOW, ENOENT; how many bytes went (iopt_unmap_iova)."""
    if not length:
        raise Errno(errno.EINVAL)
    if iova + length - 1 > ULONG_MAX:
        raise Errno(errno.EOVERFLOW)
    return table.unmap(iova, iova + length - 1)


def iommufd_option(request: Request) -> int:
    """The one of the context, or the one of an address space (main.c, ioas.c)."""
    command = request.command
    _unsupported(command.reserved)
    if command.option_id == u.IOMMU_OPTION_RLIMIT_MODE:
        _option_rlimit_mode(request)
    elif command.option_id == u.IOMMU_OPTION_HUGE_PAGES:
        _option_huge_pages(request)
    else:
        raise Errno(errno.EOPNOTSUPP)
    if command.op == _GET:
        # Only the value goes back: put_user.
        request.caller.copy_to_user(
            request.address + u.Option.val64.offset, command.val64.to_bytes(8, "little")
        )
    return 0


def _option_rlimit_mode(request: Request) -> None:
    """EOPNOTSUPP for an object, EPERM, EBUSY once there is any object, EINVAL."""
    command, context = request.command, request.context
    _unsupported(command.object_id or command.op not in (_GET, _SET))
    if command.op == _GET:
        command.val64 = int(context.account_mm)
        return
    if not request.caller.credentials.capable(CAP_SYS_RESOURCE):
        raise Errno(errno.EPERM)
    if context.objects:
        raise Errno(errno.EBUSY)
    if command.val64 > 1:
        raise Errno(errno.EINVAL)
    context.account_mm = bool(command.val64)


def _option_huge_pages(request: Request) -> None:
    """ENOENT, EOPNOTSUPP, EINVAL, EADDRINUSE."""
    command = request.command
    table = request.context.get(command.object_id, Ioas).table
    _unsupported(command.op not in (_GET, _SET))
    if command.op == _GET:
        command.val64 = int(table.large_pages)
        return
    if command.val64 > 1:
        raise Errno(errno.EINVAL)
    if command.val64:
        table.large_pages = True
    else:
        table.disable_large_pages()


OPERATIONS = {
    u.IOMMUFD_CMD_DESTROY: Operation(u.Destroy, "id", iommufd_destroy),
    u.IOMMUFD_CMD_IOAS_ALLOC: Operation(u.IoasAlloc, "out_ioas_id", iommufd_ioas_alloc),
    u.IOMMUFD_CMD_IOAS_ALLOW_IOVAS: Operation(
        u.IoasAllowIovas, "allowed_iovas", iommufd_ioas_allow_iovas
    ),
    u.IOMMUFD_CMD_IOAS_COPY: Operation(u.IoasCopy, "src_iova", iommufd_ioas_copy),
    u.IOMMUFD_CMD_IOAS_IOVA_RANGES: Operation(
        u.IoasIovaRanges, "out_iova_alignment", iommufd_ioas_iova_ranges
    ),
    u.IOMMUFD_CMD_IOAS_MAP: Operation(u.IoasMap, "iova", iommufd_ioas_map),
    u.IOMMUFD_CMD_IOAS_MAP_FILE: Operation(u.IoasMapFile, "iova", iommufd_ioas_map_file),
    u.IOMMUFD_CMD_IOAS_CHANGE_PROCESS: Operation(
        u.IoasChangeProcess, "reserved", iommufd_ioas_change_process
    ),
    u.IOMMUFD_CMD_IOAS_UNMAP: Operation(u.IoasUnmap, "length", iommufd_ioas_unmap),
    u.IOMMUFD_CMD_OPTION: Operation(u.Option, "val64", iommufd_option),
}
