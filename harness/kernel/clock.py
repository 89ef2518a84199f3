# SPDX-License-Identifier: Apache-2.0
"""A machine's time. Virtual in model runs, so that they repeat exactly."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Monotonic time since the machine started or some earlier fixed moment."""

    def now_ns(self) -> int: ...


class VirtualClock:
    """Time that moves only when told to."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Nanoseconds since the machine's start."""
        return self._now_ns

    def advance(self, nanoseconds: int) -> None:
        """Let time pass."""
        if nanoseconds < 0:
            raise ValueError("time does not run backwards")
        self._now_ns += nanoseconds
