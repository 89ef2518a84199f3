# SPDX-License-Identifier: Apache-2.0
"""Memory that is a file (mm/memfd.c, mm/shmem.c, 6.13).

A driver is given a file by a program and asks :func:`file_memory`. What it gets outlives the
program's fd. It is memory for devices only if the file is shared memory, which nobody asks before
they pin it.

:class:`Memfd` is the file for tasks within this process; those of programs are the host's.
"""

from __future__ import annotations

import errno
import stat

from harness.kernel.errors import Errno
from harness.kernel.task import Caller, HostFile, Memory
from harness.kernel.vfs import Changes, Node, OpenFile
from harness.uapi.fs import MAX_LFS_FILESIZE

_MFD_CLOEXEC, _MFD_ALLOW_SEALING = 1, 2
_NAME_MAX = 249
_INO = 1


def file_memory(file: OpenFile | HostFile) -> Memory:
    """What is in a file, by offset."""
    if isinstance(file, Memfd):
        return file.inode
    if isinstance(file, OpenFile):
        return NoMemory()
    return file.memory()


class NoMemory:
    """A file that is no shared memory."""

    def read(self, address: int, count: int) -> bytes:
        """EINVAL, as for :meth:`pin`."""
        raise Errno(errno.EINVAL)

    def write(self, address: int, data: bytes) -> None:
        """EINVAL, as for :meth:`pin`."""
        raise Errno(errno.EINVAL)

    def pin(self, address: int, count: int, *, write: bool, device: bool) -> None:
        """EINVAL (memfd_pin_folios)."""
        raise Errno(errno.EINVAL)


class MemfdInode(Node):
    """What is in the file; see :class:`harness.kernel.task.Memory`."""

    __slots__ = ("content",)

    def __init__(self, name: str) -> None:
        super().__init__(f"/memfd:{name}", stat.S_IFREG | 0o777, _INO)
        self.content = bytearray()

    @property
    def max_bytes(self) -> int:
        """As shmem_fill_super sets it."""
        return MAX_LFS_FILESIZE

    def setattr(self, caller: Caller, changes: Changes) -> None:
        """shmem_setattr: longer by zeros, or shorter."""
        super().setattr(caller, changes)
        if changes.size is not None:
            del self.content[changes.size :]
            self.content += bytes(changes.size - len(self.content))
            self.size = changes.size

    def read(self, address: int, count: int) -> bytes:
        """Zeros behind the end, which a device still has after the file was cut."""
        return bytes(self.content[address : address + count]).ljust(count, b"\0")

    def write(self, address: int, data: bytes) -> None:
        """Nothing is kept behind the end."""
        kept = data[: max(self.size - address, 0)]
        self.content[address : address + len(kept)] = kept

    def pin(self, address: int, count: int, *, write: bool, device: bool) -> None:
        """memfd_pin_folios: EINVAL behind the end."""
        if address + count > self.size:
            raise Errno(errno.EINVAL)


class Memfd(OpenFile):
    """The file, as memfd_create made it. It cannot be mapped here."""

    __slots__ = ("inode",)

    def __init__(self, caller: Caller, name: str, flags: int) -> None:
        """EINVAL for what is no flag, or too long a name (memfd_create). No huge pages."""
        if flags & ~(_MFD_CLOEXEC | _MFD_ALLOW_SEALING) or len(name) > _NAME_MAX:
            raise Errno(errno.EINVAL)
        self.inode = MemfdInode(name)
        super().__init__(self.inode, caller)

    def read(self, caller: Caller, offset: int, count: int) -> bytes:
        """shmem_file_read_iter: up to the end."""
        return bytes(self.inode.content[offset : offset + count])

    def write(self, caller: Caller, offset: int, data: bytes) -> int:
        """generic_file_write_iter: the file grows."""
        end = offset + len(data)
        if end > self.inode.size:
            self.inode.setattr(caller, Changes(size=end))
        self.inode.content[offset:end] = data
        return len(data)
