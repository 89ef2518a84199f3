# SPDX-License-Identifier: Apache-2.0
"""Markdown for a comment at a merge request: the bad in a table, the rest folded away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

from harness.gate.findings import Finding
from harness.gate.output.words import counts, place, users, verdict
from harness.gate.rules import Verdict
from harness.gate.verdicts import Result


def _cell(text: str) -> str:
    """One line, in which nothing ends the cell or begins a tag."""
    line = " ".join(text.split())
    return line.replace("|", "\\|").replace("<", "&lt;")


def _table(findings: Sequence[Finding]) -> Iterator[str]:
    yield "| verdict | rule | what | where | who notices |"
    yield "|---|---|---|---|---|"
    for finding in findings:
        subject = finding.subject.replace("|", "\\|")
        cells = (
            finding.verdict,
            finding.rule_id,
            f"`{subject}`: {_cell(finding.detail)}",
            place(finding) or "",
            _cell(users(finding)),
        )
        yield f"| {' | '.join(cells)} |"


def _lines(result: Result) -> Iterator[str]:
    yield f"### uAPI: {counts(result)}; {verdict(result)}"
    yield ""
    yield f"`{result.old}` → `{result.new}`"
    bad = [one for one in result.all if one.verdict is not Verdict.COMPATIBLE]
    good = [one for one in result.all if one.verdict is Verdict.COMPATIBLE]
    if bad:
        yield ""
        yield from _table(bad)
    for finding, suppression in result.passed:
        yield ""
        reason = _cell(suppression.reason)
        change = f"{finding.rule_id} `{finding.subject}`"
        yield f"Let pass until {suppression.expires}: {change}, {reason}"
    if good:
        yield ""
        yield f"<details><summary>{len(good)} compatible changes</summary>"
        yield ""
        yield from _table(good)
        yield ""
        yield "</details>"


def write_markdown(result: Result, output: TextIO) -> None:
    """The whole of it."""
    for line in _lines(result):
        output.write(f"{line}\n")
