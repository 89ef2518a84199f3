# SPDX-License-Identifier: Apache-2.0
"""Buses, devices and drivers: order of checks and what the tree shows (drivers/base, 6.1)."""

import errno

import pytest

from harness.kernel.driver_core import (
    Bus,
    Device,
    DeviceClass,
    DeviceDriver,
    bus_register,
    device_add,
    device_del,
    driver_register,
    driver_set_override,
)
from harness.kernel.errors import Errno
from harness.kernel.module import LoadedModule, Module, mod_sysfs_setup
from harness.uapi.fs import EPROBE_DEFER, O_RDONLY, O_WRONLY


class ToyBus(Bus):
    """Matches a driver to devices whose names begin with its own; may refuse DMA."""

    refuse_dma = False

    def match(self, device, driver):
        return device.name.startswith(driver.name)

    def uevent(self, device):
        return {"TOY": "1"}

    def dma_configure(self, device, driver):
        if self.refuse_dma:
            raise Errno(errno.EBUSY)


class ToyDriver(DeviceDriver):
    """Refuses with ``error`` when it is set."""

    name = "toy"
    error = 0

    def probe(self, device):
        if self.error:
            raise Errno(self.error)


class ToyDevice(Device):
    devtype = "gadget"


@pytest.fixture
def bus(kernel):
    bus = ToyBus(kernel, "toys")
    bus_register(bus)
    return bus


@pytest.fixture
def driver(kernel, bus):
    mod_sysfs_setup(LoadedModule(kernel, Module("toy_module", lambda kernel: None), "toy_module"))
    driver = ToyDriver(kernel, bus, "toy_module")
    driver_register(driver)
    return driver


@pytest.fixture
def device(kernel, bus):
    device = ToyDevice(kernel, "toy0", bus, None)
    bus.drivers_autoprobe = False
    device_add(device)
    bus.drivers_autoprobe = True
    return device


@pytest.fixture
def write(kernel, caller):
    def write_it(path, data):
        file = kernel.call(caller, "open", kernel.walk(caller, path), O_WRONLY)
        try:
            return kernel.call(caller, "write", file, 0, data)
        finally:
            kernel.release(file)

    return write_it


@pytest.fixture
def read(kernel, caller):
    def read_it(path):
        file = kernel.call(caller, "open", kernel.walk(caller, path), O_RDONLY)
        try:
            return kernel.call(caller, "read", file, 0, 4096)
        finally:
            kernel.release(file)

    return read_it


BIND = "/sys/bus/toys/drivers/toy/bind"
UNBIND = "/sys/bus/toys/drivers/toy/unbind"
PROBE = "/sys/bus/toys/drivers_probe"


def refuses(number, function, *arguments):
    with pytest.raises(Errno) as raised:
        function(*arguments)
    assert raised.value.errno == number


def test_the_tree_of_a_bound_device(kernel, caller, bus, driver, device, write):
    assert write(BIND, b"toy0\n") == 5
    links = {
        "/sys/bus/toys/devices/toy0": "../../../devices/toy0",
        "/sys/devices/toy0/subsystem": "../../bus/toys",
        "/sys/devices/toy0/driver": "../../bus/toys/drivers/toy",
        "/sys/bus/toys/drivers/toy/toy0": "../../../../devices/toy0",
        "/sys/bus/toys/drivers/toy/module": "../../../../module/toy_module",
        "/sys/module/toy_module/drivers/toys:toy": "../../../bus/toys/drivers/toy",
    }
    for path, target in links.items():
        assert kernel.call(caller, "readlink", kernel.walk(caller, path, follow=False)) == target


def test_bind_refuses_in_order(bus, driver, device, kernel, write):
    other = ToyDevice(kernel, "other", bus, None)
    device_add(other)
    refuses(errno.ENODEV, write, BIND, b"missing")
    refuses(errno.ENODEV, write, BIND, b"other")
    refuses(errno.ENODEV, write, BIND, b"toy0 ")
    driver.error = errno.ENXIO
    refuses(errno.ENXIO, write, BIND, b"toy0")
    driver.error = EPROBE_DEFER
    refuses(errno.EAGAIN, write, BIND, b"toy0")
    driver.error = 0
    write(BIND, b"toy0")
    refuses(errno.EBUSY, write, BIND, b"toy0")


def test_a_failed_probe_leaves_no_link(kernel, caller, driver, device, write):
    driver.error = errno.EIO
    refuses(errno.EIO, write, BIND, b"toy0")
    assert "driver" not in device.sysfs.children
    assert "toy0" not in driver.sysfs.children


def test_unbind_refuses_what_is_not_bound_to_it(driver, device, write):
    refuses(errno.ENODEV, write, UNBIND, b"missing")
    refuses(errno.ENODEV, write, UNBIND, b"toy0")
    write(BIND, b"toy0")
    assert write(UNBIND, b"toy0") == 4
    refuses(errno.ENODEV, write, UNBIND, b"toy0")


def test_drivers_probe_passes_over_failed_probes(bus, driver, device, write):
    refuses(errno.ENODEV, write, PROBE, b"missing")
    driver.error = errno.EIO
    assert write(PROBE, b"toy0") == 4
    assert device.driver is None
    bus.refuse_dma = True
    refuses(errno.EINVAL, write, PROBE, b"toy0")
    bus.refuse_dma = False
    driver.error = 0
    write(PROBE, b"toy0")
    assert device.driver is driver
    assert write(PROBE, b"toy0") == 4  # bound already


def test_autoprobe_binds_new_devices_and_new_drivers(kernel, bus, driver, read, write):
    path = "/sys/bus/toys/drivers_autoprobe"
    assert read(path) == b"1\n"
    first = ToyDevice(kernel, "toy1", bus, None)
    device_add(first)
    assert first.driver is driver
    write(path, b"0")
    second = ToyDevice(kernel, "toy2", bus, None)
    device_add(second)
    assert second.driver is None
    write(path, b"on")
    assert read(path) == b"1\n"


def test_uevents_tell_what_happened_in_order(kernel, bus, driver, device, read, write):
    kernel.uevents.events.clear()
    write(BIND, b"toy0")
    assert read("/sys/devices/toy0/uevent") == b"DEVTYPE=gadget\nDRIVER=toy\nTOY=1\n"
    write(UNBIND, b"toy0")
    device_del(device)
    assert [event.action for event in kernel.uevents.events] == ["bind", "unbind", "remove"]
    bound = kernel.uevents.events[0].variables
    assert list(bound) == ["ACTION", "DEVPATH", "SUBSYSTEM", "DEVTYPE", "DRIVER", "TOY", "SEQNUM"]
    assert bound["DEVPATH"] == "/devices/toy0"


def test_the_add_event_follows_a_complete_tree(kernel, bus):
    seen = []

    def look(event):
        seen.append(sorted(kernel.sysfs.directory("devices").directory("toy7").children))

    kernel.uevents.subscribers.append(look)
    device_add(ToyDevice(kernel, "toy7", bus, None))
    assert seen == [["power", "subsystem", "uevent"]]


@pytest.mark.parametrize("path", ["/sys/devices/toy0/uevent", "/sys/bus/toys/uevent"])
def test_made_up_uevents(kernel, device, write, path):
    kernel.uevents.events.clear()
    write(path, b"change\n")
    uuid = "fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed"
    write(path, f"add {uuid} A=1 B=abc".encode())
    first, second = kernel.uevents.events
    assert first.action == "change"
    assert first.variables["SYNTH_UUID"] == "0"
    assert second.variables["SYNTH_UUID"] == uuid
    assert second.variables["SYNTH_ARG_A"] == "1"
    for text in (b"nonsense", b"", b"add x", b"add " + uuid.encode() + b" A", b"chan"):
        if text:
            refuses(errno.EINVAL, write, path, text)
    assert len(kernel.uevents.events) == 2


def test_device_del_lets_go_and_leaves_nothing(kernel, bus, driver, device, write, caller):
    write(BIND, b"toy0")
    device_del(device)
    assert driver.devices == []
    for path in ("/sys/devices/toy0", "/sys/bus/toys/devices/toy0"):
        refuses(errno.ENOENT, kernel.walk, caller, path)
    assert "toy0" not in driver.sysfs.children
    refuses(errno.ENODEV, write, BIND, b"toy0")


def test_a_device_with_a_number_has_a_node(kernel, caller, bus, device, read):
    opened = []
    child = ToyDevice(kernel, "toy!node0", bus, device)
    child.devt = (245, 3)
    child.open_method = lambda node, caller, flags: opened.append(node)
    device_add(child)
    assert read("/sys/devices/toy0/toy!node0/dev") == b"245:3\n"
    assert b"DEVNAME=toy/node0\n" in read("/sys/dev/char/245:3/uevent")
    node = kernel.walk(caller, "/dev/toy/node0")
    assert kernel.call(caller, "getattr", node).rdev == 245 << 8 | 3
    kernel.call(caller, "open", node, O_RDONLY)
    assert opened == [node]
    device_del(child)
    refuses(errno.ENOENT, kernel.walk, caller, "/dev/toy")
    refuses(errno.ENOENT, kernel.walk, caller, "/sys/dev/char/245:3")


def test_a_class_device_sits_in_its_class(kernel, caller, device):
    member = Device(kernel, "chan0", None, device)
    member.device_class = DeviceClass(kernel, "dma")
    device_add(member)
    assert kernel.walk(caller, "/sys/class/dma/chan0") is member.sysfs
    assert member.sysfs.path() == "/sys/devices/toy0/dma/chan0"
    assert kernel.walk(caller, "/sys/class/dma/chan0/device") is device.sysfs
    device_del(member)
    assert "dma" not in device.sysfs.children


@pytest.mark.parametrize(
    ("data", "result"),
    [(b"vfio-pci\n", "vfio-pci"), (b"a\nb", "a"), (b"\n", None), (b"\0\0", None), (b"x", "x")],
)
def test_driver_override_text(data, result):
    assert driver_set_override(data) == result


def test_driver_override_is_less_than_a_page():
    assert driver_set_override(b"x" * 4094) == "x" * 4094
    refuses(errno.EINVAL, driver_set_override, b"x" * 4095)


def test_power_control(device, read, write):
    base = "/sys/devices/toy0/power/"
    assert read(base + "control") == b"auto\n"
    write(base + "control", b"on\n")
    assert read(base + "runtime_enabled") == b"disabled & forbidden\n"
    assert read(base + "runtime_usage") == b"1\n"
    write(base + "control", b"on")
    assert read(base + "runtime_usage") == b"1\n"
    write(base + "control", b"auto")
    assert read(base + "runtime_usage") == b"0\n"
    refuses(errno.EINVAL, write, base + "control", b"off")
    refuses(errno.EINVAL, write, base + "async", b"1")
    refuses(errno.EIO, read, base + "autosuspend_delay_ms")
