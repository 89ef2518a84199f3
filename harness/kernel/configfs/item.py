# SPDX-License-Identifier: Apache-2.0
"""What a subsystem is made of: items, groups and their types (include/linux/configfs.h, 6.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen

from harness.kernel.sysfs import Attribute
from harness.kernel.task import Caller

if TYPE_CHECKING:
    from harness.kernel.configfs.dir import ConfigDirectory


@frozen
class ConfigBinaryAttribute:
    """A binary attribute of items (struct configfs_bin_attribute).

    ``read(item, caller)`` returns all of it, once for each open file; ``write(item, caller, data)``
    gets all that was written, once, when the file is closed, and its error goes nowhere.
    ``max_size`` is in bytes, 0 for no limit.
    """

    name: str
    mode: int
    max_size: int = 0
    read: Callable[[Any, Caller], bytes] | None = None
    write: Callable[[Any, Caller, bytes], None] | None = None


@frozen
class ItemType:
    """What items of one kind have and can do (struct config_item_type).

    ``attributes`` are :class:`harness.kernel.sysfs.Attribute`: ``show(item, caller)`` returns text
    of at most 4,096 bytes; ``store(item, caller, data)`` gets at most 4,095 bytes and returns how
    many it took, None for all. All may raise Errno.

    ``make_item(group, name)`` and ``make_group(group, name)`` answer mkdir in a group of this type;
    make_group is asked if there are both. ``disconnect_notify(group, item)`` and
    ``drop_item(group, item)`` hear of the rmdir, in this order. ``allow_link(item, target)`` and
    ``drop_link(item, target)`` are about symbolic links in an item of this type.
    """

    attributes: tuple[Attribute, ...] = ()
    binary_attributes: tuple[ConfigBinaryAttribute, ...] = ()
    make_item: Callable[[Any, str], ConfigItem | None] | None = None
    make_group: Callable[[Any, str], ConfigGroup | None] | None = None
    disconnect_notify: Callable[[Any, Any], None] | None = None
    drop_item: Callable[[Any, Any], None] | None = None
    allow_link: Callable[[Any, ConfigItem], None] | None = None
    drop_link: Callable[[Any, ConfigItem], None] | None = None


class ConfigItem:
    """A directory's object (struct config_item); drivers put what they need into a subclass."""

    def __init__(self, name: str, type: ItemType) -> None:
        self.name = name
        self.type = type
        #: The group that it is in; None before it is there and after rmdir.
        self.parent: ConfigItem | None = None
        #: Its directory while it has one.
        self.directory: ConfigDirectory | None = None


class ConfigGroup(ConfigItem):
    """An item with items in it (struct config_group).

    ``default_groups`` come and go with it and cannot be removed by themselves.
    """

    def __init__(
        self, name: str, type: ItemType, default_groups: tuple[ConfigGroup, ...] = ()
    ) -> None:
        super().__init__(name, type)
        self.default_groups = default_groups


def link_item(parent: ConfigItem | None, item: ConfigItem) -> None:
    """Put ``item`` below ``parent`` in the objects' own tree (link_obj, link_group)."""
    item.parent = parent
    if isinstance(item, ConfigGroup):
        for group in item.default_groups:
            link_item(item, group)


def unlink_item(item: ConfigItem) -> None:
    """Take it out again, its default groups first (unlink_obj, unlink_group)."""
    if isinstance(item, ConfigGroup):
        for group in item.default_groups:
            unlink_item(group)
    item.parent = None
