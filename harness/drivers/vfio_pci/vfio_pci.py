# SPDX-License-Identifier: Apache-2.0
"""The driver ``vfio-pci``: drivers/vfio/pci/vfio_pci.c, 6.1.

It takes what is told to be its own: by ``driver_override``, or by an id in ``new_id``.
"""

from __future__ import annotations

import errno

from harness.drivers.pci import (
    PciBus,
    PciDevice,
    PciDriver,
    PciId,
    pci_register_driver,
    pci_unregister_driver,
)
from harness.drivers.pci.iov import pci_disable_sriov, pci_enable_sriov
from harness.drivers.vfio.vfio_main import (
    vfio_assign_device_set,
    vfio_put_device,
    vfio_register_group_dev,
    vfio_unregister_group_dev,
)
from harness.drivers.vfio_pci.core import VfioPciCoreDevice
from harness.drivers.vfio_pci.profile import VfioPciSection
from harness.drivers.vfio_pci.vf_token import vfio_pci_vf_init
from harness.kernel.errors import Errno
from harness.kernel.module import BoolParameter, Module, Parameter
from harness.kernel.system import Kernel

_HEADER_TYPE_NORMAL = 0


def parameters() -> tuple[Parameter, ...]:
    """Module parameters. ``ids`` is not in sysfs."""
    return (
        BoolParameter("nointxmask", value=False),
        BoolParameter("disable_vga", value=False, mode=0o444),
        BoolParameter("disable_idle_d3", value=False),
        BoolParameter("enable_sriov", value=False),
        BoolParameter("disable_denylist", value=False, mode=0o444),
    )


class VfioPciDriver(PciDriver):
    """struct pci_driver vfio_pci_driver."""

    name = "vfio-pci"
    id_table = (PciId(override_only=True),)
    driver_managed_dma = True

    def __init__(self, kernel: Kernel, bus: PciBus) -> None:
        super().__init__(kernel, bus, "vfio_pci")
        self.section = kernel.profile.section("vfio_pci", VfioPciSection)
        self._devices: dict[PciDevice, VfioPciCoreDevice] = {}

    def _parameter(self, name: str) -> bool:
        parameter = self.kernel.modules["vfio_pci"].parameters[name]
        assert isinstance(parameter, BoolParameter)
        return parameter.value

    @property
    def nointxmask(self) -> bool:
        """INTx is masked at the interrupt controller only."""
        return self._parameter("nointxmask")

    @property
    def disable_idle_d3(self) -> bool:
        """Functions that nobody uses stay awake."""
        return self._parameter("disable_idle_d3")

    def core_device(self, device: PciDevice) -> VfioPciCoreDevice | None:
        """What it keeps of a function; None if the function is not its own."""
        return self._devices.get(device)

    def probe(self, device: PciDevice) -> None:  # type: ignore[override]
        """vfio_pci_probe, vfio_pci_core_register_device.

        EINVAL for a function in the denylist, for a bridge, and without an IOMMU group.
        """
        identity = f"{device.vendor:04x}:{device.device:04x}"
        if identity in self.section.denylist and not self._parameter("disable_denylist"):
            raise Errno(errno.EINVAL)
        vdev = VfioPciCoreDevice(self, device)
        try:
            self._register(vdev)
        except Errno:
            vfio_put_device(vdev)
            raise
        self._devices[device] = vdev

    def _register(self, vdev: VfioPciCoreDevice) -> None:
        pdev = vdev.pdev
        if pdev.header_type != _HEADER_TYPE_NORMAL:
            raise Errno(errno.EINVAL)
        on_root_bus = pdev.segment.self_device is None
        vfio_assign_device_set(vdev, vdev if on_root_bus else pdev.segment)
        vfio_pci_vf_init(vdev)
        vdev.pm_allow()
        try:
            vfio_register_group_dev(vdev)
        except Errno:
            vdev.pm_forbid()
            raise

    def remove(self, device: PciDevice) -> None:  # type: ignore[override]
        """vfio_pci_remove: waits until nobody has the device open."""
        vdev = self._devices[device]
        pci_disable_sriov(device)
        vfio_unregister_group_dev(vdev)
        del self._devices[device]
        vdev.pm_forbid()
        vfio_put_device(vdev)

    def sriov_configure(self, device: PciDevice, count: int) -> None:
        """vfio_pci_sriov_configure: ENOENT unless the parameter allows it."""
        if not self._parameter("enable_sriov"):
            raise Errno(errno.ENOENT)
        if count:
            pci_enable_sriov(device, count)
        else:
            pci_disable_sriov(device)

    def virtfn_added(self, virtfn: PciDevice) -> None:
        """vfio_pci_bus_notifier: it is for vfio-pci, too."""
        virtfn.driver_override = self.name


def vfio_pci_init(kernel: Kernel) -> None:
    """Make the driver known."""
    bus = kernel.buses["pci"]
    assert isinstance(bus, PciBus)
    pci_register_driver(VfioPciDriver(kernel, bus))


def vfio_pci_cleanup(kernel: Kernel) -> None:
    """Let all functions go; there is none that a program has open, for that is a reference."""
    driver = kernel.buses["pci"].drivers[VfioPciDriver.name]
    assert isinstance(driver, VfioPciDriver)
    pci_unregister_driver(driver)


def vfio_pci_core_init(kernel: Kernel) -> None:
    """It brings nothing by itself."""


def vfio_pci_core_cleanup(kernel: Kernel) -> None:
    """There is nothing to undo."""


MODULES = (
    Module("vfio_pci_core", vfio_pci_core_init, exit=vfio_pci_core_cleanup, depends=("vfio",)),
    Module(
        "vfio_pci",
        vfio_pci_init,
        exit=vfio_pci_cleanup,
        depends=("vfio_pci_core", "vfio"),
        suites=("vfio_pci",),
        parameters=parameters,
    ),
)
