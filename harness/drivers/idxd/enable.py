# SPDX-License-Identifier: Apache-2.0
"""Enabling devices and queues, and the driver ``idxd``: drivers/dma/idxd/device.c, 6.1."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING

from harness.drivers.idxd.bus import IdxdDeviceDriver
from harness.drivers.idxd.command import (
    idxd_device_disable,
    idxd_device_enable,
    idxd_device_release_int_handle,
    idxd_device_request_int_handle,
    idxd_device_reset,
    idxd_set_user_intr,
    idxd_wq_disable,
    idxd_wq_drain,
    idxd_wq_enable,
    idxd_wq_reset,
    idxd_wq_set_priv,
    idxd_wq_write_pasid,
)
from harness.drivers.idxd.config import idxd_device_config
from harness.drivers.idxd.device import IdxdDevice
from harness.drivers.idxd.mmio import to_number
from harness.kernel.driver_core import Device, device_release_driver
from harness.kernel.errors import Errno
from harness.uapi import idxd as u

if TYPE_CHECKING:
    from harness.drivers.idxd.wq import IdxdWq


def drv_enable_wq(wq: IdxdWq) -> None:
    """ENXIO, or what each check says; cmd_status has the reason."""
    idxd = wq.idxd
    _check_wq(wq)
    if idxd.configurable:
        _set_pasid_and_privilege(wq)
        idxd_device_config(idxd)
    idxd_wq_enable(wq)
    wq.client_count = 0
    try:
        _idxd_wq_request_irq(wq)
    except Errno:
        idxd.cmd_status = u.IDXD_SCMD_WQ_IRQ_ERR
        with suppress(Errno):
            idxd_wq_disable(wq)
        raise


def _check_wq(wq: IdxdWq) -> None:
    """What is checked before the hardware is asked, in order."""
    if wq.idxd.state != "enabled":
        _refuse(wq, u.IDXD_SCMD_DEV_NOT_ENABLED)
    if wq.state != "disabled":
        _refuse(wq, u.IDXD_SCMD_WQ_ENABLED, errno.EBUSY)
    if wq.group is None:
        _refuse(wq, u.IDXD_SCMD_WQ_NO_GRP)
    if not wq.wq_name:
        _refuse(wq, u.IDXD_SCMD_WQ_NO_NAME)
    if wq.dedicated:
        return
    if not wq.shared_supported:
        _refuse(wq, u.IDXD_SCMD_WQ_NO_SVM)
    if wq.threshold == 0:
        _refuse(wq, u.IDXD_SCMD_WQ_NO_THRESH)


def _refuse(wq: IdxdWq, cmd_status: int, number: int = errno.ENXIO) -> None:
    wq.idxd.cmd_status = cmd_status
    raise Errno(number)


def _set_pasid_and_privilege(wq: IdxdWq) -> None:
    """Dedicated queues of programs get their PASID when they are opened."""
    kernel = wq.type == "kernel"
    if wq.pasid_enabled and (kernel or not wq.dedicated):
        idxd_wq_write_pasid(wq, wq.idxd.pasid if wq.dedicated else 0)
    if not wq.idxd.module.section.kernel_wq_pasid:
        idxd_wq_set_priv(wq, kernel)


def drv_disable_wq(wq: IdxdWq) -> None:
    """Drain and reset the queue; open files of it stay open."""
    idxd_wq_drain(wq)
    _idxd_wq_free_irq(wq)
    idxd_wq_reset(wq)
    if wq.type == "kernel":
        wq.type = "none"  # idxd_wq_free_resources
    wq.client_count = 0


def _perm_entry(wq: IdxdWq) -> int:
    """The register of the queue's vector in the table of permissions."""
    return wq.idxd.msix_perm_offset + wq.vector * u.MSIX_PERM_SIZE


def _idxd_wq_request_irq(wq: IdxdWq) -> None:
    """Kernel queues have a vector each; EINVAL if the device lacks it, ENXIO without a handle."""
    idxd = wq.idxd
    if wq.type != "kernel":
        return
    if idxd.pasid_enabled:
        permission = u.MsixPerm(pasid_en=1, pasid=idxd.pasid)
        idxd.reg_base.iowrite32(to_number(permission), _perm_entry(wq))
    try:
        if wq.vector >= idxd.irq_cnt:
            raise Errno(errno.EINVAL)
        idxd.pdev.request_irq(wq.vector, lambda vector: None)
        if idxd.request_int_handles:
            _request_int_handle(wq)
    except Errno:
        idxd.reg_base.iowrite32(0, _perm_entry(wq))
        raise


def _request_int_handle(wq: IdxdWq) -> None:
    try:
        wq.int_handle = idxd_device_request_int_handle(wq.idxd, wq.vector)
    except Errno:
        wq.idxd.pdev.free_irq(wq.vector)
        raise


def _idxd_wq_free_irq(wq: IdxdWq) -> None:
    if wq.type != "kernel":
        return
    wq.idxd.pdev.free_irq(wq.vector)
    if wq.int_handle is not None:
        idxd_device_release_int_handle(wq.idxd, wq.int_handle)
        wq.int_handle = None
    wq.idxd.reg_base.iowrite32(0, _perm_entry(wq))


#: Where the logs of events are for the hardware; a made-up address, a megabyte for each device.
_EVL_DMA, _EVL_DMA_SIZE = 0xE0000000, 1 << 20


def idxd_device_evl_setup(idxd: IdxdDevice) -> None:
    """Tell the hardware where to log, and to (6.12)."""
    if idxd.evl is None:
        return
    base = (_EVL_DMA + idxd.id * _EVL_DMA_SIZE) >> 12
    _write_evlcfg(idxd, u.EvlCfg(base_addr=base, size=idxd.evl.size))
    idxd.reg_base.update32(u.GenCtrl, u.IDXD_GENCTRL_OFFSET, evl_int_en=1)
    idxd.reg_base.update32(u.GenCfg, u.IDXD_GENCFG_OFFSET, evl_en=1)


def idxd_device_evl_free(idxd: IdxdDevice) -> None:
    """Log no more; the size is the default again (6.12).

    6.12 itself touches a log that is not there, and dies of it; 7.2 returns, as this does.
    """
    if idxd.evl is None:
        return
    idxd.reg_base.update32(u.GenCfg, u.IDXD_GENCFG_OFFSET, evl_en=0)
    idxd.reg_base.update32(u.GenCtrl, u.IDXD_GENCTRL_OFFSET, evl_int_en=0)
    _write_evlcfg(idxd, u.EvlCfg())
    idxd.evl.size = u.IDXD_EVL_SIZE_MIN


def _write_evlcfg(idxd: IdxdDevice, evlcfg: u.EvlCfg) -> None:
    value = to_number(evlcfg)
    idxd.reg_base.iowrite64(value & 0xFFFFFFFFFFFFFFFF, u.IDXD_EVLCFG_OFFSET)
    idxd.reg_base.iowrite64(value >> 64, u.IDXD_EVLCFG_OFFSET + 8)


def idxd_drv_probe(device: IdxdDevice) -> None:
    """Enable a whole device: every failure is ENXIO (idxd_device_drv_probe)."""
    if device.state != "disabled":
        device.cmd_status = u.IDXD_SCMD_DEV_ENABLED
        raise Errno(errno.ENXIO)
    if device.configurable:
        try:
            idxd_device_config(device)
        except Errno:
            raise Errno(errno.ENXIO) from None
    section = device.module.section
    if section.kernel_wq_pasid and device.pasid_enabled:
        # A reset of the device has turned it off.
        idxd_set_user_intr(device, True)
    idxd_device_evl_setup(device)
    try:
        idxd_device_enable(device)
    except Errno:
        idxd_device_evl_free(device)
        raise
    device.idxd_dma = device.module.dmaengine.dma_async_device_register(device.pdev)
    device.cmd_status = 0


def idxd_drv_remove(device: IdxdDevice) -> None:
    """First the queues, then the device (idxd_device_drv_remove)."""
    for wq in device.wqs:
        if wq.state != "disabled":
            device_release_driver(wq)
    if device.idxd_dma is not None:
        device.module.dmaengine.dma_async_device_unregister(device.idxd_dma)
        device.idxd_dma = None
    with suppress(Errno):
        idxd_device_disable(device)
    idxd_device_evl_free(device)
    if device.configurable:
        idxd_device_reset(device)


class IdxdDrv(IdxdDeviceDriver):
    """The driver of whole devices."""

    name = "idxd"
    types = ("dsa", "iax")

    def probe(self, device: Device) -> None:
        """See :func:`idxd_drv_probe`."""
        assert isinstance(device, IdxdDevice)
        idxd_drv_probe(device)

    def remove(self, device: Device) -> None:
        """See :func:`idxd_drv_remove`."""
        assert isinstance(device, IdxdDevice)
        idxd_drv_remove(device)
