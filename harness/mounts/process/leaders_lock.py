# SPDX-License-Identifier: Apache-2.0
"""The machine's lock where programs have mapped pages of its devices.

Who holds the lock may be copying from such a page, which comes by a request that the leading thread
has to answer. So while that thread wants the lock itself, it goes on answering such requests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from harness.kernel.wait import MachineLock
from harness.mounts.process.aside import Aside


class LeadersLock:
    """The same lock as ``lock``, so that either can be used. ``leader()`` is the thread that leads.

    ``waited_for`` while the leading thread wants it and another has it.
    """

    def __init__(self, lock: MachineLock, leader: Callable[[], int], aside: Aside) -> None:
        self._lock = lock
        self._leader = leader
        self._aside = aside
        self.waited_for = False

    def acquire(self, blocking: bool = True) -> bool:
        """See :class:`threading.Lock`."""
        if self._lock.acquire(False):
            return True
        if not blocking:
            return False
        if threading.get_ident() != self._leader():
            return self._lock.acquire()
        self.waited_for = True
        try:
            # A lock belongs to no thread.
            return self._aside.run(self._lock.acquire)
        finally:
            self.waited_for = False

    def release(self) -> None:
        """See :class:`threading.Lock`."""
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
