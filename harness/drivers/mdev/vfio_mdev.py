# SPDX-License-Identifier: Apache-2.0
"""The driver of all mediated devices of old kernels: drivers/vfio/mdev/vfio_mdev.c, 5.8."""

from __future__ import annotations

from harness.drivers.mdev.driver import MdevDriver, mdev_bus
from harness.drivers.vfio.vfio_main import (
    VfioDevice,
    vfio_put_device,
    vfio_register_group_dev,
    vfio_unregister_group_dev,
)
from harness.kernel.driver_core import Device
from harness.kernel.system import Kernel


class VfioMdevDriver(MdevDriver):
    """Hands every device to VFIO; what a program does with one, the parent decides."""

    name = "vfio_mdev"

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, mdev_bus(kernel), "vfio_mdev")

    def probe(self, device: Device) -> None:
        """The bus has given the device its IOMMU group."""
        device.driver_data = VfioDevice(device)
        vfio_register_group_dev(device.driver_data)

    def remove(self, device: Device) -> None:
        """It waits until no program has the device open."""
        vfio_unregister_group_dev(device.driver_data)
        vfio_put_device(device.driver_data)
