# SPDX-License-Identifier: Apache-2.0
"""The machine's lock and the only way to block.

One lock per machine: all model code runs under it. :meth:`Scheduler.wait` releases it while the
condition is false. The same queues wake poll.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from harness.kernel.errors import Errno


class Interruption:
    """Whether a call was interrupted (a signal, or the death of its task)."""

    __slots__ = ("_wake", "pending")

    def __init__(self) -> None:
        self.pending = False
        self._wake: Callable[[], None] | None = None

    def interrupt(self) -> None:
        """Make the call's present or next wait raise EINTR. Call with the machine's lock held."""
        self.pending = True
        if self._wake is not None:
            self._wake()

    def on_interrupt(self, wake: Callable[[], None] | None) -> None:
        """What wakes a wait that is not the scheduler's; None when it is over.

        Call with the machine's lock held. An interruption that came before wakes at once.
        """
        self._wake = wake
        if wake is not None and self.pending:
            wake()


class Waiting(Protocol):
    """The part of a caller that a wait needs."""

    @property
    def interruption(self) -> Interruption: ...

    def blocking(self) -> None:
        """Called once before the lock is given up, so that a mount can let another thread serve."""


class _Deaf:
    """Waits as somebody else does, but hears of no interruption."""

    def __init__(self, waiting: Waiting | None) -> None:
        self._waiting = waiting
        self.interruption = Interruption()

    def blocking(self) -> None:
        if self._waiting is not None:
            self._waiting.blocking()


class WaitQueue:
    """Those who wait for an event: blocked calls and polls (wait_queue_head_t)."""

    __slots__ = ("_wakers",)

    def __init__(self) -> None:
        self._wakers: dict[Callable[[], None], None] = {}

    def add(self, waker: Callable[[], None]) -> None:
        """Call ``waker`` at every wake until it is removed. A waker runs under the lock."""
        self._wakers[waker] = None

    def remove(self, waker: Callable[[], None]) -> None:
        """Forget ``waker``; one that is not there is no error."""
        self._wakers.pop(waker, None)

    def wake(self) -> None:
        """Wake everybody (wake_up_interruptible_all)."""
        for waker in list(self._wakers):
            waker()


class MachineLock(Protocol):
    """A :class:`threading.Lock`, or what a mount has in its place."""

    def acquire(self, blocking: bool = True) -> bool: ...
    def release(self) -> None: ...
    def __enter__(self) -> bool: ...
    def __exit__(self, *_: Any) -> None: ...


class Scheduler:
    """The machine's lock (a context manager) and :meth:`wait`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        #: Who made the call that is running now; None while it is not a program's.
        self.current: Waiting | None = None

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    def wait(
        self,
        caller: Waiting,
        queue: WaitQueue,
        condition: Callable[[], bool],
        timeout: float | None = None,
    ) -> bool:
        """Block until ``condition()``; False after ``timeout`` seconds of host time.

        The condition is tested under the lock, first of all before blocking. Raises EINTR when the
        call is interrupted while the condition is false (wait_event_interruptible_timeout).
        """
        if condition():
            return True
        caller.blocking()
        wakeup = threading.Condition(self.lock)
        interruption = caller.interruption
        deadline = None if timeout is None else time.monotonic() + timeout
        queue.add(wakeup.notify)
        interruption._wake = wakeup.notify
        try:
            while not condition():
                if interruption.pending:
                    raise Errno(errno.EINTR)
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                wakeup.wait(left)
            return True
        finally:
            queue.remove(wakeup.notify)
            interruption._wake = None
            self.current = caller

    def wait_for_current(
        self,
        queue: WaitQueue,
        condition: Callable[[], bool],
        timeout: float,
        *,
        interruptible: bool,
    ) -> bool:
        """:meth:`wait` on behalf of whoever made the call that is running, for those deep down.

        Without ``interruptible``, neither a signal nor death ends it
        (wait_for_completion_timeout).
        """
        caller = self.current
        try:
            waiting = caller if interruptible and caller is not None else _Deaf(caller)
            return self.wait(waiting, queue, condition, timeout)
        finally:
            self.current = caller


class RealClock:
    """The host's monotonic clock, for machines that real programs run in."""

    def now_ns(self) -> int:
        """Nanoseconds since an arbitrary start."""
        return time.monotonic_ns()
