# SPDX-License-Identifier: Apache-2.0
"""/dev/vfio/devices/vfioX: binding to an iommufd, attaching, closing."""

from __future__ import annotations

import struct
from ctypes import LittleEndianStructure

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import (
    EBADF,
    EBADFD,
    EBUSY,
    EFAULT,
    EINVAL,
    ENOENT,
    ENOSPC,
    ENOTTY,
    EPERM,
    ESPIPE,
)
from harness.conformance.results import Result
from harness.conformance.suites.iommufd._steps import (
    FEATURE,
    attach,
    cdev_path,
    detach,
    open_cdev,
    open_context,
)
from harness.conformance.suites.vfio._steps import get_status, open_group, set_container
from harness.conformance.suites.vfio_pci._device import (
    BRIDGED_EDU,
    CONFIG,
    EDU,
    MACHINE,
    PCI,
    TESTDEV,
    ask,
    device_fd,
    group_path,
)
from harness.uapi import vfio as u
from harness.uapi.fs import O_RDONLY, O_RDWR, PAGE_SIZE, SEEK_SET

_FILE = "drivers/vfio/device_cdev.c, 6.12"
_BIND = f"vfio_df_ioctl_bind_iommufd: {_FILE}"
_ATTACH = f"vfio_df_ioctl_attach_pt: {_FILE}"
_IDS = b"\x34\x12\xe8\x11"


@case(source=f"vfio_cdev_init: {_FILE}", machine=MACHINE, since=FEATURE)
def node(call: Call) -> None:
    """Root's alone; the device's ``dev`` has its number."""
    expect(call.close(open_cdev(call)))
    path = cdev_path(call)
    stat = expect(call.stat(path), mode=0o020600)
    name = path.rsplit("/", 1)[1]
    major, minor = stat.rdev >> 8 & 0xFFF, stat.rdev & 0xFF
    expect(call.read_text(f"{PCI}/devices/{EDU}/vfio-dev/{name}/dev"), f"{major}:{minor}\n")
    expect(f"vfio{minor}", name)
    for flags in (O_RDONLY, O_RDWR, O_RDWR):
        expect(call.open(path, flags))


@case(
    source="vfio_device_fops_unl_ioctl: drivers/vfio/vfio_main.c, 6.12",
    machine=MACHINE,
    since=FEATURE,
)
def not_bound(call: Call) -> None:
    """It can do nothing."""
    device = open_cdev(call)
    for command in (
        u.VFIO_DEVICE_GET_INFO,
        u.VFIO_DEVICE_RESET,
        u.VFIO_DEVICE_FEATURE,
        u.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
        u.VFIO_DEVICE_DETACH_IOMMUFD_PT,
        u.VFIO_TYPE << 8 | 150,
    ):
        expect(call.ioctl(device, command, call.buffer(64)), EINVAL)
    expect(call.pread(device, 4, CONFIG), EINVAL)
    expect(call.pwrite(device, b"\0\0", CONFIG + 4), EINVAL)
    expect(call.read(device, 4), EINVAL)
    expect(call.mmap(PAGE_SIZE, 0x1, 0x1, device), EINVAL)


@case(source="vfs_llseek: fs/read_write.c, 6.12", machine=MACHINE, since=FEATURE)
def no_position(call: Call) -> None:
    expect(call.lseek(open_cdev(call), 0, SEEK_SET), ESPIPE)


@case(source="chrdev_open: fs/char_dev.c, misc_open, 6.12", machine=MACHINE, since=FEATURE)
def held_modules(call: Call) -> None:
    """A device's node holds its module twice, that of iommufd once."""

    def references(module: str) -> int:
        return int(expect(call.read_text(f"/sys/module/{module}/refcnt")))

    device = open_cdev(call)
    held, before = references("vfio"), references("iommufd")
    other = call.dup(device)
    expect(references("vfio"), held)
    call.close(device)
    expect(references("vfio"), held)
    call.close(other)
    expect(references("vfio"), held - 2)
    context = open_context(call)
    expect(references("iommufd"), before + 1)
    call.close(context.fd)
    expect(references("iommufd"), before)


@case(source=_BIND, machine=MACHINE, since=FEATURE)
@param("argsz flags", [(0, 0), (15, 0), (16, 0x80), (16, 2)], id="{argsz}+{flags}")
def bind_refused(call: Call, argsz: int, flags: int) -> None:
    device, context = open_cdev(call), open_context(call)
    expect(context.bind(device, flags, argsz)[0], EINVAL)


@case(source=_BIND, machine=MACHINE, since=FEATURE)
@param("fd answer", [(-1, EINVAL), (-5, EINVAL), (999, EBADF)], id="{fd}")
def bind_no_file(call: Call, fd: int, answer: object) -> None:
    given = u.BindIommufd(16, 0, fd, 0)
    expect(ask(call, open_cdev(call), u.VFIO_DEVICE_BIND_IOMMUFD, given)[0], answer)


@case(source=_BIND, machine=MACHINE, since=FEATURE)
def bind_other_file(call: Call) -> None:
    device = open_cdev(call)
    given = u.BindIommufd(16, 0, device.number, 0)
    expect(ask(call, device, u.VFIO_DEVICE_BIND_IOMMUFD, given)[0], EBADFD)
    expect(call.ioctl(device, u.VFIO_DEVICE_BIND_IOMMUFD), EFAULT)


@case(source=_BIND, machine=MACHINE, since=FEATURE)
def bind(call: Call) -> None:
    """Once, and by one file at a time."""
    device, context = open_cdev(call), open_context(call)
    result, number = context.bind(device)
    expect(result, 0)
    expect(number, 1)
    expect(context.bind(device)[0], EINVAL)
    expect(open_context(call).bind(device)[0], EINVAL)
    second = expect(call.open(cdev_path(call), O_RDWR))
    expect(context.bind(second)[0], EINVAL)
    expect(call.pread(device, 4, CONFIG), _IDS)
    expect(call.ioctl(device, u.VFIO_TYPE << 8 | 150), ENOTTY)
    expect(call.close(device))
    expect(context.bind(second)[0], 0)


@case(source="vfio_device_block_group: drivers/vfio/group.c, 6.12", machine=MACHINE, since=FEATURE)
def either_group_or_device(call: Call) -> None:
    device, context = open_cdev(call), open_context(call)
    path = group_path(call, EDU)
    group = expect(call.open(path, O_RDWR))
    expect(context.bind(device)[0], EBUSY)
    expect(call.close(group))
    expect(context.bind(device)[0], 0)
    expect(call.open(path, O_RDWR), EBUSY)
    expect(call.close(device))
    expect(call.open(path, O_RDWR))


@case(source=_ATTACH, machine=MACHINE, since=FEATURE)
def attached(call: Call) -> None:
    """To an address space by a page table that is made, whose number is told."""
    device, context = open_cdev(call), open_context(call)
    expect(context.bind(device)[0], 0)
    first, second = context.ioas(), context.ioas()
    expect((first, second), (2, 3))
    expect(detach(call, device), 0)
    result, table = attach(call, device, first)
    expect(result, 0)
    expect(table, 4)
    expect(attach(call, device, first)[1], table)
    expect(context.destroy(first), EBUSY)
    expect(context.destroy(1), EBUSY)
    result, other = attach(call, device, second)
    expect(result, 0)
    expect(context.destroy(first), 0)
    expect(context.destroy(second), EBUSY)
    expect(detach(call, device), 0)
    expect(context.destroy(other), ENOENT)
    expect(context.destroy(second), 0)
    expect(detach(call, device), 0)


@case(source=_ATTACH, machine=MACHINE, since=FEATURE)
def attach_refused(call: Call) -> None:
    device, context = open_cdev(call), open_context(call)
    expect(context.bind(device)[0], 0)
    ioas = context.ioas()
    expect(attach(call, device, ioas, argsz=11)[0], EINVAL)
    expect(attach(call, device, ioas, flags=1)[0], EINVAL)
    expect(attach(call, device, ioas, flags=2)[0], EINVAL)
    expect(attach(call, device, 9999)[0], ENOENT)
    expect(attach(call, device, 0)[0], ENOENT)
    expect(attach(call, device, 1)[0], EINVAL)
    expect(detach(call, device, argsz=7), EINVAL)
    expect(detach(call, device, flags=2), EINVAL)


def _by_pasid(
    call: Call, device: Fd, pasid: int, table: int | None = None
) -> tuple[Result[int], int | None]:
    """Attach by a PASID, or without a table detach: the result, and the table's number then."""
    if table is None:
        given: LittleEndianStructure = u.DetachIommufdPtFull(12, 1, pasid)
        return ask(call, device, u.VFIO_DEVICE_DETACH_IOMMUFD_PT, given)[0], None
    given = u.AttachIommufdPtFull(16, 1, table, pasid)
    result, data = ask(call, device, u.VFIO_DEVICE_ATTACH_IOMMUFD_PT, given)
    return result, u.AttachIommufdPt.from_buffer_copy(data).pt_id


@case(
    source="vfio_iommufd_physical_pasid_attach_ioas: drivers/vfio/iommufd.c, 6.15",
    machine=MACHINE,
    since="7.2+iommufd",
)
def attach_by_pasid(call: Call) -> None:
    """PASID 0 is none, but kept apart: who is attached by the one way is not by the other."""
    device, context = open_cdev(call), open_context(call)
    expect(context.bind(device)[0], 0)
    ioas, other = context.ioas(), context.ioas()
    for pasid, table, answer in (
        (1, ioas, EINVAL),
        (1 << 20, ioas, EINVAL),
        (1, 1, EINVAL),
        (1, 9999, ENOENT),
        (0, 9999, ENOENT),
        ((1 << 31) - 1, 9999, ENOENT),
        (1 << 31, 9999, ENOSPC),
    ):
        expect(_by_pasid(call, device, pasid, table)[0], answer)
    result, first = _by_pasid(call, device, 0, ioas)
    expect(result, 0)
    expect(attach(call, device, ioas)[0], EBUSY)
    expect(attach(call, device, 9999)[0], ENOENT)
    expect(detach(call, device), 0)
    result, second = _by_pasid(call, device, 0, other)
    expect(result, 0)
    expect(first == second, False)
    expect(context.destroy(other), EBUSY)
    expect(context.destroy(ioas), 0)
    for pasid in (1, 1 << 31, 0, 0):
        expect(_by_pasid(call, device, pasid)[0], 0)
    expect(attach(call, device, other)[0], 0)
    expect(_by_pasid(call, device, 0, other)[0], EBUSY)
    expect(_by_pasid(call, device, 0)[0], 0)
    expect(context.destroy(other), EBUSY)


_DEVID, _OWNED = u.VFIO_PCI_HOT_RESET_FLAG_DEV_ID, u.VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED


@case(
    source="vfio_pci_fill_devs, vfio_pci_dev_set_hot_reset: drivers/vfio/pci/vfio_pci_core.c, 6.6",
    machine=MACHINE,
    since=FEATURE,
)
@param("together", [True, False])
def hot_reset(call: Call, together: bool) -> None:
    """Functions have numbers of the iommufd; the whole bus must be of its groups, or its own."""
    first, context = open_cdev(call, BRIDGED_EDU), open_context(call)
    number = context.bind(first)[1]

    def info() -> tuple[int, ...]:
        given = struct.pack("<III", 28, 0, 0).ljust(28, b"\0")
        result, data = ask(call, first, u.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, given)
        expect(result, 0)
        _, flags, *words = struct.unpack("<IIIiIiI", data)
        return flags, words[1], words[3]

    def reset(count: int) -> Result[int]:
        given = struct.pack("<IIIii", 20, 0, count, -1, -1)
        return ask(call, first, u.VFIO_DEVICE_PCI_HOT_RESET, given)[0]

    expect(info(), (_DEVID, number, u.VFIO_PCI_DEVID_NOT_OWNED))
    expect(reset(0), EINVAL)
    expect(reset(1), EINVAL)
    second = open_cdev(call, TESTDEV)
    expect(info(), (_DEVID | _OWNED, number, u.VFIO_PCI_DEVID_OWNED))
    if together:
        there = context.bind(second)[1]
    else:
        expect(open_context(call).bind(second)[0], EPERM)
        there = u.VFIO_PCI_DEVID_OWNED
    expect(info(), (_DEVID | _OWNED, number, there))
    expect(reset(0), 0)
    expect(reset(2), EINVAL)


@case(source=_BIND, machine=MACHINE, since=FEATURE)
def iommufd_closed_first(call: Call) -> None:
    """A bound device keeps it."""
    device, context = open_cdev(call), open_context(call)
    expect(context.bind(device)[0], 0)
    expect(attach(call, device, context.ioas())[0], 0)
    expect(call.close(context.fd))
    expect(call.pread(device, 4, CONFIG), _IDS)
    expect(detach(call, device), 0)


@case(
    source="vfio_group_ioctl_set_container: drivers/vfio/group.c, 6.12",
    machine=MACHINE,
    since=FEATURE,
)
def group_on_iommufd(call: Call) -> None:
    """In place of a container."""
    group, context = open_group(call), open_context(call)
    expect(set_container(call, group, context.fd), 0)
    expect(set_container(call, group, context.fd), EINVAL)
    expect(get_status(call, group)[1].flags, 3)
    expect(call.ioctl(context.fd, u.VFIO_SET_IOMMU, 3), 0)
    device = device_fd(call, group, EDU)
    expect(call.pread(device, 4, CONFIG), _IDS)
    given = u.BindIommufd(16, 0, context.fd.number, 0)
    expect(ask(call, device, u.VFIO_DEVICE_BIND_IOMMUFD, given)[0], EINVAL)
    expect(attach(call, device, 1)[0], ENOTTY)
    expect(detach(call, device), ENOTTY)
    expect(call.close(device))
    expect(call.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER), 0)
    expect(get_status(call, group)[1].flags, 1)
