# SPDX-License-Identifier: Apache-2.0
"""The root of configfs at /sys/kernel/config, and its subsystems (fs/configfs/mount.c, 6.1).

A machine that has the module shows it mounted, as every distribution does. Its nodes share inode
numbers and watchers with sysfs, which they are in the middle of.
"""

from __future__ import annotations

import errno

from harness.kernel.configfs.dir import (
    ConfigDirectory,
    ConfigfsSection,
    configfs_attach,
    configfs_detach,
)
from harness.kernel.configfs.item import ConfigGroup, ConfigItem, link_item, unlink_item
from harness.kernel.errors import Errno
from harness.kernel.module import Module
from harness.kernel.system import Kernel
from harness.kernel.watched import Watched


def configfs_init(kernel: Kernel) -> None:
    """Module init: the mount point, and configfs mounted there (configfs_init)."""
    parent = kernel.sysfs.directory("kernel")
    section = kernel.profile.section("configfs", ConfigfsSection)
    parent.add(ConfigDirectory(parent.root, "config", None, section))
    kernel.modules["configfs"].references += 1  # of the superblock (alloc_super)


def configfs_root(kernel: Kernel) -> ConfigDirectory:
    """The root directory; ENODEV without the module ``configfs`` (configfs_pin_fs)."""
    root = kernel.sysfs.directory("kernel").children.get("config")
    if not isinstance(root, ConfigDirectory):
        raise Errno(errno.ENODEV)
    return root


def configfs_register_subsystem(kernel: Kernel, group: ConfigGroup) -> None:
    """Show a subsystem. EEXIST if the name is taken."""
    link_item(None, group)
    kernel.watched |= Watched(unpollable=True)
    try:
        configfs_attach(configfs_root(kernel), group, group.name)
    except Errno:
        unlink_item(group)
        raise


def configfs_unregister_subsystem(kernel: Kernel, group: ConfigGroup) -> None:
    """Take a subsystem away. EBUSY while something made by hand is in it, which the kernel reports
    and then waits for (configfs_unregister_subsystem)."""
    directory = group.directory
    if directory is None:
        raise Errno(errno.ENOENT)
    try:
        directory.detach_prep()
    except Errno:
        raise Errno(errno.EBUSY) from None
    configfs_detach(configfs_root(kernel), group.name)
    unlink_item(group)


def configfs_depend_item(subsystem: ConfigGroup, target: ConfigItem) -> None:
    """Keep ``target`` from being removed. ENOENT unless it is there, in ``subsystem``."""
    _dependent(subsystem, target).dependents += 1


def configfs_undepend_item(subsystem: ConfigGroup, target: ConfigItem) -> None:
    """Let go what :func:`configfs_depend_item` held."""
    directory = _dependent(subsystem, target)
    assert directory.dependents
    directory.dependents -= 1


def _dependent(subsystem: ConfigGroup, target: ConfigItem) -> ConfigDirectory:
    directory = target.directory
    if directory is None or all(above.item is not subsystem for above in directory.up_to_root()):
        raise Errno(errno.ENOENT)
    return directory


MODULES = (Module("configfs", configfs_init),)
