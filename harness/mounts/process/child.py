# SPDX-License-Identifier: Apache-2.0
"""A program that was started in a mount."""

from __future__ import annotations

import logging
import os
import select
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import IO, Any

from attrs import define, field

from harness.mounts.process.errors import CommandError, MountError
from harness.mounts.process.launcher import receive
from harness.mounts.process.stdio import Streams

_log = logging.getLogger("uapi_harness")

#: The wait status of a process that SIGKILL ended.
_KILLED = signal.SIGKILL.value


@define(eq=False)
class Child:
    """A running or ended command. ``pid`` is its process id on the host.

    ``stdin``, ``stdout``, ``stderr`` are the open ends of pipes that were asked for.
    """

    argv: list[str]
    pid: int
    stdin: IO[bytes] | None = None
    stdout: IO[bytes] | None = None
    stderr: IO[bytes] | None = None
    #: Names of processes that the command left behind; they were killed.
    leftovers: list[str] = field(factory=list)
    _socket: socket.socket = field(kw_only=True)
    #: pidfds of the command and of the init above it.
    _command: int = field(kw_only=True)
    _init: int = field(kw_only=True)
    _status: int | None = field(default=None, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def __del__(self) -> None:
        for fd in (self._command, self._init):
            os.close(fd)

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, or 128+n if signal n ended the command.

        All that the command and what it left behind did has then taken effect in the machine.
        Raises TimeoutError after ``timeout`` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._lock.acquire(timeout=-1 if timeout is None else timeout):
            raise TimeoutError(f"{self.argv[0]} still runs")
        try:
            if self._status is None:
                self._await(self._socket.fileno(), deadline)
                self._status = self._end()
        finally:
            self._lock.release()
        code = os.waitstatus_to_exitcode(self._status)
        return code if code >= 0 else 128 - code

    def poll(self) -> int | None:
        """What :meth:`wait` would return, or None while the command runs."""
        try:
            return self.wait(0)
        except TimeoutError:
            return None

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        """What the command writes to stdout and stderr, until both are closed; then wait for it.

        Nothing for a stream that is no pipe. Closes stdin first, and all pipes at the end.
        Raises TimeoutError after ``timeout`` seconds, with what was read lost.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if self.stdin is not None:
            self.stdin.close()
        read: dict[int, bytearray] = {}
        with ExitStack() as stack, selectors.DefaultSelector() as selector:
            for number, pipe in enumerate((self.stdout, self.stderr)):
                read[number] = bytearray()
                if pipe is not None:
                    selector.register(stack.enter_context(pipe), selectors.EVENT_READ, read[number])
            while selector.get_map():
                ready = selector.select(_left(deadline))
                if not ready:
                    raise TimeoutError(f"{self.argv[0]} still runs")
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 16)
                    key.data.extend(data)
                    if not data:
                        selector.unregister(key.fileobj)
        self.wait(_left(deadline))
        return bytes(read[0]), bytes(read[1])

    def send_signal(self, number: int) -> None:
        """Send a signal to the command; nothing happens if it has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._command, number)

    def kill(self) -> None:
        """Send SIGKILL to the command."""
        self.send_signal(signal.SIGKILL)

    def destroy(self) -> None:
        """Kill the command with all its processes, and wait until they are gone."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._init, signal.SIGKILL)
        self.wait()

    def _await(self, fd: int, deadline: float | None) -> None:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        left = _left(deadline)
        if not poll.poll(None if left is None else left * 1000):
            raise TimeoutError(f"{self.argv[0]} still runs")

    def _end(self) -> int:
        """The wait status that the init reports; it was killed if it reports none."""
        try:
            message, _, _ = receive(self._socket)
        except ConnectionResetError:
            message = ()
        self._socket.close()
        self._await(self._init, None)  # with it, the kernel ends all processes below
        if not message:
            return _KILLED
        _, status, self.leftovers = message
        if self.leftovers:
            _log.warning("%s left behind, now killed: %s", self.argv[0], ", ".join(self.leftovers))
        return int(status)


def _left(deadline: float | None) -> float | None:
    """Seconds until then."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def start_command(
    spawn: Callable[[tuple[Any, ...], tuple[int, ...]], None],
    message: tuple[Any, ...],
    streams: Streams,
    listen: Callable[[int], None],
) -> Child:
    """Have the launcher start a command, and see it executed. Raises CommandError, MountError.

    ``listen`` is given the listener of the command's filter, if it has one.
    """
    control, theirs = socket.socketpair()
    control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    failure, failure_theirs = os.pipe()
    try:
        spawn(message, (theirs.fileno(), failure_theirs, *streams.fds))
    except BaseException:
        control.close()
        streams.close_ours()
        os.close(failure)
        raise
    finally:
        theirs.close()
        os.close(failure_theirs)
        streams.close_theirs()
    argv = [os.fsdecode(word) for word in message[0]]
    with os.fdopen(failure, "rb") as pipe:
        try:
            return _executed(argv, control, pipe, streams, listen)
        except BaseException:
            control.close()
            streams.close_ours()
            raise


def _executed(
    argv: list[str],
    control: socket.socket,
    failure: IO[bytes],
    streams: Streams,
    listen: Callable[[int], None],
) -> Child:
    with ExitStack() as opened:
        init = _introduced("init", control, listen, opened)
        command = _introduced("command", control, listen, opened)
        with suppress(BrokenPipeError):
            control.send(b"\0")
        what = failure.read().decode()
        if what:
            step, number = what.rsplit(" ", 1)
            raise CommandError(argv[0], "" if step == "exec" else f"{step}: ", int(number))
        if init is None:
            raise MountError("the mount's launcher has died")
        if command is None:
            raise MountError(f"{argv[0]}: it was killed before it began")
        opened.pop_all()
    (_, above), (pid, below) = init, command
    stdin, stdout, stderr = streams.pipes
    return Child(argv, pid, stdin, stdout, stderr, socket=control, command=below, init=above)


def _introduced(
    kind: str, control: socket.socket, listen: Callable[[int], None], opened: ExitStack
) -> tuple[int, int] | None:
    """Process id and pidfd of who sends the next message, of this ``kind``, and waits until he is
    known. None if he has died.
    """
    try:
        message, fds, pid = receive(control)
        for listener in fds:
            listen(listener)
        if message[:1] != (kind,):
            return None
        pidfd = os.pidfd_open(pid)
    except (ConnectionResetError, ProcessLookupError):
        return None
    opened.callback(os.close, pidfd)
    return pid, pidfd
