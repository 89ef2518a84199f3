# SPDX-License-Identifier: Apache-2.0
"""new_id and remove_id of drivers without a table of their own, and with one."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EEXIST, EINVAL, ENODEV, ErrorNumber
from harness.conformance.suites._steps import PCI_BUS
from harness.conformance.suites.pci._q35 import (
    EDU,
    INNER_EDU,
    MACHINE,
    STUB,
    TESTDEV,
    VFIO,
    device,
    driver,
    give,
    has_driver,
    take,
)

_NEW = "new_id_store, pci_add_dynid: drivers/pci/pci-driver.c, 6.1"
_REMOVE = "remove_id_store: drivers/pci/pci-driver.c, 6.1"
_ID = "1234 11e8"


@case(source=_NEW, machine=MACHINE)
@param(
    "text wanted",
    [
        ("", 0),
        ("\n", EINVAL),
        ("zzzz", EINVAL),
        ("dead", EINVAL),
        ("dead beef", 9),
        ("0xdead 0xBEEF\n", 14),
        ("  dead\tbeef", 11),
        ("dead,beef", EINVAL),
        ("dead beef junk", 14),
        ("dead beef 1 2 3 4", 17),
        ("dead beef 1 2 3 4 0", 19),
        ("123456789 1", 11),
        ("-1 -1", EINVAL),
        ("dead\0beef", EINVAL),
    ],
)
def new_id(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    """At least two hexadecimal numbers; what comes after is read as far as it goes."""
    expect(call.write_text(f"{driver(STUB)}/new_id", text), wanted)


@case(source=_NEW, machine=MACHINE)
@param(
    "text", ["dead beef ffffffff ffffffff 0 0 1", "dead beef 1 2 3 4 5", "dead beef 1 2 3 4 5 6"]
)
def driver_data_of_a_driver_without_a_table(call: Call, text: str) -> None:
    """Nothing is compared where there is no table."""
    expect(call.write_text(f"{driver(STUB)}/new_id", text), len(text))


@case(source=_NEW, machine=MACHINE)
@param(
    "text wanted",
    [
        ("1af4 1234", EEXIST),
        ("1af4 1234 ffffffff ffffffff 0 0", EEXIST),
        ("dead beef ffffffff ffffffff 0 0 1", EINVAL),
        ("dead beef ffffffff ffffffff 0 0 0", 33),
        ("dead beec", 9),
    ],
)
def a_driver_with_a_table(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    """virtio-pci takes all of one vendor, and has no data for them.

    No two rows add the same id: a virtual machine cannot do without this driver for a moment.
    """
    expect(call.write_text(f"{driver('virtio-pci')}/new_id", text), wanted)


@case(source=_NEW, machine=MACHINE)
@param(
    "text wanted",
    [
        ("dead beef", 9),
        ("dead beef ffffffff ffffffff 0 0 0", 33),
        ("dead beef ffffffff ffffffff 0 0 1", EINVAL),
        ("dead beef 1 2 3 4 5 6", EINVAL),
    ],
)
def a_table_for_override_only(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    """vfio-pci's only entry takes everything, but nothing without override."""
    expect(call.write_text(f"{driver(VFIO)}/new_id", text), wanted)
    expect(call.write_text(f"{driver(VFIO)}/bind", EDU), ENODEV)


@case(source=_NEW, machine=MACHINE)
def all_that_match_are_bound_at_once(call: Call) -> None:
    expect(call.write_text(f"{driver(STUB)}/new_id", _ID), len(_ID))
    has_driver(call, EDU, STUB)
    has_driver(call, INNER_EDU, STUB)
    has_driver(call, TESTDEV, None)
    expect(call.write_text(f"{driver(STUB)}/new_id", _ID), EEXIST)


@case(source=_NEW, machine=MACHINE)
def bound_ones_and_others_overrides_are_left_alone(call: Call) -> None:
    give(call, EDU, "uio_pci_generic")
    call.write_text(f"{device(INNER_EDU)}/driver_override", "nonesuch")
    call.write_text(f"{driver(STUB)}/new_id", _ID)
    has_driver(call, EDU, "uio_pci_generic")
    has_driver(call, INNER_EDU, None)


@case(source=_NEW, machine=MACHINE)
@param(
    "text bound",
    [
        ("1234 11e8 1af4 1100", True),
        ("1234 11e8 1af4 1101", False),
        ("1234 11e8 ffffffff ffffffff 00ff00 ffffff", True),
        ("1234 11e8 ffffffff ffffffff 010000 ff0000", False),
        ("1234 11e8 1af4 ffffffff 0 0", True),
        ("ffffffff 11e8", True),
    ],
)
def what_an_id_takes(call: Call, text: str, bound: bool) -> None:
    expect(call.write_text(f"{driver(STUB)}/new_id", text), len(text))
    has_driver(call, EDU, STUB if bound else None)


@case(source=_REMOVE, machine=MACHINE)
@param("text wanted", [("", 0), ("\n", EINVAL), ("dead", EINVAL), ("dead beef", ENODEV)])
def remove_id(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    expect(call.write_text(f"{driver(STUB)}/remove_id", text), wanted)


@case(source=_REMOVE, machine=MACHINE)
def what_is_bound_stays_bound(call: Call) -> None:
    """Only the next bind finds that the id is gone."""
    call.write_text(f"{driver(STUB)}/new_id", _ID)
    expect(call.write_text(f"{driver(STUB)}/remove_id", f"{_ID}\n"), len(_ID) + 1)
    has_driver(call, EDU, STUB)
    expect(call.write_text(f"{driver(STUB)}/remove_id", _ID), ENODEV)
    take(call, EDU, STUB)
    expect(call.write_text(f"{driver(STUB)}/bind", EDU), ENODEV)
    expect(call.write_text(f"{PCI_BUS}/drivers_probe", EDU), len(EDU))
    has_driver(call, EDU, None)


@case(source=_REMOVE, machine=MACHINE)
@param(
    "text wanted",
    [
        ("1234 11e8", 9),
        ("1234 11e8 1af4", 14),
        ("1234 11e8 1af5", ENODEV),
        ("1234 11e8 1af4 1100 00ff00 ffffff", ENODEV),
    ],
)
def which_id_is_removed(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    """What is not said fits; the class is compared as far as its mask says."""
    call.write_text(f"{driver(STUB)}/new_id", "1234 11e8 1af4 1100")
    expect(call.write_text(f"{driver(STUB)}/remove_id", text), wanted)
