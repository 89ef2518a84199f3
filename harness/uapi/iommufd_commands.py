# SPDX-License-Identifier: Apache-2.0
"""iommufd's commands, and which constants they carry.

Source: include/uapi/linux/iommufd.h, Linux 7.2, whose words on a structure say of which enum a
field is.
"""

from __future__ import annotations

from harness.uapi import iommufd as u
from harness.uapi.commands import Names, Part, Table, table

_of = Names(u)

_MAP = _of.bits("IOMMU_IOAS_MAP_FIXED_IOVA", "IOMMU_IOAS_MAP_WRITEABLE", "IOMMU_IOAS_MAP_READABLE")

IOMMUFD: Table = table(
    _of.command("IOMMU_DESTROY", Part(u.Destroy)),
    _of.command("IOMMU_IOAS_ALLOC", Part(u.IoasAlloc)),
    _of.command("IOMMU_IOAS_ALLOW_IOVAS", Part(u.IoasAllowIovas)),
    _of.command("IOMMU_IOAS_COPY", Part(u.IoasCopy, passed={"flags": _MAP})),
    _of.command("IOMMU_IOAS_IOVA_RANGES", Part(u.IoasIovaRanges)),
    _of.command("IOMMU_IOAS_MAP", Part(u.IoasMap, passed={"flags": _MAP})),
    _of.command("IOMMU_IOAS_UNMAP", Part(u.IoasUnmap)),
    _of.command(
        "IOMMU_OPTION",
        Part(
            u.Option,
            passed={
                "option_id": _of.values("IOMMU_OPTION_RLIMIT_MODE", "IOMMU_OPTION_HUGE_PAGES"),
                "op": _of.values("IOMMU_OPTION_OP_SET", "IOMMU_OPTION_OP_GET"),
            },
        ),
    ),
    _of.command(
        "IOMMU_VFIO_IOAS",
        Part(
            u.VfioIoas,
            passed={
                "op": _of.values(
                    "IOMMU_VFIO_IOAS_GET", "IOMMU_VFIO_IOAS_SET", "IOMMU_VFIO_IOAS_CLEAR"
                )
            },
        ),
    ),
    _of.command(
        "IOMMU_HWPT_ALLOC",
        Part(
            u.HwptAlloc,
            passed={
                "flags": _of.bits(
                    "IOMMU_HWPT_ALLOC_NEST_PARENT",
                    "IOMMU_HWPT_ALLOC_DIRTY_TRACKING",
                    "IOMMU_HWPT_FAULT_ID_VALID",
                    "IOMMU_HWPT_ALLOC_PASID",
                ),
                "data_type": _of.values("IOMMU_HWPT_DATA_NONE", "IOMMU_HWPT_DATA_VTD_S1"),
            },
        ),
    ),
    _of.command(
        "IOMMU_GET_HW_INFO",
        Part(
            u.HwInfo,
            passed={"flags": _of.bits("IOMMU_HW_INFO_FLAG_INPUT_TYPE")},
            given={
                "out_data_type": _of.values(
                    "IOMMU_HW_INFO_TYPE_NONE", "IOMMU_HW_INFO_TYPE_INTEL_VTD"
                ),
                "out_capabilities": _of.bits(
                    "IOMMU_HW_CAP_DIRTY_TRACKING",
                    "IOMMU_HW_CAP_PCI_PASID_EXEC",
                    "IOMMU_HW_CAP_PCI_PASID_PRIV",
                    "IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED",
                ),
            },
        ),
    ),
    _of.command(
        "IOMMU_HWPT_SET_DIRTY_TRACKING",
        Part(
            u.HwptSetDirtyTracking, passed={"flags": _of.bits("IOMMU_HWPT_DIRTY_TRACKING_ENABLE")}
        ),
    ),
    _of.command(
        "IOMMU_HWPT_GET_DIRTY_BITMAP",
        Part(
            u.HwptGetDirtyBitmap, passed={"flags": _of.bits("IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR")}
        ),
    ),
    _of.command(
        "IOMMU_HWPT_INVALIDATE",
        Part(
            u.HwptInvalidate,
            passed={"data_type": _of.values("IOMMU_HWPT_INVALIDATE_DATA_VTD_S1")},
        ),
    ),
    _of.command("IOMMU_FAULT_QUEUE_ALLOC", Part(u.FaultAlloc)),
    _of.command("IOMMU_IOAS_MAP_FILE", Part(u.IoasMapFile, passed={"flags": _MAP})),
    _of.command(
        "IOMMU_VIOMMU_ALLOC",
        Part(
            u.ViommuAlloc,
            passed={
                "type": _of.values(
                    "IOMMU_VIOMMU_TYPE_DEFAULT",
                    "IOMMU_VIOMMU_TYPE_ARM_SMMUV3",
                    "IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV",
                )
            },
        ),
    ),
    _of.command("IOMMU_VDEVICE_ALLOC", Part(u.VdeviceAlloc)),
    _of.command("IOMMU_IOAS_CHANGE_PROCESS", Part(u.IoasChangeProcess)),
    _of.command(
        "IOMMU_VEVENTQ_ALLOC",
        Part(
            u.VeventqAlloc,
            passed={
                "type": _of.values(
                    "IOMMU_VEVENTQ_TYPE_DEFAULT",
                    "IOMMU_VEVENTQ_TYPE_ARM_SMMUV3",
                    "IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV",
                )
            },
        ),
    ),
    _of.command(
        "IOMMU_HW_QUEUE_ALLOC",
        Part(
            u.HwQueueAlloc,
            passed={
                "type": _of.values(
                    "IOMMU_HW_QUEUE_TYPE_DEFAULT", "IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV"
                )
            },
        ),
    ),
)
