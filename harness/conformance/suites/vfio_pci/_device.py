# SPDX-License-Identifier: Apache-2.0
"""How a program gets at a function, and what it asks of it."""

from __future__ import annotations

import ctypes
import struct
from ctypes import LittleEndianStructure

from attrs import frozen

from harness.conformance import Call, Fd, expect
from harness.conformance.results import Result
from harness.uapi import vfio as u
from harness.uapi.fs import O_NONBLOCK, O_RDONLY, O_RDWR

MACHINE = "qemu-q35"
EDU, E1000E, NVME = "0000:00:05.0", "0000:00:06.0", "0000:00:07.0"
BRIDGED_EDU, TESTDEV = "0000:01:01.0", "0000:01:02.0"
PCI = "/sys/bus/pci"
CONFIG = u.VFIO_PCI_CONFIG_REGION_INDEX << u.VFIO_PCI_OFFSET_SHIFT
COMMAND, STATUS, BAR0, BAR1 = CONFIG + 4, CONFIG + 6, CONFIG + 0x10, CONFIG + 0x14
MEMORY, MASTER, INTX_DISABLE = 2, 4, 0x400

INTX, MSI, MSIX, ERR, REQ = range(5)
NONE, BOOL, EVENTFD = (
    u.VFIO_IRQ_SET_DATA_NONE,
    u.VFIO_IRQ_SET_DATA_BOOL,
    u.VFIO_IRQ_SET_DATA_EVENTFD,
)
MASK, UNMASK, TRIGGER = (
    u.VFIO_IRQ_SET_ACTION_MASK,
    u.VFIO_IRQ_SET_ACTION_UNMASK,
    u.VFIO_IRQ_SET_ACTION_TRIGGER,
)
GET, SET, PROBE = (
    u.VFIO_DEVICE_FEATURE_GET,
    u.VFIO_DEVICE_FEATURE_SET,
    u.VFIO_DEVICE_FEATURE_PROBE,
)


def region(index: int) -> int:
    """Where a region begins in the device's file."""
    return index << u.VFIO_PCI_OFFSET_SHIFT


def unbind(call: Call, address: str) -> None:
    """Take a function from its driver, if it has one."""
    driver = f"{PCI}/devices/{address}/driver"
    bound = call.readlink(driver)
    bound.looked_at = True
    if bound.error is None:
        expect(call.write_text(f"{driver}/unbind", address))


def bind(call: Call, address: str) -> None:
    """Give a function to vfio-pci."""
    unbind(call, address)
    expect(call.write_text(f"{PCI}/devices/{address}/driver_override", "vfio-pci"))
    expect(call.write_text(f"{PCI}/drivers_probe", address))


def group_path(call: Call, address: str) -> str:
    """The node of the function's group."""
    link = expect(call.readlink(f"{PCI}/devices/{address}/iommu_group"))
    return f"/dev/vfio/{link.rsplit('/', 1)[1]}"


@frozen
class Opened:
    """An open device, with what it stands on."""

    container: Fd
    group: Fd
    fd: Fd


def device_fd(call: Call, group: Fd, address: str) -> Fd:
    """VFIO_GROUP_GET_DEVICE_FD."""
    name = call.buffer(64)
    expect(call.poke(name, address.encode() + b"\0"))
    return Fd(expect(call.ioctl(group, u.VFIO_GROUP_GET_DEVICE_FD, name)), address)


def open_device(call: Call, address: str = EDU) -> Opened:
    """Bind the function, and open it."""
    bind(call, address)
    return open_bound(call, address)


def open_bound(call: Call, address: str, options: str = "") -> Opened:
    """Open and set up the container and the group, and open the device."""
    container = expect(call.open("/dev/vfio/vfio", O_RDWR))
    group = expect(call.open(group_path(call, address), O_RDWR))
    number = call.buffer(8)
    expect(call.poke(number, struct.pack("<i", container.number)))
    expect(call.ioctl(group, u.VFIO_GROUP_SET_CONTAINER, number), 0)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, u.VFIO_TYPE1v2_IOMMU), 0)
    return Opened(container, group, device_fd(call, group, f"{address}{options}"))


def ask(
    call: Call, fd: Fd, command: int, data: bytes | LittleEndianStructure
) -> tuple[Result[int], bytes]:
    """An ioctl with a structure: its result, and the structure afterwards."""
    content = bytes(data)
    memory = call.buffer(len(content))
    expect(call.poke(memory, content))
    result = call.ioctl(fd, command, memory)
    return result, expect(call.peek(memory, len(content)))


def region_info(call: Call, fd: Fd, index: int, argsz: int = 32) -> tuple[Result[int], bytes]:
    """VFIO_DEVICE_GET_REGION_INFO; what it leaves alone reads as 0xee."""
    head = struct.pack("<III", argsz, 0xEEEEEEEE, index)
    return ask(call, fd, u.VFIO_DEVICE_GET_REGION_INFO, head.ljust(max(argsz, 64), b"\xee"))


def irq_info(call: Call, fd: Fd, index: int, argsz: int = 16) -> tuple[Result[int], u.IrqInfo]:
    """VFIO_DEVICE_GET_IRQ_INFO."""
    result, data = ask(call, fd, u.VFIO_DEVICE_GET_IRQ_INFO, u.IrqInfo(argsz, 0, index))
    return result, u.IrqInfo.from_buffer_copy(data)


def set_irqs(
    call: Call,
    fd: Fd,
    flags: int,
    index: int,
    start: int = 0,
    count: int = 0,
    data: bytes = b"",
    argsz: int | None = None,
) -> Result[int]:
    """VFIO_DEVICE_SET_IRQS."""
    size = ctypes.sizeof(u.IrqSet) + len(data) if argsz is None else argsz
    header = bytes(u.IrqSet(size, flags, index, start, count))
    return ask(call, fd, u.VFIO_DEVICE_SET_IRQS, header + data)[0]


def fds(*numbers: Fd | int) -> bytes:
    """What SET_IRQS takes as eventfds."""
    plain = (number.number if isinstance(number, Fd) else number for number in numbers)
    return struct.pack(f"<{len(numbers)}i", *plain)


def wire(call: Call, fd: Fd, index: int, start: int, *eventfds: Fd | int) -> Result[int]:
    """Give interrupts their eventfds."""
    return set_irqs(call, fd, EVENTFD | TRIGGER, index, start, len(eventfds), fds(*eventfds))


def eventfd(call: Call, initial: int = 0) -> Fd:
    """One that never blocks."""
    return expect(call.eventfd(initial, O_NONBLOCK))


def not_an_eventfd(call: Call) -> Fd:
    """Another file that is open."""
    return expect(call.open(f"{PCI}/devices/{EDU}/vendor", O_RDONLY))


def count(call: Call, fd: Fd) -> int:
    """How often an eventfd was signalled since it was read last."""
    result = call.read(fd, 8)
    result.looked_at = True
    return 0 if result.error is not None else int.from_bytes(result.value, "little")


def feature(
    call: Call, fd: Fd, flags: int, data: bytes = b"", argsz: int | None = None
) -> tuple[Result[int], bytes]:
    """VFIO_DEVICE_FEATURE: its result, and the data afterwards."""
    header = struct.pack("<II", 8 + len(data) if argsz is None else argsz, flags)
    result, after = ask(call, fd, u.VFIO_DEVICE_FEATURE, header + data)
    return result, after[8:]
