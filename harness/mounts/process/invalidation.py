# SPDX-License-Identifier: Apache-2.0
"""Telling the host's kernel that what it has cached is no longer so.

The kernel keeps entries and attributes for as long as we let it, which is what makes lookups as
fast as on any file system. So each change in the machine's trees is sent to it, if it can have
cached what changed. Sending takes the lock of the directory, which a LOOKUP under way holds until
it is answered: whoever sends must neither lead the workers nor hold the machine's lock. A worker
sends what its request changed before it replies, so that a program finds the effect of a call
when the call returns; a change that no request made is sent by a thread of its own.

Uevents go the same way, in the order in which things happened: whoever hears of an event finds the
trees as it says.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import deque
from queue import SimpleQueue

from harness import background
from harness.kernel.kernfs import KernfsDirectory
from harness.kernel.uevents import Uevent
from harness.kernel.vfs import Node
from harness.mounts.overlay import Overlay
from harness.mounts.process.fuse_protocol import (
    NOTIFY_INVAL_ENTRY,
    NOTIFY_INVAL_ENTRY_OUT,
    NOTIFY_INVAL_INODE,
    NOTIFY_INVAL_INODE_OUT,
    OUT_HEADER,
)
from harness.mounts.process.netlink import netlink_message
from harness.mounts.process.nodes import Entry, NodeTable, Tree, node_id

#: Not cached after all, and the mount is gone: neither is of interest.
_HARMLESS = {errno.ENOENT, errno.ENOTCONN, errno.ENODEV, errno.EBADF, errno.ECONNABORTED}


def notify(fd: int, code: int, payload: bytes) -> bool:
    """Send one notification; whether there is still somebody whom it concerns."""
    return _write(fd, _notification(code, payload))


def _notification(code: int, payload: bytes) -> bytes:
    return OUT_HEADER.pack(OUT_HEADER.size + len(payload), code, 0) + payload


def _write(fd: int, message: bytes) -> bool:
    try:
        os.write(fd, message)
    except OSError as error:
        if error.errno not in _HARMLESS:
            raise
        return False
    return True


class TreeWatcher:
    """Hears of the changes in one tree (see :class:`harness.kernel.kernfs.Watcher`)."""

    def __init__(self, tree: Tree, table: NodeTable, overlay: Overlay, sender: Sender) -> None:
        self._tree = tree
        self._table = table
        self._overlay = overlay
        self._sender = sender

    def added(self, directory: Node, name: str) -> None:
        """The kernel may hold ``name`` to be absent, or to be the host's."""
        known = self._known(directory)
        if known is None:
            return
        if name in known.negatives or name in self._overlay.entries(directory):
            known.negatives.discard(name)
            self._sender.entry_changed(known.nodeid, name)
        self._link_count(known, directory, name)

    def removed(self, directory: Node, name: str, node: Node) -> None:
        """The kernel may hold ``name`` to be there."""
        known = self._known(directory)
        if known is None:
            return
        if self._known(node) is not None:
            self._sender.entry_changed(known.nodeid, name)
        if stat.S_ISDIR(node.mode):
            self._sender.attributes_changed(known.nodeid)

    def changed(self, node: Node) -> None:
        """The kernel may have cached the old mode; below a directory, who could search it."""
        known = self._known(node)
        if known is None:
            return
        self._sender.attributes_changed(known.nodeid)
        if isinstance(node, KernfsDirectory):
            for name, child in node.children.items():
                if self._known(child) is not None:
                    self._sender.entry_changed(known.nodeid, name)

    def _known(self, node: Node) -> Entry | None:
        return self._table.entries.get(node_id(self._tree, node))

    def _link_count(self, known: Entry, directory: Node, name: str) -> None:
        if isinstance(directory, KernfsDirectory) and stat.S_ISDIR(directory.children[name].mode):
            self._sender.attributes_changed(known.nodeid)


class Sender:
    """The notifications to be sent. Threads whose identity is in ``workers`` send their own.

    ``netlink`` is a socket for uevents, if they are to be sent.
    """

    def __init__(self, fd: int, workers: set[int], netlink: int | None) -> None:
        self._fd = fd
        self._netlink = netlink
        self._workers = workers
        #: What the kernel does not know yet, and where it is to be written; empty when all was.
        self.unsent: deque[tuple[int, bytes]] = deque()
        self._sending = threading.Lock()
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="uapi-invalidate", daemon=True)

    def start(self) -> None:
        """Start the thread for changes that no request made."""
        background.start(self._thread)

    def stop(self) -> None:
        """End that thread."""
        self._wake.put(False)
        self._thread.join()

    def entry_changed(self, directory: int, name: str) -> None:
        """Whatever the kernel holds of ``name`` in the directory of this id is over."""
        text = name.encode(errors="surrogateescape")
        payload = NOTIFY_INVAL_ENTRY_OUT.pack(directory, len(text), 0) + text + b"\0"
        self._tell(NOTIFY_INVAL_ENTRY, payload)

    def attributes_changed(self, nodeid: int) -> None:
        """Mode, owner or link count are to be asked for again."""
        self._tell(NOTIFY_INVAL_INODE, NOTIFY_INVAL_INODE_OUT.pack(nodeid, -1, 0))

    def uevent(self, event: Uevent) -> None:
        """An event for listeners (a subscriber of the machine's uevents)."""
        assert self._netlink is not None
        self._add(self._netlink, netlink_message(event))

    def wake(self) -> None:
        """Let that thread send what there is."""
        self._wake.put(True)

    def flush(self) -> None:
        """Return when all changes so far are known to the kernel."""
        with self._sending:
            while self.unsent:
                _write(*self.unsent[0])
                self.unsent.popleft()

    def _tell(self, code: int, payload: bytes) -> None:
        self._add(self._fd, _notification(code, payload))

    def _add(self, fd: int, message: bytes) -> None:
        self.unsent.append((fd, message))
        if threading.get_ident() not in self._workers:
            self.wake()

    def _run(self) -> None:
        while self._wake.get():
            self.flush()
