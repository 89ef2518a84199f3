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
    """Those of one mount.

    Files of one node are one file to the host's kernel, and share what is mapped of them.
    """

    def __init__(self, table: NodeTable) -> None:
        self._table = table
        self._numbers = itertools.count(1)
        self._ids: dict[Node, int] = {}
        #: Files that are to be opened, with their node ids, by number.
        self.waiting: dict[int, tuple[int, OpenFile]] = {}

    def name_of(self, open_file: OpenFile) -> str:
        """A name for it, to be opened once."""
        number = next(self._numbers)
        self.waiting[number] = self._node_id(number, open_file.node), open_file
        return f"{PREFIX}{number}"

    def _node_id(self, number: int, node: Node) -> int:
        known = self._table.entries
        self._ids = {node: nodeid for node, nodeid in self._ids.items() if nodeid in known}
        return self._ids.setdefault(node, Tree.ANONYMOUS << 32 | number)

    def looked_up(self, name: str, now: int) -> bytes | None:
        """The reply to a lookup of ``name``; None if it is none of these."""
        if not name.startswith(PREFIX):
            return None
        nodeid, open_file = self.waiting[int(name.removeprefix(PREFIX))]
        node = open_file.node
        entry = self._table.entries.get(nodeid)
        if entry is None:
            entry = self._table.entries[nodeid] = Entry(nodeid, Tree.ANONYMOUS, node)
        entry.lookups += 1
        found = node.getattr(open_file.opener)
        return ENTRY.pack(nodeid, 0, 0, 0, 0, 0) + entry.attributes(found, now)

    def opened(self, nodeid: int) -> OpenFile | None:
        """The file that is opened under this id; None if it is none of these."""
        for number, (waiting, open_file) in self.waiting.items():
            if waiting == nodeid:
                del self.waiting[number]
                return open_file
        return None
