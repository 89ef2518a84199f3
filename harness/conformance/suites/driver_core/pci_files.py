# SPDX-License-Identifier: Apache-2.0
"""The PCI bus's own files of a device: remove, rescan, reset, enable."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EBUSY, EINVAL, EIO, ENOENT, ErrorNumber
from harness.conformance.suites._steps import PCI_ADDRESS, PCI_BUS, PCI_DEVICE

_SYSFS = "drivers/pci/pci-sysfs.c, 6.1"


@case(source=f"remove_store: {_SYSFS}")
@param("text", ["1", "0x10\n", "2"])
def remove(call: Call, text: str) -> None:
    expect(call.write_text(f"{PCI_DEVICE}/remove", text), len(text))
    expect(call.lstat(PCI_DEVICE), ENOENT)
    expect(call.lstat(f"/sys/devices/pci0000:00/{PCI_ADDRESS}"), ENOENT)
    expect(call.lstat(f"{PCI_BUS}/drivers/idxd/{PCI_ADDRESS}"), ENOENT)
    expect(call.listdir("/sys/bus/dsa/devices"), [])


@case(source=f"remove_store: {_SYSFS}")
@param("text wanted", [("0", 1), ("x", EINVAL), ("-1", EINVAL), ("", 0)])
def not_removed(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    expect(call.write_text(f"{PCI_DEVICE}/remove", text), wanted)
    expect(call.readlink(f"{PCI_DEVICE}/driver"), "../../../bus/pci/drivers/idxd")


@case(source=f"rescan_store: {_SYSFS}")
@param("text wanted back", [("1", 1, True), ("0", 1, False), ("x", EINVAL, False), ("", 0, False)])
def rescan(call: Call, text: str, wanted: int | ErrorNumber, back: bool) -> None:
    """A device that was removed, but is still plugged in, is found again and bound."""
    call.write_text(f"{PCI_DEVICE}/remove", "1")
    expect(call.write_text(f"{PCI_BUS}/rescan", text), wanted)
    if back:
        expect(call.readlink(f"{PCI_DEVICE}/driver"), "../../../bus/pci/drivers/idxd")
    else:
        expect(call.lstat(PCI_DEVICE), ENOENT)


@case(source=f"reset_store: {_SYSFS}", evidence="kernel-run")
@param("text wanted", [("1", 1), ("0", EINVAL), ("2", EINVAL), ("x", EINVAL), ("0x1\n", 4)])
def reset(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    expect(call.write_text(f"{PCI_DEVICE}/reset", text), wanted)


@case(source=f"enable_store: {_SYSFS}")
@param("text wanted", [("0", EBUSY), ("1", EBUSY), ("x", EINVAL)])
def enable_of_a_bound_device(call: Call, text: str, wanted: ErrorNumber) -> None:
    expect(call.write_text(f"{PCI_DEVICE}/enable", text), wanted)


@case(source=f"enable_store: {_SYSFS}")
def enable(call: Call) -> None:
    """It counts, and cannot go below nothing."""
    call.write_text(f"{PCI_BUS}/drivers/idxd/unbind", PCI_ADDRESS)
    expect(call.read_text(f"{PCI_DEVICE}/enable"), "0\n")
    expect(call.write_text(f"{PCI_DEVICE}/enable", "0"), EIO)
    expect(call.write_text(f"{PCI_DEVICE}/enable", "1"), 1)
    expect(call.write_text(f"{PCI_DEVICE}/enable", "1"), 1)
    expect(call.read_text(f"{PCI_DEVICE}/enable"), "2\n")
    expect(call.write_text(f"{PCI_DEVICE}/enable", "0"), 1)
    expect(call.read_text(f"{PCI_DEVICE}/enable"), "1\n")
