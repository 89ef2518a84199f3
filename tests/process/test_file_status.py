# SPDX-License-Identifier: Apache-2.0
"""What programs are told of files: file systems' names, and devices that pass for devices."""

import os
import stat
import subprocess
import sys

import pytest

from harness.kernel.wait import RealClock
from harness.machine import load_machine
from harness.mounts.process import MountOptions, ProcessMount

NODE = "/dev/dsa/wq0.0"


@pytest.fixture
def machine():
    return load_machine("spr-2s", profile="6.12", clock=RealClock())


@pytest.fixture
def spoken(mounted):
    """``spoken(option)`` is a mount; calling that gives what a shell command says."""

    def mount(option):
        made = mounted(options=MountOptions.of([option]))

        def say(script):
            child = made.popen(["sh", "-c", script], stdout=subprocess.PIPE)
            out, _ = child.communicate(timeout=60)
            assert child.wait() == 0
            return out.decode()

        return say

    return mount


@pytest.fixture
def device(machine):
    """A queue with a node in /dev; its major and minor."""
    devices = "/sys/bus/dsa/devices"
    for path, text in {
        "wq0.0/group_id": "0",
        "wq0.0/size": "16",
        "wq0.0/mode": "dedicated",
        "wq0.0/type": "user",
        "wq0.0/name": "app",
        "wq0.0/priority": "9",
        "wq0.0/driver_name": "user",
        "engine0.0/group_id": "0",
    }.items():
        machine.write(f"{devices}/{path}", text)
    machine.write("/sys/bus/dsa/drivers/idxd/bind", "dsa0")
    machine.write("/sys/bus/dsa/drivers/user/bind", "wq0.0")
    return machine.read("/sys/bus/dsa/devices/dsa!wq0.0/dev").strip()


def test_file_systems_are_named(spoken):
    say = spoken("uevents")
    assert say("stat -f -c %T /sys /sys/bus/dsa /dev").split() == ["sysfs", "sysfs", "tmpfs"]
    assert say("cd /sys/bus/dsa/devices/dsa0; stat -f -c %T . state").split() == ["sysfs"] * 2
    assert say("stat -f -c %T / /proc") == subprocess.check_output(
        ["stat", "-f", "-c", "%T", "/", "/proc"], text=True
    )


@pytest.mark.parametrize(
    "script",
    [
        f"stat -c '%F|%t:%T' {NODE}",
        f"stat -L -c '%F|%t:%T' {NODE}",
        "cd /dev/dsa; stat -c '%F|%t:%T' wq0.0",
        "cd /sys; stat -c '%F|%t:%T' ../dev/dsa/../dsa//wq0.0",
    ],
)
def test_a_device_is_one_by_any_name(spoken, device, script):
    major, minor = map(int, device.split(":"))
    assert spoken("char_devices")(script) == f"character special file|{major:x}:{minor:x}\n"


def test_an_open_device_is_one(mounted, device):
    program = f"import os; print(os.fstat(os.open({NODE!r}, os.O_PATH)))"
    made = mounted(options=MountOptions(char_devices=True))
    child = made.popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    out, _ = child.communicate(timeout=60)
    assert f"st_mode={stat.S_IFCHR | 0o600}" in out.decode()


def test_tests_and_listings(spoken, device):
    say = spoken("char_devices")
    assert say(f"test -c {NODE} && echo yes") == "yes\n"
    assert say("find /dev/dsa -type c") == f"{NODE}\n"
    assert say("ls -l /dev/dsa | tail -1").startswith("crw------- 1 ")
    major, minor = device.split(":")
    assert f" {major}, {minor} " in say("ls -l /dev/dsa | tail -1")
    assert say(f"cat /sys/dev/char/{device}/dev") == f"{device}\n"


def test_other_files_are_what_they_are(spoken, device, tmp_path):
    (tmp_path / "file").write_text("text")
    say = spoken("char_devices")
    paths = f"{tmp_path}/file /dev/null /bin/sh /dev"
    shown = "stat -L -c '%F %t %i %s'"
    expected = subprocess.check_output(["sh", "-c", f"{shown} {paths}"], text=True).splitlines()
    assert say(f"{shown} {paths}").splitlines()[:3] == expected[:3]
    assert say("stat /nonexistent /dev/dsa/wq0.0/ 2>&1 || true").count("stat: cannot") == 2


def test_without_the_option_it_is_a_file(mounted, device):
    child = mounted().popen(["stat", "-c", "%F", NODE], stdout=subprocess.PIPE)
    out, _ = child.communicate(timeout=60)
    assert out == b"regular empty file\n"
    assert stat.S_ISDIR(os.stat("/dev").st_mode)


def test_a_program_that_nobody_may_look_into(mounted):
    """It is not dumpable, as a set-uid one; its own files are all it can have then."""
    program = """
import ctypes, os
ctypes.CDLL(None).prctl(4, 0)
fd = os.open("/bin/sh", os.O_RDONLY)
print(os.lseek(fd, 5, os.SEEK_SET), len(os.read(fd, 3)), os.fstat(fd).st_size > 0)
"""
    made = mounted(options=MountOptions(char_devices=True))
    child = made.popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    out, _ = child.communicate(timeout=60)
    assert out.decode() == "5 3 True\n"


def test_where_numbers_matter_no_option_is_needed(tmp_path):
    """The kernel has device nodes of VFIO. A position is asked of the driver, if it has its own."""
    machine = load_machine("qemu-q35", profile="6.12+iommufd", clock=RealClock())
    (tmp_path / "file").write_text("text")
    program = f"""
import os, stat
print(stat.S_ISCHR(os.stat("/dev/iommu").st_mode))
for path in ("/dev/iommu", "/sys/bus/pci/devices/0000:00:05.0/vendor", "{tmp_path}/file"):
    fd = os.open(path, os.O_RDONLY)
    os.read(fd, 2) if path != "/dev/iommu" else None
    for offset, whence in (0, os.SEEK_CUR), (-1, os.SEEK_CUR), (9, os.SEEK_SET), (0, 77):
        try:
            print(os.lseek(fd, offset, whence), end=" ")
        except OSError as error:
            print(error.errno, end=" ")
"""
    with ProcessMount(machine) as mount:
        child = mount.popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        out, _ = child.communicate(timeout=60)
    assert out.decode() == "True\n29 29 29 22 2 1 9 22 2 1 9 22 "
