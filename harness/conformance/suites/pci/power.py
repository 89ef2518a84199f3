# SPDX-License-Identifier: Apache-2.0
"""Power of functions: which sleep by themselves, and what wakes them.

The kernel leaves sleeping to a work queue, so that a case waits for it.
"""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.suites.pci._q35 import (
    BRIDGE,
    E1000E,
    EDU,
    INNER_EDU,
    MACHINE,
    SMBUS,
    STUB,
    TESTDEV,
    VFIO,
    device,
    give,
    take,
)
from harness.uapi.fs import O_RDONLY

_RUNTIME = "drivers/base/power/runtime.c, 6.1"
_PCI = "drivers/pci/pci-driver.c, 6.1"
_VFIO = "vfio_pci_core_register_device: drivers/vfio/pci/vfio_pci_core.c, 6.1"
_ROOT = "/sys/devices/pci0000:00"


def _settle(call: Call) -> None:
    """Let the kernel's work queue have its turn."""
    with call.opened("/sys", O_RDONLY) as fd:
        expect(call.poll({fd: 0}, 200), {fd: 0})


def _power(call: Call, address: str, **wanted: str) -> None:
    for name, value in wanted.items():
        expect(call.read_text(f"{device(address)}/power/{name}"), f"{value}\n")


def _control(call: Call, address: str, text: str) -> None:
    expect(call.write_text(f"{device(address)}/power/control", text), len(text))
    _settle(call)


def _active_kids(call: Call, directory: str = _ROOT) -> int:
    return int(expect(call.read_text(f"{directory}/power/runtime_active_kids")))


@case(source=f"rpm_idle, rpm_suspend: {_RUNTIME}; pci_pm_runtime_idle: {_PCI}", machine=MACHINE)
@param("address", [EDU, E1000E, SMBUS])
def sleeps_without_a_driver(call: Call, address: str) -> None:
    """``auto`` lets it sleep at once, and one less is awake below the host bridge."""
    awake = _active_kids(call)
    _power(call, address, control="on", runtime_status="active", runtime_usage="1")
    _control(call, address, "auto")
    _power(call, address, runtime_status="suspended", runtime_usage="0", runtime_enabled="enabled")
    expect(_active_kids(call), awake - 1)
    _control(call, address, "on")
    _power(call, address, runtime_status="active", runtime_usage="1", runtime_enabled="forbidden")
    expect(_active_kids(call), awake)


@case(source=f"pci_pm_runtime_resume: {_PCI}", machine=MACHINE)
def wakes_in_d0(call: Call) -> None:
    """A state that nobody knew is known then, also without the capability."""
    _control(call, SMBUS, "auto")
    _control(call, SMBUS, "on")
    expect(call.read_text(f"{device(SMBUS)}/power_state"), "D0\n")


@case(source=f"rpm_suspend, rpm_resume: {_RUNTIME}", machine=MACHINE)
def a_bridge_sleeps_after_all_behind_it(call: Call) -> None:
    """And wakes for the first of them."""
    awake = _active_kids(call)
    _control(call, BRIDGE, "auto")
    _power(call, BRIDGE, runtime_status="active", runtime_usage="0", runtime_active_kids="2")
    _control(call, INNER_EDU, "auto")
    _power(call, BRIDGE, runtime_status="active", runtime_active_kids="1")
    _control(call, TESTDEV, "auto")
    _power(call, BRIDGE, runtime_status="suspended", runtime_active_kids="0")
    expect(_active_kids(call), awake - 1)
    _control(call, INNER_EDU, "on")
    _power(call, BRIDGE, runtime_status="active", runtime_active_kids="1")
    expect(_active_kids(call), awake)


@case(source=f"local_pci_probe, pci_device_remove: {_PCI}", machine=MACHINE)
def stays_awake_for_a_driver(call: Call) -> None:
    """A driver holds one use, and wakes what slept."""
    _control(call, EDU, "auto")
    give(call, EDU, STUB)
    _settle(call)
    _power(call, EDU, runtime_status="active", runtime_usage="1")
    take(call, EDU, STUB)
    _settle(call)
    _power(call, EDU, runtime_status="suspended", runtime_usage="0")


@case(
    source="vfio_pci_core_register_device: drivers/vfio/pci/vfio_pci_core.c, 6.1", machine=MACHINE
)
@param("address state", [(EDU, "D0\n"), (E1000E, "D3hot\n")])
def vfio_pci_lets_it_sleep(call: Call, address: str, state: str) -> None:
    """It knows the state afterwards; without the capability there is only one."""
    awake = _active_kids(call)
    give(call, address, VFIO)
    _settle(call)
    _power(call, address, control="auto", runtime_status="suspended", runtime_usage="0")
    expect(call.read_text(f"{device(address)}/power_state"), state)
    expect(_active_kids(call), awake - 1)
    take(call, address, VFIO)
    _settle(call)
    _power(call, address, control="on", runtime_status="active", runtime_usage="1")
    expect(call.read_text(f"{device(address)}/power_state"), "D0\n")
    expect(_active_kids(call), awake)


@case(source=f"pm_runtime_remove: {_RUNTIME}", machine=MACHINE)
def a_sleeper_goes(call: Call) -> None:
    """Only who is awake is missing afterwards."""
    awake = _active_kids(call)
    _control(call, SMBUS, "auto")
    expect(call.write_text(f"{device(SMBUS)}/remove", "1"), 1)
    expect(_active_kids(call), awake - 1)
    expect(call.write_text(f"{device(EDU)}/remove", "1"), 1)
    expect(_active_kids(call), awake - 2)


@case(source="pci_dev_save_and_disable: drivers/pci/pci.c, 6.1", machine=MACHINE)
def a_reset_wakes_it(call: Call) -> None:
    """Into D0, whatever its state was thought to be."""
    expect(call.write_text(f"{device(E1000E)}/reset", "1"), 1)
    expect(call.read_text(f"{device(E1000E)}/power_state"), "D0\n")
