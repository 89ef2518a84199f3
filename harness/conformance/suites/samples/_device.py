# SPDX-License-Identifier: Apache-2.0
"""How a device of mtty is made and opened, and what is asked of it."""

from __future__ import annotations

import struct

from harness.conformance import Call, Fd, expect
from harness.conformance.results import Result
from harness.conformance.suites.vfio_pci._device import SET, ask, device_fd, feature
from harness.uapi import vfio as u
from harness.uapi.fs import O_RDWR

MACHINE = "qemu-q35"
UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa2001"
ANOTHER = "83b8f4f2-509f-382f-3c1e-e6bfe0fa2002"
_PLANE = "<IIIIQ9I"
_PARENTS = "/sys/class/mdev_bus"
_STATE = u.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE


def open_mtty(call: Call, ports: int = 1, uuid: str = UUID) -> Fd:
    """A new device of mtty with so many ports."""
    return open_sample(call, "mtty", f"mtty-{ports}", uuid)


def create(call: Call, parent: str, kind: str, uuid: str = UUID) -> None:
    """Make a device of a type."""
    path = f"{_PARENTS}/{parent}/mdev_supported_types/{kind}/create"
    expect(call.write_text(path, uuid), len(uuid))


def open_sample(call: Call, parent: str, kind: str, uuid: str = UUID) -> Fd:
    """Make a device of a type, and open it with a container of its own."""
    create(call, parent, kind, uuid)
    link = expect(call.readlink(f"/sys/bus/mdev/devices/{uuid}/iommu_group"))
    container = expect(call.open("/dev/vfio/vfio", O_RDWR))
    group = expect(call.open(f"/dev/vfio/{link.rsplit('/', 1)[1]}", O_RDWR))
    number = call.buffer(8)
    expect(call.poke(number, struct.pack("<i", container.number)))
    expect(call.ioctl(group, u.VFIO_GROUP_SET_CONTAINER, number), 0)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, u.VFIO_TYPE1v2_IOMMU), 0)
    return device_fd(call, group, uuid)


def know_irqs(call: Call, fd: Fd) -> None:
    """GET_INFO, without which it has no interrupts."""
    info = u.DeviceInfo(16)
    expect(ask(call, fd, u.VFIO_DEVICE_GET_INFO, info)[0], 0)


def set_state(call: Call, fd: Fd, state: int) -> tuple[Result[int], int]:
    """The result, and the fd of data in the structure."""
    data = struct.pack("<Ii", state, 77)
    result, after = feature(call, fd, _STATE | SET, data)
    return result, struct.unpack("<Ii", after)[1]


def get_state(call: Call, fd: Fd) -> tuple[int, int]:
    """State, and the fd of data."""
    result, after = feature(call, fd, _STATE | u.VFIO_DEVICE_FEATURE_GET, bytes(8))
    expect(result, 0)
    state, data_fd = struct.unpack("<Ii", after)
    return state, data_fd


def query_plane(
    call: Call, fd: Fd, flags: int, argsz: int = 60, plane_type: int = 0
) -> tuple[Result[int], tuple[int, ...]]:
    """VFIO_DEVICE_QUERY_GFX_PLANE: the result, and the structure's fields."""
    request = struct.pack(_PLANE, argsz, flags, plane_type, *(0,) * 11)
    result, data = ask(call, fd, u.VFIO_DEVICE_QUERY_GFX_PLANE, request)
    return result, struct.unpack(_PLANE, data)
