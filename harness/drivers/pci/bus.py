# SPDX-License-Identifier: Apache-2.0
"""The bus: host bridges, finding and removing functions: drivers/pci/{probe,bus,remove}.c, 6.1.

The plan: ``/sys/bus/pci`` has what every bus has, ``rescan``, ``resource_alignment`` and an empty
``slots``. Each root bus is ``/sys/devices/pciDDDD:BB`` with its class device
``pci_bus/DDDD:BB`` and the directories of its functions; those behind a bridge are in the bridge's.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import Factory, frozen

from harness.drivers.pci.cpumask import Numa
from harness.drivers.pci.device import PciDevice, Site, link_firmware_node
from harness.drivers.pci.driver import (
    PCI_DRV_GROUP,
    PciDriver,
    pci_device_probe,
    pci_device_remove,
    pci_match_device,
    pci_uevent,
)
from harness.drivers.pci.iommu import Iommu
from harness.drivers.pci.resource import pci_create_resource_files
from harness.drivers.pci.slot import Slot, acpiphp_enumerate_slots
from harness.drivers.pci.sysfs import (
    WAITING_FOR_SUPPLIER,
    kstrtoul_or_einval,
    link_speeds,
    local_cpulist_show,
    local_cpus_show,
    pci_device_groups,
)
from harness.hardware import pci_config as cfg
from harness.kernel.driver_core import (
    Bus,
    Device,
    DeviceClass,
    DeviceDriver,
    bus_probe_device,
    bus_register,
    device_add,
    device_attach,
)
from harness.kernel.errors import Errno
from harness.kernel.ida import Ida
from harness.kernel.kstrtox import c_string
from harness.kernel.sysfs import Attribute, AttributeGroup, sysfs_remove_link
from harness.kernel.task import Caller
from harness.kernel.wakeup import wakeup_source_register
from harness.uapi.fs import PAGE_SIZE

if TYPE_CHECKING:
    from harness.kernel.system import Kernel

#: How many interrupts a machine remembers.
_INTERRUPTS_KEPT = 65536
#: An I/O APIC has 24 pins.
_FIRST_MSI_IRQ = 24


@frozen
class AerRatelimit:
    """How often errors are logged: at most ``burst`` in ``interval`` jiffies of 1/``hz`` s."""

    interval: int
    burst: int
    hz: int


@frozen
class PciSection:
    """The profile's section ``pci``: the names of errors that AER counts, by bit.

    What later kernels have: ``aer_ratelimit``, the group ``aer`` with how often errors are logged
    (interval in jiffies of ``hz`` a second, and burst; None before 6.16); ``power_up``, functions
    are in D0 from the start (pci_pm_init, 7.2); ``acpi_wakeup``, the wakeup source of an ACPI
    object is below its function (acpi_add_pm_notifier, 7.2); ``heeds_autoprobe``, a function that
    appears is left alone while drivers_autoprobe is off (a run of 7.2; 6.1 and 6.12 bind it);
    ``serial_number``, functions with that capability show it (a run of 7.2);
    ``late_builtin_modules``, what is part of the kernel is in /sys/module only after the first scan
    of the buses (param_sysfs_builtin_init, 6.3; runs of 6.12 and 7.2).

    ``builtin_drivers`` are those that are part of the kernel, by name, with what their modules
    would be, or nothing if the configuration leaves one out; none takes a function here.
    ``builtin_modules``: they are linked with those all the
    same (lookup_or_create_module_kobject; a run of 6.12). ``absent_modules`` are those of
    our drivers that the kernel's configuration leaves out, and ``write_combining`` says whether it
    has files ``resourceN_wc`` (CONFIG_X86_PAT).
    """

    aer_correctable: tuple[str, ...]
    aer_uncorrectable: tuple[str, ...]
    aer_ratelimit: AerRatelimit | None = None
    power_up: bool = False
    acpi_wakeup: bool = False
    heeds_autoprobe: bool = False
    serial_number: bool = False
    late_builtin_modules: bool = False
    builtin_drivers: Mapping[str, str | None] = Factory(dict)
    builtin_modules: bool = False
    absent_modules: tuple[str, ...] = ()
    write_combining: bool = True


@frozen
class Interrupt:
    """One interrupt message of a function."""

    address: str
    vector: int
    time_ns: int


def rescan_store(bus: PciBus, caller: Caller, data: bytes) -> None:
    """Look for new functions everywhere; 0 does nothing; EINVAL for what is no number."""
    if kstrtoul_or_einval(data):
        for segment in list(bus.segments.values()):
            segment.pci_rescan_bus()


def resource_alignment_show(bus: PciBus, caller: Caller) -> str:
    return f"{bus.resource_alignment}\n" if bus.resource_alignment else ""


def resource_alignment_store(bus: PciBus, caller: Caller, data: bytes) -> None:
    """Kept up to the first newline; EINVAL from 4095 bytes. Nothing here is realigned."""
    if len(data) >= PAGE_SIZE - 1:
        raise Errno(errno.EINVAL)
    text = c_string(data).split(b"\n", 1)[0]
    bus.resource_alignment = text.decode(errors="surrogateescape")


class PciBus(Bus):
    """The bus type ``pci``, and the functions that the machine has."""

    groups = (
        AttributeGroup(
            (
                Attribute("rescan", 0o200, None, rescan_store),
                Attribute(
                    "resource_alignment", 0o644, resource_alignment_show, resource_alignment_store
                ),
            )
        ),
    )
    drv_groups = (PCI_DRV_GROUP,)

    def __init__(self, kernel: Kernel, iommu: Iommu | None, numa: Numa) -> None:
        super().__init__(kernel, "pci")
        self.section = kernel.profile.section("pci", PciSection)
        self.iommu = iommu
        self.numa = numa
        self.sites: dict[str, Site] = {}
        self.segments: dict[str, PciSegment] = {}
        self.resource_alignment = ""
        #: Whether the buses of the machine were scanned once: the kernel is up.
        self.is_up = False
        #: Numbers of interrupts beyond those of the I/O APIC's pins.
        self.irqs = Ida(_FIRST_MSI_IRQ)
        self.interrupts: deque[Interrupt] = deque(maxlen=_INTERRUPTS_KEPT)
        bus_register(self)
        self.sysfs.directory("slots")

    def match(self, device: Device, driver: DeviceDriver) -> bool:
        """pci_bus_match: only once the function is completely set up."""
        assert isinstance(device, PciDevice)
        assert isinstance(driver, PciDriver)
        return device.match_driver and pci_match_device(driver, device) is not None

    def probe(self, device: Device, driver: DeviceDriver) -> None:
        """pci_device_probe; then nobody waits for a supplier (device_links_driver_bound)."""
        assert isinstance(device, PciDevice)
        assert isinstance(driver, PciDriver)
        pci_device_probe(device, driver)
        sysfs_remove_link(device.sysfs, "waiting_for_supplier")

    def remove(self, device: Device, driver: DeviceDriver) -> None:
        """pci_device_remove."""
        assert isinstance(device, PciDevice)
        assert isinstance(driver, PciDriver)
        pci_device_remove(device, driver)

    def dma_configure(self, device: Device, driver: DeviceDriver) -> None:
        """pci_dma_configure: EBUSY if the DMA of the function's group is somebody else's."""
        assert isinstance(driver, PciDriver)
        if not driver.driver_managed_dma and device.iommu_group is not None:
            device.iommu_group.use_default_domain()

    def dma_cleanup(self, device: Device, driver: DeviceDriver) -> None:
        """pci_dma_cleanup."""
        assert isinstance(driver, PciDriver)
        if not driver.driver_managed_dma and device.iommu_group is not None:
            device.iommu_group.unuse_default_domain()

    def uevent(self, device: Device) -> dict[str, str]:
        """pci_uevent."""
        assert isinstance(device, PciDevice)
        return pci_uevent(device)

    def interrupt(self, device: PciDevice, vector: int) -> None:
        """Report and remember one interrupt message."""
        self.interrupts.append(Interrupt(device.address, vector, self.kernel.clock.now_ns()))
        self.kernel.trace.emit("interrupt", device.address, vector)

    def pci_create_root_bus(self, name: str, numa_node: int = -1) -> PciSegment:
        """A host bridge and its root bus ``DDDD:BB``, without functions yet."""
        bridge = HostBridge(self, f"pci{name}")
        device_add(bridge)
        bridge.power.async_suspend = True
        return self._add_segment(PciSegment(self, name, bridge, None, numa_node))

    def acpi_pci_root_add(self, name: str, numa_node: int = -1) -> None:
        """A root bus with the functions on it and below; then ACPI may wake the machine for it."""
        segment = self.pci_create_root_bus(name, numa_node)
        segment.pci_rescan_bus()
        firmware_node = segment.bridge.firmware_node
        if firmware_node is not None and self.section.acpi_wakeup:
            wakeup_source_register(segment.bridge, firmware_node.rpartition("/")[2])

    def add_child_bus(self, device: PciDevice) -> PciSegment:
        """The bus behind a bridge (pci_alloc_child_bus)."""
        name = f"{device.address[:4]}:{device.pci_read_config(cfg.SECONDARY_BUS, 1):02x}"
        segment = self._add_segment(PciSegment(self, name, device, device, device.numa_node))
        acpiphp_enumerate_slots(segment, device.site.slots)
        return segment

    def _add_segment(self, segment: PciSegment) -> PciSegment:
        device_add(segment)
        self.segments[segment.name] = segment
        return segment


class HostBridge(Device):
    """The device ``pciDDDD:BB`` above a root bus (struct pci_host_bridge)."""

    def __init__(self, pci_bus: PciBus, name: str) -> None:
        super().__init__(pci_bus.kernel, name, None, None)
        self.pci_bus = pci_bus
        nodes = [site.firmware_node for site in pci_bus.sites.values()]
        roots = [f"pci{site.bus_name}" for site in pci_bus.sites.values()]
        #: ACPI has the objects of the functions below its own.
        self.firmware_node = next(
            (
                node.rpartition("/")[0]
                for node, root in zip(nodes, roots, strict=True)
                if node is not None and root == name
            ),
            None,
        )
        if self.firmware_node is not None:
            self.groups = (AttributeGroup((WAITING_FOR_SUPPLIER,)),)

    def platform_notify(self) -> None:
        """The link to the ACPI object (acpi_bind_one)."""
        if self.firmware_node is not None:
            link_firmware_node(self, self.firmware_node)


def bus_rescan_store(segment: PciSegment, caller: Caller, data: bytes) -> None:
    """Look for new functions on this bus and below."""
    if kstrtoul_or_einval(data):
        segment.pci_rescan_bus()


class PciSegment(Device):
    """One bus by number, ``DDDD:BB``: a device of class pci_bus (struct pci_bus)."""

    groups = (
        AttributeGroup(
            (
                Attribute("rescan", 0o200, None, bus_rescan_store),
                Attribute("cpuaffinity", 0o444, local_cpus_show),
                Attribute("cpulistaffinity", 0o444, local_cpulist_show),
            )
        ),
    )

    def __init__(
        self,
        pci_bus: PciBus,
        name: str,
        bridge: HostBridge | PciDevice,
        self_device: PciDevice | None,
        numa_node: int,
    ) -> None:
        super().__init__(pci_bus.kernel, name, None, bridge)
        self.device_class = DeviceClass(pci_bus.kernel, "pci_bus")
        self.pci_bus = pci_bus
        self.bridge = bridge
        #: The bridge above; None for a root bus.
        self.self_device = self_device
        self.numa_node = numa_node
        self.devices: list[PciDevice] = []
        #: Its hot-plug slots.
        self.slots: list[Slot] = []
        #: What these show; at first what the bridge's link says (pci_set_bus_speed).
        self.max_bus_speed = self.cur_bus_speed = "Unknown"
        if self_device is not None:
            self.max_bus_speed, self.cur_bus_speed = link_speeds(self_device)

    def pci_rescan_bus(self) -> None:
        """Find functions that came; then let drivers have them."""
        self._pci_scan_child_bus()
        self.pci_bus_add_devices()

    def _pci_scan_child_bus(self) -> None:
        known = {device.address for device in self.devices}
        sites = [site for site in self.pci_bus.sites.values() if site.bus_name == self.name]
        for site in sorted(sites, key=lambda site: site.devfn):
            if site.address not in known:
                self.pci_device_add(PciDevice(self, site))
        for device in self.devices:
            if device.is_bridge:
                if device.subordinate is None:
                    device.subordinate = self.pci_bus.add_child_bus(device)
                device.power.pm_runtime_get_sync()  # pci_scan_bridge_extend
                device.subordinate._pci_scan_child_bus()
                device.power.pm_runtime_put()

    def pci_device_add(self, device: PciDevice) -> None:
        """Put a new function into the tree, not for drivers yet."""
        device.groups = pci_device_groups(device)
        self.devices.append(device)
        device.power.pm_runtime_set_active()
        device_add(device)

    def pci_bus_add_devices(self) -> None:
        """Let drivers have what is new here and below."""
        for device in self.devices:
            if not device.is_added:
                _pci_bus_add_device(device)
        for device in self.devices:
            if device.subordinate is not None:
                device.subordinate.pci_bus_add_devices()


def _pci_bus_add_device(device: PciDevice) -> None:
    """The BARs' files, and the first try of all drivers (pci_bus_add_device)."""
    pci_create_resource_files(device)
    device.match_driver = True
    if device.pci_bus.section.heeds_autoprobe:
        bus_probe_device(device)
    else:
        with suppress(Errno):
            device_attach(device)
    device.is_added = True
