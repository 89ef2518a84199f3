# SPDX-License-Identifier: Apache-2.0
"""Interrupts: drivers/dma/idxd/irq.c, 6.1. Vector 0 is for everything but completions."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from harness.drivers.idxd.command import (
    idxd_device_clear_state,
    idxd_device_enable,
    idxd_device_reset,
)
from harness.drivers.idxd.config import idxd_device_config
from harness.kernel.errors import Errno
from harness.uapi import idxd as u

if TYPE_CHECKING:
    from harness.drivers.idxd.device import IdxdDevice


def idxd_misc_thread(idxd: IdxdDevice) -> None:
    """Acknowledge and handle causes until there is none."""
    while cause := idxd.reg_base.ioread32(u.IDXD_INTCAUSE_OFFSET):
        idxd.reg_base.iowrite32(cause, u.IDXD_INTCAUSE_OFFSET)
        if not _process_misc_interrupts(idxd, cause):
            break


def _process_misc_interrupts(idxd: IdxdDevice, cause: int) -> bool:
    """False if the device halted for good. A finished command needs nothing here."""
    if not cause & u.IDXD_INTC_HALT_STATE:
        if not cause & u.IDXD_INTC_ERR:
            return True
        _read_software_error(idxd)
    gensts = idxd.reg_base.read32(u.GenSts, u.IDXD_GENSTATS_OFFSET)
    if gensts.state != u.IDXD_DEVICE_STATE_HALT:
        return True
    idxd.state = "halted"
    if gensts.reset_type == u.IDXD_DEVICE_RESET_SOFTWARE:
        _idxd_device_reinit(idxd)
        return True
    idxd_device_clear_state(idxd)
    return False


def _read_software_error(idxd: IdxdDevice) -> None:
    """Keep SWERR, acknowledge it, and wake who waits for errors of the queue it names, or all."""
    words = [idxd.reg_base.ioread64(u.IDXD_SWERR_OFFSET + 8 * n) for n in range(4)]
    data = b"".join(word.to_bytes(8, "little") for word in words)
    idxd.sw_err = u.SwErr.from_buffer_copy(data)
    idxd.reg_base.iowrite64(words[0] & u.IDXD_SWERR_ACK, u.IDXD_SWERR_OFFSET)
    named = idxd.sw_err.valid and idxd.sw_err.wq_idx_valid
    for wq in [idxd.wqs[idxd.sw_err.wq_idx]] if named else idxd.wqs:
        if wq.type == "user":
            wq.err_queue.wake()


def _idxd_device_reinit(idxd: IdxdDevice) -> None:
    """Try to reset and enable again; a halted device takes no command, so it stays disabled."""
    with suppress(Errno):
        idxd_device_reset(idxd)
        idxd_device_config(idxd)
        idxd_device_enable(idxd)
        return
    idxd_device_clear_state(idxd)
