# SPDX-License-Identifier: Apache-2.0
"""Registers of a PCI function's configuration space, by name, with the flags in them.

Source: include/uapi/linux/pci_regs.h, Linux 7.2, where a flag stands below its register. Of
capabilities, those that programs read most. These are names, for what programs do to be told in
them; the layout that hardware has, by the specifications, is in harness/hardware/pci_config.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import Factory, frozen

from harness.uapi.commands import Constants

CONFIG_SIZE = 4096
#: Where extended capabilities begin.
EXTENDED_START = 0x100
PCI_HEADER_TYPE = 0x0E
PCI_HEADER_TYPE_MASK = 0x7F
PCI_HEADER_TYPE_BRIDGE = 1
PCI_CAPABILITY_LIST = 0x34

CAPABILITY_IDS = {
    "PCI_CAP_ID_PM": 0x01,
    "PCI_CAP_ID_AGP": 0x02,
    "PCI_CAP_ID_VPD": 0x03,
    "PCI_CAP_ID_SLOTID": 0x04,
    "PCI_CAP_ID_MSI": 0x05,
    "PCI_CAP_ID_CHSWP": 0x06,
    "PCI_CAP_ID_PCIX": 0x07,
    "PCI_CAP_ID_HT": 0x08,
    "PCI_CAP_ID_VNDR": 0x09,
    "PCI_CAP_ID_DBG": 0x0A,
    "PCI_CAP_ID_CCRC": 0x0B,
    "PCI_CAP_ID_SHPC": 0x0C,
    "PCI_CAP_ID_SSVID": 0x0D,
    "PCI_CAP_ID_AGP3": 0x0E,
    "PCI_CAP_ID_SECDEV": 0x0F,
    "PCI_CAP_ID_EXP": 0x10,
    "PCI_CAP_ID_MSIX": 0x11,
    "PCI_CAP_ID_SATA": 0x12,
    "PCI_CAP_ID_AF": 0x13,
    "PCI_CAP_ID_EA": 0x14,
}
EXTENDED_IDS = {
    "PCI_EXT_CAP_ID_ERR": 0x01,
    "PCI_EXT_CAP_ID_VC": 0x02,
    "PCI_EXT_CAP_ID_DSN": 0x03,
    "PCI_EXT_CAP_ID_PWR": 0x04,
    "PCI_EXT_CAP_ID_RCLD": 0x05,
    "PCI_EXT_CAP_ID_RCILC": 0x06,
    "PCI_EXT_CAP_ID_RCEC": 0x07,
    "PCI_EXT_CAP_ID_MFVC": 0x08,
    "PCI_EXT_CAP_ID_RCRB": 0x0A,
    "PCI_EXT_CAP_ID_VNDR": 0x0B,
    "PCI_EXT_CAP_ID_ACS": 0x0D,
    "PCI_EXT_CAP_ID_ARI": 0x0E,
    "PCI_EXT_CAP_ID_ATS": 0x0F,
    "PCI_EXT_CAP_ID_SRIOV": 0x10,
    "PCI_EXT_CAP_ID_MRIOV": 0x11,
    "PCI_EXT_CAP_ID_MCAST": 0x12,
    "PCI_EXT_CAP_ID_PRI": 0x13,
    "PCI_EXT_CAP_ID_REBAR": 0x15,
    "PCI_EXT_CAP_ID_DPA": 0x16,
    "PCI_EXT_CAP_ID_TPH": 0x17,
    "PCI_EXT_CAP_ID_LTR": 0x18,
    "PCI_EXT_CAP_ID_SECPCI": 0x19,
    "PCI_EXT_CAP_ID_PMUX": 0x1A,
    "PCI_EXT_CAP_ID_PASID": 0x1B,
    "PCI_EXT_CAP_ID_DPC": 0x1D,
    "PCI_EXT_CAP_ID_L1SS": 0x1E,
    "PCI_EXT_CAP_ID_PTM": 0x1F,
    "PCI_EXT_CAP_ID_DVSEC": 0x23,
    "PCI_EXT_CAP_ID_DLF": 0x25,
    "PCI_EXT_CAP_ID_PL_16GT": 0x26,
    "PCI_EXT_CAP_ID_DOE": 0x2E,
}


@frozen
class Register:
    """``offset`` counts from the start of the header or the capability; ``size`` in bytes.

    Without a ``name``, there is none in the header, but what it holds has.
    """

    name: str | None
    offset: int
    size: int
    constants: Constants = Factory(Constants)


def _register(name: str, offset: int, size: int, **bits: int) -> Register:
    return Register(name, offset, size, Constants(bits=bits))


_COMMON = (
    _register("PCI_VENDOR_ID", 0x00, 2),
    _register("PCI_DEVICE_ID", 0x02, 2),
    _register(
        "PCI_COMMAND",
        0x04,
        2,
        PCI_COMMAND_IO=0x1,
        PCI_COMMAND_MEMORY=0x2,
        PCI_COMMAND_MASTER=0x4,
        PCI_COMMAND_SPECIAL=0x8,
        PCI_COMMAND_INVALIDATE=0x10,
        PCI_COMMAND_VGA_PALETTE=0x20,
        PCI_COMMAND_PARITY=0x40,
        PCI_COMMAND_WAIT=0x80,
        PCI_COMMAND_SERR=0x100,
        PCI_COMMAND_FAST_BACK=0x200,
        PCI_COMMAND_INTX_DISABLE=0x400,
    ),
    _register(
        "PCI_STATUS",
        0x06,
        2,
        PCI_STATUS_IMM_READY=0x01,
        PCI_STATUS_INTERRUPT=0x08,
        PCI_STATUS_CAP_LIST=0x10,
        PCI_STATUS_66MHZ=0x20,
        PCI_STATUS_UDF=0x40,
        PCI_STATUS_FAST_BACK=0x80,
        PCI_STATUS_PARITY=0x100,
        PCI_STATUS_SIG_TARGET_ABORT=0x800,
        PCI_STATUS_REC_TARGET_ABORT=0x1000,
        PCI_STATUS_REC_MASTER_ABORT=0x2000,
        PCI_STATUS_SIG_SYSTEM_ERROR=0x4000,
        PCI_STATUS_DETECTED_PARITY=0x8000,
    ),
    _register("PCI_CLASS_REVISION", 0x08, 4),
    _register("PCI_REVISION_ID", 0x08, 1),
    _register("PCI_CLASS_PROG", 0x09, 1),
    _register("PCI_CLASS_DEVICE", 0x0A, 2),
    _register("PCI_CACHE_LINE_SIZE", 0x0C, 1),
    _register("PCI_LATENCY_TIMER", 0x0D, 1),
    Register(
        "PCI_HEADER_TYPE",
        PCI_HEADER_TYPE,
        1,
        Constants(
            values={"PCI_HEADER_TYPE_NORMAL": 0, "PCI_HEADER_TYPE_BRIDGE": PCI_HEADER_TYPE_BRIDGE},
            mask=PCI_HEADER_TYPE_MASK,
        ),
    ),
    _register("PCI_BIST", 0x0F, 1, PCI_BIST_START=0x40, PCI_BIST_CAPABLE=0x80),
    _register("PCI_BASE_ADDRESS_0", 0x10, 4),
    _register("PCI_BASE_ADDRESS_1", 0x14, 4),
    _register("PCI_CAPABILITY_LIST", PCI_CAPABILITY_LIST, 1),
    _register("PCI_INTERRUPT_LINE", 0x3C, 1),
    _register("PCI_INTERRUPT_PIN", 0x3D, 1),
)
#: The header of a device.
DEVICE = (
    *_COMMON,
    _register("PCI_BASE_ADDRESS_2", 0x18, 4),
    _register("PCI_BASE_ADDRESS_3", 0x1C, 4),
    _register("PCI_BASE_ADDRESS_4", 0x20, 4),
    _register("PCI_BASE_ADDRESS_5", 0x24, 4),
    _register("PCI_CARDBUS_CIS", 0x28, 4),
    _register("PCI_SUBSYSTEM_VENDOR_ID", 0x2C, 2),
    _register("PCI_SUBSYSTEM_ID", 0x2E, 2),
    _register("PCI_ROM_ADDRESS", 0x30, 4, PCI_ROM_ADDRESS_ENABLE=0x01),
    _register("PCI_MIN_GNT", 0x3E, 1),
    _register("PCI_MAX_LAT", 0x3F, 1),
)
#: The header of a bridge.
BRIDGE = (
    *_COMMON,
    _register("PCI_PRIMARY_BUS", 0x18, 1),
    _register("PCI_SECONDARY_BUS", 0x19, 1),
    _register("PCI_SUBORDINATE_BUS", 0x1A, 1),
    _register("PCI_SEC_LATENCY_TIMER", 0x1B, 1),
    _register("PCI_IO_BASE", 0x1C, 1),
    _register("PCI_IO_LIMIT", 0x1D, 1),
    _register("PCI_SEC_STATUS", 0x1E, 2),
    _register("PCI_MEMORY_BASE", 0x20, 2),
    _register("PCI_MEMORY_LIMIT", 0x22, 2),
    _register("PCI_PREF_MEMORY_BASE", 0x24, 2),
    _register("PCI_PREF_MEMORY_LIMIT", 0x26, 2),
    _register("PCI_PREF_BASE_UPPER32", 0x28, 4),
    _register("PCI_PREF_LIMIT_UPPER32", 0x2C, 4),
    _register("PCI_IO_BASE_UPPER16", 0x30, 2),
    _register("PCI_IO_LIMIT_UPPER16", 0x32, 2),
    _register("PCI_ROM_ADDRESS1", 0x38, 4),
    _register(
        "PCI_BRIDGE_CONTROL",
        0x3E,
        2,
        PCI_BRIDGE_CTL_PARITY=0x01,
        PCI_BRIDGE_CTL_SERR=0x02,
        PCI_BRIDGE_CTL_ISA=0x04,
        PCI_BRIDGE_CTL_VGA=0x08,
        PCI_BRIDGE_CTL_MASTER_ABORT=0x20,
        PCI_BRIDGE_CTL_BUS_RESET=0x40,
        PCI_BRIDGE_CTL_FAST_BACK=0x80,
    ),
)
#: What every capability begins with.
CAPABILITY = (
    Register("PCI_CAP_LIST_ID", 0, 1, Constants(values=CAPABILITY_IDS)),
    _register("PCI_CAP_LIST_NEXT", 1, 1),
)
EXTENDED_CAPABILITY = (Register(None, 0, 4, Constants(values=EXTENDED_IDS, mask=0xFFFF)),)
#: What follows, by the capability.
CAPABILITIES: Mapping[int, tuple[Register, ...]] = {
    CAPABILITY_IDS["PCI_CAP_ID_PM"]: (
        _register("PCI_PM_PMC", 2, 2),
        _register("PCI_PM_CTRL", 4, 2, PCI_PM_CTRL_NO_SOFT_RESET=0x8, PCI_PM_CTRL_PME_ENABLE=0x100),
    ),
    CAPABILITY_IDS["PCI_CAP_ID_MSI"]: (
        _register(
            "PCI_MSI_FLAGS",
            2,
            2,
            PCI_MSI_FLAGS_ENABLE=0x1,
            PCI_MSI_FLAGS_64BIT=0x80,
            PCI_MSI_FLAGS_MASKBIT=0x100,
        ),
        _register("PCI_MSI_ADDRESS_LO", 4, 4),
    ),
    CAPABILITY_IDS["PCI_CAP_ID_MSIX"]: (
        _register(
            "PCI_MSIX_FLAGS", 2, 2, PCI_MSIX_FLAGS_MASKALL=0x4000, PCI_MSIX_FLAGS_ENABLE=0x8000
        ),
        _register("PCI_MSIX_TABLE", 4, 4),
        _register("PCI_MSIX_PBA", 8, 4),
    ),
    CAPABILITY_IDS["PCI_CAP_ID_EXP"]: (
        _register("PCI_EXP_FLAGS", 0x02, 2),
        _register("PCI_EXP_DEVCAP", 0x04, 4, PCI_EXP_DEVCAP_FLR=0x10000000),
        _register("PCI_EXP_DEVCTL", 0x08, 2, PCI_EXP_DEVCTL_BCR_FLR=0x8000),
        _register("PCI_EXP_DEVSTA", 0x0A, 2, PCI_EXP_DEVSTA_TRPND=0x20),
        _register("PCI_EXP_LNKCAP", 0x0C, 4),
        _register("PCI_EXP_LNKCTL", 0x10, 2),
        _register("PCI_EXP_LNKSTA", 0x12, 2),
        _register("PCI_EXP_SLTCAP", 0x14, 4),
        _register("PCI_EXP_SLTCTL", 0x18, 2),
        _register("PCI_EXP_SLTSTA", 0x1A, 2),
        _register("PCI_EXP_RTCTL", 0x1C, 2),
        _register("PCI_EXP_RTCAP", 0x1E, 2),
        _register("PCI_EXP_RTSTA", 0x20, 4),
        _register("PCI_EXP_DEVCAP2", 0x24, 4),
        _register("PCI_EXP_DEVCTL2", 0x28, 2),
        _register("PCI_EXP_LNKCAP2", 0x2C, 4),
        _register("PCI_EXP_LNKCTL2", 0x30, 2),
        _register("PCI_EXP_LNKSTA2", 0x32, 2),
    ),
}
EXTENDED_CAPABILITIES: Mapping[int, tuple[Register, ...]] = {
    EXTENDED_IDS["PCI_EXT_CAP_ID_ERR"]: (
        _register("PCI_ERR_UNCOR_STATUS", 0x04, 4),
        _register("PCI_ERR_UNCOR_MASK", 0x08, 4),
        _register("PCI_ERR_UNCOR_SEVER", 0x0C, 4),
        _register("PCI_ERR_COR_STATUS", 0x10, 4),
        _register("PCI_ERR_COR_MASK", 0x14, 4),
        _register("PCI_ERR_CAP", 0x18, 4),
        _register("PCI_ERR_HEADER_LOG", 0x1C, 16),
    ),
    EXTENDED_IDS["PCI_EXT_CAP_ID_ATS"]: (
        _register("PCI_ATS_CAP", 0x04, 2),
        _register("PCI_ATS_CTRL", 0x06, 2, PCI_ATS_CTRL_ENABLE=0x8000),
    ),
    EXTENDED_IDS["PCI_EXT_CAP_ID_PRI"]: (
        _register("PCI_PRI_CTRL", 0x04, 2, PCI_PRI_CTRL_ENABLE=0x1, PCI_PRI_CTRL_RESET=0x2),
        _register("PCI_PRI_STATUS", 0x06, 2, PCI_PRI_STATUS_STOPPED=0x100),
        _register("PCI_PRI_MAX_REQ", 0x08, 4),
        _register("PCI_PRI_ALLOC_REQ", 0x0C, 4),
    ),
    EXTENDED_IDS["PCI_EXT_CAP_ID_PASID"]: (
        _register("PCI_PASID_CAP", 0x04, 2, PCI_PASID_CAP_EXEC=0x2, PCI_PASID_CAP_PRIV=0x4),
        _register(
            "PCI_PASID_CTRL",
            0x06,
            2,
            PCI_PASID_CTRL_ENABLE=0x1,
            PCI_PASID_CTRL_EXEC=0x2,
            PCI_PASID_CTRL_PRIV=0x4,
        ),
    ),
    EXTENDED_IDS["PCI_EXT_CAP_ID_SRIOV"]: (
        _register("PCI_SRIOV_CAP", 0x04, 4),
        _register("PCI_SRIOV_CTRL", 0x08, 2, PCI_SRIOV_CTRL_VFE=0x1, PCI_SRIOV_CTRL_MSE=0x8),
        _register("PCI_SRIOV_STATUS", 0x0A, 2),
        _register("PCI_SRIOV_INITIAL_VF", 0x0C, 2),
        _register("PCI_SRIOV_TOTAL_VF", 0x0E, 2),
        _register("PCI_SRIOV_NUM_VF", 0x10, 2),
        _register("PCI_SRIOV_FUNC_LINK", 0x12, 1),
        _register("PCI_SRIOV_VF_OFFSET", 0x14, 2),
        _register("PCI_SRIOV_VF_STRIDE", 0x16, 2),
        _register("PCI_SRIOV_VF_DID", 0x1A, 2),
        _register("PCI_SRIOV_SUP_PGSIZE", 0x1C, 4),
        _register("PCI_SRIOV_SYS_PGSIZE", 0x20, 4),
        _register("PCI_SRIOV_BAR", 0x24, 4),
    ),
}
