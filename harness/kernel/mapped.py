# SPDX-License-Identifier: Apache-2.0
"""Pages of a file in the memory of a task of this process (see :class:`LocalMemory`)."""

from __future__ import annotations

import errno

from attrs import frozen

from harness.kernel.errors import Errno
from harness.kernel.vfs import Pages

#: Widths of single accesses, widest first.
_WIDTHS = (8, 4, 2, 1)


@frozen
class MappedPages:
    """See :class:`harness.kernel.task.Area`. An access that the pages refuse is EFAULT: for the
    program itself, a signal."""

    pages: Pages
    length: int
    writable: bool
    of_device = True

    def __len__(self) -> int:
        return self.length

    def read(self, offset: int, count: int) -> bytes:
        """Of registers: one load if it is of a width that there is, else several."""
        memory, load = self.pages.memory, self.pages.load
        if memory is not None:
            return bytes(memory[offset : offset + count])
        if load is None:
            raise Errno(errno.EFAULT)
        return b"".join(load(place, width) for place, width in _accesses(offset, count))

    def write(self, offset: int, data: bytes) -> None:
        """Of registers: one store if it is of a width that there is, else several."""
        memory, store = self.pages.memory, self.pages.store
        if memory is not None:
            memory[offset : offset + len(data)] = data
            return
        if store is None:
            raise Errno(errno.EFAULT)
        for place, width in _accesses(offset, len(data)):
            store(place, data[place - offset : place - offset + width])

    def forked(self) -> MappedPages:
        """A child shares them."""
        return self


def _accesses(offset: int, count: int) -> list[tuple[int, int]]:
    """Place and width of each access."""
    found = []
    end = offset + count
    while offset < end:
        width = next(n for n in _WIDTHS if offset % n == 0 and offset + n <= end)
        found.append((offset, width))
        offset += width
    return found
