# SPDX-License-Identifier: Apache-2.0
"""Memory of a device that another device, or a program, is handed as an fd.

Source: drivers/dma-buf/dma-buf.c, 6.1. No device here takes one, so nothing ever waits for a fence;
the commands for sync files are not there.
"""

from __future__ import annotations

import errno

from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.kernel.vfs import Node, OpenFile, Pages, PollTable
from harness.uapi import dma_buf as u
from harness.uapi.fs import (
    MAP_SHARED,
    O_ACCMODE,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    POLLIN,
    POLLOUT,
    PROT_WRITE,
    SEEK_END,
    SEEK_SET,
)

#: What /proc shows before the name that a program gave.
_PREFIX = "/dmabuf:"
_INO = 1


class DmaBuf(OpenFile):
    """struct dma_buf, with ``size`` bytes, exported with ``flags`` (O_RDONLY and so on)."""

    __slots__ = ("_access",)

    def __init__(self, caller: Caller, size: int, flags: int = O_RDONLY) -> None:
        # No file type: alloc_anon_inode.
        super().__init__(Node(_PREFIX, 0o600, _INO, size), caller)
        self._access = flags & O_ACCMODE

    def read(self, caller: Caller, offset: int, count: int) -> bytes:
        """There is no method; EBADF if it is not for reading, which mounts are not told."""
        raise Errno(errno.EINVAL if self._access in (O_RDONLY, O_RDWR) else errno.EBADF)

    def write(self, caller: Caller, offset: int, data: bytes) -> int:
        """There is no method; EBADF if it is not for writing, which mounts are not told."""
        raise Errno(errno.EINVAL if self._access in (O_WRONLY, O_RDWR) else errno.EBADF)

    def lseek(self, caller: Caller, position: int, offset: int, whence: int) -> int:
        """dma_buf_llseek: no more than the size can be asked for."""
        if whence not in (SEEK_SET, SEEK_END) or offset:
            raise Errno(errno.EINVAL)
        return self.node.size if whence == SEEK_END else 0

    def poll(self, caller: Caller, table: PollTable) -> int:
        """dma_buf_poll: nobody uses it."""
        return POLLIN | POLLOUT

    def mmap(self, caller: Caller, offset: int, length: int, prot: int, flags: int) -> Pages:
        """do_mmap makes no mapping shared and writable of a file that is not, nor any of one that
        cannot be read: EACCES. Else the exporter's EINVAL."""
        writable = self._access in (O_WRONLY, O_RDWR)
        if self._access not in (O_RDONLY, O_RDWR):
            raise Errno(errno.EACCES)
        if flags & MAP_SHARED and prot & PROT_WRITE and not writable:
            raise Errno(errno.EACCES)
        raise Errno(errno.EINVAL)

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """dma_buf_ioctl."""
        if command == u.DMA_BUF_IOCTL_SYNC:
            flags = int.from_bytes(caller.copy_from_user(argument, 8), "little")
            if flags & ~u.DMA_BUF_SYNC_VALID_FLAGS_MASK or not flags & u.DMA_BUF_SYNC_RW:
                raise Errno(errno.EINVAL)
        elif command in (u.DMA_BUF_SET_NAME_A, u.DMA_BUF_SET_NAME_B):
            self._set_name(caller, argument)
        else:
            raise Errno(errno.ENOTTY)
        return 0

    def _set_name(self, caller: Caller, address: int) -> None:
        """dma_buf_set_name: EINVAL if it is too long (strndup_user)."""
        name = b""
        while not name.endswith(b"\0"):
            if len(name) == u.DMA_BUF_NAME_LEN:
                raise Errno(errno.EINVAL)
            name += caller.copy_from_user(address + len(name), 1)
        self.node.name = _PREFIX + name[:-1].decode(errors="surrogateescape")
