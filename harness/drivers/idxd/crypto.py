# SPDX-License-Identifier: Apache-2.0
"""The module ``iaa_crypto``: queues of IAA for compression (drivers/crypto/intel/iaa, 6.12, 7.2).

The plan: the driver ``crypto`` on the bus ``dsa`` takes queues of enabled IAX devices. Its
directory has ``verify_compress`` and ``sync_mode`` besides the driver core's files; while it has a
queue they cannot be written, and the module holds itself. Nothing in a machine compresses.
"""

from __future__ import annotations

import errno

from harness.drivers.idxd.bus import IdxdDeviceDriver
from harness.drivers.idxd.dma import enable_kernel_wq
from harness.drivers.idxd.enable import drv_disable_wq
from harness.drivers.idxd.state import IdxdModule
from harness.drivers.idxd.wq import IdxdWq
from harness.kernel.driver_core import Device
from harness.kernel.errors import Errno
from harness.kernel.kstrtox import sysfs_streq
from harness.kernel.sysfs import Attribute, AttributeGroup
from harness.kernel.task import Caller

MODULE = "iaa_crypto"
#: What is shown for each word: without interrupts there is nothing yet that would be asynchronous.
_SYNC_MODES = {"sync": "sync", "async": "sync", "async_irq": "async_irq"}


def verify_compress_show(driver: IaaCryptoDrv, caller: Caller) -> str:
    return f"{driver.verify_compress:d}\n"


def verify_compress_store(driver: IaaCryptoDrv, caller: Caller, data: bytes) -> None:
    """EBUSY while there is a queue, EINVAL for what is no boolean."""
    if driver.wqs:
        raise Errno(errno.EBUSY)
    driver.verify_compress = driver.kernel.kstrtobool(data)


def sync_mode_show(driver: IaaCryptoDrv, caller: Caller) -> str:
    return f"{driver.sync_mode}\n"


def sync_mode_store(driver: IaaCryptoDrv, caller: Caller, data: bytes) -> None:
    """EBUSY while there is a queue, EINVAL for another word."""
    if driver.wqs:
        raise Errno(errno.EBUSY)
    for word, mode in _SYNC_MODES.items():
        if sysfs_streq(data, word):
            driver.sync_mode = mode
            return
    raise Errno(errno.EINVAL)


class IaaCryptoDrv(IdxdDeviceDriver):
    """Takes any queue of an enabled IAX that names it, and makes it a kernel queue."""

    name = "crypto"
    owner = MODULE
    types = ("wq",)
    groups = (
        AttributeGroup(
            (
                Attribute("verify_compress", 0o644, verify_compress_show, verify_compress_store),
                Attribute("sync_mode", 0o644, sync_mode_show, sync_mode_store),
            )
        ),
    )

    def __init__(self, module: IdxdModule) -> None:
        super().__init__(module)
        self.verify_compress = True
        self.sync_mode = "sync"
        self.wqs: list[IdxdWq] = []

    def probe(self, device: Device) -> None:
        """iaa_crypto_probe: ENXIO, ENODEV for DSA, ENODEV for a queue that is not its, ENXIO.

        It leaves cmd_status as the hardware's last command did.
        """
        assert isinstance(device, IdxdWq)
        idxd = device.idxd
        if idxd.state != "enabled":
            raise Errno(errno.ENXIO)
        if not idxd.data.is_iax:
            raise Errno(errno.ENODEV)
        enable_kernel_wq(device, self.name)
        if not self.wqs:
            self.kernel.modules[MODULE].references += 1
        self.wqs.append(device)

    def remove(self, device: Device) -> None:
        """iaa_crypto_remove."""
        assert isinstance(device, IdxdWq)
        self.wqs.remove(device)
        drv_disable_wq(device)
        if not self.wqs:
            self.kernel.modules[MODULE].references -= 1
