# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with the gate; each message is one line."""

from __future__ import annotations

import cattrs
from cattrs.v import format_exception


class GateError(Exception):
    """Bad input: a source, a snapshot or a policy that cannot be used."""


class NotHere(GateError):
    """What was asked for needs a program or a package that is not installed."""


def _problem(error: BaseException, kind: type | None) -> str:
    """In words of YAML, where cattrs has those of Python."""
    if isinstance(error, AttributeError):
        return "expected a mapping"
    text = format_exception(error, kind)
    for python, yaml in {"tuple": "a list", "str": "text"}.items():
        text = text.replace(f"expected {python}", f"expected {yaml}")
    return text


def first_problem(error: Exception) -> str:
    """What cattrs found wrong first, and where."""
    text = cattrs.transform_error(error, path="", format_exception=_problem)[0]
    what, _, where = text.partition(" @ ")
    where = where.strip().removeprefix(".")
    return f"{where}: {what}" if where else what.removesuffix(" @")
