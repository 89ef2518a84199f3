# SPDX-License-Identifier: Apache-2.0
"""Where our answers and a real kernel's are the same, and where not, case by case.

The kernel's answers are a run on the target ``vm:KERNEL``, or golden data where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from attrs import frozen

from harness.conformance import golden
from harness.conformance.cases import Case, discover, suite_of
from harness.conformance.records import NOT_RUN, Record, Run, State
from harness.conformance.results import Failure
from harness.conformance.targets import VM


class Verdict(StrEnum):
    """What two outcomes of one case say of us."""

    AGREE = "agree"
    DIFFER = "differ"
    ONE = "only one ran"
    STALE = "stale"
    UNJUDGED = "unjudged"


@frozen
class Comparison:
    """One case on one of our targets and on the kernel; the answers are texts for the report.

    ``reason`` is that of a known difference, or why one of the two did not run.
    """

    id: str
    target: str
    profile: str
    verdict: Verdict
    source: str
    call: str = ""
    ours: str = ""
    kernels: str = ""
    reason: str | None = None

    @property
    def suite(self) -> str:
        """The suite the case is in."""
        return suite_of(self.id)


@frozen
class _Outcome:
    """How a case ended somewhere."""

    state: State
    failure: Failure | None
    reason: str | None

    @property
    def ran(self) -> bool:
        return self.state not in NOT_RUN

    @property
    def as_expected(self) -> bool:
        return self.state is State.PASS


def compare(runs: Sequence[Run]) -> list[Comparison]:
    """Each of our runs against the kernel of its profile."""
    cases = {case.id: case for case in discover()}
    judges = {run.profile: run for run in runs if run.target.startswith(VM)}
    return [
        _compare(record, _kernel(record, cases[record.id], judges))
        for run in runs
        if not run.target.startswith(VM)
        for record in run.records
    ]


def _kernel(record: Record, case: Case, judges: Mapping[str, Run]) -> _Outcome | Verdict:
    """What the kernel did; STALE or UNJUDGED where nobody knows."""
    judge = judges.get(record.profile)
    if judge is not None:
        for one in judge.records:
            if one.id == record.id:
                return _Outcome(one.state, one.failure, one.reason)
        return Verdict.UNJUDGED
    if (found := golden.recorded(case, record.profile)) is None:
        return Verdict.UNJUDGED
    if found.digest != golden.digest(case):
        return Verdict.STALE
    return _Outcome(found.state, found.failure, found.reason)


def _compare(record: Record, kernel: _Outcome | Verdict) -> Comparison:
    ours = _Outcome(record.state, record.failure, record.reason)

    def verdict(
        kind: Verdict, failure: Failure | None = None, reason: str | None = None
    ) -> Comparison:
        call = failure.call if failure is not None else ""
        theirs = _answer(kernel, failure) if isinstance(kernel, _Outcome) else ""
        return Comparison(
            id=record.id,
            target=record.target,
            profile=record.profile,
            verdict=kind,
            source=record.source,
            call=call,
            ours=_answer(ours, failure),
            kernels=theirs,
            reason=reason,
        )

    if isinstance(kernel, Verdict):
        return verdict(kernel)
    if not ours.ran or not kernel.ran:
        return verdict(Verdict.ONE, reason=kernel.reason if ours.ran else ours.reason)
    if (ours.as_expected and kernel.as_expected) or _same(ours, kernel):
        return verdict(Verdict.AGREE)
    return verdict(Verdict.DIFFER, ours.failure or kernel.failure, ours.reason or kernel.reason)


def _same(ours: _Outcome, kernel: _Outcome) -> bool:
    """Whether both went against the case's expectation in the same way."""
    return ours.failure is not None and ours.failure == kernel.failure


def _answer(outcome: _Outcome, failure: Failure | None) -> str:
    """What came back from the call that ``failure`` is about, or what else happened."""
    if outcome.failure is not None:
        return outcome.failure.got
    if outcome.as_expected and failure is not None:
        return failure.expected
    return outcome.state.value


def table(comparisons: Iterable[Comparison]) -> dict[tuple[str, str, str], dict[Verdict, int]]:
    """How many of each verdict, by profile, target and suite."""
    counts: dict[tuple[str, str, str], dict[Verdict, int]] = {}
    for one in comparisons:
        row = counts.setdefault((one.profile, one.target, one.suite), dict.fromkeys(Verdict, 0))
        row[one.verdict] += 1
    return counts
