# SPDX-License-Identifier: Apache-2.0
"""``fixtures/kernels.yaml``: where kernels are looked for, and what is built for each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cattrs
from attrs import Attribute, field, frozen
from cattrs.errors import ClassValidationError
from cattrs.v import transform_error

from harness import data
from harness.packages import Unavailable

SCHEMA = 1
FILE = "kernels.yaml"
_SUITE = re.compile(r"[a-z][a-z-]+")
_VERSION = re.compile(r"\d+(\.\d+)+")
_MODULE = re.compile(r"\w+")
_SOURCE = re.compile(r"(\w[\w.-]*/)+\w[\w.-]*\.[ch]")


def _each(expression: re.Pattern[str], example: str) -> Any:
    def check(_: Any, attribute: Attribute[Any], value: Sequence[str]) -> None:
        if not value:
            raise ValueError(f"an empty list where there should be such as {example}")
        for item in value:
            if not expression.fullmatch(item):
                raise ValueError(f'"{item}" is not such as {example}')

    return check


def _lists(expression: re.Pattern[str], example: str, values: Any) -> Any:
    check_key, check_values = _each(expression, example), values

    def check(instance: Any, attribute: Attribute[Any], value: Mapping[str, Any]) -> None:
        check_key(instance, attribute, list(value))
        for item in value.values():
            check_values(instance, attribute, item)

    return check


_SUITES = _each(_SUITE, "bookworm-backports")


@frozen
class KernelTable:
    """The whole file. ``samples`` are modules and their files, of which the first is compiled."""

    schema: int = field()
    profiles: Mapping[str, tuple[str, ...]] = field(validator=_lists(_VERSION, "6.12", _SUITES))
    suites: tuple[str, ...] = field(validator=_SUITES)
    samples: Mapping[str, tuple[str, ...]] = field(
        validator=_lists(_MODULE, "mtty", _each(_SOURCE, "samples/vfio-mdev/mtty.c"))
    )

    @schema.validator
    def _known(self, _: Any, value: int) -> None:
        if value != SCHEMA:
            raise ValueError(f"{value} is not a schema of this file; allowed: {SCHEMA}")

    def look(self, name: str) -> tuple[tuple[str, ...], str]:
        """In which suites the kernel ``name`` is looked for, and a pattern of its image's package.

        ``name`` is a suite, whose newest kernel it then is, or how the kernel's version begins.
        Unavailable for anything else.
        """
        if name in self.suites:
            return (name,), _image_pattern(r"\d+\.\d+")
        if _VERSION.fullmatch(name):
            return self.profiles.get(name, self.suites), _image_pattern(re.escape(name))
        known = ", ".join([*self.profiles, *self.suites])
        raise Unavailable(f'"{name}" names no kernel; known: {known}, or a version such as 6.18')


def _image_pattern(version: str) -> str:
    """Debian's names of images: 6.1.0-56-amd64, 6.12.95+deb12-amd64, 7.3-amd64; not rt, cloud."""
    return rf"linux-image-{version}(\.\d+)*(-\d+|\+deb[\d.]+)?-amd64"


def load(path: Path | None = None) -> KernelTable:
    """The table that comes along, or that in ``path``. DataError if it is wrong."""
    path = path or data.data_path("fixtures", FILE)
    document = data.load_yaml(path)
    try:
        table: KernelTable = _converter.structure(document, KernelTable)
    except ClassValidationError as error:
        raise data.DataError(f"{path}: {transform_error(error, path='kernels')[0]}") from None
    return table


def _list_of_text(value: Any, _: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{value} is not a list of texts")
    return tuple(value)


_converter = cattrs.Converter(forbid_extra_keys=True)
_converter.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _list_of_text)
