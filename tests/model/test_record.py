# SPDX-License-Identifier: Apache-2.0
"""What is recorded of a sysfs is a machine that shows the same sysfs."""

import os

import pytest
import trees

from harness.machine import load_machine
from harness.record import (
    DirectoryTree,
    NothingToRecord,
    RecordError,
    StreamTree,
    checked,
    record,
    write,
)

KERNELS = ("6.1", "6.12", "7.2")
#: A host bridge, and a bridge with two functions behind it, the first with a serial number.
BEHIND_A_BRIDGE = """
schema: 1
profile: "6.1"
cpu: {nodes: {0: "0-3", 1: "4-7"}}
pci:
  - {slot: "0000:00:00.0", id: "8086:29c0", class: 0x060000}
  - slot: "0000:00:03.0"
    id: "8086:3420"
    class: 0x060400
    # The type of the header, and the numbers of the buses on both sides.
    config: "00000000000000000000000000000100 00000000000000000001010000000000"
    children:
      - slot: "0000:01:00.0"
        id: "8086:10d3"
        class: 0x020000
        numa_node: 1
        firmware_node: LNXSYSTM:00/device:07
        bars:
          0: {size: 0x100, address: 0xc000, kind: io}
          2: {size: 0x100000, address: 0xfe000000, prefetchable: true, bits: 64}
        capabilities:
          - {kind: pcie, at: 0x40}
          - {kind: aer, at: 0x100}
      - {slot: "0000:01:01.0", id: "8086:10d4", class: 0x020000}
"""
CHILD = "/sys/devices/pci0000:00/0000:00:03.0/0000:01:00.0"
SERIAL = "525400ffff123456"


def loaded(folder, text):
    path = folder / "recorded.yaml"
    path.write_text(text)
    return load_machine(path)


@pytest.fixture
def recorded(tmp_path):
    """``recorded(nodes, *devices)`` is the machine recorded of a tree, and its file's text."""

    def make(nodes, *devices, kernel=None, **options):
        trees.materialise(nodes, tmp_path, kernel)
        options.setdefault("everything", not devices)
        text = checked(record(DirectoryTree(str(tmp_path)), devices, **options))
        return loaded(tmp_path, text), text

    return make


@pytest.fixture
def behind_a_bridge(tmp_path):
    path = tmp_path / "bridge.yaml"
    path.write_text(BEHIND_A_BRIDGE)
    nodes = load_machine(path).tree()
    config = bytearray.fromhex(nodes[f"{CHILD}/config"]["hex"])
    # A serial number after the last extended capability, AER.
    config[0x103] = 0x15
    config[0x150:0x15C] = bytes.fromhex(f"03000100{SERIAL}")
    nodes[f"{CHILD}/config"]["hex"] = config.hex()
    return nodes


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_recorded_kernel_becomes_its_machine(recorded, kernel):
    """What qemu-q35-dsa was made of by hand, record makes as well."""
    name = f"q35-dsa-{kernel}"
    document = trees.recorded_tree(name)
    machine, _ = recorded(document["nodes"], kernel=document["kernel"])
    assert machine.profile.name == kernel
    differing = trees.differences(machine.tree(), document["nodes"], trees.SCOPES["q35-dsa"])
    assert trees.unknown_differences(differing, trees.known_differences(name)) == {}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", ["spr-2s", "gnr-1s", "qemu-q35-dsa", "no-driver"])
def test_recording_a_machine_gives_it_again(recorded, name, kernel):
    original = load_machine(name, profile=kernel)
    machine, _ = recorded(original.tree(), profile=kernel)
    assert machine.tree() == original.tree()


@pytest.mark.parametrize("name", ["gnr-1s", "qemu-q35-dsa"])
def test_a_recorded_accelerator_works(recorded, name):
    """Its registers take what the driver writes to configure and enable it."""
    machine, _ = recorded(load_machine(name).tree())
    queue, device = "/sys/bus/dsa/devices/wq0.0", "/sys/bus/dsa/devices/dsa0"
    written = {"group_id": 0, "size": 8, "mode": "dedicated", "type": "user", "name": "app"}
    if machine.profile.name != "6.1":
        written["driver_name"] = "user"
    for attribute, value in written.items():
        machine.write(f"{queue}/{attribute}", f"{value}")
    machine.write("/sys/bus/dsa/devices/engine0.0/group_id", "0")
    machine.write("/sys/bus/dsa/drivers/idxd/bind", "dsa0")
    assert machine.read(f"{device}/state") == "enabled\n"


# --- which devices


@pytest.mark.parametrize(
    ("word", "addresses"),
    [
        ("0000:6a:01.0", ["0000:6a:01.0"]),
        ("6A:01.0", ["0000:6a:01.0"]),
        ("8086:0CFE", ["0000:6a:02.0"]),
        ("idxd", ["0000:6a:01.0", "0000:6a:02.0"]),
    ],
)
def test_devices_are_chosen(recorded, word, addresses):
    machine, _ = recorded(load_machine("spr-1s").tree(), word)
    assert machine.devices("pci") == addresses


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("6a:02.1", "nearest: 0000:6a:02.0,"),
        ("8086:0cff", "nearest: 8086:0cfe,"),
        ("idxx", "nearest: idxd,"),
    ],
)
def test_what_is_not_there(recorded, word, said):
    with pytest.raises(RecordError, match=said):
        recorded(load_machine("spr-1s").tree(), word)


def test_nothing_is_there(recorded):
    with pytest.raises(NothingToRecord):
        recorded(load_machine("empty").tree())


def test_bridges_come_along(recorded, behind_a_bridge):
    machine, _ = recorded(behind_a_bridge, "01:00.0")
    assert machine.devices("pci") == ["0000:00:03.0", "0000:01:00.0"]
    shown, original = machine.tree(CHILD), dict(behind_a_bridge)
    assert shown.pop(f"{CHILD}/config") != original.pop(f"{CHILD}/config")  # masked
    assert shown == {path: node for path, node in original.items() if path.startswith(CHILD)}


# --- what each is


def test_serial_numbers_are_masked(recorded, behind_a_bridge):
    machine, text = recorded(behind_a_bridge)
    config = machine.tree(CHILD)[f"{CHILD}/config"]["hex"]
    original = behind_a_bridge[f"{CHILD}/config"]["hex"]
    assert config == original.replace(SERIAL, "0" * len(SERIAL))
    assert SERIAL in original
    assert "# Masked (zeros), as said at each: 0000:01:00.0.\n" in text
    assert "# masked: serial number\n" in text


def test_unmasked(recorded, behind_a_bridge):
    machine, text = recorded(behind_a_bridge, unmasked=True)
    assert machine.tree() == behind_a_bridge
    assert "# Nothing is masked" in text


def test_only_the_header_can_be_read(recorded):
    """What an ordinary user gets: the rest of an accelerator's is another one's."""
    nodes = load_machine("spr-1s").tree()
    for path, node in nodes.items():
        if path.endswith("/config"):
            node["hex"] = node["hex"][:128]
    machine, text = recorded(nodes)
    assert machine.tree() == load_machine("spr-1s").tree()
    assert "only the header of its configuration space could be read" in text


def test_what_cannot_be_read_is_left_out_unless_it_is_meant(recorded, behind_a_bridge):
    del behind_a_bridge[f"{CHILD}/config"]
    machine, text = recorded(behind_a_bridge)
    assert machine.devices("pci") == ["0000:00:00.0", "0000:00:03.0", "0000:01:01.0"]
    assert "# Left out, because they cannot be read: 0000:01:00.0.\n" in text


def test_what_cannot_be_read_but_is_meant(recorded, behind_a_bridge):
    del behind_a_bridge[f"{CHILD}/config"]
    with pytest.raises(RecordError, match=r"0000:01:00\.0 cannot be read"):
        recorded(behind_a_bridge, "01:00.0")


def test_a_function_behind_a_host_bridge_that_is_one(recorded):
    """As Intel's VMD makes them: no machine file has a word for them."""
    nodes = load_machine("spr-1s").tree()
    folder = "/sys/devices/pci0000:6a/0000:6a:01.0/pci10000:e0/10000:e0:06.0"
    nodes["/sys/bus/pci/devices/10000:e0:06.0"] = {"link": f"../../..{folder[4:]}"}
    nodes[f"{folder}/vendor"] = {"text": "0x8086\n"}
    machine, text = recorded(nodes)
    assert machine.devices("pci") == ["0000:6a:01.0", "0000:6a:02.0"]
    assert "# Left out, being behind a host bridge that is a function: 10000:e0:06.0.\n" in text


def test_a_resource_that_is_in_no_bar(recorded, behind_a_bridge):
    """IDE controllers have ports that every PC has there."""
    resource = behind_a_bridge["/sys/devices/pci0000:00/0000:00:00.0/resource"]
    lines = resource["text"].splitlines()
    lines[0] = "0x00000000000001f0 0x00000000000001f7 0x0000000000000110"
    lines[1] = "some other kernel's"
    resource["text"] = "\n".join(lines)
    machine, text = recorded(behind_a_bridge, "00:00.0")
    assert machine.read("/sys/bus/pci/devices/0000:00:00.0/resource").split()[2] == "0x" + "0" * 16
    assert "resource 0 is in no BAR" in text


def test_a_virtual_function_has_its_ids_from_the_kernel_alone(recorded, behind_a_bridge):
    config = behind_a_bridge[f"{CHILD}/config"]
    config["hex"] = "ffffffff" + config["hex"][8:]
    machine, _ = recorded(behind_a_bridge, "8086:10d3")
    assert machine.read(f"{CHILD}/device") == "0x10d3\n"


def test_an_accelerator_without_registers_is_a_plain_function(recorded):
    nodes = load_machine("spr-1s").tree()
    resource = nodes["/sys/devices/pci0000:6a/0000:6a:01.0/resource"]
    resource["text"] = "0x0 0x0 0x0\n" * 13
    machine, text = recorded(nodes)
    assert [name for name in machine.devices("dsa") if name[:3] in ("dsa", "iax")] == ["iax0"]
    assert "no kind dsa, because BAR 0 is needed" in text


def test_registers_that_cannot_be(recorded):
    nodes = load_machine("spr-1s").tree()
    device = "/sys/devices/pci0000:6a/0000:6a:01.0/dsa0"
    nodes[f"{device}/max_work_queues"]["text"] = "-1\n"
    nodes[f"{device}/gen_cap"]["text"] = f"0x{1 << 70:x}\n"
    nodes[f"{device}/op_cap"]["text"] = "?\n"
    _, text = recorded(nodes, "6a:01.0")
    assert "kind: dsa" not in text
    assert "no kind dsa, because " in text


# --- the system


@pytest.mark.parametrize(
    ("release", "profile", "why"),
    [
        ("6.1.0-56-amd64", "6.1", "nearest"),
        ("6.11.3", "6.1", "nearest"),
        ("6.18.0", "6.12", "nearest"),
        ("9.0-rc1", "7.2", "nearest"),
        ("5.10.0", "6.1", "oldest"),
        (None, "6.1", "cannot be read"),
    ],
)
def test_the_profile_is_the_nearest(recorded, release, profile, why):
    machine, text = recorded(load_machine("no-driver").tree(), kernel=release)
    assert machine.profile.name == profile
    assert why in text


def test_the_module_tells_the_kernel_better(recorded):
    """Other distributions give the same source other releases."""
    machine, _ = recorded(load_machine("spr-1s", profile="7.2").tree(), kernel="6.1.0")
    assert machine.profile.name == "7.2"


def test_processor(recorded, tmp_path):
    info = tmp_path / "proc" / "cpuinfo"
    info.parent.mkdir()
    info.write_text("processor\t: 0\nflags\t\t: fpu movdir64b\n\nprocessor\t: 1\n")
    machine, _ = recorded(load_machine("spr-1s").tree())
    assert machine.kernel.cpu.movdir64b
    assert not machine.kernel.cpu.enqcmd


def test_no_sva_where_the_driver_says_so(recorded):
    nodes = load_machine("spr-1s").tree()
    for path, node in nodes.items():
        if path.endswith("/pasid_enabled"):
            node["text"] = "0\n"
    machine, _ = recorded(nodes)
    assert machine.tree() == nodes


def test_mdev_types_are_recorded_paths(recorded):
    nodes = load_machine("spr-1s").tree()
    parent = "/sys/devices/virtual/toy/toy"
    kind = f"{parent}/mdev_supported_types/toy-1"
    types = {
        f"{kind}/available_instances": {"mode": "0o444", "size": 4096, "text": "24\n"},
        f"{kind}/name": {"mode": "0o444", "size": 4096, "text": "A toy\n"},
        f"{kind}/devices": {"dir": []},
        "/sys/class/mdev_bus/toy": {"link": "../../devices/virtual/toy/toy"},
    }
    machine, _ = recorded({**nodes, **types}, "toy", "idxd")
    assert machine.tree() == {**nodes, **types}


def test_a_parent_that_a_module_of_ours_makes_is_that_module(recorded):
    machine, _ = recorded(load_machine("qemu-q35").tree(), "mtty")
    assert machine.listdir("/sys/class/mdev_bus/mtty/mdev_supported_types") == ["mtty-1", "mtty-2"]
    assert machine.devices("pci") == []


# --- copies and streams


def test_links_out_of_a_copy_lead_nowhere(tmp_path):
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "copy" / "sys" / "module"
    folder.mkdir(parents=True)
    (folder / "absolute").symlink_to(tmp_path / "secret")
    (folder / "relative").symlink_to("../../../secret")
    tree = DirectoryTree(str(tmp_path / "copy"))
    for name in ("absolute", "relative"):
        assert tree.data(f"/sys/module/{name}") is None
        assert tree.real(f"/sys/module/{name}") is None


def test_a_copy_is_no_trap(tmp_path):
    folder = tmp_path / "sys" / "module"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe")
    assert DirectoryTree(str(tmp_path)).data("/sys/module/pipe") is None


def test_no_copy(tmp_path):
    with pytest.raises(RecordError, match="has no directory sys"):
        DirectoryTree(str(tmp_path))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "f:1: this is not what"),
        (["something else", "end"], "f:1: this is not what"),
        (["uapi-harness recording 1", "D /sys"], "f:2: the end is missing"),
        (["uapi-harness recording 1", "F 1 zz /sys/x", "end"], "f:2: not a line"),
        (["uapi-harness recording 1", "F x 00 /sys/x", "end"], "f:2: not a line"),
        (["uapi-harness recording 1", "D /sys", "L /sys/x", "end"], "f:3: not a line"),
        (["uapi-harness recording 1", "D /sys/../etc", "end"], "f:2: not a line"),
        (["uapi-harness recording 1", "D sys", "end"], "f:2: not a line"),
        (["uapi-harness recording 1", "X /sys", "end"], "f:2: not a line"),
        (["uapi-harness recording 1", "", "end"], "f:2: not a line"),
    ],
)
def test_a_stream_that_is_none(lines, said):
    with pytest.raises(RecordError, match=said):
        StreamTree("\n".join(lines), "f")


def test_links_in_a_stream():
    lines = ["uapi-harness recording 1", "L /a/loop -> ../a/loop", "L /a/up -> ../../../b"]
    lines += ["L /a/away -> c", "F 5 68656c6c6f /b/file", "F 5 - /b/unreadable", "end"]
    tree = StreamTree("\n".join(lines), "f")
    assert tree.real("/a/loop") is None
    assert tree.real("/a/up") == "/b"
    assert tree.real("/a/away") is None
    assert tree.names("/a/up") == ["file", "unreadable"]
    assert (tree.data("/a/up/file"), tree.size("/a/up/file")) == (b"hello", 5)
    assert (tree.data("/b/unreadable"), tree.size("/b/unreadable")) == (None, 5)
    assert tree.link("/a/loop") == "../a/loop"


# --- writing


def test_a_file_is_not_overwritten(tmp_path):
    path = tmp_path / "file.yaml"
    write("one\n", str(path))
    with pytest.raises(RecordError, match="--force"):
        write("two\n", str(path))
    assert path.read_text() == "one\n"
    write("two\n", str(path), force=True)
    assert path.read_text() == "two\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.yaml"]


def test_nothing_is_left_where_nothing_can_be_written(tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    with pytest.raises(RecordError, match="Is a directory"):
        write("one\n", str(folder), force=True)
    with pytest.raises(RecordError, match="No such file"):
        write("one\n", str(tmp_path / "nowhere" / "file"))
    with pytest.raises(UnicodeEncodeError):
        write("half, then \udc80", str(tmp_path / "file"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["there"]
