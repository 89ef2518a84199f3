# SPDX-License-Identifier: Apache-2.0
"""Text for a terminal: what is not compatible in full, the rest by number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TextIO

from harness.gate.findings import Finding
from harness.gate.output.words import counts, place, users, verdict
from harness.gate.rules import RULES, Verdict
from harness.gate.verdicts import Result
from harness.report.layout import entry


def write_text(result: Result, output: TextIO) -> None:
    """The whole of it."""
    for line in _lines(result):
        output.write(f"{line}\n")


def _lines(result: Result) -> Iterator[str]:
    yield f"{result.old} -> {result.new}: {counts(result)}"
    for finding in result.all:
        if finding.verdict is not Verdict.COMPATIBLE:
            yield ""
            yield from _finding(finding)
    kinds = Counter(one.rule_id for one in result.findings if one.verdict is Verdict.COMPATIBLE)
    if kinds:
        yield ""
        yield "compatible:"
    for rule, number in sorted(kinds.items()):
        yield f"  {number:>5}  {rule}: {RULES[rule].title[0].lower()}{RULES[rule].title[1:]}"
    for finding, suppression in result.passed:
        yield ""
        yield f"let pass until {suppression.expires}: {finding.rule_id} {finding.subject}"
        yield from entry("because", suppression.reason)
    yield ""
    yield verdict(result)


def _finding(finding: Finding) -> Iterator[str]:
    yield f"{finding.verdict.upper()} {finding.rule_id} {finding.subject}"
    yield from entry("what", finding.detail)
    if (where := place(finding)) is not None:
        yield from entry("where", where)
    yield from entry("why", finding.rule.reason.replace("`", ""))
    if finding.users:
        yield from entry("who", users(finding))
