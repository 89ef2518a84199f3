# SPDX-License-Identifier: Apache-2.0
"""Low power while a device is open: the features LOW_POWER_* of vfio_pci_core.c, 6.1."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from harness.drivers.vfio.check_feature import vfio_check_feature
from harness.kernel.errors import Errno
from harness.kernel.eventfd import EventfdContext, eventfd_ctx_fdget
from harness.kernel.task import Caller
from harness.kernel.uaccess import get_user_s32
from harness.uapi import vfio as u

if TYPE_CHECKING:
    from harness.drivers.vfio_pci.core import VfioPciCoreDevice


class LowPower:
    """``engaged`` from entry to exit; meanwhile the device sleeps but during each call."""

    def __init__(self, vdev: VfioPciCoreDevice) -> None:
        self._vdev = vdev
        self.engaged = False
        self._suspended = False
        self._wakeup: EventfdContext | None = None

    def entry(self, flags: int, argsz: int) -> None:
        """vfio_pci_core_pm_entry; EINVAL if it is engaged."""
        if vfio_check_feature(flags, argsz, u.VFIO_DEVICE_FEATURE_SET, 0):
            self._engage(None)

    def entry_with_wakeup(self, caller: Caller, flags: int, argument: int, argsz: int) -> None:
        """vfio_pci_core_pm_entry_with_wakeup: waking up ends it, and signals an eventfd."""
        if not vfio_check_feature(flags, argsz, u.VFIO_DEVICE_FEATURE_SET, 8):
            return
        fd = get_user_s32(caller, argument)
        if fd < 0:
            raise Errno(errno.EINVAL)
        wakeup = eventfd_ctx_fdget(caller, fd)
        try:
            self._engage(wakeup)
        except Errno:
            wakeup.release()
            raise

    def exit(self, flags: int, argsz: int) -> None:
        """vfio_pci_core_pm_exit; no error if it is not engaged."""
        if vfio_check_feature(flags, argsz, u.VFIO_DEVICE_FEATURE_SET, 0):
            self.disengage()

    def _engage(self, wakeup: EventfdContext | None) -> None:
        if self.engaged:
            raise Errno(errno.EINVAL)
        self._vdev.zap_bars()
        self.engaged, self._wakeup = True, wakeup

    def disengage(self) -> None:
        """vfio_pci_runtime_pm_exit."""
        self.engaged = self._suspended = False
        if self._wakeup is not None:
            self._wakeup.release()
            self._wakeup = None

    def suspend(self) -> None:
        """A call is over (vfio_pci_core_runtime_suspend)."""
        self._suspended = self.engaged

    def resume(self) -> None:
        """A call begins (vfio_pci_core_runtime_resume)."""
        if not self._suspended:
            return
        self._suspended = False
        if self._wakeup is not None:
            self._wakeup.signal()
            self.disengage()
