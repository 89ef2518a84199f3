# SPDX-License-Identifier: Apache-2.0
"""The machine's lock, blocking and interruption."""

import errno
import threading

import pytest

from harness.kernel.errors import Errno
from harness.kernel.task import LocalCaller
from harness.kernel.wait import Interruption, Scheduler, WaitQueue


class Blocked:
    """A thread that waits for ``ready``; ``entered`` is set once it gives up the lock."""

    def __init__(self, timeout=None):
        self.scheduler = Scheduler()
        self.queue = WaitQueue()
        self.ready = False
        self.result = None
        self.entered = threading.Event()
        self.caller = _announcing(self.entered)()
        self.thread = threading.Thread(target=self._run, args=(timeout,))
        self.thread.start()
        self.entered.wait(10)

    def _run(self, timeout):
        with self.scheduler.lock:
            try:
                self.result = self.scheduler.wait(
                    self.caller, self.queue, lambda: self.ready, timeout
                )
            except Errno as error:
                self.result = error.errno

    def finish(self):
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.result


def _announcing(event):
    class Announcing(LocalCaller):
        def blocking(self):
            event.set()

    return Announcing


def test_a_wait_ends_when_its_condition_is_true_and_not_before():
    blocked = Blocked()
    with blocked.scheduler.lock:  # the lock is free while it waits
        blocked.queue.wake()
    assert blocked.thread.is_alive()
    with blocked.scheduler.lock:
        blocked.ready = True
        blocked.queue.wake()
    assert blocked.finish() is True


def test_an_interruption_is_eintr():
    blocked = Blocked()
    with blocked.scheduler.lock:
        blocked.caller.interruption.interrupt()
    assert blocked.finish() == errno.EINTR


def test_an_interruption_before_the_wait_is_not_lost():
    scheduler, queue, caller = Scheduler(), WaitQueue(), LocalCaller()
    with scheduler.lock:
        caller.interruption.interrupt()
        with pytest.raises(Errno) as raised:
            scheduler.wait(caller, queue, lambda: False)
    assert raised.value.errno == errno.EINTR


def test_a_true_condition_wins_over_an_interruption():
    scheduler, queue, caller = Scheduler(), WaitQueue(), LocalCaller()
    with scheduler.lock:
        caller.interruption.interrupt()
        assert scheduler.wait(caller, queue, lambda: True)


def test_a_timeout_is_false():
    assert Blocked(timeout=0.01).finish() is False


def test_an_interruption_before_the_wait_wakes_at_once():
    interruption = Interruption()
    woken = []
    interruption.interrupt()
    interruption.on_interrupt(lambda: woken.append(True))
    assert woken == [True]
    interruption.on_interrupt(None)
    interruption.interrupt()
    assert woken == [True]
