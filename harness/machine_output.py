# SPDX-License-Identifier: Apache-2.0
"""What is in a machine, as ``uapi-harness machines NAME`` shows it."""

from __future__ import annotations

from harness.kernel.driver_core import Device
from harness.machine import Machine


def show(machine: Machine) -> str:
    """Name, kernel, modules, and each PCI function with its driver and what the driver made."""
    kernel = machine.kernel
    functions = kernel.buses["pci"].devices
    lines = [
        f"{machine.name}: {machine.description}",
        f"kernel    {machine.profile.name} ({kernel.section.release})",
        f"modules   {', '.join(kernel.modules) or 'none'}",
        "",
        *(_function(machine, functions[address]) for address in machine.devices("pci")),
    ]
    if not functions:
        lines.append("no PCI function")
    return "\n".join(lines) + "\n"


def _function(machine: Machine, function: Device) -> str:
    path = f"/sys/bus/pci/devices/{function.name}"
    number = ":".join(
        machine.read(f"{path}/{name}").strip().removeprefix("0x") for name in ("vendor", "device")
    )
    driver = function.driver.name if function.driver is not None else "-"
    bus = machine.kernel.buses.get("dsa")
    accelerators = [
        _accelerator(machine, device)
        for device in (bus.devices.values() if bus is not None else ())
        if device.parent is function
    ]
    return f"{function.name}  {number}  {driver:<8}{', '.join(accelerators)}".rstrip()


def _accelerator(machine: Machine, device: Device) -> str:
    path = f"/sys/bus/dsa/devices/{device.name}"
    names = ("version", "state", "max_work_queues", "max_engines")
    version, state, queues, engines = (machine.read(f"{path}/{name}").strip() for name in names)
    return f"{device.name} (version {version}, {queues} queues, {engines} engines, {state})"
