# SPDX-License-Identifier: Apache-2.0
"""A real device at work: edu's interrupts reach eventfds, its DMA the program's memory."""

from __future__ import annotations

import struct

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.suites.vfio_pci._device import (
    COMMAND,
    EDU,
    EVENTFD,
    INTX,
    INTX_DISABLE,
    MACHINE,
    MASTER,
    MEMORY,
    MSI,
    NONE,
    TRIGGER,
    UNMASK,
    Opened,
    ask,
    count,
    eventfd,
    fds,
    open_device,
    region,
    set_irqs,
    wire,
)
from harness.conformance.suites.vfio_pci._edu import (
    ACKNOWLEDGE,
    BUFFER,
    FACTORIAL,
    LIVENESS,
    PENDING,
    RAISE,
    STATUS,
    load,
    quiet,
    store,
    transfer,
    until,
)
from harness.uapi import vfio as u
from harness.uapi.fs import POLLIN

_HARDWARE = "docs/specs/edu.rst of QEMU"
_INTX = f"vfio_intx_handler: drivers/vfio/pci/vfio_pci_intrs.c, 6.1; {_HARDWARE}"
_MSI = f"vfio_msihandler: drivers/vfio/pci/vfio_pci_intrs.c, 6.1; {_HARDWARE}"
_DMA = f"vfio_iommu_type1_dma_map: drivers/vfio/vfio_iommu_type1.c, 6.1; {_HARDWARE}"
_IOVA = 0x100000
_PAGE = 4096


def _open(call: Call) -> Fd:
    fd = open_device(call).fd
    quiet(call, fd)
    return fd


def _arrived(call: Call, fd: Fd) -> int:
    """How often an eventfd was signalled, after it was: an interrupt takes its time."""
    expect(call.poll({fd: POLLIN}, 5000), {fd: POLLIN})
    return count(call, fd)


@case(source=_HARDWARE, machine=MACHINE)
def registers(call: Call) -> None:
    fd = _open(call)
    expect(load(call, fd, 0), 0x010000ED)
    store(call, fd, LIVENESS, 1)
    expect(load(call, fd, LIVENESS), 0xFFFFFFFE)
    store(call, fd, FACTORIAL, 5)
    until(call, fd, STATUS, 1)
    expect(load(call, fd, FACTORIAL), 120)


@case(source=f"do_io_rw: drivers/vfio/pci/vfio_pci_rdwr.c, 6.1, 6.12; {_HARDWARE}", machine=MACHINE)
def width_of_accesses(call: Call) -> None:
    """8 bytes are one access in later kernels, which this device does not take below 0x80."""
    fd = _open(call)
    store(call, fd, LIVENESS, 1)
    wanted = "ff" * 8 if call.since("6.12") else "ed000001feffffff"
    expect(call.pread(fd, 8, region(0)), bytes.fromhex(wanted))
    expect(call.pread(fd, 4, region(0) + 2), bytes(4))
    expect(call.pread(fd, 1, region(0)), b"\0")


@case(source=_MSI, machine=MACHINE)
def msi(call: Call) -> None:
    """Each interrupt of a bus master is counted, acknowledged or not."""
    fd = _as_bus_master(call).fd
    signalled = eventfd(call)
    store(call, fd, RAISE, 1)
    expect(wire(call, fd, MSI, 0, signalled), 0)
    store(call, fd, RAISE, 2)
    expect(load(call, fd, PENDING), 3)
    expect(_arrived(call, signalled), 1)
    store(call, fd, ACKNOWLEDGE, 3)
    expect(load(call, fd, PENDING), 0)
    store(call, fd, STATUS, 0x80)
    store(call, fd, FACTORIAL, 3)
    until(call, fd, STATUS, 1)
    expect(load(call, fd, FACTORIAL), 6)
    expect(_arrived(call, signalled), 1)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSI, 0, 0), 0)
    store(call, fd, RAISE, 4)
    expect(count(call, signalled), 0)


@case(source=_MSI, machine=MACHINE)
def msi_of_no_bus_master(call: Call) -> None:
    """A message is a write to memory."""
    fd = _open(call)
    signalled = eventfd(call)
    expect(wire(call, fd, MSI, 0, signalled), 0)
    store(call, fd, RAISE, 2)
    expect(count(call, signalled), 0)
    expect(call.pwrite(fd, struct.pack("<H", MEMORY | MASTER), COMMAND), 2)
    store(call, fd, RAISE, 2)
    expect(_arrived(call, signalled), 1)


@case(source=_INTX, machine=MACHINE)
def intx(call: Call) -> None:
    """Masked by itself until it is unmasked; then again if the device still wants it."""
    fd = _open(call)
    signalled = eventfd(call)
    expect(wire(call, fd, INTX, 0, signalled), 0)
    store(call, fd, RAISE, 1)
    expect(_arrived(call, signalled), 1)
    store(call, fd, RAISE, 2)
    expect(count(call, signalled), 0)
    expect(set_irqs(call, fd, NONE | UNMASK, INTX, 0, 1), 0)
    expect(_arrived(call, signalled), 1)
    store(call, fd, ACKNOWLEDGE, 3)
    expect(set_irqs(call, fd, NONE | UNMASK, INTX, 0, 1), 0)
    expect(count(call, signalled), 0)
    store(call, fd, RAISE, 4)
    expect(_arrived(call, signalled), 1)


@case(source=f"vfio_basic_config_write; {_INTX}", machine=MACHINE)
def intx_disabled_in_the_command_register(call: Call) -> None:
    """Enabling it again does what unmasking does."""
    fd = _open(call)
    signalled = eventfd(call)
    expect(wire(call, fd, INTX, 0, signalled), 0)
    expect(call.pwrite(fd, struct.pack("<H", MEMORY | INTX_DISABLE), COMMAND), 2)
    store(call, fd, RAISE, 1)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 1), 0)
    expect(count(call, signalled), 0)
    expect(call.pwrite(fd, struct.pack("<H", MEMORY), COMMAND), 2)
    expect(_arrived(call, signalled), 1)


@case(source=f"vfio_virqfd_enable; {_INTX}", machine=MACHINE)
def intx_unmasked_by_eventfd(call: Call) -> None:
    fd = _open(call)
    signalled, unmask = eventfd(call), eventfd(call)
    expect(wire(call, fd, INTX, 0, signalled), 0)
    expect(set_irqs(call, fd, EVENTFD | UNMASK, INTX, 0, 1, fds(unmask)), 0)
    store(call, fd, RAISE, 1)
    expect(_arrived(call, signalled), 1)
    expect(call.write(unmask, (1).to_bytes(8, "little")), 8)
    expect(_arrived(call, signalled), 1)
    expect(count(call, unmask), 0)


# --- DMA


def _map(call: Call, opened: Opened, address: int, size: int, flags: int = 3) -> None:
    request = u.DmaMap(32, flags, address, _IOVA, size)
    expect(ask(call, opened.container, u.VFIO_IOMMU_MAP_DMA, request)[0], 0)


def _as_bus_master(call: Call) -> Opened:
    opened = open_device(call, EDU)
    expect(call.pwrite(opened.fd, struct.pack("<H", MEMORY | MASTER), COMMAND), 2)
    quiet(call, opened.fd)
    return opened


@case(source=_DMA, machine=MACHINE)
def dma(call: Call) -> None:
    """From memory into the device and back into memory, by the addresses that were mapped."""
    opened = _as_bus_master(call)
    memory = call.buffer(2 * _PAGE)
    expect(call.poke(memory, b"through the IOMMU"))
    _map(call, opened, memory.address, 2 * _PAGE)
    transfer(call, opened.fd, _IOVA, BUFFER, 17, 0)
    transfer(call, opened.fd, BUFFER, _IOVA + _PAGE + 100, 17, 2)
    expect(call.peek(memory + _PAGE + 100, 17), b"through the IOMMU")


@case(source=_DMA, machine=MACHINE)
def dma_with_interrupt(call: Call) -> None:
    opened = _as_bus_master(call)
    memory, signalled = call.buffer(_PAGE), eventfd(call)
    _map(call, opened, memory.address, _PAGE)
    expect(wire(call, opened.fd, MSI, 0, signalled), 0)
    transfer(call, opened.fd, _IOVA, BUFFER, 64, 4)
    expect(load(call, opened.fd, PENDING), 0x100)
    expect(_arrived(call, signalled), 1)


@case(source=_DMA, machine=MACHINE)
@param("why", ["unmapped", "never mapped", "read only", "no bus master"])
def dma_is_blocked(call: Call, why: str) -> None:
    """Nothing is written where the device may not."""
    opened = _as_bus_master(call)
    memory = call.buffer(_PAGE)
    expect(call.poke(memory, b"\x5a" * 16))
    if why != "never mapped":
        _map(call, opened, memory.address, _PAGE, 1 if why == "read only" else 3)
    if why == "unmapped":
        request = u.DmaUnmap(24, 0, _IOVA, _PAGE)
        expect(ask(call, opened.container, u.VFIO_IOMMU_UNMAP_DMA, request)[0], 0)
    if why == "no bus master":
        expect(call.pwrite(opened.fd, struct.pack("<H", MEMORY), COMMAND), 2)
    transfer(call, opened.fd, BUFFER, _IOVA, 16, 2)
    expect(call.peek(memory, 16), b"\x5a" * 16)
