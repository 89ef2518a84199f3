# SPDX-License-Identifier: Apache-2.0
"""Several programs at once make and end mediated devices."""

import errno
import json
import subprocess
import sys

import pytest

from harness.kernel.wait import RealClock
from harness.machine import load_machine
from harness.mounts.process import ProcessMount

TYPE = "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1"
DEVICES = "/sys/bus/mdev/devices"
UUIDS = [f"83b8f4f2-509f-382f-3c1e-e6bfe0fa00{number:02x}" for number in range(20)]
#: Writes each of the texts it is given to a file; prints the errno of each, 0 for none.
WRITER = """
import json, os, sys
texts = json.loads(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
said = []
for text in texts:
    try:
        fd = os.open(sys.argv[1].format(text), os.O_WRONLY)
        try:
            os.write(fd, bytes.fromhex(sys.argv[3]) or text.encode())
            said.append(0)
        finally:
            os.close(fd)
    except OSError as error:
        said.append(error.errno)
print(json.dumps(said))
"""


@pytest.fixture
def machine():
    return load_machine("qemu-q35", clock=RealClock())


@pytest.fixture
def together(machine):
    """``together(n, path, texts)``: what n programs were told that began at the same moment."""
    with ProcessMount(machine) as mount:

        def run(count, path, texts, data=b""):
            command = [sys.executable, "-c", WRITER, path, json.dumps(texts), data.hex()]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            programs = [mount.popen(command, **pipes) for _ in range(count)]
            for program in programs:
                assert program.stdout.readline() == b"ready\n"
            for program in programs:
                program.stdin.write(b"go\n")
                program.stdin.flush()
            return [json.loads(program.communicate(timeout=60)[0]) for program in programs]

        yield run


def test_of_eight_programs_one_makes_the_device(together, machine):
    said = together(8, f"{TYPE}/create", UUIDS)
    for answers in zip(*said, strict=True):
        assert sorted(answers) == [0, *[errno.EEXIST] * 7]
    assert machine.listdir(DEVICES) == UUIDS
    assert machine.read(f"{TYPE}/available_instances") == "4\n"


def test_of_eight_programs_one_ends_the_device(together, machine):
    """The others come too late for the file, or for the device."""
    for uuid in UUIDS:
        machine.write(f"{TYPE}/create", uuid)
    said = together(8, f"{DEVICES}/{{}}/remove", UUIDS, b"1")
    for answers in zip(*said, strict=True):
        assert answers.count(0) == 1
        assert set(answers) <= {0, errno.ENOENT, errno.ENODEV}
    assert machine.listdir(DEVICES) == []
    assert machine.read(f"{TYPE}/available_instances") == "24\n"
    assert machine.leaks() == []


@pytest.mark.parametrize("data", [b"a" * 5000, b"\0" * 36, b"\xff\xfe" * 18])
def test_bad_writes_change_nothing(together, machine, data):
    before = machine.tree("/sys/devices/virtual/mtty")
    assert together(2, f"{TYPE}/create", ["x"], data) == [[errno.EINVAL]] * 2
    assert machine.tree("/sys/devices/virtual/mtty") == before
