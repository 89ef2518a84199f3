# SPDX-License-Identifier: Apache-2.0
"""What can be recorded from: /sys and /proc of this kernel, a copy of them, or a packed stream.

All paths are those of the recorded system and begin with /sys or /proc. What is not there, and
what cannot be read, is None or empty; links that leave the copy lead nowhere.
"""

from __future__ import annotations

import os
import posixpath
from typing import Protocol

from harness.record.errors import RecordError

#: No file that is read has more: an attribute is a page, configuration space 4096 bytes.
_LIMIT = 4096
#: The first and the last line of a stream.
_STREAM_HEADER, _STREAM_END = "uapi-harness recording 1", "end"
_MAX_LINKS = 40


class Tree(Protocol):
    """The files of one system."""

    def real(self, path: str) -> str | None:
        """``path`` without links in it; None if there is no such thing."""

    def data(self, path: str) -> bytes | None:
        """The content of a file; None if it cannot be read."""

    def size(self, path: str) -> int:
        """How many bytes stat says that a file has; 0 for what is not there."""

    def link(self, path: str) -> str | None:
        """Where a link says that it leads, without following it."""

    def names(self, path: str) -> list[str]:
        """What is in a directory, sorted; nothing if there is none."""


def text(tree: Tree, path: str) -> str | None:
    """The content of a file as text, without white space around it."""
    data = tree.data(path)
    return None if data is None else data.decode(errors="replace").strip()


def number(tree: Tree, path: str, base: int = 10) -> int | None:
    """The number in a file; None if there is none."""
    try:
        return int(text(tree, path) or "", base)
    except ValueError:
        return None


class DirectoryTree:
    """The directories ``sys`` and ``proc`` below ``root``. RecordError if there is no ``sys``."""

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root)
        if not os.path.isdir(os.path.join(self._root, "sys")):
            raise RecordError(f"{root} has no directory sys")

    def _place(self, path: str) -> str:
        return os.path.join(self._root, path.lstrip("/"))

    def real(self, path: str) -> str | None:
        """See Tree."""
        place = os.path.realpath(self._place(path))
        top = self._root.rstrip("/")
        if not place.startswith(f"{top}/") or not os.path.exists(place):
            return None
        return place.removeprefix(top)

    def data(self, path: str) -> bytes | None:
        """See Tree."""
        real = self.real(path)
        # A copy may hold anything, such as a pipe that nobody writes to.
        if real is None or not os.path.isfile(self._place(real)):
            return None
        try:
            with open(self._place(real), "rb", buffering=0) as stream:
                # One read: what an attribute is worth at one moment.
                return stream.read(_LIMIT)
        except OSError:
            return None

    def size(self, path: str) -> int:
        """See Tree."""
        real = self.real(path)
        return 0 if real is None else os.stat(self._place(real)).st_size

    def link(self, path: str) -> str | None:
        """See Tree."""
        folder, _, name = path.rpartition("/")
        real = self.real(folder)
        try:
            return None if real is None else os.readlink(self._place(f"{real}/{name}"))
        except OSError:
            return None

    def names(self, path: str) -> list[str]:
        """See Tree."""
        real = self.real(path)
        try:
            return [] if real is None else sorted(os.listdir(self._place(real)))
        except OSError:
            return []


class StreamTree:
    """What the script ``pack.sh`` wrote. RecordError if it is something else, or cut off.

    A line is ``D PATH`` for a directory, ``L PATH -> TARGET`` for a link, or ``F SIZE HEX PATH``
    for a file, where a content that could not be read is ``-``.
    """

    def __init__(self, stream: str, name: str) -> None:
        self._links: dict[str, str] = {}
        self._files: dict[str, tuple[int, bytes | None]] = {}
        self._directories: dict[str, set[str]] = {"/": set()}
        lines = stream.splitlines()
        if lines[:1] != [_STREAM_HEADER]:
            raise RecordError(f"{name}:1: this is not what the script of --script writes")
        if lines[-1] != _STREAM_END:
            raise RecordError(f'{name}:{len(lines)}: the end is missing: no line "{_STREAM_END}"')
        for position, line in enumerate(lines[1:-1], 2):
            try:
                self._add(line)
            except ValueError:
                raise RecordError(f"{name}:{position}: not a line of a recording") from None

    def _add(self, line: str) -> None:
        """ValueError for a line that is none of ours."""
        kind, rest = line.split(" ", 1)
        if kind == "L":
            path, target = rest.split(" -> ", 1)
            self._links[path] = target
        elif kind == "F":
            size, digits, path = rest.split(" ", 2)
            self._files[path] = int(size), None if digits == "-" else bytes.fromhex(digits)
        elif kind == "D":
            path = rest
            self._directories.setdefault(path, set())
        else:
            raise ValueError(kind)
        if posixpath.normpath(path) != path or not path.startswith("/"):
            raise ValueError(path)
        while path != "/":
            above, _, name = path.rpartition("/")
            self._directories.setdefault(above or "/", set()).add(name)
            path = above or "/"

    def real(self, path: str) -> str | None:
        """See Tree."""
        names, place, left = path.split("/")[::-1], "/", _MAX_LINKS
        while names:
            name = names.pop()
            if name in ("", "."):
                continue
            place = posixpath.normpath(posixpath.join(place, name))
            if place in self._links:
                left -= 1
                if not left:
                    return None
                target = self._links[place]
                place = "/" if target.startswith("/") else posixpath.dirname(place)
                names += target.split("/")[::-1]
        return place if place in self._files or place in self._directories else None

    def _file(self, path: str) -> tuple[int, bytes | None]:
        return self._files.get(self.real(path) or "", (0, None))

    def data(self, path: str) -> bytes | None:
        """See Tree."""
        return self._file(path)[1]

    def size(self, path: str) -> int:
        """See Tree."""
        return self._file(path)[0]

    def link(self, path: str) -> str | None:
        """See Tree."""
        folder, _, name = path.rpartition("/")
        real = self.real(folder)
        return None if real is None else self._links.get(posixpath.join(real, name))

    def names(self, path: str) -> list[str]:
        """See Tree."""
        return sorted(self._directories.get(self.real(path) or "", ()))
