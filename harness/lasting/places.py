# SPDX-License-Identifier: Apache-2.0
"""Where the keepers' sockets are, and what goes over them.

A message is that of :mod:`harness.mounts.process.launcher`. The first one of a connection says what
is wanted; the answer is ``("ok", value)`` or ``("failed", text, exit code)``:

    ("status",)                                 ("ok", (machine, profile, pid, programs))
    ("run", argv, env, cwd, uid) + [0, 1, 2]    ("ok", pid), then ("exit", status)
    ("ls" | "read" | "plug" | "unplug", what)   ("ok", lines or text)
    ("write", path, text)                       ("ok", bytes taken)
    ("uevents",)                                ("ok", lines)
    ("trace",)                                  ("line", text) until the client goes
    ("stop",)                                   nothing: the process ends

While a program runs its client may send ("signal", number); when the client goes, the program is
killed.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class LastingError(Exception):
    """What was asked of a lasting machine cannot be done; one line. ``code`` is for exit."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


def folder() -> str:
    """The folder of this user's sockets, made if it is not there."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    path = f"{runtime}/uapi-harness" if runtime else f"/tmp/uapi-harness-{os.getuid()}"
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = os.lstat(path)
    except OSError as error:
        raise LastingError(f"{path}: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise LastingError(f"{path} is not a folder of this user alone; remove it")
    return path


def socket_path(name: str) -> str:
    """The socket of the machine ``name``. LastingError for what can be no name."""
    if not _NAME.fullmatch(name):
        raise LastingError(f'"{name}" is no name: letters, digits, ".", "_" and "-", at most 64')
    return f"{folder()}/{name}.sock"


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Whether anybody listens at a socket, and that nobody does, changes while nobody else looks.

    A socket that a keeper has just bound looks like one that was left over.
    """
    place = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def names() -> list[str]:
    """The names of all sockets there are, with or without a keeper."""
    return sorted(entry[:-5] for entry in os.listdir(folder()) if entry.endswith(".sock"))
