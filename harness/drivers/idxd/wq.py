# SPDX-License-Identifier: Apache-2.0
"""Work queues: ``wqD.N`` (struct idxd_wq and its helpers, drivers/dma/idxd/idxd.h, 6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.drivers.idxd.wq_sysfs import IDXD_WQ_GROUPS
from harness.kernel.driver_core import Device
from harness.kernel.wait import WaitQueue
from harness.uapi.idxd import WqCfg

if TYPE_CHECKING:
    from harness.drivers.dmaengine import DmaChannel
    from harness.drivers.idxd.cdev import IdxdCdev
    from harness.drivers.idxd.device import IdxdDevice
    from harness.drivers.idxd.group import IdxdGroup

WQ_DEFAULT_QUEUE_DEPTH = 16
WQ_DEFAULT_MAX_XFER = 2 << 20
WQ_DEFAULT_MAX_BATCH = 32
IDXD_ENQCMDS_RETRIES = 32


class IdxdWq(Device):
    """A work queue. ``wqcfg`` is what is written to its registers, and nothing is read from it.

    ``type`` is none, kernel, user or mdev; ``state`` disabled or enabled, or locked while a
    mediated device has the queue and has not enabled it.
    """

    devtype = "wq"
    groups = IDXD_WQ_GROUPS

    def __init__(self, idxd: IdxdDevice, number: int) -> None:
        super().__init__(idxd.kernel, f"wq{idxd.id}.{number}", idxd.bus, idxd)
        self.idxd = idxd
        self.id = number
        self.type = "none"
        self.group: IdxdGroup | None = None
        self.client_count = self.size = 0
        #: Programs that wait for errors of the device.
        self.err_queue = WaitQueue()
        self.idxd_cdev: IdxdCdev | None = None
        self.idxd_chan: DmaChannel | None = None
        self.int_handle: int | None = None
        #: What the driver that may have the queue is called; its beginning is enough (6.12).
        self.driver_name = b""
        #: The mediated devices that it is for (v1 of the series).
        self.uuids: list[str] = []
        self.disable_cleanup()

    @property
    def vector(self) -> int:
        """Its MSI-X vector; the device itself has the first."""
        return self.id + 1

    def disable_cleanup(self) -> None:
        """The configuration as new, but for size, group and type (idxd_wq_disable_cleanup)."""
        self.state = "disabled"
        self.wqcfg = WqCfg()
        self.threshold = self.priority = 0
        self.enqcmds_retries = IDXD_ENQCMDS_RETRIES
        self.dedicated = self.block_on_fault = self.ats_disable = self.prs_disable = False
        self.wq_name = b""
        self.max_xfer_bytes = WQ_DEFAULT_MAX_XFER
        self.set_max_batch_size(WQ_DEFAULT_MAX_BATCH)
        self.max_sgl_shift = self.idxd.max_sgl_shift
        self.opcap_bmap = self.idxd.opcap_bmap

    def set_max_batch_size(self, size: int) -> None:
        """IAX has no batches: always 0 there (idxd_wq_set_max_batch_size)."""
        self.max_batch_size = 0 if self.idxd.data.is_iax else size

    @property
    def pasid_enabled(self) -> bool:
        """Whether this kind of queue can have a PASID (wq_pasid_enabled)."""
        if self.type == "kernel":
            return self.idxd.pasid_enabled
        return self.type in ("user", "mdev") and self.idxd.user_pasid_enabled

    def driver_name_match(self, driver: str) -> bool:
        """Whether ``driver`` may have the queue (idxd_wq_driver_name_match, 6.12)."""
        if not self.idxd.module.section.wq_driver_name:
            return True
        return self.driver_name.startswith(driver.encode())

    @property
    def shared_supported(self) -> bool:
        """Shared queues need ENQCMD and a PASID (wq_shared_supported)."""
        return self.idxd.module.support_enqcmd and self.pasid_enabled
