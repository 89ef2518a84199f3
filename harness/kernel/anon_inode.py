# SPDX-License-Identifier: Apache-2.0
"""Files without a name, such as eventfds and the devices of VFIO (fs/anon_inodes.c, 6.1)."""

from __future__ import annotations

from harness.kernel.vfs import Node

#: What /proc shows before the name of such a file's class.
PREFIX = "anon_inode:"
#: In a kernel, all such files share the one inode, whose number depends on what was made before.
_INO = 13


class AnonInode(Node):
    """What a file of class ``name``, such as ``[eventfd]``, shows (anon_inode_getfile)."""

    __slots__ = ()
    mappable = True

    def __init__(self, name: str) -> None:
        # No file type: alloc_anon_inode.
        super().__init__(PREFIX + name, 0o600, _INO)
