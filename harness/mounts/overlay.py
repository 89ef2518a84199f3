# SPDX-License-Identifier: Apache-2.0
"""What the host contributes to the directories that a machine shares with it.

In a merged directory the machine's own entries come first. An entry of the host that the machine
does not have is shown as what it is: a link is copied; a directory, file or device becomes an empty
node of ours, over which the launcher bind-mounts the real one, so that it works at native speed.
Which host entries there are is found out once, when the mount is made. A host entry that the
machine hides then stays hidden; one that the machine takes later is hidden from then on.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.kernel.errors import Errno
from harness.kernel.kernfs import KernfsDirectory
from harness.kernel.vfs import Node

if TYPE_CHECKING:
    from harness.kernel.system import Kernel
    from harness.kernel.task import Caller

#: Directories of sysfs that every kernel has and a machine may fill while programs run.
_SYSFS_DIRECTORIES = ("bus", "class", "dev", "dev/block", "dev/char", "devices", "kernel", "module")

#: Directories that show the host's entries next to the machine's. A bus, a module, a device or a
#: driver is the machine's alone if the machine has one of that name.
_MERGED = re.compile(
    r"""
    /sys
    | /sys/(bus | class | dev | devices | kernel | module)
    | /sys/class/[^/]+
    | /sys/dev/(block | char)
    | /sys/devices/(pci[0-9a-f:]+ | platform | system | virtual)
    | /sys/devices/(system | virtual)/[^/]+
    | /dev
    """,
    re.VERBOSE,
)


#: Where the host's devices are not to be found by anybody who looks for devices, yet what is in
#: their directories stays.
_MERGED_WITHOUT_DEVICES = re.compile(
    r"/sys|/sys/(devices|kernel|module)|/sys/devices/(platform|system|virtual)|/dev"
)
_MACHINES_OWN = re.compile(r"/(sys|dev)(/|$)")


#: Directories of /dev with udevd's links to devices.
_DEVICE_LINKS = {"block", "char", "disk"}


class HostNode(Node):
    """An empty stand-in for a file, device or directory of the host."""

    __slots__ = ("path_on_host",)

    def __init__(self, path: str, name: str, mode: int, ino: int) -> None:
        super().__init__(name, mode, ino)
        self.path_on_host = path

    def readdir(self, caller: Caller) -> list[Node]:
        """Nothing of its own."""
        return []

    def readlink(self, caller: Caller) -> str:
        """What the host's link says now."""
        try:
            return os.readlink(self.path_on_host)
        except OSError as error:
            raise Errno(error.errno or errno.ENOENT) from None


def directory_on_host(path: str) -> str | None:
    """See :meth:`harness.kernel.task.Caller.on_host`: a link of the host may lead into the trees
    that a machine is shown in, which then has the say."""
    resolved = os.path.realpath(path)
    if _MACHINES_OWN.match(resolved):
        return resolved
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise Errno(error.errno or errno.ENOENT) from None
    if not stat.S_ISDIR(mode):
        raise Errno(errno.ENOTDIR)
    return None


def prepare(kernel: Kernel) -> None:
    """Make the directories of sysfs that every kernel has."""
    with kernel.lock:
        for path in _SYSFS_DIRECTORIES:
            directory = kernel.sysfs
            for name in path.split("/"):
                directory = directory.directory(name)


class Overlay:
    """The host's part of all merged directories of one mount.

    ``covered`` are the host's directories that subtrees of the mount are to be put over; ``binds``
    are the host's entries to be bound over their stand-ins, by the path they share. Without
    ``devices``, no bus and no class shows devices of the host.
    """

    def __init__(self, kernel: Kernel, *, devices: bool = True) -> None:
        self._merged = _MERGED if devices else _MERGED_WITHOUT_DEVICES
        self._entries: dict[Node, dict[str, HostNode]] = {}
        self._ino = 0
        self.binds: list[str] = []
        prepare(kernel)
        with kernel.lock:
            top = kernel.sysfs.children
            if all(os.path.isdir(f"/sys/{name}") for name in top):
                self.covered = [*(f"/sys/{name}" for name in top), "/dev"]
            else:
                self.covered = ["/sys", "/dev"]
            for path in self.covered:
                directory = kernel.root
                for name in path.split("/")[1:]:
                    assert isinstance(directory, KernfsDirectory)
                    directory = directory.children[name]
                self._merge(directory, path)

    def entries(self, directory: Node) -> dict[str, HostNode]:
        """What the host has in ``directory``, by name; nothing unless it is merged."""
        return self._entries.get(directory, {})

    def find(self, directory: Node, name: str) -> HostNode | None:
        """The host's entry ``name``, unless the machine has one of that name."""
        found = self.entries(directory).get(name)
        if found is not None and isinstance(directory, KernfsDirectory):
            return None if name in directory.children else found
        return found

    def exchange(self, counterpart: Callable[[Node], Node | None]) -> bool:
        """Merge the same entries into another machine's directories; False if it lacks one."""
        exchanged = {counterpart(directory): found for directory, found in self._entries.items()}
        if None in exchanged:
            return False
        self._entries = {node: found for node, found in exchanged.items() if node is not None}
        return True

    def _merge(self, directory: Node, path: str) -> None:
        if not isinstance(directory, KernfsDirectory) or self._merged.fullmatch(path) is None:
            return
        found = self._entries[directory] = {}
        try:
            entries = list(os.scandir(path))
        except OSError:  # the host has none, or it is not ours to read
            return
        for entry in entries:
            if path == "/dev" and entry.name in _DEVICE_LINKS and self._merged is not _MERGED:
                continue
            mine = directory.children.get(entry.name)
            if mine is None:
                found[entry.name] = self._stand_in(entry)
            elif entry.is_dir(follow_symlinks=False):
                self._merge(mine, entry.path)

    def _stand_in(self, entry: os.DirEntry[str]) -> HostNode:
        self._ino += 1
        if entry.is_symlink():
            mode = stat.S_IFLNK | 0o777
        else:
            self.binds.append(entry.path)
            is_directory = entry.is_dir(follow_symlinks=False)
            mode = stat.S_IFDIR | 0o555 if is_directory else stat.S_IFREG | 0o444
        return HostNode(entry.path, entry.name, mode, self._ino)
