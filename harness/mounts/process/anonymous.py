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
        #: Files that are to be opened, by number.
        self.waiting: dict[int, OpenFile] = {}
        #: Which of them the launcher has looked up, by node id: it opens that next.
        self._looked_up: dict[int, int] = {}

    def name_of(self, open_file: OpenFile) -> str:
        """A name for it, to be opened once."""
        number = next(self._numbers)
        self.waiting[number] = open_file
        return f"{PREFIX}{number}"

    def looked_up(self, name: str, now: int) -> bytes | None:
        """The reply to a lookup of ``name``; None if it is none of these."""
        if not name.startswith(PREFIX):
            return None
        number = int(name.removeprefix(PREFIX))
        open_file = self.waiting[number]
        node = open_file.node
        nodeid = self._node_id(number, node)
        self._looked_up[nodeid] = number
        entry = self._table.entries.get(nodeid)
        if entry is None:
            entry = self._table.entries[nodeid] = Entry(nodeid, Tree.ANONYMOUS, node)
        entry.lookups += 1
        found = node.getattr(open_file.opener)
        return ENTRY.pack(nodeid, 0, 0, 0, 0, 0) + entry.attributes(found, now)

    def _node_id(self, number: int, node: Node) -> int:
        known = self._table.entries
        self._ids = {node: nodeid for node, nodeid in self._ids.items() if nodeid in known}
        return self._ids.setdefault(node, Tree.ANONYMOUS << 32 | number)

    def opened(self, nodeid: int) -> OpenFile | None:
        """The file that is opened under this id; None if it is none of these."""
        number = self._looked_up.pop(nodeid, None)
        return self.waiting.pop(number) if number is not None else None

    def forget(self, name: str) -> OpenFile | None:
        """The file of this name if it was not opened, and will not be."""
        return self.waiting.pop(int(name.removeprefix(PREFIX)), None)
