# SPDX-License-Identifier: Apache-2.0
"""Numbers and layouts of iommufd: /dev/iommu.

Source: include/uapi/linux/iommufd.h, Linux 7.2. Every structure begins with its own size as the
caller knows it. ``c_name`` is its name in the header.
"""

from __future__ import annotations

from ctypes import LittleEndianStructure, c_uint8, c_uint16, c_uint32, c_uint64

IOMMUFD_TYPE = 0x3B

IOMMUFD_CMD_BASE = 0x80
IOMMUFD_CMD_DESTROY = 0x80
IOMMUFD_CMD_IOAS_ALLOC = 0x81
IOMMUFD_CMD_IOAS_ALLOW_IOVAS = 0x82
IOMMUFD_CMD_IOAS_COPY = 0x83
IOMMUFD_CMD_IOAS_IOVA_RANGES = 0x84
IOMMUFD_CMD_IOAS_MAP = 0x85
IOMMUFD_CMD_IOAS_UNMAP = 0x86
IOMMUFD_CMD_OPTION = 0x87
IOMMUFD_CMD_VFIO_IOAS = 0x88
IOMMUFD_CMD_HWPT_ALLOC = 0x89
IOMMUFD_CMD_GET_HW_INFO = 0x8A
IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING = 0x8B
IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP = 0x8C
IOMMUFD_CMD_HWPT_INVALIDATE = 0x8D
IOMMUFD_CMD_FAULT_QUEUE_ALLOC = 0x8E
IOMMUFD_CMD_IOAS_MAP_FILE = 0x8F
IOMMUFD_CMD_VIOMMU_ALLOC = 0x90
IOMMUFD_CMD_VDEVICE_ALLOC = 0x91
IOMMUFD_CMD_IOAS_CHANGE_PROCESS = 0x92
IOMMUFD_CMD_VEVENTQ_ALLOC = 0x93
IOMMUFD_CMD_HW_QUEUE_ALLOC = 0x94


def _io(number: int) -> int:
    """_IO(IOMMUFD_TYPE, number): the commands carry no size."""
    return IOMMUFD_TYPE << 8 | number


IOMMU_DESTROY = _io(IOMMUFD_CMD_DESTROY)
IOMMU_IOAS_ALLOC = _io(IOMMUFD_CMD_IOAS_ALLOC)
IOMMU_IOAS_ALLOW_IOVAS = _io(IOMMUFD_CMD_IOAS_ALLOW_IOVAS)
IOMMU_IOAS_COPY = _io(IOMMUFD_CMD_IOAS_COPY)
IOMMU_IOAS_IOVA_RANGES = _io(IOMMUFD_CMD_IOAS_IOVA_RANGES)
IOMMU_IOAS_MAP = _io(IOMMUFD_CMD_IOAS_MAP)
IOMMU_IOAS_UNMAP = _io(IOMMUFD_CMD_IOAS_UNMAP)
IOMMU_OPTION = _io(IOMMUFD_CMD_OPTION)
IOMMU_VFIO_IOAS = _io(IOMMUFD_CMD_VFIO_IOAS)
IOMMU_HWPT_ALLOC = _io(IOMMUFD_CMD_HWPT_ALLOC)
IOMMU_GET_HW_INFO = _io(IOMMUFD_CMD_GET_HW_INFO)
IOMMU_HWPT_SET_DIRTY_TRACKING = _io(IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING)
IOMMU_HWPT_GET_DIRTY_BITMAP = _io(IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP)
IOMMU_HWPT_INVALIDATE = _io(IOMMUFD_CMD_HWPT_INVALIDATE)
IOMMU_FAULT_QUEUE_ALLOC = _io(IOMMUFD_CMD_FAULT_QUEUE_ALLOC)
IOMMU_IOAS_MAP_FILE = _io(IOMMUFD_CMD_IOAS_MAP_FILE)
IOMMU_VIOMMU_ALLOC = _io(IOMMUFD_CMD_VIOMMU_ALLOC)
IOMMU_VDEVICE_ALLOC = _io(IOMMUFD_CMD_VDEVICE_ALLOC)
IOMMU_IOAS_CHANGE_PROCESS = _io(IOMMUFD_CMD_IOAS_CHANGE_PROCESS)
IOMMU_VEVENTQ_ALLOC = _io(IOMMUFD_CMD_VEVENTQ_ALLOC)
IOMMU_HW_QUEUE_ALLOC = _io(IOMMUFD_CMD_HW_QUEUE_ALLOC)

IOMMU_IOAS_MAP_FIXED_IOVA = 1
IOMMU_IOAS_MAP_WRITEABLE = 2
IOMMU_IOAS_MAP_READABLE = 4

IOMMU_OPTION_RLIMIT_MODE = 0
IOMMU_OPTION_HUGE_PAGES = 1
IOMMU_OPTION_OP_SET = 0
IOMMU_OPTION_OP_GET = 1

IOMMU_VFIO_IOAS_GET = 0
IOMMU_VFIO_IOAS_SET = 1
IOMMU_VFIO_IOAS_CLEAR = 2

IOMMU_HWPT_ALLOC_NEST_PARENT = 1
IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 2
IOMMU_HWPT_FAULT_ID_VALID = 4
IOMMU_HWPT_ALLOC_PASID = 8

IOMMU_HWPT_DATA_NONE = 0
IOMMU_HWPT_DATA_VTD_S1 = 1

IOMMU_HW_INFO_TYPE_NONE = 0
IOMMU_HW_INFO_TYPE_DEFAULT = 0
IOMMU_HW_INFO_TYPE_INTEL_VTD = 1
IOMMU_HW_INFO_FLAG_INPUT_TYPE = 1
IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 = 1
IOMMU_HW_CAP_DIRTY_TRACKING = 1
IOMMU_HW_CAP_PCI_PASID_EXEC = 2
IOMMU_HW_CAP_PCI_PASID_PRIV = 4
IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED = 8

IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1
IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1

IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 = 0

IOMMU_VIOMMU_TYPE_DEFAULT = 0
IOMMU_VIOMMU_TYPE_ARM_SMMUV3 = 1
IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV = 2
IOMMU_VEVENTQ_TYPE_DEFAULT = 0
IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 = 1
IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV = 2
IOMMU_HW_QUEUE_TYPE_DEFAULT = 0
IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV = 1


class Destroy(LittleEndianStructure):
    """struct iommu_destroy."""

    c_name = "iommu_destroy"
    _fields_ = [("size", c_uint32), ("id", c_uint32)]


class IoasAlloc(LittleEndianStructure):
    """struct iommu_ioas_alloc."""

    c_name = "iommu_ioas_alloc"
    _fields_ = [("size", c_uint32), ("flags", c_uint32), ("out_ioas_id", c_uint32)]


class IovaRange(LittleEndianStructure):
    """struct iommu_iova_range; ``last`` is within it."""

    c_name = "iommu_iova_range"
    _fields_ = [("start", c_uint64), ("last", c_uint64)]


class IoasIovaRanges(LittleEndianStructure):
    """struct iommu_ioas_iova_ranges; ``allowed_iovas`` is the address of IovaRange."""

    c_name = "iommu_ioas_iova_ranges"
    _fields_ = [
        ("size", c_uint32),
        ("ioas_id", c_uint32),
        ("num_iovas", c_uint32),
        ("reserved", c_uint32),
        ("allowed_iovas", c_uint64),
        ("out_iova_alignment", c_uint64),
    ]


class IoasAllowIovas(LittleEndianStructure):
    """struct iommu_ioas_allow_iovas; ``allowed_iovas`` is the address of IovaRange."""

    c_name = "iommu_ioas_allow_iovas"
    _fields_ = [
        ("size", c_uint32),
        ("ioas_id", c_uint32),
        ("num_iovas", c_uint32),
        ("reserved", c_uint32),
        ("allowed_iovas", c_uint64),
    ]


class IoasMap(LittleEndianStructure):
    """struct iommu_ioas_map."""

    c_name = "iommu_ioas_map"
    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("ioas_id", c_uint32),
        ("reserved", c_uint32),
        ("user_va", c_uint64),
        ("length", c_uint64),
        ("iova", c_uint64),
    ]


class IoasMapFile(LittleEndianStructure):
    """struct iommu_ioas_map_file."""

    c_name = "iommu_ioas_map_file"
    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("ioas_id", c_uint32),
        ("fd", c_uint32),
        ("start", c_uint64),
        ("length", c_uint64),
        ("iova", c_uint64),
    ]


class IoasCopy(LittleEndianStructure):
    """struct iommu_ioas_copy."""

    c_name = "iommu_ioas_copy"
    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("dst_ioas_id", c_uint32),
        ("src_ioas_id", c_uint32),
        ("length", c_uint64),
        ("dst_iova", c_uint64),
        ("src_iova", c_uint64),
    ]


class IoasUnmap(LittleEndianStructure):
    """struct iommu_ioas_unmap."""

    c_name = "iommu_ioas_unmap"
    _fields_ = [
        ("size", c_uint32),
        ("ioas_id", c_uint32),
        ("iova", c_uint64),
        ("length", c_uint64),
    ]


class Option(LittleEndianStructure):
    """struct iommu_option."""

    c_name = "iommu_option"
    _fields_ = [
        ("size", c_uint32),
        ("option_id", c_uint32),
        ("op", c_uint16),
        ("reserved", c_uint16),
        ("object_id", c_uint32),
        ("val64", c_uint64),
    ]


class VfioIoas(LittleEndianStructure):
    """struct iommu_vfio_ioas."""

    c_name = "iommu_vfio_ioas"
    _fields_ = [
        ("size", c_uint32),
        ("ioas_id", c_uint32),
        ("op", c_uint16),
        ("reserved", c_uint16),
    ]


class HwptAlloc(LittleEndianStructure):
    """struct iommu_hwpt_alloc."""

    c_name = "iommu_hwpt_alloc"
    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("dev_id", c_uint32),
        ("pt_id", c_uint32),
        ("out_hwpt_id", c_uint32),
        ("reserved", c_uint32),
        ("data_type", c_uint32),
        ("data_len", c_uint32),
        ("data_uptr", c_uint64),
        ("fault_id", c_uint32),
        ("reserved2", c_uint32),
    ]


class HwInfoVtd(LittleEndianStructure):
    """struct iommu_hw_info_vtd."""

    c_name = "iommu_hw_info_vtd"
    _fields_ = [
        ("flags", c_uint32),
        ("reserved", c_uint32),
        ("cap_reg", c_uint64),
        ("ecap_reg", c_uint64),
    ]


class HwInfo(LittleEndianStructure):
    """struct iommu_hw_info; before 6.15, ``out_max_pasid_log2`` is reserved too."""

    c_name = "iommu_hw_info"
    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("dev_id", c_uint32),
        ("data_len", c_uint32),
        ("data_uptr", c_uint64),
        ("out_data_type", c_uint32),
        ("out_max_pasid_log2", c_uint8),
        ("reserved", c_uint8 * 3),
        ("out_capabilities", c_uint64),
    ]


class HwptSetDirtyTracking(LittleEndianStructure):
    """struct iommu_hwpt_set_dirty_tracking."""

    c_name = "iommu_hwpt_set_dirty_tracking"
    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("hwpt_id", c_uint32),
        ("reserved", c_uint32),
    ]


class HwptGetDirtyBitmap(LittleEndianStructure):
    """struct iommu_hwpt_get_dirty_bitmap."""

    c_name = "iommu_hwpt_get_dirty_bitmap"
    _fields_ = [
        ("size", c_uint32),
        ("hwpt_id", c_uint32),
        ("flags", c_uint32),
        ("reserved", c_uint32),
        ("iova", c_uint64),
        ("length", c_uint64),
        ("page_size", c_uint64),
        ("data", c_uint64),
    ]


class HwptInvalidate(LittleEndianStructure):
    """struct iommu_hwpt_invalidate."""

    c_name = "iommu_hwpt_invalidate"
    _fields_ = [
        ("size", c_uint32),
        ("hwpt_id", c_uint32),
        ("data_uptr", c_uint64),
        ("data_type", c_uint32),
        ("entry_len", c_uint32),
        ("entry_num", c_uint32),
        ("reserved", c_uint32),
    ]


class FaultAlloc(LittleEndianStructure):
    """struct iommu_fault_alloc."""

    c_name = "iommu_fault_alloc"
    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("out_fault_id", c_uint32),
        ("out_fault_fd", c_uint32),
    ]


class HwptPgfault(LittleEndianStructure):
    """struct iommu_hwpt_pgfault."""

    c_name = "iommu_hwpt_pgfault"
    _fields_ = [
        ("flags", c_uint32),
        ("dev_id", c_uint32),
        ("pasid", c_uint32),
        ("grpid", c_uint32),
        ("perm", c_uint32),
        ("reserved", c_uint32),
        ("addr", c_uint64),
        ("length", c_uint32),
        ("cookie", c_uint32),
    ]


class HwptPageResponse(LittleEndianStructure):
    """struct iommu_hwpt_page_response."""

    c_name = "iommu_hwpt_page_response"
    _fields_ = [
        ("cookie", c_uint32),
        ("code", c_uint32),
    ]


class ViommuAlloc(LittleEndianStructure):
    """struct iommu_viommu_alloc."""

    c_name = "iommu_viommu_alloc"
    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("type", c_uint32),
        ("dev_id", c_uint32),
        ("hwpt_id", c_uint32),
        ("out_viommu_id", c_uint32),
        ("data_len", c_uint32),
        ("reserved", c_uint32),
        ("data_uptr", c_uint64),
    ]


class VdeviceAlloc(LittleEndianStructure):
    """struct iommu_vdevice_alloc."""

    c_name = "iommu_vdevice_alloc"
    _fields_ = [
        ("size", c_uint32),
        ("viommu_id", c_uint32),
        ("dev_id", c_uint32),
        ("out_vdevice_id", c_uint32),
        ("virt_id", c_uint64),
    ]


class IoasChangeProcess(LittleEndianStructure):
    """struct iommu_ioas_change_process."""

    c_name = "iommu_ioas_change_process"
    _fields_ = [
        ("size", c_uint32),
        ("reserved", c_uint32),
    ]


class VeventqAlloc(LittleEndianStructure):
    """struct iommu_veventq_alloc."""

    c_name = "iommu_veventq_alloc"
    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("viommu_id", c_uint32),
        ("type", c_uint32),
        ("veventq_depth", c_uint32),
        ("out_veventq_id", c_uint32),
        ("out_veventq_fd", c_uint32),
        ("reserved", c_uint32),
    ]


class HwQueueAlloc(LittleEndianStructure):
    """struct iommu_hw_queue_alloc."""

    c_name = "iommu_hw_queue_alloc"
    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("viommu_id", c_uint32),
        ("type", c_uint32),
        ("index", c_uint32),
        ("out_hw_queue_id", c_uint32),
        ("nesting_parent_iova", c_uint64),
        ("length", c_uint64),
    ]
