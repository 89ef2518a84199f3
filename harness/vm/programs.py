# SPDX-License-Identifier: Apache-2.0
"""Programs of the host that building kernels needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import packages
from harness.packages import PackagesError, Unavailable

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

    See :func:`harness.packages.run`.
    """
    ended = packages.run(command, stdin=stdin, each_line=each_line)
    if ended.status:
        raise BuildError(f"{what}: {_first_error(ended.complaint)}")
    return ended.output


def _first_error(complaint: list[str]) -> str:
    """The first line that says error; compilers and make say what follows from it afterwards."""
    errors = [line for line in complaint if "error" in line.lower()]
    return (errors or complaint or ["failed without a word"])[0]
