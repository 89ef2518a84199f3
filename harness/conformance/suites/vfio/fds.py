# SPDX-License-Identifier: Apache-2.0
"""Who can have no further fd: what is said before that, and what is not opened then."""

from __future__ import annotations

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import EBUSY, EFAULT, EINVAL, EMFILE, ENODEV
from harness.conformance.suites._steps import no_more_fds
from harness.conformance.suites.vfio._steps import (
    EDU,
    MACHINE,
    V2,
    bind,
    get_device_fd,
    group_path,
    mapper,
    open_container,
    open_group,
    set_container,
)
from harness.conformance.suites.vfio_pci._device import E1000E
from harness.uapi import vfio as u
from harness.uapi.fs import O_RDWR, PAGE_SIZE, RLIMIT_NOFILE

_OPEN = "do_sys_openat2: fs/open.c, 6.1"
_GET = (
    "vfio_group_ioctl_get_device_fd: drivers/vfio/vfio_main.c, 6.1; drivers/vfio/group.c, 6.12, 7.2"
)
_NAME = EDU.encode()


@case(source=_OPEN, machine=MACHINE)
@param("path", ["/dev/vfio/vfio", "/dev/vfio/nothing", "/dev/vfio/vfio/nothing"])
def before_the_path(call: Call, path: str) -> None:
    no_more_fds(call)
    expect(call.open(path, O_RDWR), EMFILE)


@case(source=f"{_OPEN}; vfio_group_fops_open", machine=MACHINE)
def group_is_not_opened(call: Call) -> None:
    """So that another can have it."""
    bind(call, EDU)
    path = group_path(call, EDU)
    one_more = no_more_fds(call)
    expect(call.open(path, O_RDWR), EMFILE)
    expect(call.setrlimit(RLIMIT_NOFILE, one_more))
    expect(call.open(path, O_RDWR))
    expect(call.open(path, O_RDWR), EMFILE)


@case(source=_GET, machine=MACHINE)
@param("state", ["alone", "in a container", "with an IOMMU"])
def device_by_name(call: Call, state: str) -> None:
    """The name is read and looked up before the number is taken; what the group lacks is not."""
    group, container = open_group(call), open_container(call)
    if state != "alone":
        expect(set_container(call, group, container), 0)
    if state == "with an IOMMU":
        expect(call.ioctl(container, u.VFIO_SET_IOMMU, V2), 0)
    endless = call.buffer(PAGE_SIZE)
    expect(call.poke(endless, b"x" * PAGE_SIZE))
    one_more = no_more_fds(call)
    expect(call.ioctl(group, u.VFIO_GROUP_GET_DEVICE_FD, 0), EFAULT)
    expect(call.ioctl(group, u.VFIO_GROUP_GET_DEVICE_FD, endless), EINVAL)
    expect(get_device_fd(call, group, E1000E.encode()), ENODEV)
    expect(get_device_fd(call, group, _NAME + b" foo=1"), EINVAL)
    expect(get_device_fd(call, group, _NAME), EMFILE)
    expect(call.setrlimit(RLIMIT_NOFILE, one_more))
    if state == "with an IOMMU":
        expect(get_device_fd(call, group, _NAME))
    else:
        expect(get_device_fd(call, group, _NAME), EINVAL)


@case(source=_GET, machine=MACHINE)
def device_is_not_opened(call: Call) -> None:
    """Nothing of it is left: the container goes, and so does the device."""
    group = mapper(call).group
    no_more_fds(call)
    expect(get_device_fd(call, group, _NAME), EMFILE)
    expect(call.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER), 0)
    expect(call.close(group))
    # The fd that was closed is free.
    control = expect(call.open("/sys/bus/pci/drivers/vfio-pci/unbind", 1))
    expect(call.write(control, _NAME), len(EDU))


@case(source=_GET, machine=MACHINE)
def device_that_is_open(call: Call) -> None:
    """A second fd of it takes nothing away from the first."""
    group = mapper(call).group
    device = Fd(expect(get_device_fd(call, group, _NAME)), "device")
    no_more_fds(call)
    expect(get_device_fd(call, group, _NAME), EMFILE)
    expect(call.pread(device, 4, u.VFIO_PCI_CONFIG_REGION_INDEX << 40), b"\x34\x12\xe8\x11")
    expect(call.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER), EBUSY)
    expect(call.close(device))
    expect(call.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER), 0)
