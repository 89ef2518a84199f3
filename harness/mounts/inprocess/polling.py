# SPDX-License-Identifier: Apache-2.0
"""The module ``select``: waiting for files of the machine and of the host at once.

Whatever wakes a poll of the machine writes to an eventfd, which is polled along with the host's
files.
"""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from harness.kernel.wait import WaitQueue
from harness.mounts.inprocess.calls import InProcessCalls
from harness.mounts.inprocess.copies import shallow

_DEFAULT = select.POLLIN | select.POLLPRI | select.POLLOUT
_READ = select.POLLIN | select.POLLHUP | select.POLLERR
_WRITE = select.POLLOUT | select.POLLERR


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
    """select.poll."""

    def __init__(self, waiter: Waiter) -> None:
        self._waiter = waiter
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


def make_select(calls: InProcessCalls) -> Any:
    """A copy of ``select``. Its epoll is the real one, which refuses files of the machine."""
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
    poll: Callable[[], Poll] = lambda: Poll(waiter)  # noqa: E731
    return shallow(select, {"select": fake_select, "poll": poll})
