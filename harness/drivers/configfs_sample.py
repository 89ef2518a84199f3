# SPDX-License-Identifier: Apache-2.0
"""The three subsystems of the kernel's sample (samples/configfs/configfs_sample.c, 6.1)."""

from __future__ import annotations

from harness.kernel.configfs import ConfigGroup, ConfigItem, ItemType, configfs_register_subsystem
from harness.kernel.kstrtox import kstrtoll
from harness.kernel.module import Module
from harness.kernel.sysfs import Attribute
from harness.kernel.system import Kernel
from harness.kernel.task import Caller

_INT_BITS = 32

# What users read is as the sample has it, blanks and line breaks too.
_CHILDLESS = """\
[01-childless]

The childless subsystem is the simplest possible subsystem in
configfs.  It does not support the creation of child config_items.
It only has a few attributes.  In fact, it isn't much different
than a directory in /proc.
"""
_SIMPLE_CHILDREN = """\
[02-simple-children]

This subsystem allows the creation of child config_items.  These
items have only one attribute that is readable and writeable.
"""
_GROUP_CHILDREN = """\
[03-group-children]

This subsystem allows the creation of child config_groups.  These
groups are like the subsystem simple-children.
"""


def _description(text: str) -> Attribute:
    def description_show(item: ConfigItem, caller: Caller) -> str:
        return text

    return Attribute("description", 0o444, description_show)


class SimpleChild(ConfigItem):
    """An item with a number."""

    storeme = 0


class Childless(ConfigGroup):
    """The first subsystem; ``showme`` counts how often it was shown."""

    showme = 0
    storeme = 0


def showme_show(item: Childless, caller: Caller) -> str:
    shown = item.showme
    item.showme += 1
    return f"{shown}\n"


def storeme_show(item: SimpleChild | Childless, caller: Caller) -> str:
    return f"{item.storeme}\n"


def storeme_store(item: SimpleChild | Childless, caller: Caller, data: bytes) -> None:
    """kstrtoint: EINVAL for other text, ERANGE outside 32 bits."""
    item.storeme = kstrtoll(data, 10, _INT_BITS)


_STOREME = Attribute("storeme", 0o644, storeme_show, storeme_store)
SIMPLE_CHILD = ItemType((_STOREME,))


def simple_children_make_item(group: ConfigGroup, name: str) -> ConfigItem:
    return SimpleChild(name, SIMPLE_CHILD)


def group_children_make_group(group: ConfigGroup, name: str) -> ConfigGroup:
    return ConfigGroup(name, SIMPLE_CHILDREN)


CHILDLESS = ItemType(
    (Attribute("showme", 0o444, showme_show), _STOREME, _description(_CHILDLESS)),
)
SIMPLE_CHILDREN = ItemType((_description(_SIMPLE_CHILDREN),), make_item=simple_children_make_item)
GROUP_CHILDREN = ItemType((_description(_GROUP_CHILDREN),), make_group=group_children_make_group)


def configfs_example_init(kernel: Kernel) -> None:
    """Module init."""
    for group in (
        Childless("01-childless", CHILDLESS),
        ConfigGroup("02-simple-children", SIMPLE_CHILDREN),
        ConfigGroup("03-group-children", GROUP_CHILDREN),
    ):
        configfs_register_subsystem(kernel, group)


MODULES = (Module("configfs_sample", configfs_example_init, depends=("configfs",)),)
