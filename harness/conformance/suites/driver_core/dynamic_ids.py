# SPDX-License-Identifier: Apache-2.0
"""new_id and remove_id of a PCI driver."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EEXIST, EINVAL, ENODEV, ErrorNumber
from harness.conformance.suites._steps import PCI_BUS, PCI_DEVICE

_SOURCE = "new_id_store: drivers/pci/pci-driver.c, 6.1"
_DRIVER = f"{PCI_BUS}/drivers/idxd"


@case(source=_SOURCE)
@param(
    "text wanted",
    [
        ("8086", EINVAL),
        ("", 0),
        ("x y", EINVAL),
        ("8086 0b25", EEXIST),
        ("0x8086 0xB25\n", EEXIST),
        ("8086 0b25 ffffffff ffffffff 0 0", EEXIST),
        ("8086 0b25 ffffffff ffffffff 0 0 1", EINVAL),
        ("1af4 fffe", EINVAL),
    ],
)
def new_id(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    """The driver's own table is looked at first, then whether driver_data is one of its own.

    Every entry of this driver's table has a driver_data, so that an id without one is refused.
    """
    expect(call.write_text(f"{_DRIVER}/new_id", text), wanted)


@case(source=_SOURCE)
def of_a_driver_without_data(call: Call) -> None:
    """It takes an id with the data 0 and no other."""
    base = f"{PCI_BUS}/drivers/pcieport"
    for data in ("1", "5", "ffffffffffffffff"):
        text = f"1af4 fffe ffffffff ffffffff 0 0 {data}"
        expect(call.write_text(f"{base}/new_id", text), EINVAL)
        expect(call.write_text(f"{base}/remove_id", "1af4 fffe"), ENODEV)
    expect(call.write_text(f"{base}/new_id", "1af4 fffe ffffffff ffffffff 0 0 0"), 33)
    expect(call.write_text(f"{base}/new_id", "1af4 fffe"), EEXIST)
    expect(call.write_text(f"{base}/remove_id", "1af4 fffe"), 9)


@case(source="remove_id_store: drivers/pci/pci-driver.c, 6.1")
@param("text wanted", [("8086", EINVAL), ("", 0), ("8086 0b25", ENODEV), ("1af4 fffe", ENODEV)])
def remove_id(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    """Only what new_id added can be removed; the device stays bound in any case."""
    expect(call.write_text(f"{_DRIVER}/remove_id", text), wanted)
    expect(call.readlink(f"{PCI_DEVICE}/driver"), "../../../bus/pci/drivers/idxd")
