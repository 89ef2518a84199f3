# SPDX-License-Identifier: Apache-2.0
"""Writing the configuration to the hardware, and reading one that firmware fixed.

drivers/dma/idxd/device.c, 6.1.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from harness.drivers.idxd.mmio import from_number, to_number
from harness.drivers.idxd.sva import pasid_privileged
from harness.drivers.idxd.wq import WQ_DEFAULT_QUEUE_DEPTH
from harness.kernel.errors import Errno
from harness.uapi import idxd as u

if TYPE_CHECKING:
    from harness.drivers.idxd.device import IdxdDevice
    from harness.drivers.idxd.group import IdxdGroup
    from harness.drivers.idxd.wq import IdxdWq


def idxd_device_config(idxd: IdxdDevice) -> None:
    """Set up and write everything: EINVAL, or EOPNOTSUPP for one queue; cmd_status says why."""
    _idxd_wqs_setup(idxd)
    _idxd_engines_setup(idxd)
    _idxd_group_flags_setup(idxd)
    for wq in idxd.wqs:
        idxd_wq_config_write(wq)
    _idxd_groups_config_write(idxd)


def _idxd_wqs_setup(idxd: IdxdDevice) -> None:
    """Which queues are in which group: EINVAL for a shared one that cannot be, and for none."""
    for group in idxd.idxd_groups:
        for word in range(u.GRPWQCFG_STRIDES):
            group.grpcfg.wqs[word] = 0
    configured = 0
    for wq in idxd.wqs:
        if wq.group is None:
            continue
        if not wq.dedicated and not wq.shared_supported:
            idxd.cmd_status = u.IDXD_SCMD_WQ_NO_SWQ_SUPPORT
            raise Errno(errno.EINVAL)
        wq.group.grpcfg.wqs[wq.id // 64] |= 1 << wq.id % 64
        configured += 1
    if not configured:
        idxd.cmd_status = u.IDXD_SCMD_WQ_NONE_CONFIGURED
        raise Errno(errno.EINVAL)


def _idxd_engines_setup(idxd: IdxdDevice) -> None:
    """Which engines are in which group: EINVAL, without a code, if none is in any."""
    for group in idxd.idxd_groups:
        group.grpcfg.engines = 0
    engines = 0
    for engine in idxd.engines:
        if engine.group is not None:
            engine.group.grpcfg.engines |= 1 << engine.id
            engines += 1
    if not engines:
        raise Errno(errno.EINVAL)


def _idxd_group_flags_setup(idxd: IdxdDevice) -> None:
    """Traffic classes and read buffers, with the hardware's defaults for what nobody set."""
    for group in idxd.idxd_groups:
        if group.tc_a == -1:
            group.tc_a = 0
        if group.tc_b == -1:
            group.tc_b = 1
        flags = group.grpcfg.flags
        flags.tc_a, flags.tc_b = group.tc_a, group.tc_b
        flags.use_rdbuf_limit = group.use_rdbuf_limit
        flags.rdbufs_reserved = group.rdbufs_reserved
        flags.rdbufs_allowed = group.rdbufs_allowed
        if not idxd.module.section.rdbufs_allowed_all and not group.rdbufs_allowed:
            flags.rdbufs_allowed = idxd.max_rdbufs
        flags.desc_progress_limit = group.desc_progress_limit
        flags.batch_progress_limit = group.batch_progress_limit


def idxd_wq_config_write(wq: IdxdWq) -> None:
    """Write one queue that is in a group. What the hardware has set already stays set."""
    idxd, wqcfg = wq.idxd, wq.wqcfg
    if wq.group is None:
        return
    words = range(idxd.wqcfg_size // 4)
    for word in words:
        wqcfg.bits[word] |= idxd.reg_base.ioread32(idxd.wqcfg_register(wq, word))
    if wq.size == 0 and wq.type != "none":
        wq.size = WQ_DEFAULT_QUEUE_DEPTH
    wqcfg.wq_size = wq.size
    wqcfg.wq_thresh = wq.threshold
    if wq.dedicated:
        wqcfg.mode = 1
    _check_privilege(wq)
    wqcfg.priority = wq.priority
    if idxd.hw.gen_cap.block_on_fault and wq.block_on_fault and not wq.prs_disable:
        wqcfg.bof = 1
    if idxd.hw.wq_cap.wq_ats_support:
        wqcfg.wq_ats_disable = wq.ats_disable
    if idxd.module.section.wq_prs_disable and idxd.hw.wq_cap.wq_prs_support:
        wqcfg.wq_prs_disable = wq.prs_disable
    wqcfg.max_xfer_shift = _ilog2(wq.max_xfer_bytes)
    wqcfg.max_batch_shift = 0 if idxd.data.is_iax else _ilog2(wq.max_batch_size)
    if idxd.sgl_supported:
        wqcfg.max_sgl_shift = wq.max_sgl_shift
    if idxd.hw.wq_cap.op_config:
        for word in range(4):
            wqcfg.op_config[word] = wq.opcap_bmap >> 64 * word & 0xFFFFFFFFFFFFFFFF
    for word in words:
        idxd.reg_base.iowrite32(wqcfg.bits[word], idxd.wqcfg_register(wq, word))


def _check_privilege(wq: IdxdWq) -> None:
    """A dedicated kernel queue with a PASID needs privileged PASIDs: EOPNOTSUPP."""
    if not wq.dedicated or not wq.wqcfg.pasid_en or wq.type != "kernel":
        return
    if not pasid_privileged(wq.idxd.pdev):
        wq.idxd.cmd_status = u.IDXD_SCMD_WQ_NO_PRIV
        raise Errno(errno.EOPNOTSUPP)


def _ilog2(number: int) -> int:
    return number.bit_length() - 1


def _idxd_groups_config_write(idxd: IdxdDevice) -> None:
    if idxd.configurable and idxd.rdbuf_limit:
        idxd.reg_base.update32(u.GenCfg, u.IDXD_GENCFG_OFFSET, rdbuf_limit=idxd.rdbuf_limit)
    for group in idxd.idxd_groups:
        _idxd_group_config_write(group)


def _group_register(group: IdxdGroup, offset: int) -> int:
    return group.idxd.grpcfg_offset + group.id * u.GRPCFG_SIZE + offset


def _idxd_group_config_write(group: IdxdGroup) -> None:
    reg_base, grpcfg = group.idxd.reg_base, group.grpcfg
    for word in range(u.GRPWQCFG_STRIDES):
        reg_base.iowrite64(grpcfg.wqs[word], _group_register(group, 8 * word))
    reg_base.iowrite64(grpcfg.engines, _group_register(group, u.GRPENGCFG_OFFSET))
    reg_base.iowrite64(to_number(grpcfg.flags), _group_register(group, u.GRPFLGCFG_OFFSET))


# --- a configuration that firmware fixed


def idxd_device_load_config(idxd: IdxdDevice) -> None:
    """Take over what is configured. EOPNOTSUPP for a shared queue, or one with a PASID."""
    gencfg = idxd.reg_base.read32(u.GenCfg, u.IDXD_GENCFG_OFFSET)
    idxd.rdbuf_limit = int(gencfg.rdbuf_limit)
    for group in idxd.idxd_groups:
        _idxd_group_load_config(group)
    for wq in idxd.wqs:
        _idxd_wq_load_config(wq)


def _idxd_group_load_config(group: IdxdGroup) -> None:
    """Its members; of the flags only the registers' copy."""
    idxd, grpcfg = group.idxd, group.grpcfg
    for word in range(u.GRPWQCFG_STRIDES):
        grpcfg.wqs[word] = idxd.reg_base.ioread64(_group_register(group, 8 * word))
    for wq in idxd.wqs:
        if grpcfg.wqs[wq.id // 64] >> wq.id % 64 & 1:
            wq.group = group
    grpcfg.engines = idxd.reg_base.ioread64(_group_register(group, u.GRPENGCFG_OFFSET))
    for engine in idxd.engines:
        if grpcfg.engines >> engine.id & 1:
            engine.group = group
    flags = idxd.reg_base.ioread64(_group_register(group, u.GRPFLGCFG_OFFSET))
    grpcfg.flags = from_number(u.GroupFlags, flags, 8)


def _idxd_wq_load_config(wq: IdxdWq) -> None:
    idxd, wqcfg = wq.idxd, wq.wqcfg
    for word in range(idxd.wqcfg_size // 4):
        wqcfg.bits[word] = idxd.reg_base.ioread32(idxd.wqcfg_register(wq, word))
    wq.size, wq.threshold = wqcfg.wq_size, wqcfg.wq_thresh
    if wqcfg.mode == 0 or wqcfg.pasid_en:
        raise Errno(errno.EOPNOTSUPP)
    wq.dedicated = True
    wq.priority = wqcfg.priority
    wq.max_xfer_bytes = 1 << wqcfg.max_xfer_shift
    wq.set_max_batch_size(1 << wqcfg.max_batch_shift)
    if idxd.sgl_supported:
        wq.max_sgl_shift = int(wqcfg.max_sgl_shift)
