# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with the gate; each message is one line."""

from __future__ import annotations

import cattrs


class GateError(Exception):
    """Bad input: a source, a snapshot or a policy that cannot be used."""


class NotHere(GateError):
    """What was asked for needs a program or a package that is not installed."""


def first_problem(error: Exception) -> str:
    """What cattrs found wrong first, and where."""
    text = cattrs.transform_error(error, path="")[0]
    what, _, where = text.partition(" @ ")
    where = where.strip().removeprefix(".")
    return f"{where}: {what}" if where else what.removesuffix(" @")
