# SPDX-License-Identifier: Apache-2.0
"""Whatever is stored, bound and unbound in whatever order: what must hold always holds."""

from contextlib import suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from harness.machine import load_machine

BUS = "/sys/bus/dsa"
DEVICES = f"{BUS}/devices"
QUEUES = [f"wq0.{number}" for number in range(3)]
FIXED_WHILE_ENABLED = ("group_id", "mode", "size", "priority", "type", "name", "threshold")
FUNCTIONS = {"qemu-q35-dsa": "0000:00:05.0", "spr-2s": "0000:6a:01.0"}
VALUES = {
    "group_id": ["-1", "0", "1", "4"],
    "mode": ["shared", "dedicated", "both"],
    "size": ["0", "8", "64", "129"],
    "priority": ["0", "1", "15", "16"],
    "type": ["none", "user", "kernel"],
    "name": ["a", "dmaengine", ""],
    "threshold": ["1", "8", "0"],
    "max_batch_size": ["1", "32", "0"],
}
STORES = [(name, value) for name, values in VALUES.items() for value in values]


class Device(RuleBasedStateMachine):
    """dsa0 of a machine, in the hands of somebody who reads no documentation."""

    @initialize(name=st.sampled_from(sorted(FUNCTIONS)))
    def start(self, name):
        self.machine = load_machine(name)
        self.address = FUNCTIONS[name]
        self.frozen = {}

    def attempt(self, path, value):
        with suppress(OSError):
            self.machine.write(path, value)

    @rule(queue=st.sampled_from(QUEUES), store=st.sampled_from(STORES))
    def store(self, queue, store):
        self.attempt(f"{DEVICES}/{queue}/{store[0]}", store[1])

    @rule(number=st.integers(0, 3), group=st.sampled_from(["-1", "0", "1", "4"]))
    def engine(self, number, group):
        self.attempt(f"{DEVICES}/engine0.{number}/group_id", group)

    @rule(
        queue=st.sampled_from(QUEUES),
        mode=st.sampled_from(["dedicated", "dedicated", "shared"]),
        driver=st.sampled_from(["dmaengine", "user"]),
    )
    def enable(self, queue, mode, driver):
        """All that it takes; by luck alone it would hardly ever happen."""
        kind = "kernel" if driver == "dmaengine" else "user"
        for name, value in (
            *(("group_id", "0"), ("mode", mode), ("size", "8"), ("priority", "1")),
            *(("threshold", "4"), ("type", kind), ("name", driver)),
        ):
            self.attempt(f"{DEVICES}/{queue}/{name}", value)
        self.attempt(f"{DEVICES}/engine0.0/group_id", "0")
        self.device("bind")
        self.queue(queue, driver, "bind")

    @rule(action=st.sampled_from(["bind", "unbind"]))
    def device(self, action):
        self.attempt(f"{BUS}/drivers/idxd/{action}", "dsa0")

    @rule(
        queue=st.sampled_from(QUEUES),
        driver=st.sampled_from(["dmaengine", "user"]),
        action=st.sampled_from(["bind", "bind", "unbind"]),
    )
    def queue(self, queue, driver, action):
        self.attempt(f"{BUS}/drivers/{driver}/{action}", queue)

    @rule()
    def unplug_and_plug(self):
        """A new device, with nothing of the old one."""
        self.machine.unplug(self.address)
        assert not any(name.startswith(("wq0.", "dsa0")) for name in self.machine.devices("dsa"))
        self.machine.plug(self.address)
        assert {self.state(queue) for queue in QUEUES} == {"disabled"}

    def read(self, name, attribute):
        return self.machine.read(f"{DEVICES}/{name}/{attribute}").strip()

    def state(self, name):
        return self.read(name, "state")

    @invariant()
    def bound_is_enabled(self):
        links = self.machine.tree(DEVICES)
        for name in ("dsa0", *QUEUES):
            path = links[f"{DEVICES}/{name}"]["link"].replace("../../../", "/sys/")
            bound = f"{path}/driver" in self.machine.tree(path)
            assert bound == (self.state(name) == "enabled"), name

    @invariant()
    def a_queue_is_enabled_only_in_an_enabled_device(self):
        enabled = {queue for queue in QUEUES if self.state(queue) == "enabled"}
        assert not enabled or self.state("dsa0") == "enabled"

    @invariant()
    def what_is_enabled_stays_as_it_is(self):
        now = {
            queue: [self.read(queue, name) for name in FIXED_WHILE_ENABLED if name != "threshold"]
            for queue in QUEUES
            if self.state(queue) == "enabled"
        }
        for queue, values in now.items():
            assert self.frozen.get(queue, values) == values
        self.frozen = now

    @invariant()
    def sizes_fit(self):
        sizes = [int(self.read(f"wq0.{number}", "size")) for number in range(8)]
        assert sum(sizes) <= int(self.read("dsa0", "max_work_queues_size"))

    @invariant()
    def groups_and_members_agree(self):
        for group in range(4):
            listed = self.read(f"group0.{group}", "work_queues").split()
            members = [
                f"wq0.{number}"
                for number in range(8)
                if self.read(f"wq0.{number}", "group_id") == str(group)
            ]
            assert listed == members

    @invariant()
    def dev_has_the_enabled_user_queues(self):
        nodes = {path.rpartition("/")[2] for path in self.machine.tree("/dev") if "/dsa/" in path}
        users = {
            queue
            for queue in QUEUES
            if self.state(queue) == "enabled" and self.read(queue, "type") == "user"
        }
        assert nodes == users

    def teardown(self):
        if hasattr(self, "machine"):
            assert self.machine.leaks() == []


TestDevice = Device.TestCase
TestDevice.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
