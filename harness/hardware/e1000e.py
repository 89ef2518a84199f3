# SPDX-License-Identifier: Apache-2.0
"""Intel's 82574L as QEMU's ``e1000e`` has it after a reset: registers, and no network.

BAR 0 has registers of 32 bits. A narrow access is one to the low bytes of the register. Device
Control is at two places, of which the second reads as 0. Values after reset are QEMU's own.
"""

from __future__ import annotations

from harness.hardware import pci_config as cfg
from harness.hardware.pci import PciFunction
from harness.hardware.pci_config import ConfigError, FunctionEntry, find_capability

CONTROL, CONTROL_AGAIN, STATUS, EEPROM_CONTROL = 0x0, 0x4, 0x8, 0x10
_RESET = {CONTROL: 0x00140241, STATUS: 0x00080283, EEPROM_CONTROL: 0x00000300}
#: Of Device Control; it reads as 0.
_CONTROL_RESET = 1 << 26
_REGISTERS_BAR = 0
_WORD = 4


class E1000eFunction(PciFunction):
    """The network function. What is behind its other BARs is memory.

    ConfigError if BAR 0 cannot hold the registers.
    """

    def __init__(self, entry: FunctionEntry) -> None:
        super().__init__(entry)
        bar, needed = self.bars.get(_REGISTERS_BAR), max(_RESET) + _WORD
        if bar is None or bar.size < needed:
            raise ConfigError(f"BAR {_REGISTERS_BAR} is needed, with {needed:#x} bytes", "bars")
        power = find_capability(self.config, cfg.CAP_PM)
        if power:
            self._mask.allow(power + cfg.PM_CONTROL, 2, cfg.PM_DATA_SELECT)
        self._reset_registers()

    def _reset_registers(self) -> None:
        memory = self.memory(_REGISTERS_BAR)
        for offset, value in _RESET.items():
            memory[offset : offset + _WORD] = value.to_bytes(_WORD, "little")

    def reset(self) -> None:
        """See PciFunction."""
        super().reset()
        self._reset_registers()

    def bar_load(self, bar: int, offset: int, size: int) -> int:
        """See PciFunction."""
        if bar == _REGISTERS_BAR and size < _WORD:
            return super().bar_load(bar, offset & ~(_WORD - 1), _WORD) & ((1 << 8 * size) - 1)
        return super().bar_load(bar, offset, size)

    def bar_store(self, bar: int, offset: int, size: int, value: int) -> None:
        """See PciFunction."""
        if bar != _REGISTERS_BAR:
            super().bar_store(bar, offset, size, value)
            return
        for position in range(0, size, _WORD):
            self._write_register((offset + position) & ~(_WORD - 1), value >> 8 * position)

    def _write_register(self, offset: int, value: int) -> None:
        value &= 0xFFFFFFFF
        if offset in (CONTROL, CONTROL_AGAIN):
            offset, value = CONTROL, value & ~_CONTROL_RESET
        if offset != STATUS:
            super().bar_store(_REGISTERS_BAR, offset, _WORD, value)
