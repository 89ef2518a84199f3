# SPDX-License-Identifier: Apache-2.0
"""The report as text, at most 100 columns wide: counts, evidence, then each finding in full."""

from __future__ import annotations

import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TextIO, get_args

from attrs import frozen

from harness.conformance.cases import Evidence
from harness.conformance.records import NOT_RUN, Record, Run, State
from harness.report.layout import WIDTH, counted, entry


def write_text(runs: Sequence[Run], output: TextIO) -> None:
    """The whole report: of several runs, first how each suite fared in each."""
    if len(runs) > 1:
        for line in _matrix(runs):
            output.write(f"{line}\n")
    for number, run in enumerate(runs):
        if number or len(runs) > 1:
            output.write("\n")
        for line in _lines(run):
            output.write(f"{line}\n")


@frozen
class _Column:
    """One run in the table of several: what it says of each suite, and how wide it is."""

    run: Run
    shares: Mapping[str, str]
    width: int

    @classmethod
    def of(cls, run: Run, suites: Sequence[str], alone: bool) -> _Column:
        """``alone``: no other column is about the same target."""
        shares = {suite: _share(run, suite) for suite in suites}
        texts = [run.profile, *shares.values(), *([run.target] if alone else [])]
        return cls(run, shares, max(9, 2 + max(map(len, texts))))


def _matrix(runs: Sequence[Run]) -> Iterator[str]:
    """Suites by target and profile: how many cases passed, of those that were run.

    There are as many tables as it takes for each to fit.
    """
    suites = sorted({record.suite for run in runs for record in run.records})
    room = _name_width(suites, WIDTH // 2)
    by_target: dict[str, list[Run]] = {}
    for run in runs:
        by_target.setdefault(run.target, []).append(run)
    table: list[_Column] = []
    for one_targets in by_target.values():
        for run in one_targets:
            column = _Column.of(run, suites, alone=len(one_targets) == 1)
            if table and room + sum(one.width for one in table) + column.width > WIDTH:
                yield from _columns(table, suites, room)
                yield ""
                table = []
            table.append(column)
    yield from _columns(table, suites, room)


def _columns(table: Sequence[_Column], suites: Sequence[str], room: int) -> Iterator[str]:
    """One table; each target is named once, above the last of its columns."""
    heads = ""
    for target, columns in groupby(table, key=lambda column: column.run.target):
        span = sum(column.width for column in columns)
        heads += f"{_cut(target, span - 1):>{span}}"
    yield " " * room + heads
    yield f"{'suite':<{room}}" + "".join(f"{one.run.profile:>{one.width}}" for one in table)
    for suite in suites:
        cells = "".join(f"{one.shares[suite]:>{one.width}}" for one in table)
        yield f"{_cut(suite, room - 1):<{room}}{cells}"


def _name_width(names: Sequence[str], most: int) -> int:
    """How wide a column of names is, with a blank behind it."""
    return min(max(16, 1 + max(map(len, names), default=0)), most)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _share(run: Run, suite: str) -> str:
    judged = [one for one in run.records if one.suite == suite and one.state not in NOT_RUN]
    return f"{sum(record.state is State.PASS for record in judged)}/{len(judged)}"


def _lines(run: Run) -> Iterator[str]:
    yield f"target {run.target}, profile {run.profile}: {len(run.records)} cases"
    if not run.records:
        yield "no case was chosen, which is a failure"
        return
    yield ""
    yield from _table(run.records)
    yield ""
    yield from _evidence(run.records)
    shown = {id(record) for record in run.findings}
    for record in run.records:
        if id(record) in shown:
            yield ""
            yield from finding(record)
    yield from _unknown(run)
    yield from _reasons(run, State.KNOWN_DIFFERENCE)
    yield from _reasons(run, State.SKIP)
    if not run.strict:
        yield from _reasons(run, State.NOT_RUNNABLE)


def _table(records: Sequence[Record]) -> Iterator[str]:
    """Suites by state. States that nothing is in have no column."""
    counts = Counter((record.suite, record.state) for record in records)
    states = [state for state in State if any(record.state is state for record in records)]
    suites = sorted({record.suite for record in records})
    # Each column is as wide as its state's name.
    room = _name_width(suites, WIDTH - sum(len(state) + 3 for state in states))

    def row(name: str, cells: Mapping[State, object]) -> str:
        shown = "".join(f"{cell:>{len(state) + 3}}" for state, cell in cells.items())
        return f"{_cut(name, room - 1):<{room}}{shown}"

    yield row("suite", {state: state.value for state in states})
    for suite in suites:
        yield row(suite, {state: counts[suite, state] for state in states})
    if len(suites) > 1:
        totals = Counter(record.state for record in records)
        yield row("all", {state: totals[state] for state in states})


def _evidence(records: Sequence[Record]) -> Iterator[str]:
    """What the passes are worth: only agreement with a real kernel's answers is fidelity."""
    judged = [record for record in records if record.state not in NOT_RUN]
    for evidence in get_args(Evidence):
        those = [record for record in judged if record.evidence == evidence]
        passed = sum(record.state is State.PASS for record in those)
        worth = "a real kernel gave this answer" if evidence == "kernel-run" else "unjudged"
        if those:
            yield f"{evidence:<12}{passed} of {len(those)} agree ({worth})"


def finding(record: Record) -> Iterator[str]:
    """The lines about one case: the call, expected, got, source, and how to run it again."""
    yield from textwrap.wrap(f"{record.state.value.upper()} {record.id}", WIDTH)
    if record.failure is not None:
        yield from entry("call", record.failure.call)
        yield from entry("expected", record.failure.expected)
        yield from entry("got", record.failure.got)
    if record.reason is not None:
        yield from entry("reason", record.reason)
    yield from entry("source", f"{record.source} ({record.evidence})")
    yield from entry("again", reproduce(record))


def reproduce(record: Record) -> str:
    """The command that runs this one case again."""
    words = ["uapi-harness", "conform", "--target", record.target, "--profile", record.profile]
    suite = ["--suite", record.file] if record.file is not None else []
    return shlex.join([*words, *suite, "-k", record.id])


def _unknown(run: Run) -> Iterator[str]:
    """What was asked for that nobody models; the kernel's own answer for such was given."""
    used: dict[str, list[str]] = {}
    for record in run.records:
        for what in record.unknown:
            used.setdefault(what, []).append(record.id)
    if used:
        yield ""
        yield "unknown uAPI used"
    for what, ids in sorted(used.items()):
        others = f", and {len(ids) - 1} more" if len(ids) > 1 else ""
        yield from textwrap.wrap(
            f"{what}: {ids[0]}{others}", WIDTH, initial_indent="  ", subsequent_indent="    "
        )


def _reasons(run: Run, state: State) -> Iterator[str]:
    """Why cases are in a state that is no finding."""
    yield from counted(state.value, (one.reason for one in run.records if one.state is state))
