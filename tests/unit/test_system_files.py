# SPDX-License-Identifier: Apache-2.0
"""Files of /proc and /lib/modules as the machine's kernel would have them."""

import subprocess

import pytest

from harness.kernel.uevents import Uevent
from harness.machine import load_machine
from harness.mounts.process import MountError
from harness.mounts.process.module_files import module_folder
from harness.mounts.process.netlink import netlink_message
from harness.mounts.process.system_files import proc_devices, proc_modules, proc_version

HOST = "Character devices:\n  1 mem\n240 hidden\n\nBlock devices:\n  8 sd\n"


@pytest.fixture
def kernel():
    return load_machine("spr-1s", profile="6.12").kernel


def test_modules_are_listed_newest_first(kernel):
    assert proc_modules(kernel).splitlines() == [
        "idxd 151552 0 - Live 0x0000000000000000",
        "idxd_bus 16384 1 idxd, Live 0x0000000000000000",
    ]


def test_majors_of_the_host_and_of_the_machine(kernel):
    kernel.devices.majors["toy"] = 240
    lines = proc_devices(kernel, HOST).splitlines()
    assert lines[:3] == ["Character devices:", "  1 mem", "240 toy"]
    assert lines[-3:] == ["", "Block devices:", "  8 sd"]
    assert f"{kernel.devices.majors['dsa']} dsa" in lines


@pytest.mark.parametrize("profile", ["6.1", "6.12", "7.2"])
def test_the_banner(profile):
    banner = proc_version(load_machine("empty", profile=profile).kernel)
    assert banner.startswith("Linux version ")
    assert ", GNU ld (GNU Binutils for Debian) 2." in banner
    assert banner.count("\n") == 1


def test_module_files_are_made_once(kernel, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if not any((folder / "depmod").exists() for folder in map(tmp_path.cwd().joinpath, SBIN)):
        pytest.skip("no depmod here; fixtures/packages.yaml names its Debian package")
    folder = module_folder(kernel)
    made = folder / "modules" / kernel.section.release
    dependencies = (made / "modules.dep").read_text().splitlines()
    assert "kernel/idxd.ko: kernel/idxd_bus.ko" in dependencies
    assert "alias pci:v00008086d00000B25sv*sd*bc*sc*i* idxd" in (made / "modules.alias").read_text()
    monkeypatch.setattr(subprocess, "run", None)
    assert module_folder(kernel) == folder


def test_no_depmod(kernel, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda name, path: None)
    with pytest.raises(MountError, match="there is no depmod here"):
        module_folder(kernel)
    assert not list(tmp_path.rglob("*.ko"))


def test_a_uevent_is_a_request_with_the_kernels_text():
    event = Uevent("add", "/devices/x", {"ACTION": "add", "DEVPATH": "/devices/x", "SEQNUM": "7"})
    message = netlink_message(event)
    assert int.from_bytes(message[:4], "little") == len(message)
    assert message[16:] == b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0"


SBIN = ["/sbin", "/usr/sbin", "/bin", "/usr/bin"]
