# SPDX-License-Identifier: Apache-2.0
"""What container, group and device files of VFIO have in common, and who calls them."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
from abc import abstractmethod
from typing import Protocol, TypeVar

from harness.address_space import ProcessMemory
from harness.kernel.errors import Errno
from harness.uapi.fs import PAGE_SIZE, PATH_MAX

_log = logging.getLogger("uapi_harness")

Structure = TypeVar("Structure", bound=ctypes.LittleEndianStructure)


class VfioFile:
    """What one or several file descriptors of the program stand for."""

    #: What it was opened by; a name in brackets if it was not opened by a path.
    path: str

    @abstractmethod
    def ioctl(self, caller: Caller, command: int, argument: int) -> int | VfioFile:
        """What the ioctl returns, where a file stands for a new descriptor of it; or Errno."""

    def read(self, offset: int, count: int) -> bytes:
        """pread64; EINVAL for files that are not for reading."""
        raise Errno(errno.EINVAL)

    def write(self, offset: int, data: bytes) -> int:
        """pwrite64: how many bytes were taken; EINVAL for files that are not for writing."""
        raise Errno(errno.EINVAL)

    def release(self) -> None:
        """One file descriptor, with all its copies, was closed."""


class Caller(Protocol):
    """The task whose call is answered."""

    @property
    def memory(self) -> ProcessMemory:
        """Its address space, or EFAULT."""

    def file(self, number: int) -> VfioFile | None:
        """What its descriptor ``number`` is; None for no file of ours, EBADF for none at all."""

    def eventfd(self, number: int) -> int:
        """A descriptor of ours for its eventfd, or EBADF, or EINVAL for another file."""


def copy_in(caller: Caller, address: int, kind: type[Structure]) -> Structure:
    """The structure at ``address``: EFAULT, or EINVAL if its ``argsz`` says it is shorter."""
    structure = kind.from_buffer_copy(caller.memory.read(address, ctypes.sizeof(kind)))
    if structure.argsz < ctypes.sizeof(kind):
        raise Errno(errno.EINVAL)
    return structure


def copy_out(caller: Caller, address: int, structure: ctypes.LittleEndianStructure) -> None:
    """Write the structure back. What the caller has room for behind it stays."""
    caller.memory.write(address, bytes(structure))


def copy_string(caller: Caller, address: int) -> str:
    """The string at ``address``: EFAULT, or EINVAL without a NUL in the first 4096 bytes."""
    data = b""
    while len(data) < PATH_MAX:
        position = address + len(data)
        data += caller.memory.read(position, PAGE_SIZE - position % PAGE_SIZE)
        text, nul, _ = data[:PATH_MAX].partition(b"\0")
        if nul:
            return os.fsdecode(text)
    raise Errno(errno.EINVAL)


def unknown(what: str, command: int) -> Errno:
    """Report a command that is not known here. Returns ENOTTY, to be raised."""
    _log.warning("VFIO: unknown ioctl %#x on a %s", command, what)
    return Errno(errno.ENOTTY)
