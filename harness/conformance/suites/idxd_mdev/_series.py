# SPDX-License-Identifier: Apache-2.0
"""Where the parents, types and queues of the series are, and steps that the cases share."""

from __future__ import annotations

from harness.conformance import Call, expect

MACHINE = "spr-1s"
ADDRESS = "0000:6a:01.0"
PARENT = f"/sys/class/mdev_bus/{ADDRESS}"
TYPES = f"{PARENT}/mdev_supported_types"
DSA = "/sys/bus/dsa"
DEVICE = f"{DSA}/devices/dsa0"
MDEVS = "/sys/bus/mdev/devices"
UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa0001"
OTHER_UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa0002"
THIRD_UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa0003"

SERIES = "the series, drivers/vfio/mdev/idxd/mdev.c"


def queue(number: int = 0) -> str:
    """The directory of a work queue."""
    return f"{DSA}/devices/wq0.{number}"


def dedicated_type(call: Call) -> str:
    """The directory of the type whose devices have a dedicated queue each."""
    if call.since("v6"):
        return f"{TYPES}/idxd-dsa-1dwq-v1"
    return f"{TYPES}/idxd-1dwq" if call.since("rfc-v2") else f"{TYPES}/idxd-wq"


def shared_type(call: Call) -> str:
    """The directory of the type whose devices share a queue (OpenAnolis)."""
    return f"{TYPES}/idxd-dsa-1swq-v1"


def bind_file(call: Call, kind: str, action: str = "bind") -> str:
    """Where a device or a queue is bound: ``kind`` is idxd for a device, or a queue's type."""
    return f"{DSA}/drivers/{kind if call.since('v6') else 'dsa'}/{action}"


def configure(call: Call, number: int = 0, *, type: str = "mdev", mode: str = "dedicated") -> None:
    """Give a queue what it needs to be enabled."""
    expect(call.write_text(f"{queue(number)}/size", "16"), 2)
    configure_again(call, number, type=type, mode=mode)


def configure_again(
    call: Call, number: int = 0, *, type: str = "mdev", mode: str = "dedicated"
) -> None:
    """Give a queue of an enabled accelerator what it lost when it was disabled."""
    settings = {"group_id": "0", "mode": mode, "priority": "10", "type": type}
    settings["name"] = f"queue{number}"
    if mode == "shared":
        settings["threshold"] = "8"
    for file, text in settings.items():
        expect(call.write_text(f"{queue(number)}/{file}", text), len(text))


def bind_device(call: Call) -> None:
    """Enable the accelerator; its queues are configured."""
    expect(call.write_text(f"{DSA}/devices/engine0.0/group_id", "0"), 1)
    expect(call.write_text(bind_file(call, "idxd"), "dsa0"), 4)
    expect(call.read_text(f"{DEVICE}/state"), "enabled\n")


def bind_queue(call: Call, number: int = 0, kind: str = "mdev") -> None:
    """Enable a queue."""
    name = f"wq0.{number}"
    expect(call.write_text(bind_file(call, kind), name), len(name))


def unbind_queue(call: Call, number: int = 0) -> None:
    """Disable a queue."""
    name = f"wq0.{number}"
    expect(call.write_text(f"{queue(number)}/driver/unbind", name), len(name))


def enabled(call: Call, *, queues: int = 1, mode: str = "dedicated") -> None:
    """An accelerator with so many queues for mediated devices, all enabled."""
    for number in range(queues):
        configure(call, number, mode=mode)
    bind_device(call)
    for number in range(queues):
        bind_queue(call, number)


def shows(call: Call, state: str, clients: int, available: int | None, number: int = 0) -> None:
    """What the queue shows, and how many devices there can be; None: there is no parent."""
    expect(call.read_text(f"{queue(number)}/state"), f"{state}\n")
    expect(call.read_text(f"{queue(number)}/clients"), f"{clients}\n")
    if available is None:
        expect("mdev_bus" in expect(call.listdir("/sys/class")), False)
    else:
        path = f"{dedicated_type(call)}/available_instances"
        expect(call.read_text(path), f"{available}\n")


def allow(call: Call, uuid: str = UUID, number: int = 0) -> None:
    """Say that a queue is for this device, where that must be said (v1)."""
    if not call.since("rfc-v2"):
        expect(call.write_text(f"{queue(number)}/uuid", uuid), len(uuid))


def create(call: Call, uuid: str = UUID, type: str | None = None) -> None:
    """Make a device, which works."""
    path = f"{type or dedicated_type(call)}/create"
    expect(call.write_text(path, uuid), len(uuid))


def remove(call: Call, uuid: str = UUID) -> None:
    """End a device."""
    expect(call.write_text(f"{MDEVS}/{uuid}/remove", "1"), 1)
