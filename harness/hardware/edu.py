# SPDX-License-Identifier: Apache-2.0
"""QEMU's teaching device ``edu``: factorials, interrupts and DMA of one page.

Follows QEMU's documentation of it (docs/specs/edu.rst) and what it does in a virtual machine:
accesses of a width it does not take, and registers that are not there, read as zeros (less than 4
bytes) or all ones. It works at once, so nobody ever sees the busy bits.
"""

from __future__ import annotations

from contextlib import suppress

from harness.hardware import pci_config as cfg
from harness.hardware.pci import DmaFault, PciFunction
from harness.hardware.pci_config import FunctionEntry, load

IDENTIFICATION = 0x010000ED
#: Registers of BAR 0. From DMA_SOURCE on they take 8 bytes, too.
IDENTITY, LIVENESS, FACTORIAL, STATUS = 0x00, 0x04, 0x08, 0x20
INTERRUPT_STATUS, INTERRUPT_RAISE, INTERRUPT_ACKNOWLEDGE = 0x24, 0x60, 0x64
DMA_SOURCE, DMA_DESTINATION, DMA_COUNT, DMA_COMMAND = 0x80, 0x88, 0x90, 0x98
DMA_START, DMA_TO_MEMORY, DMA_INTERRUPT = 1, 2, 4
#: The device's own memory, as its DMA addresses it.
BUFFER, BUFFER_SIZE = 0x40000, 4096
FACTORIAL_INTERRUPT = 0x80
#: Bits of INTERRUPT_STATUS that the device raises by itself.
FACTORIAL_DONE, DMA_DONE = 0x1, 0x100
#: It drives 28 address bits.
ADDRESS_MASK = (1 << 28) - 1


class EduFunction(PciFunction):
    """The device behind BAR 0."""

    def __init__(self, entry: FunctionEntry) -> None:
        super().__init__(entry)
        self._clear()

    def _clear(self) -> None:
        self._liveness = self._factorial = self._status = self._interrupts = 0
        self._dma = {DMA_SOURCE: 0, DMA_DESTINATION: 0, DMA_COUNT: 0, DMA_COMMAND: 0}
        self._buffer = bytearray(BUFFER_SIZE)

    def reset(self) -> None:
        """See PciFunction."""
        super().reset()
        self._clear()

    def bar_load(self, bar: int, offset: int, size: int) -> int:
        """See PciFunction."""
        if size < 4:
            return 0
        registers = {
            IDENTITY: IDENTIFICATION,
            LIVENESS: self._liveness,
            FACTORIAL: self._factorial,
            STATUS: self._status,
            INTERRUPT_STATUS: self._interrupts,
        }
        ones: int = (1 << 8 * size) - 1
        if offset >= DMA_SOURCE:
            return self._dma.get(offset, ones) & ones
        return registers.get(offset, ones) if size == 4 else ones

    def bar_store(self, bar: int, offset: int, size: int, value: int) -> None:
        """See PciFunction."""
        if size < 4 or (offset < DMA_SOURCE and size != 4):
            return
        if offset == LIVENESS:
            self._liveness = ~value & 0xFFFFFFFF
        elif offset == FACTORIAL:
            self._compute(value)
        elif offset == STATUS:
            self._status = value & FACTORIAL_INTERRUPT
        elif offset == INTERRUPT_RAISE:
            self._raise(value)
        elif offset == INTERRUPT_ACKNOWLEDGE:
            self._acknowledge(value)
        elif offset == DMA_COMMAND:
            self._start(value)
        elif offset in self._dma:
            self._dma[offset] = value

    def _compute(self, number: int) -> None:
        result = 1
        while number > 0 and result:
            result = result * number & 0xFFFFFFFF
            number -= 1
        self._factorial = result
        if self._status & FACTORIAL_INTERRUPT:
            self._raise(FACTORIAL_DONE)

    # --- interrupts

    def _raise(self, bits: int) -> None:
        self._interrupts |= bits
        if not self._interrupts:
            return
        if self.sends_messages:
            self.raise_interrupt(0)
        else:
            self.set_line(asserted=True)

    def _acknowledge(self, bits: int) -> None:
        self._interrupts &= ~bits
        if not self._interrupts and not self.sends_messages:
            self.set_line(asserted=False)

    # --- DMA

    def _start(self, command: int) -> None:
        if not command & DMA_START:
            return
        self._dma[DMA_COMMAND] = command & ~DMA_START
        with suppress(DmaFault):  # what was not read or written is the only sign of it
            self._transfer(to_memory=bool(command & DMA_TO_MEMORY))
        if command & DMA_INTERRUPT:
            self._raise(DMA_DONE)

    def _transfer(self, *, to_memory: bool) -> None:
        """Nothing happens outside the buffer, or while the function may not be a bus master."""
        inside, outside = self._dma[DMA_DESTINATION], self._dma[DMA_SOURCE]
        if to_memory:
            inside, outside = outside, inside
        start, count = inside - BUFFER, self._dma[DMA_COUNT]
        master = load(self.config, cfg.COMMAND, 2) & cfg.COMMAND_MASTER
        if not master or self.dma is None or start < 0 or start + count > BUFFER_SIZE:
            return
        if to_memory:
            self.dma.write(outside & ADDRESS_MASK, bytes(self._buffer[start : start + count]))
        else:
            self._buffer[start : start + count] = self.dma.read(outside & ADDRESS_MASK, count)
