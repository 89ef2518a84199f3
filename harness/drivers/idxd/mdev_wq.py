# SPDX-License-Identifier: Apache-2.0
"""The driver ``mdev`` of work queues: the series from v6 on, drivers/vfio/mdev/idxd/mdev.c."""

from __future__ import annotations

import errno

from harness.drivers.idxd.bus import IdxdDeviceDriver
from harness.drivers.idxd.enable import drv_disable_wq, drv_enable_wq
from harness.drivers.idxd.mdev import (
    IdxdMdevDriver,
    idxd_mdev_host_init,
    idxd_mdev_host_release,
)
from harness.drivers.idxd.state import IdxdModule
from harness.drivers.idxd.wq import IdxdWq
from harness.kernel.driver_core import Device
from harness.kernel.errors import Errno

MODULE = "idxd_mdev"


class IdxdMdevWqDrv(IdxdDeviceDriver):
    """Takes queues for mediated devices. The first makes its device a parent, the last ends it."""

    name = "mdev"
    owner = MODULE
    types = ("wq",)

    def __init__(self, module: IdxdModule, mdev_driver: IdxdMdevDriver) -> None:
        super().__init__(module)
        self._mdev_driver = mdev_driver

    def probe(self, device: Device) -> None:
        """idxd_mdev_drv_probe: ENODEV for a queue of another type; ENXIO, with cmd_status."""
        assert isinstance(device, IdxdWq)
        idxd = device.idxd
        section = idxd.module.section.mdev
        assert section is not None
        if device.type != "mdev" and not section.sets_type:
            raise Errno(errno.ENODEV)
        type, device.type = device.type, "mdev"
        try:
            drv_enable_wq(device)
        except Errno:
            device.type = type
            raise
        if idxd.mdev_parent is None:
            try:
                idxd.mdev_parent = idxd_mdev_host_init(idxd, self._mdev_driver)
            except Errno:
                drv_disable_wq(device)
                raise Errno(errno.ENXIO) from None
        idxd.cmd_status = 0

    def remove(self, device: Device) -> None:
        """idxd_mdev_drv_remove."""
        assert isinstance(device, IdxdWq)
        idxd = device.idxd
        drv_disable_wq(device)
        device.state = "disabled"
        others = [wq for wq in idxd.wqs if wq.driver is self and wq is not device]
        if not others:
            idxd_mdev_host_release(idxd)
