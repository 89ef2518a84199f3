# SPDX-License-Identifier: Apache-2.0
"""kernfs: the tree sysfs is made of, and the semantics of its files.

Follows fs/kernfs/{dir,file,inode,symlink}.c and fs/sysfs/file.c of Linux 6.1. Golden probes of
these semantics are cases L of the conformance suites.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable
from typing import Protocol

from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.kernel.vfs import (
    Changes,
    Node,
    OpenFile,
    PollTable,
    ancestors,
)
from harness.kernel.wait import WaitQueue
from harness.uapi.fs import (
    DEFAULT_POLLMASK,
    INT_MAX,
    MAX_NON_LFS,
    O_ACCMODE,
    O_RDONLY,
    O_WRONLY,
    PAGE_SIZE,
    POLLERR,
    POLLPRI,
)

_GOLDEN_RATIO_64 = 0x61C8864680B583EB
_MASK_64 = (1 << 64) - 1

Show = Callable[[Caller], str | bytes]
Store = Callable[[Caller, bytes], int | None]
ReadBinary = Callable[[Caller, int, int], bytes]
WriteBinary = Callable[[Caller, int, bytes], int]


def kernfs_name_hash(name: str) -> int:
    """The hash that fixes a directory's order (fs/kernfs/dir.c with hash_long of 64 bits)."""
    value = 0
    for char in name.encode(errors="surrogateescape"):
        value = (value + (char << 4) + (char >> 4)) * 11 & _MASK_64
    value = (value * _GOLDEN_RATIO_64 & _MASK_64) >> 32 & 0x7FFFFFFF
    return min(max(value + 2 if value < 2 else value, 2), INT_MAX - 1)


class Watcher(Protocol):
    """A mount that caches what it has seen and must hear of changes, before they are used."""

    def added(self, directory: Node, name: str) -> None: ...
    def removed(self, directory: Node, name: str, node: Node) -> None: ...
    def changed(self, node: Node) -> None: ...


class KernfsRoot:
    """One tree: its inode numbers and watchers.

    ``name_max`` is how long a name may be that is looked up, in bytes. sysfs takes any, while
    devtmpfs, which is made like a tree of sysfs here, has the limit of simple_lookup (fs/libfs.c).
    ``max_bytes`` is s_maxbytes of its superblock.
    """

    def __init__(
        self, name: str, name_max: int | None = None, max_bytes: int = MAX_NON_LFS
    ) -> None:
        self._last_ino = 0
        self.name_max = name_max
        self.max_bytes = max_bytes
        self.watchers: list[Watcher] = []
        self.directory = self.make_directory(name)

    def make_directory(self, name: str, mode: int = 0o755) -> KernfsDirectory:
        """A directory of this tree that is nowhere yet."""
        return KernfsDirectory(self, name, mode)

    def new_ino(self) -> int:
        """The next inode number; never used twice."""
        self._last_ino += 1
        return self._last_ino

    def continue_after(self, other: KernfsRoot) -> None:
        """From now on give no number that ``other`` has given."""
        self._last_ino = max(self._last_ino, other._last_ino)


class KernfsNode(Node):
    """A node of a :class:`KernfsRoot`."""

    __slots__ = ("root",)

    def __init__(self, root: KernfsRoot, name: str, mode: int, size: int = 0) -> None:
        super().__init__(name, mode, root.new_ino(), size)
        self.root = root

    @property
    def max_bytes(self) -> int:
        """As kernfs_fill_super sets it, or does not."""
        return self.root.max_bytes

    def setattr(self, caller: Caller, changes: Changes) -> None:
        """chmod and chown persist while the node lives (kernfs_iop_setattr)."""
        super().setattr(caller, changes)
        if changes.mode is not None or changes.uid is not None or changes.gid is not None:
            for watcher in self.root.watchers:
                watcher.changed(self)


class KernfsDirectory(KernfsNode):
    """A directory. Children are kept in the kernel's readdir order."""

    __slots__ = ("_sorted", "_transient_children", "children", "subdirectories")

    def __init__(self, root: KernfsRoot, name: str, mode: int = 0o755) -> None:
        super().__init__(root, name, stat.S_IFDIR | mode)
        self.children: dict[str, Node] = {}
        self.subdirectories = 0
        self._transient_children = 0
        self._sorted: list[Node] | None = None

    @property
    def nlink(self) -> int:
        """2 and one for each subdirectory (kernfs_refresh_inode)."""
        return 2 + self.subdirectories

    @property
    def settled(self) -> bool:
        """The link count changes with a child that goes."""
        return not (self.transient or self._transient_children)

    def lookup(self, caller: Caller, name: str) -> Node:
        """kernfs_iop_lookup."""
        limit = self.root.name_max
        if limit is not None and len(name.encode(errors="surrogateescape")) > limit:
            raise Errno(errno.ENAMETOOLONG)
        try:
            return self.children[name]
        except KeyError:
            raise Errno(errno.ENOENT) from None

    def readdir(self, caller: Caller) -> list[Node]:
        """All children by hash, then by name (kernfs_fop_readdir, kernfs_sd_compare)."""
        if self._sorted is None:
            self._sorted = sorted(
                self.children.values(), key=lambda node: (kernfs_name_hash(node.name), node.name)
            )
        return self._sorted

    def open(self, caller: Caller, flags: int) -> OpenFile:
        """An open directory has no operation but readdir, which goes to the node."""
        return OpenDirectory(self, caller)

    def add(self, node: Node) -> None:
        """Put ``node`` here; EEXIST if the name is taken (kernfs_add_one).

        ValueError for what no directory can list, which is the mistake of who wrote the driver.
        """
        if not node.name or "/" in node.name or "\0" in node.name:
            raise ValueError(f"{node.name!r} is no name of a file")
        if node.name in self.children:
            raise Errno(errno.EEXIST)
        node.parent = self
        self.children[node.name] = node
        self._sorted = None
        self.subdirectories += stat.S_ISDIR(node.mode)
        node.transient = node.transient or self.transient
        self._transient_children += node.transient
        for watcher in self.root.watchers:
            watcher.added(self, node.name)

    def remove(self, name: str) -> None:
        """Take a child away with all below it; open files of it answer ENODEV (kernfs_remove)."""
        node = self.children[name]
        if isinstance(node, KernfsDirectory):
            for child in list(node.children):
                node.remove(child)
        del self.children[name]
        self._sorted = None
        self.subdirectories -= stat.S_ISDIR(node.mode)
        self._transient_children -= node.transient
        if isinstance(node, KernfsFile):
            node.deactivate()
        for watcher in self.root.watchers:
            watcher.removed(self, name, node)
        node.parent = None

    def directory(self, name: str, mode: int = 0o755) -> KernfsDirectory:
        """The subdirectory ``name``, made if it is not there."""
        child = self.children.get(name)
        if child is None:
            child = self.root.make_directory(name, mode)
            self.add(child)
        if not isinstance(child, KernfsDirectory):
            raise Errno(errno.ENOTDIR)
        return child


class OpenDirectory(OpenFile):
    """An open directory: reading it is EISDIR (generic_read_dir)."""

    __slots__ = ()

    def read(self, caller: Caller, offset: int, count: int) -> bytes:
        """generic_read_dir."""
        raise Errno(errno.EISDIR)


class KernfsLink(KernfsNode):
    """A symbolic link to another node; the text is computed when it is read."""

    __slots__ = ("target",)

    def __init__(self, root: KernfsRoot, name: str, target: Node) -> None:
        super().__init__(root, name, stat.S_IFLNK | 0o777)
        self.target = target
        self.transient = target.transient

    def readlink(self, caller: Caller) -> str:
        """The relative path from this link's directory (kernfs_get_target_path)."""
        if self.parent is None:
            raise Errno(errno.ENOENT)
        above = {id(node): depth for depth, node in enumerate(ancestors(self.parent))}
        names = [self.target.name]
        node = self.target.parent
        while node is not None and id(node) not in above:
            names.append(node.name)
            node = node.parent
        if node is None:
            raise Errno(errno.ENOENT)
        return "../" * above[id(node)] + "/".join(reversed(names))


class KernfsFile(KernfsNode):
    """An attribute. ``event`` counts notifications while the file is open somewhere."""

    __slots__ = ("active", "event", "open_count", "poll_queue")

    def __init__(self, root: KernfsRoot, name: str, mode: int, size: int = PAGE_SIZE) -> None:
        super().__init__(root, name, stat.S_IFREG | mode, size)
        self.active = True
        self.event = 1
        self.open_count = 0
        self.poll_queue = WaitQueue()

    def open(self, caller: Caller, flags: int) -> OpenFile:
        """ENODEV if removed; the mode bits bind root too (kernfs_fop_open, 6.1)."""
        if not self.active:
            raise Errno(errno.ENODEV)
        access = flags & O_ACCMODE
        if access != O_RDONLY and not self.mode & 0o222:
            raise Errno(errno.EACCES)
        if access != O_WRONLY and not self.mode & 0o444:
            raise Errno(errno.EACCES)
        if self.open_count == 0:
            self.event = 1  # a new kernfs_open_node (kernfs_get_open_node)
        self.open_count += 1
        return self.new_open_file(caller)

    def new_open_file(self, caller: Caller) -> OpenFile:
        """The open file of this kind of attribute."""
        raise NotImplementedError

    def notify(self) -> None:
        """Wake polls: the value changed (kernfs_notify, sysfs_notify)."""
        self.event += 1
        self.poll_queue.wake()

    def deactivate(self) -> None:
        """The node is being removed: operations on open files answer ENODEV (kernfs_drain)."""
        self.active = False
        self.poll_queue.wake()


class _OpenKernfsFile(OpenFile):
    """What text and binary attributes share: activity, poll, release (struct kernfs_open_file)."""

    __slots__ = ("event", "node")
    node: KernfsFile
    #: kernfs_fop_open, which gives pwrite back only to who may write.
    is_seq_file = True

    def __init__(self, node: KernfsFile, opener: Caller) -> None:
        self.node = node
        self.opener = opener
        self.event = 0

    def poll(self, caller: Caller, table: PollTable) -> int:
        """Notified since the last read of this open file, or removed (kernfs_fop_poll)."""
        node = self.node
        if not node.active:
            return DEFAULT_POLLMASK | POLLERR | POLLPRI
        table.add(node.poll_queue)
        if self.event != node.event:
            return DEFAULT_POLLMASK | POLLERR | POLLPRI
        return DEFAULT_POLLMASK

    def release(self) -> None:
        """kernfs_put_open_node."""
        self.node.open_count -= 1


class TextFile(KernfsFile):
    """A text attribute: ``show`` and ``store`` each get the whole value."""

    __slots__ = ("show", "store")

    def __init__(
        self, root: KernfsRoot, name: str, mode: int, show: Show | None, store: Store | None
    ) -> None:
        super().__init__(root, name, mode)
        self.show = show
        self.store = store

    def new_open_file(self, caller: Caller) -> OpenFile:
        """See :class:`OpenText`."""
        return OpenText(self, caller)


class OpenText(_OpenKernfsFile):
    """An open text attribute: a snapshot of the value, renewed at offset 0 (seq_read_iter)."""

    __slots__ = ("_position", "_snapshot")
    node: TextFile

    def __init__(self, node: TextFile, opener: Caller) -> None:
        # Not by the base's: files are opened more often than anything else happens.
        self.node = node
        self.opener = opener
        self.event = 0
        self._snapshot = b""
        self._position = 0

    def read(self, caller: Caller, offset: int, count: int) -> bytes:
        """Offset 0, or any other than where the last read ended, calls show again; who wants
        nothing gets it."""
        if not count:
            return b""
        if offset == 0 or offset != self._position:
            self._snapshot = self._sysfs_kf_seq_show(caller)
        data = self._snapshot[offset : offset + count]
        if not data and not self.node.active:
            raise Errno(errno.ENODEV)  # kernfs_seq_start, asked for what follows the snapshot
        self._position = offset + len(data)
        return data

    def _sysfs_kf_seq_show(self, caller: Caller) -> bytes:
        node = self.node
        if not node.active:
            raise Errno(errno.ENODEV)
        self.event = node.event
        self._position = 0
        if node.show is None:
            raise Errno(errno.EIO)  # dev_attr_show, drv_attr_show: no method
        text = node.show(caller)
        if isinstance(text, str):
            text = text.encode(errors="surrogateescape")
        return text[: PAGE_SIZE - 1]

    def write(self, caller: Caller, offset: int, data: bytes) -> int:
        """One store per write, of at most a page; the offset means nothing (sysfs_kf_write)."""
        node = self.node
        if not node.active:
            raise Errno(errno.ENODEV)  # kernfs_fop_write_iter
        if not data:
            return 0
        if node.store is None:
            raise Errno(errno.EIO)  # dev_attr_store, drv_attr_store: no method
        data = data[:PAGE_SIZE]
        taken = node.store(caller, data)
        return len(data) if taken is None else taken

    def decider(self, operation: str) -> str:
        """The attribute's own show or store."""
        method = {"read": self.node.show, "write": self.node.store}.get(operation)
        return function_name(method) if method else operation


def function_name(method: Callable[..., object]) -> str:
    """The name of a function, also through functools.partial."""
    return str(getattr(getattr(method, "func", method), "__name__", "")).lstrip("_")


class BinaryFile(KernfsFile):
    """A binary attribute of ``size`` bytes (0: unknown); each call is at most one page."""

    __slots__ = ("read_binary", "write_binary")

    def __init__(
        self,
        root: KernfsRoot,
        name: str,
        mode: int,
        size: int,
        read: ReadBinary | None = None,
        write: WriteBinary | None = None,
    ) -> None:
        super().__init__(root, name, mode, size)
        self.read_binary = read
        self.write_binary = write

    def new_open_file(self, caller: Caller) -> OpenFile:
        """See :class:`OpenBinary`."""
        return OpenBinary(self, caller)


class OpenBinary(_OpenKernfsFile):
    """An open binary attribute (sysfs_kf_bin_read, sysfs_kf_bin_write, 6.1)."""

    __slots__ = ()
    node: BinaryFile

    def read(self, caller: Caller, offset: int, count: int) -> bytes:
        """Clipped to a page and to the size; no method: EIO."""
        node = self.node
        if not node.active:
            raise Errno(errno.ENODEV)
        self.event = node.event
        count = min(count, PAGE_SIZE)
        if node.size:
            count = min(count, node.size - offset)
        if count <= 0:
            return b""
        if node.read_binary is None:
            raise Errno(errno.EIO)
        # A method may look at who opened the file (pci_read_config), so it gets the opener.
        return node.read_binary(self.opener, offset, count)

    def write(self, caller: Caller, offset: int, data: bytes) -> int:
        """Clipped to a page and to the size; at or past the size: EFBIG; no method: EIO."""
        node = self.node
        if not node.active:
            raise Errno(errno.ENODEV)
        data = data[:PAGE_SIZE]
        if node.size:
            if offset >= node.size:
                raise Errno(errno.EFBIG)
            data = data[: node.size - offset]
        if not data:
            return 0
        if node.write_binary is None:
            raise Errno(errno.EIO)
        return node.write_binary(self.opener, offset, data)
