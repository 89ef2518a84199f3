# SPDX-License-Identifier: Apache-2.0
"""Mediated devices made, ended and unbound in whatever order, and parents that go meanwhile."""

import errno
import re
from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.drivers.mdev import mdev_bus
from harness.kernel.errors import Errno
from harness.kernel.task import LocalCaller
from harness.machine import load_machine
from harness.uapi.fs import O_WRONLY

BUS = "/sys/bus/mdev"
PARENTS = "/sys/class/mdev_bus"
UUIDS = [f"83b8f4f2-509f-382f-3c1e-e6bfe0fa00{number:02x}" for number in range(5)]
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: What a device of a type takes of its parent's pool, and how much there is.
POOLS = {"mtty": 24, "mdpy": 4, "mbochs": 256}
TAKES = {
    "mtty-1": 1,
    "mtty-2": 2,
    "mdpy-vga": 1,
    "mdpy-xga": 1,
    "mdpy-hd": 1,
    "mbochs-small": 4,
    "mbochs-medium": 16,
    "mbochs-large": 64,
}
JUNK = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"\0" * 36, b"\xff" * 36, b"a" * 5000, b"1" * 5000, b"\n", b"1\0", b"-1"]),
    st.sampled_from(UUIDS).map(lambda uuid: uuid.encode()[:-1] + b"\0"),
)


def write(machine, path, data):
    """One write(2) of bytes, as root. Errno."""
    caller = LocalCaller()
    file = machine.kernel.call(caller, "open", machine.kernel.walk(caller, path), O_WRONLY)
    try:
        return machine.kernel.call(caller, "write", file, 0, data)
    finally:
        machine.kernel.release(file)


def shown(machine):
    """What there is of mediated devices."""
    places = ("/sys/devices/virtual", BUS, PARENTS, "/sys/kernel/iommu_groups", "/sys/module/mtty")
    return {path: node for place in places for path, node in machine.tree(place).items()}


class Mdevs(RuleBasedStateMachine):
    """What holds on any machine with parents; ``self.machine`` is it."""

    @property
    def devices(self):
        return self.machine.listdir(f"{BUS}/devices")

    @property
    def bound(self):
        return [uuid for uuid in self.devices if "driver" in self.shown(uuid)]

    def shown(self, uuid):
        return self.machine.listdir(f"{BUS}/devices/{uuid}")

    def parents(self):
        return self.machine.listdir(PARENTS)

    def types(self, parent):
        return self.machine.listdir(f"{PARENTS}/{parent}/mdev_supported_types")

    def attempt(self, path, data):
        with suppress(Errno):
            write(self.machine, path, data)

    @rule(uuid=st.sampled_from(UUIDS), text=st.sampled_from([b"1", b"0", b"x", b"0x1\n"]))
    def remove(self, uuid, text):
        self.attempt(f"{BUS}/devices/{uuid}/remove", text)

    @rule(uuid=st.sampled_from(UUIDS), data=JUNK)
    def junk_into_remove(self, uuid, data):
        self.attempt(f"{BUS}/devices/{uuid}/remove", data)

    @rule(uuid=st.sampled_from(UUIDS))
    def unbind(self, uuid):
        self.attempt(f"{BUS}/devices/{uuid}/driver/unbind", uuid.encode())

    @rule(uuid=st.sampled_from(UUIDS), file=st.sampled_from(["bind", "unbind"]))
    def bind_by_name(self, uuid, file):
        for driver in self.machine.listdir(f"{BUS}/drivers"):
            self.attempt(f"{BUS}/drivers/{driver}/{file}", uuid.encode())

    def create(self, parent, type, data):
        self.attempt(f"{PARENTS}/{parent}/mdev_supported_types/{type}/create", data)

    # --- invariants

    @invariant()
    def names_are_uuids_in_small_letters(self):
        assert all(UUID.fullmatch(uuid) for uuid in self.devices)

    @invariant()
    def types_and_bus_and_parents_list_the_same_devices(self):
        by_type, by_parent = [], []
        for parent in self.parents():
            for type in self.types(parent):
                directory = f"{PARENTS}/{parent}/mdev_supported_types/{type}"
                for uuid in self.machine.listdir(f"{directory}/devices"):
                    by_type.append(uuid)
                    link = f"../mdev_supported_types/{type}"
                    assert self.link(f"{BUS}/devices/{uuid}/mdev_type") == link
            children = self.machine.listdir(f"{PARENTS}/{parent}")
            by_parent += [name for name in children if UUID.fullmatch(name)]
        assert sorted(by_type) == sorted(by_parent) == self.devices

    @invariant()
    def each_bound_device_has_a_group_and_a_node_of_its_own(self):
        groups = [self.link(f"{BUS}/devices/{uuid}/iommu_group") for uuid in self.bound]
        numbers = [group.rpartition("/")[2] for group in groups]
        assert len(set(numbers)) == len(numbers)
        nodes = [name for name in self.machine.listdir("/dev/vfio") if name != "vfio"]
        assert sorted(nodes) == sorted(numbers)
        for uuid, number in zip(self.bound, numbers, strict=True):
            group = f"/sys/kernel/iommu_groups/{number}"
            assert self.machine.listdir(f"{group}/devices") == [uuid]

    @invariant()
    def nothing_is_left_of_what_is_gone(self):
        assert sorted(mdev_bus(self.machine.kernel).mdev_list) == self.devices
        for uuid in self.devices:
            assert ("vendor" in self.shown(uuid)) <= (uuid in self.bound)
        classes = self.machine.listdir("/sys/class")
        handed_out = self.machine.listdir("/sys/class/vfio-dev") if "vfio-dev" in classes else []
        assert len(handed_out) == len(self.bound)
        assert self.machine.leaks() == []

    def link(self, path):
        caller = LocalCaller()
        node = self.machine.kernel.walk(caller, path, follow=False)
        return self.machine.kernel.call(caller, "readlink", node)


class Samples(Mdevs):
    """The kernel's samples, in the hands of somebody who tries everything."""

    @initialize(profile=st.sampled_from(["6.1", "7.2"]))
    def start(self, profile):
        self.machine = load_machine("qemu-q35", profile=profile)

    @rule(
        type=st.sampled_from(sorted(TAKES)),
        uuid=st.sampled_from(UUIDS),
        upper=st.booleans(),
        end=st.sampled_from([b"", b"\n", b"x"]),
    )
    def create_sample(self, type, uuid, upper, end):
        text = uuid.upper() if upper else uuid
        self.create(type.partition("-")[0], type, text.encode() + end)

    @rule(type=st.sampled_from(sorted(TAKES)), data=JUNK)
    def junk_into_create(self, type, data):
        self.create(type.partition("-")[0], type, data)

    @invariant()
    def pools_are_conserved(self):
        """What is available is what no device has; only the core's count outlives the driver."""
        left = dict(POOLS)
        for uuid in self.devices:
            type = self.link(f"{BUS}/devices/{uuid}/mdev_type").rpartition("/")[2]
            parent = type.partition("-")[0]
            if parent == "mdpy" or uuid in self.bound:
                left[parent] -= TAKES[type]
        for type, takes in TAKES.items():
            parent = type.partition("-")[0]
            directory = f"{PARENTS}/{parent}/mdev_supported_types/{type}"
            available = self.machine.read(f"{directory}/available_instances")
            assert available == f"{left[parent] // takes}\n"


class Accelerators(Mdevs):
    """A parent that comes and goes with its function and its queues (OpenAnolis's series)."""

    address = "0000:6a:01.0"

    @initialize()
    def start(self):
        self.machine = load_machine("spr-1s", profile="oa")
        self.plugged = True
        self.enable(0, "dedicated")

    def parents(self):
        return (
            self.machine.listdir(PARENTS)
            if "mdev_bus" in self.machine.listdir("/sys/class")
            else []
        )

    @rule(number=st.integers(0, 2), mode=st.sampled_from(["dedicated", "shared"]))
    def enable(self, number, mode):
        """Everything that it takes."""
        if not self.plugged:
            return
        queue, write = f"/sys/bus/dsa/devices/wq0.{number}", self.attempt
        for file, text in (
            *(("group_id", "0"), ("mode", mode), ("size", "8"), ("priority", "1")),
            *(("threshold", "4"), ("type", "mdev"), ("name", "x")),
        ):
            write(f"{queue}/{file}", text.encode())
        write("/sys/bus/dsa/devices/engine0.0/group_id", b"0")
        write("/sys/bus/dsa/drivers/idxd/bind", b"dsa0")
        write("/sys/bus/dsa/drivers/mdev/bind", f"wq0.{number}".encode())

    @rule(number=st.integers(0, 2))
    def disable(self, number):
        self.attempt("/sys/bus/dsa/drivers/mdev/unbind", f"wq0.{number}".encode())

    @rule()
    def disable_all(self):
        self.attempt("/sys/bus/dsa/drivers/idxd/unbind", b"dsa0")

    @rule(uuid=st.sampled_from(UUIDS), kind=st.sampled_from(["1dwq", "1swq"]))
    def create_device(self, uuid, kind):
        self.create(self.address, f"idxd-dsa-{kind}-v1", uuid.encode())

    @rule()
    @precondition(lambda self: self.plugged)
    def unplug_the_parent(self):
        self.machine.unplug(self.address)
        self.plugged = False

    @rule()
    @precondition(lambda self: not self.plugged)
    def plug_it_in(self):
        self.machine.plug(self.address)
        self.plugged = True

    @invariant()
    def a_parent_has_a_queue(self):
        queues = self.machine.listdir("/sys/bus/dsa/drivers/mdev")
        assert bool(self.parents()) == any(name.startswith("wq") for name in queues)

    @invariant()
    def no_device_without_a_parent(self):
        assert self.parents() or not self.devices

    @invariant()
    def a_queue_has_at_most_its_devices(self):
        if not self.plugged:
            return
        clients = 0
        for number in range(3):
            queue = f"/sys/bus/dsa/devices/wq0.{number}"
            count = int(self.machine.read(f"{queue}/clients"))
            assert count <= 1 or self.machine.read(f"{queue}/mode") == "shared\n"
            clients += count
        assert clients <= len(self.bound)


for _machine in (Samples, Accelerators):
    _machine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestSamples = Samples.TestCase
TestAccelerators = Accelerators.TestCase


def test_ten_thousand_devices_leave_nothing():
    """Numbers of groups and devices are used again, and the tree is as before."""
    machine = load_machine("qemu-q35")
    create = f"{PARENTS}/mtty/mdev_supported_types/mtty-1/create"
    remove = f"{BUS}/devices/{UUIDS[0]}/remove"
    before = shown(machine)
    machine.write(create, UUIDS[0])
    once = shown(machine)
    machine.write(remove, "1")
    for _ in range(10_000):
        machine.write(create, UUIDS[0])
        machine.write(remove, "1")
    machine.write(create, UUIDS[0])
    assert shown(machine) == once
    machine.write(remove, "1")
    assert shown(machine) == before


@pytest.mark.parametrize("data", [b"a" * 5000, b"\0" * 36, b"\xff\xfe" * 18, b"\0" * 5000])
def test_bad_writes_change_nothing(data):
    machine = load_machine("qemu-q35")
    machine.write(f"{PARENTS}/mtty/mdev_supported_types/mtty-1/create", UUIDS[0])
    before = shown(machine)
    for path in (
        f"{PARENTS}/mtty/mdev_supported_types/mtty-2/create",
        f"{BUS}/devices/{UUIDS[0]}/remove",
        f"{BUS}/drivers/mtty/unbind",
    ):
        with pytest.raises(Errno) as refused:
            write(machine, path, data)
        assert refused.value.errno in (errno.EINVAL, errno.ENODEV)
    assert shown(machine) == before
