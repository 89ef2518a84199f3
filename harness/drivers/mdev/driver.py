# SPDX-License-Identifier: Apache-2.0
"""The bus ``mdev`` and its drivers: drivers/vfio/mdev/mdev_driver.c, 6.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.drivers.mdev.profile import MdevSection
from harness.kernel.driver_core import Bus, Device, DeviceDriver, driver_register
from harness.kernel.errors import Errno

if TYPE_CHECKING:
    from harness.drivers.mdev.objects import MdevDevice, MdevType
    from harness.kernel.system import Kernel


class MdevParentOps:
    """What a parent's types ask (struct mdev_driver, or struct mdev_parent_ops in old kernels).

    ``device_api`` is what the devices are to a program. One that ``counts`` says itself how many
    more devices there can be; for others the core counts down from ``max_instances``, over all
    types of a parent.
    """

    device_api: str
    max_instances = 0
    counts = False

    def get_available(self, type: MdevType) -> int:
        """How many more devices of a type there can be."""
        return type.parent.available_instances

    def show_description(self, type: MdevType) -> str | None:
        """One line about a type, without its end; None: there is no such file."""
        return None


class MdevVendorOps(MdevParentOps):
    """A parent of a kernel in which it makes its devices itself (struct mdev_parent_ops, 5.8)."""

    counts = True

    def create(self, mdev: MdevDevice) -> None:
        """Before the device is added; Errno if there can be none."""
        raise NotImplementedError

    def remove(self, mdev: MdevDevice) -> None:
        """The device is gone from sysfs."""
        raise NotImplementedError


class MdevDriver(MdevParentOps, DeviceDriver):
    """The driver of all devices of a parent (struct mdev_driver)."""


class MdevBus(Bus):
    """All mediated devices are on it."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, "mdev")
        self.section = kernel.profile.section("mdev", MdevSection)
        #: Devices from the beginning of create until nobody holds them, by UUID.
        self.mdev_list: dict[str, MdevDevice] = {}

    def match(self, device: Device, driver: DeviceDriver) -> bool:
        """mdev_match: drivers are only ever attached by create, but for the old one driver."""
        return self.section.vendor_create

    def probe(self, device: Device, driver: DeviceDriver) -> None:
        """mdev_probe, where there is one: an IOMMU group first."""
        if not self.section.bus_group:
            driver.probe(device)
            return
        group = self.kernel.iommu_groups.alloc()
        group.add_device(device)
        try:
            driver.probe(device)
        except Errno:
            group.remove_device(device)
            raise

    def remove(self, device: Device, driver: DeviceDriver) -> None:
        """mdev_remove."""
        driver.remove(device)
        if self.section.bus_group and device.iommu_group is not None:
            device.iommu_group.remove_device(device)


def mdev_bus(kernel: Kernel) -> MdevBus:
    """The bus of this kernel; the module mdev made it."""
    bus = kernel.buses["mdev"]
    assert isinstance(bus, MdevBus)
    return bus


def mdev_register_driver(driver: MdevDriver) -> None:
    """Make a driver known; parents can then be registered with it."""
    driver_register(driver)
