# SPDX-License-Identifier: Apache-2.0
"""The module ``mmap`` as code in an in-process mount has it. Source: CPython's mmapmodule.c."""

from __future__ import annotations

import mmap
import os
import stat
from typing import TYPE_CHECKING, Any

from harness.kernel.errors import Errno
from harness.kernel.mapped import MappedPages
from harness.kernel.system_calls import Description
from harness.mounts.inprocess.copies import shallow
from harness.uapi.fs import MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE

if TYPE_CHECKING:
    from harness.mounts.inprocess.calls import InProcessCalls
    from harness.mounts.inprocess.fake_os import FakeOs

_READ_WRITE = PROT_READ | PROT_WRITE
#: Flags and protection by ``access``.
_ACCESS = {
    mmap.ACCESS_READ: (MAP_SHARED, PROT_READ),
    mmap.ACCESS_WRITE: (MAP_SHARED, _READ_WRITE),
    mmap.ACCESS_COPY: (MAP_PRIVATE, _READ_WRITE),
}


class MachineMapping:
    """What mmap.mmap returns for a file of the machine.

    An index or a slice of 1, 2, 4 or 8 bytes that is aligned is one access. It is no buffer: ctypes
    and memoryview take real memory only. Where a program would get SIGBUS, it raises BusError.
    """

    def __init__(
        self, calls: InProcessCalls, description: Description, area: MappedPages, length: int
    ) -> None:
        self._calls = calls
        self._description = description
        self._area = area
        self._length = length
        self._position = 0
        self.closed = False

    def __len__(self) -> int:
        self._check()
        return self._length

    def _check(self) -> None:
        if self.closed:
            raise ValueError("mmap closed or invalid")

    def load(self, offset: int, count: int) -> bytes:
        """Copy out of it, in as few accesses as can be."""
        self._check()
        with self._calls.kernel.lock:
            try:
                return self._area.read(offset, count)
            except Errno:
                raise BusError(f"SIGBUS: no memory at {offset:#x} of the mapping") from None

    def store(self, offset: int, data: bytes) -> None:
        """Copy into it, in as few accesses as can be. TypeError if it is read-only."""
        self._check()
        if not self._area.writable:
            raise TypeError("mmap can't modify a readonly memory map.")
        with self._calls.kernel.lock:
            try:
                self._area.write(offset, data)
            except Errno:
                raise BusError(f"SIGBUS: no memory at {offset:#x} of the mapping") from None

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            start, stop, step = key.indices(self._length)
            return self.load(start, max(stop - start, 0))[::1] if step == 1 else self[:][key]
        return self.load(self._index(key), 1)[0]

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, slice):
            self.store(self._index(key), bytes([value]))
            return
        start, stop, step = key.indices(self._length)
        data = bytes(value)
        if len(data) != len(range(start, stop, step)):
            raise IndexError("mmap slice assignment is wrong size")
        if step == 1:
            self.store(start, data)
            return
        for offset, byte in zip(range(start, stop, step), data, strict=True):
            self.store(offset, bytes([byte]))

    def _index(self, key: int) -> int:
        index = key + self._length if key < 0 else key
        if not 0 <= index < self._length:
            raise IndexError("mmap index out of range")
        return index

    def read(self, count: int | None = None, /) -> bytes:
        """See mmap.mmap."""
        left = self._length - self._position
        count = left if count is None or count < 0 else min(count, left)
        data = self.load(self._position, count)
        self._position += count
        return data

    def write(self, data: Any, /) -> int:
        """See mmap.mmap."""
        content = bytes(data)
        if self._position + len(content) > self._length:
            raise ValueError("data out of range")
        self.store(self._position, content)
        self._position += len(content)
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> None:
        """See mmap.mmap."""
        self._check()
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        if not 0 <= base + offset <= self._length:
            raise ValueError("seek out of range")
        self._position = base + offset

    def tell(self) -> int:
        """See mmap.mmap."""
        self._check()
        return self._position

    def flush(self, *_: int) -> None:
        """There is nothing between this and the machine."""
        self._check()

    def close(self) -> None:
        """munmap(2)."""
        if not self.closed:
            self.closed = True
            self._calls.put(self._description)

    def __enter__(self) -> MachineMapping:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class BusError(RuntimeError):
    """What would be the end of a program, by SIGBUS."""


def make_mmap(fake: FakeOs, calls: InProcessCalls) -> Any:
    """A copy of ``mmap``, whose ``mmap`` knows the machine's files."""

    class MmapType(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, mmap.mmap | MachineMapping)

    class Mmap(metaclass=MmapType):
        def __new__(
            cls,
            fileno: int,
            length: int,
            flags: int = MAP_SHARED,
            prot: int = _READ_WRITE,
            access: int = mmap.ACCESS_DEFAULT,
            offset: int = 0,
        ) -> Any:
            if not fake.owns(fileno):
                return mmap.mmap(fileno, length, flags, prot, access, offset)
            if access != mmap.ACCESS_DEFAULT:
                if flags != MAP_SHARED or prot != _READ_WRITE:
                    raise ValueError("mmap can't specify both access and flags, prot.")
                flags, prot = _ACCESS[access]
            length = _length(fake.fstat(fileno), length, offset)
            return fake.in_machine(lambda: _map(calls, length, prot, flags, fileno, offset))

    Mmap.__name__, Mmap.__qualname__, Mmap.__module__ = "mmap", "mmap", "mmap"
    return shallow(mmap, {"mmap": Mmap})


def _length(status: Any, length: int, offset: int) -> int:
    """How much is mapped: of a regular file no more than there is, and all of it for 0."""
    if length < 0 or offset < 0:
        raise OverflowError("memory mapped length and offset must be positive")
    if not stat.S_ISREG(status.st_mode):
        return length
    if not length:
        if not status.st_size:
            raise ValueError("cannot mmap an empty file")
        if offset >= status.st_size:
            raise ValueError("mmap offset is greater than file size")
        return int(status.st_size) - offset
    if offset > status.st_size or status.st_size - offset < length:
        raise ValueError("mmap length is greater than file size")
    return length


def _map(
    calls: InProcessCalls, length: int, prot: int, flags: int, fd: int, offset: int
) -> MachineMapping:
    area = calls.map_file(length, prot, flags, fd, offset)
    description = calls.caller.description(fd)
    description.references += 1
    return MachineMapping(calls, description, area, length)
