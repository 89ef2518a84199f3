# SPDX-License-Identifier: Apache-2.0
"""Known differences: cases that a target is known to fail, each with a reviewed reason.

They are the list ``cases`` of ``fixtures/known-differences.yaml``: ``id`` of a case, ``target``,
``profile`` (absent: every one) and ``reason``. A case that agrees after all is a failure, so that
no entry outlives its reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cattrs
from attrs import evolve, frozen

from harness.conformance.records import Record, State
from harness.conformance.results import Failure
from harness.data import data_path, load_yaml

FILE = "known-differences.yaml"


@frozen
class KnownDifference:
    """One entry of the list."""

    id: str
    target: str
    reason: str
    profile: str | None = None

    def covers(self, record: Record) -> bool:
        """Whether this entry is about that record."""
        return (
            self.id == record.id
            and self.target == record.target
            and self.profile in (None, record.profile)
        )


def structure(entries: Iterable[Mapping[str, Any]]) -> list[KnownDifference]:
    """The entries of the list; a cattrs error for a key that is not one of ours."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    return converter.structure(list(entries), list[KnownDifference])


def load() -> list[KnownDifference]:
    """All known differences that come along."""
    return structure(load_yaml(data_path("fixtures", FILE)).get("cases") or [])


def apply(record: Record, known: Sequence[KnownDifference]) -> Record:
    """The record as it counts: a failure that is known is none, an agreement that was not
    expected is one."""
    reasons = [difference.reason for difference in known if difference.covers(record)]
    if not reasons:
        return record
    if record.state is State.FAIL:
        return evolve(record, state=State.KNOWN_DIFFERENCE, reason=reasons[0])
    if record.state is State.PASS:
        failure = Failure("the case", "a known difference", "agreement")
        reason = f"take it out of {FILE}: {reasons[0]}"
        return evolve(record, state=State.FAIL, failure=failure, reason=reason)
    return record
