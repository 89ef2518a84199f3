# SPDX-License-Identifier: Apache-2.0
"""What stat shows, and changing it."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EPERM
from harness.conformance.suites._steps import PCI_DEVICE, plain_user
from harness.uapi.fs import O_RDONLY

_INODE = "kernfs_init_inode, kernfs_refresh_inode: fs/kernfs/inode.c, 6.1"
_GROUP = "/sys/bus/dsa/devices/group0.0"


@case(source=_INODE)
@param(
    "path mode size",
    [
        (f"{PCI_DEVICE}/vendor", 0o100444, 4096),
        (f"{PCI_DEVICE}/reset", 0o100200, 4096),
        (f"{PCI_DEVICE}/remove", 0o100220, 4096),
        (f"{PCI_DEVICE}/driver_override", 0o100644, 4096),
        (f"{_GROUP}/engines", 0o100444, 4096),
        (f"{PCI_DEVICE}/config", 0o100644, 4096),
        (f"{PCI_DEVICE}/resource0", 0o100600, 65536),
        (f"{PCI_DEVICE}/resource2", 0o100600, 131072),
        (f"{PCI_DEVICE}/power", 0o40755, 0),
    ],
)
def size(call: Call, path: str, mode: int, size: int) -> None:
    """Text has a page whatever it holds, even nothing; binary has what was declared."""
    expect(call.stat(path), mode=mode, size=size, uid=0, gid=0, rdev=0)


@case(source=_INODE)
def links_of_a_directory(call: Call) -> None:
    """2, and one for each directory in it."""
    expect(call.stat(f"{PCI_DEVICE}/power"), nlink=2)
    expect(call.stat(_GROUP), nlink=3)
    expect(call.stat(f"{PCI_DEVICE}/vendor"), nlink=1)


@case(source=_INODE)
def fstat_is_the_same(call: Call) -> None:
    with call.opened(f"{PCI_DEVICE}/vendor", O_RDONLY) as fd:
        expect(call.fstat(fd), expect(call.stat(f"{PCI_DEVICE}/vendor")))


@case(source="kernfs_iop_setattr: fs/kernfs/inode.c, 6.1")
def chmod_lasts(call: Call) -> None:
    """As long as the node does."""
    path = f"{PCI_DEVICE}/driver_override"
    expect(call.chmod(path, 0o600))
    expect(call.stat(path), mode=0o100600)
    expect(call.read_text(path), "(null)\n")
    expect(call.stat(path), mode=0o100600)
    expect(call.chown(path, 0, 0))
    expect(call.stat(path), mode=0o100600, uid=0, gid=0)


@case(source="setattr_prepare: fs/attr.c, 6.1")
def chmod_opens_for_others(call: Call) -> None:
    path = "/sys/bus/dsa/devices/dsa0/read_buffer_limit"
    expect(call.chmod(path, 0o666))
    expect(plain_user(call).write_text(path, "7"), 1)
    expect(call.read_text(path), "7\n")


@case(source="setattr_prepare: fs/attr.c, 6.1")
def chmod_by_a_plain_user(call: Call) -> None:
    expect(plain_user(call).chmod(f"{PCI_DEVICE}/vendor", 0o666), EPERM)
    expect(call.stat(f"{PCI_DEVICE}/vendor"), mode=0o100444)
