# SPDX-License-Identifier: Apache-2.0
"""Real kernels for the tests: 6.1, or those that UAPI_VM_KERNELS names with blanks between them."""

import os
import subprocess
import sys

import pytest

from harness.packages import PackagesError
from harness.vm import kernels
from harness.vm.qemu import VmError, program

KERNELS = os.environ.get("UAPI_VM_KERNELS", "6.1").split()


def built(name):
    """The kernel; skips the test where it, or QEMU, cannot be had."""
    try:
        program()
        return kernels.build(name)
    except (VmError, PackagesError) as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session", params=KERNELS)
def kernel(request):
    """Each kernel; the first use downloads and builds it."""
    return built(request.param)


@pytest.fixture
def command_line():
    """uapi-harness with these words, as a process of its own."""

    def run(*words, timeout=500, **options):
        command = [sys.executable, "-m", "harness", *map(str, words)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, **options
        )

    return run


def qemus(session):
    """The process ids of the QEMUs in this session (setsid(2))."""
    command = ["pgrep", "-s", str(session), "-f", "qemu-system-x86_64 -accel"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
