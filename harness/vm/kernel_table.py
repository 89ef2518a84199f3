# SPDX-License-Identifier: Apache-2.0
"""``fixtures/kernels.yaml``: where kernels are looked for, and what is built for each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import frozen

from harness import data
from harness.machine_file import Problem, error_at, structure
from harness.packages import Unavailable

SCHEMA = 1
FILE = "kernels.yaml"
_SUITE = re.compile(r"[a-z][a-z-]+")
_VERSION = re.compile(r"\d+(\.\d+)+")
_CUSTOM = re.compile(r"\d+(\.\d+)+\+\w+")
_MODULE = re.compile(r"\w+")
_SOURCE = re.compile(r"(\w[\w.-]*/)+\w[\w.-]*\.[ch]")
_CONFIGURATION = re.compile(r"\w+\.config")
_FOLDER = re.compile(r"\w+(/\w+)*")
_SETTING = re.compile(r"CONFIG_\w+")


@frozen
class CustomEntry:
    """The Debian kernel whose source is taken, and a file in ``fixtures/kernel-configs``."""

    source: str
    configuration: str


@frozen
class ChangedEntry:
    """The Debian kernel whose ``module`` is compiled anew, in ``folder`` of its source, with
    ``setting``."""

    kernel: str
    module: str
    folder: str
    setting: str


@frozen
class KernelTable:
    """The whole file. ``samples`` are modules and their files, of which the first is compiled."""

    schema: int
    profiles: Mapping[str, tuple[str, ...]]
    suites: tuple[str, ...]
    custom: Mapping[str, CustomEntry]
    changed: Mapping[str, ChangedEntry]
    samples: Mapping[str, tuple[str, ...]]

    def look(self, name: str) -> tuple[tuple[str, ...], str]:
        """In which suites the kernel ``name`` is looked for, and a pattern of its image's package.

        ``name`` is a suite, whose newest kernel it then is, or how the kernel's version begins.
        Unavailable for anything else.
        """
        if name in self.suites:
            return (name,), _image_pattern(r"\d+\.\d+")
        if _VERSION.fullmatch(name):
            return self.profiles.get(name, self.suites), _image_pattern(re.escape(name))
        known = ", ".join([*self.profiles, *self.custom, *self.changed, *self.suites])
        raise Unavailable(f'"{name}" names no kernel; known: {known}, or a version such as 6.18')


def _image_pattern(version: str) -> str:
    """Debian's names of images: 6.1.0-56-amd64, 6.12.95+deb12-amd64, 7.3-amd64; not rt, cloud."""
    return rf"linux-image-{version}(\.\d+)*(-\d+|\+deb[\d.]+)?-amd64"


def load(path: Path | None = None) -> KernelTable:
    """The table that comes along, or that in ``path``. DataError if it is wrong."""
    path = path or data.data_path("fixtures", FILE)
    document = data.load_yaml(path)
    try:
        table: KernelTable = structure(document, KernelTable)
        _check(table)
    except Problem as problem:
        raise data.DataError(str(error_at(str(path), problem))) from None
    return table


def _check(table: KernelTable) -> None:
    """What the types cannot say."""
    if table.schema != SCHEMA:
        raise Problem(f"{table.schema} is not a schema of this file; allowed: {SCHEMA}", "schema")
    _each(_SUITE, "bookworm-backports", table.suites, "suites")
    _each(_VERSION, "6.12", table.profiles, "profiles")
    for name, suites in table.profiles.items():
        _each(_SUITE, "bookworm-backports", suites, "profiles", name)
    _each(_CUSTOM, "6.12+iommufd", table.custom, "custom")
    for name, entry in table.custom.items():
        _each(_VERSION, "6.12", [entry.source], "custom", name, "source")
        example = "iommufd.config"
        _each(_CONFIGURATION, example, [entry.configuration], "custom", name, "configuration")
    _each(_CUSTOM, "6.12+noiommu", table.changed, "changed")
    for name, changed in table.changed.items():
        _each(_VERSION, "6.12", [changed.kernel], "changed", name, "kernel")
        _each(_MODULE, "vfio", [changed.module], "changed", name, "module")
        _each(_FOLDER, "drivers/vfio", [changed.folder], "changed", name, "folder")
        _each(_SETTING, "CONFIG_VFIO_NOIOMMU", [changed.setting], "changed", name, "setting")
    _each(_MODULE, "mtty", table.samples, "samples")
    for name, files in table.samples.items():
        _each(_SOURCE, "samples/vfio-mdev/mtty.c", files, "samples", name)
        if Path(files[0]).name != f"{name}.c":
            raise Problem(f"its first file is not {name}.c", "samples", name)


def _each(pattern: re.Pattern[str], example: str, values: Iterable[str], *keys: str) -> None:
    values = list(values)
    if not values:
        raise Problem(f"nothing is there, but something such as {example} must be", *keys)
    for value in values:
        if not pattern.fullmatch(value):
            raise Problem(f'"{value}" is not such as {example}', *keys)
