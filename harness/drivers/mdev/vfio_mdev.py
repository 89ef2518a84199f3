# SPDX-License-Identifier: Apache-2.0
"""The driver of all mediated devices of old kernels: drivers/vfio/mdev/vfio_mdev.c, 5.8."""

from __future__ import annotations

from harness.drivers.mdev.driver import MdevDriver, mdev_bus
from harness.kernel.system import Kernel


class VfioMdevDriver(MdevDriver):
    """Hands every device to VFIO; what a program does with one, the parent decides."""

    name = "vfio_mdev"

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, mdev_bus(kernel), "vfio_mdev")
