# SPDX-License-Identifier: Apache-2.0
"""Which bits of a configuration space take what is written to them where QEMU is the hardware.

What the specification leaves open, hw/pci of QEMU 7.2 decides: behind the header, all that no
capability has taken is memory (pci_init_wmask), and most of a capability cannot be written.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.hardware import pci_config as cfg
from harness.hardware.config_mask import (
    CAPABILITY_FIELDS,
    EXTENDED_FIELDS,
    ConfigMask,
    Fields,
    build_mask,
)
from harness.hardware.pci_config import Bar, Rom, capabilities, extended_capabilities, load

_HEADER_SIZE = 0x40
_COMMAND_PARITY = 0x40
_AER_UNCORRECTABLE_MASK = 0x08
#: Device Control 2: blocking of TLP prefixes (pcie_cap_init).
_PCIE_CONTROL_2, _PREFIX_BLOCKING = 0x28, 0x8000
_FIELDS: Fields = {
    **CAPABILITY_FIELDS,
    cfg.CAP_PM: ((cfg.PM_CONTROL, 2, cfg.PM_STATE, 0),),
    cfg.CAP_PCIE: (),
}
_EXTENDED_FIELDS: Fields = {
    **EXTENDED_FIELDS,
    # Machines without x-pcie-err-unc-mask: pcie_aer_init.
    cfg.EXT_CAP_AER: tuple(
        one for one in EXTENDED_FIELDS[cfg.EXT_CAP_AER] if one[0] != _AER_UNCORRECTABLE_MASK
    ),
}
#: How long capabilities are; the other ones say it themselves, behind their header.
_LENGTHS = {cfg.CAP_PM: 8, cfg.CAP_VPD: 8, cfg.CAP_MSIX: 12, cfg.CAP_SHPC: 8, 0x0D: 8, 0x12: 8}
_EXTENDED_LENGTHS = {
    cfg.EXT_CAP_AER: 0x48,
    cfg.EXT_CAP_DSN: 0x0C,
    0x0D: 0x08,  # ACS
    0x0E: 0x08,  # ARI
    cfg.EXT_CAP_ATS: 0x08,
    cfg.EXT_CAP_SRIOV: 0x40,
    cfg.EXT_CAP_PRI: 0x10,
    cfg.EXT_CAP_PASID: 0x08,
}


def _is_pcie_1(config: bytes | bytearray, start: int) -> bool:
    return config[start + cfg.PCIE_FLAGS] & 0xF == 1


def _length(config: bytes | bytearray, number: int, start: int) -> int:
    """Bytes that a capability has taken (pci_add_capability)."""
    if number == cfg.CAP_MSI:
        control = load(config, start + cfg.MSI_CONTROL, 2)
        return 10 + 4 * bool(control & cfg.MSI_64BIT) + 10 * bool(control & cfg.MSI_MASKING)
    if number == cfg.CAP_PCIE:
        return 0x14 if _is_pcie_1(config, start) else 0x3C
    return _LENGTHS.get(number, config[start + 2])


def build_qemu_mask(
    config: bytes | bytearray, bars: Mapping[int, Bar], rom: Rom | None
) -> ConfigMask:
    """The masks of a function of QEMU's that ``config`` describes."""
    mask = build_mask(config, bars, rom, _FIELDS, _EXTENDED_FIELDS)
    mask.writable[cfg.COMMAND] &= ~_COMMAND_PARITY
    spare = bytearray(_HEADER_SIZE) + b"\xff" * (len(config) - _HEADER_SIZE)
    for number, start in capabilities(config):
        _take(spare, start, _length(config, number, start))
        if number == cfg.CAP_PCIE and not _is_pcie_1(config, start):
            mask.allow(start + _PCIE_CONTROL_2, 2, _PREFIX_BLOCKING)
            # Without extended capabilities it says so, once and for all.
            _take(spare, cfg.CONFIG_SIZE, 4)
    for number, start in extended_capabilities(config):
        _take(spare, start, _EXTENDED_LENGTHS.get(number, 4))
    writable = int.from_bytes(mask.writable, "little") | int.from_bytes(spare, "little")
    mask.writable[:] = writable.to_bytes(len(spare), "little")
    return mask


def _take(spare: bytearray, start: int, length: int) -> None:
    end = min(start + length, len(spare))
    spare[start:end] = bytes(end - start)
