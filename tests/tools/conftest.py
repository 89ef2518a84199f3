# SPDX-License-Identifier: Apache-2.0
"""Real programs in a fake machine, with the model open to assertions between them."""

import shutil
import subprocess
import sys

import pytest
from scenarios import Scenarios, version_of

from harness.doctor import missing_for_process_mount
from harness.machine import load_machine


def pytest_addoption(parser):
    parser.addoption("--scenarios", metavar="FILE", help="write a table of what real programs did")


def pytest_configure(config):
    file = config.getoption("--scenarios")
    if file is not None:
        config.pluginmanager.register(Scenarios(file))


@pytest.fixture(autouse=True)
def _tool(request):
    """What the table of scenarios says of a test's tool."""
    package = getattr(request.module, "PACKAGE", None)
    if package is not None:
        request.node.user_properties.append(("tool", package))
        request.node.user_properties.append(("version", version_of(package)))


@pytest.fixture(scope="session", autouse=True)
def _process_mount():
    reason = missing_for_process_mount()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def need():
    """Skip unless a program is installed."""

    def need_it(program):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} here; fixtures/packages.yaml names its Debian package")

    return need_it


class Completed:
    """What a program did: ``status``, ``out``, ``err``."""

    def __init__(self, status, out, err):
        self.status = status
        self.out = out
        self.err = err


class Inside:
    """A mounted machine. Calling it runs a program there and waits for it."""

    def __init__(self, machine, mount):
        self.machine = machine
        self._mount = mount
        #: Words that stand for a program, by its name.
        self.programs = {}

    def start(self, *command, **options):
        """A program that goes on while others run; kill it, or it is killed at the end."""
        program, *arguments = command
        return self._mount.popen(
            [*self.programs.get(program, [program]), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def __call__(self, *command, status=0):
        child = self.start(*command)
        out, err = (data.decode() for data in child.communicate(timeout=60))
        result = Completed(child.wait(), out, err)
        assert status is None or result.status == status, f"{command}: {result.out}{result.err}"
        return result


@pytest.fixture
def inside(request):
    """``inside(name)`` is a fresh machine with a process mount for this test.

    ``mount`` names what the mount does besides.
    """
    from contextlib import ExitStack

    from harness.mounts.process import MountOptions, ProcessMount

    with ExitStack() as stack:

        def mount(name, *, mount=(), **options):
            machine = load_machine(name, **options)
            request.node.user_properties.append(("profile", machine.profile.name))
            made = ProcessMount(machine, options=MountOptions.of(mount))
            return Inside(machine, stack.enter_context(made))

        yield mount


@pytest.fixture
def command_line():
    """Run ``uapi-harness`` itself."""

    def run(*arguments, **options):
        return subprocess.run(
            [sys.executable, "-m", "harness", *arguments],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            **options,
        )

    return run
