# SPDX-License-Identifier: Apache-2.0
"""drivers_autoprobe."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import ENOENT
from harness.conformance.suites._steps import PCI_ADDRESS, PCI_BUS, PCI_DEVICE

_BUS = "drivers_autoprobe_store: drivers/base/bus.c, 6.1"


@case(source=_BUS)
@param(
    "text wanted",
    [("0", "0\n"), ("0\n", "0\n"), ("01", "0\n"), ("1", "1\n"), ("x", "1\n"), ("-1", "1\n")],
)
def first_letter_decides(call: Call, text: str, wanted: str) -> None:
    for bus in ("pci", "dsa"):
        expect(call.read_text(f"/sys/bus/{bus}/drivers_autoprobe"), "1\n")
        expect(call.write_text(f"/sys/bus/{bus}/drivers_autoprobe", text), len(text))
        expect(call.read_text(f"/sys/bus/{bus}/drivers_autoprobe"), wanted)


@case(source="pci_bus_add_device: drivers/pci/bus.c, 6.1", evidence="kernel-run")
@param("text", ["0", "1"])
def of_a_new_pci_device(call: Call, text: str) -> None:
    """Before 7.2, the PCI bus tries a device that appears whatever drivers_autoprobe says."""
    call.write_text(f"{PCI_BUS}/drivers_autoprobe", text)
    expect(call.write_text(f"{PCI_DEVICE}/remove", "1"), 1)
    expect(call.write_text(f"{PCI_BUS}/rescan", "1"), 1)
    ignored = text == "0" and call.since("7.2")
    link = ENOENT if ignored else "../../../bus/pci/drivers/idxd"
    expect(call.readlink(f"{PCI_DEVICE}/driver"), link)


@case(source="drivers_probe_store: drivers/base/bus.c, 6.1")
def drivers_probe_works_all_the_same(call: Call) -> None:
    call.write_text(f"{PCI_BUS}/drivers_autoprobe", "0")
    call.write_text(f"{PCI_BUS}/drivers/idxd/unbind", PCI_ADDRESS)
    expect(call.write_text(f"{PCI_BUS}/drivers_probe", PCI_ADDRESS), len(PCI_ADDRESS))
    expect(call.readlink(f"{PCI_DEVICE}/driver"), "../../../bus/pci/drivers/idxd")


@case(source="idxd_register_devices: drivers/dma/idxd/sysfs.c; bus_probe_device, 6.1")
def of_the_bus_dsa(call: Call) -> None:
    """No attempt on a new accelerator, so no failure is left in its status."""
    call.write_text("/sys/bus/dsa/drivers_autoprobe", "0")
    for file in ("unbind", "bind"):
        expect(call.write_text(f"{PCI_BUS}/drivers/idxd/{file}", PCI_ADDRESS))
    expect(call.read_text("/sys/bus/dsa/devices/dsa0/cmd_status"), "0x0\n")
