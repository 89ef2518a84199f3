# SPDX-License-Identifier: Apache-2.0
"""Why nothing was recorded. Messages are one line."""

from __future__ import annotations


class RecordError(Exception):
    """What was asked for is wrong, or cannot be done."""


class NothingToRecord(RecordError):
    """There is nothing here that could be recorded."""
