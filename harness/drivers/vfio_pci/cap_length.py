# SPDX-License-Identifier: Apache-2.0
"""How long a capability is: vfio_cap_len and vfio_ext_cap_len, 6.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.drivers.vfio_pci import perm_bits as p
from harness.hardware import pci_config as cfg

if TYPE_CHECKING:
    from harness.drivers.pci import PciDevice

#: Root complex integrated endpoint: it has no link.
_PCI_EXP_TYPE_RC_END = 9
#: Of the virtual channel capability: which table of arbitration phases there is, and its size.
_VC_PHASES = ((8, 128), (4, 64), (2, 32))


def vfio_cap_len(pdev: PciDevice, number: int, position: int) -> int:
    """Bytes of a capability in the first 256; 0 for one that is hidden."""
    length = p.CAP_LENGTH.get(number, 0)
    if length != p.VARIABLE:
        return length
    match number:
        case cfg.CAP_MSI:
            control = pdev.pci_read_config(position + cfg.MSI_CONTROL, 2)
            return 10 + 4 * bool(control & cfg.MSI_64BIT) + 10 * bool(control & cfg.MSI_MASKING)
        case cfg.CAP_PCIE:
            return _exp_length(pdev.pci_read_config(position + cfg.PCIE_FLAGS, 2))
        case p.PCI_CAP_ID_PCIX:
            return 24 if pdev.pci_read_config(position + 2, 2) >> 12 & 3 else 8
        case p.PCI_CAP_ID_VNDR:
            return pdev.pci_read_config(position + 2, 1)
        case p.PCI_CAP_ID_HT:
            return 24 if pdev.pci_read_config(position + 3, 1) & 0xE0 else 28
    # SATA: its registers are in it or elsewhere.
    return 16 if pdev.pci_read_config(position + 4, 1) & 0xF == 0xF else 8


def _exp_length(flags: int) -> int:
    """By version and type of function."""
    linkless = flags >> 4 & 0xF == _PCI_EXP_TYPE_RC_END
    if flags & 0xF == 1:
        return 0xC if linkless else 0x14
    return 0x2C if linkless else 0x32


def vfio_ext_cap_len(pdev: PciDevice, number: int, position: int, *, dvsec: bool) -> int:
    """Bytes of an extended capability; 0 for one that is hidden."""
    if number == p.PCI_EXT_CAP_ID_DVSEC and dvsec:
        return pdev.pci_read_config(position + 4, 4) >> 20
    length = p.EXT_CAP_LENGTH.get(number, 0)
    if length != p.VARIABLE:
        return length
    match number:
        case p.PCI_EXT_CAP_ID_VNDR:
            return pdev.pci_read_config(position + 4, 4) >> 20
        case 0x02 | 0x08 | 0x09:
            return _vc_length(pdev, position)
        case 0x0D:
            return _acs_length(pdev, position)
        case 0x15:
            return 4 + 8 * (pdev.pci_read_config(position + 8, 1) >> 5)
        case 0x16:
            return 16 + (pdev.pci_read_config(position + 4, 1) & 0x1F) + 1
    # TPH requester: the table of steering tags is in it or not.
    tph = pdev.pci_read_config(position + 4, 4)
    return 12 + (2 * (tph >> 16 & 0x7FF) + 2 if tph & 0x600 == 0x200 else 0)


def _vc_length(pdev: PciDevice, position: int) -> int:
    """vfio_vc_cap_len: all channels, and the table of arbitration phases."""
    channels = 1 + (pdev.pci_read_config(position + 4, 4) & 7)
    capabilities = pdev.pci_read_config(position + 8, 4)
    phases = next((count for bit, count in _VC_PHASES if capabilities & bit), 0)
    length = 16 + 12 * channels
    return ((length + 15) & ~15) + phases * 4 // 8 if phases else length


def _acs_length(pdev: PciDevice, position: int) -> int:
    """With egress control there is a bit for each port or function."""
    if not pdev.pci_read_config(position + 4, 1) & 0x20:
        return 8
    bits = pdev.pci_read_config(position + 5, 1)
    return 8 + (((bits + 31) & ~31) if bits else 256) // 8
