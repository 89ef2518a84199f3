# SPDX-License-Identifier: Apache-2.0
"""Which pages devices wrote to: IOMMU_DIRTY_PAGES of type 1, and the bitmap of an unmap."""

from __future__ import annotations

from ctypes import sizeof

from harness.conformance import Call, case, expect, param
from harness.conformance.call import Buffer
from harness.conformance.errnos import EACCES, EFAULT, EINVAL, EOVERFLOW
from harness.conformance.results import Result
from harness.conformance.suites.vfio._steps import (
    MACHINE,
    PAGE,
    U64,
    V1,
    Mapper,
    ask,
    mapper,
)
from harness.uapi import vfio as u

_SOURCE = "vfio_iommu_type1_dirty_pages: drivers/vfio/vfio_iommu_type1.c, 6.1"
_BITMAP = "vfio_iova_dirty_bitmap: drivers/vfio/vfio_iommu_type1.c, 6.1"
START, STOP, GET = (
    u.VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
    u.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
    u.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
)
_FILL = b"\xaa"


def _get(
    mapped: Mapper, iova: int, size: int, bits: Buffer | int, pgsize: int = PAGE, room: int = 8
) -> Result[int]:
    """GET_BITMAP."""
    address = bits.address if isinstance(bits, Buffer) else bits
    asked = u.DirtyBitmapGet(iova, size, u.Bitmap(pgsize, room, address))
    return mapped.dirty(GET, bytes(asked))


def _tracked(call: Call) -> tuple[Mapper, Buffer]:
    """16 KiB at 0x10000, tracked, and room for bits, all of it 0xaa."""
    mapped = mapper(call)
    expect(mapped.map(0x10000, 0x4000, call.buffer(0x4000)), 0)
    expect(mapped.dirty(START), 0)
    bits = call.buffer(PAGE)
    expect(call.poke(bits, _FILL * PAGE))
    return mapped, bits


@case(source=_SOURCE, machine=MACHINE)
def version_1(call: Call) -> None:
    """It has nothing of the kind, wherever the structure is."""
    mapped = mapper(call, V1)
    expect(call.ioctl(mapped.container, u.VFIO_IOMMU_DIRTY_PAGES), EACCES)
    expect(mapped.dirty(START), EACCES)


@case(source=_SOURCE, machine=MACHINE)
def nowhere(call: Call) -> None:
    expect(call.ioctl(mapper(call).container, u.VFIO_IOMMU_DIRTY_PAGES), EFAULT)


@case(source=_SOURCE, machine=MACHINE, golden="{probe}")
@param(
    "probe flags",
    [
        ("type1/dirty_flags0", 0),
        ("type1/dirty_flags_multi", START | STOP),
        ("type1/dirty_flags_unknown", 8),
        ("", START | GET),
        ("", 1 << 31 | START),
    ],
    id="{flags:#x}",
)
def flags(call: Call, probe: str, flags: int) -> None:
    """Exactly one."""
    expect(mapper(call).dirty(flags), EINVAL)


@case(source=_SOURCE, machine=MACHINE, golden="type1/dirty_argsz7")
@param("flags argsz", [(START, 7), (STOP, 0), (GET, 7), (GET, 8), (GET, 47)], id="{flags}+{argsz}")
def too_small(call: Call, flags: int, argsz: int) -> None:
    expect(mapper(call).dirty(flags, bytes(64), argsz), EINVAL)


@case(
    source=_SOURCE,
    machine=MACHINE,
    golden=("type1/dirty_stop_notstarted", "type1/dirty_start_again"),
)
def as_often_as_wanted(call: Call) -> None:
    mapped = mapper(call)
    for flags in (STOP, START, START, STOP, STOP):
        expect(mapped.dirty(flags), 0)


@case(source=_SOURCE, machine=MACHINE, golden="type1/dirty_get_notstarted")
def not_tracked(call: Call) -> None:
    mapped, bits = _tracked(call)
    expect(mapped.dirty(STOP), 0)
    expect(_get(mapped, 0x10000, 0x4000, bits), EINVAL)


@case(source=_BITMAP, machine=MACHINE)
def all_pages(call: Call) -> None:
    """A device behind an IOMMU may have written to each of them."""
    mapped, bits = _tracked(call)
    for _ in range(2):
        expect(_get(mapped, 0x10000, 0x4000, bits), 0)
        expect(call.peek(bits, 16), b"\x0f".ljust(8, b"\0") + _FILL * 8)


@case(source=_BITMAP, machine=MACHINE)
def no_pages(call: Call) -> None:
    """Nothing is written for what is not mapped."""
    mapped, bits = _tracked(call)
    expect(_get(mapped, 0x90000, 0x4000, bits), 0)
    expect(call.peek(bits, 16), _FILL * 16)


@case(source="update_user_bitmap: drivers/vfio/vfio_iommu_type1.c, 6.1", machine=MACHINE)
def some_pages(call: Call) -> None:
    """Where a mapping begins within a word, the word keeps all that was set in it."""
    mapped, bits = _tracked(call)
    memory = call.buffer(0x2000)
    expect(mapped.map(0x16000, 0x2000, memory), 0)
    expect(mapped.map(0x10000 + 64 * PAGE, PAGE, memory), 0)
    expect(_get(mapped, 0xE000, 0x80000, bits, room=32), 0)
    # From 0xe000 on: 4 pages from the third, 2 from the ninth, 1 from the 67th.
    data = expect(call.peek(bits, 24))
    filled = int.from_bytes(_FILL * 8, "little")
    expect(data[:8], (filled | 0b1111 << 2 | 0b11 << 8).to_bytes(8, "little"))
    expect(data[8:16], (filled | 1 << 2).to_bytes(8, "little"))
    expect(data[16:], _FILL * 8)


@case(source="update_user_bitmap: drivers/vfio/vfio_iommu_type1.c, 6.1", machine=MACHINE)
def whole_words(call: Call) -> None:
    """What is behind a mapping in its last word becomes 0."""
    mapped, bits = _tracked(call)
    expect(_get(mapped, 0x10000, 64 * PAGE, bits), 0)
    expect(call.peek(bits, 16), b"\x0f".ljust(8, b"\0") + _FILL * 8)


@case(source=_BITMAP, machine=MACHINE)
@param(
    "iova size",
    [(0x10000, 0x1000), (0x13000, 0x1000), (0x11000, 0x10000), (0xF000, 0x2000)],
    id="{iova:#x}+{size:#x}",
)
def cut(call: Call, iova: int, size: int) -> None:
    """A range that cuts a mapping."""
    mapped, bits = _tracked(call)
    expect(_get(mapped, iova, size, bits), EINVAL)
    expect(call.peek(bits, 8), _FILL * 8)


@case(
    source=_SOURCE, machine=MACHINE, golden=("type1/dirty_get_smallbitmap", "type1/dirty_get_size0")
)
@param(
    "iova size pgsize room",
    [
        (0x10000, 0x4000, 2 * PAGE, 8),
        (0x10000, 0x4000, PAGE // 2, 8),
        (0x10000, 0x4000, PAGE, 0),
        (0x10000, 0x4000, PAGE, 7),
        (0x10000, 65 * PAGE, PAGE, 8),
        (0x10000, 0x4000, PAGE, 0x10000001),
        (0x10000, 0, PAGE, 8),
        (0x10000, 0x4001, PAGE, 8),
        (0x10001, 0x4000, PAGE, 8),
    ],
    id="{iova:#x}+{size:#x}/{pgsize}:{room}",
)
def bad_bitmap(call: Call, iova: int, size: int, pgsize: int, room: int) -> None:
    mapped, bits = _tracked(call)
    expect(_get(mapped, iova, size, bits, pgsize, room), EINVAL)


@case(source=_SOURCE, machine=MACHINE, golden="type1/dirty_get_wrap")
def wraps(call: Call) -> None:
    mapped, bits = _tracked(call)
    answer = EOVERFLOW if call.since("7.2") else EINVAL
    expect(_get(mapped, U64 - PAGE + 1, 2 * PAGE, bits), answer)


@case(source="update_user_bitmap: drivers/vfio/vfio_iommu_type1.c, 6.1", machine=MACHINE)
def bitmap_nowhere(call: Call) -> None:
    mapped, _ = _tracked(call)
    expect(_get(mapped, 0x10000, 0x4000, 0x10000), EFAULT)


def _unmap_with_bitmap(
    mapped: Mapper, iova: int, size: int, bitmap: u.Bitmap, argsz: int = 48
) -> tuple[Result[int], int]:
    given = u.DmaUnmap(argsz, u.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, iova, size)
    data = bytes(given) + bytes(bitmap)
    result, after = ask(mapped.call, mapped.container, u.VFIO_IOMMU_UNMAP_DMA, data)
    return result, u.DmaUnmap.from_buffer_copy(after[: sizeof(u.DmaUnmap)]).size


@case(source="vfio_iommu_type1_unmap_dma: vfio_iommu_type1.c, 6.1", machine=MACHINE)
def with_unmap(call: Call) -> None:
    mapped, bits = _tracked(call)
    bitmap = u.Bitmap(PAGE, 8, bits.address)
    result, size = _unmap_with_bitmap(mapped, 0x10000, 0x4000, bitmap)
    expect(result, 0)
    expect(size, 0x4000)
    expect(call.peek(bits, 8), b"\x0f".ljust(8, b"\0"))
    result, size = _unmap_with_bitmap(mapped, 0x10000, 0x4000, bitmap)
    expect(result, 0)
    expect(size, 0)


@case(
    source="vfio_iommu_type1_unmap_dma: vfio_iommu_type1.c, 6.1",
    machine=MACHINE,
    golden="type1/unmap_bitmap_nodirty",
)
@param(
    "size pgsize room argsz",
    [
        (0x4000, PAGE, 8, 47),
        (0x4000, PAGE, 0, 48),
        (0x4000, 2 * PAGE, 8, 48),
        (0, PAGE, 8, 48),
        (0x1000, PAGE, 8, 48),
    ],
    id="{size:#x}/{pgsize}:{room}+{argsz}",
)
def with_bad_unmap(call: Call, size: int, pgsize: int, room: int, argsz: int) -> None:
    mapped, bits = _tracked(call)
    bitmap = u.Bitmap(pgsize, room, bits.address)
    expect(_unmap_with_bitmap(mapped, 0x10000, size, bitmap, argsz)[0], EINVAL)
    expect(mapped.dirty(STOP), 0)
    good = u.Bitmap(PAGE, 8, bits.address)
    expect(_unmap_with_bitmap(mapped, 0x10000, 0x4000, good)[0], EINVAL)
    mapped.unmapped(0x10000, 0x4000, 0x4000)
