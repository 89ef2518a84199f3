# SPDX-License-Identifier: Apache-2.0
"""Interrupts: drivers/dma/idxd/{irq,init}.c, 6.1. Vector 0 is for all but completions."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING

from harness.drivers.idxd.command import (
    idxd_device_clear_state,
    idxd_device_enable,
    idxd_device_reset,
    idxd_mask_error_interrupts,
    idxd_unmask_error_interrupts,
)
from harness.drivers.idxd.config import idxd_device_config
from harness.drivers.pci import pci_reset_function
from harness.kernel.errors import Errno
from harness.uapi import idxd as u

if TYPE_CHECKING:
    from harness.drivers.idxd.device import IdxdDevice


def idxd_setup_interrupts(idxd: IdxdDevice) -> None:
    """All vectors, and the handler of the first. ENOSPC if they cannot be had."""
    try:
        idxd.irq_cnt = idxd.pdev.pci_msix_vec_count()
        idxd.pdev.pci_alloc_irq_vectors(idxd.irq_cnt, idxd.irq_cnt)
    except Errno:
        raise Errno(errno.ENOSPC) from None
    idxd.pdev.request_irq(0, lambda vector: idxd_misc_thread(idxd))
    idxd_unmask_error_interrupts(idxd)


def idxd_cleanup_interrupts(idxd: IdxdDevice) -> None:
    """Give all vectors back (7.2)."""
    idxd_mask_error_interrupts(idxd)
    idxd.pdev.free_irq(0)
    idxd.pdev.pci_free_irq_vectors()


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
    if gensts.reset_type == u.IDXD_DEVICE_RESET_FLR and idxd.module.section.flr_restore:
        _idxd_device_flr(idxd)
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


def _idxd_device_flr(idxd: IdxdDevice) -> None:
    """Reset the function, which restores the configuration; without a method it stays halted."""
    idxd_mask_error_interrupts(idxd)
    with suppress(Errno):
        pci_reset_function(idxd.pdev)


def _idxd_device_reinit(idxd: IdxdDevice) -> None:
    """Try to reset and enable again; a halted device takes no command, so it stays disabled."""
    with suppress(Errno):
        idxd_device_reset(idxd)
        idxd_device_config(idxd)
        idxd_device_enable(idxd)
        return
    idxd_device_clear_state(idxd)
