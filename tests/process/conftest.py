# SPDX-License-Identifier: Apache-2.0
"""Programs in a mount of a machine that also has toy devices."""

import shutil
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.doctor import missing_for_process_mount
from harness.kernel.wait import RealClock
from harness.machine import load_machine
from harness.mounts.process import ProcessMount
from tests.process.toy import Driver

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def _process_mount():
    reason = missing_for_process_mount()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def machine():
    return load_machine("qemu-q35-dsa", clock=RealClock())


@pytest.fixture
def mounted(machine):
    """``mounted()`` mounts the machine for the rest of the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(ProcessMount(machine, **options))


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """Compile ``programs.c``; ``program("-static")`` is one that no library can be put under."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here; fixtures/packages.yaml names its Debian package")

    def compile_it(*flags):
        path = tmp_path_factory.getbasetemp() / f"programs{''.join(flags)}"
        if not path.exists():
            source = Path(__file__).with_name("programs.c")
            subprocess.run(["gcc", "-O2", "-pthread", *flags, "-o", path, source], check=True)
        return str(path)

    return compile_it


@pytest.fixture
def command_line():
    """Start ``uapi-harness run`` with these words; what still runs after the test is killed."""
    started = []

    def start(*words, **options):
        command = [sys.executable, "-m", "harness", "run", "--machine", "qemu-q35-dsa", *words]
        settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
        settings |= {"stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
        started.append(subprocess.Popen(command, **settings | options))
        return started[-1]

    yield start
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def as_plain_user():
    """Words before a command that make it another user's, who can reach this interpreter."""
    return [sys.executable, str(Path(__file__).with_name("plain_user.py"))]


@pytest.fixture
def driver(machine):
    """A driver that is nobody's, with /dev/toy."""
    return Driver(machine.kernel)


HEAD = """
import array, ctypes, errno, fcntl, mmap, os, select, signal, socket, sys, threading
HOLD, SIGNAL, LET_GO, WHICH, NEW, NEW_AT, WATCH, WOKEN = range(0x3B00, 0x3B08)
LOOK, ADD, COPY, OPENERS, WAIT_COPY = range(0x3B08, 0x3B0D)
MEMORY, REGISTERS, DOORBELL = 0, 1 << 40, 2 << 40

def call(*arguments):
    try:
        return fcntl.ioctl(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]

toy = os.open("/dev/toy", os.O_RDWR)
"""


@pytest.fixture
def run(driver, mounted, machine):
    """Run Python code; what it prints, by words. Nothing is left behind by it."""
    mount = mounted()

    def run(code, status=0):
        command = [sys.executable, "-I", "-S", "-c", HEAD + textwrap.dedent(code)]
        child = mount.popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = child.communicate(60)
        assert child.wait() == status, output.decode()
        machine.wait_for(lambda: not driver.open)
        assert machine.leaks() == []
        return output.decode().split()

    return run
