# SPDX-License-Identifier: Apache-2.0
"""A function of which only some registers are known: they always read the same.

All else in its BARs is memory. In the machine file, ``registers`` has for a BAR (``bar0``) the
values of 32 bits by offset.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.hardware.pci import PciFunction
from harness.hardware.pci_config import FunctionEntry

_BAR = re.compile(r"bar([0-5])")
_WORD = 4


class ConstantRegisters(PciFunction):
    """See above. ValueError for registers that no BAR has."""

    takes_registers = True

    def __init__(self, entry: FunctionEntry) -> None:
        super().__init__(entry)
        self._constants = {
            self._bar_of(name): self._values(name, values)
            for name, values in entry.registers.items()
        }

    def _bar_of(self, name: str) -> int:
        match = _BAR.fullmatch(name)
        if match is None or int(match[1]) not in self.bars:
            raise ValueError(f"{name} is no BAR of the function, such as bar0")
        return int(match[1])

    def _values(self, name: str, values: Any) -> Mapping[int, int]:
        size = self.bars[self._bar_of(name)].size
        if not isinstance(values, Mapping):
            raise ValueError(f"{name} maps offsets to values")
        for offset, value in values.items():
            if not (isinstance(offset, int) and isinstance(value, int)):
                raise ValueError(f"{name}: {offset!r} and {value!r} are not both numbers")
            if offset % _WORD or not 0 <= offset < size or not 0 <= value < 1 << 32:
                raise ValueError(f"{name}: {offset!r} is no place for {value!r}")
        return values

    def bar_load(self, bar: int, offset: int, size: int) -> int:
        """See PciFunction."""
        value = super().bar_load(bar, offset, size)
        for position in range(size):
            byte = self._constant(bar, offset + position)
            if byte is not None:
                value = value & ~(0xFF << 8 * position) | byte << 8 * position
        return value

    def _constant(self, bar: int, offset: int) -> int | None:
        word = self._constants.get(bar, {}).get(offset & ~(_WORD - 1))
        return None if word is None else word >> 8 * (offset % _WORD) & 0xFF
