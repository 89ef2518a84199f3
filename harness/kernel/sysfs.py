# SPDX-License-Identifier: Apache-2.0
"""Attributes and groups of attributes on a directory of sysfs (fs/sysfs/{group,symlink}.c, 6.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from attrs import frozen

from harness.kernel.kernfs import BinaryFile, KernfsDirectory, KernfsLink, TextFile
from harness.kernel.task import Caller
from harness.kernel.vfs import Node


@frozen
class Attribute:
    """A text attribute of objects of one kind (struct device_attribute).

    ``show(object, caller)`` returns the text; ``store(object, caller, data)`` returns how many
    bytes it took, or None for all of them. A missing method answers EIO where the mode allows it.
    Functions are named as the kernel's, which is what the trace shows.
    """

    name: str
    mode: int
    show: Callable[[Any, Caller], str | bytes] | None = None
    store: Callable[[Any, Caller, bytes], int | None] | None = None


@frozen
class BinaryAttribute:
    """A binary attribute (struct bin_attribute). ``size`` 0 means unknown.

    ``read(object, opener, offset, count)`` and ``write(object, opener, offset, data)`` are given
    clipped ranges and who opened the file.
    """

    name: str
    mode: int
    size: int
    read: Callable[[Any, Caller, int, int], bytes] | None = None
    write: Callable[[Any, Caller, int, bytes], int] | None = None


@frozen
class AttributeGroup:
    """Attributes that appear together (struct attribute_group).

    ``name`` is a subdirectory, or None for the object's own directory. ``is_visible(object,
    attribute)`` returns the mode to use, 0 to hide.
    """

    attributes: tuple[Attribute | BinaryAttribute, ...]
    name: str | None = None
    is_visible: Callable[[Any, Attribute | BinaryAttribute], int] | None = None


def sysfs_create_file(
    directory: KernfsDirectory, owner: Any, attribute: Attribute | BinaryAttribute
) -> None:
    """Add one attribute of ``owner``. EEXIST if the name is taken."""
    _create(directory, owner, attribute, attribute.mode)


def _create(
    directory: KernfsDirectory, owner: Any, attribute: Attribute | BinaryAttribute, mode: int
) -> None:
    def bound(method: Callable[..., Any] | None) -> Any:
        return partial(method, owner) if method is not None else None

    node: Node
    if isinstance(attribute, BinaryAttribute):
        node = BinaryFile(
            directory.root,
            attribute.name,
            mode,
            attribute.size,
            bound(attribute.read),
            bound(attribute.write),
        )
    else:
        node = TextFile(
            directory.root, attribute.name, mode, bound(attribute.show), bound(attribute.store)
        )
    directory.add(node)


def sysfs_create_group(directory: KernfsDirectory, owner: Any, group: AttributeGroup) -> None:
    """Add all visible attributes of a group (create_files)."""
    shown = [
        (attribute, group.is_visible(owner, attribute) if group.is_visible else attribute.mode)
        for attribute in group.attributes
    ]
    target = directory.directory(group.name) if group.name is not None else directory
    for attribute, mode in shown:
        if mode:
            _create(target, owner, attribute, mode)


def sysfs_remove_group(directory: KernfsDirectory, group: AttributeGroup) -> None:
    """Take a group's attributes away again; those that are hidden are no error."""
    if group.name is not None:
        directory.remove(group.name)
        return
    for attribute in group.attributes:
        if attribute.name in directory.children:
            directory.remove(attribute.name)


def sysfs_create_groups(
    directory: KernfsDirectory, owner: Any, groups: Iterable[AttributeGroup]
) -> None:
    """Add several groups."""
    for group in groups:
        sysfs_create_group(directory, owner, group)


def sysfs_create_link(directory: KernfsDirectory, target: Node, name: str) -> None:
    """Add the symbolic link ``name`` to ``target``. EEXIST if the name is taken."""
    directory.add(KernfsLink(directory.root, name, target))


def sysfs_remove_link(directory: KernfsDirectory, name: str) -> None:
    """Take a link away; one that is not there is no error."""
    if name in directory.children:
        directory.remove(name)
