# SPDX-License-Identifier: Apache-2.0
"""Ranges of addresses that do not overlap, found and changed in next to no time however many.

Where a kernel has a red-black tree, this is a list of short sorted lists.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Interval(Protocol):
    """Something with a place; ``last`` is its last address."""

    @property
    def start(self) -> int: ...
    @property
    def last(self) -> int: ...


T = TypeVar("T", bound=Interval)

#: A list that grows beyond this is cut in two.
_MOST = 512


def _start(interval: Interval) -> int:
    return interval.start


class IntervalMap(Generic[T]):
    """Intervals by address. A start must not change while its interval is in the map."""

    def __init__(self) -> None:
        self._chunks: list[list[T]] = []
        #: The start of the first interval of each chunk.
        self._starts: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        for chunk in self._chunks:
            yield from chunk

    def insert(self, interval: T) -> None:
        """Add one that overlaps none."""
        self._count += 1
        if not self._chunks:
            self._chunks.append([interval])
            self._starts.append(interval.start)
            return
        number = max(bisect_right(self._starts, interval.start) - 1, 0)
        chunk = self._chunks[number]
        chunk.insert(bisect_right(chunk, interval.start, key=_start), interval)
        if len(chunk) > _MOST:
            # One that grows at its end stays full.
            middle = _MOST if chunk[-1] is interval else _MOST // 2
            self._chunks.insert(number + 1, chunk[middle:])
            self._starts.insert(number + 1, chunk[middle].start)
            del chunk[middle:]
        self._starts[number] = chunk[0].start

    def remove(self, interval: T) -> None:
        """Take one out that is there."""
        number = bisect_right(self._starts, interval.start) - 1
        chunk = self._chunks[number]
        place = bisect_right(chunk, interval.start, key=_start) - 1
        assert chunk[place] is interval
        del chunk[place]
        self._count -= 1
        if chunk:
            self._starts[number] = chunk[0].start
        else:
            del self._chunks[number], self._starts[number]

    def clear(self) -> None:
        """Take all out."""
        self.__init__()  # type: ignore[misc]

    def at(self, address: int) -> T | None:
        """The one that ``address`` is in."""
        return self.first(address, address)

    def first(self, start: int, last: int) -> T | None:
        """The lowest one that has any address from ``start`` to ``last``."""
        return next(self.overlapping(start, last), None)

    def overlapping(self, start: int, last: int) -> Iterator[T]:
        """All that have any address from ``start`` to ``last``, ascending.

        The map must not change meanwhile.
        """
        number = max(bisect_right(self._starts, start) - 1, 0)
        if number >= len(self._chunks):
            return
        place = max(bisect_right(self._chunks[number], start, key=_start) - 1, 0)
        while number < len(self._chunks):
            chunk = self._chunks[number]
            for interval in chunk[place:] if place else chunk:
                if interval.start > last:
                    return
                if interval.last >= start:
                    yield interval
            number, place = number + 1, 0
