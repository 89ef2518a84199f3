# SPDX-License-Identifier: Apache-2.0
"""The process mount on kernels older than this host's: its own tests, in a virtual machine."""

import sys
from pathlib import Path

import pytest

from harness.vm.guest import machine_for
from harness.vm.session import Session
from harness.vm.shell import HOST_FILES, in_host_files

pytestmark = pytest.mark.timeout(1500)
ROOT = Path(__file__).parents[2]
#: Instructions are emulated, so everything takes some fifty times as long.
PATIENCE = 600


@pytest.fixture(scope="module")
def guest(kernel):
    """``guest(command)`` runs a program of the host in the guest: its status and its output."""
    with Session(kernel, machine_for(str(Path(__file__).with_name("host.yaml")))) as session:
        assert session.execute(HOST_FILES, 60) == (0, "")

        def run(*words):
            environment = ["env", "HOME=/tmp", f"PYTHONPATH={ROOT}", "PYTHONDONTWRITEBYTECODE=1"]
            inside = f'cd {ROOT} && exec "$@"'
            command = [*environment, "sh", "-c", inside, "sh", sys.executable, *words]
            return session.execute(in_host_files(command), PATIENCE)

        yield run


def test_doctor_finds_what_the_kernel_lacks(guest, kernel):
    status, output = guest("-m", "harness", "doctor")
    lacking = [line for line in output.splitlines() if line.startswith("--")]
    mapped = kernel.name != "6.1"
    assert lacking == ([] if mapped else ["--  device memory     does not work"]), output
    assert status == (0 if mapped else 1)
    lines = {line[4:22].strip(): line for line in output.splitlines()}
    assert kernel.release in lines["kernel"]
    assert lines["process mount"].split() == ["ok", "process", "mount", "works"]


def test_its_own_tests_pass(guest):
    options = ("-q", "-n0", "-p", "no:cacheprovider", "-o", f"timeout={PATIENCE}")
    status, output = guest("-m", "pytest", *options, "tests/process/test_reach.py")
    assert status == 0, output
    assert " passed" in output
