# SPDX-License-Identifier: Apache-2.0
"""Whatever is bound, overridden, taken away and found again: what must hold always holds."""

from contextlib import suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from harness.kernel.errors import Errno
from harness.kernel.task import LocalCaller
from harness.machine import load_machine
from harness.uapi.fs import O_WRONLY

BUS = "/sys/bus/pci"
FUNCTIONS = ["0000:00:05.0", "0000:00:06.0", "0000:00:08.0", "0000:01:01.0", "0000:01:02.0"]
BEHIND_BRIDGE = {"0000:01:01.0", "0000:01:02.0"}
BRIDGE = "0000:00:08.0"
ORDINARY = ("uio_pci_generic", "virtio-pci", "shpchp")
DRIVERS = [*ORDINARY, "pci-stub", "vfio-pci"]
IDS = ["1234 11e8", "8086 10d3", "1b36 5", "1b36 0005 1af4 1100", "ffffffff ffffffff", "1af4 1"]
GARBAGE = [b"", b"\n", b"\0", b"a" * 5000, b"\xff\xfe", b"0000:00:05.0\0x", b"-1", b"nonesuch"]
RESCANS = [
    f"{BUS}/rescan",
    f"{BUS}/devices/0000:00:00.0/rescan",
    "/sys/class/pci_bus/0000:01/rescan",
]

functions = st.sampled_from(FUNCTIONS)
drivers = st.sampled_from(DRIVERS)


class PciFunctions(RuleBasedStateMachine):
    """The functions of qemu-q35, in the hands of somebody who reads no documentation."""

    @initialize(profile=st.sampled_from(["6.1", "6.12", "7.2"]))
    def start(self, profile):
        self.machine = load_machine("qemu-q35", profile=profile)
        self.bus = self.machine.kernel.buses["pci"]
        self.overrides = {}
        #: How often users enabled a function.
        self.enabled = {}

    def attempt(self, path, data):
        """Write; whether that worked. Nothing but an errno may come out."""
        caller = LocalCaller()
        kernel = self.machine.kernel
        content = data if isinstance(data, bytes) else data.encode()
        try:
            file = kernel.call(caller, "open", kernel.walk(caller, path), O_WRONLY)
        except Errno:
            return False
        try:
            kernel.call(caller, "write", file, 0, content)
        except Errno:
            return False
        finally:
            kernel.release(file)
        return True

    def forget(self, address):
        for one in (address, *(BEHIND_BRIDGE if address == BRIDGE else ())):
            self.overrides.pop(one, None)
            self.enabled.pop(one, None)

    @rule(address=functions, name=st.sampled_from([*DRIVERS, "nonesuch", "\n"]))
    def override(self, address, name):
        if self.attempt(f"{BUS}/devices/{address}/driver_override", name):
            self.overrides[address] = name.strip() or "(null)"

    @rule(address=functions, name=drivers, action=st.sampled_from(["bind", "bind", "unbind"]))
    def bind(self, address, name, action):
        self.attempt(f"{BUS}/drivers/{name}/{action}", address)

    @rule(address=functions, name=drivers)
    def give(self, address, name):
        self.override(address, name)
        self.bind(address, name, "bind")

    @rule()
    def unbind(self):
        """Whatever has a driver; by luck alone it would hardly ever happen."""
        for address in self.bound():
            self.attempt(f"{BUS}/devices/{address}/driver/unbind", address)

    @rule(address=functions)
    def probe(self, address):
        self.attempt(f"{BUS}/drivers_probe", address)

    @rule(name=drivers, text=st.sampled_from(IDS), action=st.sampled_from(["new_id", "remove_id"]))
    def dynamic_id(self, name, text, action):
        self.attempt(f"{BUS}/drivers/{name}/{action}", text)

    @rule(address=functions)
    def remove(self, address):
        if self.attempt(f"{BUS}/devices/{address}/remove", "1"):
            self.forget(address)

    @rule(path=st.sampled_from(RESCANS))
    def rescan(self, path):
        self.attempt(path, "1")

    @rule(number=st.sampled_from([1, 2]), power=st.sampled_from(["0", "1"]))
    def slot(self, number, power):
        """What a slot ejects never comes back."""
        address = f"0000:01:0{number}.0"
        if self.attempt(f"{BUS}/slots/{number}/power", power) and power == "0":
            self.forget(address)

    @rule(address=functions, value=st.sampled_from(["1", "0"]))
    def enable(self, address, value):
        if self.attempt(f"{BUS}/devices/{address}/enable", value):
            change = 1 if value == "1" else -1
            self.enabled[address] = self.enabled.get(address, 0) + change

    @rule(address=functions, kind=st.sampled_from(["identity", "DMA", "DMA-FQ", "auto"]))
    def group_type(self, address, kind):
        self.attempt(f"{BUS}/devices/{address}/iommu_group/type", kind)

    @rule(switch=st.sampled_from(["0", "1"]))
    def autoprobe(self, switch):
        self.attempt(f"{BUS}/drivers_autoprobe", switch)

    @rule(
        address=functions,
        name=st.sampled_from(["enable", "reset", "numa_node", "rescan", "msi_bus", "reset_method"]),
        data=st.sampled_from(GARBAGE),
    )
    def garbage_to_a_function(self, address, name, data):
        self.attempt(f"{BUS}/devices/{address}/{name}", data)

    @rule(
        path=st.sampled_from(
            [
                *(f"drivers/{name}/{file}" for name in DRIVERS for file in ("bind", "new_id")),
                *("drivers_probe", "rescan", "uevent", "resource_alignment"),
            ]
        ),
        data=st.sampled_from(GARBAGE),
    )
    def garbage_to_the_bus(self, path, data):
        self.attempt(f"{BUS}/{path}", data)

    # --- invariants

    def bound(self):
        return {
            address: device.driver.name
            for address, device in self.bus.devices.items()
            if device.driver is not None
        }

    def names(self, path):
        with suppress(OSError):
            return set(self.machine.listdir(path))
        return set()

    @invariant()
    def the_links_between_functions_and_drivers_agree(self):
        bound = self.bound()
        for name in DRIVERS:
            linked = {one for one in self.names(f"{BUS}/drivers/{name}") if one.startswith("0000:")}
            assert linked == {address for address in bound if bound[address] == name}
        for address in self.machine.devices("pci"):
            assert ("driver" in self.names(f"{BUS}/devices/{address}")) == (address in bound)

    @invariant()
    def an_override_is_what_was_written_last(self):
        for address in set(FUNCTIONS) & set(self.machine.devices("pci")):
            shown = self.machine.read(f"{BUS}/devices/{address}/driver_override")
            assert shown.strip() == self.overrides.get(address, "(null)")

    @invariant()
    def every_function_is_in_one_group_that_its_ordinary_drivers_use(self):
        bound = self.bound()
        seen = []
        for group in self.machine.kernel.iommu_groups.groups.values():
            members = [device.name for device in group.devices]
            seen += members
            shown = self.names(f"/sys/kernel/iommu_groups/{group.number}/devices")
            assert shown == set(members) != set()
            using = [address for address in members if bound.get(address) in ORDINARY]
            assert group.owner_count == len(using)
        assert sorted(seen) == self.machine.devices("pci")

    @invariant()
    def a_group_has_a_node_while_vfio_has_a_function_of_it(self):
        bound = self.bound()
        groups = {
            str(device.iommu_group.number)
            for address, device in self.bus.devices.items()
            if bound.get(address) == "vfio-pci"
        }
        assert self.names("/dev/vfio") - {"vfio"} == groups
        assert self.names("/sys/class/vfio") == groups

    @invariant()
    def vfio_devices_are_numbered_without_repetition(self):
        count = list(self.bound().values()).count("vfio-pci")
        assert len(self.names("/sys/class/vfio-dev")) == count

    @invariant()
    def functions_are_enabled_by_drivers_and_users_alone(self):
        bound = self.bound()
        for address in set(FUNCTIONS[:2]) & set(self.machine.devices("pci")):
            shown = int(self.machine.read(f"{BUS}/devices/{address}/enable"))
            wanted = self.enabled.get(address, 0) + (bound.get(address) == "uio_pci_generic")
            assert shown == wanted

    @invariant()
    def what_is_behind_the_bridge_goes_with_it(self):
        there = set(self.machine.devices("pci"))
        behind = there & BEHIND_BRIDGE
        assert BRIDGE in there or not behind
        assert ("0000:01" in self.names("/sys/class/pci_bus")) == (BRIDGE in there)
        assert len(self.names(f"{BUS}/slots")) == (32 if BRIDGE in there else 0)
        if BRIDGE in there:
            kids = self.machine.read(f"{BUS}/devices/{BRIDGE}/power/runtime_active_kids")
            status = [
                self.machine.read(f"{BUS}/devices/{one}/power/runtime_status") for one in behind
            ]
            assert int(kids) == status.count("active\n")

    @invariant()
    def nothing_stays_open(self):
        assert self.machine.leaks() == []


TestPciFunctions = PciFunctions.TestCase
TestPciFunctions.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
