# SPDX-License-Identifier: Apache-2.0
"""Who makes a call: credentials, task, address space, and the caller every operation is given."""

from __future__ import annotations

import errno
from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol

from attrs import define, field, frozen

from harness.kernel.errors import Errno
from harness.kernel.wait import Interruption
from harness.uapi.fs import CAP_FULL_SET, PAGE_SIZE

if TYPE_CHECKING:
    from harness.kernel.eventfd import EventfdContext
    from harness.kernel.vfs import OpenFile


@frozen
class Credentials:
    """What permission checks look at (struct cred). ``capabilities`` is a bit mask."""

    uid: int = 0
    gid: int = 0
    groups: frozenset[int] = frozenset()
    capabilities: int = CAP_FULL_SET

    def capable(self, capability: int) -> bool:
        """Whether the effective set has ``capability`` (a CAP_* number)."""
        return bool(self.capabilities >> capability & 1)


@frozen
class Task:
    """A thread of a program: process id, thread id and name, as the program itself sees them."""

    pid: int
    tid: int
    comm: str


class AddressSpace(Protocol):
    """The kernel's mm: survives in those who hold it; dead or unmapped memory faults (EFAULT)."""

    @property
    def identity(self) -> Hashable:
        """Equal for two callers exactly if they share memory."""

    locked_pages: int

    def read(self, address: int, count: int) -> bytes:
        """Exactly ``count`` bytes, or EFAULT (copy_from_user)."""

    def write(self, address: int, data: bytes) -> None:
        """Store all of ``data``, or EFAULT (copy_to_user)."""

    def pin(self, address: int, count: int, *, write: bool) -> None:
        """Make sure that all pages of the range are there and can be read, or written to; EFAULT
        (pin_user_pages_remote)."""


class HostFile(Protocol):
    """A file of the host that a program passed in, such as an eventfd."""

    def eventfd_ctx_fileget(self) -> EventfdContext:
        """A hold of it, see :mod:`harness.kernel.eventfd`; EINVAL if it is no eventfd."""


class Caller(Protocol):
    """The task that makes a call, as far as the fake kernel may know it.

    Every mount implements this once; drivers never know which mount they serve and never see a
    raw fd number: they ask :meth:`file`.
    """

    @property
    def credentials(self) -> Credentials: ...
    @property
    def task(self) -> Task: ...
    @property
    def address_space(self) -> AddressSpace: ...
    @property
    def interruption(self) -> Interruption: ...
    @property
    def cwd(self) -> str:
        """The absolute path of the directory that the caller is in."""

    def on_host(self, path: str) -> str | None:
        """Where an absolute path leads that begins outside the machine's trees: None for a
        directory of the host, the path in the machine if a link of the host leads there. Errno for
        what is not there, or is no directory.
        """

    def rlimit(self, resource: int) -> int:
        """The soft limit ``resource`` (RLIMIT_*) of the calling process."""

    def file(self, fd: int) -> OpenFile | HostFile:
        """What ``fd`` of the calling process refers to; EBADF if nothing (fget)."""

    def install(self, open_file: OpenFile) -> int:
        """Give the caller a new fd. Last step of a call, after every check and copy-out."""

    def blocking(self) -> None:
        """See :class:`harness.kernel.wait.Waiting`."""


@define
class LocalMemory:
    """Memory of a task that lives in this process: buffers at made-up addresses."""

    locked_pages: int = 0
    _buffers: dict[int, bytearray | bytes] = field(factory=dict)
    _next: int = 0x7F00_0000_0000

    @property
    def identity(self) -> Hashable:
        """This very object."""
        return id(self)

    def allocate(self, size: int, *, writable: bool = True) -> int:
        """A new zeroed buffer's address; buffers never touch one another."""
        address = self._next
        size += -size % PAGE_SIZE
        self._buffers[address] = bytearray(size) if writable else bytes(size)
        self._next += size + PAGE_SIZE
        return address

    def read(self, address: int, count: int) -> bytes:
        """See :class:`AddressSpace`."""
        buffer, offset = self._find(address, count)
        return bytes(buffer[offset : offset + count])

    def write(self, address: int, data: bytes) -> None:
        """See :class:`AddressSpace`."""
        buffer, offset = self._find(address, len(data))
        if isinstance(buffer, bytes):
            raise Errno(errno.EFAULT)
        buffer[offset : offset + len(data)] = data

    def pin(self, address: int, count: int, *, write: bool) -> None:
        """See :class:`AddressSpace`."""
        buffer, _ = self._find(address, count)
        if write and isinstance(buffer, bytes):
            raise Errno(errno.EFAULT)

    def _find(self, address: int, count: int) -> tuple[bytearray | bytes, int]:
        for start, buffer in self._buffers.items():
            if start <= address and address + count <= start + len(buffer):
                return buffer, address - start
        raise Errno(errno.EFAULT)


@define
class LocalCaller:
    """A task inside this process: root by default, with an fd table and memory of its own."""

    credentials: Credentials = field(factory=Credentials)
    task: Task = field(factory=lambda: Task(pid=1, tid=1, comm="local"))
    address_space: LocalMemory = field(factory=LocalMemory)
    interruption: Interruption = field(factory=Interruption)
    files: dict[int, OpenFile] = field(factory=dict)
    limits: dict[int, int] = field(factory=dict)
    cwd: str = "/"

    def on_host(self, path: str) -> str | None:
        """There is nothing but the machine."""
        raise Errno(errno.ENOENT)

    def rlimit(self, resource: int) -> int:
        """Unlimited unless ``limits`` says otherwise."""
        return self.limits.get(resource, (1 << 64) - 1)

    def file(self, fd: int) -> OpenFile | HostFile:
        """See :class:`Caller`."""
        try:
            return self.files[fd]
        except KeyError:
            raise Errno(errno.EBADF) from None

    def install(self, open_file: OpenFile) -> int:
        """The lowest free fd, as in the kernel."""
        fd = next(n for n in range(len(self.files) + 1) if n not in self.files)
        self.files[fd] = open_file
        return fd

    def blocking(self) -> None:
        """Other tasks of a model are threads already."""
