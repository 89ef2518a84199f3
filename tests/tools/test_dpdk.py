# SPDX-License-Identifier: Apache-2.0
"""DPDK's Python tools, imported unmodified into this process, and as programs."""

import os
import shutil
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import pytest
from debian import source_file

from harness.machine import load_machine
from harness.mounts.inprocess import InProcessMount

PACKAGE = "dpdk"

DSA = "/sys/bus/dsa/devices"
ADDRESS = "0000:6a:01.0"


@pytest.fixture(scope="session")
def idxd_cfg(tmp_path_factory):
    """The path of DPDK's dpdk_idxd_cfg.py, which no binary package has."""
    directory = tmp_path_factory.mktemp("dpdk-source")
    try:
        content = source_file("dpdk", "dpdk_idxd_cfg.py", directory)
    except (OSError, RuntimeError) as error:
        pytest.skip(f"the source package of dpdk cannot be had: {error}")
    path = directory / "dpdk_idxd_cfg.py"
    path.write_bytes(content)
    return str(path)


def imported(path):
    loader = SourceFileLoader("tool", path)
    module = module_from_spec(spec_from_loader("tool", loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def devbind(mount, monkeypatch, capsys):
    """``devbind(*arguments)``: what it prints. It asks lspci, which runs in the machine too."""
    path = shutil.which("dpdk-devbind.py")
    if path is None:
        pytest.skip("dpdk-devbind.py is not installed (Debian package dpdk)")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [path, *arguments])
        imported(path).main()
        return capsys.readouterr().out

    return run


def test_devbind_shows_the_accelerators(devbind):
    shown = devbind("--status-dev", "dma").splitlines()
    assert [line.split()[0] for line in shown if "drv=idxd" in line] == [
        "0000:6a:01.0",
        "0000:6f:01.0",
        "0000:e7:01.0",
        "0000:ec:01.0",
    ]


def test_devbind_unbinds_and_binds(devbind, machine):
    devbind("--unbind", ADDRESS)
    assert not os.path.exists(f"/sys/bus/pci/devices/{ADDRESS}/driver")
    assert "dsa0" not in os.listdir(DSA)
    others = devbind("--status-dev", "dma").partition("Other DMA devices")[2]
    assert f"{ADDRESS} 'Device 0b25'" in others
    devbind("--bind", "idxd", ADDRESS)
    assert os.readlink(f"/sys/bus/pci/devices/{ADDRESS}/driver").endswith("/idxd")
    assert "dsa0" in machine.devices("dsa")


def test_devbind_tells_of_a_driver_that_is_not_loaded(devbind):
    with pytest.raises(SystemExit, match="Driver 'vfio-pci' is not loaded"):
        devbind("--bind", "vfio-pci", ADDRESS)


@pytest.mark.parametrize("device", ["0", ADDRESS])
def test_idxd_cfg_configures_a_device_and_resets_it(mount, machine, idxd_cfg, device):
    tool = imported(idxd_cfg)
    tool.main(["dpdk_idxd_cfg.py", device, "-q", "4"])
    assert machine.read(f"{DSA}/dsa0/state") == "enabled\n"
    for number in range(4):
        queue = f"{DSA}/wq0.{number}"
        assert machine.read(f"{queue}/state") == "enabled\n"
        assert machine.read(f"{queue}/name") == f"dpdk_wq0.{number}\n"
        assert machine.read(f"{queue}/size") == "32\n"
        assert machine.read(f"{queue}/mode") == "dedicated\n"
        assert machine.read(f"{queue}/group_id") == f"{number}\n"
    assert sorted(os.listdir("/dev/dsa")) == [f"wq0.{number}" for number in range(4)]
    tool.main(["dpdk_idxd_cfg.py", device, "--reset"])
    assert machine.read(f"{DSA}/dsa0/state") == "disabled\n"


def test_idxd_cfg_knows_driver_name(idxd_cfg):
    machine = load_machine("spr-2s", profile="6.12")
    with InProcessMount(machine):
        imported(idxd_cfg).main(["dpdk_idxd_cfg.py", "0", "-q", "1"])
    assert machine.read(f"{DSA}/wq0.0/driver_name") == "user\n"


def test_idxd_cfg_errors(mount, idxd_cfg, capsys):
    tool = imported(idxd_cfg)
    with pytest.raises(FileNotFoundError):
        tool.main(["dpdk_idxd_cfg.py", "99"])
    with pytest.raises(SystemExit, match="Could not find sysfs directory for device"):
        tool.main(["dpdk_idxd_cfg.py", "0000:00:1f.7"])
    with pytest.raises(OSError, match="Invalid argument"):
        tool.main(["dpdk_idxd_cfg.py", "0", "--wq-option", "mode=none"])
    tool.main(["dpdk_idxd_cfg.py", "0", "-q", "9"])
    assert "max supported value: 8" in capsys.readouterr().out


def test_idxd_cfg_as_a_program(inside, idxd_cfg):
    machine = inside("spr-2s")
    machine("python3", idxd_cfg, "2", "-q", "2")
    assert machine.machine.read(f"{DSA}/wq2.1/state") == "enabled\n"
