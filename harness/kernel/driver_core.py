# SPDX-License-Identifier: Apache-2.0
"""The driver core: buses, devices, drivers and how they find each other (drivers/base, 6.1)."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from harness.kernel.chardev import OpenMethod, makedev
from harness.kernel.errors import Errno
from harness.kernel.kernfs import KernfsDirectory
from harness.kernel.kstrtox import c_string, sysfs_streq
from harness.kernel.power import POWER_GROUP, PowerState
from harness.kernel.sysfs import (
    Attribute,
    AttributeGroup,
    sysfs_create_file,
    sysfs_create_group,
    sysfs_create_groups,
    sysfs_create_link,
    sysfs_remove_group,
    sysfs_remove_link,
)
from harness.kernel.task import Caller
from harness.kernel.uevents import kobject_synth_uevent
from harness.uapi.fs import EPROBE_DEFER, PAGE_SIZE

if TYPE_CHECKING:
    from harness.kernel.iommu import IommuGroup
    from harness.kernel.system import Kernel


def driver_set_override(data: bytes) -> str | None:
    """The new driver_override: None clears it. EINVAL from 4095 bytes (drivers/base/driver.c)."""
    if len(data) >= PAGE_SIZE - 1:
        raise Errno(errno.EINVAL)
    name = c_string(data).split(b"\n", 1)[0]
    return name.decode(errors="surrogateescape") or None


class Device:
    """An object with a directory in sysfs, usually on a bus (struct device).

    Subclasses are the drivers' kinds of device. ``groups`` are the attributes; ``devtype`` is what
    its uevent names.
    """

    devtype: str | None = None
    groups: tuple[AttributeGroup, ...] = ()
    #: Major and minor of a device with a node in /dev, the node's mode and its open method.
    devt: tuple[int, int] | None = None
    devmode: int = 0o600
    open_method: OpenMethod | None = None
    device_class: DeviceClass | None = None
    #: With whom it shares what its DMA can reach.
    iommu_group: IommuGroup | None = None
    #: Whether the device is unregistered when a program closes a file.
    transient = False
    #: Whether there is a ``power`` directory (device_pm_not_required).
    power_managed = True

    def __init__(self, kernel: Kernel, name: str, bus: Bus | None, parent: Device | None) -> None:
        self.kernel = kernel
        self.name = name
        self.bus = bus
        self.parent = parent
        self.driver: DeviceDriver | None = None
        self.driver_data: Any = None
        self.directory: KernfsDirectory | None = None
        self.power = PowerState()
        self._devpath: str | None = None

    @property
    def sysfs(self) -> KernfsDirectory:
        """The device's directory; only while it is registered."""
        if self.directory is None:
            raise RuntimeError(f"{self.name} is not registered")
        return self.directory

    @property
    def devname(self) -> str:
        """The node's path below /dev: ``!`` in a name stands for ``/`` (device_get_devnode)."""
        return self.name.replace("!", "/")

    @property
    def subsystem(self) -> Bus | DeviceClass | None:
        """What the ``subsystem`` link shows."""
        return self.bus if self.bus is not None else self.device_class

    def devpath(self) -> str:
        """The path below /sys, as uevents and udev name it; also when the parent went before."""
        if self._devpath is None:
            self._devpath = self.sysfs.path().removeprefix("/sys")
        return self._devpath

    def uevent_variables(self) -> dict[str, str]:
        """What the ``uevent`` attribute shows and every uevent carries (dev_uevent)."""
        variables: dict[str, str] = {}
        if self.devt is not None:
            major, minor = self.devt
            variables.update(MAJOR=str(major), MINOR=str(minor), DEVNAME=self.devname)
            if self.devmode != 0o600:
                variables["DEVMODE"] = f"{self.devmode:#o}".replace("0o", "0")
        if self.devtype is not None:
            variables["DEVTYPE"] = self.devtype
        if self.driver is not None:
            variables["DRIVER"] = self.driver.name
        if self.bus is not None:
            variables.update(self.bus.uevent(self))
        return variables

    def platform_notify(self) -> None:
        """Link what firmware says of the device; its directory is new (device_platform_notify)."""

    def uevent(self, action: str, **extra: str) -> None:
        """Tell the world (kobject_uevent_env)."""
        subsystem = {"SUBSYSTEM": self.subsystem.name} if self.subsystem is not None else {}
        self.kernel.uevents.send(
            action, self.devpath(), {**subsystem, **extra, **self.uevent_variables()}
        )


def uevent_show(device: Device, caller: Caller) -> str:
    """drivers/base/core.c uevent_show."""
    return "".join(f"{key}={value}\n" for key, value in device.uevent_variables().items())


def uevent_store(device: Device, caller: Caller, data: bytes) -> None:
    """drivers/base/core.c uevent_store."""
    kobject_synth_uevent(data, lambda action, extra: device.uevent(action, **extra))


def dev_show(device: Device, caller: Caller) -> str:
    """drivers/base/core.c dev_show."""
    major, minor = device.devt or (0, 0)
    return f"{major}:{minor}\n"


dev_attr_dev = Attribute("dev", 0o444, dev_show)
dev_attr_uevent = Attribute("uevent", 0o644, uevent_show, uevent_store)


class DeviceDriver:
    """A driver on a bus (struct device_driver). ``probe`` raises Errno to refuse a device.

    ``groups`` are attributes of the driver, ``dev_groups`` of the devices that are bound to it.
    """

    name: str
    groups: tuple[AttributeGroup, ...] = ()
    dev_groups: tuple[AttributeGroup, ...] = ()

    def __init__(self, kernel: Kernel, bus: Bus, module: str | None = None) -> None:
        self.kernel = kernel
        self.bus = bus
        self.module = module
        self.devices: list[Device] = []
        self.directory: KernfsDirectory | None = None

    @property
    def sysfs(self) -> KernfsDirectory:
        """The driver's directory; only while it is registered."""
        if self.directory is None:
            raise RuntimeError(f"driver {self.name} is not registered")
        return self.directory

    def probe(self, device: Device) -> None:
        """Take the device into service, or raise Errno."""

    def remove(self, device: Device) -> None:
        """Take the device out of service. Cannot fail."""


def dev_driver_string(device: Device) -> str:
    """The name of the device's driver, or else of its bus or class (drivers/base/core.c)."""
    if device.driver is not None:
        return device.driver.name
    return device.subsystem.name if device.subsystem is not None else ""


class DeviceClass:
    """A class of devices (struct class): /sys/class/NAME links to all of them."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.kernel = kernel
        self.name = name

    @property
    def sysfs(self) -> KernfsDirectory:
        """/sys/class/NAME, made by the first to ask."""
        return self.kernel.sysfs.directory("class").directory(self.name)

    def register(self) -> DeviceClass:
        """Show the class although it has no device yet (class_register)."""
        self.kernel.sysfs.directory("class").directory(self.name)
        return self


class Bus:
    """A bus (struct bus_type): devices, drivers, and which of them fit."""

    #: Extra attributes of the bus directory, of each driver directory, of each device directory.
    groups: tuple[AttributeGroup, ...] = ()
    drv_groups: tuple[AttributeGroup, ...] = ()
    dev_groups: tuple[AttributeGroup, ...] = ()

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.kernel = kernel
        self.name = name
        self.devices: dict[str, Device] = {}
        self.drivers: dict[str, DeviceDriver] = {}
        self.drivers_autoprobe = True
        self.directory: KernfsDirectory | None = None

    @property
    def sysfs(self) -> KernfsDirectory:
        """The bus's directory; only while it is registered."""
        if self.directory is None:
            raise RuntimeError(f"bus {self.name} is not registered")
        return self.directory

    def match(self, device: Device, driver: DeviceDriver) -> bool:
        """Whether ``driver`` may try ``device`` (bus->match)."""
        raise NotImplementedError

    def uevent(self, device: Device) -> dict[str, str]:
        """The bus's own uevent variables (bus->uevent)."""
        return {}

    def dma_configure(self, device: Device, driver: DeviceDriver) -> None:
        """Claim DMA ownership before probe (bus->dma_configure); raises Errno."""

    def dma_cleanup(self, device: Device, driver: DeviceDriver) -> None:
        """Give it up when the driver is gone, or did not come (bus->dma_cleanup)."""

    def probe(self, device: Device, driver: DeviceDriver) -> None:
        """Call the driver's probe (call_driver_probe); a bus may do more around it (bus->probe)."""
        driver.probe(device)

    def remove(self, device: Device, driver: DeviceDriver) -> None:
        """Call the driver's remove (device_remove); a bus may do more around it (bus->remove)."""
        driver.remove(device)

    def find(self, data: bytes) -> Device:
        """The device a write names, ignoring one newline; ENODEV (bus_find_device_by_name)."""
        for name, device in self.devices.items():
            if sysfs_streq(data, name):
                return device
        raise Errno(errno.ENODEV)


# --- bus attributes: drivers/base/bus.c


def drivers_autoprobe_show(bus: Bus, caller: Caller) -> str:
    return f"{bus.drivers_autoprobe:d}\n"


def drivers_autoprobe_store(bus: Bus, caller: Caller, data: bytes) -> None:
    bus.drivers_autoprobe = data[:1] != b"0"


def drivers_probe_store(bus: Bus, caller: Caller, data: bytes) -> None:
    """Success whether or not a driver was found; EINVAL if trying failed before any probe."""
    device = bus.find(data)
    try:
        if device.driver is None:  # bus_rescan_devices_helper
            device_attach(device)
    except Errno:
        raise Errno(errno.EINVAL) from None


def bus_uevent_store(bus: Bus, caller: Caller, data: bytes) -> None:
    def send(action: str, extra: dict[str, str]) -> None:
        bus.kernel.uevents.send(action, f"/bus/{bus.name}", {"SUBSYSTEM": "bus", **extra})

    kobject_synth_uevent(data, send)


_BUS_ATTRIBUTES = (
    Attribute("uevent", 0o200, None, bus_uevent_store),
    Attribute("drivers_probe", 0o200, None, drivers_probe_store),
    Attribute("drivers_autoprobe", 0o644, drivers_autoprobe_show, drivers_autoprobe_store),
)


def bus_register(bus: Bus) -> None:
    """Make /sys/bus/NAME with its files, devices/ and drivers/ (bus_register)."""
    kernel = bus.kernel
    bus.directory = kernel.sysfs.directory("bus").directory(bus.name)
    bus.directory.directory("devices")
    bus.directory.directory("drivers")
    for attribute in _BUS_ATTRIBUTES:
        sysfs_create_file(bus.directory, bus, attribute)
    sysfs_create_groups(bus.directory, bus, bus.groups)
    kernel.buses[bus.name] = bus
    kernel.uevents.send("add", f"/bus/{bus.name}", {"SUBSYSTEM": "bus"})


def bus_unregister(bus: Bus) -> None:
    """Undo bus_register; the bus must have neither devices nor drivers."""
    kernel = bus.kernel
    del kernel.buses[bus.name]
    kernel.uevents.send("remove", f"/bus/{bus.name}", {"SUBSYSTEM": "bus"})
    kernel.sysfs.directory("bus").remove(bus.name)
    bus.directory = None


# --- driver attributes: drivers/base/bus.c


def bind_store(driver: DeviceDriver, caller: Caller, data: bytes) -> None:
    """ENODEV unknown or no match, then device_driver_attach; before 5.14 that is ENODEV too."""
    device = driver.bus.find(data)
    if not driver.bus.match(device, driver):
        raise Errno(errno.ENODEV)
    try:
        device_driver_attach(driver, device)
    except Errno:
        if driver.kernel.section.bind_errno:
            raise
        raise Errno(errno.ENODEV) from None


def unbind_store(driver: DeviceDriver, caller: Caller, data: bytes) -> None:
    """ENODEV unless the device is bound to this very driver."""
    device = driver.bus.find(data)
    if device.driver is not driver:
        raise Errno(errno.ENODEV)
    device_release_driver(device)


def driver_uevent_store(driver: DeviceDriver, caller: Caller, data: bytes) -> None:
    def send(action: str, extra: dict[str, str]) -> None:
        path = f"/bus/{driver.bus.name}/drivers/{driver.name}"
        driver.kernel.uevents.send(action, path, {"SUBSYSTEM": "drivers", **extra})

    kobject_synth_uevent(data, send)


_DRIVER_ATTRIBUTES = (
    Attribute("uevent", 0o200, None, driver_uevent_store),
    Attribute("unbind", 0o200, None, unbind_store),
    Attribute("bind", 0o200, None, bind_store),
)


def driver_register(driver: DeviceDriver) -> None:
    """Make the driver's directory and try it on every device of the bus (bus_add_driver)."""
    bus = driver.bus
    driver.directory = bus.sysfs.directory("drivers").directory(driver.name)
    bus.drivers[driver.name] = driver
    if bus.drivers_autoprobe:
        driver_attach(driver)
    if driver.module is not None:
        _module_add_driver(driver, driver.module)
    for attribute in _DRIVER_ATTRIBUTES:
        sysfs_create_file(driver.directory, driver, attribute)
    sysfs_create_groups(driver.directory, driver, (*bus.drv_groups, *driver.groups))
    path = f"/bus/{bus.name}/drivers/{driver.name}"
    driver.kernel.uevents.send("add", path, {"SUBSYSTEM": "drivers"})


def driver_unregister(driver: DeviceDriver) -> None:
    """Take the driver from its devices, the last one first, and remove it (bus_remove_driver)."""
    bus = driver.bus
    del bus.drivers[driver.name]
    for device in reversed(driver.devices):  # driver_detach
        device_release_driver(device)
    if driver.module is not None:
        _module_remove_driver(driver, driver.module)
    path = f"/bus/{bus.name}/drivers/{driver.name}"
    driver.kernel.uevents.send("remove", path, {"SUBSYSTEM": "drivers"})
    bus.sysfs.directory("drivers").remove(driver.name)
    driver.directory = None


def _module_add_driver(driver: DeviceDriver, module: str) -> None:
    """The links between a driver and its module (drivers/base/module.c)."""
    directory = driver.kernel.sysfs.directory("module").directory(module)
    sysfs_create_link(driver.sysfs, directory, "module")
    sysfs_create_link(
        directory.directory("drivers"), driver.sysfs, f"{driver.bus.name}:{driver.name}"
    )


def _module_remove_driver(driver: DeviceDriver, module: str) -> None:
    """The links go; their directory stays with the module (drivers/base/module.c)."""
    sysfs_remove_link(driver.sysfs, "module")
    directory = driver.kernel.sysfs.directory("module").directory(module).directory("drivers")
    sysfs_remove_link(directory, f"{driver.bus.name}:{driver.name}")


def driver_attach(driver: DeviceDriver) -> None:
    """Try a driver on every device of its bus; failures do not count (driver_attach)."""
    for device in list(driver.bus.devices.values()):
        if driver.bus.match(device, driver):
            with suppress(Errno):
                driver_probe_device(driver, device)


# --- probing: drivers/base/dd.c


class ProbeFailed(Errno):
    """The driver's own probe refused, as opposed to what was checked before it was asked."""


def driver_probe_device(driver: DeviceDriver, device: Device) -> None:
    """ENODEV not registered, EBUSY bound, else what really_probe says (__driver_probe_device)."""
    if device.directory is None:
        raise Errno(errno.ENODEV)
    if device.driver is not None:
        raise Errno(errno.EBUSY)
    _really_probe(device, driver)


def _really_probe(device: Device, driver: DeviceDriver) -> None:
    device.driver = driver
    try:
        driver.bus.dma_configure(device, driver)
        sysfs_create_link(driver.sysfs, device.sysfs, device.name)
        sysfs_create_link(device.sysfs, driver.sysfs, "driver")
        try:
            driver.bus.probe(device, driver)
        except Errno as error:
            _driver_sysfs_remove(device, driver)
            driver.bus.dma_cleanup(device, driver)
            failed = ProbeFailed(error.errno)
            raise failed.with_traceback(error.__traceback__) from None
        sysfs_create_groups(device.sysfs, device, driver.dev_groups)
    except Errno:
        device.driver = None
        device.driver_data = None
        raise
    driver.devices.append(device)
    device.uevent("bind")  # driver_bound


def _driver_sysfs_remove(device: Device, driver: DeviceDriver) -> None:
    sysfs_remove_link(device.sysfs, "driver")
    sysfs_remove_link(driver.sysfs, device.name)


def device_driver_attach(driver: DeviceDriver, device: Device) -> None:
    """Bind by hand; a deferral becomes EAGAIN (device_driver_attach)."""
    try:
        driver_probe_device(driver, device)
    except Errno as error:
        if error.errno == EPROBE_DEFER:
            error.errno = errno.EAGAIN
        raise


def bus_probe_device(device: Device) -> None:
    """Try all drivers on a new device, unless its bus's drivers_autoprobe is off."""
    if device.bus is not None and device.bus.drivers_autoprobe:
        with suppress(Errno):
            device_attach(device)


def device_attach(device: Device) -> bool:
    """Try all drivers in order until one takes the device; probe failures are passed over.

    Raises what failed before a probe was tried (__device_attach, __device_attach_driver).
    """
    if device.bus is None:
        return False
    for driver in device.bus.drivers.values():
        if not device.bus.match(device, driver):
            continue
        try:
            driver_probe_device(driver, device)
        except ProbeFailed:
            continue
        return True
    return False


def device_release_driver(device: Device) -> None:
    """Unbind, if bound (__device_release_driver)."""
    driver = device.driver
    if driver is None:
        return
    _driver_sysfs_remove(device, driver)
    for group in driver.dev_groups:  # device_remove
        sysfs_remove_group(device.sysfs, group)
    driver.bus.remove(device, driver)
    driver.bus.dma_cleanup(device, driver)
    device.driver = None
    device.driver_data = None
    driver.devices.remove(device)
    device.uevent("unbind")


# --- devices: drivers/base/core.c


def _device_parent(device: Device) -> KernfsDirectory:
    """Where the device's directory goes: below its parent, a class's in a directory of its own
    there (get_device_parent)."""
    devices = device.kernel.sysfs.directory("devices")
    if device.device_class is None:
        return device.parent.sysfs if device.parent is not None else devices
    if device.parent is None:
        return devices.directory("virtual").directory(device.device_class.name)
    if device.parent.device_class is not None:
        return device.parent.sysfs
    return device.parent.sysfs.directory(device.device_class.name)


def _add_devt(device: Device, node: KernfsDirectory) -> None:
    """The ``dev`` file, /sys/dev/char and the node in /dev of a device that has a number."""
    if device.devt is None or device.open_method is None:
        return
    major, minor = device.devt
    sysfs_create_file(node, device, dev_attr_dev)
    char = device.kernel.sysfs.directory("dev").directory("char")
    sysfs_create_link(char, node, f"{major}:{minor}")
    device.kernel.devices.create_node(
        device.devname, makedev(major, minor), device.open_method, device.devmode
    )


def _remove_devt(device: Device) -> None:
    if device.devt is None or device.open_method is None:
        return
    major, minor = device.devt
    device.kernel.devices.delete_node(device.devname, makedev(major, minor))
    sysfs_remove_link(device.kernel.sysfs.directory("dev").directory("char"), f"{major}:{minor}")


def device_add(device: Device, directory: KernfsDirectory | None = None) -> None:
    """Register a device: tree first, then the add event, then probing (device_add).

    ``directory`` is where to make the device's own directory, if not where get_device_parent says.
    """
    parent = directory if directory is not None else _device_parent(device)
    node = KernfsDirectory(parent.root, device.name)
    node.transient = device.transient
    parent.add(node)
    device.directory = node
    device.platform_notify()
    sysfs_create_file(node, device, dev_attr_uevent)
    if device.device_class is not None:  # device_add_class_symlinks
        sysfs_create_link(node, device.device_class.sysfs, "subsystem")
        if device.parent is not None:
            sysfs_create_link(node, device.parent.sysfs, "device")
        sysfs_create_link(device.device_class.sysfs, node, device.name)
    sysfs_create_groups(node, device, device.groups)
    bus = device.bus
    if bus is not None:  # bus_add_device
        sysfs_create_groups(node, device, bus.dev_groups)
        sysfs_create_link(bus.sysfs.directory("devices"), node, device.name)
        sysfs_create_link(node, bus.sysfs, "subsystem")
        bus.devices[device.name] = device
    if device.power_managed:  # dpm_sysfs_add
        sysfs_create_group(node, device.power, POWER_GROUP)
    _add_devt(device, node)
    device.uevent("add")
    bus_probe_device(device)


def device_del(device: Device) -> None:
    """Unregister: the driver lets go, then the remove event, then the tree goes (device_del)."""
    _remove_devt(device)
    node = device.sysfs
    if device.device_class is not None:
        sysfs_remove_link(device.device_class.sysfs, device.name)
    _remove_files(device, node)
    bus = device.bus
    if bus is not None:  # bus_remove_device
        sysfs_remove_link(node, "subsystem")
        sysfs_remove_link(bus.sysfs.directory("devices"), device.name)
        bus.devices.pop(device.name, None)
        device_release_driver(device)
    device.uevent("remove")
    if node.parent is not None:  # else its directory went with its parent's
        _remove_directory(node, glue=device.device_class is not None)
    device.directory = device._devpath = None


def _remove_files(device: Device, node: KernfsDirectory) -> None:
    """The files go before the driver, which may take its time (dpm_sysfs_remove,
    device_remove_attrs)."""
    if node.parent is None:
        return
    groups = device.groups if device.bus is None else (*device.groups, *device.bus.dev_groups)
    for group in groups:
        if group.name is None or group.name in node.children:
            sysfs_remove_group(node, group)
    for name in ("power", dev_attr_uevent.name):
        if name in node.children:
            node.remove(name)


def _remove_directory(node: KernfsDirectory, *, glue: bool) -> None:
    """Remove a device's directory, and the class's own above it if that is now empty."""
    parent = node.parent
    assert isinstance(parent, KernfsDirectory)
    parent.remove(node.name)
    if glue and not parent.children and isinstance(parent.parent, KernfsDirectory):
        parent.parent.remove(parent.name)
