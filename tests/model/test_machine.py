# SPDX-License-Identifier: Apache-2.0
"""Machine files become machines; what is wrong with them; the public object."""

import errno
import gc
import threading
from contextlib import suppress
from importlib import import_module, metadata

import pytest

from harness import data
from harness.kernel.clock import VirtualClock
from harness.kernel.module import BoolParameter, Module
from harness.machine import BUILTIN_MODULES, ENTRY_POINTS, MachineError, load_machine

GOOD = """\
schema: 1
profile: "6.1"
pci:
  - slot: "0000:00:01.0"
    id: "1234:5678"
    bars:
      0: {size: 0x1000, address: 0xfebd0000}
    capabilities:
      - {kind: msix, at: 0x80}
  - slot: "0000:00:02.0"
    present: false
"""
FIRST, SECOND = "0000:00:01.0", "0000:00:02.0"
#: Configuration space of a bridge whose buses are 1 and 2.
BRIDGE = f"'{'0000' * 7}0100{'0000' * 4}000102{'00' * 37}'"


@pytest.fixture
def write_file(tmp_path):
    def write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def machine(write_file):
    return load_machine(write_file(GOOD))


def changed(old, new):
    assert old in GOOD
    return GOOD.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            changed("schema: 1", "schema: 2"),
            ":1: schema: 2 is not a schema of machine files; allowed: 1",
        ),
        (changed("schema: 1\n", ""), ":1: schema is missing"),
        (changed('profile: "6.1"', "profile: 6.1"), ":2: profile: 6.1 is not text (in quotes)"),
        (
            changed('profile: "6.1"', 'profile: "9.9"'),
            f':2: profile: there is no profile "9.9"; known: {", ".join(data.profile_names())}',
        ),
        (changed("profile:", "profil:"), ":2: profil: unknown key; did you mean profile?"),
        (changed("pci:", "zzz: 1\npci:"), ":3: zzz: unknown key; allowed: schema, profile, name, "),
        (
            changed("    id:", "    kind: dsaa\n    id:"),
            ':5: pci[0].kind: "dsaa" is not a kind; allowed: ',
        ),
        (changed("id:", "idd:"), ":5: pci[0].idd: unknown key; did you mean id?"),
        (changed("1234:5678", "1234"), ':5: pci[0].id: "1234" is no id such as "8086:0b25"'),
        (
            changed(FIRST, "00:01.0"),
            ':4: pci[0].slot: "00:01.0" is no address such as "0000:6a:01.0"',
        ),
        (changed(SECOND, FIRST), f":10: pci[1].slot: {FIRST} is there twice"),
        (changed("false", "no"), ':11: pci[1].present: "no" is not true or false'),
        (changed("0x1000", "4k"), ':7: pci[0].bars[0].size: "4k" is not a number'),
        (changed("0x1000", "true"), ":7: pci[0].bars[0].size: true is not a number"),
        (changed("0x1000", "0x1001"), ":7: pci[0].bars[0]: a BAR's size is a power of two, "),
        (changed("      0:", "      6:"), ":7: pci[0].bars[6]: a BAR of 32 bits is number 0 to 5"),
        (
            changed("size:", "bits: 16, size:"),
            ":7: pci[0].bars[0].bits: 16 is no width; allowed: 32, 64",
        ),
        (
            changed("size:", "kind: rom, size:"),
            ':7: pci[0].bars[0].kind: "rom" is not a kind; allowed: ',
        ),
        (
            changed("kind: msix", "kind: msiy"),
            ':9: pci[0].capabilities[0].kind: "msiy" is not a capability',
        ),
        (
            changed("at: 0x80", "at: 0x81"),
            ":9: pci[0].capabilities[0].at: the offset `at` is a multiple",
        ),
        (changed(", at: 0x80", ""), ":9: pci[0].capabilities[0]: the offset `at` is a multiple"),
        (
            changed("at: 0x80", "at: 0x80, x: 1"),
            ":9: pci[0].capabilities[0].x: unknown key; allowed: ",
        ),
        (
            changed("at: 0x80", "at: 0x80, pba: -1"),
            ":9: pci[0].capabilities[0].pba: -1 is not a number that fits there",
        ),
        (
            changed("at: 0x80", "at: 0x80, data: xy"),
            ":9: pci[0].capabilities[0].data: not an even number",
        ),
        (
            changed("    id:", "    config: abc\n    id:"),
            ":5: pci[0].config: not an even number of ",
        ),
        (
            changed("    id:", "    slots: 33\n    id:"),
            ":5: pci[0].slots: it cannot be 33; allowed: 0 to 32",
        ),
        (
            changed("    id:", "    irq: -1\n    id:"),
            ":5: pci[0].irq: it cannot be -1; allowed: 0 to 2147483647",
        ),
        (
            changed("    id:", "    rom: {size: 1024}\n    id:"),
            ":5: pci[0].rom.size: it cannot be 1024; allowed: 2048 and more",
        ),
        (
            changed("    id:", "    rom: {size: 4096, address: 2048}\n    id:"),
            ":5: pci[0].rom: a BAR's size is a power of two, ",
        ),
        (
            changed("    id:", '    virtual_function: {config: "f"}\n    id:'),
            ":5: pci[0].virtual_function.config: not an even number of ",
        ),
        (
            changed("    id:", '    virtual_function: {config: "", bars: {6: {size: 1}}}\n    id:'),
            ":5: pci[0].virtual_function.bars[6]: a BAR of 32 bits is number 0 to 5",
        ),
        (changed("pci:", "modules: idxd\npci:"), ':3: modules: "idxd" is not a list'),
        (
            changed("pci:", "modules: [nonesuch]\npci:"),
            ':3: modules[0]: there is no module "nonesuch"; known: ',
        ),
        (changed("pci:", "iommu: true\npci:"), ":3: iommu: true is not a mapping"),
        (
            changed("pci:", 'cpu: {nodes: {0: "a"}}\npci:'),
            ':3: cpu.nodes[0]: "a" is no list of CPUs such as',
        ),
        (
            changed("pci:", "extra: {/tmp/x: {}}\npci:"),
            ":3: extra./tmp/x: a recorded path begins with /sys/",
        ),
        (
            changed("pci:", "extra: {/sys/bus/pci/rescan: {text: a}}\npci:"),
            ":3: extra./sys/bus/pci/rescan: it cannot be made: EEXIST",
        ),
        (
            changed("    id:", "    kind: dsa\n    registers: {max_engine: 4}\n    id:"),
            ":6: pci[0].registers.max_engine: unknown key; did you mean max_engines?",
        ),
        (
            changed("    id:", "    kind: dsa\n    registers: {max_engines: many}\n    id:"),
            ":6: pci[0].registers.max_engines: 'many' is not a number",
        ),
        (changed("pci:", "memory: 0\npci:"), ":3: memory: it cannot be 0; allowed: 1 and more"),
        (changed("pci:", 'name: ""\npci:'), ':3: name: "" is no name in one line'),
        (
            changed("pci:", 'description: "\\ud800"\npci:'),
            ':3: description: "\\ud800" has half of a pair of surrogates in it',
        ),
        (changed("pci:", "description: 2020-13-45\npci:"), ":3: month must be in 1..12"),
        (changed("pci:", f"seed: {'9' * 5000}\npci:"), ":3: Exceeds the limit (4300 digits)"),
        (changed("pci:", f"seed: {'[' * 5000}\npci:"), ":1: lists and mappings are too deep in "),
        (changed("pci:", "extra: !!omap [a: 1]\npci:"), ":3: extra.a: 1 is not a mapping"),
        (
            changed("    id:", "    children: &a [{slot: x, children: *a}]\n    id:"),
            ": children of ",
        ),
        (changed("    id:", "    class: -1\n    id:"), ":5: pci[0].class: it cannot be -1; "),
        (
            changed("    id:", "    revision: 256\n    id:"),
            ":5: pci[0].revision: it cannot be 256; ",
        ),
        (changed("    id:", "    command: 0x10000\n    id:"), ":5: pci[0].command: it cannot be "),
        (
            changed("    id:", "    numa_node: -2\n    id:"),
            ":5: pci[0].numa_node: it cannot be -2; ",
        ),
        (
            changed("    id:", "    firmware_node: a/../b\n    id:"),
            ':5: pci[0].firmware_node: ".." in a path is no name of 1 to 255 bytes',
        ),
        (
            changed("    id:", f"    config: {'a' * 8194}\n    id:"),
            ":5: pci[0].config: more than 4096 ",
        ),
        (
            changed("    id:", "    children: [{slot: 0000:01:00.0}]\n    id:"),
            ":5: pci[0].children: only a bridge, by the header in config, has children",
        ),
        (
            changed(
                "    id:", f"    config: {BRIDGE}\n    children: [{{slot: 0000:03:00.0}}]\n    id:"
            ),
            ":6: pci[0].children[0].slot: 0000:03:00.0 is not on one of the bridge's buses, ",
        ),
        (
            changed("present: false", f"config: {BRIDGE}").replace(
                "    id:", f"    config: {BRIDGE}\n    id:"
            ),
            ":12: pci[1].config: the bus behind this bridge, 0000:01, is there already",
        ),
        (changed("0x1000", "0x100000000"), ":7: pci[0].bars[0]: a BAR's size is a power of two, "),
        (
            changed("0xfebd0000", "-4096"),
            ":7: pci[0].bars[0]: a BAR's size is a power of ",
        ),
        (
            changed("size:", "kind: io, bits: 64, size:"),
            ":7: pci[0].bars[0].bits: 64 is no width; allowed: 32",
        ),
        (
            changed("      0:", "      1: {size: 16}\n      0:").replace("0: {", "0: {bits: 64, "),
            ":7: pci[0].bars[1]: BAR 0 has 64 bits and is BAR 1, too",
        ),
        (
            changed("    id:", "    rom: {size: 4096, image_size: 8192}\n    id:"),
            ":5: pci[0].rom.image_size: it cannot be 8192; allowed: 0 to 4096",
        ),
        (
            changed("    id:", '    virtual_function: {config: "", bars: {0: {size: 3}}}\n    id:'),
            ":5: pci[0].virtual_function.bars[0]: a BAR's size is a power of two, ",
        ),
        (
            changed("at: 0x80", "at: 0x80, vectors: 2049"),
            ":9: pci[0].capabilities[0].vectors: 2049 is not a number that fits there",
        ),
        (
            changed("at: 0x80", "at: 0xf8"),
            ":9: pci[0].capabilities[0].at: the capability does not end before 0x100",
        ),
        (
            changed("pci:", "iommu: {address_width: 5}\npci:"),
            ":3: iommu.address_width: 5 is no width; ",
        ),
        (changed("pci:", "cpu: {nodes: {}}\npci:"), ":3: cpu.nodes: a machine has CPUs; write: "),
        (changed("pci:", "cpu: {nodes: {-1: '0'}}\npci:"), ":3: cpu.nodes[-1]: it cannot be -1; "),
        (
            changed("pci:", "cpu: {nodes: {0: 5-3}}\npci:"),
            ":3: cpu.nodes[0]: 5-3 is no range below 8192",
        ),
        (
            changed("pci:", "cpu: {nodes: {0: 0-99999999}}\npci:"),
            ":3: cpu.nodes[0]: 0-99999999 is no range below 8192",
        ),
        (
            changed("pci:", "extra: {/sys/a: {mode: -1}}\npci:"),
            ":3: extra./sys/a.mode: it cannot be -1",
        ),
        (
            changed("pci:", 'extra: {"/sys/a\\0b": {}}\npci:'),
            r':3: extra./sys/a\x00b: "a\x00b" in a path is no name of 1 to 255 bytes',
        ),
        (
            changed("pci:", "extra: {/sys//a: {}}\npci:"),
            ':3: extra./sys//a: "" in a path is no name',
        ),
        (
            changed("    id:", "    registers: {foo: 1}\n    id:"),
            ':5: pci[0].registers: a device of kind "function" takes none',
        ),
        (
            changed("    id:", "    kind: registers\n    registers: {bar0: {a: 1}}\n    id:"),
            ":6: pci[0].registers: bar0: 'a' and 1 are not both numbers",
        ),
        (
            changed("    id:", "    kind: dsa\n    registers: {max_engines: 256}\n    id:"),
            ":6: pci[0].registers: max_engines takes numbers of 8 bits, not 256",
        ),
        (
            changed(
                "    id:", "    kind: dsa\n    registers: {wqcfg: {0: [0x100000000]}}\n    id:"
            ),
            ":6: pci[0].registers: wqcfg takes numbers of 32 bits, not 4294967296",
        ),
        (
            changed("    id:", "    kind: e1000e\n    id:").replace("0x1000", "16"),
            ":7: pci[0].bars: BAR 0 is needed, with 0x14 bytes",
        ),
        (changed("id:", "id: 1\n    id:"), ":6: found duplicate key"),
        (changed("pci:", "pci: ["), ":4: "),
        ("[]\n", ":1: [] is not a mapping"),
        ("", ":1: null is not a mapping"),
    ],
)
def test_each_problem_is_one_line_with_its_place(write_file, text, message):
    path = write_file(text)
    with pytest.raises(MachineError) as caught:
        load_machine(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


def test_an_unknown_name_names_the_known():
    with pytest.raises(MachineError) as caught:
        load_machine("spr-3s")
    known = ", ".join(data.machine_names())
    assert (
        str(caught.value) == f'there is no machine "spr-3s"; known: {known}; or name a .yaml file'
    )


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(MachineError, match="No such file or directory"):
        load_machine(tmp_path / "nonesuch.yaml")


def test_an_unknown_profile_that_was_asked_for(write_file):
    with pytest.raises(MachineError, match=r'^there is no profile "9\.9"; known: '):
        load_machine(write_file(GOOD), profile="9.9")


@pytest.mark.parametrize("name", data.machine_names())
@pytest.mark.parametrize("profile", data.profile_names())
def test_every_machine_that_comes_along_starts_on_every_profile(name, profile):
    machine = load_machine(name, profile=profile)
    assert (machine.name, machine.profile.name) == (name, profile)
    assert machine.description
    assert machine.leaks() == []


@pytest.mark.parametrize("profile", data.profile_names())
def test_no_section_of_a_profile_is_for_nobody(profile):
    machines = [load_machine(name, profile=profile) for name in data.machine_names()]
    claimed = set().union(*(machine.profile.claimed for machine in machines))
    # What these extend has the samples' section; they have no samples that it could be for.
    inherited = {"samples"} if profile in ("rfc-v1", "rfc-v2") else set()
    assert claimed | inherited == set(data.load_profile(profile))


def test_two_machines_share_nothing():
    one, other = load_machine("spr-2s"), load_machine("spr-2s")
    before = other.tree()
    for address in one.devices("pci"):
        one.write(f"/sys/bus/pci/devices/{address}/remove", "1")
    assert other.tree() == before


class TestModules:
    def test_the_table_of_ours_is_what_the_packages_have(self):
        packages = {package: import_module(package) for package in BUILTIN_MODULES.values()}
        modules = {m.name: name for name, package in packages.items() for m in package.MODULES}
        assert modules == BUILTIN_MODULES

    @pytest.fixture
    def foreign(self, monkeypatch):
        """A package with an entry point; what it names is ``foreign.module``."""

        class Point(metadata.EntryPoint):
            def load(self):
                return offered[self.name]

        offered = {}

        def entry_points(group):
            assert group == ENTRY_POINTS
            return metadata.EntryPoints(Point(name, "x:y", group) for name in offered)

        monkeypatch.setattr(metadata, "entry_points", entry_points)
        return offered

    def test_a_foreign_module(self, write_file, foreign):
        seen = []
        foreign["base"] = Module("base", lambda kernel: seen.append("base"))
        foreign["toy"] = Module(
            "toy",
            lambda kernel: seen.append(kernel.modules["toy"].parameters["fast"].value),
            depends=("base",),
            parameters=lambda: (BoolParameter("fast", True),),
        )
        machine = load_machine(write_file(changed("pci:", "modules: [toy]\npci:")))
        assert seen == ["base", True]
        assert machine.read("/sys/module/toy/parameters/fast") == "Y\n"
        assert machine.read("/sys/module/base/refcnt") == "1\n"
        assert machine.tree("/sys/module/base/holders") == {
            "/sys/module/base/holders/toy": {"link": "../../toy"}
        }

    def test_what_is_no_module(self, write_file, foreign):
        foreign["toy"] = "rubbish"
        with pytest.raises(MachineError, match=r":3: modules\[0\]: the entry point toy of "):
            load_machine(write_file(changed("pci:", "modules: [toy]\npci:")))


class TestObject:
    def test_read_and_write(self, machine):
        path = f"/sys/bus/pci/devices/{FIRST}/driver_override"
        assert machine.write(path, "toy") == 3
        assert machine.read(path) == "toy\n"

    @pytest.mark.parametrize("call", ["read", "devices", "tree"])
    def test_what_is_not_there(self, machine, call):
        with pytest.raises(FileNotFoundError):
            getattr(machine, call)("/sys/nonesuch")

    def test_errors_are_the_kernels(self, machine):
        with pytest.raises(OSError, match="Invalid argument") as caught:
            machine.write(f"/sys/bus/pci/devices/{FIRST}/remove", "x")
        assert caught.value.errno == errno.EINVAL

    def test_tree_has_the_shape_of_the_recorded_ones(self, machine):
        tree = machine.tree(f"/sys/devices/pci0000:00/{FIRST}")
        base = f"/sys/devices/pci0000:00/{FIRST}/"
        assert tree[base + "vendor"] == {"mode": "0o444", "size": 4096, "text": "0x1234\n"}
        assert tree[base + "remove"] == {"mode": "0o220", "size": 4096}
        assert tree[base + "link"] == {"dir": []}
        assert tree[base + "subsystem"] == {"link": "../../../bus/pci"}
        assert tree[base + "config"]["hex"].startswith("34127856")
        assert tree[base + "power/autosuspend_delay_ms"]["errno"] == errno.EIO
        assert list(tree) == sorted(tree)
        assert machine.leaks() == []

    def test_tree_of_a_file_and_of_a_link(self, machine):
        path = f"/sys/bus/pci/devices/{FIRST}"
        assert machine.tree(path) == {path: {"link": f"../../../devices/pci0000:00/{FIRST}"}}
        assert machine.tree("/sys/bus/pci/rescan") == {
            "/sys/bus/pci/rescan": {"mode": "0o200", "size": 4096}
        }

    def test_leaks_are_paths(self, machine):
        path = "/sys/bus/pci/drivers_autoprobe"
        with machine._opened(path, 0):
            assert machine.leaks() == [path]
        assert machine.leaks() == []

    def test_plug_and_unplug(self, machine):
        assert machine.devices("pci") == [FIRST]
        machine.plug(SECOND)
        machine.unplug(FIRST)
        assert machine.devices("pci") == [SECOND]
        machine.write("/sys/bus/pci/rescan", "1")  # it is not there to be found
        assert machine.devices("pci") == [SECOND]
        assert [event.action for event in machine.uevents[-2:]] == ["add", "remove"]

    def test_unplug_what_was_removed_already(self, machine):
        machine.write(f"/sys/bus/pci/devices/{FIRST}/remove", "1")
        machine.unplug(FIRST)
        machine.write("/sys/bus/pci/rescan", "1")
        assert machine.devices("pci") == []

    def test_plug_errors(self, machine):
        with pytest.raises(ValueError, match=f"^{FIRST} is plugged in"):
            machine.plug(FIRST)
        with pytest.raises(ValueError, match=f"^{SECOND} is not plugged in"):
            machine.unplug(SECOND)
        with pytest.raises(ValueError, match=f"^there is no function x; known: {FIRST}, {SECOND}"):
            machine.plug("x")

    def test_what_is_behind_a_bridge_needs_the_bridge(self, write_file):
        bridge = """
  - slot: "0000:00:03.0"
    config: "00000000 00000000 00000000 00000100 00000000 00000000 00010100"
    children: [{slot: "0000:01:00.0", present: false}]
"""
        machine = load_machine(write_file(GOOD.rstrip() + bridge))
        machine.unplug("0000:00:03.0")
        with pytest.raises(ValueError, match=r"^the bridge to 0000:01:00\.0 is not plugged in"):
            machine.plug("0000:01:00.0")
        machine.plug("0000:00:03.0")
        machine.plug("0000:01:00.0")
        assert machine.devices("pci") == [FIRST, "0000:00:03.0", "0000:01:00.0"]

    def test_wait_for_what_another_thread_does(self, machine):
        other = threading.Thread(target=machine.plug, args=(SECOND,))
        other.start()
        machine.wait_for(lambda: SECOND in machine.devices("pci"))
        other.join()
        assert machine.trace.observers == []

    def test_wait_for_what_does_not_happen(self, machine):
        with pytest.raises(TimeoutError, match=r"not met in 0\.01 seconds"):
            machine.wait_for(lambda: False, timeout=0.01)
        assert machine.trace.observers == []

    def test_a_condition_that_looks_does_not_wake_itself(self, machine):
        looks = []

        def look():
            looks.append(machine.devices("pci"))
            return False

        with pytest.raises(TimeoutError):
            machine.wait_for(look, timeout=0.01)
        assert looks == [[FIRST]]

    def test_the_clock_is_the_one_given(self, write_file):
        clock = VirtualClock(5)
        assert load_machine(write_file(GOOD), clock=clock).kernel.clock is clock


class TestExtra:
    def test_recorded_paths(self, write_file):
        machine = load_machine(
            write_file(
                changed(
                    "pci:",
                    "extra:\n"
                    "  /sys/devices/LNXSYSTM:00/device:01: {}\n"
                    '  /sys/devices/LNXSYSTM:00/path: {text: "a\\n", mode: 0o400}\n'
                    f"  /sys/devices/LNXSYSTM:00/physical_node: {{link: ../pci0000:00/{FIRST}}}\n"
                    "pci:",
                )
            )
        )
        assert machine.tree("/sys/devices/LNXSYSTM:00") == {
            "/sys/devices/LNXSYSTM:00/device:01": {"dir": []},
            "/sys/devices/LNXSYSTM:00/path": {"mode": "0o400", "size": 4096},
            "/sys/devices/LNXSYSTM:00/physical_node": {"link": f"../pci0000:00/{FIRST}"},
        }
        assert machine.read("/sys/devices/LNXSYSTM:00/path") == "a\n"


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("profile", ["7.2", "a profile that fails"])
def test_the_garbage_collector_is_left_as_it_was(enabled, profile):
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with suppress(MachineError):
            load_machine("empty", profile=profile)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
