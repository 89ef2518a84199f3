# SPDX-License-Identifier: Apache-2.0
"""What becomes of a DSA that halts and asks for a function level reset."""

import pytest

from harness.machine import load_machine
from harness.uapi import idxd as u

DEVICES = "/sys/bus/dsa/devices"
ADDRESS = "0000:6a:01.0"


@pytest.fixture
def enabled():
    """``enabled(profile)``: a machine whose wq0.0 is enabled for programs."""

    def make(profile):
        machine = load_machine("spr-1s", profile=profile)
        stores = {"group_id": "0", "mode": "dedicated", "size": "8", "priority": "1"}
        stores |= {"type": "user", "name": "app"}
        if profile != "6.1":
            stores["driver_name"] = "user"
        for name, value in stores.items():
            machine.write(f"{DEVICES}/wq0.0/{name}", value)
        machine.write(f"{DEVICES}/engine0.0/group_id", "0")
        machine.write("/sys/bus/dsa/drivers/idxd/bind", "dsa0")
        machine.write("/sys/bus/dsa/drivers/user/bind", "wq0.0")
        return machine

    return make


def halt(machine, reset_type):
    with machine.kernel.lock:
        machine._sites[ADDRESS].function.halt(reset_type)


def states(machine):
    return [machine.read(f"{DEVICES}/{name}/state").strip() for name in ("dsa0", "wq0.0")]


@pytest.mark.parametrize(
    ("profile", "reset_type", "left"),
    [
        ("7.2", u.IDXD_DEVICE_RESET_FLR, ["enabled", "enabled"]),
        ("6.12", u.IDXD_DEVICE_RESET_FLR, ["disabled", "disabled"]),
        ("6.1", u.IDXD_DEVICE_RESET_FLR, ["disabled", "disabled"]),
        ("7.2", u.IDXD_DEVICE_RESET_WARM, ["disabled", "disabled"]),
    ],
)
def test_a_halt(enabled, profile, reset_type, left):
    machine = enabled(profile)
    halt(machine, reset_type)
    assert states(machine) == left


def test_a_reset_by_the_driver_itself_can_be_repeated(enabled):
    machine = enabled("7.2")
    for _ in range(3):
        halt(machine, u.IDXD_DEVICE_RESET_FLR)
        assert machine.read(f"{DEVICES}/wq0.0/name") == "app\n"
    assert states(machine) == ["enabled", "enabled"]
    assert machine.listdir("/dev/dsa") == ["wq0.0"]


def test_without_a_reset_method_the_device_stays_halted(enabled):
    machine = enabled("7.2")
    machine.write(f"/sys/bus/pci/devices/{ADDRESS}/reset_method", "\n")
    halt(machine, u.IDXD_DEVICE_RESET_FLR)
    assert states(machine)[0] == "halted"
