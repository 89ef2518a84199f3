# SPDX-License-Identifier: Apache-2.0
"""Files that a call of a program makes, such as the device of a VFIO group: they have no name.

To become an fd of a program such a file is opened once, by the launcher, under a name below the
mount's root. No program sees that directory.
"""

from __future__ import annotations

import itertools

from harness.kernel.vfs import Node, OpenFile
from harness.mounts.process.fuse_protocol import ENTRY
from harness.mounts.process.nodes import Entry, NodeTable, Tree

PREFIX = ".open-"


class AnonymousFiles:
    """Those of one mount that wait to be opened."""

    def __init__(self, table: NodeTable) -> None:
        self._table = table
        self._numbers = itertools.count(1)
        #: By node id.
        self.waiting: dict[int, OpenFile] = {}

    def name_of(self, open_file: OpenFile) -> str:
        """A name for it, to be opened once."""
        number = next(self._numbers)
        self.waiting[Tree.ANONYMOUS << 32 | number] = open_file
        return f"{PREFIX}{number}"

    def looked_up(self, name: str, now: int) -> bytes | None:
        """The reply to a lookup of ``name``; None if it is none of these."""
        if not name.startswith(PREFIX):
            return None
        nodeid = Tree.ANONYMOUS << 32 | int(name.removeprefix(PREFIX))
        node: Node = self.waiting[nodeid].node
        entry = self._table.entries[nodeid] = Entry(nodeid, Tree.ANONYMOUS, node)
        entry.lookups += 1
        found = node.getattr(self.waiting[nodeid].opener)
        return ENTRY.pack(nodeid, 0, 0, 0, 0, 0) + entry.attributes(found, now)
