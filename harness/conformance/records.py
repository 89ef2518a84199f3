# SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind: one record a case."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from attrs import frozen

from harness.conformance.cases import Evidence, suite_of
from harness.conformance.results import Failure


class State(StrEnum):
    """How a case ended."""

    PASS = "pass"
    FAIL = "fail"
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    SKIP = "skip"
    NOT_RUNNABLE = "not-runnable"
    KNOWN_DIFFERENCE = "known-difference"


#: States that are findings in themselves.
BAD = frozenset({State.FAIL, State.CRASHED, State.TIMEOUT})
#: States of a case that was not put to the test.
NOT_RUN = frozenset({State.SKIP, State.NOT_RUNNABLE})


@frozen
class Record:
    """How one case ended. ``reason`` explains every state but pass and a plain failure.

    ``duration`` is in seconds, with the machine's start. ``file`` is the path of the case's file if
    it is somebody's own.
    ``unknown`` is what the case asked for and the machine has nothing for; ``observed`` what an
    observer wrote down, if there was one.
    """

    id: str
    state: State
    target: str
    profile: str
    evidence: Evidence
    source: str
    duration: float
    failure: Failure | None = None
    reason: str | None = None
    file: str | None = None
    unknown: tuple[str, ...] = ()
    observed: Any = None

    @property
    def suite(self) -> str:
        """The suite the case is in."""
        return suite_of(self.id)


@frozen
class Run:
    """All records of one run, and what was run."""

    target: str
    profile: str
    records: Sequence[Record]
    strict: bool = False

    @property
    def findings(self) -> list[Record]:
        """The records that make the run fail: in strict mode also what could not run."""
        bad = BAD | {State.NOT_RUNNABLE} if self.strict else BAD
        return [record for record in self.records if record.state in bad]

    @property
    def exit_status(self) -> int:
        """0 good; 1 findings, or no case at all; 3 not one case could run here."""
        if self.findings or not self.records:
            return 1
        if all(record.state in NOT_RUN for record in self.records):
            return 3
        return 0
