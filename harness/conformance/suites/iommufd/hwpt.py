# SPDX-License-Identifier: Apache-2.0
"""/dev/iommu: the IOMMU itself, and its page tables."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import (
    EADDRINUSE,
    EBUSY,
    EFAULT,
    EINVAL,
    ENOENT,
    EOPNOTSUPP,
    EOVERFLOW,
)
from harness.conformance.suites.iommufd._steps import (
    FEATURE,
    NOWHERE,
    attach,
    bound,
    detach,
    open_context,
    sized,
)
from harness.conformance.suites.vfio._steps import MESSAGES, PAGE, U64
from harness.conformance.suites.vfio_pci._device import MACHINE
from harness.uapi import iommufd as u
from harness.uapi.fs import O_RDWR

_FILE = "drivers/iommu/iommufd/hw_pagetable.c, 6.12"
_ALLOC = f"iommufd_hwpt_alloc: {_FILE}"
_DIRTY = f"iommufd_hwpt_get_dirty_bitmap: {_FILE}"
_INVALIDATE = f"iommufd_hwpt_invalidate: {_FILE}"
_INFO = "iommufd_get_hw_info: drivers/iommu/iommufd/device.c, 6.12"
#: What QEMU's intel-iommu can do: flags, capabilities, extended capabilities.
_VTD = bytes.fromhex("0100000000000000 860226228c00d200 4a0ff00000000000")
_NO_ATS = u.IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED
_MTTY = "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1"
_UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa2001"
_TYPED, _VTD_TYPE = u.IOMMU_HW_INFO_FLAG_INPUT_TYPE, u.IOMMU_HW_INFO_TYPE_INTEL_VTD


@case(source=_ALLOC, machine=MACHINE, since=FEATURE)
def made(call: Call) -> None:
    """One that a device can be attached to, and that is there until it is destroyed."""
    context, device, number = bound(call)
    ioas = context.ioas()
    result, table = context.hwpt(number, ioas)
    expect(result, 0)
    expect(context.destroy(ioas), EBUSY)
    result, attached = attach(call, device, table)
    expect(result, 0)
    expect(attached, table)
    expect(context.destroy(table), EBUSY)
    expect(detach(call, device), 0)
    expect(context.destroy(table), 0)
    expect(context.destroy(ioas), 0)


@case(source=_ALLOC, machine=MACHINE, since=FEATURE)
@param("flags", [(n,) for n in (1, 2, 3, 5, 6, 9, 10, 0x10, 0x80)])
def flags(call: Call, flags: int) -> None:
    """Nesting and dirty bits there are none."""
    context, _, number = bound(call)
    ioas = context.ioas()
    expect(context.hwpt(number, ioas, flags)[0], EOPNOTSUPP)
    expect(context.hwpt(NOWHERE, ioas, flags)[0], ENOENT)
    expect(context.hwpt(number, NOWHERE, flags)[0], EINVAL)


@case(source=_ALLOC, machine=MACHINE, since=FEATURE)
def for_pasids(call: Call) -> None:
    """A page table of the later kernel can have PASIDs, if only its device could."""
    context, _, number = bound(call)
    result, _ = context.hwpt(number, context.ioas(), u.IOMMU_HWPT_ALLOC_PASID)
    expect(result, 0 if call.since("7.2") else EOPNOTSUPP)


@case(source=_ALLOC, machine=MACHINE, since=FEATURE)
def refused(call: Call) -> None:
    context, _, number = bound(call)
    ioas = context.ioas()
    expect(context.hwpt(number, ioas, reserved=1)[0], EOPNOTSUPP)
    expect(context.hwpt(NOWHERE, ioas, reserved=1)[0], EOPNOTSUPP)
    expect(context.hwpt(NOWHERE, ioas, data_len=8)[0], EINVAL)
    expect(context.hwpt(number, ioas, data_type=1)[0], EINVAL)
    expect(context.hwpt(number, ioas, data_type=1, data_len=16)[0], EOPNOTSUPP)
    expect(context.hwpt(NOWHERE, ioas)[0], ENOENT)
    expect(context.hwpt(ioas, ioas)[0], ENOENT)
    expect(context.hwpt(number, NOWHERE)[0], EINVAL)
    expect(context.hwpt(number, number)[0], EINVAL)


@case(source=f"iommufd_hwpt_nested_alloc: {_FILE}", machine=MACHINE, since=FEATURE)
def nested(call: Call) -> None:
    """No page table can be a parent."""
    context, _, number = bound(call)
    result, table = context.hwpt(number, context.ioas())
    expect(result, 0)
    expect(context.hwpt(number, table)[0], EOPNOTSUPP)
    data = {"data_type": u.IOMMU_HWPT_DATA_VTD_S1, "data_len": 16}
    expect(context.hwpt(number, table, 1, **data)[0], EOPNOTSUPP)
    expect(context.hwpt(number, table, **data)[0], EINVAL)
    expect(context.hwpt(number, table, u.IOMMU_HWPT_FAULT_ID_VALID, **data)[0], EINVAL)
    wanted = EINVAL if call.since("7.2") else EOPNOTSUPP
    expect(context.hwpt(number, table, u.IOMMU_HWPT_ALLOC_PASID, **data)[0], wanted)


@case(source=f"iopt_table_add_domain: {_ALLOC}", machine=MACHINE, since=FEATURE)
def what_is_mapped(call: Call) -> None:
    """Is pinned and has to fit, as when a device is attached."""
    context, _, number = bound(call)
    ioas = context.ioas()
    expect(context.map(ioas, 0, PAGE, 0x10000)[0], 0)
    expect(context.hwpt(number, ioas)[0], EFAULT)
    expect(context.unmap(ioas, 0, PAGE)[0], 0)
    expect(context.map(ioas, 0x800, PAGE, call.buffer(PAGE))[0], 0)
    expect(context.hwpt(number, ioas)[0], EADDRINUSE)
    expect(context.unmap(ioas, 0x800, PAGE)[0], 0)
    expect(context.map(ioas, MESSAGES, PAGE, call.buffer(PAGE))[0], 0)
    expect(context.hwpt(number, ioas)[0], 0)


@case(
    source="iommufd_ioas_option: drivers/iommu/iommufd/ioas.c, 6.12", machine=MACHINE, since=FEATURE
)
def huge_pages(call: Call) -> None:
    """What is in the IOMMU already may have some."""
    context, _, number = bound(call)
    ioas = context.ioas()
    expect(context.hwpt(number, ioas)[0], 0)

    def huge(value: int) -> object:
        given = sized(u.Option, option_id=u.IOMMU_OPTION_HUGE_PAGES, object_id=ioas, val64=value)
        return context.ask(u.IOMMU_OPTION, given)[0]

    memory = call.buffer(PAGE)
    expect(context.map(ioas, 0, PAGE, memory)[0], 0)
    expect(huge(0), EINVAL)
    expect(huge(1), 0)
    expect(context.unmap(ioas, 0, PAGE)[0], 0)
    expect(huge(0), 0)
    expect(context.map(ioas, 0, PAGE, memory)[0], 0)
    expect(huge(0), 0)


# --- dirty pages


@case(source=f"iommufd_hwpt_set_dirty_tracking: {_FILE}", machine=MACHINE, since=FEATURE)
def dirty_tracking(call: Call) -> None:
    context, _, number = bound(call)
    ioas = context.ioas()
    table = context.hwpt(number, ioas)[1]
    for flags, target, reserved, answer in (
        (2, NOWHERE, 0, EOPNOTSUPP),
        (1, NOWHERE, 0, ENOENT),
        (0, ioas, 1, ENOENT),
        (0, table, 0, EOPNOTSUPP),
        (1, table, 0, EOPNOTSUPP),
    ):
        given = sized(u.HwptSetDirtyTracking, flags=flags, hwpt_id=target, reserved=reserved)
        expect(context.ask(u.IOMMU_HWPT_SET_DIRTY_TRACKING, given)[0], answer)


@case(source=_DIRTY, machine=MACHINE, since=FEATURE)
@param(
    "values answer",
    [
        ({}, EOPNOTSUPP),
        ({"flags": 1}, EOPNOTSUPP),
        ({"iova": U64 - PAGE + 1, "length": 2 * PAGE}, EOVERFLOW),
        ({"iova": 0x800}, EINVAL),
        ({"length": 0x800}, EINVAL),
        ({"page_size": 0}, EINVAL),
        ({"page_size": 2 * PAGE}, EINVAL),
        ({"iova": PAGE, "length": 0, "page_size": 0}, (EINVAL, EOVERFLOW)),
        ({"length": 0}, (EINVAL, EOPNOTSUPP)),
    ],
)
def dirty_bitmap(call: Call, values: dict[str, int], answer: object) -> None:
    """The range is looked at first."""
    context, _, number = bound(call)
    table = context.hwpt(number, context.ioas())[1]
    if isinstance(answer, tuple):
        answer = answer[call.since("7.2")]
    given = sized(
        u.HwptGetDirtyBitmap,
        **{"hwpt_id": table, "length": PAGE, "page_size": PAGE, **values},
    )
    expect(context.ask(u.IOMMU_HWPT_GET_DIRTY_BITMAP, given)[0], answer)


@case(source=_DIRTY, machine=MACHINE, since=FEATURE)
def dirty_bitmap_of_nothing(call: Call) -> None:
    context, _, _ = bound(call)
    ioas = context.ioas()
    for values, answer in (
        ({"flags": 2, "hwpt_id": NOWHERE}, EOPNOTSUPP),
        ({"reserved": 1, "hwpt_id": NOWHERE}, EOPNOTSUPP),
        ({"hwpt_id": NOWHERE}, ENOENT),
        ({"hwpt_id": ioas}, ENOENT),
    ):
        given = sized(u.HwptGetDirtyBitmap, **values)
        expect(context.ask(u.IOMMU_HWPT_GET_DIRTY_BITMAP, given)[0], answer)


# --- invalidation


@case(source=_INVALIDATE, machine=MACHINE, since=FEATURE)
def invalidate(call: Call) -> None:
    """There is nothing nested. How many entries were done is told in any case."""
    context, _, number = bound(call)
    ioas = context.ioas()
    table = context.hwpt(number, ioas)[1]
    other = EINVAL if call.since("7.2") else ENOENT
    whole = {"data_uptr": PAGE, "entry_len": 16, "entry_num": 3}
    for target, values, answer in (
        (NOWHERE, {}, ENOENT),
        (NOWHERE, {"reserved": 1, "entry_num": 3}, EOPNOTSUPP),
        (NOWHERE, {**whole, "data_uptr": 0}, EINVAL),
        (NOWHERE, {**whole, "entry_len": 0}, EINVAL),
        (NOWHERE, whole, ENOENT),
        (NOWHERE, {**whole, "entry_num": 1 << 19}, ENOENT),
        (NOWHERE, {**whole, "entry_num": (1 << 19) + 1}, EINVAL),
        (NOWHERE, {**whole, "entry_len": PAGE}, ENOENT),
        (NOWHERE, {**whole, "entry_len": PAGE + 1}, EINVAL),
        (NOWHERE, {"entry_len": PAGE + 1}, ENOENT),
        (number, {}, other),
        (ioas, whole, other),
        (table, whole, other),
        (table, {"data_type": 5}, other),
    ):
        given = sized(u.HwptInvalidate, hwpt_id=target, **values)
        result, data = context.ask(u.IOMMU_HWPT_INVALIDATE, given)
        expect(result, answer)
        expect(u.HwptInvalidate.from_buffer_copy(data).entry_num, 0)


# --- the IOMMU


@case(
    source=f"intel_iommu_hw_info: drivers/iommu/intel/iommu.c, 6.12; {_INFO}",
    machine=MACHINE,
    since=FEATURE,
)
@param("room", [(0,), (8,), (24,), (32,)])
def hw_info(call: Call, room: int) -> None:
    """What fits is there, and behind all of it zeros."""
    context, _, number = bound(call)
    place = call.buffer(64)
    expect(call.poke(place, b"\xff" * 64))
    given = sized(u.HwInfo, dev_id=number, data_len=room, data_uptr=place.address)
    result, data = context.ask(u.IOMMU_GET_HW_INFO, given)
    expect(result, 0)
    info = u.HwInfo.from_buffer_copy(data)
    expect((info.data_len, info.out_data_type), (len(_VTD), _VTD_TYPE))
    expect(info.out_max_pasid_log2, 0)
    expect(info.out_capabilities, _NO_ATS if call.since("7.2") else 0)
    expect(call.peek(place, 64), _VTD[:room].ljust(room, b"\0").ljust(64, b"\xff"))


@case(source=_INFO, machine=MACHINE, since=FEATURE)
def hw_info_refused(call: Call) -> None:
    context, _, number = bound(call)
    ioas = context.ioas()
    for values, answer in (
        ({"dev_id": NOWHERE, "flags": 2}, EOPNOTSUPP),
        ({"dev_id": NOWHERE, "reserved": (1, 0, 0)}, EOPNOTSUPP),
        ({"dev_id": NOWHERE}, ENOENT),
        ({"dev_id": ioas}, ENOENT),
        ({"dev_id": number, "data_len": 8}, EFAULT),
        ({"dev_id": number, "data_len": 8, "data_uptr": 0x10}, EFAULT),
    ):
        given = sized(u.HwInfo, **values)
        expect(context.ask(u.IOMMU_GET_HW_INFO, given)[0], answer)


@case(source=_INFO, machine=MACHINE, since=FEATURE)
@param(
    "flags wanted answer",
    [(0, 7, 0), (_TYPED, 0, 0), (_TYPED, _VTD_TYPE, 0), (_TYPED, 2, EOPNOTSUPP)],
    id="{flags}-{wanted}",
)
def hw_info_of_a_type(call: Call, flags: int, wanted: int, answer: object) -> None:
    """Later kernels can be asked for one."""
    context, _, number = bound(call)
    given = sized(u.HwInfo, dev_id=number, flags=flags, out_data_type=wanted)
    if flags and not call.since("7.2"):
        answer = EOPNOTSUPP
    expect(context.ask(u.IOMMU_GET_HW_INFO, given)[0], answer)


@case(
    source=f"iommufd_access_create: drivers/iommu/iommufd/device.c, 6.12; {_INFO}; {_ALLOC}",
    machine=MACHINE,
    since=FEATURE,
)
def of_a_device_without_dma(call: Call) -> None:
    """What a sample's device is to iommufd is no device."""
    expect(call.write_text(f"{_MTTY}/create", _UUID), len(_UUID))
    (name,) = expect(call.listdir(f"/sys/bus/mdev/devices/{_UUID}/vfio-dev"))
    device, context = expect(call.open(f"/dev/vfio/devices/{name}", O_RDWR)), open_context(call)
    result, number = context.bind(device)
    expect(result, 0)
    ioas = context.ioas()
    expect(context.ask(u.IOMMU_GET_HW_INFO, sized(u.HwInfo, dev_id=number))[0], ENOENT)
    expect(context.hwpt(number, ioas)[0], ENOENT)
    result, attached = attach(call, device, ioas)
    expect(result, 0)
    expect(attached, ioas)
    expect(attach(call, device, number)[0], ENOENT)
    expect(context.destroy(ioas), EBUSY)
    expect(detach(call, device), 0)
    expect(context.destroy(ioas), 0)
