# SPDX-License-Identifier: Apache-2.0
"""A machine's time. Virtual in model runs, so that they repeat exactly."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Monotonic time since the machine started or some earlier fixed moment."""

    def now_ns(self) -> int: ...


class VirtualClock:
    """Time that stands still."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Nanoseconds since the machine's start."""
        return self._now_ns
