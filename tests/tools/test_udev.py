# SPDX-License-Identifier: Apache-2.0
"""Debian's unmodified udev: listeners, what is known of devices, and a udevd in the machine."""

import os
import stat
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
