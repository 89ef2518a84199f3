# SPDX-License-Identifier: Apache-2.0
"""Numbers and layouts of Intel DSA and IAA: registers, commands, descriptors, status codes.

Register layouts and command codes: the Intel DSA Architecture Specification 1.0 to 2.0 as
drivers/dma/idxd/registers.h (Linux 6.1) names them. Software codes and operations:
include/uapi/linux/idxd.h. The meanings of error codes are those that accel-config prints.
"""

from __future__ import annotations

from ctypes import (
    LittleEndianStructure,
    LittleEndianUnion,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
)

DEVICE_VERSION_1 = 0x100
DEVICE_VERSION_2 = 0x200
DEVICE_VERSION_3 = 0x300

#: The BARs: registers, and the portals of the work queues.
IDXD_MMIO_BAR = 0
IDXD_WQ_BAR = 2
IDXD_PORTAL_SIZE = 0x1000
#: A work queue has four portals; these are the first two.
IDXD_PORTALS_PER_WQ = 4
#: Interrupts of parts of a device, for each unit of GENCAP's max_ims_mult.
IDXD_IMS_MULT = 256
IDXD_PORTAL_UNLIMITED = 0
IDXD_PORTAL_LIMITED = 1

# Offsets in BAR 0
IDXD_VER_OFFSET = 0x00
IDXD_GENCAP_OFFSET = 0x10
IDXD_WQCAP_OFFSET = 0x20
IDXD_GRPCAP_OFFSET = 0x30
IDXD_ENGCAP_OFFSET = 0x38
IDXD_OPCAP_OFFSET = 0x40
IDXD_TABLE_OFFSET = 0x60
IDXD_GENCFG_OFFSET = 0x80
IDXD_GENCTRL_OFFSET = 0x88
IDXD_GENSTATS_OFFSET = 0x90
IDXD_INTCAUSE_OFFSET = 0x98
IDXD_CMD_OFFSET = 0xA0
IDXD_CMDSTS_OFFSET = 0xA8
IDXD_CMDCAP_OFFSET = 0xB0
IDXD_SWERR_OFFSET = 0xC0
IDXD_EVLCFG_OFFSET = 0xE0
#: Of IAA from version 2 on; DSA has three words of capabilities there from version 3 on.
IDXD_IAACAP_OFFSET = IDXD_DSACAP0_OFFSET = 0x180
#: The unit of the table offsets.
IDXD_TABLE_MULT = 0x100

IDXD_MAX_OPCAP_BITS = 256
IDXD_OPCAP_MEMMOVE = 0x8
#: A WQCFG has 1 << (WQCAP.wqcfg_size + this) bytes.
IDXD_WQCFG_MIN = 5
WQCFG_PASID_IDX = 2
WQCFG_PRIVL_IDX = 2
WQCFG_OCCUP_IDX = 6
WQCFG_OCCUP_MASK = 0xFFFF
GRPCFG_SIZE = 64
GRPWQCFG_STRIDES = 4
GRPENGCFG_OFFSET = 32
GRPFLGCFG_OFFSET = 40
MSIX_PERM_SIZE = 8

IDXD_INTC_ERR = 0x01
IDXD_INTC_CMD = 0x02
IDXD_INTC_OCCUPY = 0x04
IDXD_INTC_PERFMON_OVFL = 0x08
IDXD_INTC_HALT_STATE = 0x10
IDXD_INTC_INT_HANDLE_REVOKED = 0x80000000

IDXD_DEVICE_STATE_DISABLED = 0
IDXD_DEVICE_STATE_ENABLED = 1
IDXD_DEVICE_STATE_DRAIN = 2
IDXD_DEVICE_STATE_HALT = 3

IDXD_DEVICE_RESET_SOFTWARE = 0
IDXD_DEVICE_RESET_FLR = 1
IDXD_DEVICE_RESET_WARM = 2
IDXD_DEVICE_RESET_COLD = 3

IDXD_CMD_ENABLE_DEVICE = 1
IDXD_CMD_DISABLE_DEVICE = 2
IDXD_CMD_DRAIN_ALL = 3
IDXD_CMD_ABORT_ALL = 4
IDXD_CMD_RESET_DEVICE = 5
IDXD_CMD_ENABLE_WQ = 6
IDXD_CMD_DISABLE_WQ = 7
IDXD_CMD_DRAIN_WQ = 8
IDXD_CMD_ABORT_WQ = 9
IDXD_CMD_RESET_WQ = 10
IDXD_CMD_DRAIN_PASID = 11
IDXD_CMD_ABORT_PASID = 12
IDXD_CMD_REQUEST_INT_HANDLE = 13
IDXD_CMD_RELEASE_INT_HANDLE = 14
#: In the operand of the last two: the handle is for the interrupt message store.
CMD_INT_HANDLE_IMS = 0x10000

IDXD_CMDSTS_ACTIVE = 0x80000000
IDXD_CMDSTS_ERR_MASK = 0xFF
IDXD_CMDSTS_RES_SHIFT = 8
IDXD_CMDSTS_SUCCESS = 0
IDXD_CMDSTS_INVAL_CMD = 0x01
IDXD_CMDSTS_INVAL_WQIDX = 0x02
IDXD_CMDSTS_HW_ERR = 0x03
#: A reserved field of the command is not zero. The kernel has no name for it.
IDXD_CMDSTS_ERR_RESERVED = 0x04
# Enable Device
IDXD_CMDSTS_ERR_DEV_ENABLED = 0x10
IDXD_CMDSTS_ERR_CONFIG = 0x11
IDXD_CMDSTS_ERR_BUSMASTER_EN = 0x12
#: What the device must have for page requests does not fit (PRSREQALLOC).
IDXD_CMDSTS_ERR_PASID_INVAL = 0x13
IDXD_CMDSTS_ERR_WQ_SIZE_ERANGE = 0x14
#: A group has work queues or engines, but not both.
IDXD_CMDSTS_ERR_GRP_CONFIG = 0x15
#: A work queue is in two groups, or there is no such work queue.
IDXD_CMDSTS_ERR_GRP_CONFIG2 = 0x16
#: An engine is in two groups, or there is no such engine.
IDXD_CMDSTS_ERR_GRP_CONFIG3 = 0x17
#: Read buffers do not fit.
IDXD_CMDSTS_ERR_GRP_CONFIG4 = 0x18
# Enable WQ
IDXD_CMDSTS_ERR_DEV_NOTEN = 0x20
IDXD_CMDSTS_ERR_WQ_ENABLED = 0x21
IDXD_CMDSTS_ERR_WQ_SIZE = 0x22
IDXD_CMDSTS_ERR_WQ_PRIOR = 0x23
IDXD_CMDSTS_ERR_WQ_MODE = 0x24
IDXD_CMDSTS_ERR_BOF_EN = 0x25
IDXD_CMDSTS_ERR_PASID_EN = 0x26
IDXD_CMDSTS_ERR_MAX_BATCH_SIZE = 0x27
IDXD_CMDSTS_ERR_MAX_XFER_SIZE = 0x28
#: Privileged mode is not enabled in the PASID capability. The kernel has no name for it.
IDXD_CMDSTS_ERR_PRIV = 0x2A
# Disable Device, and what drains or aborts everything
IDXD_CMDSTS_ERR_DIS_DEV_EN = 0x31
# Disable, drain, abort and reset WQ
IDXD_CMDSTS_ERR_DEV_NOT_EN = 0x32
# Interrupt handles; the kernel has no name for the last.
IDXD_CMDSTS_ERR_INVAL_INT_IDX = 0x41
IDXD_CMDSTS_ERR_NO_HANDLE = 0x42
IDXD_CMDSTS_ERR_INVAL_HANDLE = 0x43

IDXD_SWERR_VALID = 0x1
IDXD_SWERR_OVERFLOW = 0x2
IDXD_SWERR_ACK = IDXD_SWERR_VALID | IDXD_SWERR_OVERFLOW

# What the driver puts into cmd_status itself; the first is set in all of it.
IDXD_SCMD_SOFTWARE = 0x80000000
IDXD_SCMD_DEV_ENABLED = 0x80000010
IDXD_SCMD_DEV_NOT_ENABLED = 0x80000020
IDXD_SCMD_WQ_ENABLED = 0x80000021
IDXD_SCMD_DEV_DMA_ERR = 0x80020000
IDXD_SCMD_WQ_NO_GRP = 0x80030000
IDXD_SCMD_WQ_NO_NAME = 0x80040000
IDXD_SCMD_WQ_NO_SVM = 0x80050000
IDXD_SCMD_WQ_NO_THRESH = 0x80060000
IDXD_SCMD_WQ_PORTAL_ERR = 0x80070000
IDXD_SCMD_WQ_RES_ALLOC_ERR = 0x80080000
IDXD_SCMD_PERCPU_ERR = 0x80090000
IDXD_SCMD_DMA_CHAN_ERR = 0x800A0000
IDXD_SCMD_CDEV_ERR = 0x800B0000
IDXD_SCMD_WQ_NO_SWQ_SUPPORT = 0x800C0000
IDXD_SCMD_WQ_NONE_CONFIGURED = 0x800D0000
IDXD_SCMD_WQ_NO_SIZE = 0x800E0000
IDXD_SCMD_WQ_NO_PRIV = 0x800F0000
IDXD_SCMD_WQ_IRQ_ERR = 0x80100000
IDXD_SCMD_WQ_USER_NO_IOMMU = 0x80110000
IDXD_SCMD_DEV_EVL_ERR = 0x80120000
IDXD_SCMD_WQ_NO_DRV_NAME = 0x80200000
#: Entries of the event log.
IDXD_EVL_SIZE_MIN, IDXD_EVL_SIZE_MAX = 0x40, 0xFFFF

# Flags of descriptors
IDXD_OP_FLAG_FENCE = 0x1
IDXD_OP_FLAG_BOF = 0x2
IDXD_OP_FLAG_CRAV = 0x4
IDXD_OP_FLAG_RCR = 0x8
IDXD_OP_FLAG_RCI = 0x10
IDXD_OP_FLAG_CRSTS = 0x20
IDXD_OP_FLAG_CR = 0x80
IDXD_OP_FLAG_CC = 0x100
IDXD_OP_FLAG_ADDR1_TCS = 0x200
IDXD_OP_FLAG_ADDR2_TCS = 0x400
IDXD_OP_FLAG_ADDR3_TCS = 0x800
IDXD_OP_FLAG_CR_TCS = 0x1000
IDXD_OP_FLAG_STORD = 0x2000
IDXD_OP_FLAG_DRDBK = 0x4000
IDXD_OP_FLAG_DSTS = 0x8000
IDXD_OP_FLAG_RD_SRC2_AECS = 0x10000
IDXD_OP_FLAG_RD_SRC2_2ND = 0x20000
IDXD_OP_FLAG_WR_SRC2_AECS_COMP = 0x40000
IDXD_OP_FLAG_WR_SRC2_AECS_OVFL = 0x80000
IDXD_OP_FLAG_SRC2_STS = 0x100000
IDXD_OP_FLAG_CRC_RFC3720 = 0x200000

# Operations of DSA descriptors
DSA_OPCODE_NOOP = 0x00
DSA_OPCODE_BATCH = 0x01
DSA_OPCODE_DRAIN = 0x02
DSA_OPCODE_MEMMOVE = 0x03
DSA_OPCODE_MEMFILL = 0x04
DSA_OPCODE_COMPARE = 0x05
DSA_OPCODE_COMPVAL = 0x06
DSA_OPCODE_CR_DELTA = 0x07
DSA_OPCODE_AP_DELTA = 0x08
DSA_OPCODE_DUALCAST = 0x09
DSA_OPCODE_TRANSL_FETCH = 0x0A
DSA_OPCODE_CRCGEN = 0x10
DSA_OPCODE_COPY_CRC = 0x11
DSA_OPCODE_DIF_CHECK = 0x12
DSA_OPCODE_DIF_INS = 0x13
DSA_OPCODE_DIF_STRP = 0x14
DSA_OPCODE_DIF_UPDT = 0x15
DSA_OPCODE_DIX_GEN = 0x17
DSA_OPCODE_CFLUSH = 0x20

# Operations of IAA descriptors
IAX_OPCODE_NOOP = 0x00
IAX_OPCODE_DRAIN = 0x02
IAX_OPCODE_MEMMOVE = 0x03
IAX_OPCODE_DECOMPRESS = 0x42
IAX_OPCODE_COMPRESS = 0x43
IAX_OPCODE_CRC64 = 0x44
IAX_OPCODE_ZERO_DECOMP_32 = 0x48
IAX_OPCODE_ZERO_DECOMP_16 = 0x49
IAX_OPCODE_ZERO_COMP_32 = 0x4C
IAX_OPCODE_ZERO_COMP_16 = 0x4D
IAX_OPCODE_SCAN = 0x50
IAX_OPCODE_SET_MEMBER = 0x51
IAX_OPCODE_EXTRACT = 0x52
IAX_OPCODE_SELECT = 0x53
IAX_OPCODE_RLE_BURST = 0x54
IAX_OPCODE_FIND_UNIQUE = 0x55
IAX_OPCODE_EXPAND = 0x56

# Status of a DSA completion record
DSA_COMP_NONE = 0x00
DSA_COMP_SUCCESS = 0x01
DSA_COMP_SUCCESS_PRED = 0x02
DSA_COMP_PAGE_FAULT_NOBOF = 0x03
DSA_COMP_PAGE_FAULT_IR = 0x04
DSA_COMP_BATCH_FAIL = 0x05
DSA_COMP_BATCH_PAGE_FAULT = 0x06
DSA_COMP_DR_OFFSET_NOINC = 0x07
DSA_COMP_DR_OFFSET_ERANGE = 0x08
DSA_COMP_DIF_ERR = 0x09
DSA_COMP_BAD_OPCODE = 0x10
DSA_COMP_INVALID_FLAGS = 0x11
DSA_COMP_NOZERO_RESERVE = 0x12
DSA_COMP_XFER_ERANGE = 0x13
DSA_COMP_DESC_CNT_ERANGE = 0x14
DSA_COMP_DR_ERANGE = 0x15
DSA_COMP_OVERLAP_BUFFERS = 0x16
DSA_COMP_DCAST_ERR = 0x17
DSA_COMP_DESCLIST_ALIGN = 0x18
DSA_COMP_INT_HANDLE_INVAL = 0x19
DSA_COMP_CRA_XLAT = 0x1A
DSA_COMP_CRA_ALIGN = 0x1B
DSA_COMP_ADDR_ALIGN = 0x1C
DSA_COMP_PRIV_BAD = 0x1D
DSA_COMP_TRAFFIC_CLASS_CONF = 0x1E
DSA_COMP_PFAULT_RDBA = 0x1F
DSA_COMP_HW_ERR1 = 0x20
DSA_COMP_HW_ERR_DRB = 0x21
DSA_COMP_TRANSLATION_FAIL = 0x22
DSA_COMP_DRAIN_EVL = 0x26
DSA_COMP_BATCH_EVL_ERR = 0x27

# Status of an IAA completion record
IAX_COMP_NONE = 0x00
IAX_COMP_SUCCESS = 0x01
IAX_COMP_PAGE_FAULT_IR = 0x04
IAX_COMP_ANALYTICS_ERROR = 0x0A
IAX_COMP_OUTBUF_OVERFLOW = 0x0B
IAX_COMP_BAD_OPCODE = 0x10
IAX_COMP_INVALID_FLAGS = 0x11
IAX_COMP_NOZERO_RESERVE = 0x12
IAX_COMP_INVALID_SIZE = 0x13
IAX_COMP_OVERLAP_BUFFERS = 0x16
IAX_COMP_INT_HANDLE_INVAL = 0x19
IAX_COMP_CRA_XLAT = 0x1A
IAX_COMP_CRA_ALIGN = 0x1B
IAX_COMP_ADDR_ALIGN = 0x1C
IAX_COMP_PRIV_BAD = 0x1D
IAX_COMP_TRAFFIC_CLASS_CONF = 0x1E
IAX_COMP_PFAULT_RDBA = 0x1F
IAX_COMP_HW_ERR1 = 0x20
IAX_COMP_HW_ERR_DRB = 0x21
IAX_COMP_TRANSLATION_FAIL = 0x22
IAX_COMP_PRS_TIMEOUT = 0x23
IAX_COMP_WATCHDOG = 0x24
IAX_COMP_INVALID_COMP_FLAG = 0x30
IAX_COMP_INVALID_FILTER_FLAG = 0x31
IAX_COMP_INVALID_INPUT_SIZE = 0x32
IAX_COMP_INVALID_NUM_ELEMS = 0x33
IAX_COMP_INVALID_SRC1_WIDTH = 0x34
IAX_COMP_INVALID_INVERT_OUT = 0x35

DSA_COMP_STATUS_MASK = 0x7F
DSA_COMP_STATUS_WRITE = 0x80


class GenCap(LittleEndianStructure):
    """GENCAP (union gen_cap_reg)."""

    _fields_ = [
        ("block_on_fault", c_uint64, 1),
        ("overlap_copy", c_uint64, 1),
        ("cache_control_mem", c_uint64, 1),
        ("cache_control_cache", c_uint64, 1),
        ("cmd_cap", c_uint64, 1),
        ("rsvd", c_uint64, 3),
        ("dest_readback", c_uint64, 1),
        ("drain_readback", c_uint64, 1),
        ("rsvd2", c_uint64, 3),
        ("evl_support", c_uint64, 2),
        ("batch_continuation", c_uint64, 1),
        ("max_xfer_shift", c_uint64, 5),
        ("max_batch_shift", c_uint64, 4),
        ("max_ims_mult", c_uint64, 6),
        ("config_en", c_uint64, 1),
        ("rsvd3", c_uint64, 32),
    ]


class WqCap(LittleEndianStructure):
    """WQCAP (union wq_cap_reg)."""

    _fields_ = [
        ("total_wq_size", c_uint64, 16),
        ("num_wqs", c_uint64, 8),
        ("wqcfg_size", c_uint64, 4),
        ("rsvd", c_uint64, 20),
        ("shared_mode", c_uint64, 1),
        ("dedicated_mode", c_uint64, 1),
        ("wq_ats_support", c_uint64, 1),
        ("priority", c_uint64, 1),
        ("occupancy", c_uint64, 1),
        ("occupancy_int", c_uint64, 1),
        ("op_config", c_uint64, 1),
        ("wq_prs_support", c_uint64, 1),
        ("rsvd4", c_uint64, 8),
    ]


class GroupCap(LittleEndianStructure):
    """GRPCAP (union group_cap_reg)."""

    _fields_ = [
        ("num_groups", c_uint64, 8),
        ("total_rdbufs", c_uint64, 8),
        ("rdbuf_ctrl", c_uint64, 1),
        ("rdbuf_limit", c_uint64, 1),
        ("progress_limit", c_uint64, 1),
        ("rsvd", c_uint64, 45),
    ]


class Offsets(LittleEndianStructure):
    """Where the tables are, in units of IDXD_TABLE_MULT (union offsets_reg)."""

    _fields_ = [
        ("grpcfg", c_uint64, 16),
        ("wqcfg", c_uint64, 16),
        ("msix_perm", c_uint64, 16),
        ("ims", c_uint64, 16),
        ("perfmon", c_uint64, 16),
        ("rsvd", c_uint64, 48),
    ]


class GenCfg(LittleEndianStructure):
    """GENCFG (union gencfg_reg)."""

    _fields_ = [
        ("rdbuf_limit", c_uint32, 8),
        ("rsvd", c_uint32, 4),
        ("user_int_en", c_uint32, 1),
        ("evl_en", c_uint32, 1),
        ("rsvd2", c_uint32, 18),
    ]


class GenCtrl(LittleEndianStructure):
    """GENCTRL (union genctrl_reg)."""

    _fields_ = [
        ("softerr_int_en", c_uint32, 1),
        ("halt_int_en", c_uint32, 1),
        ("evl_int_en", c_uint32, 1),
        ("rsvd", c_uint32, 29),
    ]


class EvlCfg(LittleEndianStructure):
    """EVLCFG (union evlcfg_reg). ``base_addr`` counts pages, ``size`` entries."""

    _fields_ = [
        ("pasid_en", c_uint64, 1),
        ("priv", c_uint64, 1),
        ("rsvd", c_uint64, 10),
        ("base_addr", c_uint64, 52),
        ("size", c_uint64, 16),
        ("pasid", c_uint64, 20),
        ("rsvd2", c_uint64, 28),
    ]


class DsaCap0(LittleEndianStructure):
    """DSACAP0 (union dsacap0_reg, 7.2)."""

    _fields_ = [
        ("max_sgl_shift", c_uint64, 4),
        ("max_gr_block_shift", c_uint64, 4),
        ("ops_inter_domain", c_uint64, 7),
        ("rsvd1", c_uint64, 17),
        ("sgl_formats", c_uint64, 16),
        ("max_sg_process", c_uint64, 8),
        ("rsvd2", c_uint64, 8),
    ]


class GenSts(LittleEndianStructure):
    """GENSTATS (union gensts_reg)."""

    _fields_ = [
        ("state", c_uint32, 2),
        ("reset_type", c_uint32, 2),
        ("rsvd", c_uint32, 28),
    ]


class Command(LittleEndianStructure):
    """CMD (union idxd_command_reg)."""

    _fields_ = [
        ("operand", c_uint32, 20),
        ("cmd", c_uint32, 5),
        ("rsvd", c_uint32, 6),
        ("int_req", c_uint32, 1),
    ]


class SwErr(LittleEndianStructure):
    """SWERR (union sw_err_reg)."""

    _fields_ = [
        ("valid", c_uint64, 1),
        ("overflow", c_uint64, 1),
        ("desc_valid", c_uint64, 1),
        ("wq_idx_valid", c_uint64, 1),
        ("batch", c_uint64, 1),
        ("fault_rw", c_uint64, 1),
        ("priv", c_uint64, 1),
        ("rsvd", c_uint64, 1),
        ("error", c_uint64, 8),
        ("wq_idx", c_uint64, 8),
        ("rsvd2", c_uint64, 8),
        ("operation", c_uint64, 8),
        ("pasid", c_uint64, 20),
        ("rsvd3", c_uint64, 4),
        ("batch_idx", c_uint64, 16),
        ("rsvd4", c_uint64, 16),
        ("invalid_flags", c_uint64, 32),
        ("fault_addr", c_uint64),
        ("rsvd5", c_uint64),
    ]


class MsixPerm(LittleEndianStructure):
    """An entry of the table MSIXPERM (union msix_perm)."""

    _fields_ = [
        ("rsvd", c_uint32, 2),
        ("ignore", c_uint32, 1),
        ("pasid_en", c_uint32, 1),
        ("rsvd2", c_uint32, 8),
        ("pasid", c_uint32, 20),
    ]


class GroupFlags(LittleEndianStructure):
    """GRPFLGCFG (union group_flags)."""

    _fields_ = [
        ("tc_a", c_uint64, 3),
        ("tc_b", c_uint64, 3),
        ("rsvd", c_uint64, 1),
        ("use_rdbuf_limit", c_uint64, 1),
        ("rdbufs_reserved", c_uint64, 8),
        ("rsvd2", c_uint64, 4),
        ("rdbufs_allowed", c_uint64, 8),
        ("rsvd3", c_uint64, 4),
        ("desc_progress_limit", c_uint64, 2),
        ("rsvd4", c_uint64, 2),
        ("batch_progress_limit", c_uint64, 2),
        ("rsvd5", c_uint64, 26),
    ]


class GrpCfg(LittleEndianStructure):
    """GRPCFG of one group: its work queues, engines and flags (struct grpcfg)."""

    _fields_ = [("wqs", c_uint64 * 4), ("engines", c_uint64), ("flags", GroupFlags)]


class _WqCfgFields(LittleEndianStructure):
    _fields_ = [
        ("wq_size", c_uint32, 16),
        ("rsvd", c_uint32, 16),
        ("wq_thresh", c_uint32, 16),
        ("rsvd1", c_uint32, 16),
        ("mode", c_uint32, 1),
        ("bof", c_uint32, 1),
        ("wq_ats_disable", c_uint32, 1),
        ("wq_prs_disable", c_uint32, 1),
        ("priority", c_uint32, 4),
        ("pasid", c_uint32, 20),
        ("pasid_en", c_uint32, 1),
        ("priv", c_uint32, 1),
        ("rsvd3", c_uint32, 2),
        ("max_xfer_shift", c_uint32, 5),
        ("max_batch_shift", c_uint32, 4),
        ("max_sgl_shift", c_uint32, 4),
        ("rsvd4", c_uint32, 19),
        ("occupancy_inth", c_uint32, 16),
        ("occupancy_table_sel", c_uint32, 1),
        ("rsvd5", c_uint32, 15),
        ("occupancy_limit", c_uint32, 16),
        ("occupancy_int_en", c_uint32, 1),
        ("rsvd6", c_uint32, 15),
        ("occupancy", c_uint32, 16),
        ("occupancy_int", c_uint32, 1),
        ("rsvd7", c_uint32, 12),
        ("mode_support", c_uint32, 1),
        ("wq_state", c_uint32, 2),
        ("rsvd8", c_uint32),
        ("op_config", c_uint64 * 4),
    ]


class WqCfg(LittleEndianUnion):
    """WQCFG of one work queue, as fields and as 32-bit registers (union wqcfg).

    Devices without WQCAP.op_config have the first 32 bytes only.
    """

    _anonymous_ = ("fields",)
    _fields_ = [("fields", _WqCfgFields), ("bits", c_uint32 * 16)]


class DsaHwDesc(LittleEndianStructure):
    """The part of a descriptor that all operations share (struct dsa_hw_desc)."""

    c_name = "dsa_hw_desc"
    _fields_ = [
        ("pasid", c_uint32, 20),
        ("rsvd", c_uint32, 11),
        ("priv", c_uint32, 1),
        ("flags", c_uint32, 24),
        ("opcode", c_uint32, 8),
        ("completion_addr", c_uint64),
        ("src_addr", c_uint64),
        ("dst_addr", c_uint64),
        ("xfer_size", c_uint32),
        ("int_handle", c_uint16),
        ("rsvd1", c_uint16),
        ("op_specific", c_uint8 * 24),
    ]


class IaxHwDesc(LittleEndianStructure):
    """A descriptor of IAA (struct iax_hw_desc)."""

    c_name = "iax_hw_desc"
    _fields_ = [
        ("pasid", c_uint32, 20),
        ("rsvd", c_uint32, 11),
        ("priv", c_uint32, 1),
        ("flags", c_uint32, 24),
        ("opcode", c_uint32, 8),
        ("completion_addr", c_uint64),
        ("src1_addr", c_uint64),
        ("dst_addr", c_uint64),
        ("src1_size", c_uint32),
        ("int_handle", c_uint16),
        ("compr_flags", c_uint16),
        ("src2_addr", c_uint64),
        ("max_dst_size", c_uint32),
        ("src2_size", c_uint32),
        ("filter_flags", c_uint32),
        ("num_inputs", c_uint32),
    ]


class DsaCompletionRecord(LittleEndianStructure):
    """What all operations of DSA write when they are done (struct dsa_completion_record)."""

    c_name = "dsa_completion_record"
    _fields_ = [
        ("status", c_uint8),
        ("result", c_uint8),
        ("fault_info", c_uint8),
        ("rsvd", c_uint8),
        ("bytes_completed", c_uint32),
        ("fault_addr", c_uint64),
        ("op_specific", c_uint8 * 16),
    ]


class IaxCompletionRecord(LittleEndianStructure):
    """What operations of IAA write when they are done (struct iax_completion_record)."""

    c_name = "iax_completion_record"
    _fields_ = [
        ("status", c_uint8),
        ("error_code", c_uint8),
        ("fault_info", c_uint8),
        ("rsvd", c_uint8),
        ("bytes_completed", c_uint32),
        ("fault_addr", c_uint64),
        ("invalid_flags", c_uint32),
        ("rsvd2", c_uint32),
        ("output_size", c_uint32),
        ("output_bits", c_uint8),
        ("rsvd3", c_uint8),
        ("xor_csum", c_uint16),
        ("crc", c_uint32),
        ("min", c_uint32),
        ("max", c_uint32),
        ("sum", c_uint32),
        ("rsvd4", c_uint64 * 2),
    ]
