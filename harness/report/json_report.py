# SPDX-License-Identifier: Apache-2.0
"""The report as JSON; its shape is ``report.schema.json`` beside this file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, TextIO

from attrs import asdict

from harness import __version__
from harness.conformance.records import Record, Run, State

SCHEMA = 1


def _case(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "suite": record.suite,
        "state": record.state.value,
        "evidence": record.evidence,
        "source": record.source,
        "duration": round(record.duration, 6),
        "failure": asdict(record.failure) if record.failure is not None else None,
        "reason": record.reason,
        "unknown": list(record.unknown),
    }


def report(run: Run) -> dict[str, Any]:
    """The run as the schema describes it."""
    states = Counter(record.state for record in run.records)
    return {
        "schema": SCHEMA,
        "tool": {"name": "uapi-harness", "version": __version__},
        "target": run.target,
        "profile": run.profile,
        "strict": run.strict,
        "exit_status": run.exit_status,
        "counts": {state.value: states[state] for state in State},
        "cases": [_case(record) for record in run.records],
    }


def write_json(runs: Sequence[Run], output: TextIO) -> None:
    """One JSON document: the run, or an object with several."""
    several = {"schema": SCHEMA, "runs": [report(run) for run in runs]}
    json.dump(several if len(runs) > 1 else report(runs[0]), output, indent=1)
    output.write("\n")
