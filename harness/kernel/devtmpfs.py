# SPDX-License-Identifier: Apache-2.0
"""/dev: what drivers put there, and the directories and links that programs such as udevd add.

Other than that the tree is made like one of sysfs; a program can make neither files nor devices.
"""

from __future__ import annotations

import errno
import stat

from harness.kernel.errors import Errno
from harness.kernel.kernfs import KernfsDirectory, KernfsNode, KernfsRoot
from harness.kernel.task import Caller
from harness.kernel.vfs import Node
from harness.uapi.fs import NAME_MAX

#: What an entry counts for, in bytes.
BOGO_DIRENT_SIZE = 20


class DevLink(KernfsNode):
    """A symbolic link with a text of its own."""

    __slots__ = ("text",)

    def __init__(self, root: KernfsRoot, name: str, text: str) -> None:
        super().__init__(root, name, stat.S_IFLNK | 0o777)
        self.text = text

    def readlink(self, caller: Caller) -> str:
        """shmem_get_link."""
        return self.text


class DevDirectory(KernfsDirectory):
    """A directory in which a program may make and remove directories and links (mm/shmem.c).

    Its size counts its entries, and ``.`` and ``..``.
    """

    __slots__ = ()

    def __init__(self, root: KernfsRoot, name: str, mode: int = 0o755) -> None:
        super().__init__(root, name, mode)
        self.size = 2 * BOGO_DIRENT_SIZE

    def add(self, node: Node) -> None:
        """shmem_mknod and others that make something."""
        super().add(node)
        self.size += BOGO_DIRENT_SIZE

    def remove(self, name: str) -> None:
        """shmem_unlink."""
        super().remove(name)
        self.size -= BOGO_DIRENT_SIZE

    def mkdir(self, caller: Caller, name: str, mode: int) -> Node:
        """shmem_mkdir."""
        made = DevDirectory(self.root, name, stat.S_IMODE(mode))
        self.add(made)
        return made

    def rmdir(self, caller: Caller, name: str) -> None:
        """ENOTEMPTY while there is something in it (shmem_rmdir)."""
        directory = self.children[name]
        if isinstance(directory, KernfsDirectory) and directory.children:
            raise Errno(errno.ENOTEMPTY)
        self.remove(name)

    def symlink(self, caller: Caller, name: str, target: str) -> Node:
        """shmem_symlink."""
        made = DevLink(self.root, name, target)
        self.add(made)
        return made

    def unlink(self, caller: Caller, name: str) -> None:
        """shmem_unlink; the driver does not mind."""
        self.remove(name)

    def rename(self, caller: Caller, name: str, new_parent: Node, new_name: str) -> None:
        """shmem_rename2, for links."""
        source = self.children[name]
        if not isinstance(source, DevLink) or not isinstance(new_parent, DevDirectory):
            raise Errno(errno.EPERM)
        if (self, name) == (new_parent, new_name):
            return
        if new_name in new_parent.children:
            new_parent.remove(new_name)
        self.remove(name)
        source.name = new_name
        new_parent.add(source)


class DevRoot(KernfsRoot):
    """The tree of one machine."""

    def __init__(self) -> None:
        super().__init__("dev", NAME_MAX)

    def make_directory(self, name: str, mode: int = 0o755) -> DevDirectory:
        """One in which programs may make something."""
        return DevDirectory(self, name, mode)
