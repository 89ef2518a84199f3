# SPDX-License-Identifier: Apache-2.0
"""Writing text attributes: one write is one store."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EBADF, EINVAL, ESPIPE
from harness.conformance.suites._steps import PCI_DEVICE
from harness.uapi.fs import O_APPEND, O_RDONLY, O_RDWR, O_WRONLY, SEEK_SET

_WRITE = "kernfs_fop_write_iter, sysfs_kf_write: fs/{kernfs,sysfs}/file.c, 6.1"
_LIMIT = "/sys/bus/dsa/devices/dsa0/read_buffer_limit"
_STATUS = "/sys/bus/dsa/devices/dsa0/cmd_status"


@case(source=_WRITE)
@param("offset", [1, 10, 4095, 4096, 100000])
def offset_means_nothing(call: Call, offset: int) -> None:
    with call.opened(_LIMIT, O_RDWR) as fd:
        expect(call.pwrite(fd, b"96\n", offset), 3)
        expect(call.pread(fd, 100, 0), b"96\n")


@case(source=_WRITE)
def each_write_is_a_store(call: Call) -> None:
    """The second is no continuation of the first."""
    with call.opened(_LIMIT, O_RDWR) as fd:
        expect(call.write(fd, b"9"), 1)
        expect(call.write(fd, b"6"), 1)
        expect(call.pread(fd, 100, 0), b"6\n")


@case(source=_WRITE)
def after_lseek(call: Call) -> None:
    with call.opened(_LIMIT, O_RDWR) as fd:
        expect(call.lseek(fd, 50, SEEK_SET), 50)
        expect(call.write(fd, b"7"), 1)
        expect(call.pread(fd, 100, 0), b"7\n")


@case(source=_WRITE)
def append(call: Call) -> None:
    with call.opened(_LIMIT, O_WRONLY | O_APPEND) as fd:
        expect(call.write(fd, b"1"), 1)
        expect(call.write(fd, b"2"), 1)
    expect(call.read_text(_LIMIT), "2\n")


@case(source=_WRITE)
@param("count taken", [(4095, 4095), (4096, 4096), (4097, 4096), (5000, 4096), (65536, 4096)])
def at_most_a_page(call: Call, count: int, taken: int) -> None:
    """The rest is for the caller to write again."""
    with call.opened(_STATUS, O_WRONLY) as fd:
        expect(call.write(fd, b"x" * count), taken)


@case(source=_WRITE)
def nothing(call: Call) -> None:
    """A write of no bytes does not reach the store."""
    with call.opened(_STATUS, O_WRONLY) as fd:
        expect(call.write(fd, b""), 0)
        expect(call.pwrite(fd, b"", 100), 0)
    expect(call.read_text(_STATUS), "0x800d0000\n")


@case(source=_WRITE)
@param("data wanted", [(b"7\0", "7\n"), (b"7\0008", "7\n"), (b"7\n\0junk", "7\n")])
def text_ends_at_a_nul(call: Call, data: bytes, wanted: str) -> None:
    """The store sees a C string; all bytes count as taken."""
    with call.opened(_LIMIT, O_WRONLY) as fd:
        expect(call.write(fd, data), len(data))
    expect(call.read_text(_LIMIT), wanted)


@case(source=_WRITE)
def refused(call: Call) -> None:
    """An error leaves value and position alone; the fd goes on working."""
    with call.opened(_LIMIT, O_RDWR) as fd:
        expect(call.write(fd, b"x"), EINVAL)
        expect(call.read(fd, 100), b"0\n")
        expect(call.write(fd, b"5"), 1)
    expect(call.read_text(_LIMIT), "5\n")


@case(source="ksys_write, ksys_pwrite64: fs/read_write.c, 6.1")
def not_for_writing(call: Call) -> None:
    with call.opened(_LIMIT, O_RDONLY) as fd:
        expect(call.write(fd, b"1"), EBADF)
        expect(call.pwrite(fd, b"1", -1), EINVAL)


@case(source="seq_open: fs/seq_file.c; kernfs_fop_open: fs/kernfs/file.c; ksys_pwrite64, 6.1")
@param("path", [_LIMIT, f"{PCI_DEVICE}/config"])
def pwrite_not_for_writing(call: Call, path: str) -> None:
    """Who may not write cannot choose a place either, and that is checked first."""
    with call.opened(path, O_RDONLY) as fd:
        expect(call.pwrite(fd, b"1", 0), ESPIPE)


@case(source="fdget_pos: fs/file.c, 6.1")
def closed(call: Call) -> None:
    fd = expect(call.open(_LIMIT, O_RDWR))
    expect(call.close(fd))
    expect(call.write(fd, b"1"), EBADF)
    expect(call.read(fd, 1), EBADF)
    expect(call.close(fd), EBADF)


@case(source=_WRITE)
def by_the_opener_for_a_user(call: Call) -> None:
    """Permission is a matter of the open: a child that is no longer root may still write."""
    fd = expect(call.open(_LIMIT, O_RDWR))
    child = call.fork()
    expect(child.call.setuid(1000, 1000))
    expect(child.call.write(fd, b"9"), 1)
    expect(call.read_text(_LIMIT), "9\n")
    expect(child.call.open(f"{PCI_DEVICE}/vendor", O_RDONLY))
