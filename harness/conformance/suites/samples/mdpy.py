# SPDX-License-Identifier: Apache-2.0
"""mdpy, a display whose memory is a region."""

from __future__ import annotations

import struct

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import EFAULT, EINVAL, ENOTTY
from harness.conformance.suites.samples._device import MACHINE, know_irqs, open_sample, query_plane
from harness.conformance.suites.vfio_pci._device import (
    INTX,
    NONE,
    TRIGGER,
    irq_info,
    region_info,
    set_irqs,
)
from harness.uapi import vfio as u

_MDPY = "samples/vfio-mdev/mdpy.c, 6.1"
_PAGE = 4096
_DISPLAY = 16
_TYPES = [("vga", 640, 480, 1 << 21), ("xga", 1024, 768, 1 << 22), ("hd", 1920, 1080, 1 << 23)]
_READ_WRITE, _SHARED, _PRIVATE = 3, 1, 2


def _open(call: Call, kind: str = "vga") -> Fd:
    return open_sample(call, "mdpy", f"mdpy-{kind}")


@case(source=f"mdpy_create_config_space: {_MDPY}", machine=MACHINE)
@param("kind width height size", _TYPES)
def config(call: Call, kind: str, width: int, height: int, size: int) -> None:
    """It begins at the file's beginning; the size is in a capability of its own."""
    fd = _open(call, kind)
    expect(call.pread(fd, 12, 0), bytes.fromhex("361b0f000300100001008003"))
    expect(call.pread(fd, 4, 0x2C), bytes.fromhex("f41a0011"))
    expect(call.pread(fd, 4, 0x40), bytes.fromhex("09001000"))
    found = struct.unpack("<4sII", expect(call.pread(fd, 12, 0x44)))
    expect(found, (b"XR24", width, height))
    expect(call.pwrite(fd, b"\xff" * 4, 0x10), 4)
    expect(call.pread(fd, 4, 0x10), struct.pack("<I", (-size & 0xFFFFFFFF) | 8))


@case(source=f"mdpy_get_region_info: {_MDPY}", machine=MACHINE)
def regions(call: Call) -> None:
    """BAR 0 and the display are the same."""
    fd = _open(call)
    for index, wanted in (
        (0, (7, 1 << 21, _PAGE)),
        (1, (0, 0, 0)),
        (7, (3, 255, 0)),
        (8, (0, 0, 0)),
        (_DISPLAY, (7, 1 << 21, _PAGE)),
    ):
        result, data = region_info(call, fd, index)
        expect(result, 0)
        _, flags, _, _, size, offset = struct.unpack_from("<IIIIQQ", data)
        expect((flags, size, offset), wanted)
    for index in (9, 15, 17):
        expect(region_info(call, fd, index)[0], EINVAL)


@case(source=f"mdpy_query_gfx_plane: {_MDPY}", machine=MACHINE)
def plane(call: Call) -> None:
    """A region, and no dmabuf."""
    fd = _open(call, "xga")
    expect(query_plane(call, fd, 5)[0], 0)
    result, found = query_plane(call, fd, 4)
    expect(result, 0)
    xr24 = 0x34325258
    expect(found, (60, 4, 0, xr24, 0, 1024, 768, 4096, 1 << 22, 0, 0, 0, 0, _DISPLAY))
    for flags in (0, 1, 2, 3, 6, 7, 12):
        expect(query_plane(call, fd, flags)[0], EINVAL)
    expect(query_plane(call, fd, 4, 59)[0], EINVAL)
    expect(call.ioctl(fd, u.VFIO_DEVICE_GET_GFX_DMABUF, call.buffer(8)), ENOTTY)


@case(source=f"mdpy_ioctl: {_MDPY}", machine=MACHINE)
def no_interrupts(call: Call) -> None:
    fd = _open(call)
    know_irqs(call, fd)
    result, found = irq_info(call, fd, INTX)
    expect(result, 0)
    expect(found.count, 0)
    expect(irq_info(call, fd, 5)[0], EINVAL)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 0), EINVAL)


@case(source=f"mdpy_mmap: {_MDPY}", machine=MACHINE)
@param(
    "offset length flags",
    [
        (0, _PAGE, _SHARED),
        (2 * _PAGE, _PAGE, _SHARED),
        (_PAGE, (1 << 21) + _PAGE, _SHARED),
        (_PAGE, _PAGE, _PRIVATE),
        (1 << 40, _PAGE, _SHARED),
    ],
    id="{offset:#x}-{length:#x}-{flags}",
)
def cannot_be_mapped(call: Call, offset: int, length: int, flags: int) -> None:
    expect(call.mmap(length, _READ_WRITE, flags, _open(call), offset), EINVAL)


@case(source=f"mdpy_reset, mdpy_mmap: {_MDPY}", machine=MACHINE)
def picture(call: Call) -> None:
    """A gradient, until somebody draws, and after a reset again."""
    fd = _open(call)
    pages = expect(call.mmap(1 << 21, _READ_WRITE, _SHARED, fd, _PAGE))
    row = 640 * 4
    expect(call.load(pages, 4), 0)
    expect(call.load(pages + 479 * row, 4), 0xFEFEFEFE)
    expect(call.store(pages + 240 * row, 4, 0x00FF00FF))
    expect(call.load(pages + 240 * row, 4), 0x00FF00FF)
    expect(call.ioctl(fd, u.VFIO_DEVICE_RESET), 0)
    expect(call.load(pages + 240 * row, 4), 0x7F7F7F7F)


@case(source=f"mdev_access: {_MDPY}", machine=MACHINE)
def memory_by_read_and_write(call: Call) -> None:
    """Wherever one reads or writes, it is the beginning."""
    fd = _open(call)
    expect(call.pwrite(fd, b"\x5a" * 4, _PAGE + 0x100), 4)
    expect(call.pread(fd, 4, _PAGE), b"\x5a" * 4)
    expect(call.pread(fd, 8, _PAGE + 0x1000), b"\x5a" * 8)
    expect(call.pread(fd, 4, _PAGE + (1 << 21)), EFAULT)
    expect(call.pread(fd, 4, 0x100), EFAULT)
