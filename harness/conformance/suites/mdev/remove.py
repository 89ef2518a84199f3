# SPDX-License-Identifier: Apache-2.0
"""Writes to a device's file ``remove``."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EACCES, EINVAL, ENODEV, ENOENT, ErrorNumber
from harness.conformance.suites._steps import plain_user
from harness.conformance.suites.mdev._samples import (
    BUS,
    MACHINE,
    PARENTS,
    UUID,
    available,
    create,
    device,
    type_of,
)
from harness.uapi.fs import O_WRONLY

_STORE = "remove_store: drivers/vfio/mdev/mdev_sysfs.c, 6.1"


@case(source=_STORE, machine=MACHINE, golden="{probe}")
@param(
    "probe text",
    [
        ("mdev/rm_x", "1"),
        ("mdev/rm5", "5"),
        ("mdev/rm_upper", "1\n"),
        ("", "+1"),
        ("", "0x1"),
        ("", "01"),
        ("", "18446744073709551615"),
        ("", "1\0junk"),
    ],
    id="{text}",
)
def removed(call: Call, probe: str, text: str) -> None:
    """Any number but 0."""
    create(call, "mtty-1")
    expect(call.write_text(f"{device()}/remove", text), len(text))
    for path in (
        device(),
        f"{PARENTS}/mtty/{UUID}",
        f"{type_of('mtty-1')}/devices/{UUID}",
        f"{BUS}/drivers/mtty/{UUID}",
    ):
        expect(call.lstat(path), ENOENT)
    available(call, "mtty-1", 24)


@case(source=_STORE, machine=MACHINE, golden="{probe}")
@param(
    "probe text wanted",
    [
        ("mdev/remove_0", "0", 1),
        ("mdev/remove_hex0", "0x0\n", 4),
        ("mdev/remove_empty", "", 0),
        ("mdev/remove_garbage", "yes", EINVAL),
        ("mdev/remove_neg", "-1", EINVAL),
        ("mdev/remove_toobig", "99999999999999999999999", EINVAL),
        ("", "18446744073709551616", EINVAL),
        ("", "1 ", EINVAL),
        ("", " 1", EINVAL),
        ("", "1\n\n", EINVAL),
        ("", "\n", EINVAL),
        ("", "0x", EINVAL),
        ("", "08", EINVAL),
        ("", "\0", EINVAL),
        ("", "1" * 5000, EINVAL),
    ],
    id="{text}",
)
def not_removed(call: Call, probe: str, text: str, wanted: int | ErrorNumber) -> None:
    """0 does nothing; what is no number is EINVAL, even if it is only too large."""
    create(call, "mtty-1")
    expect(call.write_text(f"{device()}/remove", text), wanted)
    expect(call.stat(f"{device()}/remove"), mode=0o100200)
    available(call, "mtty-1", 23)


@case(
    source=f"{_STORE}; kernfs_get_active: fs/kernfs/dir.c",
    machine=MACHINE,
    golden=("mdev/remove_gone", "mdev/dev_gone", "mdev/avail_restored"),
)
def files_that_were_open(call: Call) -> None:
    """The file that was written and another one of it are dead; there is none to be opened."""
    create(call, "mtty-1")
    path = f"{device()}/remove"
    with call.opened(path, O_WRONLY) as fd, call.opened(path, O_WRONLY) as other:
        expect(call.write(fd, b"1"), 1)
        expect(call.write(fd, b"1"), ENODEV)
        expect(call.write(other, b"1"), ENODEV)
        expect(call.write(other, b"x"), ENODEV)
    expect(call.write_text(path, "1"), ENOENT)
    expect(call.access(device(), 0), ENOENT)
    expect(call.read_text(f"{type_of('mtty-1')}/available_instances"), "24\n")


@case(source="mdev_device_release: drivers/vfio/mdev/mdev_core.c, 6.1", machine=MACHINE)
def uuid_is_free_again(call: Call) -> None:
    create(call, "mtty-1")
    with call.opened(f"{device()}/uevent", O_WRONLY):
        expect(call.write_text(f"{device()}/remove", "1"), 1)
        create(call, "mdpy-vga")
        expect(call.readlink(f"{device()}/mdev_type"), "../mdev_supported_types/mdpy-vga")


@case(
    source="DEVICE_ATTR_WO(remove), MDEV_TYPE_ATTR_WO(create): drivers/vfio/mdev/mdev_sysfs.c, 6.1",
    machine=MACHINE,
)
def for_root_alone(call: Call) -> None:
    create(call, "mtty-1")
    user = plain_user(call)
    for path in (f"{device()}/remove", f"{type_of('mtty-1')}/create"):
        expect(user.write_text(path, "1"), EACCES)
        expect(call.read_text(path), EACCES)
    expect(user.read_text(f"{type_of('mtty-1')}/name"), "Single port serial\n")
