# SPDX-License-Identifier: Apache-2.0
"""Reading text attributes: offsets, the snapshot, errors of show."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EBADF, EINVAL, EIO, EISDIR, ENXIO, ErrorNumber
from harness.conformance.suites._steps import PCI_DEVICE
from harness.uapi.fs import (
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    SEEK_CUR,
    SEEK_DATA,
    SEEK_END,
    SEEK_HOLE,
    SEEK_SET,
)

_SEQ = "seq_read_iter, traverse: fs/seq_file.c, 6.1"
_VENDOR = f"{PCI_DEVICE}/vendor"
#: An attribute whose value a case can change.
_LIMIT = "/sys/bus/dsa/devices/dsa0/read_buffer_limit"


@case(source=_SEQ, evidence="kernel-run")
@param(
    "offset count wanted",
    [
        (0, 100, b"0x8086\n"),
        (0, 2, b"0x"),
        (3, 100, b"086\n"),
        (3, 2, b"08"),
        (6, 100, b"\n"),
        (7, 100, b""),
        (100, 100, b""),
        (4096, 1, b""),
    ],
    id="{offset}+{count}",
)
def pread(call: Call, offset: int, count: int, wanted: bytes) -> None:
    with call.opened(_VENDOR, O_RDONLY) as fd:
        expect(call.pread(fd, count, offset), wanted)


@case(source=_SEQ)
def reads_go_on(call: Call) -> None:
    with call.opened(_VENDOR, O_RDONLY) as fd:
        for wanted in (b"0x8", b"086", b"\n", b"", b""):
            expect(call.read(fd, 3), wanted)


@case(source=_SEQ)
def later_reads_are_of_the_first_snapshot(call: Call) -> None:
    """A new value is seen from offset 0 on, not in the middle."""
    call.write_text(_LIMIT, "96")
    with call.opened(_LIMIT, O_RDONLY) as fd:
        expect(call.read(fd, 1), b"9")
        call.write_text(_LIMIT, "5")
        expect(call.read(fd, 100), b"6\n")
        expect(call.read(fd, 100), b"")
        expect(call.pread(fd, 100, 0), b"5\n")


@case(source=_SEQ)
def another_offset_asks_again(call: Call) -> None:
    """Only where the last read ended is the snapshot used."""
    call.write_text(_LIMIT, "96")
    with call.opened(_LIMIT, O_RDONLY) as fd:
        expect(call.read(fd, 3), b"96\n")
        call.write_text(_LIMIT, "78")
        expect(call.pread(fd, 100, 1), b"8\n")


@case(source=_SEQ)
def rewinding_asks_again(call: Call) -> None:
    with call.opened(_LIMIT, O_RDONLY) as fd:
        expect(call.read(fd, 100), b"0\n")
        call.write_text(_LIMIT, "7")
        expect(call.lseek(fd, 0, SEEK_SET), 0)
        expect(call.read(fd, 100), b"7\n")


@case(source=_SEQ)
def a_store_does_not_renew_the_snapshot(call: Call) -> None:
    """On one fd: the write moves the position on, so that the next read is past the end."""
    with call.opened(_LIMIT, O_RDWR) as fd:
        expect(call.write(fd, b"96"), 2)
        expect(call.read(fd, 100), b"\n")
        expect(call.pread(fd, 100, 0), b"96\n")


@case(source="generic_file_llseek: fs/read_write.c, 6.1")
@param(
    "offset whence wanted",
    [
        (100, SEEK_SET, 100),
        (0, SEEK_END, 4096),
        (-4096, SEEK_END, 0),
        (10, SEEK_END, 4106),
        (5, SEEK_CUR, 5),
        (-1, SEEK_SET, EINVAL),
        (-1, SEEK_CUR, EINVAL),
        (-4097, SEEK_END, EINVAL),
        (0, 99, EINVAL),
        (0, -1, EINVAL),
        (10, SEEK_DATA, 10),
        (10, SEEK_HOLE, 4096),
        (4096, SEEK_DATA, ENXIO),
        (4096, SEEK_HOLE, ENXIO),
        (-1, SEEK_DATA, ENXIO),
        (0x7FFFFFFF, SEEK_SET, 0x7FFFFFFF),
    ],
    id="{offset}-{whence}",
)
def lseek(call: Call, offset: int, whence: int, wanted: int | ErrorNumber) -> None:
    """The end is at 4096, whatever the text."""
    with call.opened(_VENDOR, O_RDONLY) as fd:
        expect(call.lseek(fd, offset, whence), wanted)


@case(source=_SEQ)
def nothing_of_what_fails(call: Call) -> None:
    """It succeeds where show would fail."""
    with call.opened(f"{PCI_DEVICE}/power/autosuspend_delay_ms", O_RDONLY) as fd:
        expect(call.read(fd, 1), EIO)
        expect(call.read(fd, 0), b"")
        expect(call.pread(fd, 0, 10), b"")


@case(source="generic_file_llseek: fs/read_write.c, 6.1")
@param(
    "path offset whence wanted",
    [
        (f"{PCI_DEVICE}/config", 0, SEEK_HOLE, 4096),
        (f"{PCI_DEVICE}/config", 4096, SEEK_DATA, ENXIO),
        (PCI_DEVICE, 0, SEEK_DATA, ENXIO),
        (PCI_DEVICE, 0, SEEK_HOLE, ENXIO),
    ],
    id="{path}-{offset}-{whence}",
)
def lseek_of_another_size(
    call: Call, path: str, offset: int, whence: int, wanted: int | ErrorNumber
) -> None:
    """A directory has no data."""
    with call.opened(path, O_RDONLY) as fd:
        expect(call.lseek(fd, offset, whence), wanted)


@case(source="vfs_setpos: fs/read_write.c, 6.1")
def lseek_too_far(call: Call) -> None:
    """No position is beyond 2 GiB (MAX_NON_LFS, which alloc_super sets), though pread works.

    7.2 has large files in sysfs."""
    beyond = 0x80000000 if call.since("7.2") else EINVAL
    for path in (_VENDOR, f"{PCI_DEVICE}/config", PCI_DEVICE):
        with call.opened(path, O_RDONLY) as fd:
            expect(call.lseek(fd, 0x80000000, SEEK_CUR), beyond)
            expect(call.lseek(fd, 0x80000000, SEEK_SET), beyond)
            expect(call.lseek(fd, 0x7FFFFFFF, SEEK_SET), 0x7FFFFFFF)
            expect(call.lseek(fd, 1, SEEK_CUR), beyond)
            expect(call.lseek(fd, (1 << 63) - 1, SEEK_CUR), EINVAL)
    with call.opened(_VENDOR, O_RDONLY) as fd:
        expect(call.pread(fd, 1, 0x80000000), b"")


@case(source=_SEQ)
def read_after_lseek(call: Call) -> None:
    with call.opened(_VENDOR, O_RDONLY) as fd:
        expect(call.lseek(fd, 3, SEEK_SET), 3)
        expect(call.read(fd, 100), b"086\n")
        expect(call.lseek(fd, 0, SEEK_CUR), 7)


@case(source=_SEQ)
def read_of_nothing(call: Call) -> None:
    with call.opened(_VENDOR, O_RDONLY) as fd:
        expect(call.read(fd, 0), b"")
        expect(call.read(fd, 100), b"0x8086\n")


@case(source=_SEQ)
def read_of_much(call: Call) -> None:
    with call.opened(_VENDOR, O_RDONLY) as fd:
        expect(call.read(fd, 65536), b"0x8086\n")


@case(source=_SEQ)
def empty_text(call: Call) -> None:
    with call.opened("/sys/bus/dsa/devices/group0.0/engines", O_RDONLY) as fd:
        expect(call.read(fd, 100), b"")
        expect(call.read(fd, 100), b"")


@case(source=_SEQ)
def error_of_show(call: Call) -> None:
    """Nothing is kept of it: each read asks again."""
    with call.opened("/sys/bus/dsa/devices/wq0.0/cdev_minor", O_RDONLY) as fd:
        expect(call.read(fd, 100), ENXIO)
        expect(call.read(fd, 100), ENXIO)
        expect(call.pread(fd, 100, 5), ENXIO)


@case(source="ksys_read, ksys_pread64: fs/read_write.c, 6.1")
def not_for_reading(call: Call) -> None:
    with call.opened(_LIMIT, O_WRONLY) as fd:
        expect(call.read(fd, 1), EBADF)
        expect(call.pread(fd, 1, 0), EBADF)
        expect(call.pread(fd, 1, -1), EINVAL)


@case(source="generic_read_dir: fs/libfs.c, 6.1")
def directory(call: Call) -> None:
    with call.opened(f"{PCI_DEVICE}/power", O_RDONLY) as fd:
        expect(call.read(fd, 100), EISDIR)


@case(source="struct file is shared by dup and fork: fs/file.c, 6.1")
def position_is_shared(call: Call) -> None:
    with call.opened(_VENDOR, O_RDONLY) as fd:
        other = call.dup(fd)
        child = call.fork()
        expect(call.read(fd, 2), b"0x")
        expect(call.read(other, 2), b"80")
        expect(child.call.read(fd, 2), b"86")
        expect(call.read(fd, 2), b"\n")
