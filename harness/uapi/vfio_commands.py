# SPDX-License-Identifier: Apache-2.0
"""VFIO's commands by the kind of file that takes them, and which constants they carry.

Source: include/uapi/linux/vfio.h, Linux 7.2. There, a constant of a field stands in the braces of
its structure, right behind the field; all other places are said in words. Indices are those of PCI.
"""

from __future__ import annotations

from harness.uapi import vfio as u
from harness.uapi.commands import Chain, Constants, Names, Part, Payload, Table, table

_of = Names(u)

_EXTENSION = _of.values(
    "VFIO_TYPE1_IOMMU",
    "VFIO_SPAPR_TCE_IOMMU",
    "VFIO_TYPE1v2_IOMMU",
    "VFIO_DMA_CC_IOMMU",
    "VFIO_EEH",
    "VFIO_TYPE1_NESTING_IOMMU",
    "VFIO_SPAPR_TCE_v2_IOMMU",
    "VFIO_NOIOMMU_IOMMU",
    "VFIO_UNMAP_ALL",
    "VFIO_UPDATE_VADDR",
)
_REGION = _of.values(
    *(f"VFIO_PCI_BAR{number}_REGION_INDEX" for number in range(6)),
    "VFIO_PCI_ROM_REGION_INDEX",
    "VFIO_PCI_CONFIG_REGION_INDEX",
    "VFIO_PCI_VGA_REGION_INDEX",
)
_IRQ = _of.values(
    "VFIO_PCI_INTX_IRQ_INDEX",
    "VFIO_PCI_MSI_IRQ_INDEX",
    "VFIO_PCI_MSIX_IRQ_INDEX",
    "VFIO_PCI_ERR_IRQ_INDEX",
    "VFIO_PCI_REQ_IRQ_INDEX",
)
_MIGRATION_STATE = _of.values(
    "VFIO_DEVICE_STATE_ERROR",
    "VFIO_DEVICE_STATE_STOP",
    "VFIO_DEVICE_STATE_RUNNING",
    "VFIO_DEVICE_STATE_STOP_COPY",
    "VFIO_DEVICE_STATE_RESUMING",
    "VFIO_DEVICE_STATE_RUNNING_P2P",
    "VFIO_DEVICE_STATE_PRE_COPY",
    "VFIO_DEVICE_STATE_PRE_COPY_P2P",
)

_IOMMU_INFO = Part(
    u.IommuType1Info,
    given={"flags": _of.bits("VFIO_IOMMU_INFO_PGSIZES", "VFIO_IOMMU_INFO_CAPS")},
)
_IOMMU_CAPABILITIES = _of.parts(
    {
        "VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE": Part(u.IommuType1InfoCapIovaRange),
        "VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION": Part(u.IommuType1InfoCapMigration),
        "VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL": Part(u.IommuType1InfoDmaAvail),
    }
)
_DMA_MAP = Part(
    u.DmaMap,
    passed={
        "flags": _of.bits(
            "VFIO_DMA_MAP_FLAG_READ", "VFIO_DMA_MAP_FLAG_WRITE", "VFIO_DMA_MAP_FLAG_VADDR"
        )
    },
)
_DMA_UNMAP = Part(
    u.DmaUnmap,
    passed={
        "flags": _of.bits(
            "VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP",
            "VFIO_DMA_UNMAP_FLAG_ALL",
            "VFIO_DMA_UNMAP_FLAG_VADDR",
        )
    },
)
_DIRTY_PAGES = Part(
    u.DirtyBitmap,
    passed={
        "flags": _of.bits(
            "VFIO_IOMMU_DIRTY_PAGES_FLAG_START",
            "VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP",
            "VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP",
        )
    },
)
_GROUP_STATUS = Part(
    u.GroupStatus,
    given={"flags": _of.bits("VFIO_GROUP_FLAGS_VIABLE", "VFIO_GROUP_FLAGS_CONTAINER_SET")},
)
_DEVICE_INFO = Part(
    u.DeviceInfo,
    given={
        "flags": _of.bits(
            "VFIO_DEVICE_FLAGS_RESET",
            "VFIO_DEVICE_FLAGS_PCI",
            "VFIO_DEVICE_FLAGS_PLATFORM",
            "VFIO_DEVICE_FLAGS_AMBA",
            "VFIO_DEVICE_FLAGS_CCW",
            "VFIO_DEVICE_FLAGS_AP",
            "VFIO_DEVICE_FLAGS_FSL_MC",
            "VFIO_DEVICE_FLAGS_CAPS",
            "VFIO_DEVICE_FLAGS_CDX",
        ),
        "num_regions": _of.values("VFIO_PCI_NUM_REGIONS"),
        "num_irqs": _of.values("VFIO_PCI_NUM_IRQS"),
    },
)
_ATOMIC_COMPLETER = Part(
    u.DeviceInfoCapPciAtomicComp,
    given={
        "flags": _of.bits(
            "VFIO_PCI_ATOMIC_COMP32",
            "VFIO_PCI_ATOMIC_COMP64",
            "VFIO_PCI_ATOMIC_COMP128",
        )
    },
)
_DEVICE_CAPABILITIES = _of.parts({"VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP": _ATOMIC_COMPLETER})
_REGION_INFO = Part(
    u.RegionInfo,
    passed={"index": _REGION},
    given={
        "flags": _of.bits(
            "VFIO_REGION_INFO_FLAG_READ",
            "VFIO_REGION_INFO_FLAG_WRITE",
            "VFIO_REGION_INFO_FLAG_MMAP",
            "VFIO_REGION_INFO_FLAG_CAPS",
        )
    },
)
#: What a subtype means depends on the type, and on the vendor if that is one.
_REGION_CAPABILITIES = _of.parts(
    {
        "VFIO_REGION_INFO_CAP_SPARSE_MMAP": Part(u.RegionInfoCapSparseMmap),
        "VFIO_REGION_INFO_CAP_TYPE": Part(
            u.RegionInfoCapType,
            given={
                "type": Constants(
                    bits=_of.named("VFIO_REGION_TYPE_PCI_VENDOR_TYPE"),
                    values=_of.named("VFIO_REGION_TYPE_GFX"),
                )
            },
        ),
        "VFIO_REGION_INFO_CAP_MSIX_MAPPABLE": Part(u.InfoCapHeader),
    }
)
_IRQ_INFO = Part(
    u.IrqInfo,
    passed={"index": _IRQ},
    given={
        "flags": _of.bits(
            "VFIO_IRQ_INFO_EVENTFD",
            "VFIO_IRQ_INFO_MASKABLE",
            "VFIO_IRQ_INFO_AUTOMASKED",
            "VFIO_IRQ_INFO_NORESIZE",
        )
    },
)
_IRQ_SET = Part(
    u.IrqSet,
    passed={
        "flags": _of.bits(
            "VFIO_IRQ_SET_DATA_NONE",
            "VFIO_IRQ_SET_DATA_BOOL",
            "VFIO_IRQ_SET_DATA_EVENTFD",
            "VFIO_IRQ_SET_ACTION_MASK",
            "VFIO_IRQ_SET_ACTION_UNMASK",
            "VFIO_IRQ_SET_ACTION_TRIGGER",
        ),
        "index": _IRQ,
    },
)
_HOT_RESET_INFO = Part(
    u.HotResetInfo,
    given={
        "flags": _of.bits(
            "VFIO_PCI_HOT_RESET_FLAG_DEV_ID",
            "VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED",
        )
    },
)
_GFX_PLANE = Part(
    u.GfxPlaneInfo,
    passed={
        "flags": _of.bits(
            "VFIO_GFX_PLANE_TYPE_PROBE",
            "VFIO_GFX_PLANE_TYPE_DMABUF",
            "VFIO_GFX_PLANE_TYPE_REGION",
        )
    },
)
_IOEVENTFD = Part(
    u.Ioeventfd,
    passed={
        "flags": _of.bits(
            "VFIO_DEVICE_IOEVENTFD_8",
            "VFIO_DEVICE_IOEVENTFD_16",
            "VFIO_DEVICE_IOEVENTFD_32",
            "VFIO_DEVICE_IOEVENTFD_64",
        )
    },
)
_FEATURE = Part(
    u.Feature,
    passed={
        "flags": Constants(
            bits=_of.named(
                "VFIO_DEVICE_FEATURE_GET",
                "VFIO_DEVICE_FEATURE_SET",
                "VFIO_DEVICE_FEATURE_PROBE",
            )
        )
    },
)
#: Which structure follows, if any does.
_FEATURES = _of.parts(
    {
        "VFIO_DEVICE_FEATURE_PCI_VF_TOKEN": None,
        "VFIO_DEVICE_FEATURE_MIGRATION": Part(
            u.FeatureMigration,
            given={
                "flags": _of.bits(
                    "VFIO_MIGRATION_STOP_COPY",
                    "VFIO_MIGRATION_P2P",
                    "VFIO_MIGRATION_PRE_COPY",
                )
            },
        ),
        "VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE": Part(
            u.FeatureMigState,
            passed={"device_state": _MIGRATION_STATE},
            given={"device_state": _MIGRATION_STATE},
        ),
        "VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY": None,
        "VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP": Part(u.LowPowerEntryWithWakeup),
        "VFIO_DEVICE_FEATURE_LOW_POWER_EXIT": None,
        "VFIO_DEVICE_FEATURE_DMA_LOGGING_START": Part(u.FeatureDmaLoggingControl),
        "VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP": None,
        "VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT": Part(u.FeatureDmaLoggingReport),
        "VFIO_DEVICE_FEATURE_MIG_DATA_SIZE": Part(u.FeatureMigDataSize),
        "VFIO_DEVICE_FEATURE_BUS_MASTER": Part(
            u.FeatureBusMaster,
            passed={
                "op": _of.values(
                    "VFIO_DEVICE_FEATURE_CLEAR_MASTER", "VFIO_DEVICE_FEATURE_SET_MASTER"
                )
            },
        ),
        "VFIO_DEVICE_FEATURE_DMA_BUF": Part(u.FeatureDmaBuf),
    }
)

_CONTAINER = (
    _of.command("VFIO_GET_API_VERSION", result=_of.values("VFIO_API_VERSION")),
    _of.command("VFIO_CHECK_EXTENSION", argument=_EXTENSION),
    _of.command("VFIO_SET_IOMMU", argument=_EXTENSION),
    _of.command(
        "VFIO_IOMMU_GET_INFO", _IOMMU_INFO, chain=Chain(u.IommuType1InfoCaps, _IOMMU_CAPABILITIES)
    ),
    _of.command("VFIO_IOMMU_MAP_DMA", _DMA_MAP),
    _of.command("VFIO_IOMMU_UNMAP_DMA", _DMA_UNMAP),
    _of.command("VFIO_IOMMU_ENABLE"),
    _of.command("VFIO_IOMMU_DISABLE"),
    _of.command("VFIO_IOMMU_DIRTY_PAGES", _DIRTY_PAGES),
)
_GROUP = (
    _of.command("VFIO_GROUP_GET_STATUS", _GROUP_STATUS),
    _of.command("VFIO_GROUP_SET_CONTAINER"),
    _of.command("VFIO_GROUP_UNSET_CONTAINER"),
    _of.command("VFIO_GROUP_GET_DEVICE_FD"),
)
_DEVICE = (
    _of.command(
        "VFIO_DEVICE_GET_INFO", _DEVICE_INFO, chain=Chain(u.DeviceInfoCaps, _DEVICE_CAPABILITIES)
    ),
    _of.command(
        "VFIO_DEVICE_GET_REGION_INFO", _REGION_INFO, chain=Chain(u.RegionInfo, _REGION_CAPABILITIES)
    ),
    _of.command("VFIO_DEVICE_GET_IRQ_INFO", _IRQ_INFO),
    _of.command("VFIO_DEVICE_SET_IRQS", _IRQ_SET),
    _of.command("VFIO_DEVICE_RESET"),
    _of.command("VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", _HOT_RESET_INFO),
    _of.command("VFIO_DEVICE_PCI_HOT_RESET", Part(u.HotReset)),
    _of.command("VFIO_DEVICE_QUERY_GFX_PLANE", _GFX_PLANE),
    _of.command("VFIO_DEVICE_GET_GFX_DMABUF"),
    _of.command("VFIO_DEVICE_IOEVENTFD", _IOEVENTFD),
    _of.command(
        "VFIO_DEVICE_FEATURE",
        _FEATURE,
        payload=Payload(
            mask=u.VFIO_DEVICE_FEATURE_MASK,
            passed=u.VFIO_DEVICE_FEATURE_SET,
            given=u.VFIO_DEVICE_FEATURE_GET,
            probe=u.VFIO_DEVICE_FEATURE_PROBE,
            parts=_FEATURES,
        ),
    ),
    _of.command(
        "VFIO_DEVICE_BIND_IOMMUFD",
        Part(u.BindIommufd, passed={"flags": _of.bits("VFIO_DEVICE_BIND_FLAG_TOKEN")}),
    ),
    _of.command(
        "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
        Part(u.AttachIommufdPt, passed={"flags": _of.bits("VFIO_DEVICE_ATTACH_PASID")}),
    ),
    _of.command(
        "VFIO_DEVICE_DETACH_IOMMUFD_PT",
        Part(u.DetachIommufdPt, passed={"flags": _of.bits("VFIO_DEVICE_DETACH_PASID")}),
    ),
)

#: The commands of a container, /dev/vfio/vfio; of a group, /dev/vfio/N; of a device, by whatever
#: way it was opened; and of the file with a migration's data.
CONTAINER: Table = table(*_CONTAINER)
GROUP: Table = table(*_GROUP)
DEVICE: Table = table(*_DEVICE)
MIGRATION: Table = table(_of.command("VFIO_MIG_GET_PRECOPY_INFO", Part(u.PrecopyInfo)))
