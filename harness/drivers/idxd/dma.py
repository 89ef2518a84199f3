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
        if not device.driver_name_match(self.name):
            idxd.cmd_status = IDXD_SCMD_WQ_NO_DRV_NAME
            device.type = "none"
            raise Errno(errno.ENODEV)
        device.type = "kernel"
        try:
            drv_enable_wq(device)
        except Errno:
            device.type = "none"
            raise Errno(errno.ENXIO) from None
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
