# SPDX-License-Identifier: Apache-2.0
"""Unmodified mdevctl on the parents of the kernel's samples: each job, and each error of its users.

Two versions: Debian 12's, a program, and Debian 11's, a bash script, from its package. Both keep
definitions in /etc/mdevctl.d; each test has a folder of its own there.
"""

import json
import sys

import pytest

from harness.packages import PackagesError, Suite

UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa0001"
OTHER = "83b8f4f2-509f-382f-3c1e-e6bfe0fa0002"
DEVICES = "/sys/bus/mdev/devices"
#: Has a device open, as QEMU would, until it is killed.
HOLDER = """
import fcntl, os, signal, struct, sys
uuid = sys.argv[1]
group = os.path.basename(os.readlink(f"/sys/bus/mdev/devices/{uuid}/iommu_group"))
container, group = os.open("/dev/vfio/vfio", os.O_RDWR), os.open(f"/dev/vfio/{group}", os.O_RDWR)
fcntl.ioctl(group, 0x3b68, struct.pack("<i", container))
fcntl.ioctl(container, 0x3b66, 3)
device = fcntl.ioctl(group, 0x3b6a, bytearray(uuid.encode() + bytes(1)))
print("open", flush=True)
signal.pause()
"""


class Mdevctl:
    """``tool(*arguments)`` runs mdevctl in a fresh machine; ``machine`` is the model's."""

    def __init__(self, inside, program, definitions):
        self._inside = inside
        self.machine = inside.machine
        self.version = "0.81" if program != "mdevctl" else "1.2"
        self._program = program
        self.definitions = definitions

    def __call__(self, *arguments, status=0):
        return self._inside(*self.words(*arguments), status=status)

    def start(self, *command):
        """A program in the machine; for mdevctl's own words see ``words``."""
        return self._inside.start(*command)

    def words(self, *arguments):
        """The command that is mdevctl with these arguments."""
        mount = 'mount --bind "$0" /etc/mdevctl.d && exec "$@"'
        return ("sh", "-c", mount, str(self.definitions), self._program, *arguments)

    def fails(self, *arguments):
        """What it says when it fails."""
        done = self(*arguments, status=1)
        return done.err

    def json(self, *arguments):
        return json.loads(self(*arguments, "--dumpjson").out)

    def devices(self):
        """The names of the devices that there are."""
        return self.machine.listdir(DEVICES)

    def available(self, type):
        parent = type.partition("-")[0]
        types = f"/sys/class/mdev_bus/{parent}/mdev_supported_types"
        return int(self.machine.read(f"{types}/{type}/available_instances"))


@pytest.fixture(scope="session")
def script():
    """The path of the bash script that mdevctl once was."""
    try:
        suite = Suite("bullseye")
        return suite.unpack(suite.newest("mdevctl")) / "usr" / "sbin" / "mdevctl"
    except PackagesError as error:
        pytest.skip(f"mdevctl 0.81 cannot be had: {error}")


@pytest.fixture(params=["0.81", "1.2"])
def version(request):
    return request.param


@pytest.fixture
def mdevctl(inside, need, version, request, tmp_path):
    """A machine, and mdevctl of one version."""
    need("mdevctl")  # the package makes /etc/mdevctl.d
    program = "mdevctl"
    if version == "0.81":
        need("jq")
        program = str(request.getfixturevalue("script"))
    for folder in ("callouts", "notifiers"):
        (tmp_path / "scripts.d" / folder).mkdir(parents=True)
    return Mdevctl(inside("qemu-q35"), program, tmp_path)


# --- types


def test_types(mdevctl):
    (parents,) = mdevctl.json("types")
    types = {
        name: entry
        for (offered) in parents.values()
        for kind in offered
        for name, entry in kind.items()
    }
    assert set(parents) == {"mtty", "mdpy", "mbochs"}
    mtty = {"available_instances": 24, "device_api": "vfio-pci", "name": "Single port serial"}
    assert {key: value for key, value in types["mtty-1"].items() if value} == mtty
    assert types["mbochs-large"]["description"] == "virtual display, 64 MB video memory"


def test_types_of_one_parent_as_text(mdevctl):
    shown = mdevctl("types", "-p", "mtty").out
    assert shown.split() == [
        *("mtty", "mtty-1", "Available", "instances:", "24", "Device", "API:", "vfio-pci"),
        *("Name:", "Single", "port", "serial", "mtty-2", "Available", "instances:", "12"),
        *("Device", "API:", "vfio-pci", "Name:", "Dual", "port", "serial"),
    ]


def test_types_show_what_is_left(mdevctl):
    mdevctl("start", "-u", UUID, "-p", "mdpy", "-t", "mdpy-vga")
    (parents,) = mdevctl.json("types", "-p", "mdpy")
    left = {name: kind[name]["available_instances"] for kind in parents["mdpy"] for name in kind}
    assert left == {"mdpy-vga": 3, "mdpy-xga": 3, "mdpy-hd": 3}


# --- start, list, stop


def test_start_and_stop(mdevctl):
    mdevctl("start", "-u", UUID, "-p", "mtty", "-t", "mtty-2")
    assert mdevctl.devices() == [UUID]
    assert mdevctl.machine.tree(f"{DEVICES}/{UUID}/mdev_type") == {
        f"/sys/devices/virtual/mtty/mtty/{UUID}/mdev_type": {
            "link": "../mdev_supported_types/mtty-2"
        }
    }
    assert mdevctl("list").out.split()[:3] == [UUID, "mtty", "mtty-2"]
    mdevctl("stop", "-u", UUID)
    assert mdevctl.devices() == []
    assert mdevctl.available("mtty-2") == 12


def test_list_as_json(mdevctl):
    mdevctl("start", "-u", UUID, "-p", "mtty", "-t", "mtty-1")
    mdevctl("start", "-u", OTHER, "-p", "mdpy", "-t", "mdpy-hd")
    (parents,) = mdevctl.json("list")
    assert parents["mtty"][0][UUID]["mdev_type"] == "mtty-1"
    assert parents["mdpy"][0][OTHER]["mdev_type"] == "mdpy-hd"
    assert mdevctl("list", "-p", "mdpy").out.split()[:3] == [OTHER, "mdpy", "mdpy-hd"]
    assert mdevctl("list", "-u", UUID).out.split()[:3] == [UUID, "mtty", "mtty-1"]


def test_list_of_nothing(mdevctl):
    assert mdevctl("list").out.strip() == ""
    assert mdevctl("list", "-d").out.strip() == ""


@pytest.mark.parametrize("version", ["1.2"])
def test_start_invents_a_uuid(mdevctl):
    (uuid,) = mdevctl("start", "-p", "mtty", "-t", "mtty-1").out.split()
    assert mdevctl.devices() == [uuid]


def test_list_of_what_others_made(mdevctl):
    """A device that was made without it, in capitals, too."""
    mdevctl.machine.write(
        "/sys/class/mdev_bus/mdpy/mdev_supported_types/mdpy-xga/create", UUID.upper()
    )
    assert mdevctl("list").out.split()[:3] == [UUID, "mdpy", "mdpy-xga"]


# --- definitions


def test_define_start_stop_undefine(mdevctl):
    mdevctl("define", "-u", UUID, "-p", "mtty", "-t", "mtty-1")
    assert mdevctl.devices() == []
    assert mdevctl("list", "-d").out.split() == [UUID, "mtty", "mtty-1", "manual"]
    mdevctl("start", "-u", UUID)
    assert mdevctl.devices() == [UUID]
    assert mdevctl("list", "-d").out.split() == [UUID, "mtty", "mtty-1", "manual", "(active)"]
    assert "(defined)" in mdevctl("list").out
    mdevctl("stop", "-u", UUID)
    mdevctl("undefine", "-u", UUID)
    assert mdevctl("list", "-d").out.strip() == ""


def test_define_what_is_active(mdevctl):
    mdevctl("start", "-u", UUID, "-p", "mtty", "-t", "mtty-2")
    mdevctl("define", "-u", UUID)
    assert mdevctl("list", "-d").out.split() == [UUID, "mtty", "mtty-2", "manual", "(active)"]


def test_define_to_start_by_itself(mdevctl):
    mdevctl("define", "-a", "-u", UUID, "-p", "mtty", "-t", "mtty-2")
    assert mdevctl("list", "-d").out.split() == [UUID, "mtty", "mtty-2", "auto"]
    mdevctl("modify", "-u", UUID, "--manual")
    assert mdevctl("list", "-d").out.split() == [UUID, "mtty", "mtty-2", "manual"]
    mdevctl("modify", "-u", UUID, "--auto")
    (parents,) = mdevctl.json("list", "-d")
    assert parents["mtty"][0][UUID]["start"] == "auto"


def test_modify_the_type(mdevctl):
    mdevctl("define", "-u", UUID, "-p", "mtty", "-t", "mtty-1")
    mdevctl("modify", "-u", UUID, "--type", "mtty-2")
    mdevctl("start", "-u", UUID)
    assert mdevctl.available("mtty-1") == 22


def test_one_uuid_defined_for_two_parents(mdevctl):
    """The second is started only if the first is not there."""
    for type in ("mtty-1", "mdpy-vga"):
        mdevctl("define", "-u", UUID, "-p", type.partition("-")[0], "-t", type)
    assert "specify a parent" in mdevctl.fails("start", "-u", UUID)
    mdevctl("start", "-u", UUID, "-p", "mdpy")
    mdevctl("start", "-u", UUID, "-p", "mtty", status=1)
    assert mdevctl.devices() == [UUID]


def test_definition_from_a_file(mdevctl):
    file = mdevctl.definitions / "given.json"
    given = {"mdev_type": "mtty-2", "start": "manual", "attrs": [{"power/control": "on"}]}
    file.write_text(json.dumps(given))
    mdevctl("define", "-u", UUID, "-p", "mtty", "--jsonfile", str(file))
    assert mdevctl.json("list", "-d")[0]["mtty"][0][UUID] == given
    mdevctl("start", "-u", UUID)
    assert mdevctl.machine.read(f"{DEVICES}/{UUID}/power/control") == "on\n"


# --- attributes


@pytest.fixture
def defined(mdevctl):
    mdevctl("define", "-u", UUID, "-p", "mtty", "-t", "mtty-1")
    return mdevctl


def test_attributes_are_written_at_start(defined):
    defined("modify", "-u", UUID, "--addattr=power/control", "--value=on")
    defined("modify", "-u", UUID, "--addattr=power/control", "--value=auto", "--index=0")
    assert defined.json("list", "-d")[0]["mtty"][0][UUID]["attrs"] == [
        {"power/control": "auto"},
        {"power/control": "on"},
    ]
    defined("start", "-u", UUID)
    assert defined.machine.read(f"{DEVICES}/{UUID}/power/control") == "on\n"


def test_attributes_can_be_taken_away(defined):
    defined("modify", "-u", UUID, "--addattr=power/control", "--value=on")
    defined("modify", "-u", UUID, "--delattr", "--index=0")
    defined("start", "-u", UUID)
    assert defined.machine.read(f"{DEVICES}/{UUID}/power/control") == "auto\n"


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("vendor/sample_mdev_dev", "x", "Permission denied"),
        ("power/control", "x", "Invalid argument"),
        ("vendor/nonesuch", "x", "vendor/nonesuch"),
    ],
)
def test_an_attribute_that_cannot_be_set(defined, attribute, value, said):
    """The device that was made for it goes again, and its port is free."""
    defined("modify", "-u", UUID, f"--addattr={attribute}", f"--value={value}")
    message = defined.fails("start", "-u", UUID)
    assert said in message
    assert attribute in message
    assert defined.devices() == []
    assert defined.available("mtty-1") == 24


# --- errors


def test_start_twice(defined):
    defined("start", "-u", UUID)
    defined("start", "-u", UUID, status=1)
    assert defined.devices() == [UUID]
    assert defined.available("mtty-1") == 23


def test_start_beyond_capacity(mdevctl):
    for number in range(4):
        mdevctl("start", "-u", f"{UUID[:-1]}{number}", "-p", "mbochs", "-t", "mbochs-large")
    message = mdevctl.fails("start", "-u", OTHER[:-1] + "9", "-p", "mbochs", "-t", "mbochs-small")
    assert "mbochs-small" in message
    assert mdevctl.available("mbochs-small") == 0
    assert len(mdevctl.devices()) == 4


def test_start_what_another_parent_has(mdevctl):
    """The kernel would say EEXIST; the tool sees the device first."""
    mdevctl("start", "-u", UUID, "-p", "mtty", "-t", "mtty-1")
    mdevctl("start", "-u", UUID, "-p", "mdpy", "-t", "mdpy-vga", status=1)
    assert mdevctl.available("mdpy-vga") == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ("start", "-u", UUID, "-p", "mtty", "-t", "mtty-9"),
        ("start", "-u", UUID, "-p", "nonesuch", "-t", "mtty-1"),
        ("start", "-u", UUID),
        ("stop", "-u", UUID),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_what_is_not_there(mdevctl, arguments):
    mdevctl(*arguments, status=1)
    assert mdevctl.devices() == []


@pytest.mark.parametrize("version", ["1.2"])
def test_stop_names_the_errno(mdevctl):
    assert "No such file or directory (os error 2)" in mdevctl.fails("stop", "-u", UUID)


@pytest.mark.parametrize("version", ["1.2"])
def test_undefine_what_is_not_defined(mdevctl):
    assert "No devices match" in mdevctl.fails("undefine", "-u", UUID)


def test_define_twice(defined):
    assert "already defined" in defined.fails("define", "-u", UUID, "-p", "mtty", "-t", "mtty-1")


def test_stop_after_unbind(mdevctl):
    """A device without a driver can be stopped all the same."""
    mdevctl("start", "-u", UUID, "-p", "mtty", "-t", "mtty-1")
    mdevctl.machine.write("/sys/bus/mdev/drivers/mtty/unbind", UUID)
    mdevctl("stop", "-u", UUID)
    assert mdevctl.devices() == []


def test_stop_while_open(mdevctl):
    """It waits for the program; meanwhile the device is gone, and its UUID is not to be had."""
    mdevctl("start", "-u", UUID, "-p", "mtty", "-t", "mtty-1")
    holder = mdevctl.start(sys.executable, "-c", HOLDER, UUID)
    assert holder.stdout.readline() == b"open\n"
    stop = mdevctl.start(*mdevctl.words("stop", "-u", UUID))
    while mdevctl("list").out.strip():
        assert stop.poll() is None
    assert mdevctl.devices() == []
    message = mdevctl.fails("start", "-u", UUID, "-p", "mtty", "-t", "mtty-1")
    assert "File exists" in message
    assert stop.poll() is None
    holder.kill()
    for program in (stop, holder):
        program.communicate(timeout=60)
    assert stop.wait() == 0
    assert mdevctl.available("mtty-1") == 24
