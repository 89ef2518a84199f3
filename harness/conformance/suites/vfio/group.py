# SPDX-License-Identifier: Apache-2.0
"""Groups: /dev/vfio/N."""

from __future__ import annotations

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import (
    EACCES,
    EBADF,
    EBADFD,
    EBUSY,
    EFAULT,
    EINVAL,
    ENODEV,
    ENOENT,
    ENOTTY,
    EPERM,
    ESPIPE,
)
from harness.conformance.suites._steps import plain_user
from harness.conformance.suites.vfio._steps import (
    EDU,
    MACHINE,
    PAGE,
    V2,
    bind,
    get_device_fd,
    get_status,
    group_path,
    mapper,
    open_container,
    open_group,
    set_container,
)
from harness.conformance.suites.vfio_pci._device import BRIDGED_EDU, E1000E, NVME, PCI, TESTDEV
from harness.uapi import vfio as u
from harness.uapi.fs import O_RDWR, POLLIN, POLLOUT, SEEK_SET

_FILE = "drivers/vfio/group.c, 6.2 (vfio_main.c, 6.1)"
_OPEN = f"vfio_group_fops_open: {_FILE}"
_STATUS = f"vfio_group_ioctl_get_status: {_FILE}"
_SET = f"vfio_group_ioctl_set_container: {_FILE}"
_UNSET = f"vfio_group_ioctl_unset_container: {_FILE}"
_GET_DEVICE_FD = f"vfio_group_ioctl_get_device_fd: {_FILE}"
_REMOVE = f"vfio_device_remove_group: {_FILE}"
VIABLE, CONTAINER_SET = u.VFIO_GROUP_FLAGS_VIABLE, u.VFIO_GROUP_FLAGS_CONTAINER_SET


def _unbind(call: Call, address: str) -> None:
    expect(call.write_text(f"{PCI}/drivers/vfio-pci/unbind", address))


@case(source=_OPEN, machine=MACHINE, golden="group/open_group_no_driver")
def without_device(call: Call) -> None:
    """The node comes with the first device and goes with the last."""
    path = group_path(call, EDU)
    expect(call.open(path, O_RDWR), ENOENT)
    bind(call, EDU)
    expect(call.close(expect(call.open(path, O_RDWR))))
    _unbind(call, EDU)
    expect(call.open(path, O_RDWR), ENOENT)


@case(source="shmem_mknod, shmem_unlink: mm/shmem.c, 6.1", machine=MACHINE)
def size_of_the_directory(call: Call) -> None:
    """Of /dev/vfio: so much for each entry, and for itself and the one above."""
    for _ in range(2):
        entries = expect(call.listdir("/dev/vfio"))
        expect(call.stat("/dev/vfio"), size=20 * (2 + len(entries)))
        bind(call, EDU)


@case(source="chrdev_open: fs/char_dev.c; __anon_inode_getfile, 6.1", machine=MACHINE)
def holds_its_module(call: Call) -> None:
    """A group twice, a container once, and a device each time that it is asked for."""
    refcnt = "/sys/module/vfio/refcnt"

    def references() -> int:
        return int(expect(call.read_text(refcnt)))

    before = references()
    bind(call, EDU)
    # There is a file system with an inode for each device.
    held = before + call.since("6.12")
    expect(references(), held)
    group = expect(call.open(group_path(call, EDU), O_RDWR))
    expect(references(), held + 2)
    container = open_container(call)
    expect(references(), held + 3)
    set_container(call, group, container)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, V2))
    name = EDU.encode()
    devices = [Fd(expect(get_device_fd(call, group, name)), "device") for _ in range(2)]
    expect(references(), held + 5)
    for device in devices:
        call.close(device)
    call.close(group)
    call.close(container)
    expect(references(), held)


@case(source=_FILE, machine=MACHINE, golden="group/devnode_mode")
def node(call: Call) -> None:
    """Root's alone, and it is in the class vfio."""
    bind(call, EDU)
    path = group_path(call, EDU)
    stat = expect(call.stat(path), mode=0o020600)
    major, minor = stat.rdev >> 8 & 0xFFF, stat.rdev & 0xFF
    entry = f"/sys/class/vfio/{path.rsplit('/', 1)[1]}"
    expect(call.read_text(f"{entry}/dev"), f"{major}:{minor}\n")
    name = path.removeprefix("/dev/")
    expect(call.read_text(f"{entry}/uevent"), f"MAJOR={major}\nMINOR={minor}\nDEVNAME={name}\n")
    expect(minor, 0)
    user = plain_user(call)
    expect(user.open(path, O_RDWR), EACCES)


@case(source=_OPEN, machine=MACHINE, golden="group/open_twice")
def opened_twice(call: Call) -> None:
    """EBUSY, for whomever, until it is closed."""
    group = open_group(call)
    path = group_path(call, EDU)
    expect(call.open(path, O_RDWR), EBUSY)
    copy = expect(call.dup(group))
    expect(call.close(group))
    expect(call.open(path, O_RDWR), EBUSY)
    expect(call.close(copy))
    expect(call.open(path, O_RDWR))


@case(source=_FILE, machine=MACHINE, golden=("group/write", "group/mmap", "group/unknown_ioctl"))
def file_operations(call: Call) -> None:
    """There are none but ioctl."""
    fd = open_group(call)
    expect(call.read(fd, 4), EINVAL)
    expect(call.write(fd, b"abcd"), EINVAL)
    expect(call.mmap(PAGE, 0x1, 0x1, fd), ENODEV)
    expect(call.poll({fd: POLLIN | POLLOUT}), {fd: POLLIN | POLLOUT})
    for command in (0x5401, u.VFIO_TYPE << 8 | u.VFIO_BASE + 50, u.VFIO_DEVICE_GET_INFO):
        expect(call.ioctl(fd, command, call.buffer(64)), ENOTTY)


@case(source="vfio_group_fops: group.c; do_epoll_ctl: fs/eventpoll.c, 6.1", machine=MACHINE)
def no_epoll(call: Call) -> None:
    """There is no poll method."""
    expect(call.epoll(open_group(call), POLLIN), EPERM)


@case(source=_STATUS, machine=MACHINE, golden="group/status_argsz{argsz}")
@param("argsz", [(0,), (7,)])
def status_too_small(call: Call, argsz: int) -> None:
    result, status = get_status(call, open_group(call), argsz)
    expect(result, EINVAL)
    expect(status.flags, 0xFFFFFFFF)


@case(source=_STATUS, machine=MACHINE, golden=("group/status_ok", "group/status_argsz100"))
@param("argsz", [(8,), (100,), (4096,)])
def status(call: Call, argsz: int) -> None:
    """``argsz`` is left as it is."""
    result, status = get_status(call, open_group(call), argsz)
    expect(result, 0)
    expect((status.argsz, status.flags), (argsz, VIABLE))


@case(source=_STATUS, machine=MACHINE, golden=("group/status_badptr", "group/status_badptr2"))
@param("address", [(0,), (0xDEAD0000DEAD,)])
def status_nowhere(call: Call, address: int) -> None:
    expect(call.ioctl(open_group(call), u.VFIO_GROUP_GET_STATUS, address), EFAULT)


@case(source=_STATUS, machine=MACHINE)
def status_in_container(call: Call) -> None:
    """And with the container's own file closed, too."""
    group, container = open_group(call), open_container(call)
    expect(set_container(call, group, container), 0)
    expect(get_status(call, group)[1].flags, VIABLE | CONTAINER_SET)
    expect(call.close(container))
    expect(get_status(call, group)[1].flags, VIABLE | CONTAINER_SET)
    expect(call.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER), 0)
    expect(get_status(call, group)[1].flags, VIABLE)


@case(source=_SET, machine=MACHINE, golden="{probe}")
@param(
    "probe fd",
    [("group/set_container_neg1", -1), ("group/set_container_neg5", -5), ("", 999)],
    id="{fd}",
)
def set_container_closed(call: Call, probe: str, fd: int) -> None:
    expect(set_container(call, open_group(call), fd), EBADF)


@case(source=_SET, machine=MACHINE, golden="group/set_container_self")
@param("kind", [("group",), ("file",), ("eventfd",), ("directory",)])
def set_container_other_file(call: Call, kind: str) -> None:
    """EBADFD since the kernel knows two kinds of containers."""
    group = open_group(call)
    files = {
        "group": lambda: group,
        "file": lambda: expect(call.open("/sys/class/misc/vfio/uevent", O_RDWR)),
        "eventfd": lambda: expect(call.eventfd()),
        "directory": lambda: expect(call.open("/sys/class/misc", 0)),
    }
    expect(set_container(call, group, files[kind]()), EBADFD if call.since("6.12") else EINVAL)


@case(source=_SET, machine=MACHINE, golden="group/set_container_badptr")
def set_container_nowhere(call: Call) -> None:
    expect(call.ioctl(open_group(call), u.VFIO_GROUP_SET_CONTAINER), EFAULT)


@case(source=_SET, machine=MACHINE, golden=("group/set_container_ok", "group/set_container_again"))
def set_container_twice(call: Call) -> None:
    """EINVAL whichever file it is, but the file must be open."""
    group, container = open_group(call), open_container(call)
    expect(set_container(call, group, container), 0)
    expect(set_container(call, group, container), EINVAL)
    expect(set_container(call, group, group), EINVAL)
    expect(set_container(call, group, -1), EBADF)


@case(source=_UNSET, machine=MACHINE, golden="group/unset_container_none")
def unset_container_none(call: Call) -> None:
    expect(call.ioctl(open_group(call), u.VFIO_GROUP_UNSET_CONTAINER), EINVAL)


@case(source=_UNSET, machine=MACHINE, golden=("group/unset_container_busy", "group/unset2_again"))
def unset_container_busy(call: Call) -> None:
    """Not while a device of the group is open."""
    group = mapper(call).group
    first = Fd(expect(get_device_fd(call, group, EDU.encode())), "device")
    second = Fd(expect(get_device_fd(call, group, EDU.encode())), "device")
    expect(call.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER), EBUSY)
    expect(call.close(first))
    expect(call.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER), EBUSY)
    expect(call.close(second))
    expect(call.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER), 0)
    expect(call.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER), EINVAL)


@case(
    source=_SET,
    machine=MACHINE,
    golden=("group/second_group_same_container", "group/reset2_container"),
)
def two_groups(call: Call) -> None:
    """The second one is given to the driver at once; the first to go does not take it away."""
    first = mapper(call)
    second = open_group(call, NVME)
    memory = call.buffer(PAGE)
    expect(first.map(0, PAGE, memory), 0)
    expect(set_container(call, second, first.container), 0)
    expect(call.ioctl(first.group, u.VFIO_GROUP_UNSET_CONTAINER), 0)
    first.unmapped(0, PAGE, PAGE)
    expect(set_container(call, first.group, first.container), 0)
    expect(call.ioctl(second, u.VFIO_GROUP_UNSET_CONTAINER), 0)
    expect(call.ioctl(second, u.VFIO_GROUP_UNSET_CONTAINER), EINVAL)
    expect(first.map(0, PAGE, memory), 0)


# --- viability


def _sibling(call: Call, driver: str) -> None:
    """Give pci-testdev, which is in the group of the second edu, to a driver."""
    device = f"{PCI}/devices/{TESTDEV}"
    expect(call.write_text(f"{device}/driver_override", driver))
    expect(call.write_text(f"{PCI}/drivers_probe", TESTDEV))
    link = expect(call.readlink(f"{device}/driver"))
    expect(link.rsplit("/", 1)[1], driver)


@case(
    source=f"{_STATUS}; iommu_group_claim_dma_owner: drivers/iommu/iommu.c",
    machine=MACHINE,
    golden=("group/nonviable_status", "group/nonviable_set_container"),
)
def not_viable(call: Call) -> None:
    """A driver of the host has another device of the group."""
    group, container = open_group(call, BRIDGED_EDU), open_container(call)
    _sibling(call, "uio_pci_generic")
    result, status = get_status(call, group)
    expect(result, 0)
    expect(status.flags, 0)
    expect(set_container(call, group, container), EPERM)
    expect(get_device_fd(call, group, BRIDGED_EDU.encode()), EINVAL)
    expect(call.write_text(f"{PCI}/drivers/uio_pci_generic/unbind", TESTDEV))
    expect(get_status(call, group)[1].flags, VIABLE)
    expect(set_container(call, group, container), 0)


@case(source=_STATUS, machine=MACHINE, golden="group/pcistub_group_status")
@param("driver", [("pci-stub",), ("vfio-pci",)])
def viable_beside(call: Call, driver: str) -> None:
    """Drivers that leave the group's DMA alone."""
    group, container = open_group(call, BRIDGED_EDU), open_container(call)
    _sibling(call, driver)
    expect(get_status(call, group)[1].flags, VIABLE)
    expect(set_container(call, group, container), 0)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, V2), 0)


@case(
    source="iommu_device_use_default_domain: drivers/iommu/iommu.c, 6.1",
    machine=MACHINE,
    golden=("group/bind_host_driver_while_claimed", "group/bind_host_driver_while_claimed2"),
)
def claimed(call: Call) -> None:
    """A driver of the host cannot have a device of a group that is a program's."""
    group, container = open_group(call, BRIDGED_EDU), open_container(call)
    expect(set_container(call, group, container), 0)
    device = f"{PCI}/devices/{TESTDEV}"
    expect(call.write_text(f"{device}/driver_override", "uio_pci_generic"))
    expect(call.write_text(f"{PCI}/drivers_probe", TESTDEV), EINVAL)
    expect(call.write_text(f"{PCI}/drivers/uio_pci_generic/bind", TESTDEV), EBUSY)
    expect(call.close(group))
    expect(call.write_text(f"{PCI}/drivers/uio_pci_generic/bind", TESTDEV))


# --- unbinding


@case(source=_REMOVE, machine=MACHINE, golden="group/status_old_fd_after_rebind")
def unbound_while_open(call: Call) -> None:
    """An open group does not hold up unbinding; what is left of it answers ENODEV."""
    group, container = open_group(call), open_container(call)
    expect(set_container(call, group, container), 0)
    path = group_path(call, EDU)
    _unbind(call, EDU)
    expect(call.open(path, O_RDWR), ENOENT)
    expect(get_status(call, group)[0], ENODEV)
    expect(set_container(call, group, container), ENODEV)
    expect(call.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER), EINVAL)
    expect(get_device_fd(call, group, EDU.encode()), ENODEV)
    expect(call.write_text(f"{PCI}/drivers/vfio-pci/bind", EDU))
    again = expect(call.open(path, O_RDWR))
    expect(get_status(call, again)[1].flags, VIABLE)
    expect(get_status(call, group)[0], ENODEV)


@case(source="vfio_unregister_group_dev: drivers/vfio/vfio_main.c, 6.1", machine=MACHINE)
def unbound_while_device_open(call: Call) -> None:
    """Unbinding waits until the device is closed."""
    group = mapper(call).group
    device = Fd(expect(get_device_fd(call, group, EDU.encode())), "device")
    other = call.thread()
    control = expect(call.open(f"{PCI}/drivers/vfio-pci/unbind", 1))
    pending = other.call.start(other.call.write, control, EDU.encode())
    while expect(call.listdir(f"{PCI}/drivers/vfio-pci")).count(EDU):
        pass  # until it has begun
    expect(call.pread(device, 4, u.VFIO_PCI_CONFIG_REGION_INDEX << 40), b"\x34\x12\xe8\x11")
    expect(call.close(device))
    expect(pending.wait(), len(EDU))
    expect(get_status(call, group)[0], ENODEV)


# --- devices


@case(source=_GET_DEVICE_FD, machine=MACHINE, golden="group/get_device_fd_noiommu_set")
@param("with_container", [(False,), (True,)])
def device_without_iommu(call: Call, with_container: bool) -> None:
    group, container = open_group(call), open_container(call)
    if with_container:
        expect(set_container(call, group, container), 0)
    expect(get_device_fd(call, group, EDU.encode()), EINVAL)


_TOKEN = "vf_token=2ab74924-c335-45f4-9b16-8569e5b08258"


@case(source=f"{_GET_DEVICE_FD}; vfio_pci_core_match", machine=MACHINE, golden="{probe}")
@param(
    "probe name answer",
    [
        ("group/get_device_wrong_name", E1000E, ENODEV),
        ("", "", ENODEV),
        ("group/get_device_prefix", EDU[:-1], ENODEV),
        ("", f"{EDU}x", ENODEV),
        ("", EDU.upper().replace("0000", "0001"), ENODEV),
        ("", f" {EDU}", ENODEV),
        ("", f"{EDU} foo=1", EINVAL),
        ("", f"{EDU} {_TOKEN}", EINVAL),
        ("", f"{EDU} {_TOKEN[:-1]}", EINVAL),
        ("", f"{EDU} {_TOKEN} {_TOKEN}", EINVAL),
        ("", f"{EDU} {_TOKEN[:-1]}x", EINVAL),
    ],
    id="{name}",
)
def device_not_meant(call: Call, probe: str, name: str, answer: object) -> None:
    """The name is looked at first, so that the container does not matter."""
    expect(get_device_fd(call, open_group(call), name.encode()), answer)


@case(source=_GET_DEVICE_FD, machine=MACHINE, golden="group/get_device_trailing_space")
@param("name", [(EDU,), (f"{EDU} ",), (f"{EDU}   ",)])
def device_meant(call: Call, name: str) -> None:
    group = mapper(call).group
    device = Fd(expect(get_device_fd(call, group, name.encode())), "device")
    expect(call.pread(device, 4, u.VFIO_PCI_CONFIG_REGION_INDEX << 40), b"\x34\x12\xe8\x11")


@case(source="vfs_llseek: fs/read_write.c, 6.1", machine=MACHINE)
@param("what", [("group",), ("device",)])
def no_position(call: Call, what: str) -> None:
    """A device can be read anywhere, but has no llseek."""
    fd = mapper(call).group
    if what == "device":
        fd = Fd(expect(get_device_fd(call, fd, EDU.encode())), "device")
    expect(call.lseek(fd, 0, SEEK_SET), ESPIPE)


@case(source="strndup_user: mm/util.c, 6.1", machine=MACHINE, golden="group/get_device_badptr")
def device_name_nowhere(call: Call) -> None:
    expect(call.ioctl(open_group(call), u.VFIO_GROUP_GET_DEVICE_FD), EFAULT)


@case(source="strndup_user: mm/util.c, 6.1", machine=MACHINE)
@param("length answer", [(4095, ENODEV), (4096, EINVAL), (5000, EINVAL)], id="{length}")
def device_name_long(call: Call, length: int, answer: object) -> None:
    """A page, with the zero at its end."""
    expect(get_device_fd(call, open_group(call), b"x" * length), answer)


@case(source="strndup_user: mm/util.c, 6.1", machine=MACHINE)
def device_name_at_the_end_of_memory(call: Call) -> None:
    """Only what comes before the zero is read."""
    group = mapper(call).group
    memory = call.buffer(PAGE)
    name = EDU.encode() + b"\0"
    place = memory + (PAGE - len(name))
    expect(call.poke(place, name))
    expect(call.ioctl(group, u.VFIO_GROUP_GET_DEVICE_FD, place))


@case(source=_GET_DEVICE_FD, machine=MACHINE, golden="group/get_device_second_fd")
def group_closed_before_device(call: Call) -> None:
    """The device keeps the group's file open, so nobody else can open it."""
    group = mapper(call).group
    device = Fd(expect(get_device_fd(call, group, EDU.encode())), "device")
    expect(call.close(group))
    path = group_path(call, EDU)
    expect(call.open(path, O_RDWR), EBUSY)
    expect(call.close(device))
    expect(call.open(path, O_RDWR))


@case(source=f"vfio_group_fops_release: {_FILE}", machine=MACHINE)
def forked(call: Call) -> None:
    """A child has the same group; it is closed when both have closed it."""
    group = open_group(call)
    path = group_path(call, EDU)
    child = call.fork()
    expect(call.close(group))
    expect(child.call.open(path, O_RDWR), EBUSY)
    expect(get_status(child.call, group)[1].flags, VIABLE)
    expect(child.kill(9))
    expect(call.wait(child))
    expect(call.open(path, O_RDWR))
