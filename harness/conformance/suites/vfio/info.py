# SPDX-License-Identifier: Apache-2.0
"""What a container with type 1 says of itself: IOMMU_GET_INFO."""

from __future__ import annotations

from ctypes import sizeof

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import EFAULT, EINVAL
from harness.conformance.results import Result
from harness.conformance.suites.vfio._steps import (
    END,
    MACHINE,
    MESSAGES,
    PAGE,
    V1,
    V2,
    ask,
    mapper,
)
from harness.uapi import vfio as u

_SOURCE = "vfio_iommu_type1_get_info: drivers/vfio/vfio_iommu_type1.c, 6.1"
_SIZES = 0x40201000
_UNTOUCHED = 0xEE
_MIGRATION, _AVAIL, _RANGES = (
    u.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
    u.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
    u.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
)


def _get_info(call: Call, fd: Fd, argsz: int) -> tuple[Result[int], u.IommuType1InfoCaps, bytes]:
    """With 4096 bytes of room, whatever ``argsz`` says; what is not written reads as 0xee."""
    room = argsz.to_bytes(4, "little").ljust(PAGE, bytes([_UNTOUCHED]))
    result, data = ask(call, fd, u.VFIO_IOMMU_GET_INFO, room)
    return result, u.IommuType1InfoCaps.from_buffer_copy(data), data


def _needed(call: Call) -> int:
    """24, 32, 12 and 48 bytes; from 6.6 on the third begins at a multiple of 8 and so does what
    follows."""
    return 120 if call.since("6.12") else 116


@case(source=_SOURCE, machine=MACHINE, golden="type1/iommu_info_argsz{argsz}")
@param("argsz", [(0,), (8,), (15,)])
def too_small(call: Call, argsz: int) -> None:
    result, info, _ = _get_info(call, mapper(call).container, argsz)
    expect(result, EINVAL)
    expect(info.argsz, argsz)


@case(source=_SOURCE, machine=MACHINE, golden="type1/iommu_info_badptr")
def nowhere(call: Call) -> None:
    expect(call.ioctl(mapper(call).container, u.VFIO_IOMMU_GET_INFO), EFAULT)


@case(source=_SOURCE, machine=MACHINE)
@param("argsz", [(16,), (20,), (24,), (64,)])
def without_room(call: Call, argsz: int) -> None:
    """What does not fit is not written, but it is said how much it is."""
    result, info, data = _get_info(call, mapper(call).container, argsz)
    expect(result, 0)
    expect(info.argsz, _needed(call))
    expect(info.flags, u.VFIO_IOMMU_INFO_PGSIZES | u.VFIO_IOMMU_INFO_CAPS)
    expect(info.iova_pgsizes, _SIZES)
    written = min(argsz, 24 if call.since("6.12") else 20)
    expect(data[16:written], bytes(written - 16))
    expect(data[written:], bytes([_UNTOUCHED]) * (PAGE - written))


@case(source=_SOURCE, machine=MACHINE, golden="type1/iommu_info_argsz4096")
@param("kind extra", [(V1, 0), (V2, 0), (V2, 1), (V2, 1000)], id="{kind}+{extra}")
def capabilities(call: Call, kind: int, extra: int) -> None:
    """Dirty pages, mappings left, addresses."""
    argsz = _needed(call) + extra
    result, info, data = _get_info(call, mapper(call, kind).container, argsz)
    expect(result, 0)
    expect((info.argsz, info.cap_offset), (argsz, 24))
    offsets = (24, 56, 72 if call.since("6.12") else 68)
    heads = [u.InfoCapHeader.from_buffer_copy(data[offset:]) for offset in offsets]
    expect(
        [(head.id, head.version) for head in heads], [(_MIGRATION, 1), (_AVAIL, 1), (_RANGES, 1)]
    )
    expect([head.next for head in heads], [*offsets[1:], 0])
    migration = u.IommuType1InfoCapMigration.from_buffer_copy(data[24:])
    expect(
        (migration.flags, migration.pgsize_bitmap, migration.max_dirty_bitmap_size),
        (0, PAGE, 0x10000000),
    )
    expect(u.IommuType1InfoDmaAvail.from_buffer_copy(data[56:]).avail, 65535)
    found = u.IommuType1InfoCapIovaRange.from_buffer_copy(data[offsets[2] :])
    expect(found.nr_iovas, 2)
    place = offsets[2] + sizeof(found)
    ranges = [u.IovaRange.from_buffer_copy(data[place + 16 * n :]) for n in range(2)]
    expect(
        [(found.start, found.end) for found in ranges],
        [(0, MESSAGES - 1), (MESSAGES + 0x100000, END - 1)],
    )
    expect(data[_needed(call) :], bytes([_UNTOUCHED]) * (PAGE - _needed(call)))


@case(source=f"{_SOURCE}; vfio_dma_do_map", machine=MACHINE)
def mappings_left(call: Call) -> None:
    mapped = mapper(call)
    memory = call.buffer(PAGE)
    for iova in (0, PAGE):
        expect(mapped.map(iova, PAGE, memory), 0)
    data = _get_info(call, mapped.container, PAGE)[2]
    expect(u.IommuType1InfoDmaAvail.from_buffer_copy(data[56:]).avail, 65533)
    mapped.unmapped(0, 2 * PAGE, 2 * PAGE)
    data = _get_info(call, mapped.container, PAGE)[2]
    expect(u.IommuType1InfoDmaAvail.from_buffer_copy(data[56:]).avail, 65535)
