# SPDX-License-Identifier: Apache-2.0
"""accel-config on other machines and kernels: IAA, DSA 2.0, no device, no driver."""

import json

import pytest
from newer import EACH_ACCEL_CONFIG, inside_with

PACKAGE = "accel-config"

DSA = "/sys/bus/dsa/devices"
KERNELS = ["6.1", "6.12", "7.2"]


@pytest.fixture(autouse=True)
def _installed(need):
    need("accel-config")


@pytest.fixture(params=EACH_ACCEL_CONFIG)
def inside(request, inside):
    if request.param != "installed":
        request.node.user_properties.append(("version", f"4.1.8 ({request.param})"))
    return inside_with(request.param, inside)


def devices(machine, *options):
    return {one["dev"]: one for one in json.loads(machine("accel-config", "list", *options).out)}


def configure(machine, device, queue, engine):
    words = ["--group-id=0", "--wq-size=8", "--priority=5", "--type=user", "--name=app"]
    words += ["--mode=dedicated"]
    machine("accel-config", "config-wq", f"{device}/{queue}", *words)
    machine("accel-config", "config-engine", f"{device}/{engine}", "--group-id=0")


@pytest.mark.parametrize("kernel", KERNELS)
def test_list_of_a_mixed_machine(inside, kernel):
    found = devices(inside("gnr-1s", profile=kernel), "-i")
    assert set(found) == {"dsa0", "iax1", "dsa2", "iax3", "dsa4", "iax5", "dsa6", "iax7"}
    assert {device["version"] for device in found.values()} == {"0x200"}
    assert [found[name]["max_engines"] for name in ("dsa0", "iax1")] == [4, 8]
    assert [found[name]["work_queue_size"] for name in ("dsa0", "iax1")] == [128, 128]


def test_iaa_is_configured_and_enabled(inside):
    machine = inside("spr-1s")
    configure(machine, "iax1", "wq1.0", "engine1.0")
    machine("accel-config", "enable-device", "iax1")
    machine("accel-config", "enable-wq", "iax1/wq1.0")
    assert machine.machine.read(f"{DSA}/iax1/state") == "enabled\n"
    assert machine.machine.read(f"{DSA}/wq1.0/state") == "enabled\n"
    assert machine("ls", "/dev/iax").out == "wq1.0\n"
    machine("accel-config", "disable-wq", "iax1/wq1.0")
    machine("accel-config", "disable-device", "iax1")
    assert machine.machine.read(f"{DSA}/iax1/state") == "disabled\n"


def test_iaa_comes_enabled_with_newer_kernels(inside):
    found = devices(inside("spr-1s", profile="6.12"), "-i")
    assert found["iax1"]["state"] == "enabled"
    (group,) = [group for group in found["iax1"]["groups"] if "grouped_workqueues" in group]
    (queue,) = group["grouped_workqueues"]
    assert (queue["dev"], queue["name"], queue["size"]) == ("wq1.0", "iaa_crypto", 128)


@pytest.mark.parametrize("kernel", KERNELS[1:])
def test_newer_kernels_ask_for_the_driver_name(inside, kernel):
    """Without it a queue cannot be enabled; older tools have no option for it."""
    machine = inside("spr-1s", profile=kernel)
    configure(machine, "dsa0", "wq0.0", "engine0.0")
    machine("accel-config", "enable-device", "dsa0")
    failed = machine("accel-config", "enable-wq", "dsa0/wq0.0", status=None)
    assert failed.status != 0
    assert machine.machine.read(f"{DSA}/wq0.0/state") == "disabled\n"
    machine.machine.write(f"{DSA}/wq0.0/driver_name", "user")
    machine("accel-config", "enable-wq", "dsa0/wq0.0")
    assert machine.machine.read(f"{DSA}/wq0.0/state") == "enabled\n"


def test_no_device(inside):
    machine = inside("empty")
    assert json.loads(machine("accel-config", "list", "-i").out) == []
    failed = machine("accel-config", "enable-device", "dsa0", status=None)
    assert failed.status != 0


def test_no_driver(inside):
    machine = inside("no-driver")
    failed = machine("accel-config", "list", "-i", status=None)
    assert "idxd kernel module not loaded" in failed.out + failed.err
    failed = machine("accel-config", "enable-device", "dsa0", status=None)
    assert failed.status != 0


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_queue_lives_on_every_kernel(inside, kernel):
    """A newer tool gives newer kernels the driver's name; the older one cannot."""
    machine = inside("spr-1s", profile=kernel)
    configure(machine, "dsa0", "wq0.0", "engine0.0")
    if kernel != "6.1":
        if "accel-config" in machine.programs:
            machine("accel-config", "config-wq", "dsa0/wq0.0", "--driver-name=user")
        else:
            machine.machine.write(f"{DSA}/wq0.0/driver_name", "user")
    machine("accel-config", "enable-device", "dsa0")
    machine("accel-config", "enable-wq", "dsa0/wq0.0")
    assert machine("ls", "/dev/dsa").out == "wq0.0\n"
    machine("accel-config", "disable-wq", "dsa0/wq0.0")
    machine("accel-config", "disable-device", "dsa0")
    assert machine.machine.read(f"{DSA}/dsa0/state") == "disabled\n"
