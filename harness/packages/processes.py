# SPDX-License-Identifier: Apache-2.0
"""Other programs: run to their end, listened to, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import frozen

from harness.packages.places import one_line_errors

#: Time for what is interrupted to put its things in order, in seconds: apt marks what it has of a
#: file so that it can go on from there.
_GRACE = 5.0


@frozen
class Ended:
    """A program that has ended: its status, what it wrote, and the lines of its complaint."""

    status: int
    output: bytes
    complaint: list[str]


def run(
    command: Sequence[str | Path],
    *,
    stdin: bytes = b"",
    each_line: Callable[[str], None] | None = None,
) -> Ended:
    """Run a program in the C locale, without a terminal. PackagesError if it cannot be started.

    With ``each_line`` that is called with what it writes, line by line as it comes; there is no
    ``stdin`` and no output then. If we are interrupted the program ends, and all that it started.
    """
    with (
        one_line_errors(),
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        ) as process,
    ):
        try:
            if each_line is not None and process.stdout is not None:
                for line in process.stdout:
                    each_line(line.decode(errors="replace"))
            output, _ = process.communicate(stdin or None)
        except BaseException:
            _end(process)
            raise
        errors.seek(0)
        complaint = errors.read().decode(errors="replace")
    lines = [" ".join(line.split()) for line in complaint.splitlines()]
    return Ended(process.returncode, output, [line for line in lines if line])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program that leads a session, and the rest of the session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        os.killpg(process.pid, signal.SIGKILL)
