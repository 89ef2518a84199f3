# SPDX-License-Identifier: Apache-2.0
"""FUSE requests become calls of the machine's kernel.

Every request is answered. Every open, and every read at offset 0, reaches the machine: files are
opened for direct I/O, so nothing of them is cached. Names and attributes are cached by the host's
kernel until the machine changes them (see :mod:`harness.mounts.process.invalidation`).

Two modes of permission checks. Normally the host's kernel checks mode bits itself
(``default_permissions``), which makes access(2) and stat(2) as fast as on any file system. That
needs ids that differ: an unprivileged host user can map only his own id into the mount, all files
are then owned by that id, and a plain user of the machine, who has the same id by another name,
would own them too. There (and on request) the kernel is told not to check, and the machine does,
with the id that the task has in its own user namespace.
"""

from __future__ import annotations

import errno
import io
import itertools
import logging
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from harness import module_file
from harness.address_space import AddressSpaces
from harness.host_files import Holder, device_of
from harness.kernel.errors import Errno, errno_name
from harness.kernel.kernfs import OpenText
from harness.kernel.system import NODE_OPERATIONS
from harness.kernel.vfs import Changes, Node, OpenFile, Pages, Stat, vfs_open
from harness.mounts.overlay import HostNode, Overlay, prepare
from harness.mounts.process import fuse_protocol as fuse
from harness.mounts.process.anonymous import AnonymousFiles
from harness.mounts.process.aside import Aside, Questions
from harness.mounts.process.caller import ProcessCaller, ThreadGroups, UserNamespace
from harness.mounts.process.errors import MountError
from harness.mounts.process.exchange import Counterparts, exchange
from harness.mounts.process.fuse_protocol import BODY, OUT_HEADER
from harness.mounts.process.invalidation import Sender, TreeWatcher
from harness.mounts.process.launcher import ANNOUNCED
from harness.mounts.process.leaders_lock import LeadersLock
from harness.mounts.process.nodes import (
    NEGATIVES_LIMIT,
    Entry,
    Listed,
    NodeTable,
    Tree,
    inode_number,
    node_id,
)
from harness.mounts.process.notifications import (
    ANNOUNCED_NODE,
    ANNOUNCEMENT,
    Notifications,
    NotifiedCall,
    Table,
)
from harness.mounts.process.polling import NoPollTable, PollWaiter
from harness.mounts.process.shared_pages import SharedPages
from harness.mounts.process.workers import Crew, Worker
from harness.uapi.fs import O_APPEND

if TYPE_CHECKING:
    from harness.kernel.system import Kernel
    from harness.kernel.wait import MachineLock

_log = logging.getLogger("uapi_harness")

#: How long the kernel may keep what it was told, unless the machine changes it: a day, in seconds.
LIFETIME = 86400
_OPENED = fuse.FOPEN_DIRECT_IO | fuse.FOPEN_NOFLUSH
_OPENED_STREAM = _OPENED | fuse.FOPEN_NONSEEKABLE | fuse.FOPEN_STREAM
_INIT_FLAGS = (
    fuse.INIT_BIG_WRITES
    | fuse.INIT_DO_READDIRPLUS
    | fuse.INIT_READDIRPLUS_AUTO
    | fuse.INIT_PARALLEL_DIROPS
    | fuse.INIT_MAX_PAGES
)
#: From protocol 7.44 on (6.17), a kernel takes a cached link's length from its text; sysfs says 0.
_CACHED_LINKS_MINOR = 44
_MINOR = 45
#: RELEASE is a background request: with a low limit an OPEN would overtake it.
_MAX_BACKGROUND = 0xFFFF

#: While these are under way no lock of a directory is held, so their reply can wait until the
#: kernel knows of the changes they made. Others are answered first.
_HOLD_NO_DIRECTORY = {fuse.OPEN, fuse.READ, fuse.WRITE, fuse.IOCTL, fuse.POLL}

# Bound here, for the requests that make up nearly all of a program's.
_unpack_open = fuse.OPEN_IN.unpack_from
_pack_opened = fuse.OPEN_OUT.pack
_unpack_read = fuse.READ_IN.unpack_from
_unpack_release = fuse.RELEASE_IN.unpack_from

T = TypeVar("T")

Handler = Callable[[ProcessCaller, int, memoryview], "bytes | None"]


class _OpenDirectory:
    """A directory that a program has open, as it was when it was read from its start."""

    __slots__ = ("entry", "listing", "open_file")

    def __init__(self, entry: Entry, open_file: OpenFile) -> None:
        self.entry = entry
        self.open_file = open_file
        self.listing: list[Listed] = []


class Server:
    """Serves the FUSE connection ``fd`` from a machine's trees.

    ``netlink`` is a socket in the programs' network, if uevents are to be sent there. ``devices``
    says whether stat(2) of a device is answered, so that it is no file. ``ended`` is
    set once the connection is gone. ``begin_traced`` is called when programs may come.
    """

    def __init__(
        self,
        kernel: Kernel,
        overlay: Overlay,
        fd: int,
        namespace: UserNamespace,
        table: Table,
        opener: Callable[[str], int],
        netlink: int | None = None,
        *,
        devices: bool = False,
        maps_files: bool = False,
    ) -> None:
        self.kernel = kernel
        self.fd = fd
        self._connection = io.FileIO(fd, "r+", closefd=True)
        self.user_namespace = namespace
        self.address_spaces = AddressSpaces()
        self.thread_groups = ThreadGroups()
        #: What drivers hold of the programs' own files.
        self.holder = Holder(kernel)
        #: The mount's st_dev.
        self.device = -1
        #: Calls that wait for an event, by the number of their request.
        self.blocked: dict[int, ProcessCaller] = {}
        self.ended = threading.Event()
        self._overlay = overlay
        self._lock: MachineLock = kernel.lock
        self._observers = kernel.trace.observers
        self._call: Callable[..., Any] = self._untraced
        self._table = NodeTable(kernel.root)
        self._files: dict[int, OpenFile] = {}
        self._directories: dict[int, _OpenDirectory] = {}
        self._waiters: dict[int, PollWaiter] = {}
        #: Where an O_APPEND writer is: the host's kernel would give the file's size instead.
        self._positions: dict[int, int] = {}
        self._handles = itertools.count(1)
        #: What all files have for times, in seconds.
        self.time = int(time.time())
        self._complained: set[int] = set()
        self._anonymous = AnonymousFiles(self._table)
        self._opener = opener
        self._handlers = self._all_handlers()
        self._crew = Crew(self)
        self._sender = Sender(fd, self._crew.identities, netlink)
        #: Requests that were read while another one was not done yet.
        self._deferred: deque[memoryview] = deque()
        self._questions = Questions()
        self._aside = Aside(self._connection, self._deferred, self._serve_aside)
        self.pages = SharedPages(fd, lambda: self._crew.leader, self._aside)
        self._maps_files = maps_files
        #: Of files that a program has open, if they can be mapped.
        self._nodeids: dict[OpenFile, int] = {}
        self._devices = devices
        self._netlink = netlink
        self.notifications = Notifications(self, table) if table else None
        self._watchers = {
            "sys": TreeWatcher(Tree.SYS, self._table, overlay, self._sender),
            "dev": TreeWatcher(Tree.DEV, self._table, overlay, self._sender),
        }

    # --- life

    def start(self) -> None:
        """Begin to serve, for the launcher alone: what it looks up is not the program's doing."""
        with self._lock:
            for name, watcher in self._watchers.items():
                self.kernel.roots[name].watchers.append(watcher)
            if self._netlink is not None:
                self.kernel.uevents.subscribers.append(self._sender.uevent)
        self._sender.start()
        self._crew.start()

    def begin_traced(self, device: int) -> None:
        """From now on, requests are calls of programs, which the machine's observers see.

        ``device`` is the mount's st_dev.
        """
        self.device = device
        self.address_spaces.device_pages = b"%02x:%02x" % (os.major(device), os.minor(device))
        self._call = self.kernel.call

    def exchange(self, kernel: Kernel) -> bool:
        """Serve the trees of ``kernel`` from now on, which has only been built, from the same
        machine file and profile. False if the host's part of the mount cannot stay as it is.

        What programs still have open stays the old machine's.
        """
        prepare(kernel)
        counterparts = Counterparts(self.kernel.root, kernel.root)
        with self._lock, kernel.lock:
            if not exchange(self._table, self._overlay, counterparts, self._sender):
                return False
            for name, watcher in self._watchers.items():
                old, new = self.kernel.roots[name], kernel.roots[name]
                old.watchers.remove(watcher)
                new.continue_after(old)
                new.watchers.append(watcher)
            if self._netlink is not None:
                self.kernel.uevents.subscribers.remove(self._sender.uevent)
                kernel.uevents.subscribers.append(self._sender.uevent)
            self.kernel = kernel
            self._lock = kernel.lock
            if self.pages:
                self._answer_while_waiting()
            self._observers = kernel.trace.observers
            self._call = kernel.call
        self.holder.close()
        self.holder = Holder(kernel)
        self.flush()
        return True

    def flush(self) -> None:
        """Return when programs see all changes made so far. Not with the machine's lock held."""
        self._sender.flush()

    def close(self, timeout: float) -> None:
        """Stop serving; the connection's mounts must be gone. Releases what is still open."""
        with self._lock:
            for name, watcher in self._watchers.items():
                self.kernel.roots[name].watchers.remove(watcher)
            if self._netlink is not None:
                self.kernel.uevents.subscribers.remove(self._sender.uevent)
        if not self._crew.join(timeout):
            _log.warning("the mount is still in use; it ends with this process")
            return
        self.holder.close()
        self._aside.close()
        if self.notifications is not None:
            self.notifications.close()
        self._sender.stop()
        self._connection.close()
        if self._netlink is not None:
            os.close(self._netlink)

    def _end(self) -> None:
        """The connection is gone: nobody waits for replies, and no RELEASE will come."""
        if self.ended.is_set():
            return
        self.ended.set()
        with self._lock:
            for caller in list(self.blocked.values()):  # who is done goes without the lock
                caller.interruption.interrupt()
            for waiter in self._waiters.values():
                waiter.detach()
        if self.notifications is not None:
            self.notifications.proceed()
        for open_file in [*self._files.values(), *self._open_directories()]:
            self.kernel.release(open_file)

    def _open_directories(self) -> list[OpenFile]:
        return [directory.open_file for directory in self._directories.values()]

    # --- requests

    def serve(self, worker: Worker) -> None:
        """Answer requests while ``worker`` leads and the connection lasts."""
        fd, write, pack, handlers = self.fd, os.write, OUT_HEADER.pack, self._handlers
        buffer, unpack, deferred = worker.buffer, fuse.IN_HEADER.unpack_from, self._deferred
        read, unsent = self._connection.readinto, self._sender.unsent
        while True:
            if deferred:
                view = deferred.popleft()
            else:
                view = worker.view
                try:
                    read(buffer)
                except OSError as error:
                    if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                        continue  # the request was withdrawn meanwhile
                    self._end()
                    return
            _, opcode, unique, nodeid, uid, gid, tid, _, _ = unpack(view)
            caller = ProcessCaller(worker, unique, uid, gid, tid)
            try:
                body = handlers[opcode](caller, nodeid, view)
                number = 0
            except Errno as error:
                body, number = b"", self._wire_error(error.errno)
            except (Exception, SystemExit) as error:  # of a module of somebody's own
                text = module_file.describe(error)
                if text is None:
                    _log.exception("request %d of the process mount", opcode)
                else:
                    _log.error("%s", text)
                body, number = b"", errno.EIO
            if unsent or not worker.leading:
                self._finish(caller, opcode, number, body)
                return
            if body is not None:
                try:
                    write(fd, pack(16 + len(body), -number, unique) + body)
                except OSError as error:
                    self._not_wanted(error)

    def _not_wanted(self, error: OSError) -> None:
        """A reply could not be sent. ENOENT: whoever asked was killed; the others: so was all."""
        if error.errno not in (errno.ENOENT, errno.ENODEV, errno.ECONNABORTED, errno.EPERM):
            raise error

    def abandon(self) -> None:
        """We cannot go on: whoever waits for us, or asks us later, gets an error, and none waits
        for ever."""
        self._end()
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(nothing, self.fd, inheritable=False)
        os.close(nothing)

    def _reply(self, unique: int, number: int, body: bytes) -> None:
        try:
            os.write(self.fd, OUT_HEADER.pack(16 + len(body), -number, unique) + body)
        except OSError as error:
            self._not_wanted(error)

    def _finish(self, caller: ProcessCaller, opcode: int, number: int, body: bytes | None) -> None:
        """Reply to a request that blocked or changed what the kernel has cached."""
        self.blocked.pop(caller.unique, None)
        flush = self._flusher(caller.worker)
        if opcode in _HOLD_NO_DIRECTORY:
            flush()
        if body is not None:
            self._reply(caller.unique, number, body)
        flush()

    def _flusher(self, worker: Worker) -> Callable[[], None]:
        """How ``worker`` is to flush; without another thread to lead, it is not he who does, and
        the program may see for a moment what was.
        """
        try:
            worker.hand_over()
        except Errno:
            return self._sender.wake
        return self.flush

    def listen(self, fd: int) -> None:
        """A command has a filter, and ``fd`` is its listener."""
        assert self.notifications is not None
        self.notifications.add(fd)

    def finish_call(self, worker: Worker, caller: ProcessCaller) -> None:
        """Before the reply to a system call that was notified."""
        self.blocked.pop(caller.unique, None)
        if self._sender.unsent:
            self._flusher(worker)()

    # --- files and fds

    def identify(self, worker: Worker, fd: int, *, locked: bool) -> OpenFile | None:
        """The open file behind ``fd``, our copy of a program's; None if it is the host's.

        ``locked`` says whether the machine's lock is held. It is let go meanwhile if the worker
        leads no more: whoever leads may wait for it.
        """
        if device_of(fd) != self.device:
            return None
        if worker.leading:
            handle = self._aside.run(lambda: self._questions.ask(fd))
        elif locked:
            self._lock.release()
            try:
                handle = self._questions.ask(fd)
            finally:
                self._lock.acquire()
        else:
            handle = self._questions.ask(fd)
        return self._files.get(handle) if handle is not None else None

    def map(self, open_file: OpenFile, offset: int, pages: Pages, *, writable: bool) -> None:
        """A program is about to map ``pages`` of ``open_file``."""
        self.pages.add(self._nodeids[open_file], offset, pages, writable=writable)
        self.address_spaces.detour = self._detour
        self._answer_while_waiting()

    def _answer_while_waiting(self) -> None:
        """See :class:`LeadersLock`; those who hold the lock now release what it is made of."""
        if not isinstance(self._lock, LeadersLock):
            lock = LeadersLock(self._lock, lambda: self._crew.leader, self._aside)
            self._lock = self.kernel.lock = lock

    @property
    def _waits_for_lock(self) -> bool:
        """Whether the leading thread wants the machine, or its pages, and another has them."""
        wanted = isinstance(self._lock, LeadersLock) and self._lock.waited_for
        return wanted or self.pages.waited_for

    def _detour(self, function: Callable[..., T], /, *arguments: Any) -> T:
        """See :class:`harness.address_space.Detour`: a program may have mapped files of ours."""
        if threading.get_ident() != self._crew.leader:
            return function(*arguments)
        return self._aside.run(partial(function, *arguments))

    def install(self, call: NotifiedCall) -> None:
        """Let the numbers that were reserved for a call's new files be those files."""
        for number, open_file in call.caller.installed:
            name = self._anonymous.name_of(open_file)
            try:
                call.hand_over()
                fd = self._opener(name)
            except (Errno, MountError):
                if self._anonymous.forget(name) is not None:
                    self.kernel.release(open_file)
                raise
            try:
                call.put(fd, number)
            finally:
                os.close(fd)

    def _wire_error(self, number: int) -> int:
        """The error that can be sent for ``number``: FUSE refuses kernel-internal ones, and takes
        ENOSYS for a server that lacks the operation for good."""
        if number <= fuse.MAX_ERRNO and number != errno.ENOSYS:
            return number
        if number not in self._complained:
            self._complained.add(number)
            _log.warning("%s cannot be sent to programs; they see EOPNOTSUPP", errno_name(number))
        return errno.EOPNOTSUPP

    def _all_handlers(self) -> list[Handler]:
        handlers: list[Handler] = [self._unknown] * fuse.OPCODE_COUNT
        for opcode, handler in {
            fuse.LOOKUP: self._lookup,
            fuse.FORGET: self._forget,
            fuse.BATCH_FORGET: self._batch_forget,
            fuse.GETATTR: self._getattr,
            fuse.SETATTR: self._setattr,
            fuse.READLINK: self._readlink,
            fuse.SYMLINK: self._symlink,
            fuse.MKNOD: self._mknod,
            fuse.MKDIR: self._mkdir,
            fuse.UNLINK: self._unlink,
            fuse.RMDIR: self._rmdir,
            fuse.RENAME: self._rename,
            fuse.RENAME2: self._rename2,
            fuse.LINK: self._link,
            fuse.CREATE: self._create,
            fuse.OPEN: self._open,
            fuse.READ: self._read,
            fuse.WRITE: self._write,
            fuse.IOCTL: self._ioctl,
            fuse.POLL: self._poll,
            fuse.RELEASE: self._release,
            fuse.FSYNC: self._fsync,
            fuse.FSYNCDIR: self._no_method,
            fuse.FALLOCATE: self._fallocate,
            fuse.OPENDIR: self._opendir,
            fuse.READDIR: self._readdir,
            fuse.READDIRPLUS: self._readdirplus,
            fuse.RELEASEDIR: self._releasedir,
            fuse.STATFS: self._statfs,
            fuse.ACCESS: self._access,
            fuse.INTERRUPT: self._interrupt,
            fuse.INIT: self._init,
            fuse.DESTROY: self._nothing,
            fuse.NOTIFY_REPLY: self._announced,
        }.items():
            handlers[opcode] = handler
        return handlers

    def _untraced(self, caller: ProcessCaller, operation: str, node: Node, *arguments: Any) -> Any:
        with self._lock:
            return NODE_OPERATIONS[operation](caller, node, *arguments)  # type: ignore[operator]

    def _do(self, caller: ProcessCaller, operation: str, node: Node, *arguments: Any) -> Any:
        """A node operation; one on the host's entries is not the machine's."""
        call = self._untraced if isinstance(node, HostNode) else self._call
        return call(caller, operation, node, *arguments)

    def _entry(self, nodeid: int) -> Entry:
        try:
            return self._table.entries[nodeid]
        except KeyError:
            raise Errno(errno.ESTALE) from None

    # --- names

    def _lookup(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        name = _name(view, BODY)
        parent = self._entry(nodeid)
        if nodeid == fuse.ROOT_ID:
            if name == ANNOUNCED:
                return _ANNOUNCED_ENTRY
            anonymous = self._anonymous.looked_up(name, self.time)
            if anonymous is not None:
                return anonymous
            return self._reply_entry(caller, *self._top(caller, parent.node, name))
        host = self._overlay.find(parent.node, name)
        if host is not None:
            return self._reply_entry(caller, Tree.HOST, host)
        cached = len(parent.negatives) < NEGATIVES_LIMIT
        if cached:
            # Before the lookup, so that what is added during it is not missed.
            parent.negatives.add(name)
        try:
            node = self._do(caller, "lookup", parent.node, name)
        except Errno as error:
            if error.errno == errno.ENOENT and cached:
                return _ABSENT
            parent.negatives.discard(name)
            raise
        parent.negatives.discard(name)
        return self._reply_entry(caller, parent.tree, node)

    def _top(self, caller: ProcessCaller, root: Node, name: str) -> tuple[Tree, Node]:
        node: Node = self._untraced(caller, "lookup", root, name)
        return (Tree.DEV if name == "dev" else Tree.SYS), node

    def _reply_entry(self, caller: ProcessCaller, tree: Tree, node: Node) -> bytes:
        found: Stat = self._do(caller, "getattr", node)
        with self._lock:
            return self._remember(tree, node, found)

    def _remember(self, tree: Tree, node: Node, found: Stat) -> bytes:
        """ENOENT if the node was removed meanwhile, when there was nobody to be told."""
        if tree != Tree.HOST and node.parent is None:
            raise Errno(errno.ENOENT)
        entry = self._table.looked_up(tree, node)
        return _entry_head(entry) + entry.attributes(found, self.time)

    def _forget(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> None:
        (lookups,) = fuse.FORGET_IN.unpack_from(view, BODY)
        with self._lock:
            self._table.forget(nodeid, lookups)

    def _batch_forget(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> None:
        count, _ = fuse.BATCH_FORGET_IN.unpack_from(view, BODY)
        start = BODY + fuse.BATCH_FORGET_IN.size
        forgets = view[start : start + count * fuse.FORGET_ONE.size]
        with self._lock:
            for forgotten, lookups in fuse.FORGET_ONE.iter_unpack(forgets):
                self._table.forget(forgotten, lookups)

    def _readlink(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        text: str = self._do(caller, "readlink", self._entry(nodeid).node)
        return text.encode(errors="surrogateescape")

    def _make(
        self, caller: ProcessCaller, nodeid: int, operation: str, name: str, *arguments: Any
    ) -> bytes:
        parent = self._entry(nodeid)
        node = self._do(caller, operation, parent.node, name, *arguments)
        return self._reply_entry(caller, parent.tree, node)

    def _symlink(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        name, target = _names(view, BODY)
        return self._make(caller, nodeid, "symlink", name, target)

    def _mknod(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        mode, rdev, _umask, _ = fuse.MKNOD_IN.unpack_from(view, BODY)
        name = _name(view, BODY + fuse.MKNOD_IN.size)
        if stat.S_ISREG(mode):
            return self._make(caller, nodeid, "create", name, mode)
        return self._make(caller, nodeid, "mknod", name, mode, rdev)

    def _mkdir(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        mode, _ = fuse.MKDIR_IN.unpack_from(view, BODY)
        return self._make(caller, nodeid, "mkdir", _name(view, BODY + fuse.MKDIR_IN.size), mode)

    def _create(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        flags, mode, _, _ = fuse.CREATE_IN.unpack_from(view, BODY)
        name = _name(view, BODY + fuse.CREATE_IN.size)
        made = self._make(caller, nodeid, "create", name, mode)
        node = self._do(caller, "lookup", self._entry(nodeid).node, name)
        nodeid = fuse.ENTRY.unpack_from(made)[0]
        opened = self._call(caller, "open", node, flags)
        return made + self._opened(caller, nodeid, opened, flags)

    def _link(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        (target,) = fuse.LINK_IN.unpack_from(view, BODY)
        name = _name(view, BODY + fuse.LINK_IN.size)
        return self._make(caller, nodeid, "link", name, self._entry(target).node)

    def _unlink(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        self._do(caller, "unlink", self._entry(nodeid).node, _name(view, BODY))
        return b""

    def _rmdir(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        self._do(caller, "rmdir", self._entry(nodeid).node, _name(view, BODY))
        return b""

    def _rename(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        (target,) = fuse.RENAME_IN.unpack_from(view, BODY)
        return self._do_rename(caller, nodeid, target, _names(view, BODY + fuse.RENAME_IN.size))

    def _rename2(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        target, flags, _ = fuse.RENAME2_IN.unpack_from(view, BODY)
        if flags:
            raise Errno(errno.EINVAL)
        return self._do_rename(caller, nodeid, target, _names(view, BODY + fuse.RENAME2_IN.size))

    def _do_rename(
        self, caller: ProcessCaller, nodeid: int, target: int, names: tuple[str, str]
    ) -> bytes:
        source, directory = self._entry(nodeid).node, self._entry(target).node
        self._do(caller, "rename", source, names[0], directory, names[1])
        return b""

    # --- attributes

    def _getattr(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        entry = self._entry(nodeid)
        return self._attributes(entry, self._do(caller, "getattr", entry.node))

    def _attributes(self, entry: Entry, found: Stat) -> bytes:
        head = _ATTRIBUTES_HEAD if entry.node.settled else _UNSETTLED_HEAD
        return head + entry.attributes(found, self.time)

    def _setattr(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        fields = fuse.SETATTR_IN.unpack_from(view, BODY)
        valid, size, mode, uid, gid = fields[0], fields[3], fields[11], fields[13], fields[14]
        changes = Changes(
            mode=mode if valid & fuse.FATTR_MODE else None,
            uid=uid if valid & fuse.FATTR_UID else None,
            gid=gid if valid & fuse.FATTR_GID else None,
            size=size if valid & fuse.FATTR_SIZE else None,
            times=bool(valid & fuse.FATTR_TIMES),
        )
        entry = self._entry(nodeid)
        self._do(caller, "setattr", entry.node, changes)
        return self._attributes(entry, entry.node.getattr(caller))

    def _access(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        (mask,) = fuse.ACCESS_IN.unpack_from(view, BODY)
        self._do(caller, "permission", self._entry(nodeid).node, mask)
        return b""

    def _statfs(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        return fuse.STATFS_OUT.pack(0, 0, 0, 0, 0, 4096, 255, 4096, 0)

    # --- open files

    def _open(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        (flags,) = _unpack_open(view, BODY)
        if self._anonymous.waiting:
            waiting = self._anonymous.opened(nodeid)
            if waiting is not None:
                return self._bind(nodeid, waiting, flags)
        node = self._entry(nodeid).node
        if self._observers:
            return self._opened(caller, nodeid, self._call(caller, "open", node, flags), flags)
        # Kernel.call without its detours: nothing else happens as often as this and READ.
        with self._lock:
            open_file = vfs_open(caller, node, flags)
        return self._opened(caller, nodeid, open_file, flags)

    def _opened(self, caller: ProcessCaller, nodeid: int, open_file: OpenFile, flags: int) -> bytes:
        if type(open_file) is not OpenText:
            # Drivers may ask later who opened the file; a text attribute never does.
            caller.settle()
        return self._bind(nodeid, open_file, flags)

    def _bind(self, nodeid: int, open_file: OpenFile, flags: int) -> bytes:
        handle = next(self._handles)
        self._files[handle] = open_file
        if self._maps_files:
            self._nodeids[open_file] = nodeid
        if flags & O_APPEND:
            self._positions[handle] = 0
        positioned = open_file.seekable and open_file.has_data
        return _pack_opened(handle, _OPENED if positioned else _OPENED_STREAM, 0)

    def _read(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        handle, offset, size, flags = _unpack_read(view, BODY)
        if not flags & fuse.READ_LOCKOWNER and self._is_device(nodeid):
            return self.pages.fault(nodeid, offset, size)
        open_file = self._files[handle]
        if self._observers or self.pages:
            data: bytes = self.do_file(caller, "read", open_file, offset, size)
            return data
        with self._lock:
            return open_file.read(caller, offset, size)

    def do_file(
        self, caller: ProcessCaller, operation: str, open_file: OpenFile, *arguments: Any
    ) -> Any:
        """A file operation, between what programs have done and what the machine has changed."""
        if not self.pages and not self.holder.watches:
            return self._call(caller, operation, open_file, *arguments)
        self.catch_up()
        try:
            return self._call(caller, operation, open_file, *arguments)
        finally:
            self.pages.publish(self._lock)

    def catch_up(self) -> None:
        """What programs did to eventfds and to mapped memory comes before the call that follows.

        For the thread that leads.
        """
        if self.holder.watches:
            with self._lock:
                self.holder.catch_up()
        if self.pages:
            self.pages.collect(self._lock)

    def _is_device(self, nodeid: int) -> bool:
        """Whether faults on it are of a mapping that we know: of a device, or of its resource."""
        if not self._maps_files:
            return False
        return nodeid in self.pages or not stat.S_ISREG(self._entry(nodeid).node.mode)

    def _serve_aside(self, view: memoryview) -> bool:
        """Answer what the leading thread itself has caused; whether it is that."""
        _, opcode, unique, nodeid, _, _, tid, _, _ = fuse.IN_HEADER.unpack_from(view)
        if opcode == fuse.NOTIFY_REPLY and unique != ANNOUNCEMENT:
            self.pages.retrieved(unique, view)
            return True
        if opcode == fuse.POLL:
            handle, _, _, _ = fuse.POLL_IN.unpack_from(view, BODY)
            if not self._questions.answer(tid, handle):
                return False
            self._reply(unique, 0, fuse.POLL_OUT.pack(0, 0))
            return True
        if opcode == fuse.READ and self._is_device(nodeid):
            _, offset, size, flags = _unpack_read(view, BODY)
            if not flags & fuse.READ_LOCKOWNER:
                self._reply_fault(unique, nodeid, offset, size)
                return True
        if opcode == fuse.WRITE:
            _, offset, size, kind, _, _ = fuse.WRITE_IN.unpack_from(view, BODY)
            if kind & fuse.WRITE_CACHE:
                data = bytes(view[fuse.WRITE_DATA : fuse.WRITE_DATA + size])
                self.pages.written_back(nodeid, offset, data)
                self._reply(unique, 0, fuse.WRITE_OUT.pack(size, 0))
                return True
        return False

    def _reply_fault(self, unique: int, nodeid: int, offset: int, size: int) -> None:
        try:
            content = self.pages.fault(nodeid, offset, size, settle=not self._waits_for_lock)
        except Errno as error:
            self._reply(unique, error.errno, b"")
        else:
            self._reply(unique, 0, content)

    def _write(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        handle, offset, size, kind, _, flags = fuse.WRITE_IN.unpack_from(view, BODY)
        data = bytes(view[fuse.WRITE_DATA : fuse.WRITE_DATA + size])
        if kind & fuse.WRITE_CACHE:
            self.pages.written_back(nodeid, offset, data)
            self.pages.settle(self._lock)
            return fuse.WRITE_OUT.pack(size, 0)
        if flags & O_APPEND:
            offset = self._positions.get(handle, 0)
        written = self.do_file(caller, "write", self._files[handle], offset, data)
        if flags & O_APPEND:
            self._positions[handle] = offset + written
        return fuse.WRITE_OUT.pack(written, 0)

    def _ioctl(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        handle, _, command, argument = fuse.IOCTL_IN.unpack_from(view, BODY)
        open_file = self._files.get(handle)
        if open_file is None or command in fuse.FILE_ATTRIBUTES:  # a directory; nor has a driver
            raise Errno(errno.ENOTTY)
        try:
            result = self.do_file(caller, "ioctl", open_file, command, argument)
        except Errno as error:
            result = -error.errno  # unlike a reply's error, this may be any
        return fuse.IOCTL_OUT.pack(result, 0, 0, 0)

    def _poll(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        handle, kernel_handle, flags, _ = fuse.POLL_IN.unpack_from(view, BODY)
        if self._questions.answer(caller.tid, handle):
            return fuse.POLL_OUT.pack(0, 0)
        self._stop_waiting(handle)
        if not flags & fuse.POLL_SCHEDULE_NOTIFY:
            ready = self._call(caller, "poll", self._files[handle], NoPollTable())
            return fuse.POLL_OUT.pack(ready, 0)
        waiter = self._waiters[handle] = PollWaiter(self.fd, kernel_handle)
        return fuse.POLL_OUT.pack(self._call(caller, "poll", self._files[handle], waiter), 0)

    def _stop_waiting(self, handle: int) -> None:
        waiter = self._waiters.pop(handle, None)
        if waiter is not None:
            with self._lock:
                waiter.detach()

    def _release(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        (handle,) = _unpack_release(view, BODY)
        if self._positions:
            self._positions.pop(handle, None)
        if self._waiters:
            self._stop_waiting(handle)
        open_file = self._files.pop(handle)
        self.kernel.release(open_file)
        if self._maps_files:
            del self._nodeids[open_file]
            if self.pages and nodeid not in self._nodeids.values():
                self.pages.forget(nodeid)
        return b""

    def _fsync(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        """kernfs has noop_fsync, devices have none (vfs_fsync_range)."""
        if stat.S_ISREG(self._entry(nodeid).node.mode):
            return b""
        raise Errno(errno.EINVAL)

    def _fallocate(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        """vfs_fallocate: only for files, and kernfs has none."""
        regular = stat.S_ISREG(self._entry(nodeid).node.mode)
        raise Errno(errno.EOPNOTSUPP if regular else errno.ENODEV)

    # --- directories

    def _opendir(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        (flags,) = fuse.OPEN_IN.unpack_from(view, BODY)
        entry = self._entry(nodeid)
        open_file = self._do(caller, "open", entry.node, flags)
        handle = next(self._handles)
        self._directories[handle] = _OpenDirectory(entry, open_file)
        return fuse.OPEN_OUT.pack(handle, 0, 0)

    def _releasedir(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        (handle,) = fuse.RELEASE_IN.unpack_from(view, BODY)
        self.kernel.release(self._directories.pop(handle).open_file)
        return b""

    def _readdir(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        directory, offset, size = self._position(caller, view)
        reply = bytearray()
        for record, _, _, _ in directory.listing[offset:]:
            if len(reply) + len(record) > size:
                break
            reply += record
        return bytes(reply)

    def _readdirplus(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        """A listing that also tells the kernel what LOOKUP of each entry would, but nothing of
        what it knows already, which ``.`` and ``..`` are too, and of what has gone."""
        directory, offset, size = self._position(caller, view)
        reply, known = bytearray(), self._table.entries
        with self._lock:
            for record, node, tree, nodeid in directory.listing[offset:]:
                if len(reply) + _ENTRY_SIZE + len(record) > size:
                    break
                if nodeid in known or (tree != Tree.HOST and node.parent is None):
                    reply += _NO_ENTRY
                else:
                    reply += self._remember(tree, node, node.getattr(caller))
                reply += record
        return bytes(reply)

    def _position(self, caller: ProcessCaller, view: memoryview) -> tuple[_OpenDirectory, int, int]:
        handle, offset, size, _ = fuse.READ_IN.unpack_from(view, BODY)
        directory = self._directories[handle]
        if offset == 0:
            directory.listing = self._list(caller, directory.entry)
        return directory, offset, size

    def _list(self, caller: ProcessCaller, entry: Entry) -> list[Listed]:
        """As packed before if the machine gives the very list that it gave then."""
        node = entry.node
        found: list[Node] = self._do(caller, "readdir", node)
        if entry.listed_from is not found:
            entry.listing = self._pack(entry, found)
            entry.listed_from = found
        return entry.listing

    def _pack(self, entry: Entry, found: list[Node]) -> list[Listed]:
        node, tree = entry.node, entry.tree
        host = self._overlay.entries(node)
        mine = {child.name for child in found} if host else set()
        named = [
            # Of ".." too the id of a directory that the kernel knows: it looks up neither.
            (b".", node, tree, entry.nodeid),
            (b"..", node.parent or node, tree, entry.nodeid),
            *((_bytes(child.name), child, tree, node_id(tree, child)) for child in found),
            *(
                (_bytes(name), child, Tree.HOST, node_id(Tree.HOST, child))
                for name, child in host.items()
                if name not in mine
            ),
        ]
        return [
            (_dirent(name, node, tree, offset, self._type_of(node)), node, tree, nodeid)
            for offset, (name, node, tree, nodeid) in enumerate(named, 1)
        ]

    def _type_of(self, node: Node) -> int:
        """A directory entry's type, which agrees with what stat(2) says of a device."""
        if self._devices or not (stat.S_ISCHR(node.mode) or stat.S_ISBLK(node.mode)):
            return node.mode >> 12
        return stat.S_IFREG >> 12

    # --- the connection

    def _init(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        _, minor, _, offered = fuse.INIT_IN.unpack_from(view, BODY)
        wanted = _INIT_FLAGS
        if minor >= _CACHED_LINKS_MINOR:
            wanted |= fuse.INIT_CACHE_SYMLINKS
        if offered & fuse.INIT_EXT and self._maps_files:
            (more,) = fuse.INIT_IN_MORE.unpack_from(view, BODY + fuse.INIT_IN.size)
            offered |= more << 32
            wanted |= fuse.INIT_EXT | fuse.INIT_DIRECT_IO_ALLOW_MMAP
        wanted &= offered
        return fuse.INIT_OUT.pack(
            7,
            min(minor, _MINOR),
            0,  # no read-ahead
            wanted & 0xFFFF_FFFF,
            _MAX_BACKGROUND,
            _MAX_BACKGROUND,  # congestion threshold
            fuse.MAX_WRITE,
            1,  # granularity of times, ns
            fuse.MAX_PAGES,
            0,  # alignment of DAX mappings
            wanted >> 32,
            *(0,) * 7,
        )

    def _interrupt(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> None:
        (unique,) = fuse.INTERRUPT_IN.unpack_from(view, BODY)
        with self._lock:
            blocked = self.blocked.get(unique)
            if blocked is not None:
                blocked.interruption.interrupt()

    def _announced(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> None:
        if caller.unique == ANNOUNCEMENT and self.notifications is not None:
            self.notifications.answer(caller.worker)

    def _nothing(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        return b""

    def _no_method(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes:
        raise Errno(errno.EINVAL)

    def _unknown(self, caller: ProcessCaller, nodeid: int, view: memoryview) -> bytes | None:
        """The kernel's client then does what it does for file systems without the operation:
        no extended attributes, generic lseek, locks of its own."""
        self._reply(caller.unique, errno.ENOSYS, b"")
        return None


_ENTRY_SIZE = fuse.ENTRY.size + fuse.ATTR.size
_NO_ENTRY = bytes(_ENTRY_SIZE)
_ABSENT = fuse.ENTRY.pack(0, 0, LIFETIME, 0, 0, 0) + bytes(fuse.ATTR.size)
_ANNOUNCED_ENTRY = fuse.ENTRY.pack(ANNOUNCED_NODE, 0, 0, LIFETIME, 0, 0) + fuse.ATTR.pack(
    *(0,) * 9, stat.S_IFREG, 1, *(0,) * 5
)
_ATTRIBUTES_HEAD = fuse.ATTR_OUT.pack(LIFETIME, 0, 0)
_UNSETTLED_HEAD = fuse.ATTR_OUT.pack(0, 0, 0)


def _entry_head(entry: Entry) -> bytes:
    """What changes by a RELEASE is not cached: the next lookup queues behind the RELEASE, while a
    notification that it has changed would come after the program's close(2) has returned."""
    node = entry.node
    for_name = 0 if node.transient else LIFETIME
    return fuse.ENTRY.pack(entry.nodeid, 0, for_name, LIFETIME if node.settled else 0, 0, 0)


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def _dirent(name: bytes, node: Node, tree: Tree, next_offset: int, file_type: int) -> bytes:
    ino = inode_number(tree, node)
    record = fuse.DIRENT.pack(ino, next_offset, len(name), file_type) + name
    return record + bytes(-len(record) % 8)


def _name(view: memoryview, start: int) -> str:
    """The NUL-terminated string at ``start``."""
    text = bytes(view[start : start + 4096])
    return text[: text.index(b"\0")].decode(errors="surrogateescape")


def _names(view: memoryview, start: int) -> tuple[str, str]:
    """Two NUL-terminated strings, one after the other."""
    text = bytes(view[start : start + 2 * 4096])
    first, second, _ = text.split(b"\0", 2)
    return first.decode(errors="surrogateescape"), second.decode(errors="surrogateescape")
