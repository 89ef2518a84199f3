# SPDX-License-Identifier: Apache-2.0
"""What read, write and poll of an eventfd answer."""

from __future__ import annotations

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import EAGAIN, EBADF, EINTR, EINVAL, EMFILE, ENODEV, ENOTTY, ESPIPE
from harness.conformance.suites._steps import no_more_fds
from harness.uapi.fs import (
    EFD_SEMAPHORE,
    O_APPEND,
    O_CLOEXEC,
    O_NONBLOCK,
    POLLERR,
    POLLIN,
    POLLNVAL,
    POLLOUT,
    RLIMIT_NOFILE,
    SEEK_CUR,
    SEEK_END,
    SEEK_SET,
)

_ALL = POLLIN | POLLOUT | POLLERR
_MAX = 2**64 - 1


def _number(value: int) -> bytes:
    return value.to_bytes(8, "little")


def _eventfd(call: Call, initial: int = 0, flags: int = O_NONBLOCK) -> Fd:
    return expect(call.eventfd(initial, flags))


@case(source="do_eventfd: fs/eventfd.c, 6.1")
@param("flags", [2, O_APPEND, 1 << 30])
def unknown_flags(call: Call, flags: int) -> None:
    expect(call.eventfd(0, flags), EINVAL)


@case(source="do_eventfd: fs/eventfd.c, 6.1")
def no_further_fd(call: Call) -> None:
    """What is wrong with the flags is said first."""
    limit = no_more_fds(call)
    expect(call.eventfd(0, 2), EINVAL)
    expect(call.eventfd(0, 0), EMFILE)
    expect(call.setrlimit(RLIMIT_NOFILE, limit))
    fd = expect(call.eventfd(0, 0))
    expect(call.dup(fd), EMFILE)
    expect(call.close(fd))
    expect(call.dup(fd), EBADF)


@case(source="do_eventfd: fs/eventfd.c, 6.1")
@param("flags", [0, O_NONBLOCK, EFD_SEMAPHORE, O_CLOEXEC, O_NONBLOCK | EFD_SEMAPHORE | O_CLOEXEC])
def initial_value(call: Call, flags: int) -> None:
    fd = expect(call.eventfd(3, flags))
    expect(call.read(fd, 8), _number(1 if flags & EFD_SEMAPHORE else 3))
    expect(call.close(fd))
    expect(call.read(fd, 8), EBADF)


@case(source="do_eventfd: fs/eventfd.c, 6.1")
def initial_value_of_32_bits(call: Call) -> None:
    expect(call.read(_eventfd(call, 0xFFFF_FFFF), 8), _number(0xFFFF_FFFF))


_READ = "eventfd_read: fs/eventfd.c, 6.1"


@case(source=_READ)
def a_read_takes_all(call: Call) -> None:
    fd = _eventfd(call)
    expect(call.write(fd, _number(5)), 8)
    expect(call.write(fd, _number(7)), 8)
    expect(call.read(fd, 8), _number(12))
    expect(call.read(fd, 8), EAGAIN)


@case(source=_READ)
def a_read_of_a_semaphore_takes_one(call: Call) -> None:
    fd = _eventfd(call, 2, EFD_SEMAPHORE | O_NONBLOCK)
    for _ in range(2):
        expect(call.read(fd, 8), _number(1))
    expect(call.read(fd, 8), EAGAIN)


@case(source=_READ)
def size_of_a_read(call: Call) -> None:
    """Too little room leaves the number where it is; of more room, eight bytes are used."""
    fd = _eventfd(call, 1)
    for count in (0, 7):
        expect(call.read(fd, count), EINVAL)
    expect(call.read(fd, 100), _number(1))
    expect(call.read(fd, 7), EINVAL)


@case(source=_READ)
def a_read_waits_for_a_write(call: Call) -> None:
    fd = expect(call.eventfd(0, 0))
    thread = call.thread()
    pending = thread.call.start(thread.call.read, fd, 8)
    expect(call.write(fd, _number(0)), 8)
    expect(call.write(fd, _number(9)), 8)
    expect(pending.wait(), _number(9))


@case(source=_READ)
def a_waiting_read_is_interrupted(call: Call) -> None:
    fd = expect(call.eventfd(0, 0))
    pending = call.start(call.read, fd, 8)
    pending.interrupt()
    expect(pending.wait(), EINTR)


_WRITE = "eventfd_write: fs/eventfd.c, 6.1"


@case(source=_WRITE)
def size_of_a_write(call: Call) -> None:
    fd = _eventfd(call)
    for count in (0, 4, 7):
        expect(call.write(fd, bytes(count)), EINVAL)


@case(source=_WRITE)
def the_largest_number(call: Call) -> None:
    fd = _eventfd(call)
    expect(call.write(fd, _number(_MAX)), EINVAL)
    expect(call.write(fd, _number(_MAX - 1)), 8)
    expect(call.write(fd, _number(1)), EAGAIN)
    expect(call.write(fd, _number(0)), 8)
    expect(call.poll({fd: _ALL}), {fd: POLLIN})
    expect(call.read(fd, 8), _number(_MAX - 1))


@case(source=_WRITE)
def a_write_waits_for_room(call: Call) -> None:
    fd = expect(call.eventfd(0, 0))
    expect(call.write(fd, _number(_MAX - 1)), 8)
    thread = call.thread()
    pending = thread.call.start(thread.call.write, fd, _number(2))
    expect(call.read(fd, 8), _number(_MAX - 1))
    expect(pending.wait(), 8)
    expect(call.read(fd, 8), _number(2))


_POLL = "eventfd_poll: fs/eventfd.c, 6.1"


@case(source=_POLL)
def ready(call: Call) -> None:
    fd = _eventfd(call)
    expect(call.poll({fd: _ALL}), {fd: POLLOUT})
    expect(call.write(fd, _number(1)), 8)
    expect(call.poll({fd: _ALL}), {fd: POLLIN | POLLOUT})


@case(source=_POLL)
def almost_full(call: Call) -> None:
    """With room for one more, it is ready for a write."""
    fd = _eventfd(call)
    expect(call.write(fd, _number(_MAX - 2)), 8)
    expect(call.poll({fd: _ALL}), {fd: POLLIN | POLLOUT})


@case(source=_POLL)
def a_poll_waits_for_a_write(call: Call) -> None:
    fd = _eventfd(call)
    thread = call.thread()
    pending = thread.call.start(thread.call.poll, {fd: POLLIN}, -1)
    expect(call.write(fd, _number(1)), 8)
    expect(pending.wait(), {fd: POLLIN})


@case(source="do_pollfd: fs/select.c, 6.1")
def poll_of_no_number(call: Call) -> None:
    """A number below 0 is left out; one that is not open is an event."""
    gone, beyond = Fd(-1, "none"), Fd(999, "closed")
    expect(call.poll({gone: _ALL}), {gone: 0})
    expect(call.poll({gone: _ALL, beyond: 0}), {gone: 0, beyond: POLLNVAL})


@case(source=f"{_POLL}; ep_item_poll: fs/eventpoll.c, 6.1")
def by_epoll(call: Call) -> None:
    fd = _eventfd(call)
    expect(call.epoll(fd, _ALL), POLLOUT)
    expect(call.epoll(fd, POLLIN), 0)
    expect(call.write(fd, _number(1)), 8)
    expect(call.epoll(fd, POLLIN), POLLIN)


@case(source="eventfd_fops: fs/eventfd.c, 6.1")
def has_no_place(call: Call) -> None:
    fd = _eventfd(call, 1)
    for whence in (SEEK_SET, SEEK_CUR, SEEK_END):
        expect(call.lseek(fd, 5, whence), 0)
    expect(call.pread(fd, 8, 0), ESPIPE)
    expect(call.pwrite(fd, _number(1), 0), ESPIPE)


@case(source="eventfd_fops: fs/eventfd.c, 6.1")
def has_no_other_method(call: Call) -> None:
    fd = _eventfd(call)
    expect(call.ioctl(fd, 0x3B00), ENOTTY)
    expect(call.mmap(4096, 3, 1, fd), ENODEV)


@case(source="alloc_anon_inode: fs/libfs.c, 6.1", needs=["users"])
def stat(call: Call) -> None:
    """There is no type of file in the mode."""
    found = expect(call.fstat(_eventfd(call)))
    expect((found.mode, found.nlink, found.uid, found.gid, found.size), (0o600, 1, 0, 0, 0))


@case(source="ksys_dup: fs/file.c, 6.1")
def a_duplicate_is_the_same(call: Call) -> None:
    fd = _eventfd(call)
    other = expect(call.dup(fd))
    expect(call.write(other, _number(1)), 8)
    expect(call.close(other))
    expect(call.read(fd, 8), _number(1))
