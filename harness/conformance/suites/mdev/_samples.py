# SPDX-License-Identifier: Apache-2.0
"""Where the samples' types and devices are, and steps that the cases share."""

from __future__ import annotations

from harness.conformance import Call, expect

MACHINE = "qemu-q35"
BUS = "/sys/bus/mdev"
PARENTS = "/sys/class/mdev_bus"

#: The first UUID of the recordings, and another.
UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa0001"
OTHER_UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa0002"


def type_of(name: str) -> str:
    """The directory of a type of a sample; the name begins with the sample's."""
    return f"{PARENTS}/{name.partition('-')[0]}/mdev_supported_types/{name}"


def device(uuid: str = UUID) -> str:
    """The device with this UUID."""
    return f"{BUS}/devices/{uuid}"


def available(call: Call, type: str, count: int) -> None:
    """So many more devices of a type there can be."""
    expect(call.read_text(f"{type_of(type)}/available_instances"), f"{count}\n")


def create(call: Call, type: str, uuid: str = UUID) -> None:
    """Make a device, which works."""
    expect(call.write_text(f"{type_of(type)}/create", uuid), len(uuid))


def numbered(number: int) -> str:
    """One of many UUIDs."""
    return f"{UUID[:-4]}{number:04x}"
