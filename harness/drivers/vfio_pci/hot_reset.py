# SPDX-License-Identifier: Apache-2.0
"""Resetting a whole bus: GET_PCI_HOT_RESET_INFO and PCI_HOT_RESET of vfio_pci_core.c, 6.1.

No slot here is one for hot-plugging, so what is reset together is always a bus.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from harness.drivers.pci import PciDevice, PciSegment
from harness.drivers.pci.reset import pci_reset_bus
from harness.drivers.vfio.group import VfioGroupFile
from harness.drivers.vfio.user import copy_in, copy_out
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.uapi import vfio as u

if TYPE_CHECKING:
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
    """The functions that would be reset. ENODEV; ENOSPC with their number; EPERM."""
    header = copy_in(caller, argument, u.HotResetInfo)
    header.flags = 0
    devices = _resettable(vdev)
    size = struct.calcsize("=IHBB")
    if header.argsz < _HEADER + len(devices) * size:
        header.count = len(devices)
        copy_out(caller, argument, header)
        raise Errno(errno.ENOSPC)
    content = b"".join(map(_dependent_device, devices))
    header.count = len(devices)
    copy_out(caller, argument, header)
    caller.copy_to_user(argument + _HEADER, content)


def _dependent_device(device: PciDevice) -> bytes:
    """struct vfio_pci_dependent_device; EPERM for a function that nothing isolates."""
    if device.iommu_group is None:
        raise Errno(errno.EPERM)
    segment, bus = device.segment.name.split(":")
    devfn = int(device.address[8:10], 16) << 3 | int(device.address[11])
    entry = u.PciDependentDevice(device.iommu_group.number, int(segment, 16), int(bus, 16), devfn)
    return bytes(entry)


def pci_hot_reset(vdev: VfioPciCoreDevice, caller: Caller, argument: int) -> None:
    """Reset the bus, if the caller has all groups that are on it."""
    header = copy_in(caller, argument, u.HotReset)
    if header.flags or (vdev.section.route_checked and not header.count):
        raise Errno(errno.EINVAL)
    devices = _resettable(vdev)
    if not header.count or header.count > len(devices):
        raise Errno(errno.EINVAL)
    data = caller.copy_from_user(argument + _HEADER, 4 * header.count)
    files = [_group_file(caller, fd) for fd in struct.unpack(f"<{header.count}i", data)]
    _dev_set_hot_reset(vdev, devices, files)


def _group_file(caller: Caller, fd: int) -> VfioGroupFile:
    """EBADF, or EINVAL for what is no group."""
    file = caller.file(fd)
    if not isinstance(file, VfioGroupFile):
        raise Errno(errno.EINVAL)
    return file


def _dev_set_hot_reset(
    vdev: VfioPciCoreDevice, devices: list[PciDevice], files: list[VfioGroupFile]
) -> None:
    """EINVAL if a function is not the driver's, or in none of the groups."""
    assert vdev.device_set is not None
    members = vdev.device_set.devices
    if any(all(member.dev is not device for member in members) for device in devices):
        raise Errno(errno.EINVAL)
    for member in members:
        if all(file.group is not member.group for file in files):
            raise Errno(errno.EINVAL)
    pci_reset_bus(vdev.pdev.segment)
