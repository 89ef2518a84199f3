# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with the gate; each message is one line."""

from __future__ import annotations


class GateError(Exception):
    """Bad input: a source, a snapshot or a policy that cannot be used."""


class NotHere(GateError):
    """What was asked for needs a program or a package that is not installed."""
