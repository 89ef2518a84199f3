# SPDX-License-Identifier: Apache-2.0
"""The commands ``uapi-harness snapshot`` and ``uapi-harness gate``."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from attrs import evolve

from harness.gate import snapshot as snapshots
from harness.gate.findings import Finding
from harness.gate.judge import judge
from harness.gate.output import FORMATS
from harness.gate.policy import Policy, load_policy
from harness.gate.rules import Verdict
from harness.gate.sources import Lines, Options, only, take
from harness.gate.verdicts import Result
from harness.gate.who import with_users
from harness.packages import ProgressLine


@contextmanager
def _options(headers: Sequence[str], compiler: str | None) -> Iterator[Options]:
    progress = ProgressLine(sys.stderr)
    try:
        yield Options(headers, compiler, progress)
    finally:
        progress.close()


def write_snapshot(
    source: str, target: str, headers: Sequence[str], compiler: str | None, output: TextIO
) -> int:
    """Take a snapshot of ``source`` and write it to ``target``; 0. GateError."""
    with _options(headers, compiler) as options:
        taken, _ = take(source, options)
        snapshots.write(taken, target)
    for name, reason in taken.skipped.items():
        sys.stderr.write(f"{name}: left out, it does not compile by itself: {reason}\n")
    numbers = {part: len(getattr(taken, part)) for part in ("headers", "sysfs", "behaviours")}
    words = [f"{number} {_UNITS[part]}" for part, number in numbers.items() if number]
    output.write(f"{target}: {', '.join(words)}\n")
    return 0


_UNITS = {"headers": "headers", "sysfs": "nodes of sysfs", "behaviours": "behaviours"}


def gate(
    old: str,
    new: str,
    *,
    headers: Sequence[str] = (),
    compiler: str | None = None,
    policy: str | None = None,
    format: str = "text",
    fail_on: str = Verdict.BREAKING,
    output: TextIO,
    today: datetime.date | None = None,
) -> int:
    """Judge what changed from ``old`` to ``new``; 0 if the gate is open, 1 if not. GateError."""
    rules = load_policy(policy) if policy is not None else Policy()
    with _options(headers, compiler) as options:
        before, _ = take(old, options)
        after, lines = take(new, options)
    for one in (old, new):
        if one.endswith(".h"):  # then it is about no other header
            before, after = (only(part, [f"*{Path(one).name}"]) for part in (before, after))
    if before.source == after.source:  # then the two are told apart by where they are
        before, after = evolve(before, source=old), evolve(after, source=new)
    found = with_users(_located(finding, lines) for finding in judge(before, after))
    standing, passed, complaints = rules.apply(found, today or datetime.date.today())
    names = before.source, after.source
    result = Result(*names, Verdict(fail_on), standing, passed, complaints)
    FORMATS[format](result, output)
    return result.exit_status


def _located(finding: Finding, lines: Lines) -> Finding:
    """With the line of the newer header, if that was read just now."""
    if finding.header is None:
        return finding
    known = lines.get(finding.header, {})
    names = (finding.subject, finding.subject.partition(".")[0])
    line = next((known[name] for name in names if name in known), None)
    return evolve(finding, line=line)
