# SPDX-License-Identifier: Apache-2.0
"""Small numbers for things that come and go (lib/idr.c)."""

from __future__ import annotations


class Ida:
    """Numbers in use (struct ida)."""

    def __init__(self, start: int = 0) -> None:
        self._start = start
        self._used: set[int] = set()

    def alloc(self) -> int:
        """The lowest free number (ida_alloc)."""
        number = self._start
        while number in self._used:
            number += 1
        self._used.add(number)
        return number

    def free(self, number: int) -> None:
        """Give a number back (ida_free)."""
        self._used.remove(number)
