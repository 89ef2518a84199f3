# SPDX-License-Identifier: Apache-2.0
"""What the leading thread does aside of the request that it serves, before it serves another one.

Some answers come through the very connection that we serve: which open file a fd of a program is,
what a program has stored into mapped pages, memory of a program that is a mapping of ours. So the
leading thread goes on reading requests until it has what it wants, answers those that are a part of
that, and puts the others by, to be served afterwards in their order. Nothing else happens in
between, and nobody needs the machine's lock, which may be held.

What can block, because it makes a request itself, is done by a thread that does not lead.
"""

from __future__ import annotations

import errno
import io
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from harness import background
from harness.mounts.process import fuse_protocol as fuse

T = TypeVar("T")


class Aside:
    """Of one mount. ``connection`` is its /dev/fuse, ``deferred`` the requests that were put by.

    ``serve`` answers a request that is a part of something aside, and says whether it is one.
    """

    def __init__(
        self,
        connection: io.FileIO,
        deferred: deque[memoryview],
        serve: Callable[[memoryview], bool],
    ) -> None:
        self._connection = connection
        self._deferred = deferred
        self._serve = serve
        self._thread: threading.Thread | None = None
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        #: Counts the jobs that are done and were not heard of.
        self._done = -1

    def run(self, function: Callable[[], T]) -> T:
        """What ``function`` returns, or raises, on another thread."""
        if self._thread is None:
            self._done = os.eventfd(0, os.EFD_CLOEXEC)
            self._thread = threading.Thread(target=self._run, name="uapi-aside", daemon=True)
            background.start(self._thread)
        future: Future[T] = Future()
        self._jobs.put((function, future))
        self.read_until(future.done, self._done)
        os.eventfd_read(self._done)
        return future.result()

    def close(self) -> None:
        """When there is nobody to serve any more."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            os.close(self._done)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, future = job
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)
            os.eventfd_write(self._done, 1)

    def read_until(self, condition: Callable[[], bool], wake: int = -1) -> None:
        """Read requests until ``condition()``, which a request or the fd ``wake`` brings about.

        Returns too when the connection has ended.
        """
        fd = self._connection.fileno()
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if wake >= 0:
            poll.register(wake, select.POLLIN)
        was_blocking = os.get_blocking(fd)
        os.set_blocking(fd, False)
        try:
            while not condition():
                poll.poll()
                if not self._read() and wake < 0:
                    return
        finally:
            os.set_blocking(fd, was_blocking)

    def _read(self) -> bool:
        """Take one request, if there is one; False if there will be none any more."""
        buffer = bytearray(fuse.BUFFER_SIZE)
        try:
            count = self._connection.readinto(buffer)
        except OSError as error:
            return error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN)
        if count:
            view = memoryview(buffer)[:count]
            if not self._serve(view):
                self._deferred.append(memoryview(bytes(view)))
        return True


class Questions:
    """Which open file is this fd of a program?

    A request says which open file it is about, a copy of an fd does not. So we poll the copy, and
    see which file the POLL that arrives from our own thread names. That asks nothing of a driver,
    and works for any file however it was opened.
    """

    def __init__(self) -> None:
        #: What was found, by the thread that asks.
        self._asking: dict[int, int | None] = {}

    def ask(self, fd: int) -> int | None:
        """The handle of our copy ``fd`` of a file of the mount, while another thread serves.

        None for a directory.
        """
        thread = threading.get_native_id()
        self._asking[thread] = None
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.poll(0)
        return self._asking.pop(thread)

    def answer(self, thread: int, handle: int) -> bool:
        """Whether a POLL of ``handle`` that came from ``thread`` is such a question."""
        if thread not in self._asking:
            return False
        self._asking[thread] = handle
        return True
