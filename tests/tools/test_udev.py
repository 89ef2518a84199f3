# SPDX-License-Identifier: Apache-2.0
"""Debian's unmodified udev: listeners, what is known of devices, and a udevd in the machine."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

DSA0 = "/sys/bus/dsa/devices/dsa0"
LAST = "12345678-1234-1234-1234-123456789abc"
PCI = "/sys/bus/pci/devices/0000:6a:01.0"


@pytest.fixture(autouse=True)
def _installed(need):
    need("udevadm")


def properties(text):
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def monitored(inside, group, *command):
    """What ``udevadm monitor`` shows of the events that a command causes: their properties."""
    monitor = inside.start("stdbuf", "-oL", "udevadm", "monitor", f"--{group}", "--property")
    lines = iter(monitor.stdout.readline, b"")
    for line in lines:
        if line.startswith(group.upper().encode() + b" - "):
            break
    inside(*command)
    # An event of our own is the last; the machine hears of it after all others.
    inside("sh", "-c", f"echo change {LAST} > {DSA0}/uevent")
    events, text = [], []
    for line in lines:
        text.append(line.decode())
        if line == b"\n":
            events.append(properties("".join(text)))
            text.clear()
            if events[-1].get("SYNTH_UUID") == LAST:
                break
    monitor.kill()
    monitor.communicate()
    return [event for event in events if event][:-1]


CONFIGURE = """
    cd /sys/bus/dsa/devices
    echo 0 > wq0.0/group_id; echo 16 > wq0.0/size; echo dedicated > wq0.0/mode
    echo 9 > wq0.0/priority
    echo user > wq0.0/type; echo app > wq0.0/name; echo 0 > engine0.0/group_id
    echo user > wq0.0/driver_name
    echo dsa0 > /sys/bus/dsa/drivers/idxd/bind
    echo wq0.0 > /sys/bus/dsa/drivers/user/bind
"""


def test_the_monitor_shows_what_the_kernel_says(inside):
    spr = inside("spr-2s", mount=["uevents"], profile="6.12")
    events = monitored(spr, "kernel", "sh", "-c", CONFIGURE)
    assert [(event["ACTION"], event["DEVTYPE"]) for event in events] == [
        ("bind", "dsa"),
        ("add", "idxd_cdev"),
        ("bind", "wq"),
    ]
    assert events[1]["DEVNAME"] == "/dev/dsa/wq0.0"
    numbers = [int(event["SEQNUM"]) for event in events]
    assert numbers == sorted(numbers)


@pytest.fixture
def with_udevd(inside):
    return inside("spr-2s", mount=["udevd"])


def test_rules_are_applied_and_their_listeners_told(with_udevd):
    events = monitored(with_udevd, "udev", "udevadm", "trigger", "--settle", PCI)
    (event,) = [event for event in events if "PCI_SLOT_NAME" in event]
    assert event["ID_PATH"] == "pci-0000:6a:01.0"
    assert event["ID_VENDOR_FROM_DATABASE"] == "Intel Corporation"


def test_trigger_reaches_the_machines_devices_and_no_others(with_udevd):
    with_udevd("udevadm", "trigger", "--settle")
    known = properties(with_udevd("udevadm", "info", "-q", "property", PCI).out)
    assert known["ID_PCI_CLASS_FROM_DATABASE"] == "Generic system peripheral"
    triggered = with_udevd("udevadm", "trigger", "--dry-run", "--verbose").out.split()
    for path in triggered:
        with_udevd.machine.read(f"{path}/uevent")


def test_udevd_changes_nothing_of_the_host(with_udevd):
    before = {entry.path: entry.stat() for entry in os.scandir("/dev") if not entry.is_symlink()}
    with_udevd("udevadm", "trigger", "--settle")
    with_udevd("sh", "-c", "chmod 0600 /dev/null 2>/dev/null; echo > /dev/null")
    for path, found in before.items():
        now = Path(path).stat()
        assert (now.st_mode, now.st_uid) == (found.st_mode, found.st_uid), path
    assert stat.S_IMODE(before["/dev/null"].st_mode) == 0o666


def test_nothing_of_udevd_stays(with_udevd):
    assert with_udevd("sh", "-c", "ls /run/udev").out == "control\n"
    assert not Path("/run/udev/control").exists() or Path("/proc/1/comm").read_text() == "systemd\n"


def test_info_of_a_device(inside):
    spr = inside("spr-2s", mount=["uevents"])
    known = properties(spr("udevadm", "info", "-q", "property", DSA0).out)
    assert (known["SUBSYSTEM"], known["DEVTYPE"]) == ("dsa", "dsa")
    assert known["DEVPATH"] == spr.machine.kernel.buses["dsa"].devices["dsa0"].devpath()
    attributes = spr("udevadm", "info", "-a", f"{DSA0}/wq0.0").out
    assert 'ATTR{size}=="0"' in attributes
    assert 'KERNELS=="dsa0"' in attributes
    assert 'DRIVERS=="idxd"' in attributes
    assert 'ATTRS{vendor}=="0x8086"' in attributes
    missing = spr("udevadm", "info", "/sys/bus/dsa/devices/dsa99", status=1)
    assert missing.err == 'Unknown device "/sys/bus/dsa/devices/dsa99": No such device\n'


def test_udevd_links_to_a_node_by_its_number(with_udevd):
    with_udevd("sh", "-c", CONFIGURE.replace("echo user > wq0.0/driver_name", ""))
    with_udevd("udevadm", "settle")
    number = with_udevd("cat", "/sys/bus/dsa/devices/dsa!wq0.0/dev").out.strip()
    assert with_udevd("readlink", f"/dev/char/{number}").out == "../dsa/wq0.0\n"
    by_node = properties(
        with_udevd("udevadm", "info", "-q", "property", "-n", "/dev/dsa/wq0.0").out
    )
    assert by_node["DEVTYPE"] == "idxd_cdev"
    assert f"{by_node['MAJOR']}:{by_node['MINOR']}" == number
    with_udevd("sh", "-c", "echo wq0.0 > /sys/bus/dsa/drivers/user/unbind; udevadm settle")
    assert with_udevd("ls", "/dev/char").out == ""


def test_udevd_loads_the_driver_of_a_device(inside):
    machine = inside("no-driver", mount=["udevd", "system"])
    machine("udevadm", "trigger", "--action=add", "--settle")
    assert "idxd" in machine.machine.kernel.modules
    assert machine.machine.devices("dsa")[0] == "dsa0"


PYUDEV = """
import sys, pyudev

PACKAGE = "udev"
context = pyudev.Context()
names = sorted(device.sys_name for device in context.list_devices(subsystem="dsa", DEVTYPE="dsa"))
print(*names)
device = pyudev.Devices.from_path(context, "/bus/dsa/devices/dsa0")
state = device.attributes.asstring("state")
print(device.device_type, device.driver, device.parent.sys_name, state)
monitor = pyudev.Monitor.from_netlink(context, source=sys.argv[1])
monitor.filter_by("dsa", "dsa")
monitor.start()
with open("/sys/bus/dsa/devices/dsa0/uevent", "w") as file:
    file.write("change")
event = monitor.poll(timeout=20)
print(event.action, event.sys_name)
"""


@pytest.mark.parametrize(("group", "option"), [("kernel", "uevents"), ("udev", "udevd")])
def test_pyudev(inside, group, option):
    python = "/usr/bin/python3"
    spr = inside("spr-2s", mount=[option])
    if spr(python, "-c", "import pyudev", status=None).status:
        pytest.skip("no pyudev here; fixtures/packages.yaml names its Debian package")
    lines = spr(python, "-c", PYUDEV, group).out.splitlines()
    assert lines[0] == "dsa0 dsa2 dsa4 dsa6"
    assert lines[1] == "dsa None 0000:6a:01.0 disabled"
    assert lines[2] == "change dsa0"


#: A command line of ours, with a udevd that comes up and says no more.
MUTE = """
import sys
from harness.cli import main
from harness.mounts.process import udevd
udevd.PROGRAMS = (sys.argv[1],)
main(["run", "--udevd", "--", "true"])
"""


def test_nothing_stays_if_all_is_killed_while_udevd_starts(tmp_path):
    temporary, mark, program = (tmp_path / name for name in ("tmp", "mark", "udevd"))
    temporary.mkdir()
    program.write_text(f"#!/bin/sh\necho > {mark}\nexec sleep 60\n")
    program.chmod(0o755)
    command = [sys.executable, "-c", MUTE, program]
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(temporary)}) as running:
        while not mark.exists() and running.poll() is None:
            time.sleep(0.02)
        running.kill()
    assert mark.exists()
    assert not list(temporary.iterdir())
