# SPDX-License-Identifier: Apache-2.0
"""Programs of the host that building kernels needs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.packages import PackagesError, Unavailable, one_line_errors

#: Debian's package of a program, where it has another name.
_PACKAGES = {
    "depmod": "kmod",
    "ld": "binutils",
    "tar": "tar",
    "unshare": "util-linux",
    "xz": "xz-utils",
}
#: Where a plain user does not look, but depmod is.
_FURTHER = "/usr/local/sbin:/usr/sbin:/sbin"


class BuildError(PackagesError):
    """A program that builds something failed: what, and its first complaint, in one line."""


def find(program: str) -> str | None:
    """The path of a program, those for the administrator included."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:{_FURTHER}")


def need(*programs: str) -> list[str]:
    """The paths of programs. Unavailable, with all that are missing, if one is."""
    paths = {program: find(program) for program in programs}
    missing = [_PACKAGES.get(name, name) for name, path in paths.items() if path is None]
    if missing:
        names = ", ".join(name for name, path in paths.items() if path is None)
        raise Unavailable(f"not installed: {names} (Debian: {' '.join(missing)})")
    return [path for path in paths.values() if path is not None]


def run(
    command: Sequence[str | Path],
    *,
    what: str,
    stdin: bytes = b"",
    each_line: Callable[[str], None] | None = None,
) -> bytes:
    """What a program writes. BuildError, which begins with ``what``, if it fails.

    ``each_line`` is called with each line as it comes; there can be no ``stdin`` then. The program
    and all that it started end when we are interrupted.
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
            said, _ = process.communicate(stdin or None)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        errors.seek(0)
        complaint = errors.read().decode(errors="replace")
    if process.returncode:
        raise BuildError(f"{what}: {_first_error(complaint)}")
    return said


def _first_error(complaint: str) -> str:
    """The first line that says error; compilers and make say what follows from it afterwards."""
    lines = [" ".join(line.split()) for line in complaint.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["failed without a word"])[0]
