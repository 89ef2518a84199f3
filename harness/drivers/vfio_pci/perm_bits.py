# SPDX-License-Identifier: Apache-2.0
"""Which bits of configuration space a user may write, and which he sees a copy of.

What drivers/vfio/pci/vfio_pci_config.c keeps in its tables (6.1): a capability's length, and for
each of its bits whether it is virtual (kept beside the hardware) and whether it can be written.
"""

from __future__ import annotations

from attrs import field, frozen

from harness.hardware import pci_config as cfg

#: Of :data:`CAP_LENGTH` and :data:`EXT_CAP_LENGTH`: the capability itself says how long it is.
VARIABLE = -1

PCI_CAP_ID_BASIC = 0
PCI_CAP_ID_VPD, PCI_CAP_ID_PCIX, PCI_CAP_ID_HT, PCI_CAP_ID_VNDR = 0x03, 0x07, 0x08, 0x09
PCI_CAP_ID_SATA, PCI_CAP_ID_AF = 0x12, 0x13
PCI_EXT_CAP_ID_PWR, PCI_EXT_CAP_ID_VNDR, PCI_EXT_CAP_ID_DVSEC = 0x04, 0x0B, 0x23

PCI_STD_HEADER_SIZEOF = 64
PCI_CAP_LIST_NEXT = 1
PCI_LATENCY_TIMER, PCI_CACHE_LINE_SIZE, PCI_BIST, PCI_ROM_ADDRESS = 0x0D, 0x0C, 0x0F, 0x30
PCI_PM_PMC, PCI_PM_CAP_PME_MASK = 2, 0xF800
PCI_PM_CTRL_PME_ENABLE, PCI_PM_CTRL_PME_STATUS = 0x0100, 0x8000
PCI_VPD_ADDR, PCI_VPD_ADDR_F, PCI_VPD_DATA = 2, 0x8000, 4
PCI_EXP_DEVCTL, PCI_EXP_DEVCTL2 = 0x08, 0x28
PCI_EXP_DEVCTL_PAYLOAD, PCI_EXP_DEVCTL_PHANTOM = 0x00E0, 0x0200
PCI_EXP_DEVCTL_READRQ, PCI_EXP_DEVCTL_BCR_FLR = 0x7000, 0x8000
PCI_EXP_DEVCTL2_ARI = 0x20
PCI_AF_CAP, PCI_AF_CAP_TP, PCI_AF_CAP_FLR = 3, 0x01, 0x02
PCI_AF_CTRL, PCI_AF_CTRL_FLR = 4, 0x01

#: pci_cap_length: bytes; what is not here is taken out of the list that a user sees.
CAP_LENGTH = {
    cfg.CAP_PM: 8,
    0x02: 12,  # AGP
    PCI_CAP_ID_VPD: 8,
    cfg.CAP_MSI: VARIABLE,
    PCI_CAP_ID_PCIX: VARIABLE,
    PCI_CAP_ID_HT: VARIABLE,
    PCI_CAP_ID_VNDR: VARIABLE,
    cfg.CAP_PCIE: VARIABLE,
    cfg.CAP_MSIX: 12,
    PCI_CAP_ID_SATA: VARIABLE,
    PCI_CAP_ID_AF: 6,
}
#: pci_ext_cap_length, likewise.
EXT_CAP_LENGTH = {
    cfg.EXT_CAP_AER: 0x2C,
    0x02: VARIABLE,  # virtual channels
    0x03: 12,  # serial number
    PCI_EXT_CAP_ID_PWR: 16,
    0x08: VARIABLE,  # virtual channels of a multi-function device
    0x09: VARIABLE,  # virtual channels, once more
    PCI_EXT_CAP_ID_VNDR: VARIABLE,
    0x0D: VARIABLE,  # access control services
    0x0E: 8,  # alternative routing ids
    cfg.EXT_CAP_ATS: 8,
    0x10: 0x40,  # SR-IOV
    0x12: 40,  # multicast
    cfg.EXT_CAP_PRI: 16,
    0x15: VARIABLE,  # resizable BARs
    0x16: VARIABLE,  # dynamic power allocation
    0x17: VARIABLE,  # TPH requester
    0x18: 8,  # latency tolerance
}


@frozen
class PermBits:
    """struct perm_bits: ``virt`` and ``write`` have a bit for each bit of the capability."""

    virt: bytearray = field(factory=bytearray)
    write: bytearray = field(factory=bytearray)

    def set(self, offset: int, size: int, virt: int, write: int) -> None:
        """p_setb, p_setw and p_setd."""
        mask = (1 << 8 * size) - 1
        self.virt[offset : offset + size] = (virt & mask).to_bytes(size, "little")
        self.write[offset : offset + size] = (write & mask).to_bytes(size, "little")


NO_VIRT = NO_WRITE = 0
ALL_VIRT = ALL_WRITE = 0xFFFFFFFF


def alloc_perm_bits(size: int) -> PermBits:
    """Readable, nothing writable, nothing virtual; rounded up to whole dwords."""
    size = (size + 3) & ~3
    return PermBits(bytearray(size), bytearray(size))


def basic_perm_bits() -> PermBits:
    """init_pci_cap_basic_perm: the header."""
    perm = alloc_perm_bits(PCI_STD_HEADER_SIZEOF)
    perm.set(cfg.VENDOR_ID, 2, ALL_VIRT, NO_WRITE)
    perm.set(cfg.DEVICE_ID, 2, ALL_VIRT, NO_WRITE)
    perm.set(cfg.COMMAND, 2, cfg.COMMAND_INTX_DISABLE, ALL_WRITE)
    perm.set(cfg.STATUS, 2, cfg.STATUS_CAP_LIST, NO_WRITE)
    for offset in (PCI_CACHE_LINE_SIZE, PCI_LATENCY_TIMER, PCI_BIST):
        perm.set(offset, 1, NO_VIRT, ALL_WRITE)
    for offset in (*range(cfg.BASE_ADDRESS_0, cfg.BASE_ADDRESS_0 + 24, 4), PCI_ROM_ADDRESS):
        perm.set(offset, 4, ALL_VIRT, ALL_WRITE)
    perm.set(cfg.CAPABILITY_LIST, 1, ALL_VIRT, NO_WRITE)
    perm.set(cfg.INTERRUPT_LINE, 1, ALL_VIRT, ALL_WRITE)
    perm.set(cfg.INTERRUPT_PIN, 1, ALL_VIRT, NO_WRITE)
    return perm


def pm_perm_bits() -> PermBits:
    """init_pci_cap_pm_perm: the state is set by the driver, wake-up events are nobody's."""
    perm = alloc_perm_bits(CAP_LENGTH[cfg.CAP_PM])
    perm.set(PCI_CAP_LIST_NEXT, 1, ALL_VIRT, NO_WRITE)
    perm.set(PCI_PM_PMC, 2, PCI_PM_CAP_PME_MASK, NO_WRITE)
    events = PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_PME_STATUS
    perm.set(cfg.PM_CONTROL, 2, events, ~(events | cfg.PM_STATE))
    return perm


def vpd_perm_bits() -> PermBits:
    """init_pci_cap_vpd_perm."""
    perm = alloc_perm_bits(CAP_LENGTH[PCI_CAP_ID_VPD])
    perm.set(PCI_CAP_LIST_NEXT, 1, ALL_VIRT, NO_WRITE)
    perm.set(PCI_VPD_ADDR, 2, ALL_VIRT, ALL_WRITE)
    perm.set(PCI_VPD_DATA, 4, ALL_VIRT, ALL_WRITE)
    return perm


def pcix_perm_bits() -> PermBits:
    """init_pci_cap_pcix_perm: command, and error control of version 2."""
    perm = alloc_perm_bits(24)
    perm.set(PCI_CAP_LIST_NEXT, 1, ALL_VIRT, NO_WRITE)
    perm.set(2, 2, NO_VIRT, ALL_WRITE)
    perm.set(8, 4, NO_VIRT, ALL_WRITE)
    return perm


def exp_perm_bits() -> PermBits:
    """init_pci_cap_exp_perm: neither phantom functions nor ARI; payload and requests virtual."""
    perm = alloc_perm_bits(0x32)
    perm.set(PCI_CAP_LIST_NEXT, 1, ALL_VIRT, NO_WRITE)
    virtual = PCI_EXP_DEVCTL_BCR_FLR | PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_READRQ
    perm.set(PCI_EXP_DEVCTL, 2, virtual, ~PCI_EXP_DEVCTL_PHANTOM)
    perm.set(PCI_EXP_DEVCTL2, 2, NO_VIRT, ~PCI_EXP_DEVCTL2_ARI)
    return perm


def af_perm_bits() -> PermBits:
    """init_pci_cap_af_perm."""
    perm = alloc_perm_bits(CAP_LENGTH[PCI_CAP_ID_AF])
    perm.set(PCI_CAP_LIST_NEXT, 1, ALL_VIRT, NO_WRITE)
    perm.set(PCI_AF_CTRL, 1, PCI_AF_CTRL_FLR, PCI_AF_CTRL_FLR)
    return perm


def err_perm_bits() -> PermBits:
    """init_pci_ext_cap_err_perm: the errors that are defined, and checking of ECRC."""
    perm = alloc_perm_bits(EXT_CAP_LENGTH[cfg.EXT_CAP_AER])
    perm.set(0, 4, ALL_VIRT, NO_WRITE)
    for offset in (0x04, 0x08, 0x0C):
        perm.set(offset, 4, NO_VIRT, 0x03FFF031)
    for offset in (0x10, 0x14):
        perm.set(offset, 4, NO_VIRT, 0xF1C1)
    perm.set(0x18, 4, NO_VIRT, 0x0140)
    return perm


def pwr_perm_bits() -> PermBits:
    """init_pci_ext_cap_pwr_perm: only the selector, and it is where the data are (sic)."""
    perm = alloc_perm_bits(EXT_CAP_LENGTH[PCI_EXT_CAP_ID_PWR])
    perm.set(0, 4, ALL_VIRT, NO_WRITE)
    perm.set(8, 1, NO_VIRT, ALL_WRITE)
    return perm


def msi_perm_bits(control: int, length: int) -> PermBits:
    """init_pci_cap_msi_perm: where the fields are depends on ``control``."""
    perm = alloc_perm_bits(length)
    perm.set(PCI_CAP_LIST_NEXT, 1, ALL_VIRT, NO_WRITE)
    perm.set(cfg.MSI_CONTROL, 1, ALL_VIRT, ALL_WRITE)
    perm.set(4, 4, ALL_VIRT, ALL_WRITE)
    position = 8
    if control & cfg.MSI_64BIT:
        perm.set(position, 4, ALL_VIRT, ALL_WRITE)
        position += 4
    perm.set(position, 2, ALL_VIRT, ALL_WRITE)
    if control & cfg.MSI_MASKING:
        perm.set(position + 4, 4, NO_VIRT, ALL_WRITE)
        perm.set(position + 8, 4, NO_VIRT, ALL_WRITE)
    return perm
