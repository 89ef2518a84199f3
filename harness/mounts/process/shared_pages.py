# SPDX-License-Identifier: Apache-2.0
"""Keeps mapped pages and the machine's memory the same (see the plan in :mod:`.mappings`)."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable

from harness.kernel.vfs import Pages
from harness.kernel.wait import MachineLock
from harness.mounts.process import fuse_protocol as fuse
from harness.mounts.process.aside import Aside
from harness.mounts.process.invalidation import notify
from harness.mounts.process.leaders_lock import LeadersLock
from harness.mounts.process.mappings import Mappings, Stretch
from harness.uapi.fs import PAGE_SIZE


class SharedPages:
    """The mapped pages of one mount. ``leader()`` is the thread that leads.

    The machine's lock is taken before the one here. A page that a program touches needs only the
    latter: the machine may be waiting for just that, in a copy of the program's memory.
    """

    def __init__(self, fd: int, leader: Callable[[], int], aside: Aside) -> None:
        self._fd = fd
        self._leader = leader
        self._aside = aside
        self._mappings = Mappings()
        self._lock = threading.RLock()
        #: Before the machine's lock. What was given out is what the host's kernel has, unless this
        #: is held: what it has instead is what programs have stored.
        self._in_step = LeadersLock(threading.Lock(), leader, aside)
        #: What programs have stored, before the machine knows of it.
        self._written_back: deque[Stretch] = deque()
        self._numbers = itertools.count(1)
        #: What the host's kernel had, by the number of our question.
        self._retrieved: dict[int, bytes] = {}

    @property
    def waited_for(self) -> bool:
        """Whether the leading thread waits until another one has told what has changed."""
        return self._in_step.waited_for

    def __bool__(self) -> bool:
        return bool(self._mappings)

    def __contains__(self, nodeid: int) -> bool:
        return nodeid in self._mappings

    def add(self, nodeid: int, offset: int, pages: Pages, *, writable: bool) -> None:
        """A program is about to map ``pages``."""
        with self._lock:
            self._mappings.add(nodeid, offset, pages, writable=writable)

    def forget(self, nodeid: int) -> None:
        """The last file that ``nodeid`` was open as is closed."""
        with self._lock:
            self._mappings.forget(nodeid)

    def fault(self, nodeid: int, offset: int, size: int, *, settle: bool = True) -> bytes:
        """What is in a page that a program touches; EIO, its SIGBUS.

        Not to ``settle`` leaves to the machine, which another thread has, what was written back: it
        is in the page, as if it had been stored there just now.
        """
        with self._lock:
            if settle:
                # There is something only while we lead aside of a call, which has the machine's
                # lock.
                self._settle()
            content = self._mappings.fault(nodeid, offset, size)
            for stretch in self._written_back:
                content = _with(content, offset, stretch, nodeid)
            return content

    def written_back(self, nodeid: int, offset: int, data: bytes) -> None:
        """The host's kernel says what is in pages: for the machine, by :meth:`settle`.

        What programs have not changed is left out: the machine may change that before it hears of
        the rest.
        """
        with self._lock:
            self._written_back.extend(self._mappings.stored(nodeid, offset, data))

    def collect(self, lock: MachineLock) -> None:
        """Let the machine, whose lock this is, have what programs have stored so far.

        For the leading thread.
        """
        with self._in_step:
            with self._lock:
                wanted = list(self._mappings.writable())
            for nodeid, offset, size in wanted:
                end = offset + size
                while offset < end:
                    data = self._retrieve(nodeid, offset, min(end - offset, fuse.MAX_WRITE))
                    self.written_back(nodeid, offset, data)
                    # Where the data end, the host's kernel has no page.
                    offset += len(data) or PAGE_SIZE
            self.settle(lock)

    def settle(self, lock: MachineLock) -> None:
        """Let the machine have what was written back."""
        with lock, self._lock:
            self._settle()

    def _settle(self) -> None:
        while self._written_back:
            self._mappings.store(*self._written_back.popleft())

    def publish(self, lock: MachineLock) -> None:
        """Tell the host's kernel what the machine, whose lock this is, has changed."""
        with self._in_step, lock:
            with self._lock:
                stores, gone = self._mappings.changed()
            if not stores and not gone:
                return
            if threading.get_ident() == self._leader():
                # A page that is being read, or written back, waits for us.
                self._aside.run(lambda: self._tell(stores, gone))
            else:
                self._tell(stores, gone)

    def _tell(self, stores: list[Stretch], gone: list[tuple[int, int]]) -> None:
        for nodeid, offset, data in stores:
            content = fuse.NOTIFY_STORE_OUT.pack(nodeid, offset, len(data), 0) + data
            notify(self._fd, fuse.NOTIFY_STORE, content)
        for nodeid, offset in gone:
            notify(
                self._fd,
                fuse.NOTIFY_INVAL_INODE,
                fuse.NOTIFY_INVAL_INODE_OUT.pack(nodeid, offset, PAGE_SIZE),
            )

    def retrieved(self, number: int, view: memoryview) -> None:
        """The answer to our question ``number``."""
        _, _, size, _, _ = fuse.NOTIFY_RETRIEVE_IN.unpack_from(view, fuse.BODY)
        start = fuse.BODY + fuse.NOTIFY_RETRIEVE_IN.size
        self._retrieved[number] = bytes(view[start : start + size])

    def _retrieve(self, nodeid: int, offset: int, size: int) -> bytes:
        """What the host's kernel has in pages from ``offset`` on, as far as it has any."""
        number = next(self._numbers)
        question = fuse.NOTIFY_RETRIEVE_OUT.pack(number, nodeid, offset, size, 0)
        if not notify(self._fd, fuse.NOTIFY_RETRIEVE, question):
            return b""  # it has forgotten the file, or the mount is gone
        self._aside.read_until(lambda: number in self._retrieved)
        return self._retrieved.pop(number, b"")


def _with(content: bytes, offset: int, stretch: Stretch, nodeid: int) -> bytes:
    """``content`` from ``offset`` on of the file ``nodeid`` with a stretch of it in its place."""
    file, start, data = stretch
    first, last = max(start, offset), min(start + len(data), offset + len(content))
    if file != nodeid or first >= last:
        return content
    part = data[first - start : last - start]
    return content[: first - offset] + part + content[last - offset :]
