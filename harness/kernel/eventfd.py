# SPDX-License-Identifier: Apache-2.0
"""Eventfds: the file itself, and what a driver holds of one (fs/eventfd.c, 6.1).

A driver is given the number of an fd and asks :func:`eventfd_ctx_fdget`. What it gets is an
:class:`EventfdContext`, which it signals, or watches as virqfd does, until it releases it. A
context does not keep the program's file open.

:class:`Eventfd` is the file for tasks within this process; those of programs are the host's.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Protocol

from harness.kernel.anon_inode import PREFIX, AnonInode
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.kernel.vfs import OpenFile, PollTable
from harness.kernel.wait import WaitQueue
from harness.uapi.fs import (
    EFD_FLAGS_SET,
    EFD_SEMAPHORE,
    O_NONBLOCK,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
)

if TYPE_CHECKING:
    from harness.kernel.system import Kernel

CLASS = "[eventfd]"
ULLONG_MAX = (1 << 64) - 1
_SIZE = 8

#: Told POLLIN after a write and POLLHUP when the last fd of the file was closed, with the machine's
#: lock held.
Wakeup = Callable[[int], None]


class EventfdContext(Protocol):
    """An eventfd in the hands of a driver (struct eventfd_ctx). To be used with the lock held."""

    @property
    def kernel(self) -> Kernel:
        """Of the machine whose driver holds it."""

    @property
    def identity(self) -> Hashable:
        """Equal for two contexts exactly if they are of one eventfd."""

    def signal(self) -> None:
        """Add 1, or nothing to the largest number there is; never blocks (eventfd_signal)."""

    def read(self) -> int:
        """Take what read(2) would take, or 0 (eventfd_ctx_do_read)."""

    def watch(self, wakeup: Wakeup) -> int:
        """Call ``wakeup`` from now on, until POLLHUP; returns what is ready already (vfs_poll).

        One at a time. What was written stays there for :meth:`read` to take.
        """

    def unwatch(self) -> None:
        """Call it no longer; no error if nothing is called."""

    def release(self) -> None:
        """Let go, of the watch too; once (eventfd_ctx_put)."""


def eventfd_ctx_fdget(caller: Caller, fd: int) -> EventfdContext:
    """The eventfd that is ``fd`` of the caller: EBADF if that is not open, EINVAL if no eventfd.

    Until it is released, the machine has it among its leaks.
    """
    file = caller.file(fd)
    if isinstance(file, OpenFile) and not isinstance(file, Eventfd):
        raise Errno(errno.EINVAL)
    context = file.eventfd_ctx_fileget()
    context.kernel.held[context] = f"{PREFIX}{CLASS} {fd} of {caller.task.comm}"
    return context


class Eventfd(OpenFile):
    """The file (struct eventfd_ctx and its eventfd_fops)."""

    __slots__ = ("count", "flags", "kernel", "queue", "watchers")

    seekable = False

    def __init__(self, kernel: Kernel, caller: Caller, initial: int, flags: int) -> None:
        """EINVAL for unknown flags (do_eventfd)."""
        if flags & ~EFD_FLAGS_SET:
            raise Errno(errno.EINVAL)
        super().__init__(AnonInode(CLASS), caller)
        self.kernel = kernel
        self.count = initial & 0xFFFF_FFFF
        self.flags = flags
        self.queue = WaitQueue()
        self.watchers: list[Wakeup] = []

    def read(self, caller: Caller, offset: int, count: int) -> bytes:
        """eventfd_read: the number, or 1 of a semaphore; blocks while there is none."""
        if count < _SIZE:
            raise Errno(errno.EINVAL)
        self._wait(caller, lambda: self.count > 0)
        return self.do_read().to_bytes(_SIZE, "little")

    def write(self, caller: Caller, offset: int, data: bytes) -> int:
        """eventfd_write: blocks while the sum would be no number."""
        exact = self.kernel.section.eventfd_write_exact
        if len(data) != _SIZE if exact else len(data) < _SIZE:
            raise Errno(errno.EINVAL)
        added = int.from_bytes(data[:_SIZE], "little")
        if added == ULLONG_MAX:
            raise Errno(errno.EINVAL)
        self._wait(caller, lambda: ULLONG_MAX - self.count > added)
        self.add(added)
        return _SIZE

    def _wait(self, caller: Caller, condition: Callable[[], bool]) -> None:
        if self.flags & O_NONBLOCK and not condition():
            raise Errno(errno.EAGAIN)
        self.kernel.scheduler.wait(caller, self.queue, condition)

    def poll(self, caller: Caller, table: PollTable) -> int:
        """eventfd_poll."""
        table.add(self.queue)
        return self.ready()

    def lseek(self, caller: Caller, position: int, offset: int, whence: int) -> int:
        """noop_llseek."""
        return position

    def release(self) -> None:
        """eventfd_release."""
        watchers, self.watchers = self.watchers, []
        self._wake(watchers, POLLHUP)

    def eventfd_ctx_fileget(self) -> EventfdContext:
        """A driver's hold of it."""
        return _Context(self)

    def ready(self) -> int:
        """The ready mask."""
        events = POLLIN if self.count > 0 else 0
        if self.count == ULLONG_MAX:
            events |= POLLERR
        if self.count < ULLONG_MAX - 1:
            events |= POLLOUT
        return events

    def add(self, count: int) -> None:
        """More by ``count``, and everybody is told."""
        self.count += count
        self._wake(self.watchers, POLLIN)

    def do_read(self) -> int:
        """eventfd_ctx_do_read."""
        taken = min(self.count, 1) if self.flags & EFD_SEMAPHORE else self.count
        self.count -= taken
        self.queue.wake()
        return taken

    def _wake(self, watchers: list[Wakeup], events: int) -> None:
        self.queue.wake()
        for wakeup in list(watchers):
            wakeup(events)


class _Context:
    """A driver's hold of an :class:`Eventfd`."""

    def __init__(self, eventfd: Eventfd) -> None:
        self._eventfd = eventfd
        self._wakeup: Wakeup | None = None

    @property
    def kernel(self) -> Kernel:
        return self._eventfd.kernel

    @property
    def identity(self) -> Hashable:
        return id(self._eventfd)

    def signal(self) -> None:
        self._eventfd.add(min(1, ULLONG_MAX - self._eventfd.count))

    def read(self) -> int:
        return self._eventfd.do_read()

    def watch(self, wakeup: Wakeup) -> int:
        self._wakeup = wakeup
        self._eventfd.watchers.append(wakeup)
        return self._eventfd.ready()

    def unwatch(self) -> None:
        if self._wakeup in self._eventfd.watchers:
            self._eventfd.watchers.remove(self._wakeup)
        self._wakeup = None

    def release(self) -> None:
        self.unwatch()
        del self.kernel.held[self]
