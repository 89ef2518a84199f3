# SPDX-License-Identifier: Apache-2.0
"""Mediated devices: what cases cannot see of them, and the series without its mistakes."""

import threading

import pytest

from harness import data
from harness.drivers.mdev import mdev_bus, mdev_unregister_parent
from harness.drivers.vfio.vfio_main import VfioDevice
from harness.machine import load_machine

UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa0001"
OTHER = "83b8f4f2-509f-382f-3c1e-e6bfe0fa0002"
PARENTS = "/sys/class/mdev_bus"
DEVICES = "/sys/bus/mdev/devices"
CREATE = f"{PARENTS}/mtty/mdev_supported_types/mtty-1/create"
ADDRESS = "0000:6a:01.0"
QUEUE = "/sys/bus/dsa/devices/wq0.0"


def told(machine, since=0):
    """Action, subsystem and last name of the uevents after the first ``since``."""
    return [
        (event.action, event.variables.get("SUBSYSTEM"), event.devpath.rpartition("/")[2])
        for event in machine.uevents[since:]
    ]


@pytest.fixture
def samples():
    return load_machine("qemu-q35")


# --- uevents


def test_events_of_a_device_that_comes_and_goes(samples):
    """mdev_device_create, vfio_register_emulated_iommu_dev, 6.1; observed on a real one."""
    since = len(samples.uevents)
    samples.write(CREATE, UUID)
    group = samples.listdir("/sys/class/vfio")[0]
    assert told(samples, since) == [
        ("add", "mdev", UUID),
        ("add", "vfio", group),
        ("add", "vfio-dev", "vfio0"),
        ("bind", "mdev", UUID),
    ]
    since = len(samples.uevents)
    samples.write(f"{DEVICES}/{UUID}/remove", "1")
    assert told(samples, since) == [
        ("remove", "vfio-dev", "vfio0"),
        ("remove", "vfio", group),
        ("unbind", "mdev", UUID),
        ("remove", "mdev", UUID),
    ]


def test_events_of_a_device_that_its_driver_refuses(samples):
    """It was there for a moment (mdev_device_create, 6.1)."""
    for number in range(24):
        samples.write(CREATE, f"{UUID[:-2]}{number:02x}")
    since = len(samples.uevents)
    with pytest.raises(OSError, match="No space left"):
        samples.write(CREATE, f"{UUID[:-2]}ff")
    assert [action for action, _, _ in told(samples, since)] == ["add", "remove"]


def test_no_event_of_a_device_that_the_series_refuses():
    """Up to v5 the parent is asked first (mdev_device_create, 5.8)."""
    machine = load_machine("spr-1s", profile="rfc-v2")
    since = len(machine.uevents)
    with pytest.raises(OSError, match="No such device"):
        machine.write(f"{PARENTS}/{ADDRESS}/mdev_supported_types/idxd-1dwq/create", UUID)
    assert told(machine, since) == []


@pytest.mark.parametrize(
    ("machine", "profile", "parent"),
    [("qemu-q35", "6.1", "mtty"), ("spr-1s", "rfc-v2", ADDRESS), ("spr-1s", "rfc-v1", ADDRESS)],
)
def test_event_of_a_parent(machine, profile, parent):
    events = [
        event
        for event in load_machine(machine, profile=profile).uevents
        if event.devpath.endswith(f"/{parent}") and event.action == "change"
    ]
    assert [event.variables["MDEV_STATE"] for event in events] == ["registered"]
    assert list(events[0].variables)[:4] == ["ACTION", "DEVPATH", "SUBSYSTEM", "MDEV_STATE"]


def test_event_of_a_parent_that_goes():
    machine = load_machine("spr-1s", profile="rfc-v2")
    machine.unplug(ADDRESS)
    states = [event.variables.get("MDEV_STATE") for event in machine.uevents]
    assert [state for state in states if state] == ["registered", "unregistered"]


# --- a parent that goes


def test_parent_that_goes_takes_its_devices(samples):
    samples.write(CREATE, UUID)
    samples.write(f"{PARENTS}/mdpy/mdev_supported_types/mdpy-vga/create", OTHER)
    bus = mdev_bus(samples.kernel)
    with samples.kernel.lock:
        mdev_unregister_parent(bus.mdev_list[UUID].type.parent)
    assert samples.listdir(DEVICES) == [OTHER]
    assert samples.listdir(PARENTS) == ["mbochs", "mdpy"]
    assert samples.listdir("/sys/devices/virtual/mtty/mtty") == ["power", "subsystem", "uevent"]


def test_parent_waits_for_a_device_that_is_open(samples):
    """Nothing can be made meanwhile, and no other device ended: ENODEV (unreg_sem)."""
    samples.write(CREATE, UUID)
    samples.write(CREATE, OTHER)
    kernel, bus = samples.kernel, mdev_bus(samples.kernel)
    mdev = bus.mdev_list[UUID]
    parent, handed_out = mdev.type.parent, mdev.driver_data
    assert isinstance(handed_out, VfioDevice)
    handed_out.references += 1

    def unregister():
        with kernel.lock:
            mdev_unregister_parent(parent)

    thread = threading.Thread(target=unregister)
    thread.start()
    while UUID in samples.listdir(DEVICES):
        pass
    types = "/sys/devices/virtual/mtty/mtty/mdev_supported_types"
    for path in (f"{types}/mtty-1/create", f"{DEVICES}/{OTHER}/remove"):
        with pytest.raises(OSError, match="No such device"):
            samples.write(path, "1" if path.endswith("remove") else f"{UUID[:-1]}9")
    with kernel.lock:
        handed_out.put_registration()
    thread.join()
    assert samples.listdir(DEVICES) == []
    assert bus.mdev_list == {}


# --- the series without its mistakes


@pytest.fixture
def mended(monkeypatch):
    """``mended(profile)``: spr-1s on a profile whose ``quirks`` are off."""
    load = data.load_profile

    def load_mended(name):
        return data.merge(load(name), {"idxd": {"mdev": {"quirks": False}}})

    monkeypatch.setattr(data, "load_profile", load_mended)

    def machine(profile, *types):
        made = load_machine("spr-1s", profile=profile)
        new = profile == "v6"
        for number, type in enumerate(types):
            queue = f"/sys/bus/dsa/devices/wq0.{number}"
            for file, text in (
                *(("size", "16"), ("group_id", "0"), ("mode", "dedicated"), ("priority", "10")),
                *(("type", type), ("name", "app")),
            ):
                made.write(f"{queue}/{file}", text)
        made.write("/sys/bus/dsa/devices/engine0.0/group_id", "0")
        made.write(f"/sys/bus/dsa/drivers/{'idxd' if new else 'dsa'}/bind", "dsa0")
        return made

    return machine


def type_of(profile):
    name = {"rfc-v2": "idxd-1dwq", "v6": "idxd-dsa-1dwq-v1"}[profile]
    return f"{PARENTS}/{ADDRESS}/mdev_supported_types/{name}"


def test_mended_v2_counts_enabled_queues_alone(mended):
    machine = mended("rfc-v2", "mdev")
    assert machine.read(f"{type_of('rfc-v2')}/available_instances") == "0\n"
    machine.write("/sys/bus/dsa/drivers/dsa/bind", "wq0.0")
    assert machine.read(f"{type_of('rfc-v2')}/available_instances") == "1\n"


def test_mended_v2_takes_no_queue_of_programs(mended):
    machine = mended("rfc-v2", "user", "mdev")
    for queue in ("wq0.0", "wq0.1"):
        machine.write("/sys/bus/dsa/drivers/dsa/bind", queue)
    machine.write(f"{type_of('rfc-v2')}/create", UUID)
    assert machine.read("/sys/bus/dsa/devices/wq0.0/state") == "enabled\n"
    assert machine.read("/sys/bus/dsa/devices/wq0.1/state") == "locked\n"


def test_mended_v2_recovers_a_locked_queue(mended):
    machine = mended("rfc-v2", "mdev")
    machine.write("/sys/bus/dsa/drivers/dsa/bind", "wq0.0")
    machine.write(f"{type_of('rfc-v2')}/create", UUID)
    machine.write(f"{DEVICES}/{UUID}/remove", "1")
    assert machine.read(f"{QUEUE}/state") == "locked\n"
    machine.write(f"{QUEUE}/driver/unbind", "wq0.0")
    assert machine.read(f"{QUEUE}/state") == "disabled\n"


def test_mended_v6_counts_a_client_once(mended):
    machine = mended("v6", "mdev")
    machine.write("/sys/bus/dsa/drivers/mdev/bind", "wq0.0")
    machine.write(f"{type_of('v6')}/create", UUID)
    assert machine.read(f"{QUEUE}/clients") == "1\n"
    machine.write(f"{DEVICES}/{UUID}/remove", "1")
    assert machine.read(f"{QUEUE}/clients") == "0\n"
