# SPDX-License-Identifier: Apache-2.0
"""Numbers that a node of sysfs shows and a header names, by the node's own name.

``cmd_status``: enum idxd_scmd_stat of include/uapi/linux/idxd.h, Linux 7.2.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.uapi import idxd
from harness.uapi.commands import Constants, Names

NODE_VALUES: Mapping[str, Constants] = {
    "cmd_status": Names(idxd).values(
        "IDXD_SCMD_DEV_ENABLED",
        "IDXD_SCMD_DEV_NOT_ENABLED",
        "IDXD_SCMD_WQ_ENABLED",
        "IDXD_SCMD_DEV_DMA_ERR",
        "IDXD_SCMD_WQ_NO_GRP",
        "IDXD_SCMD_WQ_NO_NAME",
        "IDXD_SCMD_WQ_NO_SVM",
        "IDXD_SCMD_WQ_NO_THRESH",
        "IDXD_SCMD_WQ_PORTAL_ERR",
        "IDXD_SCMD_WQ_RES_ALLOC_ERR",
        "IDXD_SCMD_PERCPU_ERR",
        "IDXD_SCMD_DMA_CHAN_ERR",
        "IDXD_SCMD_CDEV_ERR",
        "IDXD_SCMD_WQ_NO_SWQ_SUPPORT",
        "IDXD_SCMD_WQ_NONE_CONFIGURED",
        "IDXD_SCMD_WQ_NO_SIZE",
        "IDXD_SCMD_WQ_NO_PRIV",
        "IDXD_SCMD_WQ_IRQ_ERR",
        "IDXD_SCMD_WQ_USER_NO_IOMMU",
        "IDXD_SCMD_DEV_EVL_ERR",
        "IDXD_SCMD_WQ_NO_DRV_NAME",
    ),
}
