# SPDX-License-Identifier: Apache-2.0
"""The bus ``mdev`` and its drivers: drivers/vfio/mdev/mdev_driver.c, 6.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernel.driver_core import Bus, Device, DeviceDriver, driver_register

if TYPE_CHECKING:
    from harness.drivers.mdev.objects import MdevDevice, MdevType
    from harness.kernel.system import Kernel


class MdevDriver(DeviceDriver):
    """The driver of all devices of a parent (struct mdev_driver).

    ``device_api`` is what the devices are to a program. A driver that ``counts`` says itself how
    many more devices there can be; for others the core counts down from ``max_instances``, over all
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


class MdevBus(Bus):
    """All mediated devices are on it."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, "mdev")
        #: Devices from the beginning of create until nobody holds them, by UUID.
        self.mdev_list: dict[str, MdevDevice] = {}

    def match(self, device: Device, driver: DeviceDriver) -> bool:
        """mdev_match: drivers are only ever attached by create."""
        return False


def mdev_bus(kernel: Kernel) -> MdevBus:
    """The bus of this kernel; the module mdev made it."""
    bus = kernel.buses["mdev"]
    assert isinstance(bus, MdevBus)
    return bus


def mdev_register_driver(driver: MdevDriver) -> None:
    """Make a driver known; parents can then be registered with it."""
    driver_register(driver)
