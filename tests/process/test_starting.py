# SPDX-License-Identifier: Apache-2.0
"""What starts a program is killed, or runs out of something, at each step."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.mounts.process import MountError, launcher
from harness.mounts.process.namespaces import Launcher
from tests.process.conftest import HEAD


def test_a_message_is_whole_for_who_interrupts_it():
    ours, theirs = socket.socketpair()

    class Interrupted(socket.socket):
        def sendmsg(self, *arguments):
            sent = super().sendmsg(*arguments)
            if not late:
                late.append("signal")
                launcher.send(self, ("second",))
            return sent

    late = []
    with Interrupted(fileno=ours.detach()) as ours, theirs:
        launcher.send(ours, ("first",))
        assert [launcher.receive(theirs)[0] for _ in range(2)] == [("first",), ("second",)]


def test_a_signal_that_is_for_the_command_does_not_end_the_launcher():
    started = Launcher()
    os.kill(started.pid, signal.SIGINT)
    assert started.map_ids() in (False, True)
    started.close()


def test_a_launcher_whose_model_has_gone_says_nothing(monkeypatch, capfd):
    gone = subprocess.Popen(["true"])
    gone.wait()
    monkeypatch.setattr(os, "getpid", lambda: gone.pid)
    started = Launcher()
    with pytest.raises(MountError):
        started.map_ids()
    started.close()
    assert capfd.readouterr().err == ""


def test_an_init_whose_launcher_has_gone_does_nothing():
    gone = subprocess.Popen(["true"])
    pidfd = os.pidfd_open(gone.pid)
    gone.wait()
    pid = os.fork()
    if pid == 0:
        try:
            launcher._init(pidfd, -1, (), [-1])
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    os.close(pidfd)


@pytest.mark.parametrize(
    ("number", "message"),
    [(0, "the mount's launcher has died"), (1, "sleep: it was killed before it began")],
    ids=["init", "command"],
)
def test_who_is_killed_before_he_is_known(mounted, monkeypatch, number, message):
    mount, pidfd_open, seen = mounted(), os.pidfd_open, []

    def late(pid):
        seen.append(pid)
        if len(seen) == number + 1:
            fd = pidfd_open(pid)
            os.kill(pid, signal.SIGKILL)
            select.select([fd], [], [])
            os.close(fd)
            while Path(f"/proc/{pid}").exists():
                pass  # not as a zombie either
        return pidfd_open(pid)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", late)
        with pytest.raises(MountError, match=message):
            mount.popen(["sleep", "1000"])
    assert mount.popen(["true"]).wait(60) == 0


LIMITED = """
import resource
from harness.machine import load_machine
from harness.mounts.process import CommandError, ProcessMount
with ProcessMount(load_machine("empty")) as mount:
    for limit in range(1, 1000):
        resource.prlimit(mount.pid, resource.RLIMIT_NPROC, (limit, 1000))
        try:
            child = mount.popen(["/bin/true"])
        except CommandError as error:
            print(error)
        else:
            print(child.wait())
            break
"""


def test_no_more_processes(as_plain_user):
    command = [*as_plain_user, sys.executable, "-c", LIMITED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert sorted(set(done.stdout.splitlines())) == [
        "/bin/true: clone: Resource temporarily unavailable",
        "/bin/true: fork: Resource temporarily unavailable",
        "0",
    ]


def test_a_mount_that_ends_while_the_launcher_opens_a_file(driver, mounted, monkeypatch, caplog):
    """That of a program that was killed meanwhile."""
    expect, close = Launcher._expect, Launcher.close
    opened, closing = threading.Event(), threading.Event()

    def late_expect(self, kind):
        if kind == "closed":
            opened.set()
            assert closing.wait(60)
            time.sleep(0.1)
        return expect(self, kind)

    def told_close(self):
        closing.set()
        close(self)

    monkeypatch.setattr(Launcher, "_expect", late_expect)
    monkeypatch.setattr(Launcher, "close", told_close)
    mount = mounted()
    mount.popen([sys.executable, "-I", "-S", "-c", f"{HEAD}call(toy, NEW)"])
    assert opened.wait(60)
    mount.__exit__(None, None, None)
    assert (driver.open, caplog.text) == ([], "")
