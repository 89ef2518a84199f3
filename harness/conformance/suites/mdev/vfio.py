# SPDX-License-Identifier: Apache-2.0
"""What VFIO makes of a mediated device, and the end of one that a program has open."""

from __future__ import annotations

import struct

from attrs import frozen

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import EEXIST, ENODEV, ENOENT
from harness.conformance.suites.mdev._samples import (
    BUS,
    MACHINE,
    PARENTS,
    UUID,
    available,
    create,
    device,
    type_of,
)
from harness.uapi import vfio as u
from harness.uapi.fs import O_RDWR, O_WRONLY

_REGISTER = "vfio_register_emulated_iommu_dev: drivers/vfio/vfio_main.c, 6.1"
_UNREGISTER = "vfio_unregister_group_dev: drivers/vfio/vfio_main.c, 6.1"


def _group(call: Call) -> str:
    """The number of the device's IOMMU group."""
    return expect(call.readlink(f"{device()}/iommu_group")).rpartition("/")[2]


@frozen
class _Opened:
    container: Fd
    group: Fd
    device: Fd


def _opened(call: Call) -> _Opened:
    """The device as a program has it."""
    container = expect(call.open("/dev/vfio/vfio", O_RDWR))
    group = expect(call.open(f"/dev/vfio/{_group(call)}", O_RDWR))
    memory = call.buffer(64)
    call.poke(memory, struct.pack("<i", container.number))
    expect(call.ioctl(group, u.VFIO_GROUP_SET_CONTAINER, memory), 0)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, u.VFIO_TYPE1v2_IOMMU), 0)
    call.poke(memory, UUID.encode() + b"\0")
    number = expect(call.ioctl(group, u.VFIO_GROUP_GET_DEVICE_FD, memory))
    return _Opened(container, group, Fd(number, UUID))


@case(source=_REGISTER, machine=MACHINE, until="rfc-v1")
@param("type", ["mtty-1", "mdpy-vga", "mbochs-small"])
def nodes(call: Call, type: str) -> None:
    """A node of its group, a device of the class vfio, and one below itself; all go with it."""
    create(call, type)
    group = _group(call)
    expect(call.access(f"/dev/vfio/{group}", 0))
    expect(call.readlink(f"/sys/class/vfio/{group}"), f"../../devices/virtual/vfio/{group}")
    expect(call.listdir(f"{device()}/vfio-dev"), ["vfio0"])
    parent = type.partition("-")[0]
    expect(
        call.readlink("/sys/class/vfio-dev/vfio0"),
        f"../../devices/virtual/{parent}/{parent}/{UUID}/vfio-dev/vfio0",
    )
    expect(call.readlink(f"{device()}/vfio-dev/vfio0/device"), f"../../../{UUID}")
    expect(call.write_text(f"{device()}/remove", "1"), 1)
    for path in (f"/dev/vfio/{group}", f"/sys/class/vfio/{group}", "/sys/class/vfio-dev/vfio0"):
        expect(call.lstat(path), ENOENT)


@case(source=_UNREGISTER, machine=MACHINE, until="rfc-v1")
def nodes_without_driver(call: Call) -> None:
    create(call, "mtty-1")
    group = _group(call)
    expect(call.write_text(f"{BUS}/drivers/mtty/unbind", UUID), 36)
    expect(call.lstat(f"/dev/vfio/{group}"), ENOENT)
    expect(call.lstat(f"{device()}/vfio-dev"), ENOENT)
    expect(call.lstat(f"/sys/kernel/iommu_groups/{group}"), ENOENT)


@case(source=_UNREGISTER, machine=MACHINE, until="rfc-v1", golden="mtty-vfio/group_status_after_rm")
def remove_while_open(call: Call) -> None:
    """It waits for the close. The links are gone meanwhile, the UUID and the port still taken."""
    create(call, "mtty-1")
    remover = call.fork().call
    remove = remover.open(f"{device()}/remove", O_WRONLY)
    opened = _opened(call)
    pending = remover.start(remover.write, remove, b"1")
    while device().rpartition("/")[2] in expect(call.listdir(f"{BUS}/devices")):
        pass
    expect(call.write_text(f"{type_of('mtty-1')}/create", UUID), EEXIST)
    expect(call.lstat(f"{type_of('mtty-1')}/devices/{UUID}"), ENOENT)
    left = ["iommu_group"] if call.since("6.12") else ["iommu_group", "vfio-dev"]
    expect(sorted(expect(call.listdir(f"{PARENTS}/mtty/{UUID}"))), left)
    available(call, "mtty-1", 23)
    call.close(opened.device)
    expect(pending.wait(), 1)
    expect(call.lstat(f"{PARENTS}/mtty/{UUID}"), ENOENT)
    available(call, "mtty-1", 24)
    memory = call.buffer(8)
    call.poke(memory, struct.pack("<II", 8, 0))
    expect(call.ioctl(opened.group, u.VFIO_GROUP_GET_STATUS, memory), ENODEV)
    create(call, "mtty-1")


@case(source=_UNREGISTER, machine=MACHINE, until="rfc-v1")
def unbind_while_open(call: Call) -> None:
    """So does it wait to take the driver away."""
    create(call, "mtty-1")
    unbinder = call.fork().call
    unbind = unbinder.open(f"{BUS}/drivers/mtty/unbind", O_WRONLY)
    opened = _opened(call)
    pending = unbinder.start(unbinder.write, unbind, UUID.encode())
    while UUID in expect(call.listdir(f"{BUS}/drivers/mtty")):
        pass
    expect(call.listdir(f"{BUS}/devices"), [UUID])
    available(call, "mtty-1", 23)
    call.close(opened.device)
    expect(pending.wait(), 36)
    available(call, "mtty-1", 24)
    expect(call.readlink(f"{device()}/iommu_group"), ENOENT)


@case(source=_UNREGISTER, machine=MACHINE, until="rfc-v1")
def remove_while_the_group_is_open(call: Call) -> None:
    """It waits for devices alone, not for the group's file."""
    create(call, "mtty-1")
    group = call.open(f"/dev/vfio/{_group(call)}", O_RDWR)
    expect(call.write_text(f"{device()}/remove", "1"), 1)
    expect(call.lstat(device()), ENOENT)
    memory = call.buffer(8)
    call.poke(memory, struct.pack("<II", 8, 0))
    expect(call.ioctl(group, u.VFIO_GROUP_GET_STATUS, memory), ENODEV)
