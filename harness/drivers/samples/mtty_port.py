# SPDX-License-Identifier: Apache-2.0
"""A serial port of mtty: a 16550 whose output is its input (samples/vfio-mdev/mtty.c, 6.1)."""

from __future__ import annotations

import struct
from collections.abc import Callable

MAX_FIFO_SIZE = 16
UART_RX = UART_TX = 0
UART_IER, UART_IIR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCR = range(1, 8)
UART_FCR = UART_IIR
_IER_RDI, _IER_THRI, _IER_RLSI, _IER_MSI = 1, 2, 4, 8
_IIR_NO_INT, _IIR_MSI, _IIR_THRI, _IIR_RDI, _IIR_RLSI = 1, 0, 2, 4, 6
_FCR_ENABLE_FIFO, _FCR_CLEAR = 1, 0x06
_LCR_DLAB = 0x80
_MCR_DTR, _MCR_RTS, _MCR_OUT2, _MCR_AFE = 1, 2, 8, 0x20
_LSR_DR, _LSR_OE, _LSR_THRE, _LSR_TEMT = 1, 2, 0x20, 0x40
_MSR_DCTS, _MSR_DDSR, _MSR_CTS, _MSR_DSR, _MSR_DCD = 1, 2, 0x10, 0x20, 0x80
#: struct serial_port: registers, fifo, its head, tail and count, DLAB, overrun, divisor, FCR, size
#: and trigger level of the fifo.
_STATE = struct.Struct("<8s16sBBB??xHBBBx")


class SerialPort:
    """struct serial_port; ``trigger`` sends an interrupt."""

    SIZE = _STATE.size

    def __init__(self, trigger: Callable[[], None]) -> None:
        self._trigger = trigger
        self._registers = bytearray(8)
        self._fifo = bytearray(MAX_FIFO_SIZE)
        self._head = self._tail = self._count = 0
        self._dlab = self._overrun = False
        self._divisor = self._fcr = self._level = 0
        self._size = MAX_FIFO_SIZE

    @property
    def _empty(self) -> bool:
        return self._head == self._tail

    def write(self, offset: int, value: int) -> None:
        """handle_bar_write."""
        if offset == UART_TX:
            self._transmit(value)
        elif offset == UART_IER:
            self._write_ier(value)
        elif offset == UART_FCR:
            self._write_fcr(value)
        elif offset == UART_LCR:
            self._dlab = bool(value & _LCR_DLAB)
            if self._dlab:
                self._divisor = 0
            self._registers[UART_LCR] = value
        elif offset == UART_MCR:
            self._registers[UART_MCR] = value
            if self._registers[UART_IER] & _IER_MSI:
                for bits in (_MCR_OUT2, _MCR_RTS | _MCR_DTR):
                    if value & bits:
                        self._trigger()
        elif offset == UART_SCR:
            self._registers[UART_SCR] = value

    def _transmit(self, value: int) -> None:
        """What is sent is received."""
        if self._dlab:
            self._divisor |= value
            return
        enabled = self._registers[UART_IER]
        self._overrun = self._count >= self._size
        if self._overrun:
            if enabled & _IER_RLSI:
                self._trigger()
            return
        self._fifo[self._head] = value
        self._count += 1
        self._head = (self._head + 1) % MAX_FIFO_SIZE
        if enabled & _IER_RDI and self._count == self._level:
            self._trigger()

    def _write_ier(self, value: int) -> None:
        if self._dlab:
            self._divisor |= value << 8
            return
        self._registers[UART_IER] = value
        if value & _IER_THRI and self._empty:
            self._trigger()

    def _write_fcr(self, value: int) -> None:
        """Whatever level is asked for, it is 1 (sic)."""
        self._fcr = value
        if value & _FCR_CLEAR:
            self._head = self._tail = self._count = 0
        self._level = 1
        self._size = MAX_FIFO_SIZE if value & _FCR_ENABLE_FIFO else 1

    def read(self, offset: int) -> int:
        """handle_bar_read; what the driver leaves alone is 0 here."""
        if offset == UART_RX:
            return self._receive()
        if offset == UART_IER:
            return self._divisor >> 8 if self._dlab else self._registers[UART_IER] & 0x0F
        if offset == UART_IIR:
            return self._interrupt_identification()
        if offset == UART_LSR:
            return self._line_status()
        if offset == UART_MSR:
            return self._modem_status()
        return self._registers[offset] if offset in (UART_LCR, UART_MCR, UART_SCR) else 0

    def _receive(self) -> int:
        if self._dlab:
            return self._divisor & 0xFF
        value = 0
        if not self._empty:
            value = self._fifo[self._tail]
            self._count -= 1
            self._tail = (self._tail + 1) % MAX_FIFO_SIZE
        if self._empty and self._registers[UART_IER] & _IER_THRI:
            self._trigger()
        return value

    def _interrupt_identification(self) -> int:
        enabled, modem = self._registers[UART_IER], self._registers[UART_MCR]
        pending = 0
        if enabled & _IER_RLSI and self._overrun:
            pending |= _IIR_RLSI
        if enabled & _IER_RDI and self._count >= self._level:
            pending |= _IIR_RDI
        if enabled & _IER_THRI and self._empty:
            pending |= _IIR_THRI
        if enabled & _IER_MSI and modem & (_MCR_RTS | _MCR_DTR):
            pending |= _IIR_MSI
        return (pending or _IIR_NO_INT) | 0xC0

    def _line_status(self) -> int:
        status = _LSR_TEMT | _LSR_THRE if self._empty else _LSR_DR
        return status | _LSR_OE * self._overrun

    def _modem_status(self) -> int:
        """With automatic flow control, CTS says that there is room."""
        status = _MSR_DSR | _MSR_DDSR | _MSR_DCD
        full = self._registers[UART_MCR] & _MCR_AFE and self._count >= self._size
        return status if full else status | _MSR_CTS | _MSR_DCTS

    def save(self) -> bytes:
        """All of it, as a migration moves it."""
        return _STATE.pack(
            bytes(self._registers),
            bytes(self._fifo),
            self._head,
            self._tail,
            self._count,
            self._dlab,
            self._overrun,
            self._divisor,
            self._fcr,
            self._size,
            self._level,
        )

    def load(self, data: bytes) -> None:
        """What :meth:`save` gave."""
        registers, fifo, *rest = _STATE.unpack(data)
        self._registers[:], self._fifo[:] = registers, fifo
        self._head, self._tail, self._count = (value % MAX_FIFO_SIZE for value in rest[:3])
        self._dlab, self._overrun, self._divisor, self._fcr, self._size, self._level = rest[3:]
