# SPDX-License-Identifier: Apache-2.0
"""Which nodes the host's kernel knows, by the ids it was given for them.

A node's id is its inode number with its tree's number above it, so neither is ever used twice.
An entry lives while the kernel holds lookups of it; FORGET ends it.
"""

from __future__ import annotations

import stat
from enum import IntEnum

from harness.kernel.vfs import Node, Stat
from harness.mounts.process.fuse_protocol import ATTR, ROOT_ID

#: Directories remember so many names that were asked for in vain; further ones are not cached.
NEGATIVES_LIMIT = 1000


class Tree(IntEnum):
    """The trees below a mount's root, told apart by the two highest bits of inode numbers."""

    SYS = 1
    DEV = 2
    HOST = 3
    #: Files without a name.
    ANONYMOUS = 4


#: What is mapped must lie within the file's size. VFIO's regions are 2**40 bytes apart.
_MAPPED_SIZE = 1 << 62


def node_id(tree: Tree, node: Node) -> int:
    """The id of ``node`` towards the kernel."""
    return tree << 32 | node.ino


def inode_number(tree: Tree, node: Node) -> int:
    """What stat(2) shows of ``node``."""
    return (tree - 1) << 30 | node.ino


#: An entry of a directory: its packed record, the node, the tree of it, and its id.
Listed = tuple[bytes, Node, Tree, int]


class Entry:
    """A node that the kernel may hold, and what the kernel may have cached about it."""

    __slots__ = ("listed_from", "listing", "lookups", "negatives", "node", "nodeid", "tree")

    def __init__(self, nodeid: int, tree: Tree, node: Node) -> None:
        self.nodeid = nodeid
        self.tree = tree
        self.node = node
        #: How many replies have carried this node since the kernel forgot it last.
        self.lookups = 0
        #: Names that the kernel may hold to be absent from this directory.
        self.negatives: set[str] = set()
        #: A directory's entries as READDIR gives them, and the machine's list they were made from.
        self.listing: list[Listed] = []
        self.listed_from: list[Node] | None = None

    def attributes(self, found: Stat, time: int) -> bytes:
        """The wire form of a node's attributes. Devices, and what is of no type, show as files,
        which FUSE would not serve otherwise; ``time`` (seconds) is given for all three times."""
        mode = found.mode
        if not stat.S_ISDIR(mode) and not stat.S_ISLNK(mode):
            mode = stat.S_IFREG | stat.S_IMODE(mode)
        return ATTR.pack(
            self.inode_number(),
            _MAPPED_SIZE if self.node.mappable else found.size,
            0,  # blocks
            time,
            time,
            time,
            0,
            0,
            0,
            mode,
            found.nlink,
            found.uid,
            found.gid,
            0,  # rdev
            4096,  # block size
            0,
        )

    def inode_number(self) -> int:
        """What stat(2) shows; sysfs has the numbers of its own tree."""
        return inode_number(self.tree, self.node)


class NodeTable:
    """All entries. To be used with the machine's lock held."""

    def __init__(self, root: Node) -> None:
        self.entries = {ROOT_ID: Entry(ROOT_ID, Tree.SYS, root)}

    def looked_up(self, tree: Tree, node: Node) -> Entry:
        """The entry of a node that goes to the kernel in a reply."""
        nodeid = node_id(tree, node)
        entry = self.entries.get(nodeid)
        if entry is None:
            entry = self.entries[nodeid] = Entry(nodeid, tree, node)
        entry.lookups += 1
        return entry

    def forget(self, nodeid: int, lookups: int) -> None:
        """The kernel gives back ``lookups`` of a node."""
        entry = self.entries.get(nodeid)
        if entry is None or nodeid == ROOT_ID:
            return
        entry.lookups -= lookups
        if entry.lookups <= 0:
            del self.entries[nodeid]
