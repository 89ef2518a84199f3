# SPDX-License-Identifier: Apache-2.0
"""One kernel's behaviour, version and configuration, as data.

A profile has one section per module. The module that owns a section structures it into its own
class; sections that nobody claimed and keys that no class has are errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import cattrs
from attrs import define, field, frozen
from cattrs.errors import ClassValidationError
from cattrs.v import transform_error

Section = TypeVar("Section")

_converter = cattrs.Converter(forbid_extra_keys=True)


class ProfileError(ValueError):
    """A profile's data is wrong: which profile, section and key, and what would be right."""


@frozen
class KernelSection:
    """The section ``kernel`` of every profile: what uname(2) and the core answer.

    ``chrdev_major`` is the first major number that alloc_chrdev_region hands to our drivers; it
    depends on what a kernel's other drivers took before. ``bind_errno`` says whether a write to
    ``bind`` fails with what the driver's probe says; before 5.14 it is ENODEV, whatever went wrong
    (bind_store). ``eventfd_write_exact``: eventfd_write takes eight bytes and no more.
    ``anon_inode_noexec``: nothing without a name can be mapped for execution. ``builder`` is who
    built it and with what, as /proc/version has it. ``boolean_words``:
    kstrtobool takes ``enabled`` and ``disabled``, too (a run of 7.2). ``kernfs_large_files``: lseek
    goes beyond 2 GiB in sysfs, though not in configfs (a run of 7.2).
    """

    release: str
    version: str
    builder: str
    chrdev_major: int
    eventfd_write_exact: bool
    anon_inode_noexec: bool
    bind_errno: bool = True
    boolean_words: bool = False
    kernfs_large_files: bool = False


@define
class Profile:
    """A profile by name, its sections, and which of them were claimed."""

    name: str
    sections: Mapping[str, Mapping[str, Any]]
    claimed: set[str] = field(factory=set)

    def section(self, name: str, kind: type[Section]) -> Section:
        """The section ``name`` as an instance of ``kind``; ProfileError if it does not fit."""
        if name not in self.sections:
            raise ProfileError(f"profile {self.name}: section {name!r} is missing")
        self.claimed.add(name)
        try:
            return _converter.structure(self.sections[name], kind)
        except ClassValidationError as error:
            problem = transform_error(error, path=name)[0]
            raise ProfileError(f"profile {self.name}: {problem}") from None
