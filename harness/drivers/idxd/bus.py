# SPDX-License-Identifier: Apache-2.0
"""The bus ``dsa`` and what its drivers have in common: drivers/dma/idxd/bus.c, 6.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.kernel.driver_core import Bus, Device, DeviceDriver

if TYPE_CHECKING:
    from harness.drivers.idxd.profile import IdxdSection
    from harness.drivers.idxd.state import IdxdModule
    from harness.kernel.system import Kernel


class IdxdDeviceDriver(DeviceDriver):
    """A driver of devices or queues.

    ``types`` are the types that it takes; ``owner`` is its module.
    """

    types: tuple[str, ...] = ()
    owner = "idxd"

    def __init__(self, module: IdxdModule) -> None:
        super().__init__(module.kernel, module.bus, self.owner)


class DsaBus(Bus):
    """All objects of all accelerators are on it."""

    #: The module of the bus's first drivers, for those of other modules.
    module: IdxdModule

    def __init__(self, kernel: Kernel, name: str, section: IdxdSection) -> None:
        super().__init__(kernel, name)
        #: The driver's own, too: it is structured once.
        self.section = section

    def uevent(self, device: Device) -> dict[str, str]:
        """idxd_bus_uevent: the same for all objects."""
        return {"MODALIAS": "idxd:t0"} if self.section.bus_uevent else {}

    def match(self, device: Device, driver: DeviceDriver) -> bool:
        """idxd_config_bus_match."""
        assert isinstance(driver, IdxdDeviceDriver)
        return device.devtype in driver.types
