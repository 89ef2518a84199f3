# SPDX-License-Identifier: Apache-2.0
"""Debian's unmodified kmod: modules of the model come and go, with the errors that users meet."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.kernel.profile import KernelSection

PACKAGE = "kmod"


@pytest.fixture(autouse=True)
def _installed(need):
    need("modprobe")


@pytest.fixture(params=["6.1", "6.12", "7.2"])
def bare(inside, request):
    return inside("no-driver", mount=["system"], profile=request.param)


@pytest.fixture
def loaded(inside):
    return inside("no-driver", mount=["system"], profile="6.12")


def test_the_kernel_is_the_profiles(bare):
    section = bare.machine.profile.section("kernel", KernelSection)
    assert bare("uname", "-srvm").out == f"Linux {section.release} {section.version} x86_64\n"
    assert bare("uname", "-n").out == f"{os.uname().nodename}\n"
    version = bare("cat", "/proc/version").out
    assert version.startswith(f"Linux version {section.release} (debian-kernel@")
    assert version.endswith(f" {section.version}\n")
    assert section.release in bare("cat", "/proc/cmdline").out


def test_the_files_of_proc_are_nobodys(tmp_path):
    """No program can write them, and a runner that is killed leaves none of them."""
    script = "ls -A $TMPDIR; (echo x > /proc/version) 2> /dev/null; cat /proc/version"
    run = subprocess.run(
        [sys.executable, "-m", "harness", "run", "--system", "--", "sh", "-c", script],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.startswith("Linux version 6.1.0-")


def test_modprobe_brings_the_module_and_what_it_needs(bare):
    bare("modprobe", "idxd")
    assert bare.machine.devices("dsa")[0] == "dsa0"
    assert bare("ls", "/sys/module/idxd_bus/holders").out == "idxd\n"
    devices = bare("cat", "/proc/devices").out
    for name, major in bare.machine.kernel.devices.majors.items():
        assert f"\n{major} {name}\n" in devices
    bare("modprobe", "idxd")  # it is there: nothing to do
    bare("modprobe", "-r", "idxd")
    assert not Path("/sys/bus/dsa").exists()
    assert bare("ls", "/sys/bus/dsa", status=2).out == ""
    assert "idxd_bus" not in bare.machine.kernel.modules  # -r removes what is unused


USES_VFIO = """
import fcntl, mmap, os, sys
container = os.open("/dev/vfio/vfio", os.O_RDWR)
group = os.open("/dev/vfio/" + sys.argv[1], os.O_RDWR)
fcntl.ioctl(group, 0x3B68, container.to_bytes(4, sys.byteorder))
fcntl.ioctl(container, 0x3B66, 1)
name = mmap.mmap(-1, 4096)
name.write(sys.argv[2].encode())
device = fcntl.ioctl(group, 0x3B6A, name)
print(os.pread(device, 4, 7 << 40).hex())
print(len(mmap.mmap(device, 4096, mmap.MAP_SHARED, mmap.PROT_READ)))
"""


@pytest.mark.parametrize("profile", ["6.1", "6.12+iommufd"])
def test_a_program_loads_vfio_and_then_uses_it(inside, profile):
    """What it is watched for was settled when it started."""
    address = "0000:6a:01.0"
    device = f"/sys/bus/pci/devices/{address}"
    script = f"""
        modprobe vfio-pci disable_denylist=1 && modprobe vfio_iommu_type1 || exit
        echo vfio-pci > {device}/driver_override
        echo {address} > /sys/bus/pci/drivers_probe
        group=$(basename $(readlink {device}/iommu_group))
        exec {sys.executable} -c '{USES_VFIO}' $group {address}
    """
    machine = inside("no-driver", mount=["system"], profile=profile)
    assert machine("sh", "-c", script).out == "8680250b\n4096\n"


def test_by_alias_as_udev_does_it(loaded):
    alias = loaded.machine.read("/sys/bus/pci/devices/0000:6a:01.0/modalias").strip()
    loaded("modprobe", "--quiet", alias)
    assert "idxd" in loaded.machine.kernel.modules


def test_parameters(loaded):
    loaded("modprobe", "idxd", "sva=0")
    assert loaded("cat", "/sys/module/idxd/parameters/sva").out == "N\n"
    loaded("modprobe", "-r", "idxd")
    failed = loaded("modprobe", "idxd", "sva=maybe", status=1)
    assert failed.err == "modprobe: ERROR: could not insert 'idxd': Invalid argument\n"


def test_an_unknown_module(loaded):
    release = loaded.machine.profile.section("kernel", KernelSection).release
    message = f"modprobe: FATAL: Module foo not found in directory /lib/modules/{release}\n"
    assert loaded("modprobe", "foo", status=1).err == message
    assert loaded("rmmod", "foo", status=1).err == (
        "rmmod: ERROR: Module foo is not currently loaded\n"
    )


def test_a_kernel_without_the_module(inside):
    old = inside("no-driver", mount=["system"], profile="6.1")
    assert "Module iaa_crypto not found" in old("modprobe", "iaa_crypto", status=1).err


def test_what_is_in_use_stays(loaded):
    loaded("modprobe", "iaa_crypto")
    in_use = loaded("rmmod", "idxd_bus", status=1)
    said, _, holders = in_use.err.partition(" by: ")
    assert said == "rmmod: ERROR: Module idxd_bus is in use"
    assert set(holders.split()) == {"iaa_crypto", "idxd"}
    assert loaded("modprobe", "-r", "idxd", status=1).err == (
        "modprobe: FATAL: Module idxd is in use.\n"
    )
    assert loaded("rmmod", "iaa_crypto", status=1).err == (
        "rmmod: ERROR: Module iaa_crypto is in use\n"
    )
    loaded("sh", "-c", "echo wq1.0 > /sys/bus/dsa/drivers/crypto/unbind")
    loaded("rmmod", "iaa_crypto", "idxd", "idxd_bus")
    assert not loaded.machine.kernel.modules


def test_modinfo(loaded):
    shown = dict(
        line.split(":", 1) for line in loaded("modinfo", "idxd").out.splitlines() if ":" in line
    )
    assert shown["depends"].strip() == "idxd_bus"
    assert shown["version"].strip() == "1.00"
    assert shown["vermagic"].split()[0] == loaded("uname", "-r").out.strip()
    assert "modinfo: ERROR: Module foo not found.\n" in loaded("modinfo", "foo", status=1).err


def test_lsmod(loaded):
    if not Path("/proc/modules").exists():
        # The host's kernel has no modules, so there is nothing to show the machine's as.
        problem = loaded("lsmod", status=1).err
        assert "could not open /proc/modules: No such file or directory" in problem
        return
    loaded("modprobe", "idxd")
    assert loaded("lsmod").out.split("\n")[1:3] == [
        "idxd                  151552  0",
        "idxd_bus               16384  1 idxd",
    ]


def test_an_ordinary_user_may_not(inside):
    machine = inside("no-driver", mount=["system"], profile="6.12")
    child = machine.start("modprobe", "idxd", uid=1000)
    _, err = child.communicate(timeout=60)
    assert child.wait() == 1
    assert err == b"modprobe: ERROR: could not insert 'idxd': Operation not permitted\n"


def test_without_the_option_nothing_is_different(inside):
    plain = inside("no-driver")
    assert plain("uname", "-r").out == f"{os.uname().release}\n"
    assert plain("cat", "/proc/version").out == Path("/proc/version").read_text()


def test_a_module_of_mediated_devices(inside):
    machine = inside("no-driver", mount=["system"], profile="6.12")
    machine("modprobe", "mtty")
    create = "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create"
    machine("sh", "-c", f"echo 83b8f4f2-509f-382f-3c1e-e6bfe0fa1001 > {create}")
    assert machine.machine.devices("mdev") == ["83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"]
    machine("rmmod", "mtty")
    assert machine.machine.devices("mdev") == []
    assert machine("ls", "/sys/class/mdev_bus").out == ""
    machine("modprobe", "mtty")
    assert machine("ls", "/sys/class/mdev_bus").out == "mtty\n"


def test_an_open_queue_holds_the_driver(inside):
    machine = inside("spr-2s", mount=["system"], profile="7.2")
    for path, text in {
        "wq0.0/group_id": "0",
        "wq0.0/size": "16",
        "wq0.0/mode": "dedicated",
        "wq0.0/priority": "9",
        "wq0.0/type": "user",
        "wq0.0/name": "app",
        "wq0.0/driver_name": "user",
        "engine0.0/group_id": "0",
    }.items():
        machine.machine.write(f"/sys/bus/dsa/devices/{path}", text)
    machine.machine.write("/sys/bus/dsa/drivers/idxd/bind", "dsa0")
    machine.machine.write("/sys/bus/dsa/drivers/user/bind", "wq0.0")
    program = machine.start("sh", "-c", "exec 3<>/dev/dsa/wq0.0; echo open; exec sleep 60")
    assert program.stdout.readline() == b"open\n"
    assert machine("rmmod", "idxd", status=1).err == "rmmod: ERROR: Module idxd is in use\n"
    program.kill()
    program.communicate(timeout=60)
    machine("rmmod", "idxd")
    assert machine.machine.devices("dsa") == []
