# SPDX-License-Identifier: Apache-2.0
"""The idxd mdev series as its users met it: accel-config and mdevctl, from a queue to a device.

accel-config configures; its commands about mediated devices, which it has no more, are those of
``accel_config_mdev.py``.
"""

import errno
import sys
from pathlib import Path

import pytest

COMMANDS = str(Path(__file__).with_name("accel_config_mdev.py"))
ADDRESS = "0000:6a:01.0"
PARENT = f"/sys/class/mdev_bus/{ADDRESS}"
DEVICES = "/sys/bus/mdev/devices"
QUEUE = "/sys/bus/dsa/devices/wq0.0"
UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa0001"
OTHER = "83b8f4f2-509f-382f-3c1e-e6bfe0fa0002"


class Host:
    """A machine of one profile; ``mdevctl`` and ``commands`` run programs in it."""

    def __init__(self, inside, definitions):
        self.inside = inside
        self.machine = inside.machine
        self._definitions = definitions

    def mdevctl(self, *arguments, status=0):
        mount = 'mount --bind "$0" /etc/mdevctl.d && exec mdevctl "$@"'
        return self.inside("sh", "-c", mount, str(self._definitions), *arguments, status=status)

    def commands(self, *arguments, status=0):
        return self.inside(sys.executable, COMMANDS, *arguments, status=status).out

    def configure(self, *queues, mode="dedicated"):
        """What accel-config has to say, up to the enabled accelerator."""
        settings = ["--group-id=0", "--wq-size=16", "--priority=10", "--type=mdev", "--name=app"]
        settings += [f"--mode={mode}", *(["--threshold=8"] if mode == "shared" else [])]
        for queue in queues or ("wq0.0",):
            self.inside("accel-config", "config-wq", f"dsa0/{queue}", *settings)
        self.inside("accel-config", "config-engine", "dsa0/engine0.0", "--group-id=0")
        self.inside("accel-config", "enable-device", "dsa0")

    def state(self):
        return self.machine.read(f"{QUEUE}/state").strip()

    def start(self, uuid, type, status=0):
        return self.mdevctl("start", "-u", uuid, "-p", ADDRESS, "-t", type, status=status)


@pytest.fixture
def host(inside, need, tmp_path):
    """``host(profile)``: a machine whose kernel had the series."""
    need("accel-config")
    need("mdevctl")
    for folder in ("callouts", "notifiers"):
        (tmp_path / "scripts.d" / folder).mkdir(parents=True)
    return lambda profile: Host(inside("spr-1s", profile=profile), tmp_path)


def test_rfc_v2_from_a_queue_to_a_device(host):
    """After its end the queue counts as available, and is not: the kernel's errno is shown."""
    host = host("rfc-v2")
    host.configure()
    host.inside("accel-config", "enable-wq", "dsa0/wq0.0")
    assert host.mdevctl("types").out.split()[:5] == [
        *(ADDRESS, "idxd-1dwq", "Available", "instances:", "1")
    ]
    host.start(UUID, "idxd-1dwq")
    assert host.mdevctl("list").out.split() == [UUID, ADDRESS, "idxd-1dwq", "manual"]
    assert host.state() == "locked"
    assert "No available instances" in host.start(OTHER, "idxd-1dwq", status=1).err
    host.mdevctl("stop", "-u", UUID)
    assert "No such device (os error 19)" in host.start(OTHER, "idxd-1dwq", status=1).err
    assert host.machine.listdir(DEVICES) == []


def test_rfc_v2_start_before_the_queue_is_enabled(host):
    host = host("rfc-v2")
    host.configure()
    assert "No such device (os error 19)" in host.start(UUID, "idxd-1dwq", status=1).err


def test_rfc_v2_queue_with_a_device_is_not_disabled(host):
    """accel-config looks at the clients itself; forced, it finds the queue locked all the same."""
    host = host("rfc-v2")
    host.configure()
    host.inside("accel-config", "enable-wq", "dsa0/wq0.0")
    host.start(UUID, "idxd-1dwq")
    refused = host.inside("accel-config", "disable-wq", "dsa0/wq0.0", status=1)
    assert "wq has clients: 1" in refused.err
    host.commands("disable-wq", "wq0.0", "-f", status=errno.ENXIO)
    assert (host.state(), host.machine.read(f"{QUEUE}/clients")) == ("locked", "0\n")
    assert host.machine.listdir(DEVICES) == [UUID]


def test_rfc_v1_device_of_a_queue(host):
    """The queue is chosen by its list of UUIDs. accel-config of today sees no device there."""
    host = host("rfc-v1")
    for file, text in (
        *(("size", "16"), ("group_id", "0"), ("mode", "dedicated")),
        *(("priority", "10"), ("type", "mdev"), ("name", "app")),
    ):
        host.machine.write(f"{QUEUE}/{file}", text)
    host.machine.write("/sys/bus/dsa/devices/engine0.0/group_id", "0")
    host.machine.write("/sys/bus/dsa/drivers/dsa/bind", "dsa0")
    host.commands("enable-wq", "wq0.0")
    host.commands("create-mdev-v1", "dsa0", "wq0.0", UUID)
    assert host.machine.read(f"{QUEUE}/uuid") == f"{UUID}\n"
    assert host.mdevctl("list").out.split() == [UUID, ADDRESS, "idxd-wq", "manual"]
    host.commands("create-mdev-v1", "dsa0", "wq0.0", OTHER, status=errno.EPERM)
    host.commands("remove-mdev-v1", "wq0.0", UUID)
    assert host.machine.read(f"{QUEUE}/uuid") == ""
    assert host.machine.listdir(DEVICES) == []


@pytest.mark.parametrize("profile", ["v6", "oa"])
def test_devices_by_accel_config(host, profile):
    host = host(profile)
    host.commands("list", "dsa0", status=errno.ENOENT)  # "mdev support not available"
    host.configure()
    host.commands("enable-wq", "wq0.0")
    host.commands("create-mdev", "dsa0", "1dwq", UUID)
    assert host.commands("list", "dsa0").split() == [UUID, "idxd-dsa-1dwq-v1"]
    host.commands("create-mdev", "dsa0", "1dwq", OTHER, status=errno.ENODEV)
    host.commands("disable-wq", "wq0.0", status=errno.EPERM)
    host.commands("remove-mdev", "dsa0", UUID)
    assert host.commands("list", "dsa0") == ""
    if profile == "oa":
        host.commands("create-mdev", "dsa0", "1dwq", OTHER)
    else:  # the queue has a client too many
        host.commands("create-mdev", "dsa0", "1dwq", OTHER, status=errno.ENODEV)
        host.commands("disable-wq", "wq0.0", status=errno.EPERM)
    host.commands("disable-wq", "wq0.0", "-f")
    assert host.machine.listdir(DEVICES) == []
    assert "0000:6a:01.0" not in host.machine.listdir("/sys/class/mdev_bus")


def test_oa_devices_share_a_queue(host):
    host = host("oa")
    host.configure(mode="shared")
    host.commands("enable-wq", "wq0.0")
    for number in range(5):
        host.commands("create-mdev", "dsa0", "1swq", f"{UUID[:-1]}{number}")
    assert host.commands("list", "dsa0").count("idxd-dsa-1swq-v1") == 5
    host.commands("create-mdev", "dsa0", "1dwq", OTHER[:-1] + "9", status=errno.ENODEV)
    for number in range(5):
        host.commands("remove-mdev", "dsa0", f"{UUID[:-1]}{number}")
    host.commands("disable-wq", "wq0.0")


@pytest.mark.parametrize("profile", ["v6", "oa"])
def test_mdevctl_of_both_types(host, profile):
    """The other kind's type is shown, with nothing to be had."""
    host = host(profile)
    host.configure("wq0.0", "wq0.1")
    for queue in ("wq0.0", "wq0.1"):
        host.commands("enable-wq", queue)
    shown = host.mdevctl("types", "-p", ADDRESS).out
    assert "idxd-iax-1dwq-v1\n    Available instances: 0" in shown
    assert "idxd-dsa-1dwq-v1\n    Available instances: 2" in shown
    host.start(UUID, "idxd-dsa-1dwq-v1")
    host.start(OTHER, "idxd-dsa-1dwq-v1")
    third = host.start(UUID[:-1] + "9", "idxd-dsa-1dwq-v1", status=1)
    assert "No available instances" in third.err
    host.start(UUID[:-1] + "9", "idxd-iax-1dwq-v1", status=1)
    for uuid in (UUID, OTHER):
        host.mdevctl("stop", "-u", uuid)


@pytest.mark.parametrize("profile", ["rfc-v1", "rfc-v2", "v6", "oa"])
def test_mdevctl_without_a_queue(host, profile):
    """There is a parent from the start, or none until a queue makes it one."""
    host = host(profile)
    parents = host.mdevctl("types").out.split()[:1]
    assert parents == ([ADDRESS] if profile.startswith("rfc") else [])
    host.start(UUID, "idxd-1dwq", status=1)
