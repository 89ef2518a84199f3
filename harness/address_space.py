# SPDX-License-Identifier: Apache-2.0
"""The memory of a program, which outlives neither the program nor its exec.

``process_vm_readv(2)`` goes by process id: after an exec it would reach into the new image. So each
:class:`ProcessMemory` holds an open ``/proc/PID/mem``, which stands for one mm: once that mm is
dead, reading from it gives end of file. It is asked before each copy and never used to copy,
because it would ignore the pages' protection.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import struct
import threading
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Protocol, TypeVar

from harness.kernel.errors import Errno

_libc = ctypes.CDLL(None)
_SYS_KCMP = 312  # x86-64
_KCMP_VM = 1

# Without argtypes, and with arguments made once: ctypes takes longer to convert them than the
# kernel takes to copy.
_readv, _writev = _libc.process_vm_readv, _libc.process_vm_writev
_readv.restype = _writev.restype = ctypes.c_ssize_t
_ONE_IOVEC, _NO_FLAGS = ctypes.c_ulong(1), ctypes.c_ulong(0)
_libc.pread.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int64]
_libc.pread.restype = ctypes.c_ssize_t


class _Buffer:
    """``size`` bytes of ours to copy from and to, and before them the two iovecs of a copy."""

    _IOVECS = struct.Struct("4Q")
    _pack_into = _IOVECS.pack_into

    def __init__(self, size: int) -> None:
        memory = ctypes.create_string_buffer(self._IOVECS.size + size)
        self._memory = memory
        #: Pointers to the iovecs of our side and of the other side.
        self._here = ctypes.byref(memory)
        self._there = ctypes.byref(memory, self._IOVECS.size // 2)
        self.address = ctypes.addressof(memory) + self._IOVECS.size
        self.bytes = memoryview(memory).cast("B")[self._IOVECS.size :]

    def fill(self, pid: int, address: int, count: int) -> bool:
        """Copy from process ``pid``; whether that was all."""
        self._pack_into(self._memory, 0, self.address, count, address, count)
        copied: int = _readv(pid, self._here, _ONE_IOVEC, self._there, _ONE_IOVEC, _NO_FLAGS)
        return copied == count

    def store(self, pid: int, address: int, count: int) -> bool:
        """Copy to process ``pid``; whether that was all."""
        self._pack_into(self._memory, 0, self.address, count, address, count)
        copied: int = _writev(pid, self._here, _ONE_IOVEC, self._there, _ONE_IOVEC, _NO_FLAGS)
        return copied == count


class _Own(threading.local):
    """A buffer of each thread's own, for what is not longer than this."""

    SIZE = 4096

    def __init__(self) -> None:
        self.buffer = _Buffer(self.SIZE)


_own = _Own()


def _buffer(count: int) -> _Buffer:
    return _own.buffer if count <= _Own.SIZE else _Buffer(count)


T = TypeVar("T")


class Detour(Protocol):
    """How a function is called that waits for a program's memory.

    Memory may be what this very process has to provide, and programs hold the lock of their memory
    while they wait for us.
    """

    def __call__(self, function: Callable[..., T], /, *arguments: Any) -> T:
        """What ``function`` returns."""


def _directly(function: Callable[..., T], /, *arguments: Any) -> T:
    return function(*arguments)


class Mappings:
    """What a process may do where (/proc/PID/maps). Of the mm that it had at first."""

    def __init__(self, pid: int) -> None:
        """OSError if the process is out of reach."""
        self._maps = os.open(f"/proc/{pid}/maps", os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "_maps"):
            os.close(self._maps)

    def permit(self, address: int, count: int, *, write: bool, but: bytes | None) -> bool:
        """Whether all of the range can be read, or written to.

        And nothing of it is mapped of a file system's files; ``but`` is its number as in maps.
        """
        position, end = address, address + count
        for line in self._lines():
            span, permissions, _, file_system, _ = line.split(b" ", 4)
            start, _, last = span.partition(b"-")
            if int(last, 16) <= position:
                continue
            if int(start, 16) > position or permissions[write] not in b"rw":
                return False
            if file_system == but:
                return False
            position = int(last, 16)
            if position >= end:
                return True
        return False

    def _lines(self) -> Iterator[bytes]:
        """A page of the file at a time, as it has whole lines only."""
        os.lseek(self._maps, 0, os.SEEK_SET)
        while text := os.read(self._maps, 1 << 16):
            yield from text.splitlines()


class ProcessMemory:
    """One mm (see :class:`harness.kernel.task.AddressSpace`)."""

    _numbers = itertools.count(1)

    def __init__(self, pid: int, spaces: AddressSpaces | None = None) -> None:
        """``pid`` is a thread group's id on the host; OSError if its memory cannot be had."""
        self.pid = pid
        self._spaces = spaces
        self.locked_pages = 0
        self._number = next(self._numbers)
        self._mm = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        #: Its mappings; opened when they are first asked for, of the same mm.
        self._maps: Mappings | None = None

    def __del__(self) -> None:
        if hasattr(self, "_mm"):
            os.close(self._mm)

    @property
    def _call(self) -> Detour:
        return _directly if self._spaces is None else self._spaces.detour

    @property
    def identity(self) -> Hashable:
        """A number that no other mm of this run has."""
        return self._number

    def alive(self) -> bool:
        """Whether the program still runs in this memory."""
        return self._call(self._is_alive)

    def _if_alive(self, copy: Callable[[int, int, int], bool], address: int, count: int) -> bool:
        return self._is_alive() and copy(self.pid, address, count)

    def _is_alive(self) -> bool:
        # An error: page 0 is not mapped, but there is an mm that could map it. os.pread would raise
        # that, which takes longer than the call.
        return bool(_libc.pread(self._mm, _own.buffer.address, 1, 0) != 0)

    def shared_with(self, pid: int) -> bool:
        """Whether process ``pid`` uses this same mm, as after vfork (kcmp(2))."""
        return self.alive() and _libc.syscall(_SYS_KCMP, self.pid, pid, _KCMP_VM, 0, 0) == 0

    def read(self, address: int, count: int) -> bytes:
        """Exactly ``count`` bytes, or EFAULT."""
        buffer = _buffer(count)
        if not self._call(self._if_alive, buffer.fill, address, count):
            raise Errno(errno.EFAULT)
        return bytes(buffer.bytes[:count])

    def write(self, address: int, data: bytes) -> None:
        """Store all of ``data``, or EFAULT."""
        count = len(data)
        buffer = _buffer(count)
        buffer.bytes[:count] = data
        if not self._call(self._if_alive, buffer.store, address, count):
            raise Errno(errno.EFAULT)

    def pin(self, address: int, count: int, *, write: bool, device: bool) -> None:
        """See :class:`harness.kernel.task.AddressSpace`. Pages are not really pinned."""
        but = self._spaces.device_pages if self._spaces is not None and not device else None
        if not self._call(self._permit, address, count, write, but):
            raise Errno(errno.EFAULT)

    def _permit(self, address: int, count: int, write: bool, but: bytes | None) -> bool:
        try:
            if self._maps is None:
                self._maps = Mappings(self.pid)
            return self._maps.permit(address, count, write=write, but=but) and self._is_alive()
        except OSError:
            return False


class AddressSpaces:
    """The memories of all programs in a mount: one object for each mm."""

    def __init__(self) -> None:
        self.detour: Detour = _directly
        #: The file system whose files are devices when they are mapped, as in /proc/PID/maps.
        self.device_pages: bytes | None = None
        self._lock = threading.Lock()
        self._by_pid: dict[int, ProcessMemory] = {}

    def read(self, task: int, address: int, count: int) -> bytes:
        """Of a task that is certain to wait for us, and so has its memory: exactly ``count`` bytes,
        or EFAULT."""
        buffer = _buffer(count)
        if not self.detour(buffer.fill, task, address, count):
            raise Errno(errno.EFAULT)
        return bytes(buffer.bytes[:count])

    def write(self, task: int, address: int, data: bytes) -> None:
        """Store all of ``data`` with a task that is certain to wait for us, or EFAULT."""
        count = len(data)
        buffer = _buffer(count)
        buffer.bytes[:count] = data
        if not self.detour(buffer.store, task, address, count):
            raise Errno(errno.EFAULT)

    def known(self, pid: int) -> ProcessMemory | None:
        """That of process ``pid`` if we had it before. While it lives, the number stays taken."""
        memory = self._by_pid.get(pid)
        return memory if memory is not None and memory.alive() else None

    def of(self, pid: int) -> ProcessMemory:
        """The memory of process ``pid``; EFAULT if the process is gone or out of reach."""
        known = self.known(pid)
        if known is not None:
            return known
        with self._lock:
            self._by_pid = {pid: space for pid, space in self._by_pid.items() if space.alive()}
            for space in self._by_pid.values():
                if space.shared_with(pid):
                    return space
            try:
                self._by_pid[pid] = ProcessMemory(pid, self)
            except OSError:
                raise Errno(errno.EFAULT) from None
            return self._by_pid[pid]
