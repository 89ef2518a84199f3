# SPDX-License-Identifier: Apache-2.0
"""What programs asked a machine for and it has nothing for. The answer is the kernel's own."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from harness.kernel.trace import Event

#: The type of a terminal's commands (asm-generic/ioctls.h): libraries ask every file whether it is
#: one.
_TERMINAL = ord("T")


class UnknownUapi:
    """An observer that counts commands answered with ENOTTY, and mappings with ENODEV."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def before(self, event: Event) -> Callable[[], Any] | None:
        """Only watches."""
        return None

    def after(self, event: Event) -> None:
        """Count it, if it is one of those."""
        if event.operation == "ioctl" and event.errno == errno.ENOTTY:
            command = event.arguments[0]
            if command >> 8 & 0xFF != _TERMINAL:
                self._counts[f"ioctl {command:#x} of {event.object}"] += 1
        elif event.operation == "mmap" and event.errno == errno.ENODEV:
            self._counts[f"mmap of {event.object}"] += 1

    def lines(self) -> Iterator[str]:
        """Each once, with how often it was."""
        for what, count in sorted(self._counts.items()):
            yield f"{what} ({count} times)" if count > 1 else what
