# SPDX-License-Identifier: Apache-2.0
"""Where things are kept, and how two processes keep out of each other's way there."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import data
from harness.packages.errors import PackagesError, Progress, Unavailable

_REMEDY = "XDG_CACHE_HOME can name a folder for it"


def cache_folder() -> Path:
    """The project's part of the user's cache directory. Unavailable for a user without a home."""
    folder = data.cache_folder()
    if folder is None:
        raise Unavailable(f"this user has no home directory for a cache; {_REMEDY}")
    return Path(folder)


@contextmanager
def one_line_errors(remedy: str = "") -> Iterator[None]:
    """The system's errors as PackagesError: which file, what is the matter, what can be done."""
    try:
        yield
    except OSError as error:
        where = error.filename2 or error.filename
        said = (error.strerror or str(error)).lower()
        text = f"{where}: {said}" if where else said
        raise PackagesError(f"{text}; {remedy}" if remedy else text) from None


def need_room(folder: Path, mebibytes: int) -> None:
    """PackagesError where there is less room than that. On a full disk apt waits for ever."""
    with one_line_errors():
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free >> 20
    if free < mebibytes:
        where = f"{folder}: no space left on device"
        raise PackagesError(f"{where}: {free} MiB are free, {mebibytes} are needed")


@contextmanager
def locked(target: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock of ``target``, a file or folder of the cache that need not exist; waits for
    who has it."""
    with one_line_errors(_REMEDY):
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(f"{target}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise
            progress(f"{target.name}: waiting for another process")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A new folder that becomes ``target`` if the block ends well, and otherwise is removed.

    Only for the holder of the target's lock: what a killed process left there is removed.
    """
    partial = target.with_name(f"{target.name}.partial")
    _remove(partial)
    try:
        with one_line_errors():
            partial.mkdir(parents=True)
        yield partial
        with one_line_errors():
            _remove(target)
            partial.rename(target)
    except BaseException:
        _remove(partial)
        raise


def _remove(folder: Path) -> None:
    """Packages bring folders that their owner may not write; those too."""
    if not folder.is_dir():
        return
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            path = os.path.join(parent, name)
            if not os.path.islink(path) and not os.access(path, os.W_OK | os.X_OK):
                os.chmod(path, 0o700)
    shutil.rmtree(folder)
