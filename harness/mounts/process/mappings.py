# SPDX-License-Identifier: Apache-2.0
"""Pages of files that programs have mapped (see :class:`harness.kernel.vfs.Pages`).

The plan: a mapping of a FUSE file shows the host's page cache. A page comes into it by a READ, and
from then on we keep it the same as the machine's own memory:

* Before a call of any program reaches the machine, we fetch the pages that can be written to
  (NOTIFY_RETRIEVE) and put what programs have stored into the machine.
* After the call, what the machine has changed is put into the pages (NOTIFY_STORE), which stay
  mapped, before the call returns.

Only bytes that differ from what was last the same on both sides are passed on, in either direction.
So a store is seen by the machine at the next call of any program, and by other programs at once.
Pages of registers are taken for memory of 32-bit words, and a store of what is there already is
not seen. Where every single store counts (``Pages.doorbell``), touching the page is SIGBUS.

All methods are to be called with the machine's lock held.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from attrs import define, field

from harness.kernel.errors import Errno
from harness.kernel.vfs import Pages
from harness.uapi.fs import PAGE_SIZE

_WORD = 4
#: Pages are compared in pieces, of which most are the same.
_CHUNK = 64

#: A stretch of a file: node id, offset, data.
Stretch = tuple[int, int, bytes]


@define(eq=False)
class _Mapped:
    """What is mapped of one file: its pages by offset, and what was last given out of each."""

    ranges: list[tuple[int, Pages]] = field(factory=list)
    given: dict[int, bytes] = field(factory=dict)
    writable: bool = False

    def find(self, offset: int) -> tuple[Pages, int]:
        """The pages at ``offset`` and the place in them; EIO if that is not mapped."""
        for start, pages in reversed(self.ranges):
            if start <= offset < _end(start, pages):
                return pages, offset - start
        raise Errno(errno.EIO)


class Mappings:
    """All mapped files of a mount, by node id."""

    def __init__(self) -> None:
        self._files: dict[int, _Mapped] = {}

    def add(self, nodeid: int, offset: int, pages: Pages, *, writable: bool) -> None:
        """A program is about to map ``pages`` of the file ``nodeid``, from ``offset`` on."""
        mapped = self._files.setdefault(nodeid, _Mapped())
        mapped.ranges = [
            (start, known)
            for start, known in mapped.ranges
            if not offset <= start <= _end(start, known) <= _end(offset, pages)
        ]
        mapped.ranges.append((offset, pages))
        mapped.writable = mapped.writable or writable

    def forget(self, nodeid: int) -> None:
        """The last open file of ``nodeid`` is gone, and so are its mappings."""
        self._files.pop(nodeid, None)

    def __bool__(self) -> bool:
        return bool(self._files)

    def __contains__(self, nodeid: int) -> bool:
        return nodeid in self._files

    def fault(self, nodeid: int, offset: int, size: int) -> bytes:
        """The content of pages that a program touches; EIO if they cannot be had."""
        mapped = self._files.get(nodeid)
        if mapped is None:
            raise Errno(errno.EIO)
        content = b""
        for start in range(offset, offset + size, PAGE_SIZE):
            mapped.given[start] = page = _read(*mapped.find(start))
            content += page
        return content

    def writable(self) -> Iterator[tuple[int, int, int]]:
        """Node id, offset and size of all stretches that programs may have stored to."""
        for nodeid, mapped in self._files.items():
            if mapped.writable:
                yield from _stretches(nodeid, sorted(mapped.given))

    def stored(self, nodeid: int, offset: int, data: bytes) -> Iterator[Stretch]:
        """What programs have changed of the pages from ``offset`` on, in which is ``data`` now."""
        mapped = self._files.get(nodeid)
        if mapped is None:
            return
        for start in range(0, len(data), PAGE_SIZE):
            page, place = data[start : start + PAGE_SIZE], offset + start
            before = mapped.given.get(place)
            if before is not None and page != before:
                for at, changed in _differences(before, page, _unit(mapped.find(place)[0])):
                    yield nodeid, place + at, changed

    def store(self, nodeid: int, offset: int, data: bytes) -> None:
        """Pass on what programs have changed, within one page, as far as it is new."""
        mapped = self._files.get(nodeid)
        position = offset % PAGE_SIZE
        place = offset - position
        before = mapped.given.get(place) if mapped is not None else None
        if mapped is None or before is None:
            return
        mapped.given[place] = page = before[:position] + data + before[position + len(data) :]
        pages, first = mapped.find(place)
        for at, changed in _differences(before, page, _unit(pages)):
            _write(pages, first + at, changed)

    def changed(self) -> tuple[list[Stretch], list[tuple[int, int]]]:
        """What the machine has changed since it was given out, and pages that cannot be had any
        more (node id and offset)."""
        stores: list[Stretch] = []
        gone: list[tuple[int, int]] = []
        for nodeid, mapped in self._files.items():
            for offset, before in list(mapped.given.items()):
                try:
                    page = _read(*mapped.find(offset))
                except Errno:
                    del mapped.given[offset]
                    gone.append((nodeid, offset))
                    continue
                if page != before:
                    mapped.given[offset] = page
                    stores += [
                        (nodeid, offset + at, data) for at, data in _differences(before, page, 1)
                    ]
        return stores, gone


def _end(start: int, pages: Pages) -> int:
    """Behind the last of ``pages`` that begin at ``start`` of a file."""
    return start + -(-pages.length // PAGE_SIZE) * PAGE_SIZE


def _stretches(nodeid: int, offsets: list[int]) -> Iterator[tuple[int, int, int]]:
    """Neighbouring pages together."""
    start = end = -1
    for offset in offsets:
        if offset != end:
            if end >= 0:
                yield nodeid, start, end - start
            start = offset
        end = offset + PAGE_SIZE
    if end >= 0:
        yield nodeid, start, end - start


def _read(pages: Pages, position: int) -> bytes:
    if pages.memory is not None:
        return bytes(pages.memory[position : position + PAGE_SIZE]).ljust(PAGE_SIZE, b"\0")
    if pages.load is None or pages.doorbell:
        raise Errno(errno.EIO)
    load, end = pages.load, min(position + PAGE_SIZE, pages.length)
    words = [load(place, _WORD) for place in range(position, end, _WORD)]
    return b"".join(words).ljust(PAGE_SIZE, b"\0")


def _write(pages: Pages, position: int, data: bytes) -> None:
    """Programs' stores; what the machine refuses is lost, as on a bus."""
    if pages.memory is not None:
        pages.memory[position : position + len(data)] = data
        return
    assert pages.store is not None
    for at in range(0, len(data), _WORD):
        try:
            pages.store(position + at, data[at : at + _WORD])
        except Errno:
            return


def _unit(pages: Pages) -> int:
    """In what programs store, in bytes."""
    return 1 if pages.memory is not None else _WORD


def _differences(before: bytes, after: bytes, unit: int) -> Iterator[tuple[int, bytes]]:
    """Where two pages differ, in whole units: offset and new content of each stretch."""
    start = end = 0
    for at in range(0, PAGE_SIZE, _CHUNK):
        if before[at : at + _CHUNK] == after[at : at + _CHUNK]:
            continue
        for place in range(at, at + _CHUNK, unit):
            if before[place : place + unit] == after[place : place + unit]:
                continue
            if place != end and end:
                yield start, after[start:end]
            if place != end or not end:
                start = place
            end = place + unit
    if end:
        yield start, after[start:end]
