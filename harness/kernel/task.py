# SPDX-License-Identifier: Apache-2.0
"""Who makes a call: credentials, task, address space, and the caller every operation is given."""

from __future__ import annotations

import errno
from collections.abc import Container, Hashable
from itertools import count
from typing import TYPE_CHECKING, Protocol

from attrs import define, field, frozen

from harness.kernel.errors import Errno
from harness.kernel.wait import Interruption
from harness.uapi.fs import CAP_FULL_SET, PAGE_SIZE, RLIMIT_NOFILE

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


class Memory(Protocol):
    """Bytes at addresses, which devices may be let at."""

    def read(self, address: int, count: int) -> bytes:
        """Exactly ``count`` bytes, or EFAULT (access_remote_vm)."""

    def write(self, address: int, data: bytes) -> None:
        """Store all of ``data``, or EFAULT (access_remote_vm)."""

    def pin(self, address: int, count: int, *, write: bool, device: bool) -> None:
        """Make sure that all pages of the range are there and can be read, or written to; EFAULT
        (pin_user_pages_remote). ``device``: pages of a device, which have no struct page, will do,
        too (follow_pfnmap_start)."""


class AddressSpace(Memory, Protocol):
    """The kernel's mm: survives in those who hold it; dead or unmapped memory faults (EFAULT)."""

    @property
    def identity(self) -> Hashable:
        """Equal for two callers exactly if they share memory."""

    locked_pages: int


class HostFile(Protocol):
    """A file of the host that a program passed in: an eventfd, or memory."""

    def eventfd_ctx_fileget(self) -> EventfdContext:
        """A hold of it, see :mod:`harness.kernel.eventfd`; EINVAL if it is no eventfd."""

    def memory(self) -> Memory:
        """What is in it, by offset, as long as that is held: see :mod:`harness.kernel.memfd`."""


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
    def address_space(self) -> AddressSpace:
        """For whoever keeps it longer than the call."""

    def copy_from_user(self, address: int, count: int) -> bytes:
        """Exactly ``count`` bytes of the caller's memory, or EFAULT."""

    def copy_to_user(self, address: int, data: bytes) -> None:
        """Store all of ``data`` in the caller's memory, or EFAULT."""

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

    def check_unused_fd(self) -> None:
        """EMFILE if the caller can have no further fd: where a function takes the number of what
        it is yet to open (get_unused_fd_flags)."""

    def install(self, open_file: OpenFile) -> int:
        """Give the caller a new fd. Last step of a call, after every check and copy-out."""

    def blocking(self) -> None:
        """See :class:`harness.kernel.wait.Waiting`."""


def lowest_fd(taken: Container[int], start: int, limit: int) -> int:
    """The lowest number from ``start`` on that is not taken; EMFILE if it is not below ``limit``
    (alloc_fd)."""
    fd = next(number for number in count(start) if number not in taken)
    if fd >= limit:
        raise Errno(errno.EMFILE)
    return fd


class Area(Protocol):
    """A part of the memory of a task that lives in this process (struct vm_area_struct)."""

    @property
    def writable(self) -> bool: ...
    @property
    def of_device(self) -> bool:
        """Whether its pages are a device's (VM_PFNMAP)."""

    def __len__(self) -> int: ...

    def read(self, offset: int, count: int) -> bytes:
        """A part of it; EFAULT."""

    def write(self, offset: int, data: bytes) -> None:
        """Change a part of it; EFAULT."""

    def forked(self) -> Area:
        """What a child has in its place."""


@frozen(eq=False)
class _Buffer:
    """Anonymous memory."""

    content: bytearray
    writable: bool
    of_device = False

    def __len__(self) -> int:
        return len(self.content)

    def read(self, offset: int, count: int) -> bytes:
        return bytes(self.content[offset : offset + count])

    def write(self, offset: int, data: bytes) -> None:
        self.content[offset : offset + len(data)] = data

    def forked(self) -> _Buffer:
        return _Buffer(bytearray(self.content), self.writable)


@define
class LocalMemory:
    """Memory of a task that lives in this process: areas at made-up addresses."""

    locked_pages: int = 0
    _areas: dict[int, Area] = field(factory=dict)
    _next: int = 0x7F00_0000_0000

    @property
    def identity(self) -> Hashable:
        """This very object."""
        return id(self)

    def allocate(self, size: int, *, writable: bool = True) -> int:
        """A new zeroed buffer's address."""
        return self.map(_Buffer(bytearray(size + -size % PAGE_SIZE), writable))

    def map(self, area: Area) -> int:
        """Put an area somewhere; areas never touch one another."""
        address = self._next
        self._areas[address] = area
        self._next += len(area) + -len(area) % PAGE_SIZE + PAGE_SIZE
        return address

    def unmap(self, address: int) -> None:
        """Take away the area that begins at ``address``; EINVAL if none does."""
        if self._areas.pop(address, None) is None:
            raise Errno(errno.EINVAL)

    def forked(self) -> LocalMemory:
        """What a child has: the same content, none of it locked (dup_mm)."""
        areas = {address: area.forked() for address, area in self._areas.items()}
        return LocalMemory(areas=areas, next=self._next)

    def read(self, address: int, count: int) -> bytes:
        """See :class:`AddressSpace`."""
        area, offset = self.find(address, count)
        return area.read(offset, count)

    def write(self, address: int, data: bytes) -> None:
        """See :class:`AddressSpace`."""
        area, offset = self.find(address, len(data))
        if not area.writable:
            raise Errno(errno.EFAULT)
        area.write(offset, data)

    def pin(self, address: int, count: int, *, write: bool, device: bool) -> None:
        """See :class:`AddressSpace`."""
        area, _ = self.find(address, count)
        if (write and not area.writable) or (area.of_device and not device):
            raise Errno(errno.EFAULT)

    def find(self, address: int, count: int) -> tuple[Area, int]:
        """The area that has all of a range, and the place in it; EFAULT if none has."""
        for start, area in self._areas.items():
            if start <= address and address + count <= start + len(area):
                return area, address - start
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

    def copy_from_user(self, address: int, count: int) -> bytes:
        """See :class:`Caller`."""
        return self.address_space.read(address, count)

    def copy_to_user(self, address: int, data: bytes) -> None:
        """See :class:`Caller`."""
        self.address_space.write(address, data)

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

    def check_unused_fd(self) -> None:
        """See :class:`Caller`."""
        lowest_fd(self.files, 0, self.rlimit(RLIMIT_NOFILE))

    def install(self, open_file: OpenFile) -> int:
        """The lowest free fd, as in the kernel."""
        fd = lowest_fd(self.files, 0, self.rlimit(RLIMIT_NOFILE))
        self.files[fd] = open_file
        return fd

    def blocking(self) -> None:
        """Other tasks of a model are threads already."""
