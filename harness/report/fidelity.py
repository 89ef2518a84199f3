# SPDX-License-Identifier: Apache-2.0
"""The fidelity report: how many cases agree with a real kernel, and each that does not."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from harness.conformance.fidelity import Comparison, Verdict, table
from harness.report.layout import WIDTH, counted, entry

_COLUMNS = tuple(Verdict)


def fidelity_lines(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """As text, at most 100 columns wide."""
    yield "fidelity: our answers and a real kernel's"
    yield ""
    yield f"{'profile':<14}{'target':<12}{'suite':<16}" + "".join(
        f"{verdict.value:>{_width(verdict)}}" for verdict in _COLUMNS
    )
    for (profile, target, suite), counts in table(comparisons).items():
        cells = "".join(f"{counts[verdict]:>{_width(verdict)}}" for verdict in _COLUMNS)
        yield f"{profile:<14}{target:<12}{suite:<16}{cells}"
    for one in comparisons:
        if one.verdict is Verdict.DIFFER:
            yield ""
            yield from _difference(one)
    yield from _not_compared(comparisons)


def _width(verdict: Verdict) -> int:
    return len(verdict.value) + 2


def _difference(one: Comparison) -> Iterator[str]:
    yield from textwrap.wrap(f"DIFFER {one.id} ({one.target}, {one.profile})", WIDTH)
    yield from entry("call", one.call)
    yield from entry("ours", one.ours)
    yield from entry("kernel", one.kernels)
    if one.reason is not None:
        yield from entry("reason", one.reason)
    yield from entry("source", one.source)


def _not_compared(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Why only one of the two ran; and what to do about records of old."""
    alone = [one.reason for one in comparisons if one.verdict is Verdict.ONE]
    yield from counted(Verdict.ONE.value, alone)
    old = sorted({one.profile for one in comparisons if one.verdict is Verdict.STALE})
    if old:
        yield ""
    for profile in old:
        yield f"stale: the cases have changed; uapi-harness golden record --target vm:{profile}"


def fidelity_markdown(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """The table for a document, all suites of a profile and target in one row."""
    yield f"| kernel | target | {' | '.join(verdict.value for verdict in _COLUMNS)} |"
    yield f"|---|---|{'---:|' * len(_COLUMNS)}"
    totals: dict[tuple[str, str], dict[Verdict, int]] = {}
    for (profile, target, _), counts in table(comparisons).items():
        row = totals.setdefault((profile, target), dict.fromkeys(Verdict, 0))
        for verdict, count in counts.items():
            row[verdict] += count
    for (profile, target), row in totals.items():
        cells = " | ".join(str(row[verdict]) for verdict in _COLUMNS)
        yield f"| {profile} | {target} | {cells} |"
