# SPDX-License-Identifier: Apache-2.0
"""Which open file of the mount is this fd of a program?

A request says which open file it is about, a copy of an fd does not. So we poll the copy, and see
which file the POLL that arrives from our own thread names. That asks nothing of a driver, and works
for any file however it was opened.

Who polls must not be who serves. Where the thread that leads the workers wants to know, it has
another one poll, and goes on reading requests until the POLL is there; the others it puts by, to be
served afterwards in their order. So nothing happens in between.
"""

from __future__ import annotations

import io
import os
import select
import signal
import threading
from collections import deque

from harness.mounts.process import fuse_protocol as fuse


class Finder:
    """Of one mount. ``connection`` is its /dev/fuse, ``deferred`` the requests that were put by."""

    def __init__(self, connection: io.FileIO, deferred: deque[memoryview]) -> None:
        self._connection = connection
        self._deferred = deferred
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

    def find(self, fd: int) -> int | None:
        """The same for the thread that serves."""
        found: list[int | None] = []
        done = os.eventfd(0, os.EFD_CLOEXEC)

        def ask() -> None:
            # Signals are for the program's main thread.
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            found.append(self.ask(fd))
            os.eventfd_write(done, 1)

        thread = threading.Thread(target=ask, name="uapi-finder", daemon=True)
        was_blocking = os.get_blocking(self._connection.fileno())
        os.set_blocking(self._connection.fileno(), False)
        try:
            thread.start()
            self._read_until(done)
            thread.join()
        finally:
            os.set_blocking(self._connection.fileno(), was_blocking)
            os.close(done)
        return found[0]

    def _read_until(self, done: int) -> None:
        poll = select.poll()
        poll.register(done, select.POLLIN)
        poll.register(self._connection, select.POLLIN)
        buffer = bytearray(fuse.BUFFER_SIZE)
        while all(fd != done for fd, _ in poll.poll()):
            try:
                count = self._connection.readinto(buffer)
            except OSError:
                continue  # withdrawn, or the connection has ended, which ends the poll too
            if not count:
                continue
            _, opcode, unique, _, _, _, thread, _, _ = fuse.IN_HEADER.unpack_from(buffer)
            handle, _, _, _ = fuse.POLL_IN.unpack_from(buffer, fuse.BODY)
            if opcode == fuse.POLL and self.answer(thread, handle):
                body = fuse.POLL_OUT.pack(0, 0)
                head = fuse.OUT_HEADER.pack(fuse.OUT_HEADER.size + len(body), 0, unique)
                os.write(self._connection.fileno(), head + body)
            else:
                self._deferred.append(memoryview(bytes(buffer[:count])))
