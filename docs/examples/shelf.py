# SPDX-License-Identifier: Apache-2.0
"""A new subsystem of configfs: mkdir /sys/kernel/config/shelf/NAME makes a shelf of books."""

import errno

from harness.modules import (
    Attribute,
    ConfigGroup,
    Errno,
    ItemType,
    Module,
    configfs_register_subsystem,
    kstrtoull,
)


class Shelf(ConfigGroup):
    width = 10


def width_store(shelf, caller, data):
    width = kstrtoull(data, 10, 16)
    if width < len(shelf.directory.children) - 1:
        raise Errno(errno.EBUSY)
    shelf.width = width


def make_book(shelf, name):
    if len(shelf.directory.children) > shelf.width:
        raise Errno(errno.ENOSPC)
    return ConfigGroup(name, ItemType())


WIDTH = Attribute("width", 0o644, lambda shelf, caller: f"{shelf.width}\n", width_store)
SHELF = ItemType((WIDTH,), make_group=make_book)
SUBSYSTEM = ItemType(make_group=lambda group, name: Shelf(name, SHELF))


def shelf_init(kernel):
    configfs_register_subsystem(kernel, ConfigGroup("shelf", SUBSYSTEM))


MODULE = Module("shelf", shelf_init, depends=("configfs",))
