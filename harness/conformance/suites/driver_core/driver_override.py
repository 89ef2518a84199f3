# SPDX-License-Identifier: Apache-2.0
"""driver_override of a PCI device."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EINVAL
from harness.conformance.suites._steps import PCI_ADDRESS, PCI_BUS, PCI_DEVICE

_SOURCE = "driver_set_override: drivers/base/driver.c, 6.1"
_PATH = f"{PCI_DEVICE}/driver_override"


@case(source=_SOURCE)
@param(
    "text wanted",
    [
        ("idxd", "idxd\n"),
        ("idxd\n", "idxd\n"),
        ("vfio-pci\njunk", "vfio-pci\n"),
        (" idxd", " idxd\n"),
        ("a\0b", "a\n"),
        ("\0", "(null)\n"),
        ("x" * 4094, "x" * 4094 + "\n"),
    ],
)
def stored(call: Call, text: str, wanted: str) -> None:
    """Up to the first newline or NUL."""
    expect(call.read_text(_PATH), "(null)\n")
    expect(call.write_text(_PATH, text), len(text))
    expect(call.read_text(_PATH), wanted)


@case(source=_SOURCE, evidence="kernel-run")
@param("text", ["\n", "\0", "\nidxd"])
def cleared(call: Call, text: str) -> None:
    call.write_text(_PATH, "vfio-pci")
    expect(call.write_text(_PATH, text), len(text))
    expect(call.read_text(_PATH), "(null)\n")


@case(source="vfs_write: fs/read_write.c, 6.1")
def not_cleared_by_nothing(call: Call) -> None:
    call.write_text(_PATH, "vfio-pci")
    expect(call.write_text(_PATH, ""), 0)
    expect(call.read_text(_PATH), "vfio-pci\n")


@case(source=_SOURCE, evidence="kernel-run")
@param("count", [4095, 4096, 5000])
def too_long(call: Call, count: int) -> None:
    call.write_text(_PATH, "vfio-pci")
    expect(call.write_text(_PATH, "x" * count), EINVAL)
    expect(call.read_text(_PATH), "vfio-pci\n")


@case(source=_SOURCE)
def binds_and_unbinds_nothing(call: Call) -> None:
    call.write_text(_PATH, "nonesuch")
    expect(call.readlink(f"{PCI_DEVICE}/driver"), "../../../bus/pci/drivers/idxd")


@case(source="pci_release_dev: drivers/pci/probe.c, 6.1")
def outlives_the_driver(call: Call) -> None:
    """But not the device."""
    call.write_text(_PATH, "idxd")
    call.write_text(f"{PCI_BUS}/drivers/idxd/unbind", PCI_ADDRESS)
    expect(call.read_text(_PATH), "idxd\n")
    call.write_text(f"{PCI_DEVICE}/remove", "1")
    call.write_text(f"{PCI_BUS}/rescan", "1")
    expect(call.read_text(_PATH), "(null)\n")
