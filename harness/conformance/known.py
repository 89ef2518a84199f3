# SPDX-License-Identifier: Apache-2.0
"""Known differences: cases that a target is known to fail, each with a reviewed reason.

They are the list ``cases`` of ``fixtures/known-differences.yaml``: ``id`` of a case, ``target``,
``profile`` or ``until``, the first profile that it is not about (absent: every one), and
``reason``. A case that agrees after all is a failure, so that no entry outlives its reason.
Somebody's own file of cases may have such a list next to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cattrs
from attrs import evolve, frozen

from harness.conformance.records import Record, State
from harness.conformance.results import Failure
from harness.data import DataError, data_path, line_of, lineage, load_yaml

FILE = "known-differences.yaml"
#: What the file may have; trees and probes are compared by tests of their own.
_KEYS = ("schema", "cases", "trees", "probes")


@frozen
class KnownDifference:
    """One entry of the list."""

    id: str
    target: str
    reason: str
    profile: str | None = None
    until: str | None = None

    def covers(self, record: Record) -> bool:
        """Whether this entry is about that record."""
        return (
            self.id == record.id
            and self.target == record.target
            and self.profile in (None, record.profile)
            and (self.until is None or self.until not in lineage(record.profile))
        )


def structure(entries: Iterable[Mapping[str, Any]]) -> list[KnownDifference]:
    """The entries of the list; a cattrs error for a key that is not one of ours."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    return converter.structure(list(entries), list[KnownDifference])


def load(case_files: Iterable[str] = ()) -> list[KnownDifference]:
    """All known differences that come along, and those in lists next to ``case_files``.

    DataError for a list that is of no use.
    """
    folders = {os.path.dirname(os.path.abspath(path)): None for path in case_files}
    beside = [os.path.join(folder, FILE) for folder in folders]
    paths = [str(data_path("fixtures", FILE)), *filter(os.path.exists, beside)]
    return [difference for path in paths for difference in _load(path)]


def _load(path: str) -> list[KnownDifference]:
    document = load_yaml(path)
    entries = document.get("cases") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise DataError(f"{path}:1: a mapping with the list cases is wanted")
    for key in document:
        if key not in _KEYS:
            line = line_of(path, [key])
            raise DataError(f"{path}:{line}: {key}: unknown key; allowed: {', '.join(_KEYS)}")
    try:
        return structure(entries)
    except Exception as error:
        problems = "; ".join(cattrs.transform_error(error, path="cases"))
        raise DataError(f"{path}: {problems}") from None


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
