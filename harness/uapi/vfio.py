# SPDX-License-Identifier: Apache-2.0
"""Numbers and layouts of VFIO: container, group and device files, type 1 IOMMU.

Source: include/uapi/linux/vfio.h, Linux 7.2. A structure here is the part of it that every caller
must give; ``argsz`` says how much more he gave, and a structure named ``...Caps`` or ``...Full``
is all of it. ``c_name`` is its name in the header.
"""

from __future__ import annotations

from ctypes import LittleEndianStructure, c_int32, c_uint8, c_uint16, c_uint32, c_uint64
from functools import cache
from typing import Protocol

VFIO_TYPE = 0x3B
VFIO_BASE = 100
VFIO_API_VERSION = 0


def _io(number: int) -> int:
    """_IO(VFIO_TYPE, VFIO_BASE + number): the commands carry no size."""
    return VFIO_TYPE << 8 | VFIO_BASE + number


# Commands on a container
VFIO_GET_API_VERSION = _io(0)
VFIO_CHECK_EXTENSION = _io(1)
VFIO_SET_IOMMU = _io(2)
VFIO_IOMMU_GET_INFO = _io(12)
VFIO_IOMMU_MAP_DMA = _io(13)
VFIO_IOMMU_UNMAP_DMA = _io(14)
VFIO_IOMMU_ENABLE = _io(15)
VFIO_IOMMU_DISABLE = _io(16)
VFIO_IOMMU_DIRTY_PAGES = _io(17)
# on a group
VFIO_GROUP_GET_STATUS = _io(3)
VFIO_GROUP_SET_CONTAINER = _io(4)
VFIO_GROUP_UNSET_CONTAINER = _io(5)
VFIO_GROUP_GET_DEVICE_FD = _io(6)
# on a device
VFIO_DEVICE_GET_INFO = _io(7)
VFIO_DEVICE_GET_REGION_INFO = _io(8)
VFIO_DEVICE_GET_IRQ_INFO = _io(9)
VFIO_DEVICE_SET_IRQS = _io(10)
VFIO_DEVICE_RESET = _io(11)
VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = _io(12)
VFIO_DEVICE_PCI_HOT_RESET = _io(13)
VFIO_DEVICE_QUERY_GFX_PLANE = _io(14)
VFIO_DEVICE_GET_GFX_DMABUF = _io(15)
VFIO_DEVICE_IOEVENTFD = _io(16)
VFIO_DEVICE_FEATURE = _io(17)
VFIO_DEVICE_BIND_IOMMUFD = _io(18)
VFIO_DEVICE_ATTACH_IOMMUFD_PT = _io(19)
VFIO_DEVICE_DETACH_IOMMUFD_PT = _io(20)
# and on the file of a migration's data
VFIO_MIG_GET_PRECOPY_INFO = _io(21)

# Extensions; the first, the third and the eighth are also what SET_IOMMU takes.
VFIO_TYPE1_IOMMU = 1
VFIO_SPAPR_TCE_IOMMU = 2
VFIO_TYPE1v2_IOMMU = 3
VFIO_DMA_CC_IOMMU = 4
VFIO_EEH = 5
#: In 7.2 it is called __VFIO_RESERVED_TYPE1_NESTING_IOMMU.
VFIO_TYPE1_NESTING_IOMMU = 6
VFIO_SPAPR_TCE_v2_IOMMU = 7
VFIO_NOIOMMU_IOMMU = 8
VFIO_UNMAP_ALL = 9
VFIO_UPDATE_VADDR = 10

VFIO_GROUP_FLAGS_VIABLE = 1
VFIO_GROUP_FLAGS_CONTAINER_SET = 2

VFIO_DEVICE_FLAGS_RESET = 1
VFIO_DEVICE_FLAGS_PCI = 2
VFIO_DEVICE_FLAGS_PLATFORM = 4
VFIO_DEVICE_FLAGS_AMBA = 8
VFIO_DEVICE_FLAGS_CCW = 0x10
VFIO_DEVICE_FLAGS_AP = 0x20
VFIO_DEVICE_FLAGS_FSL_MC = 0x40
VFIO_DEVICE_FLAGS_CAPS = 0x80
VFIO_DEVICE_FLAGS_CDX = 0x100

VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP = 5
VFIO_PCI_ATOMIC_COMP32 = 1
VFIO_PCI_ATOMIC_COMP64 = 2
VFIO_PCI_ATOMIC_COMP128 = 4

VFIO_REGION_INFO_FLAG_READ = 1
VFIO_REGION_INFO_FLAG_WRITE = 2
VFIO_REGION_INFO_FLAG_MMAP = 4
VFIO_REGION_INFO_FLAG_CAPS = 8

VFIO_REGION_INFO_CAP_SPARSE_MMAP = 1
VFIO_REGION_INFO_CAP_TYPE = 2
VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3

VFIO_REGION_TYPE_PCI_VENDOR_TYPE = 1 << 31
VFIO_REGION_TYPE_PCI_VENDOR_MASK = 0xFFFF
VFIO_REGION_TYPE_GFX = 1
VFIO_REGION_SUBTYPE_GFX_EDID = 1
VFIO_DEVICE_GFX_LINK_STATE_UP = 1
VFIO_DEVICE_GFX_LINK_STATE_DOWN = 2

VFIO_PCI_BAR0_REGION_INDEX = 0
VFIO_PCI_BAR1_REGION_INDEX = 1
VFIO_PCI_BAR2_REGION_INDEX = 2
VFIO_PCI_BAR3_REGION_INDEX = 3
VFIO_PCI_BAR4_REGION_INDEX = 4
VFIO_PCI_BAR5_REGION_INDEX = 5
VFIO_PCI_ROM_REGION_INDEX = 6
VFIO_PCI_CONFIG_REGION_INDEX = 7
VFIO_PCI_VGA_REGION_INDEX = 8
VFIO_PCI_NUM_REGIONS = 9
#: The offset of a region in a device file is its index shifted by this (linux/vfio_pci_core.h).
VFIO_PCI_OFFSET_SHIFT = 40

VFIO_IRQ_INFO_EVENTFD = 1
VFIO_IRQ_INFO_MASKABLE = 2
VFIO_IRQ_INFO_AUTOMASKED = 4
VFIO_IRQ_INFO_NORESIZE = 8

VFIO_PCI_INTX_IRQ_INDEX = 0
VFIO_PCI_MSI_IRQ_INDEX = 1
VFIO_PCI_MSIX_IRQ_INDEX = 2
VFIO_PCI_ERR_IRQ_INDEX = 3
VFIO_PCI_REQ_IRQ_INDEX = 4
VFIO_PCI_NUM_IRQS = 5

VFIO_IRQ_SET_DATA_NONE = 1
VFIO_IRQ_SET_DATA_BOOL = 2
VFIO_IRQ_SET_DATA_EVENTFD = 4
VFIO_IRQ_SET_DATA_TYPE_MASK = 7
VFIO_IRQ_SET_ACTION_MASK = 8
VFIO_IRQ_SET_ACTION_UNMASK = 0x10
VFIO_IRQ_SET_ACTION_TRIGGER = 0x20
VFIO_IRQ_SET_ACTION_TYPE_MASK = 0x38

VFIO_PCI_HOT_RESET_FLAG_DEV_ID = 1
VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED = 2
VFIO_PCI_DEVID_OWNED = 0
VFIO_PCI_DEVID_NOT_OWNED = -1

VFIO_GFX_PLANE_TYPE_PROBE = 1
VFIO_GFX_PLANE_TYPE_DMABUF = 2
VFIO_GFX_PLANE_TYPE_REGION = 4

VFIO_DEVICE_IOEVENTFD_8 = 1
VFIO_DEVICE_IOEVENTFD_16 = 2
VFIO_DEVICE_IOEVENTFD_32 = 4
VFIO_DEVICE_IOEVENTFD_64 = 8
VFIO_DEVICE_IOEVENTFD_SIZE_MASK = 0xF

VFIO_DEVICE_FEATURE_MASK = 0xFFFF
VFIO_DEVICE_FEATURE_GET = 1 << 16
VFIO_DEVICE_FEATURE_SET = 1 << 17
VFIO_DEVICE_FEATURE_PROBE = 1 << 18
VFIO_DEVICE_FEATURE_PCI_VF_TOKEN = 0
VFIO_DEVICE_FEATURE_MIGRATION = 1
VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE = 2
VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3
VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4
VFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 5
VFIO_DEVICE_FEATURE_DMA_LOGGING_START = 6
VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 7
VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT = 8
VFIO_DEVICE_FEATURE_MIG_DATA_SIZE = 9
VFIO_DEVICE_FEATURE_BUS_MASTER = 10
VFIO_DEVICE_FEATURE_DMA_BUF = 11
VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 = 12

VFIO_DEVICE_FEATURE_CLEAR_MASTER = 0
VFIO_DEVICE_FEATURE_SET_MASTER = 1

VFIO_MIGRATION_STOP_COPY = 1
VFIO_MIGRATION_P2P = 2
VFIO_MIGRATION_PRE_COPY = 4

VFIO_DEVICE_STATE_ERROR = 0
VFIO_DEVICE_STATE_STOP = 1
VFIO_DEVICE_STATE_RUNNING = 2
VFIO_DEVICE_STATE_STOP_COPY = 3
VFIO_DEVICE_STATE_RESUMING = 4
VFIO_DEVICE_STATE_RUNNING_P2P = 5
VFIO_DEVICE_STATE_PRE_COPY = 6
VFIO_DEVICE_STATE_PRE_COPY_P2P = 7

VFIO_DEVICE_BIND_FLAG_TOKEN = 1
VFIO_DEVICE_ATTACH_PASID = 1
VFIO_DEVICE_DETACH_PASID = 1

VFIO_IOMMU_INFO_PGSIZES = 1
VFIO_IOMMU_INFO_CAPS = 2
VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1
VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 2
VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3

VFIO_DMA_MAP_FLAG_READ = 1
VFIO_DMA_MAP_FLAG_WRITE = 2
VFIO_DMA_MAP_FLAG_VADDR = 4

VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1
VFIO_DMA_UNMAP_FLAG_ALL = 2
VFIO_DMA_UNMAP_FLAG_VADDR = 4

VFIO_IOMMU_DIRTY_PAGES_FLAG_START = 1
VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 2
VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 4


class Sized(Protocol):
    """A structure that begins with its size as the caller knows it."""

    argsz: int


@cache
def offsetofend(structure: type[LittleEndianStructure], name: str) -> int:
    """How many bytes ``structure`` has up to and with the field ``name``."""
    field = getattr(structure, name)
    end: int = field.offset + field.size
    return end


class GroupStatus(LittleEndianStructure):
    """struct vfio_group_status."""

    c_name = "vfio_group_status"
    _fields_ = [("argsz", c_uint32), ("flags", c_uint32)]


class InfoCapHeader(LittleEndianStructure):
    """struct vfio_info_cap_header; ``next`` counts from the start of the structure before."""

    c_name = "vfio_info_cap_header"
    _fields_ = [("id", c_uint16), ("version", c_uint16), ("next", c_uint32)]


class DeviceInfo(LittleEndianStructure):
    """struct vfio_device_info, to num_irqs."""

    c_name = "vfio_device_info"
    _fields_ = [
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("num_regions", c_uint32),
        ("num_irqs", c_uint32),
    ]


class DeviceInfoCaps(DeviceInfo):
    """struct vfio_device_info; before 6.6 it ends with cap_offset."""

    _fields_ = [("cap_offset", c_uint32), ("pad", c_uint32)]


class DeviceInfoCapPciAtomicComp(LittleEndianStructure):
    """struct vfio_device_info_cap_pci_atomic_comp."""

    c_name = "vfio_device_info_cap_pci_atomic_comp"
    _fields_ = [("header", InfoCapHeader), ("flags", c_uint32), ("reserved", c_uint32)]


class RegionInfo(LittleEndianStructure):
    """struct vfio_region_info."""

    c_name = "vfio_region_info"
    _fields_ = [
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("index", c_uint32),
        ("cap_offset", c_uint32),
        ("size", c_uint64),
        ("offset", c_uint64),
    ]


class RegionSparseMmapArea(LittleEndianStructure):
    """struct vfio_region_sparse_mmap_area."""

    c_name = "vfio_region_sparse_mmap_area"
    _fields_ = [("offset", c_uint64), ("size", c_uint64)]


class RegionInfoCapSparseMmap(LittleEndianStructure):
    """struct vfio_region_info_cap_sparse_mmap; areas follow."""

    c_name = "vfio_region_info_cap_sparse_mmap"
    _fields_ = [("header", InfoCapHeader), ("nr_areas", c_uint32), ("reserved", c_uint32)]


class RegionInfoCapType(LittleEndianStructure):
    """struct vfio_region_info_cap_type."""

    c_name = "vfio_region_info_cap_type"
    _fields_ = [("header", InfoCapHeader), ("type", c_uint32), ("subtype", c_uint32)]


class RegionGfxEdid(LittleEndianStructure):
    """struct vfio_region_gfx_edid."""

    c_name = "vfio_region_gfx_edid"
    _fields_ = [
        ("edid_offset", c_uint32),
        ("edid_max_size", c_uint32),
        ("edid_size", c_uint32),
        ("max_xres", c_uint32),
        ("max_yres", c_uint32),
        ("link_state", c_uint32),
    ]


class IrqInfo(LittleEndianStructure):
    """struct vfio_irq_info."""

    c_name = "vfio_irq_info"
    _fields_ = [
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("index", c_uint32),
        ("count", c_uint32),
    ]


class IrqSet(LittleEndianStructure):
    """struct vfio_irq_set, to count; data follow."""

    c_name = "vfio_irq_set"
    _fields_ = [
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("index", c_uint32),
        ("start", c_uint32),
        ("count", c_uint32),
    ]


class PciDependentDevice(LittleEndianStructure):
    """struct vfio_pci_dependent_device. From 6.6 on, ``group_id`` may be a ``devid``."""

    c_name = "vfio_pci_dependent_device"
    _fields_ = [
        ("group_id", c_uint32),
        ("segment", c_uint16),
        ("bus", c_uint8),
        ("devfn", c_uint8),
    ]


class HotResetInfo(LittleEndianStructure):
    """struct vfio_pci_hot_reset_info, to count; devices follow."""

    c_name = "vfio_pci_hot_reset_info"
    _fields_ = [("argsz", c_uint32), ("flags", c_uint32), ("count", c_uint32)]


class HotReset(LittleEndianStructure):
    """struct vfio_pci_hot_reset, to count; fds of groups follow, 32 bits each."""

    c_name = "vfio_pci_hot_reset"
    _fields_ = [("argsz", c_uint32), ("flags", c_uint32), ("count", c_uint32)]


class GfxPlaneInfo(LittleEndianStructure):
    """struct vfio_device_gfx_plane_info; ``region_index`` may be a ``dmabuf_id``."""

    c_name = "vfio_device_gfx_plane_info"
    _fields_ = [
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("drm_plane_type", c_uint32),
        ("drm_format", c_uint32),
        ("drm_format_mod", c_uint64),
        ("width", c_uint32),
        ("height", c_uint32),
        ("stride", c_uint32),
        ("size", c_uint32),
        ("x_pos", c_uint32),
        ("y_pos", c_uint32),
        ("x_hot", c_uint32),
        ("y_hot", c_uint32),
        ("region_index", c_uint32),
    ]


class Ioeventfd(LittleEndianStructure):
    """struct vfio_device_ioeventfd; callers must give it to ``fd``."""

    c_name = "vfio_device_ioeventfd"
    _fields_ = [
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("offset", c_uint64),
        ("data", c_uint64),
        ("fd", c_int32),
        ("reserved", c_uint32),
    ]


class Feature(LittleEndianStructure):
    """struct vfio_device_feature; data follow."""

    c_name = "vfio_device_feature"
    _fields_ = [("argsz", c_uint32), ("flags", c_uint32)]


class BindIommufd(LittleEndianStructure):
    """struct vfio_device_bind_iommufd, to out_devid."""

    c_name = "vfio_device_bind_iommufd"
    _fields_ = [
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("iommufd", c_int32),
        ("out_devid", c_uint32),
    ]


class BindIommufdFull(BindIommufd):
    """struct vfio_device_bind_iommufd of 6.17."""

    _fields_ = [("token_uuid_ptr", c_uint64)]


class AttachIommufdPt(LittleEndianStructure):
    """struct vfio_device_attach_iommufd_pt, to pt_id."""

    c_name = "vfio_device_attach_iommufd_pt"
    _fields_ = [("argsz", c_uint32), ("flags", c_uint32), ("pt_id", c_uint32)]


class AttachIommufdPtFull(AttachIommufdPt):
    """struct vfio_device_attach_iommufd_pt of 6.15."""

    _fields_ = [("pasid", c_uint32)]


class DetachIommufdPt(LittleEndianStructure):
    """struct vfio_device_detach_iommufd_pt, to flags."""

    c_name = "vfio_device_detach_iommufd_pt"
    _fields_ = [("argsz", c_uint32), ("flags", c_uint32)]


class DetachIommufdPtFull(DetachIommufdPt):
    """struct vfio_device_detach_iommufd_pt of 6.15."""

    _fields_ = [("pasid", c_uint32)]


class FeatureMigration(LittleEndianStructure):
    """struct vfio_device_feature_migration."""

    c_name = "vfio_device_feature_migration"
    _fields_ = [("flags", c_uint64)]


class FeatureMigState(LittleEndianStructure):
    """struct vfio_device_feature_mig_state."""

    c_name = "vfio_device_feature_mig_state"
    _fields_ = [("device_state", c_uint32), ("data_fd", c_int32)]


class FeatureMigDataSize(LittleEndianStructure):
    """struct vfio_device_feature_mig_data_size."""

    c_name = "vfio_device_feature_mig_data_size"
    _fields_ = [("stop_copy_length", c_uint64)]


class PrecopyInfo(LittleEndianStructure):
    """struct vfio_precopy_info."""

    c_name = "vfio_precopy_info"
    _fields_ = [
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("initial_bytes", c_uint64),
        ("dirty_bytes", c_uint64),
    ]


class LowPowerEntryWithWakeup(LittleEndianStructure):
    """struct vfio_device_low_power_entry_with_wakeup."""

    c_name = "vfio_device_low_power_entry_with_wakeup"
    _fields_ = [("wakeup_eventfd", c_int32), ("reserved", c_uint32)]


class FeatureDmaLoggingControl(LittleEndianStructure):
    """struct vfio_device_feature_dma_logging_control."""

    c_name = "vfio_device_feature_dma_logging_control"
    _fields_ = [
        ("page_size", c_uint64),
        ("num_ranges", c_uint32),
        ("reserved", c_uint32),
        ("ranges", c_uint64),
    ]


class FeatureDmaLoggingRange(LittleEndianStructure):
    """struct vfio_device_feature_dma_logging_range."""

    c_name = "vfio_device_feature_dma_logging_range"
    _fields_ = [("iova", c_uint64), ("length", c_uint64)]


class FeatureDmaLoggingReport(LittleEndianStructure):
    """struct vfio_device_feature_dma_logging_report."""

    c_name = "vfio_device_feature_dma_logging_report"
    _fields_ = [
        ("iova", c_uint64),
        ("length", c_uint64),
        ("page_size", c_uint64),
        ("bitmap", c_uint64),
    ]


class FeatureBusMaster(LittleEndianStructure):
    """struct vfio_device_feature_bus_master."""

    c_name = "vfio_device_feature_bus_master"
    _fields_ = [("op", c_uint32)]


class RegionDmaRange(LittleEndianStructure):
    """struct vfio_region_dma_range."""

    c_name = "vfio_region_dma_range"
    _fields_ = [("offset", c_uint64), ("length", c_uint64)]


class FeatureDmaBuf(LittleEndianStructure):
    """struct vfio_device_feature_dma_buf; ranges follow."""

    c_name = "vfio_device_feature_dma_buf"
    _fields_ = [
        ("region_index", c_uint32),
        ("open_flags", c_uint32),
        ("flags", c_uint32),
        ("nr_ranges", c_uint32),
    ]


class IommuType1Info(LittleEndianStructure):
    """struct vfio_iommu_type1_info, to iova_pgsizes."""

    c_name = "vfio_iommu_type1_info"
    _fields_ = [("argsz", c_uint32), ("flags", c_uint32), ("iova_pgsizes", c_uint64)]


class IommuType1InfoCaps(IommuType1Info):
    """struct vfio_iommu_type1_info."""

    _fields_ = [("cap_offset", c_uint32), ("pad", c_uint32)]


class IovaRange(LittleEndianStructure):
    """struct vfio_iova_range; ``end`` is the last address."""

    c_name = "vfio_iova_range"
    _fields_ = [("start", c_uint64), ("end", c_uint64)]


class IommuType1InfoCapIovaRange(LittleEndianStructure):
    """struct vfio_iommu_type1_info_cap_iova_range; ranges follow."""

    c_name = "vfio_iommu_type1_info_cap_iova_range"
    _fields_ = [("header", InfoCapHeader), ("nr_iovas", c_uint32), ("reserved", c_uint32)]


class IommuType1InfoCapMigration(LittleEndianStructure):
    """struct vfio_iommu_type1_info_cap_migration."""

    c_name = "vfio_iommu_type1_info_cap_migration"
    _fields_ = [
        ("header", InfoCapHeader),
        ("flags", c_uint32),
        ("pgsize_bitmap", c_uint64),
        ("max_dirty_bitmap_size", c_uint64),
    ]


class IommuType1InfoDmaAvail(LittleEndianStructure):
    """struct vfio_iommu_type1_info_dma_avail."""

    c_name = "vfio_iommu_type1_info_dma_avail"
    _fields_ = [("header", InfoCapHeader), ("avail", c_uint32)]


class DmaMap(LittleEndianStructure):
    """struct vfio_iommu_type1_dma_map."""

    c_name = "vfio_iommu_type1_dma_map"
    _fields_ = [
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("vaddr", c_uint64),
        ("iova", c_uint64),
        ("size", c_uint64),
    ]


class Bitmap(LittleEndianStructure):
    """struct vfio_bitmap: ``size`` in bytes, ``data`` its address."""

    c_name = "vfio_bitmap"
    _fields_ = [("pgsize", c_uint64), ("size", c_uint64), ("data", c_uint64)]


class DmaUnmap(LittleEndianStructure):
    """struct vfio_iommu_type1_dma_unmap, to size; a bitmap may follow."""

    c_name = "vfio_iommu_type1_dma_unmap"
    _fields_ = [
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("iova", c_uint64),
        ("size", c_uint64),
    ]


class DirtyBitmap(LittleEndianStructure):
    """struct vfio_iommu_type1_dirty_bitmap; data follow."""

    c_name = "vfio_iommu_type1_dirty_bitmap"
    _fields_ = [("argsz", c_uint32), ("flags", c_uint32)]


class DirtyBitmapGet(LittleEndianStructure):
    """struct vfio_iommu_type1_dirty_bitmap_get."""

    c_name = "vfio_iommu_type1_dirty_bitmap_get"
    _fields_ = [("iova", c_uint64), ("size", c_uint64), ("bitmap", Bitmap)]
