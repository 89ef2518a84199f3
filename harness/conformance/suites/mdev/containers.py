# SPDX-License-Identifier: Apache-2.0
"""A container with the group of a mediated device, behind which there is no IOMMU."""

from __future__ import annotations

from harness.conformance import Call, Fd, case, expect
from harness.conformance.errnos import EBUSY, EINVAL, ENODEV
from harness.conformance.suites.mdev._samples import MACHINE, UUID, create, device
from harness.conformance.suites.vfio._steps import (
    EDU,
    PAGE,
    V2,
    Mapper,
    get_device_fd,
    get_status,
    open_container,
    open_group,
    set_container,
)
from harness.uapi import vfio as u
from harness.uapi.fs import O_RDWR

_MATCH = "vfio_device_get_from_name: drivers/vfio/vfio_main.c, 6.1"
_TYPE1 = "vfio_iommu_has_emulated: drivers/vfio/vfio_iommu_type1.c, 6.1"
_UNMAP = "vfio_dma_do_unmap: drivers/vfio/vfio_iommu_type1.c, 6.1"
_VADDR = u.VFIO_DMA_UNMAP_FLAG_VADDR


def _group(call: Call) -> Fd:
    """The group of a new device of mtty."""
    create(call, "mtty-1")
    number = expect(call.readlink(f"{device()}/iommu_group")).rpartition("/")[2]
    return expect(call.open(f"/dev/vfio/{number}", O_RDWR))


def _mapper(call: Call) -> Mapper:
    group, container = _group(call), open_container(call)
    expect(set_container(call, group, container), 0)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, V2), 0)
    return Mapper(call, container, group)


@case(source=_MATCH, machine=MACHINE)
def name_of_a_device(call: Call) -> None:
    """It is in small letters, whatever was written to ``create``."""
    group = _mapper(call).group
    for name in (UUID.upper(), UUID[:-1], f"{UUID} vf_token={UUID}", ""):
        expect(get_device_fd(call, group, name.encode()), ENODEV)
    expect(get_device_fd(call, group, UUID.encode()))


@case(source=f"vfio_group_ioctl_get_status: vfio_main.c, 6.1; {_MATCH}", machine=MACHINE)
def status(call: Call) -> None:
    """Nobody but the program has its DMA."""
    group = _group(call)
    expect(get_status(call, group)[1].flags, 1)
    expect(set_container(call, group, open_container(call)), 0)
    expect(get_status(call, group)[1].flags, 3)


@case(source=_TYPE1, machine=MACHINE)
def extensions(call: Call) -> None:
    """Memory cannot be exchanged where a device asks for it page by page; no IOMMU lacks coherency
    before there is one."""
    mapped = _mapper(call)
    for extension, answer in ((1, 1), (3, 1), (4, 1), (u.VFIO_UPDATE_VADDR, 0), (9, 1)):
        expect(call.ioctl(mapped.container, u.VFIO_CHECK_EXTENSION, extension), answer)
    expect(set_container(call, open_group(call, EDU), mapped.container), 0)
    for extension in (4, u.VFIO_UPDATE_VADDR):
        expect(call.ioctl(mapped.container, u.VFIO_CHECK_EXTENSION, extension), 0)


@case(source=_UNMAP, machine=MACHINE)
def memory_stays(call: Call) -> None:
    """What is wrong with the flags or the range is said first."""
    mapped = _mapper(call)
    expect(mapped.map(0, PAGE, call.buffer(PAGE)), 0)
    expect(mapped.unmap(0, PAGE, _VADDR | 8)[0], EINVAL)
    expect(mapped.unmap(0, PAGE, _VADDR)[0], EBUSY)
    expect(mapped.unmap(0x10000, PAGE, _VADDR)[0], EBUSY)
    expect(mapped.unmap(0, 0, _VADDR)[0], EBUSY)
    expect(mapped.unmap(0x800, PAGE, _VADDR)[0], EBUSY)
    mapped.unmapped(0, PAGE, PAGE)
