# SPDX-License-Identifier: Apache-2.0
"""Containers: /dev/vfio/vfio."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EINVAL, ENODEV, ENOENT, ENOTTY, EPERM, ESPIPE
from harness.conformance.suites.vfio._steps import (
    MACHINE,
    PAGE,
    V1,
    V2,
    ask,
    mapper,
    open_container,
    open_group,
    set_container,
)
from harness.uapi import vfio as u
from harness.uapi.fs import (
    MAY_READ,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    POLLIN,
    POLLOUT,
    SEEK_HOLE,
    SEEK_SET,
)

_FILE = "drivers/vfio/container.c, 6.2 (vfio_main.c, 6.1)"
_IOCTL = f"vfio_fops_unl_ioctl: {_FILE}"
_CHECK = f"vfio_container_ioctl_check_extension: {_FILE}; vfio_iommu_type1_check_extension"
_SET_IOMMU = f"vfio_ioctl_set_iommu: {_FILE}"
_NOIOMMU = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
#: A command that nobody has.
_UNKNOWN = u.VFIO_TYPE << 8 | u.VFIO_BASE + 99


@case(source=f"vfio_fops_open: {_FILE}", machine=MACHINE, golden="container/open_rdonly")
@param("flags", [(O_RDONLY,), (O_WRONLY,), (O_RDWR,)])
def opened(call: Call, flags: int) -> None:
    """As often as wanted, for whatever; each is a container of its own."""
    first = expect(call.open("/dev/vfio/vfio", flags))
    second = expect(call.open("/dev/vfio/vfio", flags))
    group = open_group(call)
    expect(set_container(call, group, first), 0)
    expect(call.ioctl(first, u.VFIO_SET_IOMMU, V2), 0)
    expect(call.ioctl(second, u.VFIO_SET_IOMMU, V2), EINVAL)


@case(source=_FILE, machine=MACHINE)
def node(call: Call) -> None:
    """Number 10:196, for everybody."""
    expect(call.stat("/dev/vfio/vfio"), mode=0o020666, rdev=10 << 8 | 196)
    expect(call.read_text("/sys/class/misc/vfio/dev"), "10:196\n")
    expect(
        call.read_text("/sys/class/misc/vfio/uevent"),
        "MAJOR=10\nMINOR=196\nDEVNAME=vfio/vfio\nDEVMODE=0666\n",
    )


@case(source=_FILE, machine=MACHINE, golden=("container/read", "container/poll"))
def file_operations(call: Call) -> None:
    """There are none but ioctl."""
    fd = open_container(call)
    expect(call.read(fd, 4), EINVAL)
    expect(call.write(fd, b"abcd"), EINVAL)
    expect(call.mmap(PAGE, 0x1, 0x1, fd), ENODEV)
    expect(call.poll({fd: POLLIN | POLLOUT}), {fd: POLLIN | POLLOUT})


@case(source="vfio_fops: container.c; do_epoll_ctl: fs/eventpoll.c, 6.1", machine=MACHINE)
def no_epoll(call: Call) -> None:
    """There is no poll method: who polls need not wait, epoll refuses."""
    expect(call.epoll(open_container(call), POLLIN), EPERM)


@case(source="vfs_llseek: fs/read_write.c, 6.1", machine=MACHINE)
def no_position(call: Call) -> None:
    """What is no way to seek at all is found out first."""
    fd = open_container(call)
    expect(call.lseek(fd, 0, SEEK_SET), ESPIPE)
    expect(call.lseek(fd, 0, SEEK_HOLE + 1), EINVAL)


@case(source="do_dentry_open: fs/open.c, 6.1: FMODE_PREAD", machine=MACHINE)
def read_somewhere(call: Call) -> None:
    """The way to read is looked for, and not whether there are places."""
    expect(call.pread(open_container(call), 4, 0), EINVAL)


@case(source=_IOCTL, machine=MACHINE)
def api_version(call: Call) -> None:
    expect(call.ioctl(open_container(call), u.VFIO_GET_API_VERSION), 0)


@case(source="SYSCALL_DEFINE3(ioctl): fs/ioctl.c, 6.1", machine=MACHINE)
def command_of_32_bits(call: Call) -> None:
    """Those above do not count."""
    container = open_container(call)
    expect(call.ioctl(container, 1 << 40 | u.VFIO_GET_API_VERSION), 0)
    expect(call.ioctl(container, 1 << 40 | _UNKNOWN), EINVAL)


@case(source=_CHECK, machine=MACHINE, golden="container/check_ext_nogroup_{extension}")
@param(
    "extension answer",
    [
        *((n, 0) for n in (0, 2, 4, 5, 7, 8, 10, 11, 99, 0xFFFFFFFF)),
        *((n, 1) for n in (1, 3, 9)),
    ],
)
def extension_alone(call: Call, extension: int, answer: int) -> None:
    """Nobody has mapped anything yet: all that any driver can do."""
    expect(call.ioctl(open_container(call), u.VFIO_CHECK_EXTENSION, extension), answer)


@case(source=_CHECK, machine=MACHINE, golden="container/check_ext_group_{extension}")
@param(
    "extension answer",
    [
        *((n, 0) for n in (0, 2, 4, 5, 7, 8, 10, 11, 99, 0xFFFFFFFF)),
        *((n, 1) for n in (1, 3, 9)),
    ],
)
def extension_with_group(call: Call, extension: int, answer: int) -> None:
    container = open_container(call)
    expect(set_container(call, open_group(call), container), 0)
    expect(call.ioctl(container, u.VFIO_CHECK_EXTENSION, extension), answer)


@case(source=_CHECK, machine=MACHINE, golden="container/check_ext_set_{extension}")
@param(
    "extension answer",
    [*((n, 0) for n in (0, 2, 4, 5, 7, 8, 11, 99)), *((n, 1) for n in (1, 3, 9, 10))],
)
def extension_with_iommu(call: Call, extension: int, answer: int) -> None:
    """The machine's IOMMU does not make DMA coherent."""
    container = mapper(call).container
    expect(call.ioctl(container, u.VFIO_CHECK_EXTENSION, extension), answer)


@case(source="vfio_iommu_type1_check_extension: vfio_iommu_type1.c, 6.1, 7.2", machine=MACHINE)
def extension_nesting(call: Call) -> None:
    """Offered for long, but the IOMMU makes no such domains."""
    container = open_container(call)
    offered = 0 if call.since("7.2") else 1
    expect(call.ioctl(container, u.VFIO_CHECK_EXTENSION, u.VFIO_TYPE1_NESTING_IOMMU), offered)
    expect(set_container(call, open_group(call), container), 0)
    answer = EINVAL if offered else ENODEV
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, u.VFIO_TYPE1_NESTING_IOMMU), answer)


@case(source=f"vfio_noiommu_ioctl: {_FILE}", machine=MACHINE, until="+noiommu")
def extension_noiommu(call: Call) -> None:
    """These kernels have no such mode, nor the parameter that would allow it."""
    expect(call.access(_NOIOMMU, MAY_READ), ENOENT)
    container = open_container(call)
    expect(call.ioctl(container, u.VFIO_CHECK_EXTENSION, u.VFIO_NOIOMMU_IOMMU), 0)


@case(source=_SET_IOMMU, machine=MACHINE)
@param("kind", [(0,), (V1,), (V2,), (8,), (99,)])
def set_iommu_without_group(call: Call, kind: int) -> None:
    """A container is nothing until a group gives it the right."""
    expect(call.ioctl(open_container(call), u.VFIO_SET_IOMMU, kind), EINVAL)


@case(source=_SET_IOMMU, machine=MACHINE, golden="container/set_iommu_bad_{kind}")
@param("kind", [(0,), (2,), (7,), (8,), (9,), (99,), (0xFFFFFFFF,)])
def set_iommu_unknown(call: Call, kind: int) -> None:
    """No driver has it. UNMAP_ALL (9) is what a driver has, but no type: it says EINVAL."""
    container = open_container(call)
    expect(set_container(call, open_group(call), container), 0)
    answer = EINVAL if kind == u.VFIO_UNMAP_ALL else ENODEV
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, kind), answer)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, V2), 0)


@case(
    source=_SET_IOMMU,
    machine=MACHINE,
    golden=("container/set_iommu_v2", "container/set_iommu_again", "container/set_iommu_again_v1"),
)
@param("kind", [(V1,), (V2,)])
def set_iommu_twice(call: Call, kind: int) -> None:
    container = mapper(call, kind).container
    for again in (V1, V2, 99):
        expect(call.ioctl(container, u.VFIO_SET_IOMMU, again), EINVAL)


_STRANGE = [
    ("unknown_ioctl", _UNKNOWN),
    ("group_status", u.VFIO_GROUP_GET_STATUS),
    ("enable_spapr", u.VFIO_IOMMU_ENABLE),
    ("disable_spapr", u.VFIO_IOMMU_DISABLE),
    ("terminal", 0x5401),
]


@case(
    source=_IOCTL,
    machine=MACHINE,
    golden=("container/unknown_ioctl_nodriver", "container/non_vfio_ioctl_nodriver"),
)
@param("name command", _STRANGE, id="{name}")
def unknown_command_alone(call: Call, name: str, command: int) -> None:
    """EINVAL before there is a driver that could say ENOTTY."""
    memory = call.buffer(64)
    expect(call.ioctl(open_container(call), command, memory), EINVAL)


@case(
    source=_IOCTL,
    machine=MACHINE,
    golden=("container/unknown_ioctl_type1", "container/enable_spapr", "container/disable_spapr"),
)
@param("name command", _STRANGE, id="{name}")
def unknown_command(call: Call, name: str, command: int) -> None:
    memory = call.buffer(64)
    expect(call.ioctl(mapper(call).container, command, memory), ENOTTY)


@case(
    source=_IOCTL,
    machine=MACHINE,
    golden=("container/iommu_info_nodriver", "container/map_nodriver"),
)
@param("with_group", [(False,), (True,)])
def commands_without_iommu(call: Call, with_group: bool) -> None:
    """Those that a driver would have, and no memory to read them from."""
    container = open_container(call)
    if with_group:
        expect(set_container(call, open_group(call), container), 0)
    for command in (
        u.VFIO_IOMMU_GET_INFO,
        u.VFIO_IOMMU_MAP_DMA,
        u.VFIO_IOMMU_UNMAP_DMA,
        u.VFIO_IOMMU_DIRTY_PAGES,
    ):
        expect(call.ioctl(container, command), EINVAL)


@case(source=f"vfio_group_detach_container: {_FILE}", machine=MACHINE)
@param("way", [("close",), ("unset",)])
def last_group_leaves(call: Call, way: str) -> None:
    """The driver goes with it, and all that was mapped; the container can be used again."""
    before = mapper(call)
    memory = call.buffer(PAGE)
    expect(before.map(0, PAGE, memory), 0)
    group = before.group
    if way == "close":
        expect(call.close(group))
        group = open_group(call)
    else:
        expect(call.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER), 0)
    expect(before.map(PAGE, PAGE, memory), EINVAL)
    expect(set_container(call, group, before.container), 0)
    expect(call.ioctl(before.container, u.VFIO_SET_IOMMU, V2), 0)
    expect(before.map(0, PAGE, memory), 0)


@case(source=_IOCTL, machine=MACHINE)
@param("command", [(u.VFIO_IOMMU_GET_INFO,), (u.VFIO_IOMMU_MAP_DMA,), (u.VFIO_IOMMU_UNMAP_DMA,)])
def as_a_bare_number(call: Call, command: int) -> None:
    """The size in a command is not looked away: with one it is another command."""
    container = mapper(call).container
    expect(ask(call, container, 2 << 30 | 32 << 16 | command, bytes(64))[0], ENOTTY)
