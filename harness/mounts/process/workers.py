# SPDX-License-Identifier: Apache-2.0
"""The threads that serve a mount: one leads, the others stand by.

The leader reads a request and carries it out itself, so that requests take effect in the order in
which they arrived and no request costs a switch of threads. Before it blocks it hands the lead to
another thread, finishes its own request when it can, and stands by again.
"""

from __future__ import annotations

import errno
import logging
import threading
from typing import TYPE_CHECKING

from harness import background
from harness.kernel.errors import Errno
from harness.mounts.process.fuse_protocol import BUFFER_SIZE

if TYPE_CHECKING:
    from harness.mounts.process.caller import ProcessCaller
    from harness.mounts.process.server import Server

_log = logging.getLogger("uapi_harness")

#: Threads that may stand by; a further one ends.
STANDBY_LIMIT = 2


class Worker:
    """One thread of a :class:`Crew`."""

    __slots__ = ("_crew", "buffer", "leading", "server", "view")

    def __init__(self, crew: Crew, server: Server) -> None:
        self._crew = crew
        self.server = server
        self.leading = False
        #: Where requests are read to.
        self.buffer = bytearray(BUFFER_SIZE)
        self.view = memoryview(self.buffer)

    def run(self) -> None:
        """Serve until the mount has ended or there are threads enough."""
        self._crew.identities.add(threading.get_ident())
        try:
            while self._crew.take_lead(self):
                try:
                    self.server.serve(self)
                except Exception:
                    _log.exception("the process mount ends")
                    self.server.abandon()
                finally:
                    if self.leading:
                        self._crew.give_lead(self)
        finally:
            self._crew.identities.discard(threading.get_ident())

    def hand_over(self) -> None:
        """Let another thread lead from here on; no effect after the first time in a request.

        EAGAIN if there can be no more threads.
        """
        if self.leading:
            self._crew.ensure_standby()
            self._crew.give_lead(self)

    def block(self, caller: ProcessCaller) -> None:
        """``caller`` is about to wait for an event: until its reply it can be interrupted."""
        self.server.blocked[caller.unique] = caller
        try:
            self.hand_over()
        except Errno:
            del self.server.blocked[caller.unique]
            raise


class Crew:
    """The workers of one server. ``identities`` are those of their threads."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lead = threading.Lock()
        self._count = threading.Lock()
        self._standby = 0
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        self.identities: set[int] = set()
        #: Identity of the thread that leads; 0 while nobody does.
        self.leader = 0

    def start(self) -> None:
        """Start the first worker."""
        worker = Worker(self, self._server)
        thread = threading.Thread(target=worker.run, name="uapi-mount", daemon=True)
        with self._starting:
            background.start(thread)
            self._threads = [known for known in self._threads if known.is_alive()]
            self._threads.append(thread)

    def join(self, timeout: float) -> bool:
        """Whether all workers ended within ``timeout`` seconds each, those too that the others
        start meanwhile."""
        while True:
            with self._starting:
                running = [thread for thread in self._threads if thread.is_alive()]
            if not running:
                return True
            running[0].join(timeout)
            if running[0].is_alive():
                return False

    def take_lead(self, worker: Worker) -> bool:
        """Wait to lead; False if this worker is not needed or all is over."""
        with self._count:
            if self._standby >= STANDBY_LIMIT:
                return False
            self._standby += 1
        self._lead.acquire()
        with self._count:
            self._standby -= 1
        worker.leading = True
        self.leader = threading.get_ident()
        if self._server.ended.is_set():
            self.give_lead(worker)
            return False
        return True

    def give_lead(self, worker: Worker) -> None:
        """The next thread may lead."""
        worker.leading = False
        self.leader = 0
        self._lead.release()

    def ensure_standby(self) -> None:
        """There is a thread that will lead as soon as it may. EAGAIN if it cannot be started."""
        with self._count:
            needed = self._standby == 0
        if needed:
            try:
                self.start()
            except RuntimeError:
                raise Errno(errno.EAGAIN) from None
