# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with the gate; each message is one line."""

from __future__ import annotations

import os

import attrs
import cattrs
from cattrs.errors import ForbiddenExtraKeysError
from cattrs.v import format_exception

from harness.data import line_of
from harness.machine_file import register_problem

#: What cattrs calls types, and what they are in YAML.
_WORDS = {"tuple": "a list", "str": "text", "date": "a date such as 2027-06-30"}


class GateError(Exception):
    """Bad input: a source, a snapshot or a policy that cannot be used."""


class NotHere(GateError):
    """What was asked for needs a program or a package that is not installed."""


def _problem(error: BaseException, kind: type | None) -> str:
    """In words of YAML, where cattrs has those of Python."""
    if isinstance(error, AttributeError):
        return "expected a mapping"
    if isinstance(error, ForbiddenExtraKeysError):
        allowed = ", ".join(field.name for field in attrs.fields(error.cl))
        return f"unknown key {min(map(str, error.extra_fields))}; allowed: {allowed}"
    text = format_exception(error, kind)
    for python, yaml in _WORDS.items():
        text = text.replace(f"expected {python}", f"expected {yaml}")
    return text


def first_problem(error: Exception) -> str:
    """What cattrs found wrong first, and where."""
    text = cattrs.transform_error(error, path="", format_exception=_problem)[0]
    what, _, where = text.partition(" @ ")
    where = where.strip().removeprefix(".")
    return f"{where}: {what}" if where else what.removesuffix(" @")


def problem_in(path: str | os.PathLike[str], error: Exception) -> GateError:
    """The same of a YAML file, with the line."""
    line = line_of(path, register_problem(error).keys)
    return GateError(f"{os.fspath(path)}:{line}: {first_problem(error)}")
