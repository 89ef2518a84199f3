# SPDX-License-Identifier: Apache-2.0
"""Node operations and file operations: everything a program can do arrives as one of these.

:class:`Node` and :class:`OpenFile` answer what the kernel answers for an operation that a file
system or driver does not have; subclasses override what they do have. The ``vfs_*`` functions are
the virtual file system's own part: permission checks, in the kernel's order, around a node
operation. Mounts and the model target call these through :meth:`harness.kernel.system.Kernel.call`.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Iterator
from typing import Protocol

from attrs import define, frozen

from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.kernel.wait import WaitQueue
from harness.uapi.fs import (
    CAP_DAC_OVERRIDE,
    CAP_DAC_READ_SEARCH,
    CAP_FOWNER,
    DEFAULT_POLLMASK,
    MAX_NON_LFS,
    MAY_EXEC,
    MAY_READ,
    MAY_WRITE,
    O_ACCMODE,
    O_DIRECTORY,
    O_TRUNC,
    SEEK_CUR,
    SEEK_DATA,
    SEEK_END,
    SEEK_HOLE,
)


@frozen
class Stat:
    """What stat(2) shows of a node. ``size`` in bytes, ``mode`` with the file type."""

    ino: int
    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    rdev: int = 0


@define
class Changes:
    """What a setattr asks for; None leaves a field alone."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    times: bool = False


class PollTable(Protocol):
    """Where a poll method leaves the queues that will wake it (poll_table)."""

    def add(self, queue: WaitQueue) -> None: ...


@frozen
class Pages:
    """What an mmap method returns: ``length`` bytes backed by memory, or trapped load by load.

    ``doorbell`` says that each store counts, also one of what is there already: a mount that cannot
    trap it must not let it happen.
    """

    length: int
    memory: memoryview | None = None
    load: Callable[[int, int], bytes] | None = None
    store: Callable[[int, bytes], None] | None = None
    doorbell: bool = False


class OpenFile:
    """An open file description (struct file). Offsets are kept by whoever holds it, not here.

    The defaults are the kernel's answers for a missing method.
    """

    __slots__ = ("node", "opener")

    #: lseek and pread work; False for a stream, which answers ESPIPE to both.
    seekable = True
    #: There is a method to read or to write with, so that an offset means something.
    has_data = True
    #: Opened by seq_open(), so that pwrite answers ESPIPE where the file is not open for writing.
    is_seq_file = False

    def __init__(self, node: Node, opener: Caller) -> None:
        self.node = node
        #: Credentials and memory of who opened it stay on the file.
        self.opener = opener

    def read(self, caller: Caller, offset: int, count: int) -> bytes:
        """At most ``count`` bytes; b"" at the end. No method: EINVAL (vfs_read)."""
        raise Errno(errno.EINVAL)

    def write(self, caller: Caller, offset: int, data: bytes) -> int:
        """How many bytes were taken. No method: EINVAL (vfs_write)."""
        raise Errno(errno.EINVAL)

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """The call's result. No method: ENOTTY (vfs_ioctl)."""
        raise Errno(errno.ENOTTY)

    def poll(self, caller: Caller, table: PollTable) -> int:
        """The ready mask, after leaving the queues to watch. No method: always ready (vfs_poll)."""
        return DEFAULT_POLLMASK

    @property
    def can_poll(self) -> bool:
        """Whether there is a poll method (file_can_poll)."""
        return type(self).poll is not OpenFile.poll

    def mmap(self, caller: Caller, offset: int, length: int, prot: int, flags: int) -> Pages:
        """The pages to map. No method: ENODEV (mmap_region)."""
        raise Errno(errno.ENODEV)

    def lseek(self, caller: Caller, position: int, offset: int, whence: int) -> int:
        """The new position (generic_file_llseek, vfs_llseek): all up to the size is data."""
        if not self.seekable:
            raise Errno(errno.ESPIPE)
        if whence == SEEK_CUR and offset == 0:
            return position
        if whence == SEEK_CUR:
            offset += position
        elif whence == SEEK_END:
            offset += self.node.size
        elif whence in (SEEK_DATA, SEEK_HOLE):
            if not 0 <= offset < self.node.size:
                raise Errno(errno.ENXIO)
            offset = offset if whence == SEEK_DATA else self.node.size
        if not 0 <= offset <= self.node.max_bytes:  # vfs_setpos
            raise Errno(errno.EINVAL)
        return offset

    def release(self) -> None:
        """The last reference is gone."""

    def decider(self, operation: str) -> str:
        """The kernel function that answers ``operation`` when it succeeds, for the trace."""
        return operation


class NoSeekFile(OpenFile):
    """A file with a position, but without an llseek method: lseek answers ESPIPE (vfs_llseek)."""

    __slots__ = ()

    def lseek(self, caller: Caller, position: int, offset: int, whence: int) -> int:
        """ESPIPE."""
        raise Errno(errno.ESPIPE)


class CommandFile(NoSeekFile):
    """A file that has neither: it takes commands."""

    __slots__ = ()
    has_data = False


class Node:
    """A file, directory or link (struct inode). ``parent`` is None once it was removed."""

    __slots__ = ("gid", "ino", "mode", "name", "parent", "size", "transient", "uid")

    #: Whether programs may map pages of it that lie behind its size.
    mappable = False

    def __init__(self, name: str, mode: int, ino: int, size: int = 0) -> None:
        self.name = name
        #: File type and permission bits.
        self.mode = mode
        self.ino = ino
        self.size = size
        self.uid = 0
        self.gid = 0
        self.parent: Node | None = None
        #: Whether it goes when some program closes a file. No mount hears of that before the
        #: program goes on, so such a node, and all below it, is to be looked up each time.
        self.transient = False

    @property
    def max_bytes(self) -> int:
        """Where its file system's files end, and lseek with them (s_maxbytes; alloc_super)."""
        return MAX_NON_LFS

    def path(self) -> str:
        """The absolute path, ``/sys/...``; a removed node's begins with its own name."""
        names = []
        node: Node | None = self
        while node is not None:
            names.append(node.name)
            node = node.parent
        return "/".join(reversed(names)) or "/"

    def getattr(self, caller: Caller) -> Stat:
        """What stat(2) shows."""
        return Stat(self.ino, self.mode, self.nlink, self.uid, self.gid, self.size, self.rdev)

    @property
    def settled(self) -> bool:
        """Whether what getattr shows stays the same when some program closes a file."""
        return not self.transient

    @property
    def nlink(self) -> int:
        """Link count."""
        return 1

    @property
    def rdev(self) -> int:
        """Device number of a device node."""
        return 0

    def setattr(self, caller: Caller, changes: Changes) -> None:
        """Apply changes whose permission was checked. Sizes and times are accepted, unused."""
        if changes.mode is not None:
            self.mode = stat.S_IFMT(self.mode) | stat.S_IMODE(changes.mode)
        if changes.uid is not None:
            self.uid = changes.uid
        if changes.gid is not None:
            self.gid = changes.gid

    def lookup(self, caller: Caller, name: str) -> Node:
        """The child ``name``: ENOENT if there is none, ENOTDIR if this is no directory."""
        raise Errno(errno.ENOTDIR)

    def readdir(self, caller: Caller) -> list[Node]:
        """All children in the kernel's order, without ``.`` and ``..``."""
        raise Errno(errno.ENOTDIR)

    def readlink(self, caller: Caller) -> str:
        """A link's target; EINVAL for anything else (do_readlinkat)."""
        raise Errno(errno.EINVAL)

    def open(self, caller: Caller, flags: int) -> OpenFile:
        """A new open file; permission by mode bits was checked. ENXIO if it cannot be opened."""
        raise Errno(errno.ENXIO)

    # What a file system without the method answers: fs/namei.c, 6.1.

    def create(self, caller: Caller, name: str, mode: int) -> Node:
        """open(O_CREAT) of a new name: EACCES (lookup_open)."""
        raise Errno(errno.EACCES)

    def mkdir(self, caller: Caller, name: str, mode: int) -> Node:
        """EPERM (vfs_mkdir)."""
        raise Errno(errno.EPERM)

    def rmdir(self, caller: Caller, name: str) -> None:
        """EPERM (vfs_rmdir)."""
        raise Errno(errno.EPERM)

    def symlink(self, caller: Caller, name: str, target: str) -> Node:
        """EPERM (vfs_symlink)."""
        raise Errno(errno.EPERM)

    def mknod(self, caller: Caller, name: str, mode: int, rdev: int) -> Node:
        """EPERM (vfs_mknod)."""
        raise Errno(errno.EPERM)

    def link(self, caller: Caller, name: str, target: Node) -> Node:
        """EPERM (vfs_link)."""
        raise Errno(errno.EPERM)

    def unlink(self, caller: Caller, name: str) -> None:
        """EPERM (vfs_unlink)."""
        raise Errno(errno.EPERM)

    def rename(self, caller: Caller, name: str, new_parent: Node, new_name: str) -> None:
        """EPERM (vfs_rename)."""
        raise Errno(errno.EPERM)


def is_directory(node: Node) -> bool:
    """Whether ``node`` is a directory."""
    return stat.S_ISDIR(node.mode)


def is_link(node: Node) -> bool:
    """Whether ``node`` is a symbolic link."""
    return stat.S_ISLNK(node.mode)


def ancestors(node: Node) -> Iterator[Node]:
    """``node`` and then each parent up to the root."""
    current: Node | None = node
    while current is not None:
        yield current
        current = current.parent


def vfs_permission(caller: Caller, node: Node, mask: int) -> None:
    """EACCES unless ``mask`` (MAY_*) is granted (generic_permission, acl_permission_check)."""
    mode = node.mode
    if mask & ~(mode >> 6 & mode >> 3 & mode) == 0:
        return  # everybody may, so there is no need to look who asks
    credentials = caller.credentials
    if credentials.uid == node.uid:
        bits = mode >> 6
    elif credentials.gid == node.gid or node.gid in credentials.groups:
        bits = mode >> 3
    else:
        bits = mode
    if mask & ~bits & 7 == 0:
        return
    if stat.S_ISDIR(mode):
        if not mask & MAY_WRITE and credentials.capable(CAP_DAC_READ_SEARCH):
            return
        if credentials.capable(CAP_DAC_OVERRIDE):
            return
    else:
        if mask == MAY_READ and credentials.capable(CAP_DAC_READ_SEARCH):
            return
        if (not mask & MAY_EXEC or mode & 0o111) and credentials.capable(CAP_DAC_OVERRIDE):
            return
    raise Errno(errno.EACCES)


_OPEN_MASK = {0: MAY_READ, 1: MAY_WRITE, 2: MAY_READ | MAY_WRITE, 3: MAY_READ | MAY_WRITE}


def vfs_open(caller: Caller, node: Node, flags: int) -> OpenFile:
    """Open ``node``: the checks of may_open, then the node's own (do_open, fs/namei.c 6.1)."""
    mode = node.mode
    if stat.S_ISLNK(mode):
        raise Errno(errno.ELOOP)
    mask = _OPEN_MASK[flags & O_ACCMODE]
    if stat.S_ISDIR(mode):
        if mask & MAY_WRITE:
            raise Errno(errno.EISDIR)
    elif flags & O_DIRECTORY:
        raise Errno(errno.ENOTDIR)
    if flags & O_TRUNC:
        mask |= MAY_WRITE
    vfs_permission(caller, node, mask)
    return node.open(caller, flags)


def vfs_lookup(caller: Caller, node: Node, name: str) -> Node:
    """One step of a path walk: ENOTDIR, EACCES without search permission, then the directory's."""
    if not is_directory(node):
        raise Errno(errno.ENOTDIR)
    vfs_permission(caller, node, MAY_EXEC)
    return node.lookup(caller, name)


def vfs_readdir(caller: Caller, node: Node) -> list[Node]:
    """All children of a directory that could be opened."""
    return node.readdir(caller)


def vfs_getattr(caller: Caller, node: Node) -> Stat:
    """stat(2) needs no permission on the node itself."""
    return node.getattr(caller)


def vfs_readlink(caller: Caller, node: Node) -> str:
    """The target of a link; EINVAL for anything else."""
    return node.readlink(caller)


def vfs_setattr(caller: Caller, node: Node, changes: Changes) -> None:
    """chmod, chown, truncate, utimes with the checks of setattr_prepare (fs/attr.c 6.1)."""
    credentials = caller.credentials
    owner = credentials.uid == node.uid or credentials.capable(CAP_FOWNER)
    if changes.size is not None:
        vfs_permission(caller, node, MAY_WRITE)
    if (changes.uid is not None or changes.gid is not None) and not (
        credentials.capable(0) or (owner and changes.uid in (None, node.uid))
    ):
        raise Errno(errno.EPERM)
    if (changes.mode is not None or changes.times) and not owner:
        raise Errno(errno.EPERM)
    node.setattr(caller, changes)


def _has(caller: Caller, directory: Node, name: str) -> Node | None:
    try:
        return vfs_lookup(caller, directory, name)
    except Errno as error:
        if error.errno == errno.ENOENT:
            return None
        raise


def _may_create(caller: Caller, directory: Node, name: str) -> None:
    """EEXIST before anything else (filename_create), then write permission (may_create)."""
    if _has(caller, directory, name) is not None:
        raise Errno(errno.EEXIST)
    vfs_permission(caller, directory, MAY_WRITE | MAY_EXEC)


def vfs_create(caller: Caller, directory: Node, name: str, mode: int) -> Node:
    """open(O_CREAT) of a name that does not exist (lookup_open)."""
    vfs_permission(caller, directory, MAY_WRITE | MAY_EXEC)
    return directory.create(caller, name, mode)


def vfs_mkdir(caller: Caller, directory: Node, name: str, mode: int) -> Node:
    """mkdir(2)."""
    _may_create(caller, directory, name)
    return directory.mkdir(caller, name, mode)


def vfs_mknod(caller: Caller, directory: Node, name: str, mode: int, rdev: int) -> Node:
    """mknod(2)."""
    _may_create(caller, directory, name)
    return directory.mknod(caller, name, mode, rdev)


def vfs_symlink(caller: Caller, directory: Node, name: str, target: str) -> Node:
    """symlink(2)."""
    _may_create(caller, directory, name)
    return directory.symlink(caller, name, target)


def vfs_link(caller: Caller, directory: Node, name: str, target: Node) -> Node:
    """link(2): EPERM for a directory (vfs_link)."""
    _may_create(caller, directory, name)
    if is_directory(target):
        raise Errno(errno.EPERM)
    return directory.link(caller, name, target)


def _may_delete(caller: Caller, directory: Node, name: str, *, want_directory: bool) -> Node:
    victim = vfs_lookup(caller, directory, name)
    vfs_permission(caller, directory, MAY_WRITE | MAY_EXEC)
    if want_directory and not is_directory(victim):
        raise Errno(errno.ENOTDIR)
    if not want_directory and is_directory(victim):
        raise Errno(errno.EISDIR)
    return victim


def vfs_rmdir(caller: Caller, directory: Node, name: str) -> None:
    """rmdir(2) (may_delete)."""
    _may_delete(caller, directory, name, want_directory=True)
    directory.rmdir(caller, name)


def vfs_unlink(caller: Caller, directory: Node, name: str) -> None:
    """unlink(2) (may_delete)."""
    _may_delete(caller, directory, name, want_directory=False)
    directory.unlink(caller, name)


def vfs_rename(
    caller: Caller, directory: Node, name: str, new_directory: Node, new_name: str
) -> None:
    """rename(2): the source may be deleted, the target created or replaced; to itself it is nothing
    (do_renameat2, vfs_rename)."""
    source = vfs_lookup(caller, directory, name)
    target = _has(caller, new_directory, new_name)
    if any(node is source for node in ancestors(new_directory)):
        raise Errno(errno.EINVAL)  # into itself
    if target is not None and any(node is target for node in ancestors(directory)):
        raise Errno(errno.ENOTEMPTY)
    if source is target:
        return
    _may_delete(caller, directory, name, want_directory=is_directory(source))
    if target is None:
        vfs_permission(caller, new_directory, MAY_WRITE | MAY_EXEC)
    else:
        _may_delete(caller, new_directory, new_name, want_directory=is_directory(source))
    directory.rename(caller, name, new_directory, new_name)


class Walker(Protocol):
    """What a path walk needs of the kernel: the root, and node operations under the lock."""

    @property
    def root(self) -> Node: ...

    def call(self, caller: Caller, operation: str, target: Node, *arguments: str) -> object: ...


_MAXSYMLINKS = 40


def path_walk(
    kernel: Walker,
    caller: Caller,
    path: str,
    *,
    follow: bool,
    arrived: Callable[[Node, list[str]], None] | None = None,
) -> Node:
    """The node at an absolute path (link_path_walk, step_into; fs/namei.c 6.1).

    ``arrived`` is told each node on the way that is no link to follow, and the names that are left,
    last name first.

    ENOENT for an empty path or a missing name, ENOTDIR for a name below a file, ELOOP after 40
    links, and what lookup answers.
    """
    if not path:
        raise Errno(errno.ENOENT)
    node = kernel.root
    pending = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    links = 0
    while pending:
        name = pending.pop()
        if name == "..":
            node = node.parent or node
            continue
        found = kernel.call(caller, "lookup", node, name)
        assert isinstance(found, Node)
        if is_link(found) and (pending or follow or path.endswith("/")):
            links += 1
            if links > _MAXSYMLINKS:
                raise Errno(errno.ELOOP)
            target = str(kernel.call(caller, "readlink", found))
            if target.startswith("/"):
                node = kernel.root
            pending.extend(part for part in reversed(target.split("/")) if part not in ("", "."))
            continue
        if arrived is not None:
            arrived(found, pending)
        node = found
    if path.endswith("/") and not is_directory(node):
        raise Errno(errno.ENOTDIR)
    return node


@frozen
class _Below:
    """Walks with the machine's lock held already, and unseen by the trace."""

    root: Node

    def call(self, caller: Caller, operation: str, target: Node, *arguments: str) -> object:
        """A lookup or a readlink."""
        if operation == "readlink":
            return vfs_readlink(caller, target)
        return vfs_lookup(caller, target, *arguments)


def kern_path(caller: Caller, start: Node, path: str) -> Node | None:
    """The directory at ``path`` from where the caller is, in the tree that ``start`` is in; None
    for one of the host (kern_path with LOOKUP_FOLLOW and LOOKUP_DIRECTORY, fs/namei.c 6.1).

    For model code, which holds the machine's lock. Errors are those of :func:`path_walk`, and
    ENOTDIR for what is no directory.
    """
    if not path:
        raise Errno(errno.ENOENT)
    *_, root = ancestors(start)
    if not path.startswith("/"):
        path = f"{caller.cwd}/{path}"
    names: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del names[-1:]
        elif part not in ("", "."):
            names.append(part)
    if not names:
        return None
    if names[0] not in [tree.name for tree in root.readdir(caller)]:
        within = caller.on_host(path)
        if within is None:
            return None
        path = within
    node = path_walk(_Below(root), caller, path, follow=True)
    if not is_directory(node):
        raise Errno(errno.ENOTDIR)
    return node
