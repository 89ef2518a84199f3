# SPDX-License-Identifier: Apache-2.0
"""The functions of qemu-q35, and steps that the cases share."""

from __future__ import annotations

from harness.conformance import Call, expect
from harness.conformance.errnos import ENOENT
from harness.conformance.suites._steps import PCI_BUS

MACHINE = "qemu-q35"
#: edu, alone in its group and without a driver; PCI Express functions; the bridge.
EDU, E1000E, NVME, BRIDGE = "0000:00:05.0", "0000:00:06.0", "0000:00:07.0", "0000:00:08.0"
#: Behind the bridge, in one group with it.
INNER_EDU, TESTDEV = "0000:01:01.0", "0000:01:02.0"
#: In one slot, in one group.
SMBUS = "0000:00:1f.3"
#: An ordinary driver, and one that leaves DMA alone. Both take what override or new_id bring.
ORDINARY, STUB = "uio_pci_generic", "pci-stub"
VFIO = "vfio-pci"


def device(address: str) -> str:
    """The function's directory, as the bus links to it."""
    return f"{PCI_BUS}/devices/{address}"


def driver(name: str) -> str:
    """The driver's directory."""
    return f"{PCI_BUS}/drivers/{name}"


def group(address: str) -> str:
    """The directory of the function's IOMMU group."""
    return f"{device(address)}/iommu_group"


def give(call: Call, address: str, name: str) -> None:
    """Let a driver have a function: by driver_override and bind, which works."""
    expect(call.write_text(f"{device(address)}/driver_override", name), len(name))
    expect(call.write_text(f"{driver(name)}/bind", address), len(address))


def take(call: Call, address: str, name: str) -> None:
    """Unbind the function, which works."""
    expect(call.write_text(f"{driver(name)}/unbind", address), len(address))


def has_driver(call: Call, address: str, name: str | None) -> None:
    """Which driver is bound."""
    link = call.readlink(f"{device(address)}/driver")
    if name is None:
        expect(link, ENOENT)
    else:
        expect(expect(link).rpartition("/")[2], name)
