# SPDX-License-Identifier: Apache-2.0
"""What the samples have in common: a parent that is the one device of a class of its own."""

from __future__ import annotations

from harness.drivers.mdev import (
    MdevDevice,
    MdevDriver,
    MdevType,
    mdev_bus,
    mdev_register_driver,
    mdev_register_parent,
)
from harness.kernel.driver_core import Device, DeviceClass, device_add
from harness.kernel.sysfs import Attribute, AttributeGroup
from harness.kernel.system import Kernel


class SampleDriver(MdevDriver):
    """The mdev driver of a sample. What a program does with a device comes with VFIO."""

    device_api = "vfio-pci"
    #: The types that its parent offers.
    types: tuple[MdevType, ...]

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, mdev_bus(kernel), self.name)

    def init_device(self, device: MdevDevice) -> None:
        """Take what a new device needs of the parent; Errno if there is no more of it."""

    def release_device(self, device: MdevDevice) -> None:
        """Give it back."""

    def probe(self, device: Device) -> None:
        """The device gets an IOMMU group that no IOMMU is behind."""
        assert isinstance(device, MdevDevice)
        self.init_device(device)
        group = self.kernel.iommu_groups.alloc()
        group.set_name("vfio-noiommu")
        group.add_device(device)

    def remove(self, device: Device) -> None:
        """The group goes with the device."""
        assert isinstance(device, MdevDevice)
        assert device.iommu_group is not None
        device.iommu_group.remove_device(device)
        self.release_device(device)


def vendor_group(attribute: Attribute) -> tuple[AttributeGroup, ...]:
    """The one attribute that the devices of a sample have, in a directory of its own."""
    return (AttributeGroup((attribute,), "vendor"),)


def sample_init(driver: SampleDriver) -> None:
    """Module init: a major number, the driver, the class and its device, the parent."""
    kernel = driver.kernel
    kernel.devices.alloc_chrdev_region(driver.name)
    mdev_register_driver(driver)
    device = Device(kernel, driver.name, None, None)
    device.device_class = DeviceClass(kernel, driver.name)
    device_add(device)
    mdev_register_parent(device, driver, driver.types)
