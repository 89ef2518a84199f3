# SPDX-License-Identifier: Apache-2.0
"""Paths and steps that the cases of this suite share."""

from __future__ import annotations

from harness.conformance import Call, expect
from harness.conformance.errnos import ENXIO, EOPNOTSUPP, ErrorNumber
from harness.conformance.results import Result

BUS = "/sys/bus/dsa"
DEVICES = f"{BUS}/devices"
DRIVERS = f"{BUS}/drivers"
DSA = f"{DEVICES}/dsa0"
WQ = f"{DEVICES}/wq0.0"
GROUP = f"{DEVICES}/group0.0"
ENGINE = f"{DEVICES}/engine0.0"

#: What a work queue's attributes show before anything was stored, and after a device was unbound.
WQ_DEFAULTS: tuple[tuple[str, str | ErrorNumber], ...] = (
    ("ats_disable", "0\n"),
    ("block_on_fault", "0\n"),
    ("cdev_minor", ENXIO),
    ("clients", "0\n"),
    ("enqcmds_retries", "32\n"),
    ("group_id", "-1\n"),
    ("max_batch_size", "32\n"),
    ("max_transfer_size", "2097152\n"),
    ("mode", "shared\n"),
    ("name", "\n"),
    ("occupancy", EOPNOTSUPP),
    ("priority", "0\n"),
    ("size", "0\n"),
    ("state", "disabled\n"),
    ("threshold", "0\n"),
    ("type", "none\n"),
)


def check_wq_defaults(call: Call, path: str, driver_name: str) -> None:
    """All attributes of a queue that was not configured yet, or not since."""
    for attribute, value in WQ_DEFAULTS:
        expect(call.read_text(f"{path}/{attribute}"), value)
    expect(call.read_text(f"{path}/uevent"), uevent(call, "wq"))
    if call.since("6.12"):
        expect(call.read_text(f"{path}/driver_name"), driver_name)


def uevent(call: Call, devtype: str) -> str:
    """What the file ``uevent`` of an object without a driver shows."""
    return f"DEVTYPE={devtype}\n" + ("MODALIAS=idxd:t0\n" if call.since("6.12") else "")


#: What a store must lead to: an error, or the text that is read back.
Wanted = ErrorNumber | str


def bind(call: Call, driver: str, device: str) -> Result[int]:
    """Write ``device`` to the driver's ``bind``."""
    return call.write_text(f"{DRIVERS}/{driver}/bind", device)


def unbind(call: Call, driver: str, device: str) -> Result[int]:
    """Write ``device`` to the driver's ``unbind``."""
    return call.write_text(f"{DRIVERS}/{driver}/unbind", device)


def cmd_status(call: Call) -> Result[str]:
    """The device's last status, hardware's or software's."""
    return call.read_text(f"{DSA}/cmd_status")


def store(call: Call, path: str, value: str, wanted: Wanted) -> None:
    """Write ``value``; a write that is refused must leave what is read as it was."""
    if isinstance(wanted, ErrorNumber):
        before = call.read_text(path).outcome
        expect(call.write_text(path, value), wanted)
        expect(call.read_text(path).outcome, before)
    else:
        expect(call.write_text(path, value), len(value))
        expect(call.read_text(path), wanted)


def name_driver(call: Call, driver: str) -> None:
    """Let ``driver`` have the queue, where the kernel asks."""
    if call.since("6.12"):
        call.write_text(f"{WQ}/driver_name", driver)


def configure(
    call: Call,
    wq: str = "wq0.0",
    /,
    *,
    group: str = "0",
    mode: str = "dedicated",
    size: str = "16",
    priority: str = "10",
    type: str = "kernel",
    name: str = "dmaengine",
    driver: str = "dmaengine",
) -> None:
    """A work queue and engine 0.0 in a group, ready to be enabled."""
    for attribute, value in (
        ("group_id", group),
        ("mode", mode),
        ("size", size),
        ("priority", priority),
        ("type", type),
        ("name", name),
    ):
        call.write_text(f"{DEVICES}/{wq}/{attribute}", value)
    call.write_text(f"{ENGINE}/group_id", group)
    if call.since("6.12"):
        call.write_text(f"{DEVICES}/{wq}/driver_name", driver)


def enable(call: Call) -> None:
    """A configured device, bound to the driver ``idxd``."""
    configure(call)
    expect(bind(call, "idxd", "dsa0"), 4)
