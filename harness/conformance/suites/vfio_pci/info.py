# SPDX-License-Identifier: Apache-2.0
"""What a device says of itself, its regions and its interrupts, and how it is reset."""

from __future__ import annotations

import struct

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EBADF, EFAULT, EINVAL, ENODEV, ENOSPC, ENOTTY
from harness.conformance.suites.vfio_pci._device import (
    BRIDGED_EDU,
    E1000E,
    EDU,
    ERR,
    INTX,
    MACHINE,
    MSI,
    MSIX,
    NVME,
    REQ,
    TESTDEV,
    ask,
    bind,
    group_path,
    irq_info,
    open_device,
    region_info,
)
from harness.uapi import vfio as u

_CORE = "drivers/vfio/pci/vfio_pci_core.c, 6.1"
_INFO = f"vfio_pci_ioctl_get_info: {_CORE}"
_REGION = f"vfio_pci_ioctl_get_region_info: {_CORE}"
_IRQ = f"vfio_pci_ioctl_get_irq_info: {_CORE}"
_UNTOUCHED = 0xEEEEEEEE


@case(source=_INFO, machine=MACHINE)
@param("address flags", [(EDU, 2), (NVME, 3), (E1000E, 3)])
def device_info(call: Call, address: str, flags: int) -> None:
    """RESET only if the function could be reset when it was opened."""
    fd = open_device(call, address).fd
    result, data = ask(call, fd, u.VFIO_DEVICE_GET_INFO, struct.pack("<II", 16, 0) + bytes(8))
    expect(result, 0)
    expect(struct.unpack("<IIII", data), (16, flags, 9, 5))


@case(source=_INFO, machine=MACHINE)
@param("argsz cap_offset", [(16, _UNTOUCHED), (19, None), (20, 0), (24, 0), (100, 0)])
def device_info_sizes(call: Call, argsz: int, cap_offset: int | None) -> None:
    """There are no capabilities, but who has room is told so."""
    fd = open_device(call).fd
    head = struct.pack("<I", argsz).ljust(128, b"\xee")
    result, data = ask(call, fd, u.VFIO_DEVICE_GET_INFO, head)
    expect(result, 0)
    expect(struct.unpack_from("<I", data)[0], argsz)
    if cap_offset is not None:
        expect(struct.unpack_from("<I", data, 16)[0], cap_offset)


@case(source=_INFO, machine=MACHINE)
def device_info_refused(call: Call) -> None:
    fd = open_device(call).fd
    for argsz in (0, 15):
        request = struct.pack("<I", argsz) + bytes(20)
        expect(ask(call, fd, u.VFIO_DEVICE_GET_INFO, request)[0], EINVAL)
    expect(call.ioctl(fd, u.VFIO_DEVICE_GET_INFO, 0), EFAULT)


@case(source=_REGION, machine=MACHINE)
@param(
    "address index flags size",
    [
        (EDU, 0, 7, 0x100000),
        (EDU, 1, 0, 0),
        (EDU, 5, 0, 0),
        (EDU, 6, 0, 0),
        (EDU, 7, 3, 256),
        (NVME, 1, 0, 0),  # the upper half of BAR 0
        (NVME, 7, 3, 4096),
        (E1000E, 0, 7, 0x20000),
        (E1000E, 1, 7, 0x20000),
        (E1000E, 2, 3, 32),  # I/O ports
        (E1000E, 6, 1, 0x40000),
        (E1000E, 7, 3, 4096),
    ],
    id="{address}-{index}",
)
def region(call: Call, address: str, index: int, flags: int, size: int) -> None:
    """Without capabilities cap_offset stays what the caller put there."""
    fd = open_device(call, address).fd
    result, data = region_info(call, fd, index)
    expect(result, 0)
    wanted = (32, flags, index, _UNTOUCHED, size, index << 40)
    expect(struct.unpack_from("<IIIIQQ", data), wanted)


@case(source=f"{_REGION}; msix_mappable_cap", machine=MACHINE)
@param("address index size", [(NVME, 0, 0x4000), (E1000E, 3, 0x4000)], id="{address}-{index}")
def region_with_msix_table(call: Call, address: str, index: int, size: int) -> None:
    """Who has no room for the capability is told how much it needs."""
    fd = open_device(call, address).fd
    result, data = region_info(call, fd, index)
    expect(result, 0)
    expect(struct.unpack_from("<IIIIQQ", data), (40, 15, index, 0, size, index << 40))
    result, data = region_info(call, fd, index, 40)
    expect(result, 0)
    expect(struct.unpack_from("<IIIIQQ", data), (40, 15, index, 32, size, index << 40))
    expect(struct.unpack_from("<HHI", data, 32), (u.VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1, 0))


@case(source=_REGION, machine=MACHINE)
@param(
    "index argsz",
    [(8, 32), (9, 32), (0xFFFFFFFF, 32), (0, 31), (0, 0), (9, 31)],
    id="{index}-{argsz}",
)
def region_refused(call: Call, index: int, argsz: int) -> None:
    """VGA access is not configured."""
    fd = open_device(call).fd
    expect(region_info(call, fd, index, argsz)[0], EINVAL)


@case(source=f"{_REGION}; {_IRQ}", machine=MACHINE)
def larger_than_needed(call: Call) -> None:
    """A size that has room for more is not corrected where there is nothing to say."""
    fd = open_device(call).fd
    result, data = region_info(call, fd, 0, 40)
    expect(result, 0)
    expect(struct.unpack_from("<III", data), (40, 7, 0))
    result, info = irq_info(call, fd, REQ, 32)
    expect(result, 0)
    expect((info.argsz, info.count), (32, 1))


@case(source=_REGION, machine=MACHINE)
def region_unreadable(call: Call) -> None:
    expect(call.ioctl(open_device(call).fd, u.VFIO_DEVICE_GET_REGION_INFO, 0), EFAULT)


@case(source=_IRQ, machine=MACHINE)
@param(
    "address index flags count",
    [
        (EDU, INTX, 7, 1),
        (EDU, MSI, 9, 1),
        (EDU, REQ, 9, 1),
        (NVME, INTX, 7, 1),
        (NVME, MSI, 9, 0),
        (NVME, ERR, 9, 1),
        (E1000E, MSI, 9, 1),
    ],
    id="{address}-{index}",
)
def irq(call: Call, address: str, index: int, flags: int, count: int) -> None:
    result, info = irq_info(call, open_device(call, address).fd, index)
    expect(result, 0)
    expect((info.flags, info.count), (flags, count))


@case(source=_IRQ, machine=MACHINE)
@param("address count", [(EDU, 0), (NVME, 65), (E1000E, 5)])
def irq_of_msix(call: Call, address: str, count: int) -> None:
    """From 6.5 on vectors come and go one by one, where there are any."""
    result, info = irq_info(call, open_device(call, address).fd, MSIX)
    expect(result, 0)
    expect((info.flags, info.count), (1 if call.since("6.12") and count else 9, count))


@case(source=_IRQ, machine=MACHINE)
@param(
    "index argsz",
    [(5, 16), (0xFFFFFFFF, 16), (INTX, 15), (INTX, 0), (ERR, 16)],
    id="{index}-{argsz}",
)
def irq_refused(call: Call, index: int, argsz: int) -> None:
    """Errors are reported of PCI Express functions only, which edu is not."""
    expect(irq_info(call, open_device(call).fd, index, argsz)[0], EINVAL)


@case(source=f"vfio_pci_core_ioctl: {_CORE}", machine=MACHINE)
@param("command", [u.VFIO_CHECK_EXTENSION, 0x3B64 + 50, 0x5401, u.VFIO_DEVICE_QUERY_GFX_PLANE])
def unknown_commands(call: Call, command: int) -> None:
    expect(call.ioctl(open_device(call).fd, command, call.buffer(64)), ENOTTY)


@case(source=f"vfio_pci_ioctl_reset: {_CORE}", machine=MACHINE)
def reset(call: Call) -> None:
    """Of a function that has a way to be reset, and of one that has not."""
    expect(call.ioctl(open_device(call, NVME).fd, u.VFIO_DEVICE_RESET), 0)
    expect(call.ioctl(open_device(call, EDU).fd, u.VFIO_DEVICE_RESET), EINVAL)


_HOT_RESET = f"vfio_pci_ioctl_pci_hot_reset: {_CORE}"
_HOT_RESET_INFO = f"vfio_pci_ioctl_get_pci_hot_reset_info: {_CORE}"


@case(source=_HOT_RESET_INFO, machine=MACHINE)
def hot_reset_info_on_the_root_bus(call: Call) -> None:
    fd = open_device(call).fd
    for argsz, error in ((8, EINVAL), (11, EINVAL), (12, ENODEV), (512, ENODEV)):
        request = struct.pack("<I", argsz).ljust(512, b"\xff")
        result, data = ask(call, fd, u.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, request)
        expect(result, error)
        expect(data, request)


@case(source=_HOT_RESET_INFO, machine=MACHINE)
def hot_reset_info_behind_a_bridge(call: Call) -> None:
    """Both functions of the bus would be reset; who has no room is told how many."""
    bind(call, TESTDEV)
    fd = open_device(call, BRIDGED_EDU).fd
    request = struct.pack("<I", 12).ljust(28, b"\xff")
    result, data = ask(call, fd, u.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, request)
    expect(result, ENOSPC)
    expect(struct.unpack_from("<III", data), (12, 0, 2))
    result, data = ask(
        call, fd, u.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, struct.pack("<I", 28) + bytes(24)
    )
    expect(result, 0)
    group = int(group_path(call, BRIDGED_EDU).rsplit("/", 1)[1])
    devices = (group, 0, 1, 1 << 3, group, 0, 1, 2 << 3)
    expect(struct.unpack("<IIIIHBBIHBB", data), (28, 0, 2, *devices))


@case(source=_HOT_RESET, machine=MACHINE)
def hot_reset_on_the_root_bus(call: Call) -> None:
    """From 6.6 on it is looked at first whether there are groups at all."""
    fd = open_device(call).fd
    for argsz, flags, count, error in (
        (8, 0, 0, EINVAL),
        (12, 1, 0, EINVAL),
        (12, 0, 0, EINVAL if call.since("6.12") else ENODEV),
        (16, 0, 1, ENODEV),
    ):
        request = struct.pack("<IIIi", argsz, flags, count, -1)
        expect(ask(call, fd, u.VFIO_DEVICE_PCI_HOT_RESET, request)[0], error)
    expect(call.ioctl(fd, u.VFIO_DEVICE_PCI_HOT_RESET, 0), EFAULT)


@case(source=_HOT_RESET, machine=MACHINE)
def hot_reset_behind_a_bridge(call: Call) -> None:
    """The caller must have the groups of all functions, and vfio-pci the functions."""
    opened = open_device(call, BRIDGED_EDU)

    def reset_with(count: int, *numbers: int) -> object:
        request = struct.pack("<III", 12 + 4 * count, 0, count)
        data = request + struct.pack("<3i", *numbers, *(-1,) * (3 - len(numbers)))
        return ask(call, opened.fd, u.VFIO_DEVICE_PCI_HOT_RESET, data)[0]

    expect(reset_with(0), EINVAL)
    expect(reset_with(3), EINVAL)
    expect(reset_with(1, -1), EBADF)
    expect(reset_with(1, opened.container.number), EINVAL)
    # The other function is nobody's.
    expect(reset_with(1, opened.group.number), EINVAL)
    bind(call, TESTDEV)
    expect(reset_with(1, opened.group.number), 0)
