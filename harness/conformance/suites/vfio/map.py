# SPDX-License-Identifier: Apache-2.0
"""Mapping memory for devices: IOMMU_MAP_DMA of type 1."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import (
    EBUSY,
    EEXIST,
    EFAULT,
    EINVAL,
    ENOENT,
    ENOMEM,
    ENOSPC,
    EOVERFLOW,
    ERANGE,
)
from harness.conformance.suites.vfio._steps import (
    END,
    MACHINE,
    MESSAGES,
    PAGE,
    READ,
    U64,
    V1,
    V2,
    WRITE,
    mapper,
    open_group,
    read_only,
    set_container,
)
from harness.conformance.suites.vfio_pci._device import NVME
from harness.uapi import vfio as u
from harness.uapi.fs import CAP_IPC_LOCK, RLIMIT_MEMLOCK

_MAP = "vfio_iommu_type1_map_dma: drivers/vfio/vfio_iommu_type1.c, 6.1"
_DO_MAP = "vfio_dma_do_map: drivers/vfio/vfio_iommu_type1.c, 6.1"
_PIN = "vfio_pin_pages_remote: drivers/vfio/vfio_iommu_type1.c, 6.1"
_LIMIT = "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"
VADDR = u.VFIO_DMA_MAP_FLAG_VADDR
RW = READ | WRITE


@case(source=_MAP, machine=MACHINE, golden="type1/map_argsz{argsz}")
@param("argsz", [(0,), (31,)])
def too_small(call: Call, argsz: int) -> None:
    expect(mapper(call).map(0, PAGE, call.buffer(PAGE), argsz=argsz), EINVAL)


@case(source=_MAP, machine=MACHINE)
def larger(call: Call) -> None:
    expect(mapper(call).map(0, PAGE, call.buffer(PAGE), argsz=4096), 0)


@case(source=_MAP, machine=MACHINE, golden="type1/map_badptr")
def nowhere(call: Call) -> None:
    expect(call.ioctl(mapper(call).container, u.VFIO_IOMMU_MAP_DMA), EFAULT)


@case(source=_MAP, machine=MACHINE, golden="{probe}")
@param(
    "probe flags answer",
    [
        ("type1/map_flags0", 0, EINVAL),
        ("type1/map_flags8", 8 | RW, EINVAL),
        ("type1/map_flags_high", 1 << 31 | RW, EINVAL),
        ("type1/map_vaddrflag_rw", VADDR | RW, EINVAL),
        ("", VADDR | READ, EINVAL),
        ("type1/map_vaddrflag_nodma", VADDR, ENOENT),
        ("", READ, 0),
        ("type1/map_wo", WRITE, 0),
    ],
    id="{flags:#x}",
)
def flags(call: Call, probe: str, flags: int, answer: object) -> None:
    expect(mapper(call).map(0, PAGE, call.buffer(PAGE), flags), answer)


@case(source=_DO_MAP, machine=MACHINE, golden="{probe}")
@param(
    "probe iova size offset",
    [
        ("type1/map_size0", 0, 0, 0),
        ("type1/map_size1", 0, 1, 0),
        ("type1/map_size_unaligned", 0, PAGE + 1, 0),
        ("type1/map_iova_unaligned", 1, PAGE, 0),
        ("", 0x800, PAGE, 0),
        ("type1/map_vaddr_unaligned", 0, PAGE, 1),
        ("", U64, 1, 0),
    ],
    id="{iova:#x}+{size:#x}@{offset}",
)
def unaligned(call: Call, probe: str, iova: int, size: int, offset: int) -> None:
    expect(mapper(call).map(iova, size, call.buffer(2 * PAGE) + offset), EINVAL)


@case(source=_DO_MAP, machine=MACHINE, golden="{probe}")
@param(
    "probe iova size vaddr",
    [
        ("type1/map_iova_wrap", U64 - PAGE + 1, 2 * PAGE, None),
        ("type1/map_vaddr_wrap", 0, 2 * PAGE, U64 - PAGE + 1),
        ("type1/map_size_huge", 0, U64 - PAGE + 1, None),
        ("", 2 * PAGE, U64 - PAGE + 1, 0),
        ("", 2, U64, None),
    ],
    id="{iova:#x}+{size:#x}",
)
def wraps(call: Call, probe: str, iova: int, size: int, vaddr: int | None) -> None:
    """Told from other bad ranges since 6.18, and before alignment is looked at."""
    memory = call.buffer(PAGE) if vaddr is None else vaddr
    expect(mapper(call).map(iova, size, memory), EOVERFLOW if call.since("7.2") else EINVAL)


@case(source=_DO_MAP, machine=MACHINE)
def wraps_first(call: Call) -> None:
    """Since 6.18 before a missing direction is seen; a size of 0 wraps nothing."""
    mapped = mapper(call)
    memory = call.buffer(PAGE)
    answer = EOVERFLOW if call.since("7.2") else EINVAL
    expect(mapped.map(U64 - PAGE + 1, 0, memory), EINVAL)
    expect(mapped.map(U64 - PAGE + 1, 2 * PAGE, memory, 0), answer)
    expect(mapped.map(U64 - PAGE + 1, 2 * PAGE, memory, VADDR | RW), answer)
    expect(mapped.map(U64 - PAGE + 1, 2 * PAGE, memory, 8 | RW), EINVAL)


@case(source=f"vfio_iommu_iova_dma_valid: {_DO_MAP}", machine=MACHINE, golden="{probe}")
@param(
    "probe iova size",
    [
        ("type1/map_iova_top", U64 - PAGE + 1, PAGE),
        ("type1/map_out_of_aperture", END, PAGE),
        ("type1/map_out_of_aperture48", 1 << 48, PAGE),
        ("type1/map_cross_aperture", END - PAGE, 2 * PAGE),
        ("type1/map_msi_window", MESSAGES, PAGE),
        ("type1/map_cross_msi_window", MESSAGES - PAGE, 2 * PAGE),
        ("", MESSAGES + 0xFF000, PAGE),
        ("", MESSAGES - PAGE, 0x102000),
    ],
    id="{iova:#x}+{size:#x}",
)
def not_an_address(call: Call, probe: str, iova: int, size: int) -> None:
    """What the IOMMU has not, and where messages of interrupts go."""
    expect(mapper(call).map(iova, size, call.buffer(size)), EINVAL)


@case(source=_DO_MAP, machine=MACHINE)
@param("iova", [(0,), (MESSAGES - PAGE,), (MESSAGES + 0x100000,), (END - PAGE,)], id="{iova:#x}")
def edge(call: Call, iova: int) -> None:
    """The first and last addresses that there are."""
    mapped = mapper(call)
    expect(mapped.map(iova, PAGE, call.buffer(PAGE)), 0)
    mapped.unmapped(0, 0, PAGE, u.VFIO_DMA_UNMAP_FLAG_ALL)


@case(source=_PIN, machine=MACHINE, golden="{probe}")
@param(
    "probe vaddr",
    [
        ("type1/map_vaddr_unmapped", 0x10000),
        ("type1/map_vaddr_null", 0),
        ("type1/map_vaddr_kernel", 0xFFFF888000000000),
        ("", 1 << 60),
    ],
    id="{vaddr:#x}",
)
def no_memory(call: Call, probe: str, vaddr: int) -> None:
    """And nothing stays mapped."""
    mapped = mapper(call)
    expect(mapped.map(0, PAGE, vaddr), EFAULT)
    expect(mapped.map(0, PAGE, call.buffer(PAGE)), 0)


@case(source=_PIN, machine=MACHINE, golden="type1/map_vaddr_partial_unmapped")
def memory_too_short(call: Call) -> None:
    memory = call.buffer(4 * PAGE)
    mapped = mapper(call)
    expect(mapped.map(0, 0x800000, memory), EFAULT)
    mapped.unmapped(0, 0, 0, u.VFIO_DMA_UNMAP_FLAG_ALL)


@case(source=_PIN, machine=MACHINE)
@param("flags answer", [(RW, EFAULT), (WRITE, EFAULT), (READ, 0)], id="{flags}")
def memory_read_only(call: Call, flags: int, answer: object) -> None:
    expect(mapper(call).map(0x100000, PAGE, read_only(call, PAGE), flags), answer)


@case(source=_DO_MAP, machine=MACHINE, golden="{probe}")
@param(
    "probe iova size answer",
    [
        ("type1/map_dup", 0x10000, 0x4000, EEXIST),
        ("type1/map_overlap_in", 0x11000, 0x1000, EEXIST),
        ("type1/map_overlap_head", 0xF000, 0x2000, EEXIST),
        ("type1/map_overlap_tail", 0x13000, 0x2000, EEXIST),
        ("type1/map_overlap_cover", 0x8000, 0x20000, EEXIST),
        ("type1/map_adjacent", 0x14000, 0x1000, 0),
        ("", 0xF000, 0x1000, 0),
        ("type1/map_same_vaddr_other_iova", 0x40000, 0x1000, 0),
    ],
    id="{iova:#x}+{size:#x}",
)
def beside_another(call: Call, probe: str, iova: int, size: int, answer: object) -> None:
    """Version 1 is no different here."""
    for kind in (V1, V2):
        mapped = mapper(call, kind)
        memory = call.buffer(0x20000)
        expect(mapped.map(0x10000, 0x4000, memory), 0)
        expect(mapped.map(iova, size, memory), answer)
        mapped.close()


@case(source=_DO_MAP, machine=MACHINE)
def overlap_comes_first(call: Call) -> None:
    """Before the address and the memory are looked at."""
    mapped = mapper(call)
    expect(mapped.map(MESSAGES - PAGE, PAGE, call.buffer(PAGE)), 0)
    expect(mapped.map(MESSAGES - PAGE, 2 * PAGE, 0), EEXIST)


@case(source=f"{_DO_MAP}; vfio_iommu_type1_open", machine=MACHINE, golden="limit/m3_over_limit")
def too_many(call: Call) -> None:
    """The limit is what the parameter said when the container got its driver."""
    expect(call.write_text(_LIMIT, "2"), 1)
    mapped = mapper(call)
    expect(call.write_text(_LIMIT, "65535"), 5)
    memory = call.buffer(PAGE)
    for iova in (0, PAGE):
        expect(mapped.map(iova, PAGE, memory), 0)
    expect(mapped.map(0, PAGE, memory), EEXIST)
    expect(mapped.map(MESSAGES, PAGE, memory), ENOSPC)
    expect(mapped.map(2 * PAGE, PAGE, memory), ENOSPC)
    mapped.unmapped(0, PAGE, PAGE)
    expect(mapped.map(2 * PAGE, PAGE, memory), 0)


@case(source="param_set_uint: kernel/params.c, 6.1", machine=MACHINE)
@param(
    "text answer",
    [("0x10", 4), ("-1", EINVAL), ("4294967296", ERANGE), ("x", EINVAL)],
    id="{text!r}",
)
def limit_written(call: Call, text: str, answer: object) -> None:
    expect(call.write_text(_LIMIT, text), answer)
    expect(call.write_text(_LIMIT, "65535"), 5)


@case(source=_PIN, machine=MACHINE, golden=("limit/memlock_over", "limit/memlock_over_one"))
def locked_memory(call: Call) -> None:
    """Pages of all mappings count against the limit of who maps them; a failure counts nothing."""
    mapped = mapper(call)
    expect(call.setrlimit(RLIMIT_MEMLOCK, 2 * PAGE))
    expect(call.drop_capabilities(CAP_IPC_LOCK))
    memory = call.buffer(4 * PAGE)
    expect(mapped.map(0x10000, 4 * PAGE, memory), ENOMEM)
    expect(mapped.map(0, 2 * PAGE, memory), 0)
    expect(mapped.map(0x10000, PAGE, memory), ENOMEM)
    mapped.unmapped(0, 2 * PAGE, 2 * PAGE)
    expect(mapped.map(0x10000, PAGE, memory), 0)
    expect(mapped.map(0, PAGE, memory), 0)
    expect(mapped.map(0x20000, PAGE, memory), ENOMEM)


@case(source=_PIN, machine=MACHINE)
def locked_memory_unlimited(call: Call) -> None:
    """With the capability there is no limit, but it counts."""
    mapped = mapper(call)
    expect(call.setrlimit(RLIMIT_MEMLOCK, 2 * PAGE))
    memory = call.buffer(4 * PAGE)
    expect(mapped.map(0x10000, 4 * PAGE, memory), 0)
    expect(call.drop_capabilities(CAP_IPC_LOCK))
    expect(mapped.map(0, PAGE, memory), ENOMEM)
    mapped.unmapped(0x10000, 4 * PAGE, 4 * PAGE)
    expect(mapped.map(0, PAGE, memory), 0)


@case(source=_PIN, machine=MACHINE)
def fault_before_limit(call: Call) -> None:
    """Whichever of the two comes first in the range."""
    mapped = mapper(call)
    expect(call.setrlimit(RLIMIT_MEMLOCK, PAGE))
    expect(call.drop_capabilities(CAP_IPC_LOCK))
    expect(mapped.map(0, 4 * PAGE, 0x10000), EFAULT)
    expect(mapped.map(0, 4 * PAGE, call.buffer(4 * PAGE)), ENOMEM)


@case(source=_DO_MAP, machine=MACHINE)
def as_a_plain_user(call: Call) -> None:
    """Whoever has the file may; the memory is his."""
    mapped = mapper(call)
    memory = call.buffer(PAGE)
    expect(call.setuid(1000, 1000))
    expect(mapped.map(0, PAGE, memory), 0)
    mapped.unmapped(0, PAGE, PAGE)


# --- new memory for a mapping


@case(source=f"{_DO_MAP}; vfio_dma_do_unmap", machine=MACHINE, golden="type1/map_vaddr_update")
def memory_changed(call: Call) -> None:
    """Only of a mapping that was told to lose its own, and only the whole."""
    mapped = mapper(call)
    memory = call.buffer(4 * PAGE)
    expect(mapped.map(0x40000, 2 * PAGE, memory), 0)
    expect(mapped.map(0x40000, 2 * PAGE, memory, VADDR), EINVAL)
    mapped.unmapped(0x40000, 2 * PAGE, 2 * PAGE, u.VFIO_DMA_UNMAP_FLAG_VADDR)
    expect(mapped.map(0x40000, PAGE, memory, VADDR), EINVAL)
    expect(mapped.map(0x41000, PAGE, memory, VADDR), EINVAL)
    expect(mapped.map(0x50000, PAGE, memory, VADDR), ENOENT)
    expect(mapped.map(0x40000, 2 * PAGE, memory, RW), EEXIST)
    expect(mapped.map(0x40000, 2 * PAGE, memory + PAGE, VADDR), 0)
    expect(mapped.map(0x40000, 2 * PAGE, memory, VADDR), EINVAL)
    mapped.unmapped(0x40000, 2 * PAGE, 2 * PAGE)


@case(source="vfio_iommu_type1_attach_group: vfio_iommu_type1.c, 6.1", machine=MACHINE)
def group_comes_while_memory_is_gone(call: Call) -> None:
    mapped = mapper(call)
    memory = call.buffer(PAGE)
    expect(mapped.map(0, PAGE, memory), 0)
    mapped.unmapped(0, PAGE, PAGE, u.VFIO_DMA_UNMAP_FLAG_VADDR)
    second = open_group(call, NVME)
    expect(set_container(call, second, mapped.container), EBUSY)
    expect(mapped.map(0, PAGE, memory, VADDR), 0)
    expect(set_container(call, second, mapped.container), 0)


@case(source=_DO_MAP, machine=MACHINE)
def many(call: Call) -> None:
    """Side by side, unmapped in one go."""
    mapped = mapper(call)
    memory = call.buffer(PAGE)
    for number in range(64):
        expect(mapped.map((number * 7 % 64) * PAGE, PAGE, memory), 0)
    mapped.unmapped(16 * PAGE, 16 * PAGE, 16 * PAGE)
    mapped.unmapped(0, 0, 48 * PAGE, u.VFIO_DMA_UNMAP_FLAG_ALL)
