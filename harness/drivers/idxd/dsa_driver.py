# SPDX-License-Identifier: Apache-2.0
"""The one driver, ``dsa``, of devices and of all queues: drivers/dma/idxd/sysfs.c, 5.8 to 5.13.

A queue's type says what becomes of it. Whatever probe answers, a write to ``bind`` of these kernels
says ENODEV.
"""

from __future__ import annotations

import errno

from harness.drivers.dmaengine import (
    dma_async_device_channel_register,
    dma_async_device_channel_unregister,
)
from harness.drivers.idxd.bus import IdxdDeviceDriver
from harness.drivers.idxd.cdev import idxd_wq_add_cdev, idxd_wq_del_cdev
from harness.drivers.idxd.device import IdxdDevice
from harness.drivers.idxd.enable import (
    drv_disable_wq,
    drv_enable_wq,
    idxd_drv_probe,
    idxd_drv_remove,
)
from harness.drivers.idxd.wq import IdxdWq
from harness.kernel.driver_core import Device
from harness.kernel.errors import Errno


class IdxdDsaDrv(IdxdDeviceDriver):
    """Takes devices and queues."""

    name = "dsa"
    types = ("dsa", "iax", "wq")

    def probe(self, device: Device) -> None:
        """idxd_config_bus_probe."""
        if isinstance(device, IdxdDevice):
            idxd_drv_probe(device)
            return
        assert isinstance(device, IdxdWq)
        idxd = device.idxd
        mdev = idxd.module.section.mdev
        if device.type == "mdev" and not device.dedicated and mdev and mdev.queue_uuids:
            raise Errno(errno.EINVAL)  # v1
        drv_enable_wq(device)
        if device.type == "kernel":
            assert idxd.idxd_dma is not None
            device.idxd_chan = dma_async_device_channel_register(idxd.idxd_dma)
        elif device.type == "user":
            idxd_wq_add_cdev(device)

    def remove(self, device: Device) -> None:
        """idxd_config_bus_remove. What a queue became is undone, and its type stays."""
        if isinstance(device, IdxdDevice):
            idxd_drv_remove(device)
            return
        assert isinstance(device, IdxdWq)
        type = device.type
        if device.idxd_chan is not None:
            dma_async_device_channel_unregister(device.idxd_chan)
            device.idxd_chan = None
        if device.idxd_cdev is not None:
            idxd_wq_del_cdev(device)
        drv_disable_wq(device)
        device.type = type
        mdev = device.idxd.module.section.mdev
        if device.state == "locked" and mdev and not mdev.stays_locked:
            device.state = "disabled"
