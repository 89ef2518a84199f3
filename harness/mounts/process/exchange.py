# SPDX-License-Identifier: Apache-2.0
"""Another machine behind a mount that programs have used.

A machine that is built twice has the same nodes twice: the same paths, and the same inode numbers.
So what the host's kernel holds of the first is true of the second, but for what happened in the
first meanwhile. That alone it is told, which is much less than a new mount costs.
"""

from __future__ import annotations

import stat

from harness.kernel.kernfs import KernfsDirectory
from harness.kernel.vfs import Node
from harness.mounts.overlay import Overlay
from harness.mounts.process.invalidation import Sender
from harness.mounts.process.nodes import Entry, NodeTable, Tree, node_id


class Counterparts:
    """The nodes of a new machine by those of the old one, which was built the same way."""

    def __init__(self, old: Node, new: Node) -> None:
        self._found: dict[Node, Node | None] = {old: new}

    def of(self, node: Node) -> Node | None:
        """The node that the host's kernel may take for ``node``; None if there is none."""
        if node not in self._found:
            self._found[node] = self._find(node)
        return self._found[node]

    def _find(self, node: Node) -> Node | None:
        directory = self.of(node.parent) if node.parent is not None else None
        if not isinstance(directory, KernfsDirectory):
            return None
        found = directory.children.get(node.name)
        if found is None or found.ino != node.ino:
            return None
        return found if stat.S_IFMT(found.mode) == stat.S_IFMT(node.mode) else None


def exchange(table: NodeTable, overlay: Overlay, counterparts: Counterparts, send: Sender) -> bool:
    """Let all entries be of the new machine, and tell the host's kernel what it must forget.

    False, with nothing done, if the host's own entries would not be where they were. To be called
    with both machines' locks held.
    """
    entries = [entry for entry in table.entries.values() if entry.tree != Tree.HOST]
    gone = [entry for entry in entries if counterparts.of(entry.node) is None]
    for entry in gone:
        parent = entry.node.parent
        # The kernel dropped the host's entry, with what was bound over it, for this one.
        if parent is not None and entry.node.name in overlay.entries(parent):
            return False
    if not overlay.exchange(counterparts.of):
        return False
    for entry in gone:
        directory = entry.node.parent
        known = table.entries.get(node_id(entry.tree, directory)) if directory else None
        if known is not None:
            send.entry_changed(known.nodeid, entry.node.name)
    for entry in entries:
        new = counterparts.of(entry.node)
        if new is not None:
            _renew(entry, new, send)
    return True


def _renew(entry: Entry, new: Node, send: Sender) -> None:
    if _attributes(entry.node) != _attributes(new):
        send.attributes_changed(entry.nodeid)
    entry.node = new
    entry.listing, entry.listed_from = [], None
    if isinstance(new, KernfsDirectory):
        for name in entry.negatives & new.children.keys():
            entry.negatives.discard(name)
            send.entry_changed(entry.nodeid, name)


def _attributes(node: Node) -> tuple[int, ...]:
    return node.mode, node.uid, node.gid, node.size, node.nlink, node.rdev
