# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with packages, and progress, which all of this floor reports the same way."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TextIO

#: Is told what is being done, in a few words, as often as that changes.
Progress = Callable[[str], None]


class PackagesError(Exception):
    """Something with Debian's packages failed. The message is one line."""


class Unavailable(PackagesError):
    """What was asked for cannot be had here: no source, no such suite or version, no program.

    Whoever needed it is not-runnable, because of this message; nothing is broken.
    """


def silent(what: str) -> None:
    """A Progress that says nothing."""


class ProgressLine:
    """A Progress on one line of a terminal, which is rewritten; nothing where there is none."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = stream.isatty()

    def __call__(self, what: str) -> None:
        if self._shown:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{what[:width]}")
            self._stream.flush()

    def close(self) -> None:
        """Leave an empty line for what comes next."""
        self("")
