# SPDX-License-Identifier: Apache-2.0
"""QEMU's edu at work (docs/specs/edu.rst): its registers, and its DMA."""

from __future__ import annotations

from harness.conformance import Call, Fd, expect
from harness.conformance.suites.vfio_pci._device import region

LIVENESS, FACTORIAL, STATUS, PENDING, RAISE, ACKNOWLEDGE = 4, 8, 0x20, 0x24, 0x60, 0x64
_SOURCE, _DESTINATION, _COUNT, _START = 0x80, 0x88, 0x90, 0x98
#: The device's own memory.
BUFFER = 0x40000
#: How often a register is read before it has changed; edu's DMA takes a tenth of a second.
_PATIENCE = 2000


def load(call: Call, fd: Fd, register: int, size: int = 4) -> int:
    """What a register has."""
    return int.from_bytes(expect(call.pread(fd, size, region(0) + register)), "little")


def store(call: Call, fd: Fd, register: int, value: int, size: int = 4) -> None:
    """Set a register."""
    expect(call.pwrite(fd, value.to_bytes(size, "little"), region(0) + register), size)


def quiet(call: Call, fd: Fd) -> None:
    """edu cannot be reset, so what another case left is put right."""
    store(call, fd, STATUS, 0)
    store(call, fd, ACKNOWLEDGE, 0xFFFFFFFF)


def until(call: Call, fd: Fd, register: int, mask: int) -> None:
    """Wait until none of the bits is set."""
    for _ in range(_PATIENCE):
        if not load(call, fd, register) & mask:
            return
    expect(load(call, fd, register) & mask, 0)


def transfer(call: Call, fd: Fd, source: int, destination: int, size: int, command: int) -> None:
    """Let the device copy, and wait for it; ``command`` is 2 for a copy from the device."""
    for register, value in (
        (_SOURCE, source),
        (_DESTINATION, destination),
        (_COUNT, size),
        (_START, command | 1),
    ):
        store(call, fd, register, value, 8)
    until(call, fd, _START, 1)
