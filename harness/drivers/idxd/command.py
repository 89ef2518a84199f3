# SPDX-License-Identifier: Apache-2.0
"""Commands to the hardware, and what follows from them: drivers/dma/idxd/device.c, 6.1."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING

from harness.drivers.idxd.config import idxd_wq_config_write
from harness.drivers.idxd.mmio import to_number
from harness.kernel.errors import Errno
from harness.uapi import idxd as u

if TYPE_CHECKING:
    from harness.drivers.idxd.device import IdxdDevice
    from harness.drivers.idxd.wq import IdxdWq


def idxd_unmask_error_interrupts(idxd: IdxdDevice) -> None:
    _set_error_interrupts(idxd, enabled=1)


def idxd_mask_error_interrupts(idxd: IdxdDevice) -> None:
    _set_error_interrupts(idxd, enabled=0)


def _set_error_interrupts(idxd: IdxdDevice, *, enabled: int) -> None:
    idxd.reg_base.update32(
        u.GenCtrl, u.IDXD_GENCTRL_OFFSET, softerr_int_en=enabled, halt_int_en=enabled
    )


def _gensts_state(idxd: IdxdDevice) -> int:
    return int(idxd.reg_base.read32(u.GenSts, u.IDXD_GENSTATS_OFFSET).state)


def idxd_is_enabled(idxd: IdxdDevice) -> bool:
    """What the hardware says."""
    return _gensts_state(idxd) == u.IDXD_DEVICE_STATE_ENABLED


def idxd_device_is_halted(idxd: IdxdDevice) -> bool:
    """What the hardware says."""
    return _gensts_state(idxd) == u.IDXD_DEVICE_STATE_HALT


def idxd_device_init_reset(idxd: IdxdDevice) -> None:
    """The first command, without interrupts. ENXIO if the device is halted."""
    if idxd_device_is_halted(idxd):
        raise Errno(errno.ENXIO)
    idxd.reg_base.iowrite32(to_number(u.Command(cmd=u.IDXD_CMD_RESET_DEVICE)), u.IDXD_CMD_OFFSET)


def idxd_cmd_exec(idxd: IdxdDevice, code: int, operand: int = 0) -> int:
    """Run a command and return CMDSTS; its error code becomes cmd_status.

    The hardware is done before the store is over, so there is nothing to wait for.
    """
    if idxd_device_is_halted(idxd):
        return u.IDXD_CMDSTS_HW_ERR
    idxd.cmd_status = 0
    command = u.Command(cmd=code, operand=operand, int_req=1)
    idxd.reg_base.iowrite32(to_number(command), u.IDXD_CMD_OFFSET)
    status = idxd.reg_base.ioread32(u.IDXD_CMDSTS_OFFSET)
    idxd.cmd_status = status & u.IDXD_CMDSTS_ERR_MASK
    return status


# --- work queues


def _wq_mask(wq: IdxdWq) -> int:
    """A queue as most commands name it: a bit, and which 16 queues it is among."""
    return 1 << wq.id % 16 | wq.id // 16 << 16


def idxd_wq_enable(wq: IdxdWq) -> None:
    """ENXIO if the hardware refuses."""
    if wq.state == "enabled":
        return
    status = idxd_cmd_exec(wq.idxd, u.IDXD_CMD_ENABLE_WQ, wq.id)
    if status not in (u.IDXD_CMDSTS_SUCCESS, u.IDXD_CMDSTS_ERR_WQ_ENABLED):
        raise Errno(errno.ENXIO)
    wq.state = "enabled"
    wq.idxd.wq_enable_map.add(wq.id)


def idxd_wq_disable(wq: IdxdWq) -> None:
    """The configuration stays. ENXIO if the hardware refuses.

    In 7.2 the queue is drained and reset, and its configuration written again, so that no address
    translation outlives it.
    """
    if wq.state != "enabled":
        return
    if wq.idxd.module.section.wq_disable_drains:
        _drain_reset_restore(wq)
    else:
        status = idxd_cmd_exec(wq.idxd, u.IDXD_CMD_DISABLE_WQ, _wq_mask(wq))
        if status != u.IDXD_CMDSTS_SUCCESS:
            raise Errno(errno.ENXIO)
    wq.idxd.wq_enable_map.discard(wq.id)
    wq.state = "disabled"


def _drain_reset_restore(wq: IdxdWq) -> None:
    idxd_wq_drain(wq)
    status = idxd_cmd_exec(wq.idxd, u.IDXD_CMD_RESET_WQ, _wq_mask(wq))
    if status != u.IDXD_CMDSTS_SUCCESS:
        raise Errno(errno.ENXIO)
    with suppress(Errno):  # nobody asks what came of it
        idxd_wq_config_write(wq)


def idxd_wq_drain(wq: IdxdWq) -> None:
    """Wait for all descriptors of the queue."""
    if wq.state == "enabled":
        idxd_cmd_exec(wq.idxd, u.IDXD_CMD_DRAIN_WQ, _wq_mask(wq))


def idxd_wq_reset(wq: IdxdWq) -> None:
    """Disable the queue and forget its configuration."""
    if wq.state == "enabled":
        idxd_cmd_exec(wq.idxd, u.IDXD_CMD_RESET_WQ, _wq_mask(wq))
        wq.disable_cleanup()


def idxd_set_user_intr(idxd: IdxdDevice, enable: bool) -> None:
    """Whether descriptors of user privilege may ask for interrupts (6.12)."""
    idxd.reg_base.update32(u.GenCfg, u.IDXD_GENCFG_OFFSET, user_int_en=enable)


def idxd_wq_set_priv(wq: IdxdWq, privileged: bool) -> None:
    """__idxd_wq_set_priv_locked."""
    wq.wqcfg.bits[u.WQCFG_PRIVL_IDX] = _update_wqcfg(wq, u.WQCFG_PRIVL_IDX, priv=int(privileged))


def idxd_wq_write_pasid(wq: IdxdWq, pasid: int) -> None:
    """__idxd_wq_set_pasid_locked."""
    wq.wqcfg.bits[u.WQCFG_PASID_IDX] = _update_wqcfg(wq, u.WQCFG_PASID_IDX, pasid_en=1, pasid=pasid)


def idxd_wq_set_pasid(wq: IdxdWq, pasid: int) -> None:
    """Give an enabled queue a PASID; it is disabled meanwhile."""
    idxd_wq_disable(wq)
    idxd_wq_write_pasid(wq, pasid)
    idxd_wq_enable(wq)


def idxd_wq_disable_pasid(wq: IdxdWq) -> None:
    """Take the PASID away; what will be written the next time still has it."""
    idxd_wq_disable(wq)
    _update_wqcfg(wq, u.WQCFG_PASID_IDX, pasid_en=0, pasid=0)
    idxd_wq_enable(wq)


def _update_wqcfg(wq: IdxdWq, word: int, **fields: int) -> int:
    """Read a register of the queue's configuration, change it, write it; what was written."""
    reg_base, offset = wq.idxd.reg_base, wq.idxd.wqcfg_register(wq, word)
    wqcfg = u.WqCfg()
    wqcfg.bits[word] = reg_base.ioread32(offset)
    for name, value in fields.items():
        setattr(wqcfg, name, value)
    changed: int = wqcfg.bits[word]
    reg_base.iowrite32(changed, offset)
    return changed


# --- the device


def idxd_device_enable(idxd: IdxdDevice) -> None:
    """ENXIO if it is enabled, or if the hardware refuses."""
    if idxd_is_enabled(idxd):
        raise Errno(errno.ENXIO)
    status = idxd_cmd_exec(idxd, u.IDXD_CMD_ENABLE_DEVICE)
    if status not in (u.IDXD_CMDSTS_SUCCESS, u.IDXD_CMDSTS_ERR_DEV_ENABLED):
        raise Errno(errno.ENXIO)
    idxd.state = "enabled"


def idxd_device_disable(idxd: IdxdDevice) -> None:
    """Disable the device and forget the configuration. ENXIO if the hardware refuses."""
    if not idxd_is_enabled(idxd):
        return
    status = idxd_cmd_exec(idxd, u.IDXD_CMD_DISABLE_DEVICE)
    if status != u.IDXD_CMDSTS_SUCCESS and not status & u.IDXD_CMDSTS_ERR_DIS_DEV_EN:
        raise Errno(errno.ENXIO)
    idxd_device_clear_state(idxd)


def idxd_device_reset(idxd: IdxdDevice) -> None:
    """Everything as new, in the hardware and here."""
    idxd_cmd_exec(idxd, u.IDXD_CMD_RESET_DEVICE)
    idxd_device_clear_state(idxd)
    idxd_unmask_error_interrupts(idxd)


def idxd_device_drain_pasid(idxd: IdxdDevice, pasid: int) -> None:
    """Wait for all descriptors of a PASID."""
    idxd_cmd_exec(idxd, u.IDXD_CMD_DRAIN_PASID, pasid)


def idxd_device_clear_state(idxd: IdxdDevice) -> None:
    """Disabled; a configuration that firmware fixed stays."""
    if idxd.configurable:
        for wq in idxd.wqs:
            wq.disable_cleanup()
            wq.size = 0  # idxd_wq_device_reset_cleanup
            wq.group = None
        for group in idxd.idxd_groups:
            group.clear_state()
        for engine in idxd.engines:
            engine.group = None
    idxd.state = "disabled"


# --- interrupt handles


def idxd_device_request_int_handle(idxd: IdxdDevice, index: int) -> int:
    """The handle of an MSI-X vector, from a device that gives them out. ENXIO if refused."""
    status = idxd_cmd_exec(idxd, u.IDXD_CMD_REQUEST_INT_HANDLE, index & 0xFFFF)
    if status & u.IDXD_CMDSTS_ERR_MASK != u.IDXD_CMDSTS_SUCCESS:
        raise Errno(errno.ENXIO)
    return status >> u.IDXD_CMDSTS_RES_SHIFT & 0xFFFF


def idxd_device_release_int_handle(idxd: IdxdDevice, handle: int) -> None:
    """Give a handle back, without an interrupt. What comes of it nobody asks."""
    if idxd.hw.cmd_cap >> u.IDXD_CMD_RELEASE_INT_HANDLE & 1:
        command = u.Command(cmd=u.IDXD_CMD_RELEASE_INT_HANDLE, operand=handle & 0xFFFF)
        idxd.reg_base.iowrite32(to_number(command), u.IDXD_CMD_OFFSET)
