# SPDX-License-Identifier: Apache-2.0
"""Truncation is accepted and does nothing."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EACCES, EINVAL, EISDIR
from harness.conformance.suites._steps import PCI_DEVICE, plain_user
from harness.uapi.fs import O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY

_SETATTR = "kernfs_iop_setattr: fs/kernfs/inode.c, 6.1"
_LIMIT = "/sys/bus/dsa/devices/dsa0/read_buffer_limit"


def _is_unchanged(call: Call) -> None:
    expect(call.read_text(_LIMIT), "96\n")
    expect(call.stat(_LIMIT), size=4096)


@case(source=_SETATTR, evidence="kernel-run")
@param("flags", [O_WRONLY | O_TRUNC, O_RDWR | O_TRUNC])
def by_open(call: Call, flags: int) -> None:
    call.write_text(_LIMIT, "96")
    expect(call.close(call.open(_LIMIT, flags)))
    _is_unchanged(call)


@case(source=_SETATTR, evidence="kernel-run")
@param("length", [0, 1, 4096, 100000])
def by_fd(call: Call, length: int) -> None:
    call.write_text(_LIMIT, "96")
    with call.opened(_LIMIT, O_WRONLY) as fd:
        expect(call.ftruncate(fd, length))
    _is_unchanged(call)


@case(source=_SETATTR)
@param("length", [0, 100000])
def by_name(call: Call, length: int) -> None:
    call.write_text(_LIMIT, "96")
    expect(call.truncate(_LIMIT, length))
    _is_unchanged(call)


@case(source="inode_permission, vfs_truncate: fs/open.c, 6.1")
def by_name_of_what_may_not_be_opened(call: Call) -> None:
    """Root passes the mode bits; the extra check is made at open alone."""
    expect(call.truncate(f"{PCI_DEVICE}/vendor", 0))
    expect(call.read_text(f"{PCI_DEVICE}/vendor"), "0x8086\n")


@case(source="do_sys_ftruncate, vfs_truncate: fs/open.c, 6.1")
def refused(call: Call) -> None:
    with call.opened(_LIMIT, O_RDONLY) as fd:
        expect(call.ftruncate(fd, 0), EINVAL)
    with call.opened(_LIMIT, O_WRONLY) as fd:
        expect(call.ftruncate(fd, -1), EINVAL)
    expect(call.truncate(_LIMIT, -1), EINVAL)
    expect(call.truncate(f"{PCI_DEVICE}/power", 0), EISDIR)


@case(source="vfs_truncate: fs/open.c, 6.1")
def by_a_plain_user(call: Call) -> None:
    expect(plain_user(call).truncate(_LIMIT, 0), EACCES)
