# SPDX-License-Identifier: Apache-2.0
"""What the command line asks of lasting machines."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from harness.lasting.places import LastingError, locked, names, socket_path
from harness.mounts.process.launcher import receive, send
from harness.mounts.process.signals import PASSED_ON

#: A keeper that went away.
_GONE = (BrokenPipeError, ConnectionResetError)


def start(name: str, machine: str, profile: str | None, options: Sequence[str] = ()) -> None:
    """Start a keeper for a new machine ``name``; ``options`` are the names of its mount's.

    LastingError if it cannot be, or is there.
    """
    import subprocess  # slow, and needed only here

    path = socket_path(name)
    if _connect(path) is not None:
        raise LastingError(f"{name} is running; uapi-harness stop {name} ends it")
    if os.sep in machine or machine.endswith((".yaml", ".yml")):
        machine = os.path.abspath(machine)
    command = [sys.executable, "-m", "harness.lasting.keeper", path, machine, profile or ""]
    command += options
    keeper = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        # Not ours: what the keeper starts would hold it open when we have gone.
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
        cwd="/",  # it must not keep a file system busy
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert keeper.stdout is not None
    said = keeper.stdout.readline().strip()
    if said != "ready":
        *_, problem = said, *keeper.stdout.read().splitlines()
        status = keeper.wait()
        raise LastingError(problem or f"the keeper of {name} ended with status {status}")
    keeper.returncode = 0  # it goes on without us


def stop(name: str) -> None:
    """End a machine with all that runs in it; returns when it has gone."""
    _, _, pid, _ = control(name, "status")
    try:
        keeper = os.pidfd_open(pid)
    except ProcessLookupError:
        return  # another one has ended it
    try:
        client = _connect(socket_path(name))
        if client is not None:
            with client, suppress(*_GONE):
                send(client, ("stop",))
        # It is readable once the process has ended.
        select.select([keeper], [], [])
    finally:
        os.close(keeper)


def ps() -> list[tuple[str, str, str, int, list[str]]]:
    """Name, machine, profile, process id and running programs of each machine."""
    found = []
    for name in names():
        with suppress(LastingError):
            found.append((name, *control(name, "status")))
    return found


def control(name: str, *request: Any) -> Any:
    """Make one request; LastingError for a refusal."""
    with _talk(name) as client:
        send(client, request)
        return _value(client, name)


def follow(name: str, *request: Any) -> Iterator[str]:
    """Lines as they come, until the machine ends."""
    with _talk(name) as client:
        send(client, request)
        while True:
            message, _, _ = receive(client)
            if not message:
                return
            yield message[1]


def run_in(name: str, argv: Sequence[str], uid: int) -> int:
    """Run a program in a machine with this process's streams; returns its exit status.

    LastingError, with the exit code, if it cannot be started.
    """
    with _talk(name) as client:
        request = ("run", list(argv), dict(os.environ), _directory(), uid)
        streams = tuple(_stream(number) for number in range(3))
        # What arrives while this is sent is passed on once it was.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
        send(client, request, streams)
        for number in PASSED_ON:
            signal.signal(number, _passer(client))
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _value(client, name)
        message, _, _ = receive(client)
        if not message:
            raise LastingError(f"{name} ended while {argv[0]} ran", 125)
        return int(message[1])


def _passer(client: socket.socket) -> Any:
    def pass_on(number: int, frame: FrameType | None) -> None:
        with suppress(*_GONE):
            send(client, ("signal", number))

    return pass_on


def _stream(number: int) -> int:
    """A standard stream, or /dev/null for one that is closed."""
    try:
        os.fstat(number)
    except OSError:
        return os.open(os.devnull, os.O_RDWR)
    return number


def _directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _value(client: socket.socket, name: str) -> Any:
    message, _, _ = receive(client)
    if not message:
        raise LastingError(f"{name} has ended", 125)
    if message[0] == "failed":
        raise LastingError(message[1], message[2])
    return message[1]


@contextmanager
def _talk(name: str) -> Iterator[socket.socket]:
    """A connection to a machine; LastingError if the machine ends meanwhile."""
    with _client(name) as client:
        try:
            yield client
        except _GONE:
            raise LastingError(f"{name} has ended", 125) from None


def _client(name: str) -> socket.socket:
    client = _connect(socket_path(name))
    if client is None:
        running = ", ".join(one for one, *_ in ps()) if names() else ""
        hint = f"running: {running}" if running else f"uapi-harness start {name} makes one"
        raise LastingError(f"there is no machine {name}; {hint}")
    return client


def _connect(path: str) -> socket.socket | None:
    """A connection, or None without a keeper; the socket of one that was killed is removed."""
    try:
        return _connected(path)
    except ConnectionRefusedError:
        pass
    except OSError:
        return None
    with locked(path):
        try:
            return _connected(path)
        except ConnectionRefusedError:
            # A directory, which nobody can listen at, stays.
            with suppress(IsADirectoryError):
                os.unlink(path)
        except FileNotFoundError:
            pass
        return None


def _connected(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect(path)
    except BaseException:
        client.close()
        raise
    return client
