# SPDX-License-Identifier: Apache-2.0
"""/dev/iommu: address spaces."""

from __future__ import annotations

import struct

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import (
    E2BIG,
    EADDRINUSE,
    EBUSY,
    EEXIST,
    EFAULT,
    EINVAL,
    EMSGSIZE,
    ENODEV,
    ENOENT,
    ENOTTY,
    ENXIO,
    EOPNOTSUPP,
    EOVERFLOW,
    EPERM,
)
from harness.conformance.suites.iommufd._steps import (
    ALL,
    FEATURE,
    FIXED,
    NOWHERE,
    READ,
    WRITE,
    Context,
    attach,
    open_cdev,
    open_context,
    sized,
)
from harness.conformance.suites.vfio._steps import END, MESSAGES, PAGE, U64
from harness.conformance.suites.vfio_pci._device import MACHINE
from harness.uapi import iommufd as u
from harness.uapi import vfio

_MAIN = "iommufd_fops_ioctl: drivers/iommu/iommufd/main.c, 6.12"
_IOAS = "drivers/iommu/iommufd/ioas.c, 6.12"
_TABLE = "drivers/iommu/iommufd/io_pagetable.c, 6.12"


@case(source=_MAIN, machine=MACHINE, since=FEATURE)
@param(
    "data answer",
    [
        (bytes(12), EINVAL),
        ((4).to_bytes(4, "little"), EINVAL),
        ((11).to_bytes(4, "little") + bytes(8), EINVAL),
        ((12).to_bytes(4, "little") + bytes(8), 0),
        ((16).to_bytes(4, "little") + bytes(12), 0),
        ((16).to_bytes(4, "little") + bytes(8) + b"\1\0\0\0", E2BIG),
        ((12).to_bytes(4, "little") + b"\1" + bytes(7), EOPNOTSUPP),
    ],
    id="{data!r}",
)
def sizes(call: Call, data: bytes, answer: object) -> None:
    """Of a structure: what is missing, and what is too much."""
    expect(open_context(call).ask(u.IOMMU_IOAS_ALLOC, data)[0], answer)


@case(source=_MAIN, machine=MACHINE, since=FEATURE)
def commands(call: Call) -> None:
    """Nowhere, and unknown."""
    context = open_context(call)
    expect(call.ioctl(context.fd, u.IOMMU_IOAS_ALLOC), EFAULT)
    for command in (0x3B7F, 0x3B20, 0x5401, 0x3B80 + 60):
        expect(call.ioctl(context.fd, command, call.buffer(64)), ENOTTY)
    expect(call.read(context.fd, 4), EINVAL)
    expect(call.write(context.fd, b"abcd"), EINVAL)
    expect(call.mmap(PAGE, 0x1, 0x1, context.fd), ENXIO if call.since("7.2") else ENODEV)


@case(source=f"iommufd_object_alloc: {_MAIN}", machine=MACHINE, since=FEATURE)
def numbers(call: Call) -> None:
    """The lowest that is free, from 1; each open has its own."""
    context = open_context(call)
    expect([context.ioas() for _ in range(3)], [1, 2, 3])
    expect(context.destroy(2), 0)
    expect(context.destroy(2), ENOENT)
    expect(context.destroy(0), ENOENT)
    expect(context.ioas(), 2)
    expect(open_context(call).ioas(), 1)


@case(source=f"iommufd_ioas_iova_ranges: {_IOAS}", machine=MACHINE, since=FEATURE)
def ranges(call: Call) -> None:
    """Everything, until a device is there that cannot use it."""
    context = open_context(call)
    ioas = context.ioas()
    expect(context.ranges(ioas, 8), (1, [(0, U64)], 1))
    expect(context.ranges(ioas, 0, EMSGSIZE), (1, [], 1))
    context.ranges(NOWHERE, 8, ENOENT)
    device = open_cdev(call)
    expect(context.bind(device)[0], 0)
    expect(attach(call, device, ioas)[0], 0)
    usable = [(0, MESSAGES - 1), (MESSAGES + 0x100000, END - 1)]
    expect(context.ranges(ioas, 8), (2, usable, PAGE))
    expect(context.ranges(ioas, 1, EMSGSIZE), (2, usable[:1], PAGE))


@case(source=f"iommufd_ioas_map: {_IOAS}; {_TABLE}", machine=MACHINE, since=FEATURE)
@param(
    "iova length flags answer",
    [
        (0x50000, PAGE, ALL, 0),
        (0x10000, 0x2000, ALL, EEXIST),
        (0x11000, 0x2000, ALL, EEXIST),
        (0x50000, 0, ALL, EINVAL),
        (0x50000, 0x800, ALL, 0),
        (0x50800, PAGE, ALL, 0),
        (0x50000, PAGE, FIXED, EINVAL),
        (0x50000, PAGE, ALL | 0x10, EOPNOTSUPP),
        (0x50000, U64, ALL, EOVERFLOW),
        (U64, PAGE, ALL, EOVERFLOW),
        (U64 - PAGE + 1, 2 * PAGE, ALL, EOVERFLOW),
        (U64 - PAGE + 1, PAGE, ALL, 0),
    ],
    id="{iova:#x}+{length:#x}/{flags}",
)
def map_fixed(call: Call, iova: int, length: int, flags: int, answer: object) -> None:
    """Nothing is pinned yet, and any byte can be the first."""
    context = open_context(call)
    ioas = context.ioas()
    memory = call.buffer(0x2000)
    expect(context.map(ioas, 0x10000, 0x2000, memory)[0], 0)
    expect(context.map(ioas, iova, length, memory, flags)[0], answer)


@case(source=f"iommufd_ioas_map: {_IOAS}", machine=MACHINE, since=FEATURE)
def map_refused(call: Call) -> None:
    context = open_context(call)
    ioas = context.ioas()
    memory = call.buffer(PAGE)
    expect(context.map(NOWHERE, 0, PAGE, memory)[0], ENOENT)
    expect(context.map(ioas, 0, PAGE, memory, reserved=1)[0], EOPNOTSUPP)
    expect(context.map(ioas, 0, 2 * PAGE, U64 - PAGE + 1)[0], EOVERFLOW)
    expect(context.map(ioas, 0, PAGE, 0x10000)[0], 0)


@case(source=f"iopt_alloc_iova: {_TABLE}", machine=MACHINE, since=FEATURE)
def map_anywhere(call: Call) -> None:
    """The lowest hole from the second page on, aligned as the memory is."""
    context = open_context(call)
    ioas = context.ioas()
    memory = call.buffer(4 * PAGE)
    result, first = context.map(ioas, 0, PAGE, memory, READ | WRITE)
    expect(result, 0)
    expect(first, PAGE)
    result, second = context.map(ioas, 0, PAGE, memory, READ | WRITE)
    expect(result, 0)
    expect(second, 2 * PAGE)
    expect(context.map(ioas, 0, U64 // 2 + 1, PAGE, READ)[0], EOVERFLOW)


@case(source=f"iommufd_ioas_unmap: {_IOAS}; {_TABLE}", machine=MACHINE, since=FEATURE)
def unmap(call: Call) -> None:
    context = open_context(call)
    ioas = context.ioas()
    memory = call.buffer(0x2000)
    result, length = context.unmap(ioas, 0, U64)
    expect(result, 0)
    expect(length, 0)
    expect(context.map(ioas, 0x10000, 0x2000, memory)[0], 0)
    expect(context.unmap(ioas, 0x10000, 0x1000)[0], ENOENT)
    expect(context.unmap(ioas, 0x11000, 0x1000)[0], ENOENT)
    expect(context.unmap(ioas, 0x10000, 0)[0], EINVAL)
    expect(context.unmap(ioas, U64 - PAGE + 1, 2 * PAGE)[0], EOVERFLOW)
    expect(context.unmap(NOWHERE, 0, PAGE)[0], ENOENT)
    result, length = context.unmap(ioas, 0x10000, 0x2000)
    expect(result, 0)
    expect(length, 0x2000)
    expect(context.unmap(ioas, 0x10000, 0x2000)[0], ENOENT)
    for iova in (0x200000, 0x204000):
        expect(context.map(ioas, iova, PAGE, memory)[0], 0)
    result, length = context.unmap(ioas, 0x200000, 0x6000)
    expect(result, 0)
    expect(length, 0x2000)


@case(source=f"iommufd_ioas_copy: {_IOAS}", machine=MACHINE, since=FEATURE)
def copy(call: Call) -> None:
    """The memory stays, whatever becomes of the first mapping."""
    context = open_context(call)
    source, target = context.ioas(), context.ioas()
    memory = call.buffer(0x4000)

    def copied(length: int, to: int, start: int, flags: int = ALL) -> object:
        given = sized(
            u.IoasCopy,
            flags=flags,
            dst_ioas_id=target,
            src_ioas_id=source,
            length=length,
            dst_iova=to,
            src_iova=start,
        )
        return context.ask(u.IOMMU_IOAS_COPY, given)[0]

    expect(copied(PAGE, 0x300000, 0x400000), ENOENT)
    expect(context.map(source, 0x400000, 0x4000, memory)[0], 0)
    expect(copied(0x4000, 0x300000, 0x400000), 0)
    expect(copied(PAGE, 0x500000, 0x401000), 0)
    expect(copied(0x4000, 0x300000, 0x400000), EEXIST)
    expect(copied(0x5000, 0x600000, 0x400000), ENOENT)
    expect(copied(0, 0x600000, 0x400000), EINVAL)
    expect(copied(PAGE, 0x600000, 0x400000, 0x20), EOPNOTSUPP)
    expect(copied(PAGE, 0x600000, 0x400000, FIXED), EINVAL)
    expect(context.map(source, 0x800000, PAGE, memory, FIXED | READ)[0], 0)
    expect(copied(PAGE, 0x600000, 0x800000), EPERM)
    expect(context.unmap(source, 0x400000, 0x4000)[0], 0)
    result, length = context.unmap(target, 0x300000, 0x4000)
    expect(result, 0)
    expect(length, 0x4000)


def _allow(context: Context, ioas: int, *ranges: tuple[int, int], reserved: int = 0) -> object:
    place = context.call.buffer(PAGE)
    data = b"".join(bytes(u.IovaRange(start, last)) for start, last in ranges)
    if data:
        expect(context.call.poke(place, data))
    given = sized(
        u.IoasAllowIovas,
        ioas_id=ioas,
        num_iovas=len(ranges),
        reserved=reserved,
        allowed_iovas=place.address,
    )
    return context.ask(u.IOMMU_IOAS_ALLOW_IOVAS, given)[0]


@case(source=f"iommufd_ioas_allow_iovas: {_IOAS}", machine=MACHINE, since=FEATURE)
def allow(call: Call) -> None:
    """Where the kernel may choose, and what no device may take away."""
    context = open_context(call)
    ioas = context.ioas()
    memory = call.buffer(PAGE)
    expect(_allow(context, NOWHERE), ENOENT)
    expect(_allow(context, ioas, (0x2000, 0x1000)), EINVAL)
    expect(_allow(context, ioas, (0x1000, 0x1000)), EINVAL)
    expect(_allow(context, ioas, (0, 0xFFF), (0x800, 0x1FFF)), EINVAL)
    expect(_allow(context, ioas, (0, 0xFFF), reserved=1), EOPNOTSUPP)
    expect(_allow(context, ioas, (0x100000, 0x1FFFFF)), 0)
    expect(context.map(ioas, 0, PAGE, memory, READ)[1], 0x100000)
    expect(context.map(ioas, 0x2000000, PAGE, memory)[0], 0)
    expect(_allow(context, ioas, (MESSAGES, MESSAGES + 0xFFF)), 0)
    device = open_cdev(call)
    expect(context.bind(device)[0], 0)
    expect(attach(call, device, ioas)[0], EADDRINUSE)
    expect(_allow(context, ioas), 0)
    expect(attach(call, device, ioas)[0], 0)
    expect(_allow(context, ioas, (MESSAGES, MESSAGES + 0xFFF)), EADDRINUSE)


@case(source=f"iommufd_option: {_IOAS}", machine=MACHINE, since=FEATURE)
def options(call: Call) -> None:
    context = open_context(call)

    def option(number: int, op: int, thing: int, value: int = 0, reserved: int = 0) -> object:
        given = sized(
            u.Option, option_id=number, op=op, reserved=reserved, object_id=thing, val64=value
        )
        return context.ask(u.IOMMU_OPTION, given)[0]

    limit, huge = u.IOMMU_OPTION_RLIMIT_MODE, u.IOMMU_OPTION_HUGE_PAGES
    store, load = u.IOMMU_OPTION_OP_SET, u.IOMMU_OPTION_OP_GET
    expect(option(limit, store, 0, 2), EINVAL)
    expect(option(limit, store, 0, 1), 0)
    ioas = context.ioas()
    expect(option(limit, load, 0), 0)
    expect(option(limit, store, 0, 0), EBUSY)
    expect(option(limit, load, ioas), EOPNOTSUPP)
    expect(option(limit, load, 0, reserved=1), EOPNOTSUPP)
    expect(option(limit, 5, 0), EOPNOTSUPP)
    expect(option(huge, load, ioas), 0)
    expect(option(huge, store, ioas, 0), 0)
    expect(option(huge, store, ioas, 7), EINVAL)
    expect(option(huge, 5, ioas), EOPNOTSUPP)
    expect(option(huge, load, NOWHERE), ENOENT)
    expect(option(9, load, 0), EOPNOTSUPP)


@case(source=f"iopt_table_add_domain: {_TABLE}", machine=MACHINE, since=FEATURE)
def attached(call: Call) -> None:
    """Memory is pinned then, and addresses are pages."""
    context, device = open_context(call), open_cdev(call)
    expect(context.bind(device)[0], 0)
    ioas = context.ioas()
    memory = call.buffer(2 * PAGE)
    expect(context.map(ioas, 0, PAGE, 0x10000)[0], 0)
    expect(attach(call, device, ioas)[0], EFAULT)
    expect(context.unmap(ioas, 0, PAGE)[0], 0)
    expect(context.map(ioas, MESSAGES, PAGE, memory)[0], 0)
    expect(attach(call, device, ioas)[0], EADDRINUSE)
    expect(context.unmap(ioas, MESSAGES, PAGE)[0], 0)
    expect(attach(call, device, ioas)[0], 0)
    expect(context.map(ioas, 0, PAGE, 0x10000)[0], EFAULT)
    expect(context.map(ioas, 0x800, PAGE, memory)[0], EINVAL)
    expect(context.map(ioas, 0, 0x800, memory)[0], EINVAL)
    expect(context.map(ioas, MESSAGES, PAGE, memory)[0], EINVAL)
    expect(context.map(ioas, END, PAGE, memory)[0], EINVAL)
    expect(context.map(ioas, 0, PAGE, memory)[0], 0)


@case(source="iopt_calculate_iova_alignment: io_pagetable.c, 6.12", machine=MACHINE, since=FEATURE)
def alignment_of_small_pages(call: Call) -> None:
    """Without large pages all begins and ends at pages, what is mapped already included."""
    context = open_context(call)
    ioas, memory = context.ioas(), call.buffer(2 * PAGE)
    expect(context.map(ioas, 0, 0x800, memory)[0], 0)
    given = {"option_id": u.IOMMU_OPTION_HUGE_PAGES, "object_id": ioas}
    small = sized(u.Option, op=u.IOMMU_OPTION_OP_SET, val64=0, **given)
    expect(context.ask(u.IOMMU_OPTION, small)[0], EADDRINUSE)
    expect(context.ranges(ioas, 1)[2], 1)
    expect(context.unmap(ioas, 0, 0x800)[0], 0)
    expect(context.ask(u.IOMMU_OPTION, small)[0], 0)
    expect(context.ranges(ioas, 1)[2], PAGE)
    expect(context.map(ioas, 0, 0x800, memory)[0], EINVAL)
    expect(context.map(ioas, 0, PAGE, memory + 0x10)[0], EINVAL)
    expect(context.map(ioas, 0x800, PAGE, memory)[0], EINVAL)
    large = sized(u.Option, op=u.IOMMU_OPTION_OP_SET, val64=1, **given)
    expect(context.ask(u.IOMMU_OPTION, large)[0], 0)
    expect(context.ranges(ioas, 1)[2], 1)
    expect(context.map(ioas, 0x800, 0x10, memory)[0], 0)


@case(
    source="iopt_alloc_pages: drivers/iommu/iommufd/pages.c, 6.12", machine=MACHINE, since=FEATURE
)
def map_of_all_addresses(call: Call) -> None:
    """Its length is too large, and it overflows; the later kernel says the second first."""
    context = open_context(call)
    ioas = context.ioas()
    wanted = EOVERFLOW if call.since("7.2") else EINVAL
    expect(context.map(ioas, PAGE, U64 - PAGE + 1, call.buffer(PAGE))[0], wanted)
    expect(context.map(ioas, PAGE, PAGE, U64 - PAGE + 1)[0], EOVERFLOW)


# --- in place of a container

_COMPAT = "drivers/iommu/iommufd/vfio_compat.c, 6.12"


@case(source=f"iommufd_vfio_ioctl: {_COMPAT}", machine=MACHINE, since=FEATURE)
def compat_alone(call: Call) -> None:
    """ENODEV before there is an address space for it."""
    context = open_context(call)
    fd = context.fd
    expect(call.ioctl(fd, vfio.VFIO_GET_API_VERSION), 0)
    for extension, answer in ((0, 0), (1, 1), (2, 0), (3, 1), (6, 0), (8, 0), (9, 1), (10, 0)):
        expect(call.ioctl(fd, vfio.VFIO_CHECK_EXTENSION, extension), answer)
    expect(call.ioctl(fd, vfio.VFIO_CHECK_EXTENSION, 4), ENODEV)
    expect(call.ioctl(fd, vfio.VFIO_SET_IOMMU, 3), ENODEV)
    expect(call.ioctl(fd, vfio.VFIO_SET_IOMMU, 6), EINVAL)
    expect(context.ask(vfio.VFIO_IOMMU_GET_INFO, vfio.IommuType1Info(16, 0, 0))[0], ENODEV)
    expect(context.ask(vfio.VFIO_IOMMU_MAP_DMA, vfio.DmaMap(32, 3, 0, 0, PAGE))[0], ENODEV)
    expect(context.ask(vfio.VFIO_IOMMU_UNMAP_DMA, vfio.DmaUnmap(24, 0, 0, PAGE))[0], ENODEV)
    expect(call.ioctl(fd, vfio.VFIO_IOMMU_DIRTY_PAGES, call.buffer(64)), ENOTTY)


@case(source=f"iommufd_vfio_iommu_get_info: {_COMPAT}", machine=MACHINE, since=FEATURE)
def compat_info(call: Call) -> None:
    """The second capability begins at a multiple of 8; each comes if there is room for it."""
    context = open_context(call)
    expect(_compat_ioas(context, u.IOMMU_VFIO_IOAS_SET, context.ioas()), 0)
    first = struct.pack("<HHI", vfio.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1, 0x28) + b"\xff" * 4
    second = struct.pack("<HHIII", vfio.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1, 0, 1, 0)
    for argsz in (0x18, 0x23, 0x24, 0x28, 0x47, 0x48):
        given = struct.pack("<IIQII", argsz, 0, 0, 0, 0).ljust(0x48, b"\xee")
        result, data = context.ask(vfio.VFIO_IOMMU_GET_INFO, given)
        expect(result, 0)
        expect(struct.unpack_from("<II", data), (0x48, 3))
        expect(struct.unpack_from("<I", data, 16)[0], 0x18 if argsz == 0x48 else 0)
        linked = first if argsz >= 0x28 else first[:4] + bytes(4) + first[8:]
        expect(data[0x18:0x24], linked if argsz >= 0x24 else b"\xee" * 12)
        expect(data[0x24:0x28], b"\xee" * 4)
        whole = second + struct.pack("<QQ", 0, U64)
        expect(data[0x28:], whole if argsz == 0x48 else b"\xee" * 0x20)


def _compat_ioas(context: Context, op: int, ioas: int = 0, reserved: int = 0) -> object:
    given = sized(u.VfioIoas, ioas_id=ioas, op=op, reserved=reserved)
    return context.ask(u.IOMMU_VFIO_IOAS, given)[0]


@case(source=f"iommufd_vfio_ioas: {_COMPAT}", machine=MACHINE, since=FEATURE)
def compat_ioas(call: Call) -> None:
    context = open_context(call)
    get, store, clear = u.IOMMU_VFIO_IOAS_GET, u.IOMMU_VFIO_IOAS_SET, u.IOMMU_VFIO_IOAS_CLEAR
    expect(_compat_ioas(context, get), ENODEV)
    expect(_compat_ioas(context, store, NOWHERE), ENOENT)
    expect(_compat_ioas(context, store, context.ioas()), 0)
    expect(_compat_ioas(context, get), 0)
    expect(call.ioctl(context.fd, vfio.VFIO_CHECK_EXTENSION, 4), 1)
    for _ in range(2):
        expect(_compat_ioas(context, clear), 0)
    expect(_compat_ioas(context, get), ENODEV)
    expect(_compat_ioas(context, 7), EOPNOTSUPP)
    expect(_compat_ioas(context, get, reserved=1), EOPNOTSUPP)


@case(source=_COMPAT, machine=MACHINE, since=FEATURE)
def compat_mapping(call: Call) -> None:
    """As type 1 version 2 does it, but a range that cuts is ENOENT."""
    context = open_context(call)
    ioas = context.ioas()
    memory = call.buffer(0x2000)
    expect(_compat_ioas(context, u.IOMMU_VFIO_IOAS_SET, ioas), 0)
    for kind, answer in ((3, 0), (3, 0), (6, EINVAL), (8, EINVAL)):
        expect(call.ioctl(context.fd, vfio.VFIO_SET_IOMMU, kind), answer)

    def mapped(iova: int, size: int, flags: int = 3, argsz: int = 32) -> object:
        given = vfio.DmaMap(argsz, flags, memory.address, iova, size)
        return context.ask(vfio.VFIO_IOMMU_MAP_DMA, given)[0]

    def unmapped(iova: int, size: int, answer: object, left: int, flags: int = 0) -> None:
        given = vfio.DmaUnmap(24, flags, iova, size)
        result, data = context.ask(vfio.VFIO_IOMMU_UNMAP_DMA, given)
        expect(result, answer)
        expect(vfio.DmaUnmap.from_buffer_copy(data).size, left)

    expect(mapped(0x700000, 0x2000), 0)
    expect(mapped(0x700000, 0x2000), EEXIST)
    expect(mapped(0x710000, PAGE, 8), EINVAL)
    expect(mapped(0x710000, PAGE, 4), EINVAL)
    expect(mapped(0x710000, PAGE, argsz=31), EINVAL)
    expect(mapped(0x710000, 0), EINVAL)
    expect(mapped(0x710000, PAGE, 0), 0)
    unmapped(0x700000, 0x1000, ENOENT, 0)
    unmapped(0x700000, 0, EINVAL, 0)
    unmapped(0x700000, 0x2000, 0, 0x2000)
    unmapped(0x700000, 0x2000, 0, 0)
    unmapped(0, 0x1000, EINVAL, 0x1000, vfio.VFIO_DMA_UNMAP_FLAG_ALL)
    unmapped(0, 0, 0, PAGE, vfio.VFIO_DMA_UNMAP_FLAG_ALL)
    unmapped(0, 0x1000, EINVAL, 0x1000, 8)


@case(source=f"iopt_cut_iova: {_COMPAT}", machine=MACHINE, since=FEATURE)
def compat_version_1(call: Call) -> None:
    """Exactly the range goes."""
    context = open_context(call)
    expect(_compat_ioas(context, u.IOMMU_VFIO_IOAS_SET, context.ioas()), 0)
    expect(call.ioctl(context.fd, vfio.VFIO_SET_IOMMU, 1), 0)
    memory = call.buffer(0x4000)
    given = vfio.DmaMap(32, 3, memory.address, 0x10000, 0x4000)
    expect(context.ask(vfio.VFIO_IOMMU_MAP_DMA, given)[0], 0)
    for iova, size in ((0x11000, 0x1000), (0x10000, 0x4000)):
        asked = vfio.DmaUnmap(24, 0, iova, size)
        result, data = context.ask(vfio.VFIO_IOMMU_UNMAP_DMA, asked)
        expect(result, 0)
        expect(vfio.DmaUnmap.from_buffer_copy(data).size, 0x1000 if size == 0x1000 else 0x3000)
