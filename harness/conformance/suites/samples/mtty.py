# SPDX-License-Identifier: Apache-2.0
"""Configuration space, the serial ports and their interrupts."""

from __future__ import annotations

import struct

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import EBADF, EFAULT, EINVAL, ENOTTY
from harness.conformance.suites.samples._device import MACHINE, know_irqs, open_mtty
from harness.conformance.suites.vfio_pci._device import (
    CONFIG,
    EVENTFD,
    INTX,
    MASK,
    MSI,
    NONE,
    REQ,
    TRIGGER,
    UNMASK,
    ask,
    count,
    eventfd,
    fds,
    irq_info,
    region,
    region_info,
    set_irqs,
    wire,
)
from harness.uapi import vfio as u

_MTTY = "samples/vfio-mdev/mtty.c, 6.1"
_ACCESS = f"mdev_access: {_MTTY}"
_IRQS = f"mtty_set_irqs: {_MTTY}, 6.12"
_TX, _IER, _FCR, _LCR, _MCR, _LSR, _MSR, _SCR = range(8)


@case(source=f"mtty_get_device_info: {_MTTY}", machine=MACHINE)
def info(call: Call) -> None:
    """No reset is promised."""
    fd = open_mtty(call)
    result, data = ask(call, fd, u.VFIO_DEVICE_GET_INFO, u.DeviceInfo(16))
    expect(result, 0)
    expect(struct.unpack("<IIII", data), (16, 2, 9, 5))
    expect(ask(call, fd, u.VFIO_DEVICE_GET_INFO, u.DeviceInfo(15))[0], EINVAL)
    expect(call.ioctl(fd, u.VFIO_DEVICE_RESET), 0)
    expect(call.ioctl(fd, u.VFIO_DEVICE_QUERY_GFX_PLANE, call.buffer(64)), ENOTTY)


@case(source=f"mtty_get_region_info: {_MTTY}", machine=MACHINE)
@param("ports", [1, 2])
def regions(call: Call, ports: int) -> None:
    """What is not there has no size, but can be read and written, it says."""
    fd = open_mtty(call, ports)
    sizes = []
    for index in range(9):
        result, data = region_info(call, fd, index)
        expect(result, 0)
        argsz, flags, _, _, size, offset = struct.unpack_from("<IIIIQQ", data)
        expect((argsz, flags, offset), (32, 3, index << 40))
        sizes.append(size)
    expect(sizes, [8, 8 if ports == 2 else 0, 0, 0, 0, 0, 0, 255, 0])
    expect(region_info(call, fd, 9)[0], EINVAL)


@case(source=_ACCESS, machine=MACHINE)
def config(call: Call) -> None:
    """Its header; the BAR's size, and what cannot be written."""
    fd = open_mtty(call)
    header = "4843533201000002100200070000000001000000" + "00" * 24 + "48435332" + "00" * 13
    expect(call.pread(fd, 62, CONFIG), bytes.fromhex(header + "01"))
    expect(call.pread(fd, 15, CONFIG + 0x60), b"PCI Serial/UART")
    expect(call.pwrite(fd, b"\xff" * 4, CONFIG + 0x10), 4)
    expect(call.pread(fd, 4, CONFIG + 0x10), b"\xf9\xff\xff\xff")
    expect(call.pwrite(fd, b"\xff" * 4, CONFIG + 0x14), 4)
    expect(call.pread(fd, 4, CONFIG + 0x14), bytes(4))
    # The lowest two bits stay set, even the one that is none of a BAR for ports.
    for value, bar in ((0x1002, 0x1003), (0x2000, 0x2003)):
        expect(call.pwrite(fd, struct.pack("<I", value), CONFIG + 0x10), 4)
        expect(call.pread(fd, 4, CONFIG + 0x10), struct.pack("<I", bar))
    expect(call.pwrite(fd, b"\xff" * 4, CONFIG), 4)
    expect(call.pread(fd, 4, CONFIG), b"\x48\x43\x53\x32")
    expect(call.pwrite(fd, b"\x0b\x0c", CONFIG + 0x3C), 2)
    expect(call.pread(fd, 2, CONFIG + 0x3C), b"\x0b\x01")


@case(source=_ACCESS, machine=MACHINE)
@param("index", [6, 8, 9, 100])
def no_such_region(call: Call, index: int) -> None:
    fd = open_mtty(call)
    expect(call.pread(fd, 4, region(index)), EFAULT)
    expect(call.pwrite(fd, bytes(4), region(index)), EFAULT)


def _write(call: Call, fd: Fd, register: int, value: int, port: int = 0) -> None:
    expect(call.pwrite(fd, bytes([value]), region(port) + register), 1)


def _read(call: Call, fd: Fd, register: int, port: int = 0) -> int:
    return expect(call.pread(fd, 1, region(port) + register))[0]


@case(source=f"handle_bar_write, handle_bar_read: {_MTTY}", machine=MACHINE)
def echo(call: Call) -> None:
    """What is written comes back, in order; two ports know nothing of one another."""
    fd = open_mtty(call, 2)
    expect(_read(call, fd, _LSR), 0x60)
    for byte in b"echo":
        _write(call, fd, _TX, byte)
    _write(call, fd, _TX, 0x5A, port=1)
    expect(_read(call, fd, _LSR), 0x01)
    expect(bytes(_read(call, fd, _TX) for _ in range(4)), b"echo")
    expect(_read(call, fd, _LSR), 0x60)
    expect(_read(call, fd, _TX, port=1), 0x5A)


@case(source=f"handle_bar_write, handle_bar_read: {_MTTY}", machine=MACHINE)
def registers(call: Call) -> None:
    """A scratch register; the divisor behind DLAB; CTS says that there is room.

    Interrupts need somebody to be told: 6.1 dies of one for nobody.
    """
    fd = open_mtty(call)
    know_irqs(call, fd)
    expect(wire(call, fd, INTX, 0, eventfd(call)), 0)
    _write(call, fd, _SCR, 0xA5)
    expect(_read(call, fd, _SCR), 0xA5)
    _write(call, fd, _LCR, 0x83)
    _write(call, fd, _TX, 0x0C)
    _write(call, fd, _IER, 0x01)
    expect((_read(call, fd, _TX), _read(call, fd, _IER)), (0x0C, 0x01))
    _write(call, fd, _LCR, 0x03)
    expect((_read(call, fd, _LCR), _read(call, fd, _IER)), (0x03, 0x00))
    _write(call, fd, _IER, 0xFF)
    expect(_read(call, fd, _IER), 0x0F)
    expect(_read(call, fd, _MSR), 0xB3)
    _write(call, fd, _FCR, 0x00)
    _write(call, fd, _MCR, 0x20)
    _write(call, fd, _TX, 1)
    expect(_read(call, fd, _MSR), 0xA2)


@case(source=f"handle_bar_write, handle_bar_read: {_MTTY}", machine=MACHINE)
def overrun(call: Call) -> None:
    """16 bytes have room."""
    fd = open_mtty(call)
    for byte in range(15):
        _write(call, fd, _TX, byte)
    expect(_read(call, fd, _LSR), 0x01)
    _write(call, fd, _TX, 15)
    _write(call, fd, _TX, 16)
    expect(_read(call, fd, _LSR) & 0x02, 0x02)


# --- interrupts


@case(source=f"mtty_get_irq_info: {_MTTY}, 6.12", machine=MACHINE)
def irqs(call: Call) -> None:
    """None before GET_INFO; requests only before 6.8."""
    fd = open_mtty(call)
    expect(irq_info(call, fd, INTX)[0], EINVAL)
    know_irqs(call, fd)
    for index, flags in ((INTX, 7), (MSI, 9)):
        result, found = irq_info(call, fd, index)
        expect(result, 0)
        expect((found.flags, found.count), (flags, 1))
    for index in (2, 3, 5):
        expect(irq_info(call, fd, index)[0], EINVAL)
    expect(irq_info(call, fd, REQ)[0], EINVAL if call.since("6.12") else 0)


@case(source=f"mtty_trigger_interrupt: {_MTTY}, 6.12", machine=MACHINE)
@param("index", [INTX, MSI])
def interrupt(call: Call, index: int) -> None:
    """A byte that has come, with that interrupt enabled. INTx masks itself from 6.8 on."""
    fd = open_mtty(call)
    know_irqs(call, fd)
    signalled = eventfd(call)
    expect(wire(call, fd, index, 0, signalled), 0)
    _write(call, fd, _FCR, 0x01)
    _write(call, fd, _TX, 1)
    expect(count(call, signalled), 0)
    expect(_read(call, fd, _TX), 1)
    _write(call, fd, _IER, 0x01)
    _write(call, fd, _TX, 2)
    expect(count(call, signalled), 1)
    expect(_read(call, fd, _FCR), 0xC4)
    expect(_read(call, fd, _TX), 2)
    _write(call, fd, _TX, 3)
    masked = index == INTX and call.since("6.12")
    expect(count(call, signalled), 0 if masked else 1)
    if masked:
        expect(set_irqs(call, fd, NONE | UNMASK, INTX, 0, 1), 0)
        expect(_read(call, fd, _TX), 3)
        _write(call, fd, _TX, 4)
        expect(count(call, signalled), 1)


@case(source=_IRQS, machine=MACHINE, since="6.12")
def interrupts_as_of_vfio_pci(call: Call) -> None:
    fd = open_mtty(call)
    expect(wire(call, fd, INTX, 0, eventfd(call)), EINVAL)
    know_irqs(call, fd)
    signalled = eventfd(call)
    for action in (MASK, UNMASK):
        expect(set_irqs(call, fd, NONE | action, INTX, 0, 1), EINVAL)
        expect(set_irqs(call, fd, NONE | action, MSI, 0, 1), ENOTTY)
    for index in (2, 3, 4):
        expect(wire(call, fd, index, 0, signalled), ENOTTY)
    expect(wire(call, fd, INTX, 0, 999), EBADF)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 1), EINVAL)
    expect(wire(call, fd, INTX, 0, signalled), 0)
    expect(wire(call, fd, MSI, 0, signalled), EINVAL)
    expect(set_irqs(call, fd, EVENTFD | MASK, INTX, 0, 1, fds(signalled)), ENOTTY)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 1), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 1), 0)
    expect(count(call, signalled), 1)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 0), 0)
    expect(wire(call, fd, MSI, 0, signalled), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSI, 0, 1), 0)
    expect(count(call, signalled), 1)
    expect(wire(call, fd, MSI, 0, -1), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSI, 0, 1), EINVAL)


@case(source=f"mtty_set_irqs: {_MTTY}", machine=MACHINE, until="6.12")
def interrupts_that_nobody_checks(call: Call) -> None:
    """What is not done is no error."""
    fd = open_mtty(call)
    know_irqs(call, fd)
    for index in range(5):
        expect(set_irqs(call, fd, NONE | MASK, index, 0, 1), 0)
        expect(set_irqs(call, fd, NONE | UNMASK, index, 0, 1), 0)
    for index in (2, 3, 4):
        expect(wire(call, fd, index, 0, eventfd(call)), 0)
        expect(wire(call, fd, index, 0, 999), 0)
    expect(wire(call, fd, INTX, 0, 999), EBADF)
