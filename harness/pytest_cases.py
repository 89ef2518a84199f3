# SPDX-License-Identifier: Apache-2.0
"""Files of conformance cases as pytest collects them: ``FILE.py::TARGET-PROFILE::NAME[ROW]``.

Each case is an item, which runs it as ``uapi-harness conform`` does and fails with what the report
would say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from attrs import frozen

from harness.conformance import known
from harness.conformance.cases import Case, CaseFileError, load_file
from harness.conformance.records import Record, Run, State
from harness.conformance.runner import ConformError, check_names, known_differences, run_case
from harness.conformance.targets import Target, TargetError, target_maker
from harness.report import DEFAULT_PROFILE
from harness.report.text import finding


@frozen
class Plan:
    """What to run cases on. In strict mode, a case that cannot run here fails."""

    targets: Sequence[str]
    profiles: Sequence[str]
    strict: bool

    @classmethod
    def of(cls, targets: str, profiles: str, strict: bool) -> Plan:
        """From names with commas between them. pytest.UsageError."""
        plan = cls(_names(targets), _names(profiles or DEFAULT_PROFILE), strict)
        try:
            for target, profile in plan.runs():
                check_names(target, profile)
        except ConformError as error:
            raise pytest.UsageError(str(error)) from None
        return plan

    def runs(self) -> list[tuple[str, str]]:
        """Each target with each profile."""
        return [(target, profile) for target in self.targets for profile in self.profiles]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


class CaseFile(pytest.File):
    """A file of cases."""

    def __init__(self, *, plan: Plan, **options: Any) -> None:
        super().__init__(**options)
        self._plan = plan

    def collect(self) -> Iterator[CaseRun]:
        """Its cases, once for each target and profile."""
        path = os.path.relpath(self.path, self.config.invocation_params.dir)
        try:
            cases = load_file(path)
            differences = known_differences(cases)
        except (CaseFileError, ConformError) as error:
            raise self.CollectError(str(error)) from None
        for name, profile in self._plan.runs():
            try:
                target = target_maker(name)()
            except TargetError as error:
                raise self.CollectError(str(error)) from None
            self.config.add_cleanup(target.close)
            judge = _Judge(target, profile, self._plan.strict, differences)
            yield CaseRun.from_parent(self, name=f"{name}-{profile}", judge=judge, cases=cases)


@frozen
class _Judge:
    """Runs cases on one target with one profile."""

    target: Target
    profile: str
    strict: bool
    differences: Sequence[known.KnownDifference]

    def judge(self, case: Case) -> None:
        """Run a case, and end the test as its record says."""
        record = run_case(case, self.target, self.profile)
        record = known.apply(record, self.differences)
        if Run(self.target.name, self.profile, [record], self.strict).findings:
            raise FindingError(record)
        if record.state is State.KNOWN_DIFFERENCE:
            pytest.xfail(record.reason or "")
        if record.state is not State.PASS:
            pytest.skip(record.reason or "")


class CaseRun(pytest.Collector):
    """All cases of a file that are about one profile, on one target."""

    def __init__(self, *, judge: _Judge, cases: Sequence[Case], **options: Any) -> None:
        super().__init__(**options)
        self._judge = judge
        self._cases = cases

    def collect(self) -> Iterator[CaseItem]:
        """An item each."""
        for case in self._cases:
            if case.is_about(self._judge.profile):
                name = case.id.partition("::")[2]
                yield CaseItem.from_parent(self, name=name, judge=self._judge, case=case)


class FindingError(Exception):
    """A case that is a finding of the report."""

    def __init__(self, record: Record) -> None:
        super().__init__(record.id)
        self.record = record


class CaseItem(pytest.Item):
    """One case on one target with one profile."""

    def __init__(self, *, judge: _Judge, case: Case, **options: Any) -> None:
        super().__init__(**options)
        self._judge = judge
        self._case = case

    def runtest(self) -> None:
        """Run the case in a machine of its own."""
        self._judge.judge(self._case)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What the report says of the case."""
        if isinstance(excinfo.value, FindingError):
            return "\n".join(finding(excinfo.value.record))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[os.PathLike[str], int, str]:
        """The case's place, and its id with what it ran on."""
        line = self._case.function.__code__.co_firstlineno - 1
        return (
            self.path,
            line,
            f"{self._case.id} on {self._judge.target.name}, {self._judge.profile}",
        )
