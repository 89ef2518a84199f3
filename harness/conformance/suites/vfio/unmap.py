# SPDX-License-Identifier: Apache-2.0
"""Unmapping: IOMMU_UNMAP_DMA of type 1."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EFAULT, EINVAL, EOVERFLOW
from harness.conformance.suites.vfio._steps import MACHINE, PAGE, U64, V1, V2, Mapper, mapper
from harness.uapi import vfio as u

_UNMAP = "vfio_iommu_type1_unmap_dma: drivers/vfio/vfio_iommu_type1.c, 6.1"
_DO_UNMAP = "vfio_dma_do_unmap: drivers/vfio/vfio_iommu_type1.c, 6.1"
BITMAP, ALL, VADDR = (
    u.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
    u.VFIO_DMA_UNMAP_FLAG_ALL,
    u.VFIO_DMA_UNMAP_FLAG_VADDR,
)


def _mapped(call: Call, kind: int = V2) -> Mapper:
    """16 KiB at 0x10000, 4 KiB behind it, and 4 KiB at 0x40000."""
    mapped = mapper(call, kind)
    memory = call.buffer(0x4000)
    expect(mapped.map(0x10000, 0x4000, memory), 0)
    expect(mapped.map(0x14000, 0x1000, memory), 0)
    expect(mapped.map(0x40000, 0x1000, memory), 0)
    return mapped


def _left(mapped: Mapper, count: int) -> None:
    """Expect that so many bytes are mapped."""
    mapped.unmapped(0, 0, count, ALL)


@case(source=_UNMAP, machine=MACHINE, golden="type1/unmap_argsz{argsz}")
@param("argsz", [(0,), (23,)])
def too_small(call: Call, argsz: int) -> None:
    mapped = _mapped(call)
    expect(mapped.unmap(0x10000, 0x4000, argsz=argsz)[0], EINVAL)
    _left(mapped, 0x6000)


@case(source=_UNMAP, machine=MACHINE, golden="type1/unmap_badptr")
def nowhere(call: Call) -> None:
    expect(call.ioctl(mapper(call).container, u.VFIO_IOMMU_UNMAP_DMA), EFAULT)


@case(source=_UNMAP, machine=MACHINE, golden="{probe}")
@param(
    "probe flags",
    [
        ("type1/unmap_flags8", 8),
        ("", 1 << 31),
        ("", ALL | BITMAP),
        ("type1/unmap_vaddr_flag_bad", VADDR | BITMAP),
        ("", BITMAP),
    ],
    id="{flags:#x}",
)
def flags(call: Call, probe: str, flags: int) -> None:
    """A bitmap needs room for one."""
    mapped = _mapped(call)
    result, size = mapped.unmap(0x10000, 0x4000, flags)
    expect(result, EINVAL)
    expect(size, 0x4000)
    _left(mapped, 0x6000)


@case(source=_DO_UNMAP, machine=MACHINE, golden="{probe}")
@param(
    "probe iova size",
    [
        ("type1/unmap_size0", 0x10000, 0),
        ("type1/unmap_unaligned_iova", 0x10001, 0x1000),
        ("type1/unmap_unaligned_size", 0x10000, 0x1001),
        ("", 0x10800, 0x800),
    ],
    id="{iova:#x}+{size:#x}",
)
def unaligned(call: Call, probe: str, iova: int, size: int) -> None:
    for kind in (V1, V2):
        mapped = _mapped(call, kind)
        result, left = mapped.unmap(iova, size)
        expect(result, EINVAL)
        expect(left, size)
        _left(mapped, 0x6000)
        mapped.close()


@case(source=_DO_UNMAP, machine=MACHINE, golden="type1/unmap_wrap")
@param(
    "iova size",
    [(U64 - PAGE + 1, 0x2000), (2 * PAGE, U64 - PAGE + 1)],
    id="{iova:#x}+{size:#x}",
)
def wraps(call: Call, iova: int, size: int) -> None:
    mapped = _mapped(call)
    expect(mapped.unmap(iova, size)[0], EOVERFLOW if call.since("7.2") else EINVAL)
    _left(mapped, 0x6000)


@case(source=_DO_UNMAP, machine=MACHINE)
@param("iova size", [(2, U64), (U64, 0x2000)], id="{iova:#x}+{size:#x}")
def unaligned_before_wrap(call: Call, iova: int, size: int) -> None:
    expect(_mapped(call).unmap(iova, size)[0], EINVAL)


@case(source=_DO_UNMAP, machine=MACHINE)
def nearly_everything(call: Call) -> None:
    """All but the last page of addresses."""
    mapped = _mapped(call)
    mapped.unmapped(0, U64 - PAGE + 1, 0x6000)
    mapped.unmapped(U64 - PAGE + 1, PAGE, 0)


@case(source=_DO_UNMAP, machine=MACHINE)
@param(
    "iova size count",
    [
        (0x900000, 0x1000, 0),
        (0x10000, 0x4000, 0x4000),
        (0x10000, 0x5000, 0x5000),
        (0, 0x20000, 0x5000),
        (0x14000, 0x1000, 0x1000),
        (0, 0x100000, 0x6000),
    ],
    id="{iova:#x}+{size:#x}",
)
def whole(call: Call, iova: int, size: int, count: int) -> None:
    """Mappings that are in the range; a second time there are none."""
    for kind in (V1, V2):
        mapped = _mapped(call, kind)
        mapped.unmapped(iova, size, count)
        mapped.unmapped(iova, size, 0)
        _left(mapped, 0x6000 - count)
        mapped.close()


@case(source=_DO_UNMAP, machine=MACHINE, golden="{probe}")
@param(
    "probe iova size",
    [
        ("type1/unmap_bisect_mid", 0x11000, 0x1000),
        ("type1/unmap_bisect_head", 0x10000, 0x1000),
        ("type1/unmap_bisect_tail", 0x13000, 0x1000),
        ("type1/unmap_bisect_cross", 0x13000, 0x2000),
        ("type1/unmap_over_start", 0xF000, 0x2000),
        ("", 0x8000, 0x9000),
    ],
    id="{iova:#x}+{size:#x}",
)
def cut_v2(call: Call, probe: str, iova: int, size: int) -> None:
    """Nothing goes."""
    mapped = _mapped(call)
    result, left = mapped.unmap(iova, size)
    expect(result, EINVAL)
    expect(left, size)
    _left(mapped, 0x6000)


@case(source=_DO_UNMAP, machine=MACHINE)
@param(
    "iova size count",
    [
        (0x11000, 0x1000, 0),
        (0x10000, 0x1000, 0x4000),
        (0x13000, 0x1000, 0),
        (0x13000, 0x2000, 0),
        (0xF000, 0x2000, 0x4000),
        (0x8000, 0xD000, 0x5000),
        (0x10000, 0x4800 & ~0xFFF, 0x4000),
    ],
    id="{iova:#x}+{size:#x}",
)
def cut_v1(call: Call, iova: int, size: int, count: int) -> None:
    """Whole mappings go that begin in the range, none at all if it begins in one."""
    mapped = _mapped(call, V1)
    mapped.unmapped(iova, size, count)
    _left(mapped, 0x6000 - count)


@case(source=_DO_UNMAP, machine=MACHINE, golden=("type1/unmap_all_ok", "type1/unmap_all_empty"))
@param("kind", [(V1,), (V2,)])
def everything(call: Call, kind: int) -> None:
    mapped = _mapped(call, kind)
    mapped.unmapped(0, 0, 0x6000, ALL)
    mapped.unmapped(0, 0, 0, ALL)


@case(source=_DO_UNMAP, machine=MACHINE, golden="type1/unmap_all_with_iova")
@param("iova size", [(0x1000, 0), (0, 0x1000), (1, 0), (0, U64)], id="{iova:#x}+{size:#x}")
def everything_with_range(call: Call, iova: int, size: int) -> None:
    mapped = _mapped(call)
    expect(mapped.unmap(iova, size, ALL)[0], EINVAL)
    _left(mapped, 0x6000)


@case(source=_DO_UNMAP, machine=MACHINE, golden="type1/unmap_vaddr_twice")
def memory_only(call: Call) -> None:
    """Mappings lose their memory; all of them, or none if one has lost it already."""
    mapped = _mapped(call)
    mapped.unmapped(0x14000, 0x1000, 0x1000, VADDR)
    expect(mapped.unmap(0x14000, 0x1000, VADDR)[0], EINVAL)
    expect(mapped.unmap(0x10000, 0x5000, VADDR)[0], EINVAL)
    # The one that had lost it before has it again, says the kernel.
    expect(mapped.map(0x10000, 0x4000, call.buffer(0x4000), 4), EINVAL)
    mapped.unmapped(0x10000, 0x4000, 0x4000, VADDR)
    mapped.unmapped(0x900000, 0x1000, 0, VADDR)
    mapped.unmapped(0, 0, 0x6000, ALL)


@case(source=_DO_UNMAP, machine=MACHINE)
def memory_of_all(call: Call) -> None:
    mapped = _mapped(call)
    mapped.unmapped(0, 0, 0x6000, ALL | VADDR)
    expect(mapped.unmap(0, 0, ALL | VADDR)[0], EINVAL)
    memory = call.buffer(0x4000)
    expect(mapped.map(0x10000, 0x4000, memory, 4), 0)
    _left(mapped, 0x6000)
