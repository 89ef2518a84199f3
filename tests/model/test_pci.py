# SPDX-License-Identifier: Apache-2.0
"""PCI functions, their files and their drivers (drivers/pci, 6.1); cases L and M of the suites."""

import errno

import pytest

from harness.drivers.pci import PciDriver, PciId, pci_register_driver
from harness.hardware import pci_config as cfg
from harness.kernel.errors import Errno
from harness.kernel.task import Credentials, LocalCaller
from harness.machine import load_machine
from harness.uapi.fs import O_RDONLY, O_RDWR, O_WRONLY, PAGE_SIZE

MACHINE = """
schema: 1
profile: "6.1"
cpu: {nodes: {0: "0-1", 1: "2-3"}}
pci:
  - slot: "0000:00:01.0"
    id: "1234:5678"
    subsystem: "8086:0001"
    class: 0x088000
    revision: 3
    command: 0x0100
    numa_node: 1
    bars:
      0: {size: 0x2000, address: 0xfebe0000, prefetchable: true, bits: 64}
      2: {size: 0x10, address: 0xc040, kind: io}
      3: {size: 0x1000, address: 0xfebd0000}
    capabilities:
      - {kind: pcie, at: 0x40, flags: 0x0092, device: 0x10008000}
      - {kind: msix, at: 0x80, vectors: 4, table: 0x1000, pba: 0x1800}
      - {kind: pm, at: 0x90, control: 8}
  - slot: "0000:00:02.0"
    id: "1234:5679"
    class: 0xff00
    firmware_node: LNXSYSTM:00/device:01
  - slot: "0000:00:03.0"
    id: "1b36:000e"
    class: 0x060400
    config: "00000000 00000000 00000000 00000100 00000000 00000000 00010100"
    children:
      - slot: "0000:01:00.0"
        id: "1234:567a"
"""
#: The header of one of several functions in a slot.
MULTI = "00000000 00000000 00000000 00008000"
FIRST, SECOND, BRIDGE, CHILD = "0000:00:01.0", "0000:00:02.0", "0000:00:03.0", "0000:01:00.0"
DEVICES = "/sys/bus/pci/devices"
DRIVER = "/sys/bus/pci/drivers/toy"


class ToyDriver(PciDriver):
    """Takes 1234:5678; refuses with ``error`` when it is set."""

    name = "toy"
    id_table = (PciId(0x1234, 0x5678, driver_data=7),)
    error = 0

    def probe(self, device):
        if self.error:
            raise Errno(self.error)
        self.probed = device.id
        device.pci_enable_device()
        device.pci_set_master()
        device.dma_set_mask_and_coherent(64)

    def remove(self, device):
        device.pci_disable_device()


@pytest.fixture
def machine(tmp_path):
    path = tmp_path / "toys.yaml"
    path.write_text(MACHINE)
    return load_machine(path)


@pytest.fixture
def driver(machine):
    driver = ToyDriver(machine.kernel, machine.kernel.buses["pci"])
    pci_register_driver(driver)
    return driver


@pytest.fixture
def pci(machine):
    """The functions by address."""
    return machine.kernel.buses["pci"].devices


@pytest.fixture
def fails(machine):
    """Assert that a write fails with an error."""

    def write(number, path, text):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is looked at
            machine.write(path, text)
        assert caught.value.errno == number

    return write


def bound_to(machine, address):
    tree = machine.tree(f"{DEVICES}/{address}/")
    return next(
        (node["link"].split("/")[-1] for path, node in tree.items() if path.endswith("/driver")),
        None,
    )


class TestDecoding:
    def test_identity_comes_from_configuration_space(self, machine):
        shown = {
            name: machine.read(f"{DEVICES}/{FIRST}/{name}").strip()
            for name in (
                "vendor",
                "device",
                "subsystem_vendor",
                "subsystem_device",
                "class",
                "revision",
            )
        }
        assert shown == {
            "vendor": "0x1234",
            "device": "0x5678",
            "subsystem_vendor": "0x8086",
            "subsystem_device": "0x0001",
            "class": "0x088000",
            "revision": "0x03",
        }

    def test_uevent_has_no_zero_padding_in_front_of_the_class(self, machine):
        assert machine.read(f"{DEVICES}/{SECOND}/uevent").splitlines() == [
            "PCI_CLASS=FF00",
            "PCI_ID=1234:5679",
            "PCI_SUBSYS_ID=0000:0000",
            f"PCI_SLOT_NAME={SECOND}",
            "MODALIAS=pci:v00001234d00005679sv00000000sd00000000bc00scFFi00",
        ]

    def test_resources(self, machine):
        lines = machine.read(f"{DEVICES}/{FIRST}/resource").splitlines()
        assert len(lines) == 13
        assert lines[0] == "0x00000000febe0000 0x00000000febe1fff 0x000000000014220c"
        assert lines[2] == "0x000000000000c040 0x000000000000c04f 0x0000000000040101"
        assert lines[3] == "0x00000000febd0000 0x00000000febd0fff 0x0000000000040200"
        assert set(lines[4:]) == {"0x0000000000000000 0x0000000000000000 0x0000000000000000"}

    def test_resource_files_are_those_of_the_bars(self, machine):
        tree = machine.tree(f"/sys/devices/pci0000:00/{FIRST}")
        files = {
            path.rpartition("/")[2]: (node["mode"], node["size"])
            for path, node in tree.items()
            if "/resource" in path and not path.endswith("/resource")
        }
        assert files == {
            "resource0": ("0o600", 0x2000),
            "resource0_wc": ("0o600", 0x2000),
            "resource2": ("0o600", 0x10),
            "resource3": ("0o600", 0x1000),
        }

    def test_config_size_tells_pcie(self, machine):
        tree = machine.tree("/sys/devices/pci0000:00")
        sizes = {path: node["size"] for path, node in tree.items() if path.endswith("/config")}
        assert sizes == {
            f"/sys/devices/pci0000:00/{FIRST}/config": 4096,
            f"/sys/devices/pci0000:00/{SECOND}/config": 256,
            f"/sys/devices/pci0000:00/{BRIDGE}/config": 256,
            f"/sys/devices/pci0000:00/{BRIDGE}/{CHILD}/config": 256,
        }

    def test_a_node_has_its_cpus(self, machine):
        assert machine.read(f"{DEVICES}/{FIRST}/local_cpulist") == "2-3\n"
        assert machine.read(f"{DEVICES}/{FIRST}/local_cpus") == "c\n"
        assert machine.read(f"{DEVICES}/{SECOND}/local_cpulist") == "0-3\n"


class TestLink:
    """max_link_* and current_link_* of an endpoint, and of one inside the root complex."""

    @pytest.mark.parametrize(
        ("flags", "shown"),
        [
            (0x0002, ["8.0 GT/s PCIe", "16", "2.5 GT/s PCIe", "4"]),
            (0x0092, ["Unknown", "255", "Unknown", "0"]),
        ],
    )
    def test_link(self, tmp_path, flags, shown):
        path = tmp_path / "toys.yaml"
        values = f"flags: {flags}, link: 0x103, link_status: 0x41"
        path.write_text(
            'schema: 1\nprofile: "6.1"\npci:\n'
            f'  - {{slot: "{FIRST}", capabilities: [{{kind: pcie, at: 0x40, {values}}}]}}\n'
        )
        machine = load_machine(path)
        names = ("max_link_speed", "max_link_width", "current_link_speed", "current_link_width")
        assert [machine.read(f"{DEVICES}/{FIRST}/{name}").strip() for name in names] == shown


class TestBridge:
    def test_what_is_behind_it_is_in_its_directory(self, machine):
        tree = machine.tree(DEVICES)
        assert tree[f"{DEVICES}/{CHILD}"] == {
            "link": f"../../../devices/pci0000:00/{BRIDGE}/{CHILD}"
        }
        assert machine.read(f"{DEVICES}/{BRIDGE}/secondary_bus_number") == "1\n"
        assert len(machine.read(f"{DEVICES}/{BRIDGE}/resource").splitlines()) == 17

    def test_both_buses_are_of_class_pci_bus(self, machine):
        tree = machine.tree("/sys/class/pci_bus")
        assert [node["link"] for node in tree.values()] == [
            "../../devices/pci0000:00/pci_bus/0000:00",
            f"../../devices/pci0000:00/{BRIDGE}/pci_bus/0000:01",
        ]
        device = f"/sys/devices/pci0000:00/{BRIDGE}/pci_bus/0000:01/device"
        assert machine.tree(device)[device] == {"link": f"../../../{BRIDGE}"}

    def test_removing_it_takes_all_away_and_rescan_brings_all_back(self, machine):
        before = machine.tree()
        machine.write(f"{DEVICES}/{BRIDGE}/remove", "1")
        assert machine.devices("pci") == [FIRST, SECOND]
        assert [path for path in machine.tree() if BRIDGE in path] == []
        machine.write("/sys/bus/pci/rescan", "1")
        assert machine.tree() == before

    def test_enabling_what_is_behind_it_enables_it(self, machine):
        machine.write(f"{DEVICES}/{CHILD}/enable", "1")
        assert machine.read(f"{DEVICES}/{BRIDGE}/enable") == "1\n"

    def test_a_child_alone_can_be_reset_by_its_bus(self, machine):
        assert machine.read(f"{DEVICES}/{CHILD}/reset_method") == "bus\n"

    def test_reset_subordinate(self, machine, fails, pci):
        fails(errno.EINVAL, f"{DEVICES}/{BRIDGE}/reset_subordinate", "x")
        resets = []
        pci[CHILD].function.reset = lambda: resets.append(CHILD)
        machine.write(f"{DEVICES}/{BRIDGE}/reset_subordinate", "0")
        assert resets == []
        machine.write(f"{DEVICES}/{BRIDGE}/reset_subordinate", "1")
        assert resets == [CHILD]


class TestConfig:
    @pytest.fixture
    def opened(self, machine):
        def open_it(caller, flags=O_RDONLY):
            node = machine.kernel.walk(caller, f"{DEVICES}/{FIRST}/config")
            return machine.kernel.call(caller, "open", node, flags)

        return open_it

    @pytest.mark.parametrize(("capabilities", "size"), [(0, 64), (1 << 21, 4096)])
    def test_how_much_the_opener_may_read(self, machine, opened, capabilities, size):
        caller = LocalCaller(Credentials(capabilities=capabilities))
        file = opened(caller)
        assert len(machine.kernel.call(caller, "read", file, 0, 8192)) == size
        assert machine.kernel.call(caller, "read", file, size, 4) == b""

    def test_the_opener_counts_not_the_reader(self, machine, opened):
        file = opened(LocalCaller())
        reader = LocalCaller(Credentials(uid=1, capabilities=0))
        assert len(machine.kernel.call(reader, "read", file, 0, 8192)) == 4096

    @pytest.mark.parametrize(
        ("offset", "count", "widths"),
        [
            (0, 8, [4, 4]),
            (1, 1, [1]),
            (1, 7, [1, 2, 4]),
            (2, 2, [2]),
            (3, 4, [1, 2, 1]),
            (4, 3, [2, 1]),
        ],
    )
    def test_accesses_are_aligned(self, machine, opened, pci, offset, count, widths):
        function, seen = pci[FIRST].function, []
        read = function.config_read
        function.config_read = lambda at, size: seen.append(size) or read(at, size)
        caller = LocalCaller()
        content = machine.kernel.call(caller, "read", opened(caller), offset, count)
        assert seen == widths
        assert content == bytes(function.config[offset : offset + count])

    def test_writing_arrives_in_the_function(self, machine, opened, pci):
        caller = LocalCaller()
        file = opened(caller, O_RDWR)
        assert machine.kernel.call(caller, "write", file, cfg.COMMAND, b"\x02\x00") == 2
        assert pci[FIRST].pci_read_config(cfg.COMMAND, 2) == 2

    def test_writing_past_the_end(self, machine, opened):
        caller = LocalCaller()
        with pytest.raises(Errno) as caught:
            machine.kernel.call(caller, "write", opened(caller, O_WRONLY), 4096, b"x")
        assert caught.value.errno == errno.EFBIG


class TestResourceFiles:
    @pytest.fixture
    def opened(self, machine):
        def open_it(name):
            caller = LocalCaller()
            node = machine.kernel.walk(caller, f"{DEVICES}/{FIRST}/{name}")
            return machine.kernel.call(caller, "open", node, O_RDWR)

        return open_it

    def refused(self, machine, *call):
        with pytest.raises(Errno) as caught:
            machine.kernel.call(LocalCaller(), *call)
        return caught.value.errno

    def test_memory_has_no_read_and_write(self, machine, opened):
        file = opened("resource0")
        assert self.refused(machine, "read", file, 0, 4) == errno.EIO
        assert self.refused(machine, "write", file, 0, b"1234") == errno.EIO

    @pytest.mark.parametrize(
        ("offset", "length", "fits"),
        [
            (0, PAGE_SIZE, True),
            (0, 2 * PAGE_SIZE, True),
            (PAGE_SIZE, 1, True),
            (PAGE_SIZE, PAGE_SIZE + 1, False),
            (2 * PAGE_SIZE, 1, False),
            (0, 3 * PAGE_SIZE, False),
        ],
    )
    def test_mapping_must_fit(self, machine, opened, offset, length, fits):
        call = ("mmap", opened("resource0"), offset, length, 3, 1)
        if fits:
            assert machine.kernel.call(LocalCaller(), *call).length == length
        else:
            assert self.refused(machine, *call) == errno.EINVAL

    def test_a_mapping_is_the_bar(self, machine, opened, pci):
        stores = []
        function = pci[FIRST].function
        function.store = lambda *arguments: stores.append(arguments)
        function.load = lambda bar, offset, size: 0x1234
        pages = machine.kernel.call(LocalCaller(), "mmap", opened("resource0"), 4096, 4096, 3, 1)
        pages.store(8, b"\x01\x02\x03\x04")
        assert stores == [(0, 4096 + 8, 4, 0x04030201)]
        assert pages.load(0, 4) == b"\x34\x12\0\0"

    def test_ports_take_1_2_or_4_bytes(self, machine, opened, pci):
        function = pci[FIRST].function
        function.load = lambda bar, offset, size: bar << 4 | offset
        file = opened("resource2")
        assert machine.kernel.call(LocalCaller(), "read", file, 5, 2) == b"\x25\0"
        assert self.refused(machine, "read", file, 0, 3) == errno.EINVAL
        assert self.refused(machine, "write", file, 0, b"123") == errno.EINVAL
        assert machine.kernel.call(LocalCaller(), "read", file, 16, 1) == b""

    def test_ports_cannot_be_mapped(self, machine, opened):
        assert self.refused(machine, "mmap", opened("resource2"), 0, 16, 3, 1) == errno.ENODEV


class TestEnable:
    def test_enabling_decodes_the_bars(self, machine, pci):
        machine.write(f"{DEVICES}/{FIRST}/enable", "1")
        assert pci[FIRST].pci_read_config(cfg.COMMAND, 2) == 0x0103
        assert machine.read(f"{DEVICES}/{FIRST}/enable") == "1\n"
        assert machine.read(f"{DEVICES}/{FIRST}/power_state") == "D0\n"

    def test_enabling_counts(self, machine):
        path = f"{DEVICES}/{FIRST}/enable"
        machine.write(path, "1")
        machine.write(path, "1")
        assert machine.read(path) == "2\n"
        machine.write(path, "0")
        assert machine.read(path) == "1\n"

    def test_errors(self, machine, fails, driver):
        path = f"{DEVICES}/{SECOND}/enable"
        fails(errno.EINVAL, path, "x")
        fails(errno.EIO, path, "0")
        fails(errno.EBUSY, f"{DEVICES}/{FIRST}/enable", "0")

    def test_a_function_in_d3hot_is_powered_up(self, machine, pci):
        device = pci[FIRST]
        device.pci_write_config(0x94, 2, 3)
        machine.write(f"{DEVICES}/{FIRST}/enable", "1")
        assert device.pci_read_config(0x94, 2) & 3 == 0


class TestNumbers:
    @pytest.mark.parametrize(
        ("name", "good", "shown"),
        [
            ("broken_parity_status", "5", "1\n"),
            ("msi_bus", "0", "0\n"),
            ("d3cold_allowed", "0", "0\n"),
            ("numa_node", "0", "0\n"),
            ("numa_node", "-1", "-1\n"),
        ],
    )
    def test_stored(self, machine, name, good, shown):
        machine.write(f"{DEVICES}/{FIRST}/{name}", good)
        assert machine.read(f"{DEVICES}/{FIRST}/{name}") == shown

    @pytest.mark.parametrize(
        ("name", "bad"),
        [
            ("broken_parity_status", "x"),
            ("msi_bus", """ """),
            ("d3cold_allowed", "99999999999999999999"),
            ("numa_node", "2"),
            ("numa_node", "-2"),
            ("numa_node", "1024"),
            ("numa_node", "x"),
            ("remove", "q"),
            ("rescan", "q"),
            ("reset", "0"),
            ("reset", "2"),
            ("reset", "x"),
        ],
    )
    def test_einval(self, fails, name, bad):
        fails(errno.EINVAL, f"{DEVICES}/{FIRST}/{name}", bad)

    @pytest.mark.parametrize("name", ["enable", "msi_bus", "numa_node"])
    def test_eperm_without_the_capability_comes_first(self, machine, name):
        caller = LocalCaller(Credentials(capabilities=0))
        node = machine.kernel.walk(caller, f"{DEVICES}/{FIRST}/{name}")
        file = machine.kernel.call(caller, "open", node, O_WRONLY)
        with pytest.raises(Errno) as caught:
            machine.kernel.call(caller, "write", file, 0, b"x")
        assert caught.value.errno == errno.EPERM


class TestReset:
    def test_methods(self, machine, pci):
        assert machine.read(f"{DEVICES}/{FIRST}/reset_method") == "flr\n"
        assert f"{DEVICES}/{SECOND}/reset" not in machine.tree(f"{DEVICES}/{SECOND}/")

    def test_reset_restores_what_the_kernel_saved(self, machine, pci):
        device = pci[FIRST]
        device.pci_enable_device()
        before = device.pci_read_config(cfg.COMMAND, 2)
        machine.write(f"{DEVICES}/{FIRST}/reset", "1")
        assert device.pci_read_config(cfg.COMMAND, 2) == before

    def test_disabled(self, machine, fails):
        path = f"{DEVICES}/{FIRST}/reset_method"
        machine.write(path, "\n")
        assert machine.read(path) == ""
        fails(errno.ENOTTY, f"{DEVICES}/{FIRST}/reset", "1")
        machine.write(path, "default\n")
        assert machine.read(path) == "flr\n"

    @pytest.mark.parametrize("text", ["pm", "nonesuch", "flr pm"])
    def test_unsupported_changes_nothing(self, machine, fails, text):
        fails(errno.EINVAL, f"{DEVICES}/{FIRST}/reset_method", text)
        assert machine.read(f"{DEVICES}/{FIRST}/reset_method") == "flr\n"


class TestMatching:
    def test_a_new_driver_takes_what_its_table_has(self, machine, driver):
        assert bound_to(machine, FIRST) == "toy"
        assert bound_to(machine, SECOND) is None
        assert driver.probed.driver_data == 7

    def test_what_binding_shows(self, machine, driver):
        assert machine.read(f"{DEVICES}/{FIRST}/uevent").startswith("DRIVER=toy\n")
        assert machine.read(f"{DEVICES}/{FIRST}/power/runtime_usage") == "2\n"
        assert machine.read(f"{DEVICES}/{FIRST}/dma_mask_bits") == "64\n"
        machine.write(f"{DRIVER}/unbind", FIRST)
        assert machine.read(f"{DEVICES}/{FIRST}/power/runtime_usage") == "1\n"
        assert machine.read(f"{DEVICES}/{FIRST}/enable") == "0\n"

    def test_a_failed_probe_leaves_no_trace(self, machine, driver, fails):
        machine.write(f"{DRIVER}/unbind", FIRST)
        before = machine.tree(f"{DEVICES}/{FIRST}/")
        driver.error = errno.EIO
        fails(errno.EIO, f"{DRIVER}/bind", FIRST)
        assert machine.tree(f"{DEVICES}/{FIRST}/") == before

    def test_waiting_for_supplier_ends_with_the_first_driver(self, machine, driver):
        path = f"/sys/devices/pci0000:00/{SECOND}/waiting_for_supplier"
        assert machine.read(path) == "0\n"
        machine.write(f"{DEVICES}/{SECOND}/driver_override", "toy")
        machine.write(f"{DRIVER}/bind", SECOND)
        assert path not in machine.tree()
        machine.write(f"{DRIVER}/unbind", SECOND)
        assert path not in machine.tree()

    def test_bind_and_unbind_errors(self, machine, driver, fails):
        fails(errno.EBUSY, f"{DRIVER}/bind", FIRST)
        fails(errno.ENODEV, f"{DRIVER}/bind", SECOND)
        fails(errno.ENODEV, f"{DRIVER}/bind", "0000:55:00.0")
        fails(errno.ENODEV, f"{DRIVER}/unbind", SECOND)

    def test_driver_override_excludes_and_includes(self, machine, driver, fails):
        machine.write(f"{DRIVER}/unbind", FIRST)
        machine.write(f"{DEVICES}/{FIRST}/driver_override", "other")
        fails(errno.ENODEV, f"{DRIVER}/bind", FIRST)
        assert machine.write("/sys/bus/pci/drivers_probe", FIRST) == len(FIRST)
        assert bound_to(machine, FIRST) is None
        machine.write(f"{DEVICES}/{SECOND}/driver_override", "toy\n")
        machine.write("/sys/bus/pci/drivers_probe", SECOND)
        assert bound_to(machine, SECOND) == "toy"

    def test_driver_override_text(self, machine, fails):
        path = f"{DEVICES}/{FIRST}/driver_override"
        assert machine.read(path) == "(null)\n"
        machine.write(path, "vfio-pci\nmore")
        assert machine.read(path) == "vfio-pci\n"
        machine.write(path, "\n")
        assert machine.read(path) == "(null)\n"
        fails(errno.EINVAL, path, "a" * 4095)


class TestNewId:
    def test_binds_at_once(self, machine, driver):
        assert machine.write(f"{DRIVER}/new_id", "1234 5679 ffffffff ffffffff 0 0 7") == 33
        assert bound_to(machine, SECOND) == "toy"

    @pytest.mark.parametrize("text", ["\n", "zzzz", "1234", "1234 xyz"])
    def test_fewer_than_two_numbers(self, driver, fails, text):
        fails(errno.EINVAL, f"{DRIVER}/new_id", text)
        fails(errno.EINVAL, f"{DRIVER}/remove_id", text)

    def test_what_is_there_already(self, machine, driver, fails):
        fails(errno.EEXIST, f"{DRIVER}/new_id", "1234 5678")

    def test_driver_data_must_be_known(self, driver, fails):
        fails(errno.EINVAL, f"{DRIVER}/new_id", "dead bee0 ffffffff ffffffff 0 0 8")
        fails(errno.EINVAL, f"{DRIVER}/new_id", "dead bee0")

    def test_numbers_are_cut_to_32_bits(self, machine, driver):
        machine.write(f"{DRIVER}/new_id", "100001234 5679 ffffffff ffffffff 0 0 7")
        assert bound_to(machine, SECOND) == "toy"

    def test_twice(self, machine, driver, fails):
        driver.id_table = ()
        machine.write(f"{DRIVER}/new_id", "1234 5679")
        fails(errno.EEXIST, f"{DRIVER}/new_id", "1234 5679")

    def test_remove_id(self, machine, driver, fails):
        machine.write(f"{DRIVER}/new_id", "1234 5679 ffffffff ffffffff 0 0 7")
        fails(errno.ENODEV, f"{DRIVER}/remove_id", "dead beef")
        fails(errno.ENODEV, f"{DRIVER}/remove_id", "1234 5678")  # of the table, not a dynamic one
        machine.write(f"{DRIVER}/remove_id", "1234 5679")
        assert bound_to(machine, SECOND) == "toy"
        fails(errno.ENODEV, f"{DRIVER}/remove_id", "1234 5679")


class TestRemoval:
    def test_a_removed_function_is_found_again(self, machine, driver):
        before = machine.tree()
        machine.write(f"{DEVICES}/{FIRST}/remove", "1")
        assert machine.devices("pci") == [SECOND, BRIDGE, CHILD]
        machine.write(f"{DEVICES}/{SECOND}/rescan", "1")
        assert machine.tree() == before

    def test_an_open_attribute_dies(self, machine):
        caller = LocalCaller()
        node = machine.kernel.walk(caller, f"{DEVICES}/{FIRST}/vendor")
        file = machine.kernel.call(caller, "open", node, O_RDONLY)
        machine.write(f"{DEVICES}/{FIRST}/remove", "1")
        with pytest.raises(Errno) as caught:
            machine.kernel.call(caller, "read", file, 0, 10)
        assert caught.value.errno == errno.ENODEV

    def test_zero_does_nothing(self, machine):
        before = machine.tree()
        machine.write(f"{DEVICES}/{FIRST}/remove", "0")
        machine.write(f"{DEVICES}/{FIRST}/rescan", "0")
        machine.write("/sys/bus/pci/rescan", "0")
        assert machine.tree() == before

    def test_a_found_function_is_bound_even_without_autoprobe(self, machine, driver):
        machine.write("/sys/bus/pci/drivers_autoprobe", "0")
        machine.write(f"{DEVICES}/{FIRST}/remove", "1")
        machine.write("/sys/class/pci_bus/0000:00/rescan", "1")
        assert bound_to(machine, FIRST) == "toy"

    def test_uevents(self, machine, driver):
        start = len(machine.uevents)
        machine.write(f"{DEVICES}/{FIRST}/remove", "1")
        machine.write("/sys/bus/pci/rescan", "1")
        path = f"/devices/pci0000:00/{FIRST}"
        assert [(event.action, event.devpath) for event in machine.uevents[start:]] == [
            ("unbind", path),
            ("remove", path),
            ("add", path),
            ("bind", path),
        ]


class TestMsix:
    @pytest.fixture
    def device(self, pci):
        return pci[FIRST]

    def test_allocating_turns_it_on(self, device):
        assert device.pci_msix_vec_count() == 4
        assert device.pci_alloc_irq_vectors(1, 16) == 4
        assert device.pci_read_config(0x82, 2) == 0x8003
        assert device.pci_read_config(cfg.COMMAND, 2) & cfg.COMMAND_INTX_DISABLE
        device.pci_free_irq_vectors()
        assert device.pci_read_config(0x82, 2) == 0x0003
        assert not device.pci_read_config(cfg.COMMAND, 2) & cfg.COMMAND_INTX_DISABLE

    def test_errors(self, device, pci):
        with pytest.raises(Errno) as caught:
            device.pci_alloc_irq_vectors(5, 16)
        assert caught.value.errno == errno.ENOSPC
        for call in (
            pci[SECOND].pci_msix_vec_count,
            lambda: pci[SECOND].pci_alloc_irq_vectors(1, 1),
        ):
            with pytest.raises(Errno) as caught:
                call()
            assert caught.value.errno == errno.EINVAL
        device.no_msi = True
        with pytest.raises(Errno) as caught:
            device.pci_alloc_irq_vectors(1, 1)
        assert caught.value.errno == errno.EINVAL

    def test_an_interrupt_arrives(self, machine, device):
        got = []
        device.pci_alloc_irq_vectors(1, 16)
        device.request_irq(2, got.append)
        with pytest.raises(Errno) as caught:
            device.request_irq(2, got.append)
        assert caught.value.errno == errno.EBUSY
        device.function.interrupt(2)
        device.free_irq(2)
        device.function.interrupt(2)
        assert got == [2]
        assert [(entry.address, entry.vector) for entry in machine.interrupts] == [(FIRST, 2)] * 2


def test_resource_alignment(machine, fails):
    path = "/sys/bus/pci/resource_alignment"
    assert machine.read(path) == ""
    machine.write(path, "20@0000:00:01.0\nmore")
    assert machine.read(path) == "20@0000:00:01.0\n"
    machine.write(path, "\n")
    assert machine.read(path) == ""
    fails(errno.EINVAL, path, "a" * 4095)


class TestIommu:
    @pytest.fixture
    def machine(self, tmp_path):
        path = tmp_path / "toys.yaml"
        slots = ("0000:00:1f.0", "0000:00:1f.3")
        functions = "".join(
            f'  - {{slot: "{slot}", class: 0x060100, config: "{MULTI}"}}\n' for slot in slots
        )
        path.write_text(f"{MACHINE}{functions}iommu: {{type: DMA}}\n")
        return load_machine(path)

    def test_groups(self, machine):
        tree = machine.tree("/sys/kernel/iommu_groups")
        groups = {}
        for path, node in tree.items():
            number, kind, *name = path.removeprefix("/sys/kernel/iommu_groups/").split("/")
            if kind == "devices":
                groups.setdefault(number, []).extend(name)
                assert node["link"].startswith("../../../../devices/pci0000:00/")
        assert groups == {
            "0": [FIRST],
            "1": [SECOND],
            "2": [BRIDGE, CHILD],
            "3": ["0000:00:1f.0", "0000:00:1f.3"],
        }

    def test_links_of_a_function(self, machine):
        tree = machine.tree(f"/sys/devices/pci0000:00/{FIRST}")
        assert tree[f"/sys/devices/pci0000:00/{FIRST}/iommu_group"] == {
            "link": "../../../kernel/iommu_groups/0"
        }
        assert tree[f"/sys/devices/pci0000:00/{FIRST}/iommu"] == {
            "link": "../../virtual/iommu/dmar0"
        }
        assert machine.tree("/sys/class/iommu") == {
            "/sys/class/iommu/dmar0": {"link": "../../devices/virtual/iommu/dmar0"}
        }

    def test_reserved_regions(self, machine):
        path = "/sys/kernel/iommu_groups/{}/reserved_regions"
        msi = "0x00000000fee00000 0x00000000feefffff msi\n"
        assert machine.read(path.format(0)) == msi
        isa = "0x0000000000000000 0x0000000000ffffff direct-relaxable\n"
        assert machine.read(path.format(3)) == isa + msi

    def test_type(self, machine, driver, fails):
        path = "/sys/kernel/iommu_groups/{}/type"
        assert machine.read(path.format(1)) == "DMA\n"
        machine.write(path.format(1), "identity\n")
        assert machine.read(path.format(1)) == "identity\n"
        machine.write(path.format(1), "auto")
        assert machine.read(path.format(1)) == "DMA\n"
        fails(errno.EINVAL, path.format(1), "foo")
        fails(errno.EINVAL, path.format(2), "identity")  # a group of two
        fails(errno.EBUSY, path.format(0), "identity")  # a driver is bound
        machine.write(path.format(0), "DMA-FQ")
        assert machine.read(path.format(0)) == "DMA-FQ\n"

    @pytest.mark.parametrize("missing", [17, 21])
    def test_type_needs_two_capabilities(self, machine, missing):
        caller = LocalCaller(Credentials(capabilities=~(1 << missing)))
        node = machine.kernel.walk(caller, "/sys/kernel/iommu_groups/1/type")
        file = machine.kernel.call(caller, "open", node, O_WRONLY)
        with pytest.raises(Errno) as caught:
            machine.kernel.call(caller, "write", file, 0, b"foo")
        assert caught.value.errno == errno.EACCES

    def test_a_group_goes_with_its_last_function(self, machine):
        before = machine.tree()
        machine.write(f"{DEVICES}/{FIRST}/remove", "1")
        assert "/sys/kernel/iommu_groups/0/type" not in machine.tree()
        machine.write(f"{DEVICES}/{CHILD}/remove", "1")
        assert "/sys/kernel/iommu_groups/2/type" in machine.tree()
        machine.write("/sys/bus/pci/rescan", "1")
        assert machine.tree() == before


class TestSeldomFiles:
    """What functions of the machines that come along do not have, or hardly ever."""

    def load(self, tmp_path, functions):
        path = tmp_path / "seldom.yaml"
        path.write_text(f'schema: 1\nprofile: "6.1"\npci:\n{functions}')
        return load_machine(path)

    def test_the_first_vga_that_decodes_was_used_to_boot(self, tmp_path):
        display = "class: 0x030000, command: "
        machine = self.load(
            tmp_path,
            f'  - {{slot: "0000:00:01.0", id: "1234:1111", {display} 0}}\n'
            f'  - {{slot: "0000:00:02.0", id: "1234:1111", {display} 3}}\n'
            f'  - {{slot: "0000:00:03.0", id: "1234:1111", {display} 3}}\n'
            '  - {slot: "0000:00:04.0", id: "1234:1111", class: 0x038000}\n',
        )
        shown = [machine.read(f"{DEVICES}/0000:00:0{n}.0/boot_vga") for n in (1, 2, 3)]
        assert shown == ["0\n", "1\n", "0\n"]
        assert "boot_vga" not in machine.listdir(f"{DEVICES}/0000:00:04.0")

    def test_vital_product_data_is_never_ready(self, tmp_path, fails):
        config = "00" * 4 + "0000 1000" + "00" * 44 + "40" + "00" * 11 + "0300"
        machine = self.load(
            tmp_path, f'  - {{slot: "0000:00:01.0", id: "1234:1111", config: "{config}"}}\n'
        )
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is looked at
            machine.read(f"{DEVICES}/0000:00:01.0/vpd")
        assert caught.value.errno == errno.ENODEV

    def test_a_rom_is_read_after_something_was_written(self, tmp_path):
        machine = self.load(
            tmp_path,
            '  - {slot: "0000:00:01.0", id: "1234:1111", rom: {size: 0x800, address: 0x1000}}\n',
        )
        path = f"{DEVICES}/0000:00:01.0/rom"

        def number():
            with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is looked at
                machine.read(path)
            return caught.value.errno

        shown = machine.tree("/sys/devices/pci0000:00/0000:00:01.0")
        assert {"mode": "0o600", "size": 0x800} in shown.values()
        assert number() == errno.EINVAL
        machine.write(path, "1")
        assert number() == errno.EIO
        machine.write(path, "0\n")
        assert number() == errno.EINVAL
