# SPDX-License-Identifier: Apache-2.0
"""Starting a program under a filter."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from harness.seccomp import starter
from harness.seccomp.listener import Listener
from harness.seccomp.rules import Rule, build


class StartError(Exception):
    """The program could not be started; one line."""


def start(
    argv: Sequence[str], rules: Iterable[Rule], *, pass_fds: Sequence[int] = (), **options: Any
) -> tuple[subprocess.Popen[Any], Listener]:
    """Start ``argv`` with ``options`` of subprocess.Popen, and listen to it.

    The program is killed when the calling *thread* ends, so it should be one that waits for the
    program. From the start on its system calls wait to be answered. What the program starts is
    under the filter too. Raises StartError.
    """
    path = shutil.which(argv[0])
    if path is None:
        raise StartError(f"{argv[0]}: there is no such program")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        words = [str(theirs.fileno()), str(os.getpid()), build(rules).hex(), path, *argv]
        command = [sys.executable, "-I", "-S", starter.__file__, *words]
        process = subprocess.Popen(command, pass_fds=(*pass_fds, theirs.fileno()), **options)
        theirs.close()
        process.args = list(argv)
        try:
            return process, _listener(argv[0], ours)
        except BaseException:
            with process:
                process.kill()
            raise


def _listener(program: str, control: socket.socket) -> Listener:
    """Take the listener and let the program go on. Raises StartError."""
    message, fds, _, _ = socket.recv_fds(control, 64, 1)
    if not fds:
        raise _failure(program, message)
    listener = Listener(fds[0])
    try:
        control.sendall(b"\0")
    except BrokenPipeError:
        raise _failure(program, b"") from None
    message = control.recv(64)
    if message:
        listener.close()
        raise _failure(program, message)
    return listener


def _failure(program: str, message: bytes) -> StartError:
    if not message:
        return StartError(f"{program}: its starter has died")
    what, number = message.decode().split()
    prefix = "" if what == "exec" else f"{what}: "
    return StartError(f"{program}: {prefix}{os.strerror(int(number))}")
