# SPDX-License-Identifier: Apache-2.0
"""mbochs, a display whose mode is in registers, and whose picture is a dmabuf."""

from __future__ import annotations

import struct

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import (
    EACCES,
    EBADF,
    EFAULT,
    EINVAL,
    EMFILE,
    ENOENT,
    ENOMEM,
    ENOTTY,
    EOPNOTSUPP,
)
from harness.conformance.results import Result
from harness.conformance.suites._steps import no_more_fds
from harness.conformance.suites.iommufd._steps import open_context
from harness.conformance.suites.samples._device import MACHINE, open_sample, query_plane
from harness.conformance.suites.vfio_pci._device import (
    INTX,
    NONE,
    TRIGGER,
    ask,
    irq_info,
    region_info,
    set_irqs,
)
from harness.uapi import dma_buf as d
from harness.uapi import vfio as u
from harness.uapi.fs import POLLIN, POLLOUT, RLIMIT_NOFILE, SEEK_CUR, SEEK_END, SEEK_SET

_MBOCHS = "samples/vfio-mdev/mbochs.c, 6.1"
_DMA_BUF = "drivers/dma-buf/dma-buf.c, 6.1"
_PAGE = 4096
_REFERENCES = "/sys/module/mbochs/refcnt"
_MMIO, _EDID, _MEMORY = _PAGE, 2 * _PAGE, 3 * _PAGE
_BLOB = _EDID + 2048
_VBE = _MMIO + 0x500
_XRES, _YRES, _BPP, _ENABLE, _VIRT_WIDTH, _X_OFFSET, _Y_OFFSET = 1, 2, 3, 4, 6, 8, 9
_TYPES = [("small", 4, 800, 600), ("medium", 16, 1920, 1440), ("large", 64, 0, 0)]
_READ, _READ_WRITE, _SHARED, _PRIVATE = 1, 3, 1, 2
_EDID_INDEX = 9
_CAPS, _CAP_SIZE = 8, 16
_PROBE, _DMABUF, _REGION = 1, 2, 4
_PRIMARY, _CURSOR = 1, 2
_XR24 = 0x34325258
#: Of a picture of 640 by 480 pixels, in bytes.
_SIZE = 640 * 480 * 4
_NO_PICTURE = (60, _DMABUF, _PRIMARY, *(0,) * 11)


def _open(call: Call, kind: str = "small") -> Fd:
    return open_sample(call, "mbochs", f"mbochs-{kind}")


def _set(call: Call, fd: Fd, register: int, value: int) -> None:
    expect(call.pwrite(fd, struct.pack("<H", value), _VBE + 2 * register), 2)


def _get(call: Call, fd: Fd, register: int) -> int:
    (value,) = struct.unpack("<H", expect(call.pread(fd, 2, _VBE + 2 * register)))
    return int(value)


def _show(call: Call, fd: Fd, width: int = 640, height: int = 480) -> None:
    for register, value in ((_XRES, width), (_YRES, height), (_BPP, 32), (_ENABLE, 1)):
        _set(call, fd, register, value)


def _plane(
    call: Call, fd: Fd, flags: int = _DMABUF, argsz: int = 60
) -> tuple[Result[int], tuple[int, ...]]:
    return query_plane(call, fd, flags, argsz, _PRIMARY)


def _picture(call: Call, fd: Fd) -> int:
    """The number of a new picture's dmabuf: the first who asks is refused."""
    expect(_plane(call, fd)[0], ENOMEM)
    result, found = _plane(call, fd)
    expect(result, 0)
    return found[-1]


def _get_dmabuf(call: Call, fd: Fd, number: int) -> Result[int]:
    return ask(call, fd, u.VFIO_DEVICE_GET_GFX_DMABUF, struct.pack("<I", number))[0]


def _dmabuf(call: Call) -> tuple[Fd, Fd]:
    """The device, and a dmabuf of 640 by 480 pixels."""
    fd = _open(call)
    _show(call, fd)
    number = expect(_get_dmabuf(call, fd, _picture(call, fd)))
    return fd, Fd(number, "dmabuf")


@case(source=f"mbochs_create_config_space, handle_pci_cfg_write: {_MBOCHS}", machine=MACHINE)
@param("kind mbytes", [row[:2] for row in _TYPES])
def config(call: Call, kind: str, mbytes: int) -> None:
    """BAR 0 is the memory, BAR 2 the registers; nothing else can be written to."""
    fd = _open(call, kind)
    expect(call.pread(fd, 12, 0), bytes.fromhex("341211110300000001008003"))
    expect(call.pread(fd, 4, 0x2C), bytes.fromhex("f41a0011"))
    expect(call.pread(fd, 12, 0x10), bytes.fromhex("080000000000000000000000"))
    for bar, size, flags in ((0x10, mbytes << 20, 8), (0x18, _PAGE, 0)):
        expect(call.pwrite(fd, b"\xff" * 4, bar), 4)
        expect(call.pread(fd, 4, bar), struct.pack("<I", (-size & 0xFFFFFFFF) | flags))
        expect(call.pwrite(fd, struct.pack("<I", 0xFE12345F), bar), 4)
        expect(call.pread(fd, 4, bar), struct.pack("<I", 0xFE123450 | flags))
    for offset in (0, 4, 0x14, 0x3C):
        before = expect(call.pread(fd, 4, offset))
        expect(call.pwrite(fd, b"\xff" * 4, offset), 4)
        expect(call.pread(fd, 4, offset), before)


@case(source=f"mbochs_get_device_info, mbochs_get_irq_info: {_MBOCHS}", machine=MACHINE)
def a_region_more_and_no_interrupts(call: Call) -> None:
    """Interrupts can be asked for before GET_INFO was."""
    fd = _open(call)
    result, found = irq_info(call, fd, INTX)
    expect(result, 0)
    expect((found.flags, found.count), (0, 0))
    expect(irq_info(call, fd, 4)[0], 0)
    expect(irq_info(call, fd, 5)[0], EINVAL)
    expect(irq_info(call, fd, INTX, 15)[0], EINVAL)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 0), EINVAL)
    result, data = ask(call, fd, u.VFIO_DEVICE_GET_INFO, u.DeviceInfo(16))
    expect(result, 0)
    expect(struct.unpack("<IIII", data), (16, 2, 10, 5))
    expect(ask(call, fd, u.VFIO_DEVICE_GET_INFO, u.DeviceInfo(15))[0], EINVAL)
    expect(call.ioctl(fd, u.VFIO_DEVICE_IOEVENTFD, call.buffer(64)), ENOTTY)


@case(source=f"mbochs_get_region_info: {_MBOCHS}", machine=MACHINE)
@param("kind mbytes", [row[:2] for row in _TYPES])
def regions(call: Call, kind: str, mbytes: int) -> None:
    fd = _open(call, kind)
    for index, wanted in (
        (0, (7, mbytes << 20, _MEMORY)),
        (1, (0, 0, 0)),
        (2, (3, _PAGE, _MMIO)),
        (6, (0, 0, 0)),
        (7, (3, 255, 0)),
        (8, (0, 0, 0)),
    ):
        result, data = region_info(call, fd, index)
        expect(result, 0)
        argsz, flags, number, _, size, offset = struct.unpack_from("<IIIIQQ", data)
        expect((argsz, number), (32, index))
        expect((flags, size, offset), wanted)
    expect(region_info(call, fd, 10)[0], EINVAL)
    expect(region_info(call, fd, 0, 31)[0], EINVAL)


@case(source=f"mbochs_get_region_info: {_MBOCHS}", machine=MACHINE)
def edid_region(call: Call) -> None:
    """It has a type of its own, which is told even where there is no room (before 6.19)."""
    fd = _open(call)
    result, data = region_info(call, fd, _EDID_INDEX, 48)
    expect(result, 0)
    expect(struct.unpack_from("<IIIIQQ", data), (48, 3 | _CAPS, 9, 32, _PAGE, _EDID))
    expect(struct.unpack_from("<HHIII", data, 32), (u.VFIO_REGION_INFO_CAP_TYPE, 1, 0, 1, 1))
    expect(data[48:], b"\xee" * 16)
    result, data = region_info(call, fd, _EDID_INDEX)
    expect(result, 0)
    cap_offset = 0 if call.since("7.2") else 32
    expect(struct.unpack_from("<IIII", data), (48, 3 | _CAPS, 9, cap_offset))
    expect(data[32:], b"\xee" * 32)


@case(source=f"mbochs_ioctl: {_MBOCHS}", machine=MACHINE)
@param("index", [0, _EDID_INDEX])
def more_room_than_it_takes(call: Call, index: int) -> None:
    """It was refused before 6.19."""
    fd = _open(call)
    expect(region_info(call, fd, index, 49)[0], 0 if call.since("7.2") else EINVAL)


@case(source=f"mbochs_reset, handle_mmio_write, handle_mmio_read: {_MBOCHS}", machine=MACHINE)
@param("kind mbytes", [row[:2] for row in _TYPES])
def display_registers(call: Call, kind: str, mbytes: int) -> None:
    """All of them can be written to, by 2 bytes, until a reset."""
    fd = _open(call, kind)
    initial = (0xB0C5, 0, 0, 0, 0, 0, 0, 0, 0, 0, mbytes * 16)
    expect(tuple(_get(call, fd, register) for register in range(11)), initial)
    for register in range(11):
        _set(call, fd, register, 0xA500 + register)
    found = tuple(_get(call, fd, register) for register in range(11))
    expect(found, tuple(0xA500 + register for register in range(11)))
    expect(call.ioctl(fd, u.VFIO_DEVICE_RESET), 0)
    expect(tuple(_get(call, fd, register) for register in range(11)), initial)


@case(source=f"handle_mmio_write, handle_mmio_read: {_MBOCHS}", machine=MACHINE)
def registers_by_other_sizes(call: Call) -> None:
    """Nothing is read, and nothing is written."""
    fd = _open(call)
    expect(call.pread(fd, 4, _VBE), bytes(4))
    expect(call.pread(fd, 1, _VBE), b"\0")
    expect(call.pwrite(fd, b"\xff" * 4, _VBE), 4)
    expect(call.pwrite(fd, b"\xff", _VBE + 2), 1)
    expect(_get(call, fd, 0), 0xB0C5)
    expect(_get(call, fd, 1), 0)
    expect(call.pread(fd, 6, _VBE), b"\0\0\0\0\0\0")
    for place in (_MMIO + 0x400, _MMIO + 0x600, _VBE + 22, _MMIO + _PAGE - 2):
        expect(call.pwrite(fd, b"\xff\xff", place), 2)
        expect(call.pread(fd, 2, place), b"\0\0")


@case(source=f"handle_edid_regs: {_MBOCHS}", machine=MACHINE)
@param("kind mbytes width height", _TYPES)
def edid_registers(call: Call, kind: str, mbytes: int, width: int, height: int) -> None:
    """Size and state of the link can be written to; a reset leaves them."""
    fd = _open(call, kind)
    expect(
        struct.unpack("<6I", expect(call.pread(fd, 24, _EDID))), (2048, 1024, 0, width, height, 0)
    )
    expect(call.pwrite(fd, struct.pack("<6I", 1, 2, 3, 4, 5, 6), _EDID), 24)
    expect(call.pwrite(fd, b"\xff\xff", _EDID + 8), 2)
    expect(call.pwrite(fd, b"\xff" * 4, _EDID + 24), 4)
    expect(call.ioctl(fd, u.VFIO_DEVICE_RESET), 0)
    expect(
        struct.unpack("<6I", expect(call.pread(fd, 24, _EDID))), (2048, 1024, 3, width, height, 6)
    )


@case(source=f"handle_edid_blob, handle_mmio_read: {_MBOCHS}", machine=MACHINE)
def monitor(call: Call) -> None:
    """The guest sees in BAR 2 as much as the program says, while it says that the link is up."""
    fd = _open(call)
    blob = bytes(range(1, 129))
    expect(call.pwrite(fd, blob, _BLOB), 128)
    expect(call.pread(fd, 128, _BLOB), blob)
    expect(call.pread(fd, 8, _MMIO), bytes(8))
    expect(call.pwrite(fd, struct.pack("<I", 64), _EDID + 8), 4)
    expect(call.pread(fd, 8, _MMIO), bytes(8))
    expect(call.pwrite(fd, struct.pack("<I", u.VFIO_DEVICE_GFX_LINK_STATE_UP), _EDID + 20), 4)
    expect(call.pread(fd, 128, _MMIO), blob[:64] + bytes(64))
    expect(call.pwrite(fd, b"\xff" * 4, _MMIO), 4)
    expect(call.pread(fd, 4, _MMIO), blob[:4])
    expect(call.pwrite(fd, struct.pack("<I", 63), _EDID + 8), 4)
    expect(call.pread(fd, 8, _MMIO + 60), blob[60:64] + bytes(4))
    expect(call.pwrite(fd, struct.pack("<I", 0xFFFFFFFF), _EDID + 8), 4)
    expect(call.pread(fd, 8, _MMIO + 124), blob[124:] + bytes(4))
    expect(call.pread(fd, 4, _MMIO + 0x400), bytes(4))
    expect(call.pwrite(fd, struct.pack("<I", u.VFIO_DEVICE_GFX_LINK_STATE_DOWN), _EDID + 20), 4)
    expect(call.pread(fd, 8, _MMIO), bytes(8))
    expect(call.pwrite(fd, b"\x77" * 8, _BLOB + 1020), 8)
    expect(call.pread(fd, 4, _BLOB + 1020), b"\x77" * 4)


@case(source=f"mdev_access: {_MBOCHS}", machine=MACHINE)
@param("place", [0xFF, 0x100, 0xFFC, _MEMORY + (4 << 20), 1 << 40], id="{place:#x}")
def outside(call: Call, place: int) -> None:
    fd = _open(call)
    expect(call.pread(fd, 1, place), EFAULT)
    expect(call.pwrite(fd, b"\xff", place), EFAULT)
    expect(call.pread(fd, 0, place), b"")


@case(source=f"mdev_access: {_MBOCHS}", machine=MACHINE)
def memory_by_read_and_write(call: Call) -> None:
    """What a mapping has there is two pages further on."""
    fd = _open(call)
    expect(call.pwrite(fd, b"\x5a" * 7, _MEMORY + 0x101), 7)
    expect(call.pread(fd, 16, _MEMORY + 0xFC), bytes(5) + b"\x5a" * 7 + bytes(4))
    pages = expect(call.mmap(16 * _PAGE, _READ_WRITE, _SHARED, fd, _MEMORY))
    expect(call.load(pages + 0x104, 4), 0)
    expect(call.load(pages + 2 * _PAGE + 0x104, 4), 0x5A5A5A5A)
    expect(call.store(pages + 3 * _PAGE, 4, 0x04030201), None)
    expect(call.pread(fd, 4, _MEMORY + _PAGE), b"\1\2\3\4")


@case(source=f"mbochs_mmap: {_MBOCHS}", machine=MACHINE)
@param(
    "offset length flags",
    [
        (0, _PAGE, _SHARED),
        (_MMIO, _PAGE, _SHARED),
        (_EDID, _PAGE, _SHARED),
        (_MEMORY + _PAGE, _PAGE, _SHARED),
        (_MEMORY, (4 << 20) + _PAGE, _SHARED),
        (_MEMORY, _PAGE, _PRIVATE),
    ],
    id="{offset:#x}-{length:#x}-{flags}",
)
def cannot_be_mapped(call: Call, offset: int, length: int, flags: int) -> None:
    expect(call.mmap(length, _READ_WRITE, flags, _open(call), offset), EINVAL)


@case(source=f"mbochs_query_gfx_plane: {_MBOCHS}", machine=MACHINE)
def dmabufs_and_no_regions(call: Call) -> None:
    fd = _open(call)
    expect(_plane(call, fd, _PROBE | _DMABUF)[0], 0)
    for flags in (0, 1, 4, 5, 6, 7, 8, 10, 11):
        expect(_plane(call, fd, flags)[0], EINVAL)
    expect(_plane(call, fd, _DMABUF, 59)[0], EINVAL)
    expect(call.ioctl(fd, u.VFIO_DEVICE_QUERY_GFX_PLANE, 0), EFAULT)
    expect(call.ioctl(fd, u.VFIO_DEVICE_GET_GFX_DMABUF, 0), EFAULT)


@case(source=f"mbochs_query_gfx_plane: {_MBOCHS}", machine=MACHINE)
def picture(call: Call) -> None:
    """Who asks first for a new picture is refused; each has a number of its own, and keeps it."""
    fd = _open(call)
    result, found = _plane(call, fd)
    expect(result, 0)
    expect(found, _NO_PICTURE)
    _show(call, fd)
    expect(_picture(call, fd), 1)
    shown = (60, _DMABUF, _PRIMARY, _XR24, 0, 640, 480, 2560, _SIZE, 0, 0, 0, 0, 1)
    expect(_plane(call, fd)[1], shown)
    expect(query_plane(call, fd, _DMABUF, 60, _CURSOR)[1], (60, _DMABUF, _CURSOR, *(0,) * 11))
    _set(call, fd, _XRES, 800)
    _set(call, fd, _YRES, 600)
    expect(_picture(call, fd), 2)
    _show(call, fd)
    expect(_plane(call, fd)[1], shown)
    expect(call.ioctl(fd, u.VFIO_DEVICE_RESET), 0)
    expect(_plane(call, fd)[1], _NO_PICTURE)


@case(source=f"mbochs_check_framebuffer: {_MBOCHS}", machine=MACHINE)
@param(
    "what registers",
    [
        ("disabled", {_ENABLE: 0}),
        ("other-flags", {_ENABLE: 0xFFFE}),
        ("16-bits", {_BPP: 16}),
        ("24-bits", {_BPP: 24}),
        ("narrow", {_XRES: 63}),
        ("low", {_YRES: 63}),
        ("large", {_XRES: 1024, _YRES: 1025}),
        ("wide", {_VIRT_WIDTH: 8192}),
        ("far-behind", {_Y_OFFSET: 1159}),
    ],
    id="{what}",
)
def no_picture(call: Call, what: str, registers: dict[int, int]) -> None:
    """What cannot be shown is no error."""
    fd = _open(call)
    _show(call, fd)
    for register, value in registers.items():
        _set(call, fd, register, value)
    result, found = _plane(call, fd)
    expect(result, 0)
    expect(found, _NO_PICTURE)


@case(source=f"mbochs_check_framebuffer: {_MBOCHS}", machine=MACHINE)
@param(
    "what registers width height stride",
    [
        ("smallest", {_XRES: 64, _YRES: 64}, 64, 64, 256),
        ("largest", {_XRES: 1024, _YRES: 1024}, 1024, 1024, 4096),
        ("virtual-width", {_VIRT_WIDTH: 1024}, 640, 480, 4096),
        ("narrow-virtual-width", {_VIRT_WIDTH: 639}, 640, 480, 2560),
        ("other-flags", {_ENABLE: 0x41}, 640, 480, 2560),
        ("last-lines", {_Y_OFFSET: 1158}, 640, 480, 2560),
    ],
    id="{what}",
)
def pictures(
    call: Call, what: str, registers: dict[int, int], width: int, height: int, stride: int
) -> None:
    fd = _open(call)
    _show(call, fd)
    for register, value in registers.items():
        _set(call, fd, register, value)
    expect(_picture(call, fd), 1)
    expect(_plane(call, fd)[1][5:9], (width, height, stride, stride * height))


@case(source=f"mbochs_get_gfx_dmabuf, mbochs_dmabuf_export: {_MBOCHS}", machine=MACHINE)
def no_dmabuf(call: Call) -> None:
    """Of no picture, and of one that does not begin with a page."""
    fd = _open(call)
    for number in (0, 1, 0xFFFFFFFF):
        expect(_get_dmabuf(call, fd, number), ENOENT)
    _show(call, fd)
    expect(_plane(call, fd)[0], ENOMEM)
    _set(call, fd, _X_OFFSET, 1)
    number = _picture(call, fd)
    expect(number, 2)
    expect(_get_dmabuf(call, fd, number), EINVAL)
    _set(call, fd, _X_OFFSET, 1024)
    third = Fd(expect(_get_dmabuf(call, fd, _picture(call, fd))), "dmabuf")
    expect(call.close(third), None)
    expect(call.close(Fd(expect(_get_dmabuf(call, fd, 3)), "dmabuf")), None)


@case(source=f"dma_buf_fd: {_DMA_BUF}; mbochs_get_gfx_dmabuf: {_MBOCHS}", machine=MACHINE)
def no_fd_for_the_dmabuf(call: Call) -> None:
    """It is exported all the same, and the next who asks for it is given it."""
    fd = _open(call)
    _show(call, fd)
    number = _picture(call, fd)
    limit = no_more_fds(call)
    expect(_get_dmabuf(call, fd, number + 1), ENOENT)
    expect(_get_dmabuf(call, fd, number), EMFILE)
    expect(call.setrlimit(RLIMIT_NOFILE, limit))
    dmabuf = Fd(expect(_get_dmabuf(call, fd, number)), "dmabuf")
    expect(call.lseek(dmabuf, 0, SEEK_END), _SIZE)


@case(source=f"dma_buf_export, dma_buf_release: {_DMA_BUF}", machine=MACHINE)
def dmabuf_holds_the_module(call: Call) -> None:
    fd = _open(call)
    _show(call, fd)
    number = _picture(call, fd)
    references = int(expect(call.read_text(_REFERENCES)))
    dmabuf = Fd(expect(_get_dmabuf(call, fd, number)), "dmabuf")
    expect(call.read_text(_REFERENCES), f"{references + 1}\n")
    expect(call.close(dmabuf), None)
    expect(call.read_text(_REFERENCES), f"{references}\n")


@case(source=f"mbochs_close_device: {_MBOCHS}", machine=MACHINE)
def file_outlives_the_device(call: Call) -> None:
    """Its size can still be asked for."""
    fd, dmabuf = _dmabuf(call)
    expect(call.close(fd), None)
    expect(call.lseek(dmabuf, 0, SEEK_END), _SIZE)


@case(source=f"dma_buf_fops: {_DMA_BUF}", machine=MACHINE)
def dmabuf(call: Call) -> None:
    """A file without content, that is always ready."""
    _, fd = _dmabuf(call)
    expect(call.fstat(fd), size=_SIZE, nlink=1, uid=0)
    expect(call.read(fd, 4), EINVAL)
    expect(call.write(fd, b"x"), EBADF)
    both = POLLIN | POLLOUT
    expect(call.poll({fd: both}), {fd: both})
    expect(call.poll({fd: POLLIN}), {fd: POLLIN})


@case(source="alloc_anon_inode: fs/libfs.c, 6.1", machine=MACHINE)
def dmabuf_mode(call: Call) -> None:
    """There is no type of file in it."""
    _, fd = _dmabuf(call)
    expect(call.fstat(fd), mode=0o600)


@case(
    source="iopt_alloc_dmabuf_pages: drivers/iommu/iommufd/pages.c, 7.2",
    machine=MACHINE,
    since="7.2+iommufd",
)
@param(
    "start length answer",
    [
        (0, _PAGE, EOPNOTSUPP),
        (0x800, _PAGE, EOPNOTSUPP),
        (0, _SIZE, EOPNOTSUPP),
        (_SIZE, _PAGE, EINVAL),
        (0, 1 << 30, EINVAL),
    ],
    id="{start}+{length}",
)
def dmabuf_of_other_devices(call: Call, start: int, length: int, answer: object) -> None:
    """iommufd takes those of VFIO's PCI functions alone."""
    _, buffer = _dmabuf(call)
    context = open_context(call)
    result, _ = context.map_file(context.ioas(), 0, length, buffer, start)
    expect(result, answer)


@case(source=f"dma_buf_llseek: {_DMA_BUF}", machine=MACHINE)
def dmabuf_position(call: Call) -> None:
    """Both ends, and nothing else."""
    _, fd = _dmabuf(call)
    expect(call.lseek(fd, 0, SEEK_END), _SIZE)
    expect(call.lseek(fd, 0, SEEK_SET), 0)
    for offset, whence in ((1, SEEK_SET), (-1, SEEK_END), (0, SEEK_CUR), (0, 3)):
        expect(call.lseek(fd, offset, whence), EINVAL)


@case(source=f"mbochs_mmap_dmabuf: {_MBOCHS}; do_mmap: mm/mmap.c, 6.1", machine=MACHINE)
@param(
    "prot flags error",
    [
        (_READ_WRITE, _SHARED, EACCES),
        (_READ, _SHARED, EINVAL),
        (_READ_WRITE, _PRIVATE, EINVAL),
        (_READ, _PRIVATE, EINVAL),
    ],
    id="{prot}-{flags}",
)
def dmabuf_cannot_be_mapped(call: Call, prot: int, flags: int, error: object) -> None:
    """Its file is open for reading alone, so that no mapping of it is really shared."""
    _, fd = _dmabuf(call)
    expect(call.mmap(_PAGE, prot, flags, fd, 0), error)


@case(source=f"dma_buf_ioctl: {_DMA_BUF}", machine=MACHINE)
def dmabuf_sync(call: Call) -> None:
    _, fd = _dmabuf(call)
    for flags in range(9):
        result = ask(call, fd, d.DMA_BUF_IOCTL_SYNC, struct.pack("<Q", flags))[0]
        expect(result, 0 if flags & 3 and flags < 8 else EINVAL)
    expect(ask(call, fd, d.DMA_BUF_IOCTL_SYNC, struct.pack("<Q", 1 << 32 | 1))[0], EINVAL)
    expect(call.ioctl(fd, d.DMA_BUF_IOCTL_SYNC, 0), EFAULT)
    expect(call.ioctl(fd, 0x6200, 0), ENOTTY)


@case(source=f"dma_buf_set_name: {_DMA_BUF}", machine=MACHINE)
@param(
    "command length error",
    [
        (command, length, error)
        for command in (d.DMA_BUF_SET_NAME_A, d.DMA_BUF_SET_NAME_B)
        for length, error in ((0, 0), (31, 0), (32, EINVAL))
    ],
    id="{command:#x}-{length}",
)
def dmabuf_name(call: Call, command: int, length: int, error: object) -> None:
    _, fd = _dmabuf(call)
    expect(ask(call, fd, command, b"n" * length + b"\0")[0], error)
    expect(call.ioctl(fd, command, 0), EFAULT)
