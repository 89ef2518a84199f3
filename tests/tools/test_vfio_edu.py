# SPDX-License-Identifier: Apache-2.0
"""A user of VFIO in 200 lines of C, dynamic and static, root's and another user's."""

import subprocess
import tempfile
from pathlib import Path

import pytest

EDU, GROUP, USER = "0000:00:05.0", "/dev/vfio/3", 1000
BIND = f"""
    cd /sys/bus/pci && echo vfio-pci > devices/{EDU}/driver_override && echo {EDU} > drivers_probe
"""


@pytest.fixture(params=["dynamic", "static"])
def program(request, need):
    need("gcc")
    flags = ["-static"] if request.param == "static" else []
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)  # not only for us
        path = f"{directory}/vfio_edu"
        source = Path(__file__).with_name("vfio_edu.c")
        subprocess.run(["gcc", "-O2", *flags, "-o", path, source], check=True)
        yield path


@pytest.fixture(params=["6.1", "6.12", "7.2"])
def q35(inside, request):
    machine = inside("qemu-q35", profile=request.param)
    machine("sh", "-c", BIND)
    return machine


def said(user):
    return (
        "device 9 regions 5 irqs, bar 0x100000 config 0x100\n"
        "edu 010000ed, 10! is 3628800\n"
        "a page to the device and back\n"
        "unmapped 0x2000\n"
        f"done as user {user}\n"
    )


def run_as(q35, user, program, *, status=0):
    child = q35.start(program, EDU, uid=user)
    out, err = (data.decode() for data in child.communicate(timeout=60))
    assert child.wait() == status, err
    q35.machine.wait_for(lambda: q35.machine.leaks() == [])
    return out + err


def test_as_root(q35, program):
    assert run_as(q35, 0, program) == said(0)


def test_as_a_user_who_was_given_the_group(q35, program):
    assert "Permission denied" in run_as(q35, USER, program, status=1)
    q35("chown", str(USER), GROUP)
    assert run_as(q35, USER, program) == said(USER)


def test_without_memory_to_lock(q35, program):
    """Two pages would be pinned; only root may pin more than the limit allows."""
    q35("chown", str(USER), GROUP)
    shell = ("sh", "-c", f"ulimit -l 4 && exec {program} {EDU}")
    child = q35.start(*shell, uid=USER)
    _, err = child.communicate(timeout=60)
    assert child.wait() == 1
    assert err.decode() == "VFIO_IOMMU_MAP_DMA: Cannot allocate memory\n"
    assert q35("sh", "-c", f"ulimit -l 4 && exec {program} {EDU}").out == said(0)
