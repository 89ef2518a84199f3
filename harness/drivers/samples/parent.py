# SPDX-License-Identifier: Apache-2.0
"""What the samples have in common: a parent that is the one device of a class of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from harness.drivers.mdev import (
    MdevDevice,
    MdevDriver,
    MdevType,
    has_vendor_create,
    mdev_bus,
    mdev_register_driver,
    mdev_register_parent,
    mdev_unregister_parent,
)
from harness.drivers.samples.profile import SamplesSection
from harness.drivers.vfio.vfio_main import (
    VfioDevice,
    vfio_put_device,
    vfio_register_emulated_iommu_dev,
    vfio_unregister_group_dev,
)
from harness.kernel.driver_core import (
    Device,
    DeviceClass,
    device_add,
    device_del,
    driver_unregister,
)
from harness.kernel.module import Module, Parameter
from harness.kernel.sysfs import Attribute, AttributeGroup
from harness.kernel.system import Kernel


class SampleDriver(MdevDriver):
    """The mdev driver of a sample."""

    device_api = "vfio-pci"
    #: The types that its parent offers.
    types: tuple[MdevType, ...]

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, mdev_bus(kernel), self.name)
        self.section = kernel.profile.section("samples", SamplesSection)

    def init_device(self, device: MdevDevice) -> None:
        """Take what a new device needs of the parent; Errno if there is no more of it."""

    def release_device(self, device: MdevDevice) -> None:
        """Give it back."""

    def vfio_device(self, device: MdevDevice) -> VfioDevice:
        """What programs are handed."""
        return VfioDevice(device)

    def probe(self, device: Device) -> None:
        """Hand the device to programs, in a group that no IOMMU is behind."""
        assert isinstance(device, MdevDevice)
        self.init_device(device)
        device.driver_data = self.vfio_device(device)
        vfio_register_emulated_iommu_dev(device.driver_data)

    def remove(self, device: Device) -> None:
        """It waits until no program has the device open."""
        assert isinstance(device, MdevDevice)
        vfio_unregister_group_dev(device.driver_data)
        vfio_put_device(device.driver_data)
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
    parent = mdev_register_parent(device, driver, driver.types)
    kernel.modules[driver.name].data = (driver, parent)


def sample_exit(name: str, kernel: Kernel) -> None:
    """Module exit: the parent with what was made of it, its device, the driver, the class."""
    driver, parent = kernel.modules[name].data
    mdev_unregister_parent(parent)
    device_del(parent.device)
    driver_unregister(driver)
    kernel.devices.unregister_chrdev_region(name)
    kernel.sysfs.directory("class").remove(name)


def sample_module(
    name: str,
    init: Callable[[Kernel], None],
    parameters: Callable[[], tuple[Parameter, ...]] = tuple,
    suites: tuple[str, ...] = ("mdev",),
) -> Module:
    """The module of a sample, as samples have been since they are drivers themselves."""
    return Module(
        name,
        init,
        exit=partial(sample_exit, name),
        depends=("mdev", "vfio"),
        parameters=parameters,
        suites=suites,
        in_kernel=lambda profile: not has_vendor_create(profile),
    )
