# SPDX-License-Identifier: Apache-2.0
"""Files of the host that programs hand to the machine's drivers: eventfds and memory.

A :class:`HostFile` is a copy of a program's fd. A driver's hold of an eventfd keeps the copy, as
there is no other way to write to it. A watch keeps none: an epoll knows the file for as long as
anybody else has it open, and afterwards no longer, which is how we hear of its last close.

Nothing here blocks, and no file is asked what it is by anything but /proc.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import stat
import threading
from collections.abc import Hashable
from typing import TYPE_CHECKING, ClassVar

from harness import background
from harness.kernel.anon_inode import PREFIX
from harness.kernel.errors import Errno
from harness.kernel.eventfd import CLASS, EventfdContext, Wakeup
from harness.kernel.memfd import NoMemory
from harness.kernel.task import Memory
from harness.uapi.fs import O_PATH, POLLHUP, POLLIN, POLLOUT

if TYPE_CHECKING:
    from harness.kernel.system import Kernel

_libc = ctypes.CDLL(None, use_errno=True)
_SYS_PIDFD_GETFD = 438  # x86-64
_ONE = (1).to_bytes(8, "little")
_NOWAIT = os.RWF_NOWAIT
#: preadv2(2): not at an offset, for files that have none.
_NO_OFFSET = -1


_AT_EMPTY_PATH, _AT_STATX_DONT_SYNC = 0x1000, 0x4000


class _Statx(ctypes.Structure):
    """struct statx, of which a request for nothing fills in the device."""

    _fields_: ClassVar = [
        ("before", ctypes.c_byte * 136),
        ("dev_major", ctypes.c_uint32),
        ("dev_minor", ctypes.c_uint32),
        ("after", ctypes.c_byte * 112),
    ]


def copy_fd(pid: int, fd: int) -> int:
    """A copy of ``fd`` of process ``pid``; EBADF if that is not open, or only with O_PATH (fget).

    EBADF too if the process has gone or is out of reach.
    """
    try:
        copy = os.dup(fd) if pid == os.getpid() else _pidfd_getfd(pid, fd)
    except (OSError, OverflowError):
        raise Errno(errno.EBADF) from None
    if int(_information(copy)["flags"], 8) & O_PATH:
        os.close(copy)
        raise Errno(errno.EBADF)
    return copy


def _pidfd_getfd(pid: int, fd: int) -> int:
    process = os.pidfd_open(pid)
    try:
        copy: int = _libc.syscall(_SYS_PIDFD_GETFD, process, ctypes.c_int(fd), 0)
    finally:
        os.close(process)
    if copy < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return copy


def open_flags(pid: int, fd: int) -> int:
    """With what flags ``fd`` of process ``pid`` was opened; EBADF if it is not."""
    try:
        return int(_information(fd, str(pid))["flags"], 8)
    except FileNotFoundError:
        raise Errno(errno.EBADF) from None


def _information(fd: int, pid: str = "self") -> dict[str, str]:
    """What /proc says of a process' ``fd``, without asking the file's driver."""
    with open(f"/proc/{pid}/fdinfo/{fd}") as file:
        lines = [line.partition(":") for line in file]
    return {name: text.strip() for name, _, text in lines}


def device_of(fd: int) -> int:
    """The st_dev of our ``fd``, without asking the file's file system for anything."""
    found = _Statx()
    if _libc.statx(fd, b"", _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC, 0, ctypes.byref(found)):
        raise OSError(ctypes.get_errno(), "statx")
    return os.makedev(found.dev_major, found.dev_minor)


class HostFile:
    """See :class:`harness.kernel.task.HostFile`. Owns ``fd`` until a hold takes it over."""

    def __init__(self, holder: Holder, pid: int, number: int, fd: int) -> None:
        """``fd`` is our copy of ``number`` of process ``pid``."""
        self._holder = holder
        self._origin = (pid, number)
        self._fd = fd

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def eventfd_ctx_fileget(self) -> EventfdContext:
        """See :class:`harness.kernel.task.HostFile`."""
        if os.readlink(f"/proc/self/fd/{self._fd}") != PREFIX + CLASS:
            raise Errno(errno.EINVAL)
        fd, self._fd = self._fd, -1
        return HostEventfd(self._holder, self._origin, fd)

    def memory(self) -> Memory:
        """See :class:`harness.kernel.task.HostFile`."""
        if not _is_shared_memory(self._fd, self._origin[0]):
            return NoMemory()
        fd, self._fd = self._fd, -1
        return HostMemory(fd)


def _is_shared_memory(fd: int, pid: int) -> bool:
    """Whether ``fd`` is a file of a tmpfs or of a hugetlbfs, without asking its file system.

    A memfd is of one that is mounted nowhere; others are found where process ``pid`` sees them.
    """
    if os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:"):
        return True
    device = device_of(fd)
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open(f"/proc/{pid}/mountinfo") as mounts:
        for line in mounts:
            before, _, after = line.partition(" - ")
            if before.split()[2] == wanted:
                shared = after.split()[0] in ("tmpfs", "devtmpfs", "hugetlbfs")
                return shared and stat.S_ISREG(os.fstat(fd).st_mode)
    return False


class HostMemory:
    """A file that is shared memory; see :class:`harness.kernel.task.Memory`."""

    def __init__(self, fd: int) -> None:
        """``fd`` is ours from now on. A device may write whatever the program's fd is open for."""
        self._fd = fd
        with contextlib.suppress(OSError):
            self._fd = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
            os.close(fd)

    def __del__(self) -> None:
        os.close(self._fd)

    def _size(self) -> int:
        return os.fstat(self._fd).st_size

    def read(self, address: int, count: int) -> bytes:
        """Zeros behind the end, which a device still has after the file was cut."""
        return os.pread(self._fd, count, address).ljust(count, b"\0")

    def write(self, address: int, data: bytes) -> None:
        """Nothing is kept behind the end. EFAULT for a file that nobody may write to."""
        try:
            os.pwrite(self._fd, data[: max(self._size() - address, 0)], address)
        except OSError:
            raise Errno(errno.EFAULT) from None

    def pin(self, address: int, count: int, *, write: bool, device: bool) -> None:
        """memfd_pin_folios: EINVAL behind the end. Pages are not really pinned."""
        if address + count > self._size():
            raise Errno(errno.EINVAL)


def _identity(fd: int) -> str:
    """The number of the eventfd behind ``fd``, which no other one has meanwhile."""
    return _information(fd)["eventfd-id"]


class HostEventfd:
    """See :class:`harness.kernel.eventfd.EventfdContext`."""

    def __init__(self, holder: Holder, origin: tuple[int, int], fd: int) -> None:
        self._holder = holder
        self._origin = origin
        self._fd = fd
        self._identity = _identity(fd)

    @property
    def kernel(self) -> Kernel:
        """Of the machine whose driver holds it."""
        return self._holder.kernel

    @property
    def identity(self) -> Hashable:
        """The host's number of it."""
        return self._identity

    def signal(self) -> None:
        """Add 1 if there is room.

        The host's kernel lets nobody but itself add the last 1, and blocks whoever tries. With room
        for one more it takes a program's own write of nearly 2**64, just now, to block us.
        """
        poll = select.poll()
        poll.register(self._fd, POLLOUT)
        if poll.poll(0):
            os.write(self._fd, _ONE)

    def read(self) -> int:
        """Take what read(2) would, or 0. Of one that is watched only while its fd is open."""
        if self._fd >= 0:
            return _read(self._fd)
        with contextlib.suppress(Errno):
            fd = copy_fd(*self._origin)
            try:
                if _information(fd).get("eventfd-id") == self._identity:
                    return _read(fd)
            finally:
                os.close(fd)
        return 0

    def watch(self, wakeup: Wakeup) -> int:
        """See EventfdContext. From here on there is no other use of it."""
        fd, self._fd = self._fd, -1
        return self._holder.watch(self, fd, wakeup)

    def unwatch(self) -> None:
        """See EventfdContext."""
        self._holder.unwatch(self)

    def release(self) -> None:
        """See EventfdContext."""
        self.unwatch()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        del self.kernel.held[self]


def _read(fd: int) -> int:
    buffer = bytearray(8)
    try:
        os.preadv(fd, [buffer], _NO_OFFSET, _NOWAIT)
    except BlockingIOError:
        return 0
    return int.from_bytes(buffer, "little")


class _Watch:
    """An eventfd that nobody here has open, by an epoll of its own: ``epoll`` is edge-triggered."""

    def __init__(self, fd: int, wakeup: Wakeup) -> None:
        """Takes ``fd``."""
        self.wakeup = wakeup
        self.epoll = select.epoll()
        self.epoll.register(fd, POLLIN | select.EPOLLET)
        os.close(fd)

    def is_open(self) -> bool:
        """Whether any program still has the eventfd open."""
        return "tfd" in _information(self.epoll.fileno())


class Holder:
    """What the drivers of one machine watch for one mount."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        #: Empty when there is nothing to catch up with.
        self.watches: dict[HostEventfd, _Watch] = {}
        self._all: select.epoll | None = None
        self._stop = -1
        self._thread: threading.Thread | None = None

    def catch_up(self) -> None:
        """Pass on all that programs have done so far. With the machine's lock held.

        To be called before what a program's next call does.
        """
        for context, watch in list(self.watches.items()):
            if context not in self.watches:
                continue  # one wakeup ended the other watch
            is_open = watch.is_open()
            if watch.epoll.poll(0):
                watch.wakeup(POLLIN)
            if not is_open and self.unwatch(context):
                watch.wakeup(POLLHUP)

    def watch(self, context: HostEventfd, fd: int, wakeup: Wakeup) -> int:
        """See EventfdContext; takes ``fd``."""
        if self._all is None:
            self._start()
        assert self._all is not None
        watch = self.watches[context] = _Watch(fd, wakeup)
        ready = watch.epoll.poll(0)
        self._all.register(watch.epoll.fileno(), select.EPOLLIN)
        return POLLIN if ready else 0

    def unwatch(self, context: HostEventfd) -> bool:
        """Whether it was watched."""
        watch = self.watches.pop(context, None)
        if watch is not None:
            watch.epoll.close()
        return watch is not None

    def close(self) -> None:
        """Watch nothing any more. Without the machine's lock."""
        if self._thread is not None:
            os.eventfd_write(self._stop, 1)
            self._thread.join()
            os.close(self._stop)
        with self.kernel.lock:
            for context in list(self.watches):
                self.unwatch(context)
        if self._all is not None:
            self._all.close()

    def _start(self) -> None:
        self._all = select.epoll()
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._all.register(self._stop, select.EPOLLIN)
        self._thread = threading.Thread(
            target=self._run, args=(self._all,), name="uapi-eventfds", daemon=True
        )
        background.start(self._thread)

    def _run(self, watched: select.epoll) -> None:
        while all(fd != self._stop for fd, _ in watched.poll()):
            with self.kernel.lock:
                self.catch_up()
