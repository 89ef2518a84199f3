# SPDX-License-Identifier: Apache-2.0
"""/dev/iommu: virtual IOMMUs, which Intel's has none of."""

from __future__ import annotations

from typing import Any

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EINVAL, ENOENT, EOPNOTSUPP, EOVERFLOW
from harness.conformance.suites.iommufd._steps import NOWHERE, bound, sized
from harness.conformance.suites.vfio._steps import PAGE, U64
from harness.conformance.suites.vfio_pci._device import MACHINE
from harness.uapi import iommufd as u

_FILE = "drivers/iommu/iommufd/viommu.c, 7.2"
_SINCE = "7.2+iommufd"


@case(source=f"iommufd_viommu_alloc_ioctl: {_FILE}", machine=MACHINE, since=_SINCE)
def of_a_device(call: Call) -> None:
    context, _, number = bound(call)
    table = context.hwpt(number, context.ioas())[1]
    for values, answer in (
        ({"type": 0, "dev_id": NOWHERE}, EOPNOTSUPP),
        ({"type": 1, "flags": 1, "dev_id": NOWHERE}, EOPNOTSUPP),
        ({"type": 1, "dev_id": NOWHERE}, ENOENT),
        ({"type": 1, "dev_id": table}, ENOENT),
        *(({"type": kind, "dev_id": number}, EOPNOTSUPP) for kind in (1, 2, 3)),
        ({"type": 1, "dev_id": number, "hwpt_id": NOWHERE}, EOPNOTSUPP),
    ):
        given = sized(u.ViommuAlloc, **{"hwpt_id": table, **values})
        expect(context.ask(u.IOMMU_VIOMMU_ALLOC, given)[0], answer)


_EVENTS, _QUEUE = u.IOMMU_VEVENTQ_ALLOC, u.IOMMU_HW_QUEUE_ALLOC


@case(
    source=f"iommufd_vdevice_alloc_ioctl, iommufd_hw_queue_alloc_ioctl: {_FILE}; "
    "iommufd_veventq_alloc: drivers/iommu/iommufd/eventq.c, 7.2",
    machine=MACHINE,
    since=_SINCE,
)
@param(
    "command structure values answer",
    [
        (u.IOMMU_VDEVICE_ALLOC, u.VdeviceAlloc, {"dev_id": NOWHERE}, ENOENT),
        (_EVENTS, u.VeventqAlloc, {"type": 1, "veventq_depth": 1}, ENOENT),
        (_EVENTS, u.VeventqAlloc, {"type": 1}, EINVAL),
        (_EVENTS, u.VeventqAlloc, {"type": 0}, EOPNOTSUPP),
        (_EVENTS, u.VeventqAlloc, {"type": 1, "flags": 1}, EOPNOTSUPP),
        (_EVENTS, u.VeventqAlloc, {"type": 1, "reserved": 1}, EOPNOTSUPP),
        (_QUEUE, u.HwQueueAlloc, {"type": 1, "length": PAGE}, ENOENT),
        (_QUEUE, u.HwQueueAlloc, {"type": 1}, EINVAL),
        (_QUEUE, u.HwQueueAlloc, {"type": 0}, EOPNOTSUPP),
        (_QUEUE, u.HwQueueAlloc, {"type": 1, "flags": 1}, EOPNOTSUPP),
        (
            _QUEUE,
            u.HwQueueAlloc,
            {"type": 1, "length": PAGE, "nesting_parent_iova": U64 - PAGE + 2},
            EOVERFLOW,
        ),
    ],
    id="{command:#x}-{values}",
)
def what_belongs_to_one(
    call: Call, command: int, structure: Any, values: dict[str, int], answer: object
) -> None:
    """The vIOMMU is looked for last."""
    context, _, _ = bound(call)
    for number in (NOWHERE, context.ioas()):
        given = sized(structure, viommu_id=number, **values)
        expect(context.ask(command, given)[0], answer)


@case(source="iommufd_ioctl_ops: drivers/iommu/iommufd/main.c, 7.2", machine=MACHINE, since=_SINCE)
@param(
    "command size",
    [
        (u.IOMMU_HWPT_INVALIDATE, 32),
        (u.IOMMU_FAULT_QUEUE_ALLOC, 16),
        (u.IOMMU_IOAS_MAP_FILE, 40),
        (u.IOMMU_VIOMMU_ALLOC, 24),
        (u.IOMMU_VDEVICE_ALLOC, 24),
        (u.IOMMU_IOAS_CHANGE_PROCESS, 8),
        (u.IOMMU_VEVENTQ_ALLOC, 28),
        (u.IOMMU_HW_QUEUE_ALLOC, 40),
    ],
    id="{command:#x}",
)
def smallest_structures(call: Call, command: int, size: int) -> None:
    """One byte less is EINVAL; as many as that are looked at."""
    context, _, _ = bound(call)
    for given in (4, size - 1):
        data = given.to_bytes(4, "little") + b"\xff" * (size - 4)
        expect(context.ask(command, data)[0], EINVAL)
    data = size.to_bytes(4, "little") + b"\xff" * (size - 4)
    result, _ = context.ask(command, data)
    expect(result, ENOENT if command == u.IOMMU_VDEVICE_ALLOC else EOPNOTSUPP)
