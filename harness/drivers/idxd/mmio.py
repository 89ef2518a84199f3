# SPDX-License-Identifier: Apache-2.0
"""A mapped BAR, and registers as structures (include/asm-generic/io.h)."""

from __future__ import annotations

from ctypes import Structure
from typing import TypeVar

from attrs import frozen

from harness.hardware.pci import PciFunction

Register = TypeVar("Register", bound=Structure)


@frozen
class Mmio:
    """What ioremap returns: one BAR of a function."""

    function: PciFunction
    bar: int

    def ioread32(self, offset: int) -> int:
        return self.function.load(self.bar, offset, 4)

    def ioread64(self, offset: int) -> int:
        return self.function.load(self.bar, offset, 8)

    def iowrite32(self, value: int, offset: int) -> None:
        self.function.store(self.bar, offset, 4, value)

    def iowrite64(self, value: int, offset: int) -> None:
        self.function.store(self.bar, offset, 8, value)

    def read32(self, kind: type[Register], offset: int) -> Register:
        """A 32-bit register."""
        return from_number(kind, self.ioread32(offset), 4)

    def update32(self, kind: type[Register], offset: int, **fields: int) -> None:
        """Read a 32-bit register, change some of its fields, write it."""
        register = self.read32(kind, offset)
        for name, value in fields.items():
            setattr(register, name, value)
        self.iowrite32(to_number(register), offset)

    def read64(self, kind: type[Register], offset: int) -> Register:
        """A 64-bit register."""
        return from_number(kind, self.ioread64(offset), 8)


def from_number(kind: type[Register], value: int, size: int) -> Register:
    """The structure that ``size`` bytes hold."""
    return kind.from_buffer_copy(value.to_bytes(size, "little"))


def to_number(register: Structure) -> int:
    """The bytes of a structure as a number."""
    return int.from_bytes(bytes(register), "little")
