# SPDX-License-Identifier: Apache-2.0
"""Threads of a mount that do something at once."""

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from harness.mounts.process.command import _signals_blocked, _wait_passing_on
from harness.mounts.process.notifications import Notifications, Table
from harness.mounts.process.workers import STANDBY_LIMIT, Crew
from tests.process.conftest import HEAD


def test_a_worker_that_another_one_starts_at_the_end_is_waited_for():
    begun, joined = threading.Event(), threading.Event()

    class Slow(threading.Event):
        def is_set(self):
            time.sleep(0.2)
            return True

    def serve(worker):
        begun.set()
        assert joined.wait(60)
        worker.hand_over()
        crew._standby = STANDBY_LIMIT  # this one is not needed any more

    class Told(threading.Thread):
        def join(self, timeout=None):
            joined.set()
            super().join(timeout)

    ended = threading.Event()
    crew = Crew(SimpleNamespace(serve=serve, ended=ended))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "Thread", Told)
        crew.start()
        assert begun.wait(60)
        crew._server.ended = Slow()
        assert crew.join(60)
    assert crew.identities == set()


def test_two_programs_are_the_first_to_have_a_filter(monkeypatch):
    starts = []

    class Slow(threading.Thread):
        def start(self):
            starts.append(self)
            time.sleep(0.2)
            super().start()

    with monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", Slow)
        notifications = Notifications(None, Table())
    adding = [threading.Thread(target=notifications.add, args=(os.eventfd(0),)) for _ in range(2)]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    notifications.close()
    assert len(starts) == 1


def test_an_announced_call_that_was_left_to_the_host_meanwhile():
    notifications = Notifications(None, Table())
    notifications.answer(None)
    notifications.close()


def test_a_call_that_is_over_just_when_the_mount_ends(machine, mounted, caplog):
    mount = mounted()
    blocked, seen = mount._server.blocked, []

    class Over:
        def __init__(self, number):
            self.number = number
            self.interruption = self

        def interrupt(self):
            seen.append(self.number)
            blocked.pop(self.number)

    blocked.update({number: Over(number) for number in (-1, -2)})
    mount.__exit__(None, None, None)
    assert (sorted(seen), caplog.text) == ([-2, -1], "")


def test_a_program_whose_end_cannot_be_told(monkeypatch):
    """Nobody waits for it for ever."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    class Unknown:
        def wait(self):
            time.sleep(0.2)
            raise OSError("unknown")

    with _signals_blocked(), pytest.raises(OSError, match="unknown"):
        _wait_passing_on(Unknown())


def test_programs_that_are_started_at_once_all_end_with_the_mount(mounted, monkeypatch):
    mount = mounted()
    first = mount.popen(["sleep", "1000"])
    poll = type(first).poll

    def slow(child):
        time.sleep(0.2)
        return poll(child)

    monkeypatch.setattr(type(first), "poll", slow)
    with ThreadPoolExecutor() as pool:
        others = list(pool.map(mount.popen, [["sleep", "1000"]] * 2))
    mount.__exit__(None, None, None)
    assert [child._status for child in (first, *others)] == [signal.SIGKILL] * 3


def test_no_thread_takes_a_signal_even_as_it_starts(driver, mounted, monkeypatch):
    run, taking = threading.Thread.run, {}

    def told_run(thread):
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        taking[thread.name] = signal.valid_signals() - blocked - {signal.SIGKILL, signal.SIGSTOP}
        run(thread)

    monkeypatch.setattr(threading.Thread, "run", told_run)
    code = "call(toy, WATCH, os.eventfd(0)); call(toy, WAIT_COPY, 0); call(toy, WHICH, toy)"
    child = mounted().popen([sys.executable, "-I", "-S", "-c", HEAD + code])
    assert child.wait(60) == 0
    names = {"uapi-aside", "uapi-eventfds", "uapi-invalidate", "uapi-mount", "uapi-notified"}
    assert taking == {name: set() for name in names}
