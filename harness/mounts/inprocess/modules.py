# SPDX-License-Identifier: Apache-2.0
"""The modules ``io`` and ``fcntl`` as code in an in-process mount has them."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import io
import os
from typing import IO, Any

from harness.mounts.inprocess.calls import InProcessCalls
from harness.mounts.inprocess.children import UnmodelledError
from harness.mounts.inprocess.copies import shallow
from harness.mounts.inprocess.fake_os import FakeOs
from harness.mounts.inprocess.files import MachineFile, check_arguments, open_flags, wrap

#: The builtin function is replaced while there is a mount.
real_open = io.open


class _FileIOType(type(io.FileIO)):  # type: ignore[misc]
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, io.FileIO | MachineFile)


def make_io(fake: FakeOs) -> Any:
    """A copy of ``io`` whose open and FileIO know the machine's files."""

    def raw(file: Any, mode: str, closefd: bool, opener: Any) -> MachineFile | None:
        """The machine's file; None if it is the host's."""
        if isinstance(file, int):
            return MachineFile(fake, file, file, mode, closefd=closefd) if fake.owns(file) else None
        if not closefd:
            raise ValueError("Cannot use closefd=False with file name")
        fd = (opener or fake.open)(file, open_flags(mode))
        if fake.owns(fd):
            return MachineFile(fake, file, fd, mode)
        os.close(fd)
        return None

    def machine_open(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> IO[Any]:
        if not fake.concerns(file, opener):
            return real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        check_arguments(mode, encoding, errors, newline)
        found = raw(file, mode, closefd, opener)
        if found is None:
            return real_open(fake.host_path(file), mode, buffering, encoding, errors, newline)
        try:
            return wrap(found, mode, buffering, encoding, errors, newline)
        except BaseException:
            found.close()
            raise

    class FileIO(io.FileIO, metaclass=_FileIOType):
        def __new__(
            cls, file: Any, mode: str = "r", closefd: bool = True, opener: Any = None
        ) -> Any:
            found = None
            if fake.concerns(file, opener):
                found = raw(file, mode, closefd, opener)
            return io.FileIO(file, mode, closefd, opener) if found is None else found

    machine_open.__name__, machine_open.__module__ = "open", "io"
    return shallow(io, {"open": machine_open, "FileIO": FileIO})


def _number(fd: Any) -> int:
    return fd if isinstance(fd, int) else int(fd.fileno())


def make_fcntl(fake: FakeOs, calls: InProcessCalls) -> Any:
    """A copy of ``fcntl``. flock and lockf are real: of a file of the machine they say EBADF."""

    def machine_ioctl(fd: Any, request: int, arg: Any = 0, mutate_flag: bool = True, /) -> Any:
        fd = _number(fd)
        if not fake.owns(fd):
            return fcntl.ioctl(fd, request, arg, mutate_flag)
        if isinstance(arg, int):
            return fake.in_machine(lambda: calls.ioctl(fd, request & 0xFFFFFFFF, arg))
        data = arg.encode() if isinstance(arg, str) else arg
        view = memoryview(data)
        writable = not view.readonly and mutate_flag
        buffer = ctypes.create_string_buffer(bytes(view), max(len(view), 1))
        address = ctypes.addressof(buffer)
        result = fake.in_machine(lambda: calls.ioctl(fd, request & 0xFFFFFFFF, address))
        if not writable:
            return buffer.raw[: view.nbytes]
        view.cast("B")[:] = buffer.raw[: view.nbytes]
        return result

    def machine_fcntl(fd: Any, command: int, arg: Any = 0, /) -> Any:
        fd = _number(fd)
        if not fake.owns(fd) or command in (fcntl.F_GETFD, fcntl.F_SETFD):
            return fcntl.fcntl(fd, command, arg)
        if command in (fcntl.F_DUPFD, fcntl.F_DUPFD_CLOEXEC):
            return fake.dup(fd)
        if command == fcntl.F_GETFL:
            return fake.in_machine(lambda: calls.caller.description(fd).flags & ~_NOT_KEPT)
        raise UnmodelledError(errno.EOPNOTSUPP, f"fcntl command {command} in an in-process mount")

    machine_ioctl.__name__, machine_ioctl.__module__ = "ioctl", "fcntl"
    machine_fcntl.__name__, machine_fcntl.__module__ = "fcntl", "fcntl"
    return shallow(fcntl, {"ioctl": machine_ioctl, "fcntl": machine_fcntl})


#: Flags that are of opening alone (do_dentry_open).
_NOT_KEPT = os.O_CREAT | os.O_EXCL | os.O_NOCTTY | os.O_TRUNC | os.O_CLOEXEC
