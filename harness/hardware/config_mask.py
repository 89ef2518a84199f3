# SPDX-License-Identifier: Apache-2.0
"""Which bits of a configuration space take what is written to them.

Layouts follow the same specifications as :mod:`harness.hardware.pci_config`. What is not listed
here is read-only.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define

from harness.hardware import pci_config as cfg
from harness.hardware.pci_config import Bar, Rom, capabilities, extended_capabilities, load

#: Offset, size and writable bits; the last number marks bits that a 1 clears.
Field = tuple[int, int, int, int]
#: Such fields at offsets from the start of a capability, by its number.
Fields = Mapping[int, tuple[Field, ...]]

_COMMON: tuple[Field, ...] = (
    # Command: I/O, memory, master, parity, system error, interrupt disable; the errors of Status.
    (cfg.COMMAND, 2, 0x0547, 0),
    (cfg.STATUS, 2, 0, 0xF900),
    (cfg.CACHE_LINE_SIZE, 1, 0xFF, 0),
    (cfg.INTERRUPT_LINE, 1, 0xFF, 0),
)
_BRIDGE: tuple[Field, ...] = (
    (0x18, 4, 0xFFFFFFFF, 0),  # bus numbers, secondary latency timer
    (0x1C, 2, 0xF0F0, 0),  # I/O window
    (0x1E, 2, 0, 0xF900),
    (0x20, 4, 0xFFF0FFF0, 0),  # memory window
    (0x24, 4, 0xFFF0FFF0, 0),  # prefetchable window, and its upper halves
    (0x28, 8, (1 << 64) - 1, 0),
    (0x30, 4, 0xFFFFFFFF, 0),
    (0x3E, 2, 0x0BFF, 0x0400),  # bridge control
)
CAPABILITY_FIELDS: Fields = {
    cfg.CAP_PM: ((cfg.PM_CONTROL, 2, cfg.PM_STATE | 0x0100, 0x8000),),
    cfg.CAP_MSIX: ((cfg.MSIX_CONTROL, 2, cfg.MSIX_ENABLE | cfg.MSIX_MASK_ALL, 0),),
    # Device control (bit 15 only triggers a reset) and status, link control, device control 2.
    cfg.CAP_PCIE: (
        (0x08, 2, 0x7FFF, 0),
        (0x0A, 2, 0, 0x000F),
        (0x10, 2, 0x0FFB, 0),
        (0x28, 2, 0x7FFF, 0),
    ),
}
EXTENDED_FIELDS: Fields = {
    # Status, mask and severity of uncorrectable errors; status and mask of correctable ones.
    cfg.EXT_CAP_AER: (
        (0x04, 4, 0, 0x07FFF030),
        (0x08, 4, 0x07FFF030, 0),
        (0x0C, 4, 0x07FFF030, 0),
        (0x10, 4, 0, 0xF1C1),
        (0x14, 4, 0xF1C1, 0),
        (0x18, 4, 0x0150, 0),
    ),
    cfg.EXT_CAP_ATS: ((0x06, 2, 0x801F, 0),),
    cfg.EXT_CAP_PRI: ((0x04, 2, 0x0001, 0), (0x06, 2, 0, 0x0003), (0x0C, 4, 0xFFFFFFFF, 0)),
    cfg.EXT_CAP_PASID: ((0x06, 2, 0x0007, 0),),
    # Control, and how many functions.
    cfg.EXT_CAP_SRIOV: ((0x08, 2, 0x001F, 0), (0x10, 2, 0xFFFF, 0)),
    0x17: ((0x08, 4, 0x0307, 0),),  # TPH requester control
    0x18: ((0x04, 4, 0x1FFF1FFF, 0),),  # LTR maxima
}


@define
class ConfigMask:
    """``writable`` and ``write_1_to_clear`` bits of every byte of a configuration space."""

    writable: bytearray
    write_1_to_clear: bytearray

    def allow(self, offset: int, size: int, writable: int, write_1_to_clear: int = 0) -> None:
        """Add bits at ``offset``; what is beyond the end is dropped."""
        for position in range(offset, min(offset + size, len(self.writable))):
            shift = 8 * (position - offset)
            self.writable[position] |= writable >> shift & 0xFF
            self.write_1_to_clear[position] |= write_1_to_clear >> shift & 0xFF

    def write(self, config: bytearray, offset: int, data: bytes) -> None:
        """Store ``data`` as the masks allow."""
        for position, byte in enumerate(data, offset):
            mask = self.writable[position]
            value = config[position] & ~mask | byte & mask
            config[position] = value & ~(byte & self.write_1_to_clear[position])


def _allow_msi(mask: ConfigMask, config: bytes | bytearray, offset: int) -> None:
    """Control, address, data and mask bits of MSI, whose layout depends on its flags."""
    control = load(config, offset + cfg.MSI_CONTROL, 2)
    mask.allow(offset + cfg.MSI_CONTROL, 2, cfg.MSI_ENABLE | cfg.MSI_ENABLED_COUNT)
    mask.allow(offset + 4, 4, 0xFFFFFFFC)
    position = offset + 8
    if control & cfg.MSI_64BIT:
        mask.allow(position, 4, 0xFFFFFFFF)
        position += 4
    mask.allow(position, 2, 0xFFFF)
    if control & cfg.MSI_MASKING:
        mask.allow(position + 4, 4, 0xFFFFFFFF)


def build_mask(
    config: bytes | bytearray,
    bars: Mapping[int, Bar],
    rom: Rom | None,
    fields: Fields = CAPABILITY_FIELDS,
    extended_fields: Fields = EXTENDED_FIELDS,
) -> ConfigMask:
    """The masks of the function that ``config`` describes, with these fields of capabilities."""
    mask = ConfigMask(bytearray(len(config)), bytearray(len(config)))
    bridge = config[cfg.HEADER_TYPE] & 0x7F == 1
    for field in _COMMON + (_BRIDGE if bridge else ()):
        mask.allow(*field)
    for index, bar in bars.items():
        low = 0x3 if bar.kind == "io" else 0xF
        writable = ((1 << bar.bits) - 1) & ~(bar.size - 1) & ~low
        mask.allow(cfg.BASE_ADDRESS_0 + 4 * index, bar.bits // 8, writable)
    if rom is not None:
        mask.allow(cfg.ROM_ADDRESS, 4, -rom.size & 0xFFFFF800 | cfg.ROM_ENABLE)
    for number, start in capabilities(config):
        if number == cfg.CAP_MSI:
            _allow_msi(mask, config, start)
        for offset, size, writable, clear in fields.get(number, ()):
            mask.allow(start + offset, size, writable, clear)
    for number, start in extended_capabilities(config):
        for offset, size, writable, clear in extended_fields.get(number, ()):
            mask.allow(start + offset, size, writable, clear)
    return mask
