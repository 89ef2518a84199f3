# SPDX-License-Identifier: Apache-2.0
"""The process mount against tmpfs, native calls, a minimal C libfuse server and umockdev."""

import contextlib
import os
import shutil
import subprocess
import sys

import pytest

from conftest import CPU, compare, compare_growth, looping, on_tmpfs_copy, running_in
from harness.machine import load_machine

BULK = 3000
PROGRAM = "/bin/true"
MACHINES = {"machine": "spr-2s", "VFIO machine": "qemu-q35"}


@pytest.fixture(scope="session")
def device():
    """The path of dsa0 in the machine that is measured."""
    link = load_machine("spr-2s").tree("/sys/bus/dsa/devices")["/sys/bus/dsa/devices/dsa0"]["link"]
    return os.path.normpath(f"/sys/bus/dsa/devices/{link}")


@pytest.fixture(scope="session")
def on_tmpfs():
    """The command line that runs what follows it with the machine's /sys as plain files."""
    with on_tmpfs_copy("spr-2s") as prefix:
        yield prefix


ATTRIBUTE_MODES = ("ocr", "stat", "access")


@pytest.mark.parametrize("mode", ATTRIBUTE_MODES)
def test_attribute_on_tmpfs(measure, build, on_tmpfs, device, mode):
    with looping([*on_tmpfs, build("loop"), mode, f"{device}/state"], BULK) as loop:
        measure(f"{mode}: tmpfs", loop, BULK)


@pytest.mark.parametrize("mode", ATTRIBUTE_MODES)
def test_attribute_in_a_machine(measure, build, uapi_run, device, mode):
    with looping([*uapi_run, build("loop"), mode, f"{device}/state"], BULK) as loop:
        measure(f"{mode}: machine", loop, BULK)


def test_attribute_of_c_libfuse(measure, build, tmp_path):
    config = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "fuse3"], capture_output=True, text=True
    )
    if config.returncode:
        pytest.skip("no libfuse3-dev")
    server = build("peer", *config.stdout.split())
    mount = tmp_path / "peer"
    mount.mkdir()
    process = subprocess.Popen(
        ["unshare", "-Urm", "--kill-child", "sh", "-c", PEER, CPU, server, mount, build("loop")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:

        def loop():
            process.stdin.write(b"%d\n" % BULK)
            process.stdin.flush()
            assert process.stdout.readline() == b"done\n"

        measure("ocr: C libfuse", loop, BULK)
    finally:
        process.communicate(timeout=30)


#: Mount the peer in a namespace of its own, so that no fusermount is needed and nothing is left.
PEER = """
taskset -c $0 "$1" -f -s "$2" & peer=$!
while ! [ -e "$2/directory/attribute" ]; do :; done
taskset -c $0 "$3" ocr "$2/directory/attribute"
kill $peer
"""


@pytest.mark.parametrize("mode", ["read", "ioctl", "mmap", "page", "share", "start"])
@pytest.mark.parametrize("where", ["native", "filter", "machine", "VFIO machine"])
def test_foreign_files(measure, build, tmp_path, mode, where):
    file = tmp_path / "file"
    file.write_bytes(bytes(4096))
    target, count = (PROGRAM, 20) if mode == "start" else (str(file), 3000)
    prefix = {"native": [], "filter": [build("filtered")]}.get(where)
    if prefix is None:
        prefix = running_in(MACHINES[where])
    with looping([*prefix, build("loop"), mode, target], count) as loop:
        measure(f"{mode}: {where}", loop, count, rounds=60)


@pytest.mark.parametrize("mode", ["stat", "access"])
@pytest.mark.parametrize("where", ["native", "machine", "char devices"])
def test_what_devices_cost_other_files(measure, build, tmp_path, mode, where):
    """With --char-devices each stat of a program is a notification; nothing else is."""
    options = ["--char-devices"] if where == "char devices" else []
    prefix = running_in("spr-2s", *options) if where != "native" else []
    file = tmp_path / "file"
    file.touch()
    with looping([*prefix, build("loop"), mode, str(file)], BULK) as loop:
        measure(f"foreign {mode}: {where}", loop, BULK)


ACCEL = ["accel-config", "list", "-i"]


def _accel_config(measure, name, prefix, times=20, devices=1):
    """The time for one device."""
    if shutil.which("accel-config") is None:
        pytest.skip("no accel-config")
    script = "while read n; do while [ $n -gt 0 ]; do accel-config list -i >/dev/null || exit; "
    script += "n=$((n-1)); done; echo done; done"
    with looping([*prefix, "sh", "-c", script], times) as loop:
        measure(f"accel-config: {name}", loop, times * devices, rounds=5)


def test_accel_config_in_a_machine(measure, uapi_run):
    _accel_config(measure, "machine", uapi_run)


def test_accel_config_on_tmpfs(measure, on_tmpfs):
    _accel_config(measure, "tmpfs", on_tmpfs)


FEW, MANY = 8, 128


@pytest.mark.parametrize("devices", [FEW, MANY])
@pytest.mark.parametrize("where", ["machine", "tmpfs"])
def test_accel_config_with_many_devices(measure, many_devices, where, devices):
    file = many_devices(devices)
    copy = contextlib.nullcontext(running_in(file)) if where == "machine" else on_tmpfs_copy(file)
    with copy as prefix:
        name = f"{where}, {devices} devices"
        _accel_config(measure, name, prefix, 2 * MANY // devices, devices)


def test_build_of_a_machine_with_many_devices(measure, many_devices):
    file = many_devices(MANY)
    measure("machine build: many devices", lambda: load_machine(file), 1, rounds=5)


def _start(prefix):
    return lambda: subprocess.run(["taskset", "-c", CPU, *prefix, PROGRAM], check=True)


def test_start_of_a_machine(measure, uapi_run):
    measure("machine start: uapi-harness run", _start(uapi_run), 1)


def test_start_in_a_lasting_machine(measure, tmp_path):
    """A machine that is there already."""
    harness = [sys.executable, "-m", "harness"]
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    subprocess.run([*harness, "start", "lab"], check=True, env=env)
    command = ["taskset", "-c", CPU, *harness, "run", "--in", "lab", "--", PROGRAM]
    try:
        measure("machine start: run --in", lambda: subprocess.run(command, check=True, env=env), 1)
    finally:
        subprocess.run([*harness, "stop", "lab"], check=True, env=env)


def test_start_of_umockdev(measure, tmp_path):
    if shutil.which("umockdev-run") is None:
        pytest.skip("no umockdev-run")
    description = tmp_path / "one.umockdev"
    description.write_text("P: /devices/dsa0\nE: SUBSYSTEM=dsa\nA: state=disabled\n")
    measure(
        "machine start: umockdev-run", _start(["umockdev-run", "-d", str(description), "--"]), 1
    )


def test_start_of_python(measure):
    """What any Python command costs, for comparison."""
    measure("machine start: python", _start([sys.executable, "-c", "", "--"]), 1)


compare("open, read, close of an attribute against tmpfs", "ocr: machine", "ocr: tmpfs", 10)
compare("the same against minimal C libfuse", "ocr: machine", "ocr: C libfuse", 1.4)
compare("cached stat against tmpfs", "stat: machine", "stat: tmpfs", 1.3)
compare("cached access against tmpfs", "access: machine", "access: tmpfs", 1.3)
compare(
    "a file's stat under --char-devices", "foreign stat: char devices", "foreign stat: native", 60
)
compare(
    "its access, which is none of the calls",
    "foreign access: char devices",
    "foreign access: native",
    1.5,
)
compare("accel-config list -i against tmpfs", "accel-config: machine", "accel-config: tmpfs", 6)
compare_growth(
    f"accel-config list -i, per device, {MANY} against {FEW}",
    tuple(f"accel-config: machine, {devices} devices" for devices in (FEW, MANY)),
    tuple(f"accel-config: tmpfs, {devices} devices" for devices in (FEW, MANY)),
    1.2,
)
compare(f"build of {MANY} devices against a second", "machine build: many devices", "a second", 1)
compare(
    "run -- true against umockdev-run",
    "machine start: uapi-harness run",
    "machine start: umockdev-run",
    1,
)
compare(
    "run --in -- true against umockdev-run",
    "machine start: run --in",
    "machine start: umockdev-run",
    99,
)
compare(
    "run -- true against python -c ''",
    "machine start: uapi-harness run",
    "machine start: python",
    99,
)
for _mode, _limit in (
    ("read", 1.1),
    ("ioctl", 1.1),
    ("mmap", 1.1),
    ("page", 60),
    ("share", 60),
    ("start", 1.3),
):
    for _where in MACHINES:
        what = f"{_mode} of what is not ours, {_where}"
        compare(what, f"{_mode}: {_where}", f"{_mode}: native", _limit)
    # What the mechanism costs at least: a filter that does nothing.
    compare(f"{_mode} under an empty filter", f"{_mode}: filter", f"{_mode}: native", _limit)
