# SPDX-License-Identifier: Apache-2.0
"""VFIO in the process mount against native calls, an empty handler and umockdev; many DMA maps."""

import shutil
from pathlib import Path

import pytest

from conftest import compare, looping, running_in

#: Short rounds, of which some are left alone by whatever else this machine does.
COUNT, SHORT_ROUNDS = 300, 60
EMPTY = Path(__file__).with_name("empty.py")
BIND = """
cd /sys/bus/pci
echo vfio-pci > devices/0000:00:05.0/driver_override
echo 0000:00:05.0 > drivers_probe
exec "$@"
"""


def in_machine(*options):
    """The command line that runs what follows it where edu is bound to vfio-pci."""
    return [*running_in("qemu-q35", *options), "sh", "-c", BIND, "sh"]


@pytest.fixture
def vfio(build):
    return build("vfio")


@pytest.mark.parametrize("mode", ["version", "info", "config", "type1_cycle"])
def test_calls(measure, vfio, mode):
    with looping([*in_machine(), vfio, mode], COUNT) as loop:
        measure(f"vfio {mode}: machine", loop, COUNT, SHORT_ROUNDS)


@pytest.mark.parametrize("mode", ["nothing", "nothing_struct", "nothing_read"])
def test_empty_handlers(measure, vfio, mode):
    with looping([*in_machine("--module", str(EMPTY)), vfio, mode], COUNT) as loop:
        measure(f"vfio {mode}: machine", loop, COUNT, SHORT_ROUNDS)


def test_native_ioctl(measure, build, tmp_path):
    file = tmp_path / "file"
    file.touch()
    with looping([build("loop"), "ioctl", str(file)], 10000) as loop:
        measure("vfio ioctl: native", loop, 10000, SHORT_ROUNDS)


def test_memfd_pread(measure, vfio):
    with looping([vfio, "memfd"], 10000) as loop:
        measure("vfio memfd: native", loop, 10000, SHORT_ROUNDS)


NODE = "/dev/bus/usb/001/001"
DESCRIPTION = (
    f"P: /devices/usb1\nN: {NODE[5:]}\nE: SUBSYSTEM=usb\nE: DEVNAME={NODE}\nA: dev=189:0\n"
)


def test_umockdev_ioctl(measure, build, tmp_path):
    """USBDEVFS_GET_CAPABILITIES, a word, from a recording."""
    if shutil.which("umockdev-run") is None:
        pytest.skip("no umockdev-run")
    description, recording = tmp_path / "usb.umockdev", tmp_path / "usb.ioctl"
    description.write_text(DESCRIPTION)
    recording.write_text(f"@DEV {NODE}\nUSBDEVFS_GET_CAPABILITIES 0 FD010000\n")
    words = ["umockdev-run", "-d", str(description), "-i", f"{NODE}={recording}", "--"]
    with looping([*words, build("loop"), "capabilities", NODE], COUNT) as loop:
        measure("vfio ioctl: umockdev", loop, COUNT, SHORT_ROUNDS)


#: How many maps are measured first and last, in so many rounds.
ENDS, ROUNDS = 1000, 10


def map_many(measure_ends, command, name, total, *, full=False):
    """Map ``total`` times; the cost of the first thousand and of the last."""
    piece = ENDS // ROUNDS
    with looping(command, piece) as loop:

        def most():
            loop.count = total - 2 * ENDS
            loop()
            loop.count = piece

        measure_ends(f"map {name}", loop, piece, ROUNDS, most)
        if full:
            loop.count = "full"
            loop()


#: dma_entry_limit's default.
LIMIT = 65535


@pytest.mark.timeout(600)
def test_all_maps_of_type1(measure_ends, vfio):
    map_many(measure_ends, [*in_machine(), vfio, "type1"], "type1", LIMIT, full=True)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", ["iommufd", "iommufd_anywhere"])
def test_many_maps_of_iommufd(measure_ends, vfio, mode):
    command = [*in_machine("--profile", "7.2+iommufd"), vfio, mode]
    map_many(measure_ends, command, mode, 1 << 18)


#: What is compared in a machine, the empty handler beside it, what is native, and the limit.
for _what, _mode, _floor, _native, _limit in (
    ("an ioctl without a struct", "version", "nothing", "ioctl", 60),
    ("DEVICE_GET_INFO", "info", "nothing_struct", "ioctl", 100),
    ("pread of config space", "config", "nothing_read", "memfd", 35),
):
    compare(f"{_what} against native", f"vfio {_mode}: machine", f"vfio {_native}: native", _limit)
    compare(
        f"{_what}, an empty handler's",
        f"vfio {_floor}: machine",
        f"vfio {_native}: native",
        _limit,
    )
    compare(
        f"{_what} against an empty handler", f"vfio {_mode}: machine", f"vfio {_floor}: machine", 2
    )
compare(
    "DEVICE_GET_INFO against umockdev's ioctl", "vfio info: machine", "vfio ioctl: umockdev", 1 / 6
)
for _name in ("type1", "iommufd", "iommufd_anywhere"):
    compare(
        f"the last maps of {_name} against the first",
        f"map {_name}: last",
        f"map {_name}: first",
        1.3,
    )
