# SPDX-License-Identifier: Apache-2.0
"""Queues of programs where the IOMMU shares memory: binding to ``user``, and /dev/dsa."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EBUSY, EINVAL, ENOTTY, ENXIO, EPERM, ESPIPE
from harness.conformance.suites.idxd._dsa import (
    WQ,
    bind,
    cmd_status,
    configure,
    name_driver,
    unbind,
)
from harness.uapi.fs import CAP_SYS_RAWIO, O_RDONLY, O_RDWR, O_WRONLY, POLLIN, SEEK_SET

_CDEV = "drivers/dma/idxd/cdev.c"
_DEVICE = "drivers/dma/idxd/device.c, 6.1"
_MACHINE = "spr-1s"
_NODE = "/dev/dsa/wq0.0"
_PROT_READ_WRITE, _MAP_SHARED = 3, 1


def _configured(call: Call, **options: str) -> None:
    """An enabled device and a queue that names the driver, not enabled yet."""
    configure(call, type="user", driver="user", **options)
    expect(bind(call, "idxd", "dsa0"), 4)


_NOT_READY = (
    ("group_id", "-1", "0x80030000\n"),
    ("name", "\n", "0x80040000\n"),
)


@case(source=f"drv_enable_wq: {_DEVICE}; idxd_user_drv_probe: {_CDEV}", machine=_MACHINE)
@param("attribute value status", _NOT_READY)
def not_ready(call: Call, attribute: str, value: str, status: str) -> None:
    """The driver passes on what enabling says, and takes the type away."""
    _configured(call)
    call.write_text(f"{WQ}/{attribute}", value)
    expect(bind(call, "user", "wq0.0"), ENXIO)
    expect(cmd_status(call), status)
    expect(call.read_text(f"{WQ}/type"), "none\n")


@case(source=f"drv_enable_wq: {_DEVICE}", machine=_MACHINE)
def shared_without_threshold(call: Call) -> None:
    """No store can make the threshold 0, but it is what a queue begins with."""
    _configured(call, mode="shared")
    expect(bind(call, "user", "wq0.0"), ENXIO)
    expect(cmd_status(call), "0x80060000\n")
    call.write_text(f"{WQ}/type", "user")
    call.write_text(f"{WQ}/name", "again")
    call.write_text(f"{WQ}/threshold", "8")
    expect(bind(call, "user", "wq0.0"), 5)
    expect(cmd_status(call), "0x0\n")
    expect(call.read_text(f"{WQ}/state"), "enabled\n")


@case(source=f"idxd_user_drv_probe: {_CDEV}, 6.1", machine=_MACHINE)
@param("type", ["none", "kernel"])
def type_is_the_drivers(call: Call, type: str) -> None:
    """What the type was does not matter; afterwards it is ``user``."""
    configure(call, type=type, driver="user")
    expect(bind(call, "idxd", "dsa0"), 4)
    expect(bind(call, "user", "wq0.0"), 5)
    expect(call.read_text(f"{WQ}/type"), "user\n")
    expect(bind(call, "user", "wq0.0"), EBUSY)


@case(
    source="idxd_wq_driver_name_match: drivers/dma/idxd/idxd.h, 6.12",
    machine=_MACHINE,
    since="6.12",
)
def driver_name_that_goes_on(call: Call) -> None:
    _configured(call)
    name_driver(call, "user2")
    expect(bind(call, "user", "wq0.0"), 5)
    expect(call.read_text(f"{WQ}/state"), "enabled\n")


# --- the character device: only here do these kernels share a program's memory on x86


def _enabled(call: Call, **options: str) -> None:
    _configured(call, **options)
    expect(bind(call, "user", "wq0.0"), 5)


@case(source=f"idxd_cdev_open, idxd_cdev_release: {_CDEV}, 7.2", machine=_MACHINE, since="7.2")
def dedicated_queue_is_for_one(call: Call) -> None:
    """One open file, which duplicates and children share."""
    _enabled(call)
    for access in (O_RDONLY, O_WRONLY):
        expect(call.close(call.open(_NODE, access)))
    with call.opened(_NODE, O_RDWR) as fd:
        expect(call.read_text(f"{WQ}/clients"), "1\n")
        expect(call.open(_NODE, O_RDWR), EBUSY)
        copy = expect(call.dup(fd))
    expect(call.open(_NODE, O_RDWR), EBUSY)
    expect(call.close(copy))
    expect(call.read_text(f"{WQ}/clients"), "0\n")
    expect(call.close(call.open(_NODE, O_RDWR)))


@case(source=f"idxd_cdev_open: {_CDEV}, 7.2", machine=_MACHINE, since="7.2")
def shared_queue_is_for_all(call: Call) -> None:
    configure(call, type="user", driver="user", mode="shared")
    call.write_text(f"{WQ}/threshold", "8")
    expect(bind(call, "idxd", "dsa0"), 4)
    expect(bind(call, "user", "wq0.0"), 5)
    with call.opened(_NODE, O_RDWR), call.opened(_NODE, O_RDWR):
        expect(call.read_text(f"{WQ}/clients"), "2\n")
    expect(call.read_text(f"{WQ}/clients"), "0\n")


@case(source=f"idxd_cdev_fops: {_CDEV}, 7.2", machine=_MACHINE, since="7.2")
def what_it_has_no_method_for(call: Call) -> None:
    _enabled(call)
    with call.opened(_NODE, O_RDWR) as fd:
        expect(call.read(fd, 8), EINVAL)
        expect(call.ioctl(fd, 0x1234, 0), ENOTTY)
        expect(call.lseek(fd, 0, SEEK_SET), ESPIPE)
        expect(call.poll({fd: POLLIN}, 0), {fd: 0})


@case(source=f"idxd_cdev_write: {_CDEV}, 7.2", machine=_MACHINE, since="7.2")
@param(
    "data wanted",
    [
        (bytes(32), 0),
        (bytes(63), 0),
        (bytes(64), 64),
        (bytes(100), 64),
        (bytes(192), 192),
        (b"\0\0\0\0\0\0\0\1" + bytes(56), EINVAL),
        (bytes(8) + b"\x10" + bytes(55), EINVAL),
        (bytes(72) + b"\x10" + bytes(55), 64),
    ],
    id="{data}",
)
def write(call: Call, data: bytes, wanted: object) -> None:
    """Whole descriptors: no batch, and a completion record at a multiple of 32."""
    _enabled(call)
    with call.opened(_NODE, O_RDWR) as fd:
        expect(call.write(fd, data), wanted)


@case(source=f"idxd_cdev_write, idxd_cdev_poll: {_CDEV}, 7.2", machine=_MACHINE, since="7.2")
def from_other_memory(call: Call) -> None:
    """A child has the file, but not the memory that the queue was given.

    The driver's answer to poll, POLLNVAL, is none that poll(2) lets through (do_pollfd).
    """
    _enabled(call)
    with call.opened(_NODE, O_RDWR) as fd:
        child = call.fork()
        expect(child.call.write(fd, bytes(64)), EPERM)
        expect(child.call.poll({fd: POLLIN}, 0), {fd: 0})


@case(source=f"idxd_cdev_mmap: {_CDEV}, 7.2", machine=_MACHINE, since="7.2")
def mapping_from_other_memory(call: Call) -> None:
    """Before the length is looked at."""
    _enabled(call)
    with call.opened(_NODE, O_RDWR) as fd:
        child = call.fork()
        for length in (4096, 8192):
            expect(child.call.mmap(length, _PROT_READ_WRITE, _MAP_SHARED, fd), EPERM)


@case(source=f"idxd_cdev_mmap: {_CDEV}, 7.2", machine=_MACHINE, since="7.2")
def mapping_of_two_pages(call: Call) -> None:
    _enabled(call)
    with call.opened(_NODE, O_RDWR) as fd:
        expect(call.mmap(8192, _PROT_READ_WRITE, _MAP_SHARED, fd), EINVAL)


@case(source=f"idxd_cdev_mmap: {_CDEV}, 7.2", machine=_MACHINE, since="7.2")
def mapping_without_the_capability(call: Call) -> None:
    """Programs are not trusted with the portals of parts of these versions; that comes first."""
    _enabled(call)
    with call.opened(_NODE, O_RDWR) as fd:
        expect(call.drop_capabilities(CAP_SYS_RAWIO))
        expect(call.mmap(8192, _PROT_READ_WRITE, _MAP_SHARED, fd), EPERM)


@case(
    source=f"idxd_user_drv_remove, idxd_cdev_release: {_CDEV}, 7.2", machine=_MACHINE, since="7.2"
)
def unbound_while_it_is_open(call: Call) -> None:
    """The node is gone at once, the file stays."""
    _enabled(call)
    with call.opened(_NODE, O_RDWR) as fd:
        expect(unbind(call, "user", "wq0.0"), 5)
        expect(call.lseek(fd, 0, SEEK_SET), ESPIPE)
