# SPDX-License-Identifier: Apache-2.0
"""Standard streams of a command, given as :class:`subprocess.Popen` takes them."""

from __future__ import annotations

import os
from typing import IO, Any

#: As in :mod:`subprocess`, which is slow to import.
PIPE, STDOUT, DEVNULL = -1, -2, -3

Stdio = int | IO[Any] | None


class Streams:
    """The three descriptors for the command (``fds``) and our ends of pipes (``pipes``)."""

    def __init__(self, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> None:
        self.fds: list[int] = []
        self.pipes: list[IO[bytes] | None] = []
        self._to_close: list[int] = []
        for number, stream in enumerate((stdin, stdout, stderr)):
            self._add(number, stream)

    def close_theirs(self) -> None:
        """The command has its descriptors, or will never have them."""
        for fd in self._to_close:
            os.close(fd)
        self._to_close.clear()

    def close_ours(self) -> None:
        """Nobody is at the other end of the pipes."""
        for pipe in self.pipes:
            if pipe is not None:
                pipe.close()

    def _add(self, number: int, stream: Stdio) -> None:
        ours: IO[bytes] | None = None
        if stream == PIPE:
            reading, writing = os.pipe()
            theirs, kept = (reading, writing) if number == 0 else (writing, reading)
            ours = os.fdopen(kept, "wb", 0) if number == 0 else os.fdopen(kept, "rb")
            self._to_close.append(theirs)
        elif stream == STDOUT and number == 2:
            theirs = self.fds[1]
        elif stream == DEVNULL or (stream is None and not _is_open(number)):
            theirs = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            self._to_close.append(theirs)
        elif stream is None:
            theirs = number
        else:
            theirs = stream if isinstance(stream, int) else stream.fileno()
        self.fds.append(theirs)
        self.pipes.append(ours)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
