# SPDX-License-Identifier: Apache-2.0
"""Functions without an IOMMU: who may touch hardware is given them, and nothing is mapped."""

from __future__ import annotations

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import (
    EBUSY,
    EINVAL,
    ENODEV,
    ENOTTY,
    EPERM,
)
from harness.conformance.results import Result
from harness.conformance.suites.samples._device import UUID, create
from harness.conformance.suites.vfio._steps import (
    EDU,
    PAGE,
    V1,
    V2,
    ask,
    get_device_fd,
    get_status,
    open_container,
    set_container,
)
from harness.conformance.suites.vfio_pci._device import (
    E1000E,
    MSI,
    PCI,
    TRIGGER,
    count,
    eventfd,
    group_path,
    irq_info,
    region_info,
    set_irqs,
    wire,
)
from harness.conformance.suites.vfio_pci._device import NONE as NO_DATA
from harness.uapi import vfio as u
from harness.uapi.fs import CAP_SYS_RAWIO, O_RDWR

MACHINE = "qemu-q35-noiommu"
FEATURE = "+noiommu"
_PARAMETER = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
_OPEN = "vfio_group_fops_open: drivers/vfio/vfio_main.c, 6.1; group.c, 6.12"
_ATTACH = "vfio_container_attach_group: drivers/vfio/container.c, 6.1"
_USE = "vfio_device_assign_container: container.c, 6.1; vfio_group_use_container: container.c, 6.12"
_SET_IOMMU = "vfio_ioctl_set_iommu, vfio_noiommu_open: drivers/vfio/container.c, 6.1"
_IOCTL = "vfio_noiommu_ioctl: drivers/vfio/container.c, 6.1"
_EMPTY, _VIABLE, _IN_USE = 0, 1, 3


def _allow(call: Call, value: str = "Y") -> None:
    expect(call.write_text(_PARAMETER, value))


def _bind(call: Call, address: str = EDU) -> str:
    """Give a function without an IOMMU to vfio-pci; the node of its group."""
    _allow(call)
    expect(call.write_text(f"{PCI}/devices/{address}/driver_override", "vfio-pci"))
    expect(call.write_text(f"{PCI}/drivers/vfio-pci/bind", address), len(address))
    return group_path(call, address).replace("/vfio/", "/vfio/noiommu-")


def _open(call: Call, address: str = EDU) -> Fd:
    return expect(call.open(_bind(call, address), O_RDWR))


def _container(call: Call, group: Fd) -> Fd:
    """A container with the group, which maps nothing."""
    container = open_container(call)
    expect(set_container(call, group, container), 0)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, u.VFIO_NOIOMMU_IOMMU), 0)
    return container


def _without_rights(call: Call) -> Call:
    """A task that shares all files with this one, but may not touch hardware."""
    task = call.fork()
    task.call.drop_capabilities(CAP_SYS_RAWIO)
    return task.call


def _extension(call: Call, container: Fd, extension: int) -> Result[int]:
    return call.ioctl(container, u.VFIO_CHECK_EXTENSION, extension)


@case(source=_OPEN, machine=MACHINE, since=FEATURE)
def group_without_rights(call: Call) -> None:
    """Neither root nor the node's mode are enough; this is said before that it is open already."""
    path = _bind(call)
    poor = _without_rights(call)
    expect(poor.open(path, O_RDWR), EPERM)
    expect(call.open(path, O_RDWR))
    expect(call.open(path, O_RDWR), EBUSY)
    expect(poor.open(path, O_RDWR), EPERM)


@case(source=f"vfio_group_ioctl_get_status; {_OPEN}", machine=MACHINE, since=FEATURE)
def status(call: Call) -> None:
    """Nobody has to give anything up for it to be viable."""
    group = _open(call)
    expect(get_status(call, group)[1].flags, _VIABLE)
    container = open_container(call)
    expect(set_container(call, group, container), 0)
    expect(get_status(call, group)[1].flags, _IN_USE)
    expect(call.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER), 0)
    expect(get_status(call, group)[1].flags, _VIABLE)


@case(source=_ATTACH, machine=MACHINE, since=FEATURE)
def container_without_rights(call: Call) -> None:
    group, container = _open(call), open_container(call)
    expect(set_container(_without_rights(call), group, container), EPERM)
    expect(set_container(call, group, container), 0)
    # That there is one is said before.
    expect(set_container(_without_rights(call), group, container), EINVAL)


@case(source=_ATTACH, machine=MACHINE, since=FEATURE)
def two_groups(call: Call) -> None:
    """Each function is alone in its group, and one container takes them all."""
    group, other = _open(call), _open(call, E1000E)
    container = _container(call, group)
    expect(set_container(call, other, container), 0)
    for fd, address in ((group, EDU), (other, E1000E)):
        expect(get_device_fd(call, fd, address.encode()))


@case(source=_ATTACH, machine=MACHINE, since=FEATURE)
@param("first", ["mdev", "function"])
def no_mixed_container(call: Call, first: str) -> None:
    """A group that has an IOMMU, if only by name, and one that has none do not go together."""
    create(call, "mtty", "mtty-1")
    number = expect(call.readlink(f"/sys/bus/mdev/devices/{UUID}/iommu_group")).rpartition("/")[2]
    groups = [expect(call.open(f"/dev/vfio/{number}", O_RDWR)), _open(call)]
    if first == "function":
        groups.reverse()
    container = open_container(call)
    expect(set_container(call, groups[0], container), 0)
    expect(set_container(call, groups[1], container), EPERM)
    expect(call.ioctl(groups[0], u.VFIO_GROUP_UNSET_CONTAINER), 0)
    expect(set_container(call, groups[1], container), 0)


# --- extensions and types


@case(source=_IOCTL, machine=MACHINE, since=FEATURE)
def extension(call: Call) -> None:
    """It is offered as long as it is allowed; with a group there is nothing else."""
    container = open_container(call)
    expect(_extension(call, container, u.VFIO_NOIOMMU_IOMMU), 0)
    _allow(call)
    expect(_extension(call, container, u.VFIO_NOIOMMU_IOMMU), 1)
    for kind in (V1, V2):
        expect(_extension(call, container, kind), 1)
    group = _open(call)
    expect(set_container(call, group, container), 0)
    for kind in (0, V1, V2, u.VFIO_UNMAP_ALL, 99):
        expect(_extension(call, container, kind), 0)
    expect(_extension(call, container, u.VFIO_NOIOMMU_IOMMU), 1)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, u.VFIO_NOIOMMU_IOMMU), 0)
    expect(_extension(call, container, V2), 0)
    expect(_extension(call, container, u.VFIO_NOIOMMU_IOMMU), 1)
    _allow(call, "N")
    expect(_extension(call, container, u.VFIO_NOIOMMU_IOMMU), 0)


@case(source=_SET_IOMMU, machine=MACHINE, since=FEATURE)
@param("kind", [0, V1, V2, 99])
def another_type(call: Call, kind: int) -> None:
    container, group = open_container(call), _open(call)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, u.VFIO_NOIOMMU_IOMMU), EINVAL)
    expect(set_container(call, group, container), 0)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, kind), ENODEV)


@case(source=_SET_IOMMU, machine=MACHINE, since=FEATURE)
def type_without_rights(call: Call) -> None:
    container, group = open_container(call), _open(call)
    expect(set_container(call, group, container), 0)
    poor = _without_rights(call)
    expect(poor.ioctl(container, u.VFIO_SET_IOMMU, u.VFIO_NOIOMMU_IOMMU), EPERM)
    expect(poor.ioctl(container, u.VFIO_SET_IOMMU, V2), ENODEV)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, u.VFIO_NOIOMMU_IOMMU), 0)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, u.VFIO_NOIOMMU_IOMMU), EINVAL)


@case(source=_SET_IOMMU, machine=MACHINE, since=FEATURE)
def no_longer_allowed(call: Call) -> None:
    """What is bound stays, but no container is made for it."""
    group = _open(call)
    _allow(call, "N")
    container = open_container(call)
    expect(set_container(call, group, container), 0)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, u.VFIO_NOIOMMU_IOMMU), ENODEV)


@case(source=_IOCTL, machine=MACHINE, since=FEATURE)
def nothing_is_mapped(call: Call) -> None:
    """Nothing but the extension can be asked, whatever the structure says."""
    container = _container(call, _open(call))
    memory = call.buffer(PAGE)
    for given, command in (
        (u.IommuType1Info(16, 0, 0), u.VFIO_IOMMU_GET_INFO),
        (u.DmaMap(32, 3, memory.address, 0, PAGE), u.VFIO_IOMMU_MAP_DMA),
        (u.DmaMap(0, 0, 0, 0, 0), u.VFIO_IOMMU_MAP_DMA),
        (u.DmaUnmap(24, 0, 0, PAGE), u.VFIO_IOMMU_UNMAP_DMA),
        (u.DirtyBitmap(8, 1), u.VFIO_IOMMU_DIRTY_PAGES),
    ):
        expect(ask(call, container, command, given)[0], ENOTTY)
    expect(call.ioctl(container, u.VFIO_IOMMU_MAP_DMA, 0), ENOTTY)
    expect(call.ioctl(container, u.VFIO_GROUP_GET_STATUS, memory), ENOTTY)
    expect(call.ioctl(container, u.VFIO_GET_API_VERSION), 0)


# --- the device


@case(source=_USE, machine=MACHINE, since=FEATURE)
def device_without_rights(call: Call) -> None:
    """Without a container that is said first; who comes second is let in since 6.2."""
    group = _open(call)
    poor = _without_rights(call)
    expect(get_device_fd(poor, group, EDU.encode()), EINVAL)
    container = _container(call, group)
    expect(get_device_fd(poor, group, E1000E.encode()), ENODEV)
    expect(get_device_fd(poor, group, EDU.encode()), EPERM)
    expect(call.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER), 0)
    expect(set_container(call, group, container), 0)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, u.VFIO_NOIOMMU_IOMMU), 0)
    device = Fd(expect(get_device_fd(call, group, EDU.encode())), "device")
    second = get_device_fd(poor, group, EDU.encode())
    if call.since("6.12"):
        expect(second)
    else:
        expect(second, EPERM)
    # What is open is theirs who have it.
    expect(
        _without_rights(call).pread(device, 4, u.VFIO_PCI_CONFIG_REGION_INDEX << 40),
        b"\x34\x12\xe8\x11",
    )


@case(source=_USE, machine=MACHINE, since=FEATURE)
def device(call: Call) -> None:
    """It has registers and interrupts as any other; only its memory is nobody's concern."""
    group = _open(call)
    container = _container(call, group)
    fd = Fd(expect(get_device_fd(call, group, EDU.encode())), "device")
    expect(call.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER), EBUSY)
    result, data = region_info(call, fd, 0)
    expect(result, 0)
    expect(int.from_bytes(data[16:24], "little"), 0x100000)
    expect(call.pread(fd, 4, 0), b"\xed\x00\x00\x01")
    memory = expect(call.mmap(PAGE, 3, 1, fd, 0))
    expect(call.load(memory, 4), 0x010000ED)
    expect(irq_info(call, fd, MSI)[1].count, 1)
    signalled = eventfd(call)
    expect(wire(call, fd, MSI, 0, signalled), 0)
    expect(set_irqs(call, fd, NO_DATA | TRIGGER, MSI, 0, 1), 0)
    expect(count(call, signalled), 1)
    expect(call.ioctl(fd, u.VFIO_DEVICE_PCI_HOT_RESET, call.buffer(16)), EINVAL)
    expect(call.munmap(memory))
    expect(call.close(fd))
    expect(call.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER), 0)
    expect(call.ioctl(container, u.VFIO_IOMMU_MAP_DMA, 0), EINVAL)
