# SPDX-License-Identifier: Apache-2.0
"""bind, unbind and drivers_probe, on the PCI bus."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EACCES, EBUSY, ENODEV, ENOENT
from harness.conformance.suites._steps import PCI_ADDRESS, PCI_BUS, PCI_DEVICE, plain_user
from harness.uapi.fs import MAY_EXEC

_BUS = "drivers/base/bus.c, 6.1"
_DRIVER = f"{PCI_BUS}/drivers/idxd"


def _unbind(call: Call) -> None:
    expect(call.write_text(f"{_DRIVER}/unbind", PCI_ADDRESS), len(PCI_ADDRESS))


@case(source=f"unbind_store: {_BUS}", evidence="kernel-run")
def unbind(call: Call) -> None:
    """Both links go; a second time there is nothing to let go."""
    _unbind(call)
    expect(call.readlink(f"{PCI_DEVICE}/driver"), ENOENT)
    expect(call.readlink(f"{_DRIVER}/{PCI_ADDRESS}"), ENOENT)
    expect(call.write_text(f"{_DRIVER}/unbind", PCI_ADDRESS), ENODEV)


@case(source=f"bind_store, device_driver_attach: {_BUS}", evidence="kernel-run")
def bind_of_a_bound_device(call: Call) -> None:
    expect(call.write_text(f"{_DRIVER}/bind", PCI_ADDRESS), EBUSY)
    expect(call.readlink(f"{PCI_DEVICE}/driver"), "../../../bus/pci/drivers/idxd")


@case(source=f"bind_store: {_BUS}", evidence="kernel-run")
@param("text", ["0000:00:1f.7", "nonesuch", "\n", "0000:00:05", "0000:00:05.0 "])
def unknown_device(call: Call, text: str) -> None:
    """Names are compared whole."""
    for file in (f"{_DRIVER}/bind", f"{_DRIVER}/unbind", f"{PCI_BUS}/drivers_probe"):
        expect(call.write_text(file, text), ENODEV)


@case(source=f"sysfs_streq in bus_find_device_by_name: {_BUS}")
def newline_is_ignored(call: Call) -> None:
    text = f"{PCI_ADDRESS}\n"
    expect(call.write_text(f"{_DRIVER}/unbind", text), len(text))
    expect(call.write_text(f"{_DRIVER}/bind", text), len(text))
    expect(call.readlink(f"{PCI_DEVICE}/driver"), "../../../bus/pci/drivers/idxd")


@case(source="idxd_remove, idxd_pci_probe: drivers/dma/idxd/init.c, 6.1")
def devices_of_the_driver(call: Call) -> None:
    """They go with the driver, and come back as new."""
    call.write_text("/sys/bus/dsa/devices/wq0.0/size", "16")
    _unbind(call)
    expect(call.listdir("/sys/bus/dsa/devices"), [])
    expect(call.access(f"{PCI_DEVICE}/dsa0", MAY_EXEC), ENOENT)
    expect(call.write_text(f"{_DRIVER}/bind", PCI_ADDRESS), len(PCI_ADDRESS))
    expect(len(expect(call.listdir("/sys/bus/dsa/devices"))), 17)
    expect(call.read_text("/sys/bus/dsa/devices/wq0.0/size"), "0\n")
    expect(call.read_text("/sys/bus/dsa/devices/dsa0/cmd_status"), "0x800d0000\n")


@case(
    source="pci_bus_match, pci_match_device: drivers/pci/pci-driver.c, 6.1", evidence="kernel-run"
)
def bind_against_the_override(call: Call) -> None:
    """An override that names another driver: no match."""
    _unbind(call)
    call.write_text(f"{PCI_DEVICE}/driver_override", "vfio-pci")
    expect(call.write_text(f"{_DRIVER}/bind", PCI_ADDRESS), ENODEV)
    call.write_text(f"{PCI_DEVICE}/driver_override", "idxd")
    expect(call.write_text(f"{_DRIVER}/bind", PCI_ADDRESS), len(PCI_ADDRESS))


@case(source=f"drivers_probe_store: {_BUS}", evidence="kernel-run")
@param("override bound", [("nonesuch", False), ("idxd", True), ("\n", True)])
def drivers_probe(call: Call, override: str, bound: bool) -> None:
    """Success does not mean that a driver was found."""
    _unbind(call)
    call.write_text(f"{PCI_DEVICE}/driver_override", override)
    expect(call.write_text(f"{PCI_BUS}/drivers_probe", PCI_ADDRESS), len(PCI_ADDRESS))
    if bound:
        expect(call.readlink(f"{PCI_DEVICE}/driver"), "../../../bus/pci/drivers/idxd")
    else:
        expect(call.readlink(f"{PCI_DEVICE}/driver"), ENOENT)


@case(source=f"bus_rescan_devices_helper: {_BUS}")
def drivers_probe_of_a_bound_device(call: Call) -> None:
    expect(call.write_text(f"{PCI_BUS}/drivers_probe", PCI_ADDRESS), len(PCI_ADDRESS))
    expect(call.readlink(f"{PCI_DEVICE}/driver"), "../../../bus/pci/drivers/idxd")


@case(source="BUS_ATTR_WO, DRIVER_ATTR_IGNORE_LOCKDEP: drivers/base/bus.c, 6.1")
@param(
    "path mode",
    [
        (f"{_DRIVER}/bind", 0o100200),
        (f"{_DRIVER}/unbind", 0o100200),
        (f"{_DRIVER}/uevent", 0o100200),
        (f"{_DRIVER}/new_id", 0o100200),
        (f"{_DRIVER}/remove_id", 0o100200),
        (f"{PCI_BUS}/drivers_probe", 0o100200),
        (f"{PCI_BUS}/uevent", 0o100200),
        (f"{PCI_BUS}/rescan", 0o100200),
    ],
)
def is_for_root(call: Call, path: str, mode: int) -> None:
    expect(call.stat(path), mode=mode)
    expect(plain_user(call).write_text(path, PCI_ADDRESS), EACCES)
    expect(call.read_text(path), EACCES)
