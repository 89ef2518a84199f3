# SPDX-License-Identifier: Apache-2.0
"""configfs: objects of the kernel that programs make with mkdir (fs/configfs, 6.1).

A subsystem is a :class:`ConfigGroup` given to :func:`configfs_register_subsystem`; what it may do
is in its :class:`ItemType`.
"""

from harness.kernel.configfs.item import ConfigBinaryAttribute, ConfigGroup, ConfigItem, ItemType
from harness.kernel.configfs.mount import (
    MODULES,
    configfs_depend_item,
    configfs_register_subsystem,
    configfs_undepend_item,
    configfs_unregister_subsystem,
)

__all__ = [
    "MODULES",
    "ConfigBinaryAttribute",
    "ConfigGroup",
    "ConfigItem",
    "ItemType",
    "configfs_depend_item",
    "configfs_register_subsystem",
    "configfs_undepend_item",
    "configfs_unregister_subsystem",
]
