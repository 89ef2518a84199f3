# SPDX-License-Identifier: Apache-2.0
"""Programs under a filter whose system calls a test answers itself."""

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from harness.seccomp import Argument, Rule, StartError, start, starter
from harness.seccomp.rules import build

OPENAT, IOCTL, PREAD64 = 257, 16, 17
NO_SUCH = "/no/such/file"


@pytest.fixture(scope="module", autouse=True)
def _filters():
    try:
        process, listener = start(["true"], ())
    except StartError as error:
        pytest.skip(f"no seccomp listener here: {error}")
    listener.close()
    assert process.wait() == 0


def run(code, rules, answer):
    """Run Python code under a filter. What it prints, and the calls that ``answer`` was given."""
    seen = []
    command = [sys.executable, "-I", "-S", "-c", textwrap.dedent(code)]
    process, listener = start(command, rules, stdout=subprocess.PIPE, text=True)
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    with process:
        # On kernels before 6.11 the filter is in use until its last process was waited for.
        while process.poll() is None:
            for _, events in poll.poll(100):
                notification = listener.receive() if events & select.POLLIN else None
                if notification is not None:
                    seen.append(notification)
                    answer(listener, notification)
        listener.close()
        assert process.returncode == 0
        return process.stdout.read().split(), seen


class FailingOpen:
    """A rule for every openat, of which only that of one path is answered by the test."""

    RULES = (Rule(OPENAT),)
    CODE = f"""
        import os
        try:
            fd = os.open({NO_SUCH!r}, os.O_RDONLY)
            print(fd, os.get_inheritable(fd), os.read(fd, 100).decode())
        except OSError as error:
            print(error.errno)
        """

    def __init__(self, answer):
        self._answer = answer

    def __call__(self, listener, call):
        with Path(f"/proc/{call.thread}/mem").open("rb") as memory:
            memory.seek(call.arguments[1])
            is_ours = memory.read(len(NO_SUCH)) == NO_SUCH.encode()
        if is_ours:
            self._answer(listener, call)
        else:
            listener.proceed(call)


class TestAnswers:
    """Only calls on the descriptor 77 are ours, so that the interpreter's own are let pass."""

    RULES = (Rule(PREAD64, (Argument(0, 77),)),)
    CODE = """
        import os
        try:
            print(os.pread(77, 4, 5))
        except OSError as error:
            print(error.errno)
        """

    def test_value(self):
        printed, seen = run(self.CODE, self.RULES, lambda listener, call: listener.succeed(call, 0))
        assert printed == ["b''"]
        (call,) = seen
        assert (call.number, call.arguments[0], call.arguments[2:4]) == (PREAD64, 77, (4, 5))

    def test_error(self):
        def answer(listener, call):
            listener.fail(call, errno.EXDEV)

        assert run(self.CODE, self.RULES, answer)[0] == [str(errno.EXDEV)]

    def test_the_kernel_does_it(self):
        printed, seen = run(self.CODE, self.RULES, lambda listener, call: listener.proceed(call))
        assert printed == [str(errno.EBADF)]
        assert len(seen) == 1


def test_the_kernel_does_what_no_rule_is_about():
    printed, seen = run(FailingOpen.CODE, (), None)
    assert printed == [str(errno.ENOENT)]
    assert seen == []


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [
        (Argument(1, 0x3B64), [0x3B64]),
        (Argument(1, 0x3B00, mask=0xFF00), [0x3B64, 0x10003BFF]),
        (Argument(1, 0x3B65, at_least=True), [0x3C00, 0x10003BFF, 0xFFFFFFFF]),
        (Argument(1, 0x0C00, mask=0x0F00, at_least=True), [0x3C00, 0xFFFFFFFF]),
    ],
)
def test_conditions(condition, numbers):
    code = """
        import ctypes
        ioctl = ctypes.CDLL(None).ioctl
        ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong]
        for number in 0x3B64, 0x3C00, 0x10003BFF, 0x64, 0xFFFFFFFF:
            ioctl(77, number)
        """
    rules = (Rule(OPENAT, (Argument(0, 78),)), Rule(IOCTL, (Argument(0, 77), condition)))
    _, seen = run(code, rules, lambda listener, call: listener.succeed(call))
    assert [call.arguments[1] for call in seen] == numbers


def test_a_descriptor_is_installed_where_it_is_wanted(tmp_path):
    (tmp_path / "given").write_text("given")
    with (tmp_path / "given").open() as given:
        answer = FailingOpen(lambda listener, call: listener.install(call, given.fileno(), 123))
        printed, _ = run(FailingOpen.CODE, FailingOpen.RULES, answer)
    assert printed == ["123", "False", "given"]


def test_a_descriptor_above_the_programs_limit_is_refused():
    def answer(listener, call):
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            listener.install(call, 1, 1 << 30)
        listener.fail(call, errno.EMFILE)

    printed, _ = run(FailingOpen.CODE, FailingOpen.RULES, FailingOpen(answer))
    assert printed == [str(errno.EMFILE)]


def test_a_program_that_is_killed_while_it_waits():
    def answer(listener, call):
        os.kill(call.thread, signal.SIGKILL)
        while listener.is_pending(call):
            pass
        listener.succeed(call)
        listener.fail(call, errno.EIO)
        listener.proceed(call)
        listener.install(call, 1, 123)

    with pytest.raises(AssertionError, match=str(-signal.SIGKILL)):
        run(TestAnswers.CODE, TestAnswers.RULES, answer)


def test_a_listener_lasts_as_long_as_an_answer():
    """Whoever receives gives it up when the last task has gone; another may be answering yet."""
    process, listener = start(["cat", NO_SUCH], [Rule(OPENAT)], stderr=subprocess.DEVNULL)
    call = listener.receive()
    number = listener.fileno()
    answering = [listener]
    del listener
    process.kill()
    process.wait()
    assert not answering[0].is_pending(call)
    answering[0].succeed(call)
    with pytest.raises(FileNotFoundError):
        answering[0].add(call, 1)
    answering.clear()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_signals_that_the_interpreter_ignores_are_as_they_were():
    with Path("/proc/self/status").open() as status:
        ours = next(line for line in status if line.startswith("SigIgn"))
    pipe, fsz = 1 << signal.SIGPIPE - 1, 1 << signal.SIGXFSZ - 1
    process, listener = start(["grep", "SigIgn", "/proc/self/status"], (), stdout=subprocess.PIPE)
    listener.close()
    with process:
        theirs = process.stdout.read()
    assert int(theirs.split()[1], 16) == int(ours.split()[1], 16) & ~(pipe | fsz)


class TestNoStart:
    def test_no_such_program(self):
        with pytest.raises(StartError, match=r"^no-such-program: there is no such program$"):
            start(["no-such-program"], ())

    def test_no_program(self, tmp_path):
        path = tmp_path / "text"
        path.write_text("text")
        path.chmod(0o755)
        with pytest.raises(StartError, match=f"^{path}: Exec format error$"):
            start([str(path)], ())

    def test_a_program_has_one_listener_only(self):
        code = f"""
            import sys
            sys.path.insert(0, {os.path.dirname(starter.__file__)!r})
            import starter
            try:
                starter.install(bytes.fromhex({build(()).hex()!r}))
            except OSError as error:
                print(error.errno)
            """
        assert run(code, (), None)[0] == [str(errno.EBUSY)]


def test_a_starter_that_is_killed(monkeypatch):
    recv_fds, started = socket.recv_fds, []

    class Told(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    def late(*arguments):
        received = recv_fds(*arguments)
        started[0].kill()
        started[0].wait()
        return received

    monkeypatch.setattr(subprocess, "Popen", Told)
    monkeypatch.setattr(socket, "recv_fds", late)
    with pytest.raises(StartError, match=r"^true: its starter has died$"):
        start(["true"], ())


def test_the_program_does_not_outlive_its_supervisor():
    code = """
        import sys, time
        from harness.seccomp import start
        process, listener = start(["sleep", "1000"], ())
        print(process.pid, flush=True)
        time.sleep(1000)
        """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        program = os.pidfd_open(int(supervisor.stdout.readline()))
        try:
            supervisor.kill()
            supervisor.wait()
            assert select.select([program], [], [], 30)[0] == [program]
        finally:
            os.close(program)
