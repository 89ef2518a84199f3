# SPDX-License-Identifier: Apache-2.0
"""The driver ``dmaengine``: queues as DMA channels (drivers/dma/idxd/dma.c, 6.1)."""

from __future__ import annotations

import errno

from harness.drivers.dmaengine import (
    dma_async_device_channel_register,
    dma_async_device_channel_unregister,
)
from harness.drivers.idxd.bus import IdxdDeviceDriver
from harness.drivers.idxd.enable import drv_disable_wq, drv_enable_wq
from harness.drivers.idxd.wq import IdxdWq
from harness.kernel.driver_core import Device
from harness.kernel.errors import Errno
from harness.uapi.idxd import IDXD_SCMD_WQ_NO_DRV_NAME


def enable_kernel_wq(wq: IdxdWq, driver: str) -> None:
    """What the drivers of kernel queues begin with: ENODEV for a queue that is not theirs; ENXIO.

    Sources: idxd_dmaengine_drv_probe, drivers/dma/idxd/dma.c; iaa_crypto_probe,
    drivers/crypto/intel/iaa/iaa_crypto_main.c, 6.12.
    """
    if not wq.driver_name_match(driver):
        wq.idxd.cmd_status = IDXD_SCMD_WQ_NO_DRV_NAME
        wq.type = "none"
        raise Errno(errno.ENODEV)
    wq.type = "kernel"
    try:
        drv_enable_wq(wq)
    except Errno:
        wq.type = "none"
        raise Errno(errno.ENXIO) from None


class IdxdDmaengineDrv(IdxdDeviceDriver):
    """Takes any queue of an enabled device, and makes it a kernel queue."""

    name = "dmaengine"
    types = ("wq",)

    def probe(self, device: Device) -> None:
        """idxd_dmaengine_drv_probe: ENODEV for a queue that is not its; all else is ENXIO."""
        assert isinstance(device, IdxdWq)
        idxd = device.idxd
        if idxd.state != "enabled":
            raise Errno(errno.ENXIO)
        enable_kernel_wq(device, self.name)
        assert idxd.idxd_dma is not None
        device.idxd_chan = dma_async_device_channel_register(idxd.idxd_dma)
        idxd.cmd_status = 0

    def remove(self, device: Device) -> None:
        """idxd_dmaengine_drv_remove."""
        assert isinstance(device, IdxdWq)
        assert device.idxd_chan is not None
        dma_async_device_channel_unregister(device.idxd_chan)
        device.idxd_chan = None
        drv_disable_wq(device)
