# SPDX-License-Identifier: Apache-2.0
"""Character devices and their nodes in /dev (fs/char_dev.c, drivers/base/devtmpfs.c, 6.1)."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Mapping

from attrs import define, field

from harness.kernel.errors import Errno
from harness.kernel.kernfs import KernfsDirectory, KernfsNode, KernfsRoot
from harness.kernel.task import Caller
from harness.kernel.vfs import OpenFile

OpenMethod = Callable[["CharDevice", Caller, int], OpenFile]


def makedev(major: int, minor: int) -> int:
    """The user ABI's device number (glibc makedev)."""
    return (major & 0xFFF) << 8 | (minor & 0xFF) | (major & ~0xFFF) << 32 | (minor & ~0xFF) << 12


class CharDevice(KernfsNode):
    """A character device node. ``cdevs`` are the open methods of the devices that there are."""

    __slots__ = ("_cdevs", "_rdev", "mappable")

    def __init__(
        self, root: KernfsRoot, name: str, mode: int, rdev: int, cdevs: Mapping[int, OpenMethod]
    ) -> None:
        super().__init__(root, name, stat.S_IFCHR | mode)
        self._rdev = rdev
        self._cdevs = cdevs
        self.mappable = False

    @property
    def rdev(self) -> int:
        """Major and minor as one number."""
        return self._rdev

    def open(self, caller: Caller, flags: int) -> OpenFile:
        """chrdev_open: the open method of the number's driver; ENXIO if that has gone."""
        open_method = self._cdevs.get(self._rdev)
        if open_method is None:
            raise Errno(errno.ENXIO)
        return open_method(self, caller, flags)


@define(eq=False)
class Devices:
    """Majors by name, and the tree /dev of one machine."""

    root: KernfsRoot
    next_major: int
    majors: dict[str, int] = field(factory=dict)
    #: The drivers' open methods by number (cdev_map).
    cdevs: dict[int, OpenMethod] = field(factory=dict)

    def alloc_chrdev_region(self, name: str) -> int:
        """A dynamic major for ``name``: the highest that is free (find_dynamic_major)."""
        taken = self.majors.values()
        major = next(major for major in range(self.next_major, 0, -1) if major not in taken)
        self.majors[name] = major
        return major

    def unregister_chrdev_region(self, name: str) -> None:
        """The major of ``name`` is free."""
        del self.majors[name]

    def create_node(
        self, name: str, rdev: int, open_method: OpenMethod, mode: int = 0o600
    ) -> CharDevice:
        """Add the device ``rdev`` (cdev_add). Make /dev/NAME and the directories above it
        (devtmpfs_create_node).
        """
        self.cdevs[rdev] = open_method
        *directories, base = name.split("/")
        directory = self.root.directory
        for part in directories:
            directory = directory.directory(part)
        node = CharDevice(self.root, base, mode, rdev, self.cdevs)
        directory.add(node)
        return node

    def delete_node(self, name: str, rdev: int) -> None:
        """Remove the device (cdev_del), /dev/NAME, and directories that become empty
        (devtmpfs_delete_node).
        """
        del self.cdevs[rdev]
        *directories, base = name.split("/")
        chain: list[KernfsDirectory] = [self.root.directory]
        for part in directories:
            chain.append(chain[-1].directory(part))
        if base in chain[-1].children:  # else a program has removed it
            chain[-1].remove(base)
        for parent, child in zip(reversed(chain[:-1]), reversed(chain), strict=False):
            if child.children:
                break
            parent.remove(child.name)
