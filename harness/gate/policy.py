# SPDX-License-Identifier: Apache-2.0
"""Suppressions: changes that somebody has looked at and let pass, each with a reason and an end.

    schema: 1
    suppressions:
      - rule: constant-removed
        subject: VFIO_TYPE1_NESTING_IOMMU
        reason: no kernel ever implemented it
        expires: 2027-06-30

``subject`` may have ``*`` in it. One that hides nothing, or has expired, is a finding itself.
"""

from __future__ import annotations

import datetime
import fnmatch
import os
from collections.abc import Mapping, Sequence

import cattrs
from attrs import Factory, frozen

from harness.data import DataError, line_of, load_yaml
from harness.gate.errors import GateError, problem_in
from harness.gate.findings import Finding
from harness.gate.rules import RULES

SCHEMA = 1


@frozen
class Suppression:
    """One change that is let pass until the end of the day ``expires``."""

    rule: str
    subject: str
    reason: str
    expires: datetime.date

    def covers(self, finding: Finding) -> bool:
        """Whether it is about this finding."""
        return finding.rule_id == self.rule and fnmatch.fnmatchcase(finding.subject, self.subject)


@frozen
class Policy:
    """A file of suppressions; ``lines`` are where in it they are."""

    name: str = ""
    suppressions: Sequence[Suppression] = ()
    lines: Sequence[int] = ()

    def apply(
        self, findings: Sequence[Finding], today: datetime.date
    ) -> tuple[list[Finding], list[tuple[Finding, Suppression]], list[Finding]]:
        """What stands, what is let pass and why, and what is the matter with the policy."""
        used: set[int] = set()
        standing: list[Finding] = []
        passed: list[tuple[Finding, Suppression]] = []
        for finding in findings:
            covering = [n for n, one in enumerate(self.suppressions) if one.covers(finding)]
            used.update(covering)
            valid = [n for n in covering if self.suppressions[n].expires >= today]
            if valid:
                passed.append((finding, self.suppressions[valid[0]]))
            else:
                standing.append(finding)
        return standing, passed, list(self._complaints(used, today))

    def _complaints(self, used: set[int], today: datetime.date) -> list[Finding]:
        found = []
        for number, one in enumerate(self.suppressions):
            subject = f"{one.rule}: {one.subject}"
            place = self.name, self.lines[number]
            if one.expires < today:
                found.append(Finding("suppression-expired", subject, f"on {one.expires}", *place))
            elif number not in used:
                found.append(Finding("suppression-unused", subject, "nothing it hides", *place))
        return found


@frozen
class _File:
    schema: int
    suppressions: tuple[Suppression, ...] = Factory(tuple)


def _date(value: object, kind: type) -> datetime.date:
    if type(value) is datetime.date:
        return value
    raise ValueError(f"{value!r} is no date")


def _text(value: object, kind: type) -> str:
    """Nothing at all is no reason."""
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError(f"{value!r} is no text")


_converter = cattrs.Converter(forbid_extra_keys=True)
_converter.register_structure_hook(datetime.date, _date)
_converter.register_structure_hook(str, _text)


def load_policy(path: str | os.PathLike[str]) -> Policy:
    """The policy in a file. GateError."""
    name = os.fspath(path)
    try:
        document = load_yaml(path)
    except DataError as error:
        raise GateError(str(error)) from None
    if not isinstance(document, Mapping) or document.get("schema") != SCHEMA:
        raise GateError(f"{name}:1: no policy: it begins with schema: {SCHEMA}")
    try:
        file = _converter.structure(document, _File)
    except Exception as error:
        raise problem_in(path, error) from None
    for number, one in enumerate(file.suppressions):
        if one.rule not in RULES:
            line = line_of(path, ["suppressions", number, "rule"])
            raise GateError(f"{name}:{line}: there is no rule {one.rule!r}; see docs/gate-rules.md")
    lines = [line_of(path, ["suppressions", n]) for n in range(len(file.suppressions))]
    return Policy(name, file.suppressions, lines)
