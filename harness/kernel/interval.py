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


class IntervalMap(Generic[T]):
    """Intervals by address. A start must not change while its interval is in the map."""

    def __init__(self) -> None:
        self._chunks: list[list[T]] = []
        #: The starts of the intervals of each chunk, and those of the first ones.
        self._starts: list[list[int]] = []
        self._firsts: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        for chunk in self._chunks:
            yield from chunk

    def insert(self, interval: T) -> None:
        """Add one that overlaps none."""
        self._count += 1
        start = interval.start
        if not self._chunks:
            self._put(0, [interval], [start])
            return
        number = max(bisect_right(self._firsts, start) - 1, 0)
        chunk, starts = self._chunks[number], self._starts[number]
        place = bisect_right(starts, start)
        chunk.insert(place, interval)
        starts.insert(place, start)
        self._firsts[number] = starts[0]
        if len(chunk) > _MOST:
            # One that grows at its end stays full.
            middle = _MOST if place == _MOST else _MOST // 2
            self._put(number + 1, chunk[middle:], starts[middle:])
            del chunk[middle:], starts[middle:]

    def _put(self, number: int, chunk: list[T], starts: list[int]) -> None:
        self._chunks.insert(number, chunk)
        self._starts.insert(number, starts)
        self._firsts.insert(number, starts[0])

    def remove(self, interval: T) -> None:
        """Take one out that is there."""
        number = bisect_right(self._firsts, interval.start) - 1
        chunk, starts = self._chunks[number], self._starts[number]
        place = bisect_right(starts, interval.start) - 1
        assert chunk[place] is interval
        del chunk[place], starts[place]
        self._count -= 1
        if chunk:
            self._firsts[number] = starts[0]
        else:
            del self._chunks[number], self._starts[number], self._firsts[number]

    def clear(self) -> None:
        """Take all out."""
        for table in (self._chunks, self._starts, self._firsts):
            table.clear()
        self._count = 0

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
        if not self._chunks:
            return
        number = max(bisect_right(self._firsts, start) - 1, 0)
        place = max(bisect_right(self._starts[number], start) - 1, 0)
        while number < len(self._chunks):
            chunk = self._chunks[number]
            for position in range(place, len(chunk)):
                interval = chunk[position]
                if interval.start > last:
                    return
                if interval.last >= start:
                    yield interval
            number, place = number + 1, 0
