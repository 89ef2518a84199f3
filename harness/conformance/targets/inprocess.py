# SPDX-License-Identifier: Apache-2.0
"""The target ``inprocess``: Python's own functions in an in-process mount.

What Python has no function for goes straight to the mount's system calls: getdents, access (which
tells no error in Python), capabilities and limits.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.agent.program import FIRST_TASK, Field, Message, Op
from harness.conformance.call import Endpoint
from harness.conformance.results import ImpossibleError, NotRunnableError
from harness.conformance.targets import USERS, Target
from harness.conformance.targets.model import (
    Answer,
    KeptMachine,
    ModelEndpoint,
    ModelTask,
    stat_fields,
)
from harness.kernel.errors import Errno
from harness.kernel.system_calls import UnableError
from harness.kernel.task import LocalCaller
from harness.kernel.vfs import Stat
from harness.kernel.wait import Interruption
from harness.mounts.inprocess import InProcessMount, UnmodelledError
from harness.mounts.inprocess.mapping import BusError
from harness.uapi.fs import MAP_ANONYMOUS, RLIMIT_NOFILE

#: Addresses of the machine's mappings, which no memory has: they are no buffers.
_FIRST_MAPPING, _MAPPING_DISTANCE = 1 << 56, 1 << 44


def _python(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of the mount's modules returns; its errors as the model's."""
    try:
        return function(*arguments)
    except UnmodelledError as error:
        raise UnableError(str(error)) from None
    except OSError as error:
        raise Errno(error.errno or errno.EIO) from None


def _fields(found: Any) -> Answer:
    return stat_fields(
        Stat(
            found.st_ino,
            found.st_mode,
            found.st_nlink,
            found.st_uid,
            found.st_gid,
            found.st_size,
            found.st_rdev,
        )
    )


class InProcessTask(ModelTask):
    """This process. Methods are named for operations, and are documented where they are made."""

    def __init__(self, endpoint: InProcessEndpoint, mount: InProcessMount) -> None:
        super().__init__(endpoint, mount.calls.caller)
        self.calls = mount.calls
        self._os: Any = mount.modules["os"]
        self._fcntl: Any = mount.modules["fcntl"]
        self._select: Any = mount.modules["select"]
        self._mmap: Any = mount.modules["mmap"]
        self._buffers: list[mmap.mmap] = []
        #: Mappings of the machine's files.
        self._mappings: dict[int, Any] = {}
        #: What was opened, to be closed when the task ends.
        self._fds: set[int] = set()
        #: Whether the read that was begun last is of a file of the host.
        self._in_host = False

    def open(self, path: bytes, flags: int, mode: int) -> Answer:
        return self._opened(_python(self._os.open, path, flags, mode))

    def _opened(self, fd: int) -> int:
        self._fds.add(fd)
        return fd

    def close(self, fd: int) -> Answer:
        _python(self._os.close, fd)
        self._fds.discard(fd)
        return 0

    def dup(self, fd: int) -> Answer:
        return self._opened(_python(self._os.dup, fd))

    def exit(self, status: int) -> Answer:
        real = self._fds - set(self.caller.descriptions)
        answer = super().exit(status)
        for fd in real:
            os.close(fd)
        self._fds.clear()
        return answer

    def read(self, fd: int, count: int) -> Answer:
        self._in_host = fd not in self.caller.descriptions
        data = _python(self._os.read, fd, count)
        return len(data), [data]

    def pread(self, fd: int, count: int, offset: int) -> Answer:
        data = _python(self._os.pread, fd, count, offset)
        return len(data), [data]

    def write(self, fd: int, data: bytes) -> Answer:
        return int(_python(self._os.write, fd, data))

    def pwrite(self, fd: int, data: bytes, offset: int) -> Answer:
        return int(_python(self._os.pwrite, fd, data, offset))

    def lseek(self, fd: int, offset: int, whence: int) -> Answer:
        return int(_python(self._os.lseek, fd, offset, whence))

    def ioctl(self, fd: int, command: int, argument: int) -> Answer:
        return int(_python(self._fcntl.ioctl, fd, command, argument))

    def eventfd(self, initial: int, flags: int) -> Answer:
        return self._opened(_python(self._os.eventfd, initial, flags))

    def memfd(self, name: bytes, flags: int) -> Answer:
        return self._opened(_python(self._os.memfd_create, name, flags))

    def poll(self, timeout: int, *pairs: int) -> Answer:
        poll = self._select.poll()
        for fd, events in zip(pairs[::2], pairs[1::2], strict=True):
            if fd >= 0:  # Python takes no others, and the kernel leaves them out.
                poll.register(fd, events)
        ready = dict(_python(poll.poll, None if timeout < 0 else timeout))
        return len(ready), [ready.get(fd, 0) for fd in pairs[::2]]

    def epoll(self, fd: int, events: int, timeout: int) -> Answer:
        with self._select.epoll() as epoll:
            _python(epoll.register, fd, events)
            ready = dict(_python(epoll.poll, None if timeout < 0 else timeout / 1000))
        return len(ready), [ready.get(fd, 0)]

    def mmap(self, length: int, prot: int, flags: int, fd: int, offset: int) -> Answer:
        if flags & MAP_ANONYMOUS:
            self._buffers.append(mmap.mmap(-1, length))
            address = ctypes.addressof(ctypes.c_char.from_buffer(self._buffers[-1]))
            # Only now: of memory that cannot be written to Python gives no address.
            ctypes.CDLL(None).mprotect(ctypes.c_void_p(address), ctypes.c_size_t(length), prot)
            return address
        mapping = _python(self._mmap.mmap, fd, length, flags, prot, mmap.ACCESS_DEFAULT, offset)
        address = max(self._mappings, default=_FIRST_MAPPING) + _MAPPING_DISTANCE
        self._mappings[address] = mapping
        return address

    def munmap(self, address: int, length: int) -> Answer:
        mapping = self._mappings.pop(address, None)
        if mapping is not None:
            mapping.close()
        return 0

    def _touch(self, address: int, count: int) -> bytes:
        mapping, offset = self._mapping(address, count)
        if mapping is None:
            return self.caller.copy_from_user(address, count)
        try:
            return bytes(mapping[offset : offset + count])
        except BusError as error:
            raise ImpossibleError(f"the end of this process: {error}") from None

    def _change(self, address: int, data: bytes) -> None:
        mapping, offset = self._mapping(address, len(data))
        if mapping is None:
            self.caller.copy_to_user(address, data)
            return
        try:
            mapping[offset : offset + len(data)] = data
        except BusError as error:
            raise ImpossibleError(f"the end of this process: {error}") from None

    def _mapping(self, address: int, count: int) -> tuple[Any, int]:
        """The machine's mapping that has all of a range, and the place in it."""
        for start, mapping in self._mappings.items():
            if start <= address and address + count <= start + len(mapping):
                return mapping, address - start
        return None, 0

    def stat(self, path: bytes) -> Answer:
        return _fields(_python(self._os.stat, path))

    def lstat(self, path: bytes) -> Answer:
        return _fields(_python(self._os.lstat, path))

    def fstat(self, fd: int) -> Answer:
        return _fields(_python(self._os.fstat, fd))

    def readlink(self, path: bytes) -> Answer:
        data = _python(self._os.readlink, path)
        return len(data), [data]

    def mkdir(self, path: bytes, mode: int) -> Answer:
        _python(self._os.mkdir, path, mode)
        return 0

    def rmdir(self, path: bytes) -> Answer:
        _python(self._os.rmdir, path)
        return 0

    def unlink(self, path: bytes) -> Answer:
        _python(self._os.unlink, path)
        return 0

    def rename(self, old: bytes, new: bytes) -> Answer:
        _python(self._os.rename, old, new)
        return 0

    def symlink(self, target: bytes, path: bytes) -> Answer:
        _python(self._os.symlink, target, path)
        return 0

    def link(self, old: bytes, new: bytes) -> Answer:
        _python(self._os.link, old, new)
        return 0

    def mknod(self, path: bytes, mode: int, rdev: int) -> Answer:
        _python(self._os.mknod, path, mode, rdev)
        return 0

    def truncate(self, path: bytes, length: int) -> Answer:
        _python(self._os.truncate, path, length)
        return 0

    def ftruncate(self, fd: int, length: int) -> Answer:
        _python(self._os.ftruncate, fd, length)
        return 0

    def chmod(self, path: bytes, mode: int) -> Answer:
        _python(self._os.chmod, path, mode)
        return 0

    def chown(self, path: bytes, uid: int, gid: int) -> Answer:
        _python(self._os.chown, path, uid, gid)
        return 0

    def interrupt(self) -> Answer:
        if self._in_host:
            raise ImpossibleError("Python begins a call on a host's file again after a signal")
        return super().interrupt()

    def setrlimit(self, resource: int, soft: int) -> Answer:
        if resource == RLIMIT_NOFILE:
            raise ImpossibleError("the fds of this process are not the case's alone")
        return super().setrlimit(resource, soft)

    def fork(self) -> Answer:
        raise ImpossibleError("a forked child has no part in an in-process mount")

    def thread(self) -> Answer:
        raise ImpossibleError("an in-process mount knows but one task")


class InProcessEndpoint(ModelEndpoint):
    """The one task that this process is."""

    def __init__(self, mount: InProcessMount) -> None:
        self.kernel = mount.calls.kernel
        self.dirty = False
        self.tasks = {FIRST_TASK: InProcessTask(self, mount)}
        self._caller = mount.calls.caller
        self._interruption = Interruption()

    def perform(self, task: int, op: Op, fields: tuple[Field, ...], seconds: float) -> Message:
        """See :class:`ModelEndpoint`. A call on a thread of its own is interrupted from another."""
        self._caller.interruption = self._interruption
        return super().perform(task, op, fields, seconds)

    def new_task(self, parent: LocalCaller) -> tuple[int, ModelTask]:
        """Nothing makes one here."""
        raise UnableError("there is but one task in this process")


class InProcessTarget(Target):
    """An in-process mount for each case."""

    name = "inprocess"
    features = frozenset({USERS})

    def __init__(self) -> None:
        self._kept = KeptMachine()

    @contextmanager
    def open(self, machine: str, profile: str) -> Iterator[Endpoint]:
        """See :class:`harness.conformance.targets.Target`."""
        loaded = self._kept.get(machine, profile)

        def cannot(reason: str) -> None:
            raise NotRunnableError(reason)

        # Tasks call the functions of the modules themselves; to find all other places takes longer
        # than most cases do.
        with InProcessMount(loaded, cannot=cannot, patched=False) as mount:
            endpoint = InProcessEndpoint(mount)
            try:
                with self._kept.used_by(endpoint):
                    yield endpoint
            finally:
                self.unknown = self._kept.unknown
