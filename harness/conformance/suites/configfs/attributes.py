# SPDX-License-Identifier: Apache-2.0
"""Text attributes: what differs from sysfs, and what does not."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import (
    EACCES,
    EFAULT,
    EINVAL,
    ENODEV,
    ENOTDIR,
    ENOTTY,
    EPERM,
    ERANGE,
    ErrorNumber,
)
from harness.conformance.suites.configfs._sample import (
    CHILDLESS,
    FILE,
    GROUPS,
    MACHINE,
    NAMEI,
    SAMPLE,
    SIMPLE,
)
from harness.uapi.fs import (
    O_APPEND,
    O_DIRECTORY,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    POLLERR,
    POLLIN,
    POLLOUT,
    POLLPRI,
    SEEK_CUR,
    SEEK_END,
    SEEK_SET,
)

_SHOWME = f"{CHILDLESS}/showme"
_STOREME = f"{CHILDLESS}/storeme"
_OPEN = f"__configfs_open_file: {FILE}"
_READ = f"configfs_read_iter, fill_read_buffer: {FILE}"
_WRITE = f"configfs_write_iter, fill_write_buffer: {FILE}"


@case(source=f"childless_description_show and its like: {SAMPLE}", machine=MACHINE)
@param("directory size", [(CHILDLESS, 236), (SIMPLE, 149), (GROUPS, 134)])
def descriptions(call: Call, directory: str, size: int) -> None:
    """st_size is a page, whatever the text."""
    text = expect(call.read_text(f"{directory}/description"))
    expect(len(text), size)
    expect(call.stat(f"{directory}/description"), mode=0o100444, size=4096)


@case(source=f"childless_showme_show: {SAMPLE}", machine=MACHINE, golden="configfs/read_showme_1")
def one_show_for_each_open_file(call: Call) -> None:
    shown = int(expect(call.read_text(_SHOWME)))  # by others, before
    text = b"%d\n" % (shown + 1)
    with call.opened(_SHOWME, O_RDONLY) as fd:
        expect(call.read(fd, 100), text)
        expect(call.read(fd, 100), b"")
        expect(call.pread(fd, 100, 0), text)
        expect(call.pread(fd, 100, 1), text[1:])
        expect(call.pread(fd, 100, len(text)), b"")
        expect(call.pread(fd, 100, 5000), b"")
        expect(call.lseek(fd, 0, SEEK_SET), 0)
        expect(call.read(fd, 1), text[:1])
        expect(call.read(fd, 100), text[1:])
    expect(call.read_text(_SHOWME), f"{shown + 2}\n")


@case(source=_READ, machine=MACHINE)
def opened_but_not_read(call: Call) -> None:
    """The first read shows, wherever it is; an open does not."""
    shown = int(expect(call.read_text(_SHOWME)))
    with call.opened(_SHOWME, O_RDONLY), call.opened(_SHOWME, O_RDONLY) as other:
        expect(call.pread(other, 10, 4096), b"")
        expect(call.read_text(_SHOWME), f"{shown + 2}\n")


@case(source=_READ, machine=MACHINE, golden="configfs/snapshot_at_first_read")
def text_stays_until_this_file_is_written(call: Call) -> None:
    with call.opened(_STOREME, O_RDWR) as fd:
        call.write_text(_STOREME, "77")
        expect(call.read(fd, 100), b"77\n")
        call.write_text(_STOREME, "78")
        expect(call.pread(fd, 100, 0), b"77\n")
        expect(call.write(fd, b"79"), 2)
        expect(call.pread(fd, 100, 0), b"79\n")


@case(source=_WRITE, machine=MACHINE)
def a_store_that_fails_renews_the_text(call: Call) -> None:
    with call.opened(_STOREME, O_RDWR) as fd:
        expect(call.read(fd, 100), b"0\n")
        call.write_text(_STOREME, "78")
        expect(call.write(fd, b"x"), EINVAL)
        expect(call.pread(fd, 100, 0), b"78\n")


@case(source=f"childless_storeme_store: {SAMPLE}; kstrtoint: lib/kstrtox.c, 6.1", machine=MACHINE)
@param(
    "text wanted read_back",
    [
        ("7", 1, "7\n"),
        ("42\n", 3, "42\n"),
        ("-5", 2, "-5\n"),
        ("+5", 2, "5\n"),
        ("2147483647", 10, "2147483647\n"),
        ("-2147483648", 11, "-2147483648\n"),
        ("2147483648", ERANGE, "0\n"),
        ("99999999999", ERANGE, "0\n"),
        ("9" * 30, ERANGE, "0\n"),
        ("abc", EINVAL, "0\n"),
        ("\n", EINVAL, "0\n"),
        ("0x10", EINVAL, "0\n"),
        (" 3", EINVAL, "0\n"),
        ("3 ", EINVAL, "0\n"),
        ("3\n\n", EINVAL, "0\n"),
        ("4\0abc", 5, "4\n"),
        ("\0", EINVAL, "0\n"),
        ("\udcff", EINVAL, "0\n"),
    ],
)
def store(call: Call, text: str, wanted: int | ErrorNumber, read_back: str) -> None:
    call.mkdir(f"{SIMPLE}/a")
    expect(call.write_text(f"{SIMPLE}/a/storeme", text), wanted)
    expect(call.read_text(f"{SIMPLE}/a/storeme"), read_back)


@case(source=_WRITE, machine=MACHINE)
@param("length wanted", [(4094, 4094), (4095, 4095), (4096, 4095), (5000, 4095), (10000, 4095)])
def longest_write(call: Call, length: int, wanted: int) -> None:
    """4,095 bytes are taken, and what is behind them is left to a second write."""
    with call.opened(_STOREME, O_WRONLY) as fd:
        expect(call.write(fd, b"0" * 4000 + b"7" + b"\0" * (length - 4001)), wanted)
        expect(call.read_text(_STOREME), "7\n")
        expect(call.write(fd, b"8"), 1)
    expect(call.read_text(_STOREME), "8\n")


@case(source=_WRITE, machine=MACHINE, golden="configfs/store_empty")
def empty_write(call: Call) -> None:
    """EFAULT, and the text is to be shown anew."""
    with call.opened(_STOREME, O_RDWR) as fd:
        expect(call.read(fd, 10), b"0\n")
        call.write_text(_STOREME, "1")
        expect(call.write(fd, b""), EFAULT)
        expect(call.pread(fd, 10, 0), b"1\n")


@case(source=_WRITE, machine=MACHINE, golden="configfs/two_writes_same_fd")
def the_offset_of_a_write_means_nothing(call: Call) -> None:
    with call.opened(_STOREME, O_RDWR) as fd:
        expect(call.write(fd, b"1"), 1)
        expect(call.write(fd, b"2"), 1)
        expect(call.lseek(fd, 0, SEEK_CUR), 2)
        expect(call.pread(fd, 10, 0), b"2\n")
        expect(call.pwrite(fd, b"9", 100), 1)
        expect(call.pread(fd, 10, 0), b"9\n")
        expect(call.pwrite(fd, b"5", 10_000), 1)
        expect(call.pread(fd, 10, 0), b"5\n")


@case(source=_WRITE, machine=MACHINE, golden="configfs/append")
def append(call: Call) -> None:
    with call.opened(_STOREME, O_WRONLY | O_APPEND) as fd:
        expect(call.write(fd, b"6"), 1)
    expect(call.read_text(_STOREME), "6\n")


@case(source="generic_file_llseek: fs/read_write.c, 6.1", machine=MACHINE)
def seek(call: Call) -> None:
    with call.opened(_STOREME, O_RDWR) as fd:
        expect(call.lseek(fd, 0, SEEK_END), 4096)
        expect(call.read(fd, 10), b"")
        expect(call.lseek(fd, 1, SEEK_SET), 1)
        expect(call.read(fd, 10), b"\n")
        expect(call.lseek(fd, -10, SEEK_CUR), EINVAL)


@case(source="vfs_setpos: fs/read_write.c, 6.1", machine=MACHINE)
def seek_too_far(call: Call) -> None:
    """No position is beyond 2 GiB (MAX_NON_LFS, which alloc_super sets), but in a directory."""
    with call.opened(SIMPLE, O_RDONLY | O_DIRECTORY) as fd:
        expect(call.lseek(fd, 0x80000000, SEEK_SET), 0x80000000)
    with call.opened(_STOREME, O_RDWR) as fd:
        expect(call.lseek(fd, 0x7FFFFFFF, SEEK_SET), 0x7FFFFFFF)
        expect(call.lseek(fd, 0x80000000, SEEK_SET), EINVAL)
        expect(call.lseek(fd, 1, SEEK_CUR), EINVAL)


@case(source=_OPEN, machine=MACHINE, golden="configfs/write_ro")
def opened_against_the_mode(call: Call) -> None:
    """The mode binds root, too."""
    expect(call.open(_SHOWME, O_WRONLY), EACCES)
    expect(call.open(_SHOWME, O_RDWR), EACCES)
    expect(call.open(_SHOWME, O_WRONLY | O_TRUNC), EACCES)
    expect(call.open(_SHOWME, O_RDONLY | O_DIRECTORY), ENOTDIR)
    expect(call.access(_SHOWME, 2))


@case(source=_OPEN, machine=MACHINE)
def chmod_gives_no_method(call: Call) -> None:
    """With the bit there is still no store; without it, the store is of no use."""
    expect(call.chmod(_SHOWME, 0o644))
    expect(call.open(_SHOWME, O_WRONLY), EACCES)
    expect(call.chmod(_STOREME, 0o400))
    expect(call.open(_STOREME, O_WRONLY), EACCES)
    expect(call.chmod(_STOREME, 0o200))
    expect(call.open(_STOREME, O_RDONLY), EACCES)
    expect(call.stat(_STOREME), mode=0o100200)


@case(source=f"configfs_setattr: fs/configfs/inode.c; handle_truncate: {NAMEI}", machine=MACHINE)
def truncate(call: Call) -> None:
    """The value stays. A size that was set is seen until the file is closed."""
    call.write_text(_STOREME, "3")
    expect(call.truncate(_STOREME, 0))
    expect(call.stat(_STOREME), size=4096)
    with call.opened(_STOREME, O_RDWR | O_TRUNC) as fd:
        expect(call.fstat(fd), size=0)
        expect(call.stat(_STOREME), size=0)
        expect(call.lseek(fd, 0, SEEK_END), 0)
        expect(call.read(fd, 10), b"3\n")
        expect(call.ftruncate(fd, 10))
        expect(call.fstat(fd), size=10)
    expect(call.stat(_STOREME), size=4096)


@case(source=f"configfs_file_operations: {FILE}", machine=MACHINE)
def what_there_is_no_method_for(call: Call) -> None:
    with call.opened(_STOREME, O_RDWR) as fd:
        expect(call.ioctl(fd, 0x1234), ENOTTY)
        expect(call.mmap(4096, 1, 1, fd), ENODEV)
        every = POLLIN | POLLOUT | POLLPRI | POLLERR
        expect(call.poll({fd: every}), {fd: POLLIN | POLLOUT})


@case(
    source=f"configfs_file_operations: {FILE}; do_epoll_ctl: fs/eventpoll.c, 6.1", machine=MACHINE
)
def no_epoll(call: Call) -> None:
    """There is no poll method."""
    with call.opened(_STOREME, O_RDWR) as fd:
        expect(call.epoll(fd, POLLIN), EPERM)
