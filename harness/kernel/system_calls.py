# SPDX-License-Identifier: Apache-2.0
"""System calls: what the kernel does above node and file operations.

Open file descriptions, file positions, the last step of a path, poll. For whoever makes calls
within this process; programs of their own have a real kernel for this.
Sources: fs/{open,namei,read_write,stat,readdir,select}.c, 6.1.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Sequence
from typing import Any

from attrs import define, field

from harness.kernel.anon_inode import AnonInode
from harness.kernel.errors import Errno
from harness.kernel.eventfd import Eventfd
from harness.kernel.mapped import MappedPages
from harness.kernel.memfd import Memfd
from harness.kernel.system import Kernel
from harness.kernel.task import Credentials, HostFile, LocalCaller, lowest_fd
from harness.kernel.vfs import Changes, Node, OpenFile, Pages, PollTable, Stat, is_directory
from harness.kernel.wait import WaitQueue
from harness.uapi.fs import (
    CAP_SETUID,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_TYPE,
    O_ACCMODE,
    O_CREAT,
    O_EXCL,
    O_NOFOLLOW,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    PAGE_SIZE,
    POLLERR,
    POLLHUP,
    POLLNVAL,
    PROT_EXEC,
    PROT_WRITE,
    RLIMIT_NOFILE,
    SEEK_HOLE,
    SEEK_SET,
)

#: What each file system supports of MAP_SHARED_VALIDATE (LEGACY_MAP_MASK, MAP_TYPE aside).
_LEGACY_MAP_FLAGS = 0x7FFF0
_SIZE_MAX = (1 << 64) - 1

#: Of chown(2): leave this one alone.
UNCHANGED = -1


class UnableError(Exception):
    """There is no such thing here; the text says what."""


@define(eq=False)
class Description:
    """An open file description: position, flags and how many fds refer to it (struct file)."""

    open_file: OpenFile
    flags: int
    position: int = 0
    references: int = 1
    #: The entries of a directory, as they were when it was read from its start.
    listing: list[tuple[str, Node]] = field(factory=list)

    def check_readable(self) -> None:
        """EBADF unless it was opened for reading (vfs_read)."""
        if self.flags & O_ACCMODE not in (0, O_RDWR):
            raise Errno(errno.EBADF)

    @property
    def writable(self) -> bool:
        """Whether it was opened for writing (FMODE_WRITE)."""
        return self.flags & O_ACCMODE in (O_WRONLY, O_RDWR)

    def check_writable(self) -> None:
        """EBADF unless it was opened for writing (vfs_write)."""
        if not self.writable:
            raise Errno(errno.EBADF)


@define(eq=False)
class DescriptorCaller(LocalCaller):
    """A task within this process whose fds are open file descriptions."""

    descriptions: dict[int, Description] = field(factory=dict)
    #: Files that are mapped, by the address of the mapping.
    mapped: dict[int, Description] = field(factory=dict)

    def description(self, fd: int) -> Description:
        """EBADF if ``fd`` is not open (fdget)."""
        try:
            return self.descriptions[fd]
        except KeyError:
            raise Errno(errno.EBADF) from None

    def file(self, fd: int) -> OpenFile | HostFile:
        """See :class:`harness.kernel.task.Caller`."""
        return self.description(fd).open_file

    def install(self, open_file: OpenFile) -> int:
        """See :class:`harness.kernel.task.Caller`."""
        return self.add(Description(open_file, O_RDWR))

    def check_unused_fd(self) -> None:
        """See :class:`harness.kernel.task.Caller`."""
        self._lowest_fd()

    def add(self, description: Description) -> int:
        """Give a description the lowest free fd; EMFILE."""
        fd = self._lowest_fd()
        self.descriptions[fd] = description
        return fd

    def _lowest_fd(self) -> int:
        """0 to 2 are taken, as in any program."""
        return lowest_fd(self.descriptions, 3, self.rlimit(RLIMIT_NOFILE))


class _Queues:
    """Collects what poll methods would wait for (poll_wqueues)."""

    def __init__(self) -> None:
        self.woken = WaitQueue()
        self._queues: list[WaitQueue] = []

    def add(self, queue: WaitQueue) -> None:
        queue.add(self.woken.wake)
        self._queues.append(queue)

    def remove(self) -> None:
        for queue in self._queues:
            queue.remove(self.woken.wake)


def _parent(node: Node) -> Node:
    return node.parent if node.parent is not None else node


def may_map(opened: int, length: int, prot: int, flags: int, offset: int) -> None:
    """What is looked at before a file's own mmap method: ``opened`` are the file's flags.

    Source: arch/x86/kernel/sys_x86_64.c, do_mmap in mm/mmap.c, 6.1.
    """
    if offset % PAGE_SIZE or not length:
        raise Errno(errno.EINVAL)
    if length > _SIZE_MAX - PAGE_SIZE + 1:
        raise Errno(errno.ENOMEM)
    if offset + length > _SIZE_MAX:
        raise Errno(errno.EOVERFLOW)
    kind = flags & MAP_TYPE
    if kind not in (MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE):
        raise Errno(errno.EINVAL)
    if kind == MAP_SHARED_VALIDATE and flags & ~MAP_TYPE & ~_LEGACY_MAP_FLAGS:
        raise Errno(errno.EOPNOTSUPP)
    access = opened & O_ACCMODE
    if kind != MAP_PRIVATE and prot & PROT_WRITE and access not in (O_WRONLY, O_RDWR):
        raise Errno(errno.EACCES)
    if access not in (O_RDONLY, O_RDWR):
        raise Errno(errno.EACCES)


def path_noexec(kernel: Kernel, node: Node) -> bool:
    """Whether nothing of the file can be executed (fs/exec.c, and alloc_anon_inode in 7.2)."""
    return isinstance(node, AnonInode) and kernel.section.anon_inode_noexec


class SystemCalls:
    """System calls of one task, named as the kernel names them. All raise Errno."""

    def __init__(self, kernel: Kernel, caller: DescriptorCaller) -> None:
        self.kernel = kernel
        self.caller = caller

    # --- paths

    def _call(self, operation: str, target: Any, *arguments: Any) -> Any:
        return self.kernel.call(self.caller, operation, target, *arguments)

    def walk(self, path: str, *, follow: bool = True) -> Node:
        """The node at an absolute path."""
        return self.kernel.walk(self.caller, path, follow=follow)

    def _last(self, path: str) -> tuple[Node, str]:
        """The directory of the last name, and the name (filename_parentat)."""
        if not path:
            raise Errno(errno.ENOENT)
        directory, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            raise UnableError(f"the model takes no path that ends in {name or '/'!r} here")
        return self.walk(f"{directory}/"), name

    # --- files

    def open(self, path: str, flags: int, mode: int) -> int:
        """do_sys_openat2 (fs/open.c), do_filp_open, do_open and handle_truncate (fs/namei.c)."""
        if flags & O_PATH:
            raise UnableError("the model has no O_PATH")
        self.caller.check_unused_fd()
        node = self._node_to_open(path, flags, mode)
        description = Description(self._call("open", node, flags), flags)
        if flags & O_TRUNC:
            self._call("setattr", node, Changes(size=0))
        return self.caller.add(description)

    def _node_to_open(self, path: str, flags: int, mode: int) -> Node:
        follow = not flags & O_NOFOLLOW
        if not flags & O_CREAT:
            return self.walk(path, follow=follow)
        try:
            node = self.walk(path, follow=follow and not flags & O_EXCL)
        except Errno as error:
            if error.errno != errno.ENOENT:
                raise
            created = self._call("create", *self._last(path), mode)
            assert isinstance(created, Node)
            return created
        if flags & O_EXCL:
            raise Errno(errno.EEXIST)
        if is_directory(node):
            raise Errno(errno.EISDIR)
        return node

    def close(self, fd: int) -> None:
        """The last close of a description releases the file (fput)."""
        description = self.caller.description(fd)
        del self.caller.descriptions[fd]
        self.put(description)

    def put(self, description: Description) -> None:
        """One reference less (fput)."""
        description.references -= 1
        if not description.references:
            self.kernel.release(description.open_file)

    def dup(self, fd: int) -> int:
        """Another fd of the same description."""
        description = self.caller.description(fd)
        new = self.caller.add(description)
        description.references += 1
        return new

    def read(self, fd: int, count: int) -> bytes:
        """ksys_read: at the position, which moves on."""
        description = self.caller.description(fd)
        description.check_readable()
        data: bytes = self._call("read", description.open_file, description.position, count)
        description.position += len(data)
        return data

    def pread(self, fd: int, count: int, offset: int) -> bytes:
        """ksys_pread64: a negative offset is looked at first."""
        description = self._positioned(fd, offset)
        description.check_readable()
        data: bytes = self._call("read", description.open_file, offset, count)
        return data

    def write(self, fd: int, data: bytes) -> int:
        """ksys_write: at the position, which moves on."""
        description = self.caller.description(fd)
        description.check_writable()
        written: int = self._call("write", description.open_file, description.position, data)
        description.position += written
        return written

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        """ksys_pwrite64."""
        description = self._positioned(fd, offset)
        if description.open_file.is_seq_file and not description.writable:
            raise Errno(errno.ESPIPE)
        description.check_writable()
        return int(self._call("write", description.open_file, offset, data))

    def _positioned(self, fd: int, offset: int) -> Description:
        if offset < 0:
            raise Errno(errno.EINVAL)
        description = self.caller.description(fd)
        if not description.open_file.seekable:
            raise Errno(errno.ESPIPE)
        return description

    def lseek(self, fd: int, offset: int, whence: int) -> int:
        """ksys_lseek."""
        description = self.caller.description(fd)
        if not SEEK_SET <= whence <= SEEK_HOLE:
            raise Errno(errno.EINVAL)
        position = description.position
        new: int = self._call("lseek", description.open_file, position, offset, whence)
        description.position = new
        return new

    def ioctl(self, fd: int, command: int, argument: int) -> int:
        """vfs_ioctl. The call takes 32 bits of a command (SYSCALL_DEFINE3(ioctl), fs/ioctl.c)."""
        open_file = self.caller.description(fd).open_file
        return int(self._call("ioctl", open_file, command & 0xFFFFFFFF, argument))

    def map_file(self, length: int, prot: int, flags: int, fd: int, offset: int) -> MappedPages:
        """ksys_mmap_pgoff of a file, but for finding a place: what is to be there."""
        description = self.caller.description(fd)
        may_map(description.flags, length, prot, flags, offset)
        if prot & PROT_EXEC and path_noexec(self.kernel, description.open_file.node):
            raise Errno(errno.EPERM)
        if isinstance(description.open_file, Memfd):
            raise UnableError("the model maps no memfd")
        pages: Pages = self._call("mmap", description.open_file, offset, length, prot, flags)
        if not flags & MAP_SHARED:
            raise UnableError("the model maps no file privately")
        size = length + -length % PAGE_SIZE
        return MappedPages(pages, size, writable=bool(prot & PROT_WRITE))

    def mmap(self, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        """The same, at an address of its own. The mapping keeps the file open."""
        area = self.map_file(length, prot, flags, fd, offset)
        description = self.caller.description(fd)
        description.references += 1
        address = self.caller.address_space.map(area)
        self.caller.mapped[address] = description
        return address

    def munmap(self, address: int) -> None:
        """vm_munmap of the area that begins there; EINVAL if none does."""
        self.caller.address_space.unmap(address)
        description = self.caller.mapped.pop(address, None)
        if description is not None:
            self.put(description)

    def exit(self) -> None:
        """The end of the process: exit_mm, then exit_files (do_exit)."""
        for address in list(self.caller.mapped):
            self.munmap(address)
        for fd in list(self.caller.descriptions):
            self.close(fd)

    def fsync(self, fd: int) -> None:
        """kernfs has noop_fsync, devices have none (vfs_fsync_range)."""
        if not stat.S_ISREG(self.caller.description(fd).open_file.node.mode):
            raise Errno(errno.EINVAL)

    def eventfd(self, initial: int, flags: int) -> int:
        """do_eventfd."""
        opened = Eventfd(self.kernel, self.caller, initial, flags)
        return self.caller.add(Description(opened, O_RDWR))

    def memfd_create(self, name: str, flags: int) -> int:
        """memfd_create."""
        return self.caller.add(Description(Memfd(self.caller, name, flags), O_RDWR))

    # --- poll

    def poll_one(self, fd: int, events: int, queues: PollTable) -> int:
        """do_pollfd: what is ready of ``events``; POLLNVAL for what is no fd, nothing below 0."""
        if fd < 0:
            return 0
        description = self.caller.descriptions.get(fd)
        if description is None:
            return POLLNVAL
        mask: int = self._call("poll", description.open_file, queues)
        return mask & (events | POLLERR | POLLHUP)

    def poll(self, watched: Sequence[tuple[int, int]], timeout: int) -> list[int]:
        """do_poll of (fd, events): sleeps until something is ready, at most ``timeout`` ms; -1 for
        ever. What is ready of each."""
        queues = _Queues()
        scheduler = self.kernel.scheduler
        ready = [self.poll_one(fd, events, queues) for fd, events in watched]

        def woken() -> bool:
            ready[:] = [self._repoll(fd, events) for fd, events in watched]
            return any(ready)

        if not any(ready) and timeout:
            seconds = None if timeout < 0 else timeout / 1000
            with scheduler.lock:
                scheduler.wait(self.caller, queues.woken, woken, seconds)
        queues.remove()
        return list(ready)

    def epoll(self, fd: int, events: int, timeout: int) -> int:
        """do_epoll_ctl (fs/eventpoll.c) adds ``fd`` to an instance of its own; then epoll_wait of
        at most ``timeout`` ms: what is ready of ``events``. EPERM for what cannot be polled."""
        if not self.caller.description(fd).open_file.can_poll:
            raise Errno(errno.EPERM)
        return self.poll([(fd, events)], timeout)[0]

    def _repoll(self, fd: int, events: int) -> int:
        """The same again after a wake, with the machine's lock held already."""
        description = self.caller.descriptions[fd]
        mask = description.open_file.poll(self.caller, _Queues())
        return mask & (events | POLLERR | POLLHUP)

    # --- names

    def stat(self, path: str, *, follow: bool = True) -> Stat:
        """vfs_stat, vfs_lstat."""
        status: Stat = self._call("getattr", self.walk(path, follow=follow))
        return status

    def fstat(self, fd: int) -> Stat:
        """vfs_fstat."""
        status: Stat = self._call("getattr", self.caller.description(fd).open_file.node)
        return status

    def access(self, path: str, mode: int, *, follow: bool = True) -> None:
        """do_faccessat: the mode bits alone, whatever an open would answer."""
        node = self.walk(path, follow=follow)
        if mode:
            self._call("permission", node, mode)

    def readlink(self, path: str) -> str:
        """do_readlinkat."""
        target: str = self._call("readlink", self.walk(path, follow=False))
        return target

    def children(self, node: Node) -> list[tuple[str, Node]]:
        """What a directory shows besides ``.`` and ``..``."""
        return [(child.name, child) for child in self._call("readdir", node)]

    def iterate_dir(self, fd: int) -> list[tuple[str, Node]]:
        """The entries from the position on, ``.`` and ``..`` first. Who takes some of them moves
        the position by as many."""
        description = self.caller.description(fd)
        node = description.open_file.node
        if not is_directory(node):
            raise Errno(errno.ENOTDIR)
        if not description.position:
            dots = [(".", node), ("..", _parent(node))]
            description.listing = [*dots, *self.children(node)]
        return description.listing[description.position :]

    def mkdir(self, path: str, mode: int) -> None:
        """do_mkdirat."""
        self._call("mkdir", *self._last(path), mode)

    def rmdir(self, path: str) -> None:
        """do_rmdir."""
        self._call("rmdir", *self._last(path))

    def unlink(self, path: str) -> None:
        """do_unlinkat."""
        self._call("unlink", *self._last(path))

    def rename(self, old: str, new: str) -> None:
        """do_renameat2."""
        self._call("rename", *self._last(old), *self._last(new))

    def symlink(self, target: str, path: str) -> None:
        """do_symlinkat."""
        self._call("symlink", *self._last(path), target)

    def link(self, old: str, new: str) -> None:
        """do_linkat."""
        source = self.walk(old, follow=False)
        self._call("link", *self._last(new), source)

    def mknod(self, path: str, mode: int, rdev: int) -> None:
        """do_mknodat: a regular file is made as open makes it, but must not be there."""
        directory, name = self._last(path)
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            self._call("mknod", directory, name, mode, rdev)
            return
        self._node_to_open(path, O_CREAT | O_EXCL, mode)

    def truncate(self, path: str, length: int) -> None:
        """do_sys_truncate, vfs_truncate."""
        if length < 0:
            raise Errno(errno.EINVAL)
        node = self.walk(path)
        if is_directory(node):
            raise Errno(errno.EISDIR)
        if not stat.S_ISREG(node.mode):
            raise Errno(errno.EINVAL)
        self._call("setattr", node, Changes(size=length))

    def ftruncate(self, fd: int, length: int) -> None:
        """do_sys_ftruncate: EINVAL, not EBADF, for what was not opened for writing."""
        if length < 0:
            raise Errno(errno.EINVAL)
        description = self.caller.description(fd)
        node = description.open_file.node
        if not stat.S_ISREG(node.mode) or description.flags & O_ACCMODE not in (O_WRONLY, O_RDWR):
            raise Errno(errno.EINVAL)
        with self.kernel.lock:
            # Permission was checked at open; vfs_setattr would check it once more.
            node.setattr(self.caller, Changes(size=length))

    def change(self, path: str, changes: Changes, *, follow: bool = True) -> None:
        """chmod_common, chown_common, vfs_utimes (fs/open.c, fs/utimes.c)."""
        self._call("setattr", self.walk(path, follow=follow), changes)

    def fchange(self, fd: int, changes: Changes) -> None:
        """The same of an open file."""
        self._call("setattr", self.caller.description(fd).open_file.node, changes)

    # --- credentials

    def setuid(self, uid: int, gid: int, groups: frozenset[int]) -> None:
        """setgroups, setgid and setuid: EPERM without CAP_SETUID; no capabilities but for root."""
        if not self.caller.credentials.capable(CAP_SETUID):
            raise Errno(errno.EPERM)
        capabilities = self.caller.credentials.capabilities if uid == 0 else 0
        self.caller.credentials = Credentials(uid, gid, groups, capabilities)


def ownership(uid: int, gid: int) -> Changes:
    """What chown(2) with these asks for."""
    return Changes(uid=None if uid == UNCHANGED else uid, gid=None if gid == UNCHANGED else gid)
