# SPDX-License-Identifier: Apache-2.0
"""Resetting a whole bus: GET_PCI_HOT_RESET_INFO and PCI_HOT_RESET of vfio_pci_core.c, 6.1.

No slot here is one for hot-plugging, so what is reset together is always a bus.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.drivers.pci import PciDevice, PciSegment
from harness.drivers.pci.reset import pci_reset_bus
from harness.drivers.vfio.group import VfioGroupFile
from harness.drivers.vfio.iommufd import vfio_iommufd_get_dev_id
from harness.drivers.vfio.user import copy_in, copy_out
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.uapi import vfio as u

if TYPE_CHECKING:
    from harness.drivers.vfio.vfio_main import VfioDevice
    from harness.drivers.vfio_pci.core import VfioPciCoreDevice

_HEADER = u.offsetofend(u.HotReset, "count")


def _affected(segment: PciSegment) -> list[PciDevice]:
    """pci_walk_bus: the functions on the bus and behind its bridges."""
    found = []
    for device in segment.devices:
        found.append(device)
        if device.subordinate is not None:
            found += _affected(device.subordinate)
    return found


def _resettable(vdev: VfioPciCoreDevice) -> list[PciDevice]:
    """What a reset concerns; ENODEV on a root bus (pci_probe_reset_bus)."""
    if vdev.pdev.segment.self_device is None:
        raise Errno(errno.ENODEV)
    return _affected(vdev.pdev.segment)


def get_pci_hot_reset_info(vdev: VfioPciCoreDevice, caller: Caller, argument: int) -> None:
    """The functions that would be reset. ENODEV; ENOSPC with their number; EPERM.

    Who has the device by a node of its own (6.6) gets their numbers in the iommufd.
    """
    header = copy_in(caller, argument, u.HotResetInfo)
    header.flags = 0
    devices = _resettable(vdev)
    size = struct.calcsize("=IHBB")
    if header.argsz < _HEADER + len(devices) * size:
        header.count = len(devices)
        copy_out(caller, argument, header)
        raise Errno(errno.ENOSPC)
    numbers = _devids(vdev, devices) if vdev.cdev_opened else _group_ids(devices)
    if vdev.cdev_opened:
        header.flags = u.VFIO_PCI_HOT_RESET_FLAG_DEV_ID
        if u.VFIO_PCI_DEVID_NOT_OWNED not in numbers:
            header.flags |= u.VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED
    content = b"".join(map(_dependent_device, devices, numbers))
    header.count = len(devices)
    copy_out(caller, argument, header)
    caller.copy_to_user(argument + _HEADER, content)


def _group_ids(devices: list[PciDevice]) -> list[int]:
    """EPERM for a function that nothing isolates."""
    groups = [device.iommu_group for device in devices]
    if None in groups:
        raise Errno(errno.EPERM)
    return [group.number for group in groups if group is not None]


def _devids(vdev: VfioPciCoreDevice, devices: list[PciDevice]) -> list[int]:
    """Of the functions in the user's iommufd, or whether they are his (vfio_pci_fill_devs)."""
    assert vdev.device_set is not None
    assert vdev.iommufd is not None
    members = {member.dev: member for member in vdev.device_set.devices}
    return [
        vfio_iommufd_get_dev_id(members[device], vdev.iommufd)
        if device in members
        else u.VFIO_PCI_DEVID_NOT_OWNED
        for device in devices
    ]


def _dependent_device(device: PciDevice, number: int) -> bytes:
    """struct vfio_pci_dependent_device."""
    segment, bus = device.segment.name.split(":")
    devfn = int(device.address[8:10], 16) << 3 | int(device.address[11])
    return bytes(u.PciDependentDevice(number & 0xFFFFFFFF, int(segment, 16), int(bus, 16), devfn))


def pci_hot_reset(vdev: VfioPciCoreDevice, caller: Caller, argument: int) -> None:
    """Reset the bus, if the caller has all groups that are on it, or all devices by iommufd."""
    header = copy_in(caller, argument, u.HotReset)
    if header.flags or (vdev.section.route_checked and bool(header.count) is vdev.cdev_opened):
        raise Errno(errno.EINVAL)
    devices = _resettable(vdev)
    if vdev.cdev_opened:
        file = vdev.iommufd
        assert file is not None
        _dev_set_hot_reset(
            vdev,
            devices,
            lambda member: vfio_iommufd_get_dev_id(member, file) != u.VFIO_PCI_DEVID_NOT_OWNED,
        )
        return
    if not header.count or header.count > len(devices):
        raise Errno(errno.EINVAL)
    data = caller.copy_from_user(argument + _HEADER, 4 * header.count)
    files = [_group_file(caller, fd) for fd in struct.unpack(f"<{header.count}i", data)]
    _dev_set_hot_reset(
        vdev, devices, lambda member: any(file.group is member.group for file in files)
    )


def _group_file(caller: Caller, fd: int) -> VfioGroupFile:
    """EBADF, or EINVAL for what is no group."""
    file = caller.file(fd)
    if not isinstance(file, VfioGroupFile):
        raise Errno(errno.EINVAL)
    return file


def _dev_set_hot_reset(
    vdev: VfioPciCoreDevice, devices: list[PciDevice], owned: Callable[[VfioDevice], bool]
) -> None:
    """EINVAL if a function is not the driver's, or not the caller's."""
    assert vdev.device_set is not None
    members = vdev.device_set.devices
    if any(all(member.dev is not device for member in members) for device in devices):
        raise Errno(errno.EINVAL)
    if not all(owned(member) for member in members):
        raise Errno(errno.EINVAL)
    pci_reset_bus(vdev.pdev.segment)
