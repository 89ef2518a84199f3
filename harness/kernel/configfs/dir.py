# SPDX-License-Identifier: Apache-2.0
"""Items as directories: mkdir, rmdir, symlink and unlink (fs/configfs/{dir,symlink}.c, 6.1).

All runs under the machine's lock, so nobody sees a group that is still being built.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from attrs import frozen

from harness.kernel.configfs.file import SIMPLE_ATTR_SIZE, ConfigFile
from harness.kernel.configfs.item import ConfigGroup, ConfigItem, link_item, unlink_item
from harness.kernel.errors import Errno
from harness.kernel.kernfs import KernfsDirectory, KernfsLink, KernfsRoot
from harness.kernel.task import Caller
from harness.kernel.vfs import Node, OpenFile, kern_path, vfs_permission
from harness.uapi.fs import MAX_LFS_FILESIZE, MAY_EXEC, MAY_WRITE, NAME_MAX, PATH_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator


@frozen
class ConfigfsSection:
    """The profile's section ``configfs``. ``pinned_at_end``: directories and links come behind the
    attributes, in the order in which they were made, not among them by age."""

    pinned_at_end: bool


class ConfigDirectory(KernfsDirectory):
    """The directory of ``item``; the root of configfs has none."""

    __slots__ = ("dependents", "is_default", "item", "links", "section")

    def __init__(
        self, root: KernfsRoot, name: str, item: ConfigItem | None, section: ConfigfsSection
    ) -> None:
        super().__init__(root, name)
        self.item = item
        self.section = section
        #: Made with its parent, not by mkdir (CONFIGFS_USET_DEFAULT).
        self.is_default = False
        #: How many links lead here, and how often it is depended upon.
        self.links = 0
        self.dependents = 0

    @property
    def max_bytes(self) -> int:
        """configfs_dir_lseek has no limit of its own."""
        return MAX_LFS_FILESIZE

    def lookup(self, caller: Caller, name: str) -> Node:
        """ENAMETOOLONG before all else (configfs_lookup)."""
        if len(name.encode(errors="surrogateescape")) > NAME_MAX:
            raise Errno(errno.ENAMETOOLONG)
        return super().lookup(caller, name)

    def readdir(self, caller: Caller) -> list[Node]:
        """The newest entry first, but for what that kernel puts at the end; ENOENT once removed
        (configfs_new_dirent, iterate_dir)."""
        if self.parent is None:
            raise Errno(errno.ENOENT)
        if self._sorted is None:
            entries = list(reversed(self.children.values()))
            if self.section.pinned_at_end:
                files = [node for node in entries if isinstance(node, ConfigFile)]
                pinned = [node for node in self.children.values() if node not in files]
                entries = [*files, *pinned]
            self._sorted = entries
        return self._sorted

    def open(self, caller: Caller, flags: int) -> OpenFile:
        """ENOENT once it was removed, for who is still in it (configfs_dir_open)."""
        if self.parent is None:
            raise Errno(errno.ENOENT)
        return super().open(caller, flags)

    def mkdir(self, caller: Caller, name: str, mode: int) -> Node:
        """EPERM where nothing can be made; else what the group says (configfs_mkdir)."""
        group = self.item
        if not isinstance(group, ConfigGroup):
            raise Errno(errno.EPERM)
        make = group.type.make_group or group.type.make_item
        if make is None:
            raise Errno(errno.EPERM)
        item = make(group, name)
        if item is None:
            raise Errno(errno.ENOMEM)
        link_item(group, item)
        try:
            return configfs_attach(self, item, name)
        except Errno:
            _client_drop(group, item)
            raise

    def rmdir(self, caller: Caller, name: str) -> None:
        """EPERM for what was not made by mkdir; EBUSY, ENOTEMPTY while in use (configfs_rmdir)."""
        group = self.item
        if group is None:
            raise Errno(errno.EPERM)  # the root has no rmdir
        directory = self.children[name]
        assert isinstance(directory, ConfigDirectory)
        if directory.is_default:
            raise Errno(errno.EPERM)
        if directory.dependents:
            raise Errno(errno.EBUSY)
        directory.detach_prep()
        item = directory.item
        assert item is not None
        configfs_detach(self, name)
        _client_drop(group, item)

    def detach_prep(self) -> None:
        """EBUSY for a link's target, ENOTEMPTY for what has anything made by hand in it, also in
        its default groups (configfs_detach_prep)."""
        if self.links:
            raise Errno(errno.EBUSY)
        for child in reversed(self.children.values()):
            if isinstance(child, ConfigDirectory) and child.is_default:
                child.detach_prep()
            elif not isinstance(child, ConfigFile):
                raise Errno(errno.ENOTEMPTY)

    def symlink(self, caller: Caller, name: str, target: str) -> Node:
        """The target is looked up now, from where the caller is; the item may refuse it
        (configfs_symlink)."""
        item = self.item
        if item is None or item.type.allow_link is None:
            raise Errno(errno.EPERM)
        directory = self._get_target(caller, target)
        assert directory.item is not None
        vfs_permission(caller, self, MAY_WRITE | MAY_EXEC)
        item.type.allow_link(item, directory.item)
        link = ConfigLink(self.root, name, directory)
        try:
            self.add(link)
            if len(link.readlink(caller).encode(errors="surrogateescape")) >= PATH_MAX:
                self.remove(name)
                raise Errno(errno.ENAMETOOLONG)
        except Errno:
            if item.type.drop_link is not None:
                item.type.drop_link(item, directory.item)
            raise
        directory.links += 1
        return link

    def _get_target(self, caller: Caller, target: str) -> ConfigDirectory:
        """EPERM for a directory of another file system; ENOTDIR for what is none (get_target)."""
        directory = kern_path(caller, self, target)
        if not isinstance(directory, ConfigDirectory):
            raise Errno(errno.EPERM)
        if directory.item is None:
            raise Errno(errno.ENOENT)  # the root, which is not hashed
        return directory

    def unlink(self, caller: Caller, name: str) -> None:
        """Links go, attributes do not: EPERM (configfs_unlink)."""
        link = self.children[name]
        if not isinstance(link, ConfigLink):
            raise Errno(errno.EPERM)
        item, target = self.item, link.target
        assert item is not None
        assert isinstance(target, ConfigDirectory)
        self.remove(name)
        if item.type.drop_link is not None and target.item is not None:
            item.type.drop_link(item, target.item)
        target.links -= 1

    def up_to_root(self) -> Iterator[ConfigDirectory]:
        """This and its parents below the root of configfs."""
        directory: Node | None = self
        while isinstance(directory, ConfigDirectory) and directory.item is not None:
            yield directory
            directory = directory.parent


class ConfigLink(KernfsLink):
    """A symbolic link to an item."""

    __slots__ = ()

    def readlink(self, caller: Caller) -> str:
        """Up to the root of configfs and down again (configfs_get_target_path)."""
        assert isinstance(self.parent, ConfigDirectory)
        assert isinstance(self.target, ConfigDirectory)
        names = [directory.name for directory in self.target.up_to_root()]
        return "../" * sum(1 for _ in self.parent.up_to_root()) + "/".join(reversed(names))


def configfs_attach(parent: ConfigDirectory, item: ConfigItem, name: str) -> ConfigDirectory:
    """Make the directory of ``item`` with attributes and default groups, and show it at once.

    EEXIST if a name is taken. Follows configfs_attach_item and configfs_attach_group.
    """
    directory = ConfigDirectory(parent.root, name, item, parent.section)
    for attribute in item.type.attributes:
        directory.add(ConfigFile(parent.root, item, attribute, SIMPLE_ATTR_SIZE))
    for binary in item.type.binary_attributes:
        directory.add(ConfigFile(parent.root, item, binary, 0))
    if isinstance(item, ConfigGroup):
        for group in item.default_groups:
            configfs_attach(directory, group, group.name).is_default = True
    parent.add(directory)
    item.directory = directory
    return directory


def configfs_detach(parent: ConfigDirectory, name: str) -> None:
    """Take the directory away, its default groups first (configfs_detach_group)."""
    directory = parent.children[name]
    assert isinstance(directory, ConfigDirectory)
    _forget(directory)
    parent.remove(name)


def _forget(directory: ConfigDirectory) -> None:
    """Items in and below ``directory`` have none any more."""
    if directory.item is not None:
        directory.item.directory = None
    for child in directory.children.values():
        if isinstance(child, ConfigDirectory):
            _forget(child)


def _client_drop(group: ConfigGroup | ConfigItem, item: ConfigItem) -> None:
    """Tell the group, then let go (client_disconnect_notify, unlink_group, client_drop_item)."""
    if group.type.disconnect_notify is not None:
        group.type.disconnect_notify(group, item)
    unlink_item(item)
    if group.type.drop_item is not None:
        group.type.drop_item(group, item)
