# SPDX-License-Identifier: Apache-2.0
"""Functions that go and come: remove, rescan, bridges, and the slots of ACPI."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EACCES, EINVAL, ENODEV, ENOENT, ErrorNumber
from harness.conformance.suites._steps import PCI_BUS, plain_user
from harness.conformance.suites.pci._q35 import (
    BRIDGE,
    EDU,
    INNER_EDU,
    MACHINE,
    STUB,
    TESTDEV,
    device,
    driver,
    give,
    has_driver,
)
from harness.uapi.fs import O_RDONLY, O_WRONLY

_SYSFS = "drivers/pci/pci-sysfs.c, 6.1"
_SLOTS = f"{PCI_BUS}/slots"
_ACPIPHP = "drivers/pci/hotplug/acpiphp_core.c, 6.1"
_BEHIND = f"{PCI_BUS}/devices/{BRIDGE}/pci_bus/0000:01"


@case(source=f"remove_store: {_SYSFS}", machine=MACHINE)
@param("text wanted", [("0", 1), ("q", EINVAL), ("-1", EINVAL), ("", 0), ("0x\n", EINVAL)])
def not_removed(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    expect(call.write_text(f"{device(EDU)}/remove", text), wanted)
    expect(call.lstat(device(EDU)), mode=0o120777)


@case(source=f"remove_store, pci_stop_and_remove_bus_device: {_SYSFS}", machine=MACHINE)
def removed(call: Call) -> None:
    """The driver lets go first; all that names the function goes."""
    give(call, EDU, STUB)
    expect(call.write_text(f"{device(EDU)}/remove", "1\n"), 2)
    expect(call.lstat(device(EDU)), ENOENT)
    expect(call.lstat(f"/sys/devices/pci0000:00/{EDU}"), ENOENT)
    expect(call.lstat(f"{driver(STUB)}/{EDU}"), ENOENT)
    expect(call.write_text(f"{driver(STUB)}/bind", EDU), ENODEV)
    expect(call.write_text(f"{driver(STUB)}/unbind", EDU), ENODEV)
    expect(call.write_text(f"{PCI_BUS}/drivers_probe", EDU), ENODEV)


@case(source="pci_bus_add_device: drivers/pci/bus.c, 6.1", machine=MACHINE)
def a_function_that_comes_back_is_new(call: Call) -> None:
    call.write_text(f"{device(EDU)}/driver_override", STUB)
    call.write_text(f"{device(EDU)}/enable", "1")
    call.write_text(f"{device(EDU)}/d3cold_allowed", "1")
    call.write_text(f"{device(EDU)}/remove", "1")
    expect(call.write_text(f"{PCI_BUS}/rescan", "1"), 1)
    has_driver(call, EDU, None)
    expect(call.read_text(f"{device(EDU)}/driver_override"), "(null)\n")
    expect(call.read_text(f"{device(EDU)}/enable"), "0\n")
    expect(call.read_text(f"{device(EDU)}/d3cold_allowed"), "0\n")
    expect(call.read_text(f"{device(EDU)}/irq"), "10\n")


@case(source="pci_bus_match: drivers/pci/pci-driver.c, 6.1", machine=MACHINE)
def a_function_that_comes_meets_dynamic_ids(call: Call) -> None:
    call.write_text(f"{device(EDU)}/remove", "1")
    call.write_text(f"{driver(STUB)}/new_id", "1234 11e8")
    call.write_text(f"{PCI_BUS}/rescan", "1")
    has_driver(call, EDU, STUB)


@case(source=f"acpiphp_enable_slot: {_ACPIPHP}", machine=MACHINE)
def a_function_leaves_its_slot_enabled(call: Call) -> None:
    """So that there is nothing to enable when it was removed."""
    call.write_text(f"{device(TESTDEV)}/remove", "1")
    expect(call.read_text(f"{_SLOTS}/2/power"), "1\n")
    expect(call.read_text(f"{_SLOTS}/2/adapter"), "1\n")
    expect(call.write_text(f"{_SLOTS}/2/power", "1"), 1)
    expect(call.lstat(device(TESTDEV)), ENOENT)
    expect(call.write_text(f"{_BEHIND}/rescan", "1"), 1)
    expect(call.lstat(device(TESTDEV)), mode=0o120777)


@case(source=f"acpiphp_disable_slot: {_ACPIPHP}", machine=MACHINE)
def an_ejected_device(call: Call) -> None:
    """It is gone from the slot, and no power brings it back."""
    expect(call.write_text(f"{_SLOTS}/2/power", "0"), 1)
    expect(call.lstat(device(TESTDEV)), ENOENT)
    for name, wanted in (("power", "0\n"), ("adapter", "0\n"), ("latch", "1\n")):
        expect(call.read_text(f"{_SLOTS}/2/{name}"), wanted)
    expect(call.write_text(f"{_SLOTS}/2/power", "1"), 1)
    expect(call.read_text(f"{_SLOTS}/2/power"), "0\n")
    expect(call.write_text(f"{PCI_BUS}/rescan", "1"), 1)
    expect(call.lstat(device(TESTDEV)), ENOENT)


@case(source=f"rescan_store, dev_rescan_store, bus_rescan_store: {_SYSFS}", machine=MACHINE)
@param(
    "path",
    [
        f"{PCI_BUS}/rescan",
        f"{PCI_BUS}/devices/0000:00:00.0/rescan",
        "/sys/class/pci_bus/0000:00/rescan",
        f"{_BEHIND}/rescan",
        f"{PCI_BUS}/devices/{INNER_EDU}/rescan",
    ],
)
def rescan(call: Call, path: str) -> None:
    """Of all buses, or of one and those below."""
    for text, wanted in (("x", EINVAL), ("", 0), ("0", 1), ("-1", EINVAL)):
        expect(call.write_text(path, text), wanted)
    call.write_text(f"{device(TESTDEV)}/remove", "1")
    expect(call.write_text(path, "0"), 1)
    expect(call.lstat(device(TESTDEV)), ENOENT)
    expect(call.write_text(path, "1"), 1)
    expect(call.lstat(device(TESTDEV)), mode=0o120777)
    expect(call.open(path, O_RDONLY), EACCES)
    expect(plain_user(call).open(path, O_WRONLY), EACCES)


@case(source="pci_scan_child_bus: drivers/pci/probe.c, 6.1", machine=MACHINE)
def a_bus_is_scanned_downwards_only(call: Call) -> None:
    call.write_text(f"{device(EDU)}/remove", "1")
    call.write_text(f"{_BEHIND}/rescan", "1")
    expect(call.lstat(device(EDU)), ENOENT)
    call.write_text(f"{device(BRIDGE)}/rescan", "1")
    expect(call.lstat(device(EDU)), mode=0o120777)


@case(source="pci_remove_bus_device: drivers/pci/remove.c, 6.1", machine=MACHINE)
def a_bridge_takes_all_behind_it(call: Call) -> None:
    give(call, INNER_EDU, STUB)
    call.write_text(f"{device(BRIDGE)}/remove", "1")
    for address in (BRIDGE, INNER_EDU, TESTDEV):
        expect(call.lstat(device(address)), ENOENT)
    expect(call.lstat("/sys/class/pci_bus/0000:01"), ENOENT)
    expect(call.lstat(f"{driver(STUB)}/{INNER_EDU}"), ENOENT)
    expect(call.listdir(_SLOTS), [])
    call.write_text(f"{PCI_BUS}/rescan", "1")
    for address in (BRIDGE, INNER_EDU, TESTDEV):
        has_driver(call, address, None)
    # By shpchp, if the kernel has that.
    enabled = "0\n" if call.since("+iommufd") else "1\n"
    expect(call.read_text(f"{device(BRIDGE)}/enable"), enabled)
    expect(len(expect(call.listdir(_SLOTS))), 32)
    # A kernel that was starting may have left it out.
    expect(call.readlink(f"{_SLOTS}/1/module"), "../../../../module/acpiphp")


@case(source=f"subordinate_bus_number_show, secondary_bus_number_show: {_SYSFS}", machine=MACHINE)
def buses_of_a_bridge(call: Call) -> None:
    expect(call.read_text(f"{device(BRIDGE)}/secondary_bus_number"), "1\n")
    expect(call.read_text(f"{device(BRIDGE)}/subordinate_bus_number"), "1\n")
    expect(call.readlink(f"{_BEHIND}/device"), f"../../../{BRIDGE}")
    for name, mode in (("cpuaffinity", 0o444), ("cpulistaffinity", 0o444), ("rescan", 0o200)):
        expect(call.stat(f"{_BEHIND}/{name}"), mode=0o100000 | mode)


@case(source=f"{_ACPIPHP}; pci_slot_attrs: drivers/pci/slot.c, 6.1", machine=MACHINE)
@param(
    "number address occupied", [(0, "0000:01:00", 0), (1, "0000:01:01", 1), (31, "0000:01:1f", 0)]
)
def slot(call: Call, number: int, address: str, occupied: int) -> None:
    """shpchp knows the speed of a conventional bus; without it that is the bridge's link's."""
    speed = "2.5 GT/s PCIe\n" if call.since("+iommufd") else "33 MHz PCI\n"
    base = f"{_SLOTS}/{number}"
    expect(call.read_text(f"{base}/address"), f"{address}\n")
    expect(call.read_text(f"{base}/adapter"), f"{occupied}\n")
    expect(call.read_text(f"{base}/power"), f"{occupied}\n")
    expect(call.read_text(f"{base}/latch"), f"{1 - occupied}\n")
    expect(call.read_text(f"{base}/attention"), EINVAL)
    expect(call.read_text(f"{base}/cur_bus_speed"), speed)
    expect(call.read_text(f"{base}/max_bus_speed"), speed)


@case(
    source=f"power_write_file: drivers/pci/hotplug/pci_hotplug_core.c; {_ACPIPHP}", machine=MACHINE
)
@param("text wanted", [("1", 1), ("2", EINVAL), ("255\n", EINVAL), ("257", 3), ("", 0)])
def power_of_a_slot(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    expect(call.write_text(f"{_SLOTS}/2/power", text), wanted)
    expect(call.lstat(device(TESTDEV)), mode=0o120777)
    expect(call.write_text(f"{_SLOTS}/2/attention", "1"), ENODEV)
