# SPDX-License-Identifier: Apache-2.0
"""Numbers and layouts of VFIO: container, group and device files, type 1 IOMMU.

Source: include/uapi/linux/vfio.h, Linux 6.1. A structure here is the part of it that every caller
must give; ``argsz`` says how much more he gave.
"""

from __future__ import annotations

from ctypes import LittleEndianStructure, c_uint32, c_uint64
from typing import Protocol

#: The commands are ``_IO(VFIO_TYPE, VFIO_BASE + n)``: they carry no size.
VFIO_TYPE = 0x3B
VFIO_API_VERSION = 0

# Commands on a container
VFIO_GET_API_VERSION = 0x3B64
VFIO_CHECK_EXTENSION = 0x3B65
VFIO_SET_IOMMU = 0x3B66
VFIO_IOMMU_GET_INFO = 0x3B70
VFIO_IOMMU_MAP_DMA = 0x3B71
VFIO_IOMMU_UNMAP_DMA = 0x3B72
# on a group
VFIO_GROUP_GET_STATUS = 0x3B67
VFIO_GROUP_SET_CONTAINER = 0x3B68
VFIO_GROUP_UNSET_CONTAINER = 0x3B69
VFIO_GROUP_GET_DEVICE_FD = 0x3B6A
# and on a device
VFIO_DEVICE_GET_INFO = 0x3B6B
VFIO_DEVICE_GET_REGION_INFO = 0x3B6C
VFIO_DEVICE_GET_IRQ_INFO = 0x3B6D
VFIO_DEVICE_SET_IRQS = 0x3B6E
VFIO_DEVICE_RESET = 0x3B6F
VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = 0x3B70
VFIO_DEVICE_PCI_HOT_RESET = 0x3B71

# Extensions; the first two are also what SET_IOMMU takes.
VFIO_TYPE1_IOMMU = 1
VFIO_TYPE1v2_IOMMU = 3
VFIO_UNMAP_ALL = 9

VFIO_GROUP_FLAGS_VIABLE = 1
VFIO_GROUP_FLAGS_CONTAINER_SET = 2

VFIO_DEVICE_FLAGS_RESET = 1
VFIO_DEVICE_FLAGS_PCI = 2

VFIO_REGION_INFO_FLAG_READ = 1
VFIO_REGION_INFO_FLAG_WRITE = 2

VFIO_PCI_BAR0_REGION_INDEX = 0
VFIO_PCI_BAR5_REGION_INDEX = 5
VFIO_PCI_ROM_REGION_INDEX = 6
VFIO_PCI_CONFIG_REGION_INDEX = 7
VFIO_PCI_VGA_REGION_INDEX = 8
VFIO_PCI_NUM_REGIONS = 9
#: A region's offset in the device's file is its index shifted by this.
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

VFIO_IOMMU_INFO_PGSIZES = 1

VFIO_DMA_MAP_FLAG_READ = 1
VFIO_DMA_MAP_FLAG_WRITE = 2

VFIO_DMA_UNMAP_FLAG_ALL = 2


class Sized(Protocol):
    """A structure that begins with its size as the caller knows it."""

    argsz: int


class GroupStatus(LittleEndianStructure):
    """struct vfio_group_status."""

    _fields_ = [("argsz", c_uint32), ("flags", c_uint32)]


class DeviceInfo(LittleEndianStructure):
    """struct vfio_device_info, to num_irqs."""

    _fields_ = [
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("num_regions", c_uint32),
        ("num_irqs", c_uint32),
    ]


class RegionInfo(LittleEndianStructure):
    """struct vfio_region_info."""

    _fields_ = [
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("index", c_uint32),
        ("cap_offset", c_uint32),
        ("size", c_uint64),
        ("offset", c_uint64),
    ]


class IrqInfo(LittleEndianStructure):
    """struct vfio_irq_info."""

    _fields_ = [
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("index", c_uint32),
        ("count", c_uint32),
    ]


class IrqSet(LittleEndianStructure):
    """struct vfio_irq_set, to count; data follow."""

    _fields_ = [
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("index", c_uint32),
        ("start", c_uint32),
        ("count", c_uint32),
    ]


class HotResetInfo(LittleEndianStructure):
    """struct vfio_pci_hot_reset_info, to count."""

    _fields_ = [("argsz", c_uint32), ("flags", c_uint32), ("count", c_uint32)]


class IommuType1Info(LittleEndianStructure):
    """struct vfio_iommu_type1_info, to iova_pgsizes."""

    _fields_ = [("argsz", c_uint32), ("flags", c_uint32), ("iova_pgsizes", c_uint64)]


class DmaMap(LittleEndianStructure):
    """struct vfio_iommu_type1_dma_map."""

    _fields_ = [
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("vaddr", c_uint64),
        ("iova", c_uint64),
        ("size", c_uint64),
    ]


class DmaUnmap(LittleEndianStructure):
    """struct vfio_iommu_type1_dma_unmap, to size."""

    _fields_ = [
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("iova", c_uint64),
        ("size", c_uint64),
    ]
