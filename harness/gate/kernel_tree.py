# SPDX-License-Identifier: Apache-2.0
"""A kernel's git tree at a revision, with its headers installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from harness.gate.errors import GateError, NotHere
from harness.packages import PackagesError, run


def is_kernel_tree(folder: Path) -> bool:
    """Whether this is a kernel's source."""
    return (folder / "Kbuild").is_file() and (folder / "include/uapi").is_dir()


def installed_headers(
    tree: Path, revision: str, folder: Path, progress: Callable[[str], None]
) -> Path:
    """Install the headers of ``revision`` below ``folder``; where they are. GateError."""
    for program in ("git", "make", "tar"):
        if shutil.which(program) is None:
            raise NotHere(f"no {program} here; headers of a revision are installed with it")
    source = folder / "source"
    source.mkdir()
    progress(f"{revision}: checking out")
    archive = folder / "source.tar"
    _must(["git", "-C", tree, "archive", f"--output={archive}", revision], f"git: {revision}")
    _must(["tar", "-C", source, "-xf", archive], "tar")
    archive.unlink()
    if not is_kernel_tree(source):
        raise GateError(f"{tree}: {revision} is no source of the kernel's")
    progress(f"{revision}: installing headers")
    # The target headers_install does this, and copies the result with rsync.
    _must(["make", "-s", f"-j{os.cpu_count() or 1}", "-C", source, "headers"], "make headers")
    return source / "usr/include"


def _must(command: list[str | Path], what: str) -> None:
    try:
        ended = run(command)
    except PackagesError as error:
        raise GateError(str(error)) from None
    if ended.status:
        said = ended.complaint[-1] if ended.complaint else f"status {ended.status}"
        raise GateError(f"{what}: {said}")
