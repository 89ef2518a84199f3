# SPDX-License-Identifier: Apache-2.0
"""``open`` and what it returns, for files of the machine. Sources: CPython's _io/fileio.c."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.mounts.inprocess.fake_os import FakeOs

_FLAGS = {"r": os.O_RDONLY, "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC}
_FLAGS |= {"a": os.O_WRONLY | os.O_CREAT | os.O_APPEND, "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL}


def open_flags(mode: str) -> int:
    """The flags that open(2) is given for a mode such as ``r+b``."""
    flags = _FLAGS[next(letter for letter in mode if letter in _FLAGS)]
    if "+" in mode:
        flags = flags & ~os.O_ACCMODE | os.O_RDWR
    return flags | os.O_CLOEXEC


class MachineFile(io.RawIOBase):
    """An unbuffered file, as io.FileIO: each method is one system call."""

    def __init__(
        self, calls: FakeOs, file: Any, fd: int, mode: str, *, closefd: bool = True
    ) -> None:
        self._os = calls
        self._fd = fd
        self._closefd = closefd
        self._letters = mode.replace("b", "").replace("t", "")
        self.name = file
        if "a" in mode and self.seekable():
            self.seek(0, os.SEEK_END)

    @property
    def mode(self) -> str:
        """As of FileIO, which is always binary."""
        kind = self._letters[0]
        return f"{kind}b+" if "+" in self._letters else f"{kind}b"

    @property
    def closefd(self) -> bool:
        """Whether closing this closes the fd."""
        return self._closefd

    def fileno(self) -> int:
        """The fd; ValueError once it is closed."""
        self._check()
        return self._fd

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def readable(self) -> bool:
        """Whether the mode allows reading."""
        self._check()
        return "r" in self._letters or "+" in self._letters

    def writable(self) -> bool:
        """Whether the mode allows writing."""
        self._check()
        return "r" not in self._letters or "+" in self._letters

    def seekable(self) -> bool:
        """Whether lseek works."""
        self._check()
        try:
            self._os.lseek(self._fd, 0, os.SEEK_CUR)
        except OSError:
            return False
        return True

    def isatty(self) -> bool:
        """Nothing of the machine is a terminal."""
        self._check()
        return False

    def readinto(self, buffer: Any, /) -> int:
        """read(2)."""
        if not self.readable():
            raise io.UnsupportedOperation("File not open for reading")
        view = memoryview(buffer).cast("B")
        data = self._os.read(self._fd, len(view))
        view[: len(data)] = data
        return len(data)

    def write(self, data: Any, /) -> int:
        """write(2)."""
        if not self.writable():
            raise io.UnsupportedOperation("File not open for writing")
        return self._os.write(self._fd, data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """lseek(2)."""
        self._check()
        return self._os.lseek(self._fd, offset, whence)

    def truncate(self, size: int | None = None, /) -> int:
        """ftruncate(2)."""
        if not self.writable():
            raise io.UnsupportedOperation("File not open for writing")
        size = self.tell() if size is None else size
        self._os.ftruncate(self._fd, size)
        return size

    def close(self) -> None:
        """close(2), unless the fd is somebody else's."""
        if self.closed:
            return
        super().close()
        if self._closefd:
            self._os.close(self._fd)


def wrap(
    raw: MachineFile,
    mode: str,
    buffering: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
) -> IO[Any]:
    """The buffer and the decoder that io.open puts over a raw file (_io_open_impl)."""
    binary = "b" in mode
    if buffering == 0:
        if binary:
            return raw  # type: ignore[return-value]
        raise ValueError("can't have unbuffered text I/O")
    size = io.DEFAULT_BUFFER_SIZE if buffering in (-1, 1) else buffering
    kind: Callable[..., Any] = io.BufferedReader
    if "+" in mode:
        kind = io.BufferedRandom
    elif "r" not in mode:
        kind = io.BufferedWriter
    buffered = kind(raw, size)
    if binary:
        return buffered  # type: ignore[no-any-return]
    text = io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)
    text.mode = mode  # type: ignore[misc]
    return text


def check_arguments(
    mode: str, encoding: str | None, errors: str | None, newline: str | None
) -> None:
    """ValueError for what io.open refuses before it opens anything."""
    kinds = [letter for letter in mode if letter in _FLAGS]
    if set(mode) - set("rwaxbt+") or len(set(mode)) != len(mode):
        raise ValueError(f"invalid mode: {mode!r}")
    if "b" in mode and "t" in mode:
        raise ValueError("can't have text and binary mode at once")
    if len(kinds) != 1:
        raise ValueError("must have exactly one of create/read/write/append mode")
    for name, value in (("encoding", encoding), ("errors", errors), ("newline", newline)):
        if "b" in mode and value is not None:
            raise ValueError(
                f"binary mode doesn't take {'an' if name[0] == 'e' else 'a'} {name} argument"
            )
