# SPDX-License-Identifier: Apache-2.0
"""The modules ``select`` and ``selectors``: waiting for files of both kinds at once.

Whatever wakes a poll of the machine writes to an eventfd, which is polled along with the host's
files.
"""

from __future__ import annotations

import errno
import os
import select
import selectors
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from attrs import define

from harness.kernel.system_calls import Description
from harness.kernel.wait import WaitQueue
from harness.mounts.inprocess.calls import InProcessCalls
from harness.mounts.inprocess.children import UnmodelledError
from harness.mounts.inprocess.copies import shallow

_DEFAULT = select.POLLIN | select.POLLPRI | select.POLLOUT
_READ = select.POLLIN | select.POLLHUP | select.POLLERR
_WRITE = select.POLLOUT | select.POLLERR
#: What of an epoll event is told by poll, too.
_POLL_BITS = 0xFFFF
#: At most so many files of the host are told of at once, unless one says how many.
_EVENTS = 1024


def _fileno(file: Any) -> int:
    return file if isinstance(file, int) else int(file.fileno())


class _Wake:
    """Wait queues of the machine, heard through an eventfd."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._queues: list[WaitQueue] = []

    def add(self, queue: WaitQueue) -> None:
        queue.add(self.signal)
        self._queues.append(queue)

    def signal(self) -> None:
        os.eventfd_write(self.fd, 1)

    def forget(self) -> None:
        """Nothing that happens is heard any more."""
        for queue in self._queues:
            queue.remove(self.signal)
        self._queues.clear()


class Waiter:
    """poll(2) over files of both kinds."""

    def __init__(self, calls: InProcessCalls) -> None:
        self._calls = calls

    def poll(self, watched: Mapping[int, int], milliseconds: float | None) -> list[tuple[int, int]]:
        """What is ready, by fd, in the order of ``watched``; None waits for ever."""
        real = select.poll()
        mine = {
            fd: events for fd, events in watched.items() if fd in self._calls.caller.descriptions
        }
        for fd, events in watched.items():
            if fd not in mine:
                real.register(fd, events)
        if not mine:
            self._calls.catch_up()
            return real.poll(milliseconds)
        forever = milliseconds is None or milliseconds < 0
        deadline = None if forever else time.monotonic() + (milliseconds or 0) / 1000
        interruption = self._calls.caller.interruption
        with self._heard() as wake:
            real.register(wake.fd, select.POLLIN)
            while True:
                with self._calls.kernel.lock:
                    wake.forget()
                found = {fd: self._calls.poll_one(fd, events, wake) for fd, events in mine.items()}
                ready = {fd: mask for fd, mask in found.items() if mask}
                left = None if deadline is None else max(0, deadline - time.monotonic()) * 1000
                ready |= dict(real.poll(0 if ready else left))
                if ready.pop(wake.fd, 0):
                    os.eventfd_read(wake.fd)
                    if interruption.pending:
                        raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
                    if not ready:
                        continue
                if ready or (deadline is not None and time.monotonic() >= deadline):
                    return [(fd, ready[fd]) for fd in watched if fd in ready]

    @contextmanager
    def _heard(self) -> Iterator[_Wake]:
        wake = _Wake()
        interruption = self._calls.caller.interruption
        try:
            with self._calls.kernel.lock:
                interruption.on_interrupt(wake.signal)
            yield wake
        finally:
            with self._calls.kernel.lock:
                interruption.on_interrupt(None)
                wake.forget()
            os.close(wake.fd)


class Poll:
    """select.poll, but for the waiter that a subclass brings."""

    _waiter: ClassVar[Waiter]

    def __init__(self) -> None:
        self._watched: dict[int, int] = {}

    def register(self, fd: Any, eventmask: int = _DEFAULT, /) -> None:
        """See select.poll."""
        self._watched[_fileno(fd)] = eventmask

    def modify(self, fd: Any, eventmask: int, /) -> None:
        """See select.poll."""
        if _fileno(fd) not in self._watched:
            raise FileNotFoundError(2, os.strerror(2))
        self.register(fd, eventmask)

    def unregister(self, fd: Any, /) -> None:
        """See select.poll."""
        del self._watched[_fileno(fd)]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """See select.poll."""
        return self._waiter.poll(self._watched, timeout)


@define
class _Watch:
    """A file of the machine in an epoll instance (struct epitem)."""

    description: Description
    events: int
    #: EPOLLONESHOT: it has been told of, and is not before it is modified.
    told: bool = False


class Epoll:
    """select.epoll: the host's files are in a real one, the machine's are kept here.

    Level-triggered; of the machine's files EPOLLET is refused. A subclass brings the calls.
    """

    _calls: ClassVar[InProcessCalls]

    def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
        self._real = select.epoll(sizehint, flags)
        self._watches: dict[int, _Watch] = {}

    def __enter__(self) -> Epoll:
        self._real.fileno()  # ValueError if it is closed
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """See select.epoll."""
        return self._real.closed

    def close(self) -> None:
        """See select.epoll."""
        self._real.close()
        self._watches.clear()

    def fileno(self) -> int:
        """Of the real one, which knows nothing of the machine's files."""
        return self._real.fileno()

    def register(self, fd: Any, eventmask: int = _DEFAULT) -> None:
        """See select.epoll; PermissionError for a file that cannot be polled (do_epoll_ctl)."""
        number = _fileno(fd)
        description = self._calls.caller.descriptions.get(number)
        if description is None or self.closed:
            self._real.register(number, eventmask)
            return
        if not description.open_file.can_poll:
            raise _error(errno.EPERM)
        if number in self._mine():
            raise _error(errno.EEXIST)
        self._watches[number] = _Watch(description, _level_triggered(eventmask))

    def modify(self, fd: Any, eventmask: int) -> None:
        """See select.epoll."""
        number = _fileno(fd)
        if number not in self._calls.caller.descriptions or self.closed:
            self._real.modify(number, eventmask)
            return
        watch = self._known(number)
        watch.events, watch.told = _level_triggered(eventmask), False

    def unregister(self, fd: Any) -> None:
        """See select.epoll."""
        number = _fileno(fd)
        if number not in self._calls.caller.descriptions or self.closed:
            self._real.unregister(number)
            return
        self._known(number)
        del self._watches[number]

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """See select.epoll: ``timeout`` in seconds."""
        mine = self._mine()
        if not mine or self.closed:
            self._calls.catch_up()
            return self._real.poll(timeout, maxevents)
        real = self._real.fileno()
        watched = {fd: watch.events & _POLL_BITS for fd, watch in mine.items() if not watch.told}
        watched[real] = select.POLLIN
        milliseconds = None if timeout is None else timeout * 1000
        found = dict(Waiter(self._calls).poll(watched, milliseconds))
        limit = maxevents if maxevents > 0 else len(found) + _EVENTS
        ready = self._real.poll(0, limit) if found.pop(real, 0) else []
        ready = [*found.items(), *ready][:limit]
        for fd, _ in ready:
            if fd in mine:
                mine[fd].told = bool(mine[fd].events & select.EPOLLONESHOT)
        return ready

    def _mine(self) -> dict[int, _Watch]:
        """Without those that were closed: they leave by themselves (eventpoll_release)."""
        opened = self._calls.caller.descriptions
        for fd, watch in list(self._watches.items()):
            if opened.get(fd) is not watch.description:
                del self._watches[fd]
        return self._watches

    def _known(self, fd: int) -> _Watch:
        watch = self._mine().get(fd)
        if watch is None:
            raise _error(errno.ENOENT)
        return watch


def _level_triggered(events: int) -> int:
    if events & select.EPOLLET:
        text = "EPOLLET of a file of the machine in an in-process mount"
        raise UnmodelledError(errno.EOPNOTSUPP, text)
    return events


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def make_selectors(fake_select: Any) -> Any:
    """A copy of ``selectors`` whose classes use a copy of ``select``."""
    changes: dict[str, Any] = {
        "EpollSelector": {"_selector_cls": fake_select.epoll},
        "PollSelector": {"_selector_cls": fake_select.poll},
        "SelectSelector": {"_select": staticmethod(fake_select.select)},
    }
    classes = {
        name: type(name, (getattr(selectors, name),), {"__module__": "selectors", **change})
        for name, change in changes.items()
    }
    return shallow(selectors, {**classes, "DefaultSelector": classes["EpollSelector"]})


def make_select(calls: InProcessCalls) -> Any:
    """A copy of ``select``."""
    waiter = Waiter(calls)

    def fake_select(
        readers: Iterable[Any],
        writers: Iterable[Any],
        exceptional: Iterable[Any],
        timeout: float | None = None,
        /,
    ) -> tuple[list[Any], list[Any], list[Any]]:
        lists = [list(readers), list(writers), list(exceptional)]
        mine = calls.caller.descriptions
        if not any(_fileno(file) in mine for files in lists for file in files):
            calls.catch_up()
            return select.select(lists[0], lists[1], lists[2], timeout)
        events = (select.POLLIN, select.POLLOUT, select.POLLPRI)
        watched: dict[int, int] = {}
        for files, event in zip(lists, events, strict=True):
            for file in files:
                watched[_fileno(file)] = watched.get(_fileno(file), 0) | event
        ready = dict(waiter.poll(watched, None if timeout is None else timeout * 1000))
        masks = (_READ, _WRITE, select.POLLPRI)
        r, w, x = (
            [file for file in files if ready.get(_fileno(file), 0) & mask]
            for files, mask in zip(lists, masks, strict=True)
        )
        return r, w, x

    fake_select.__name__, fake_select.__module__ = "select", "select"
    changes = {
        "poll": type("poll", (Poll,), {"__module__": "select", "_waiter": waiter}),
        "epoll": type("epoll", (Epoll,), {"__module__": "select", "_calls": calls}),
    }
    return shallow(select, {"select": fake_select, **changes})
