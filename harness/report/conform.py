# SPDX-License-Identifier: Apache-2.0
"""Run suites on a target and write the report: the command ``uapi-harness conform``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from harness.conformance.missing import missing
from harness.conformance.records import Run
from harness.conformance.runner import ConformError, TerminalProgress, run
from harness.report.json_report import write_json
from harness.report.junit import write_junit
from harness.report.text import write_text

#: The kernel that cases are run for, unless another is asked for.
DEFAULT_PROFILE = "6.1"
FORMATS = {"text": write_text, "json": write_json, "junit": write_junit}


def conform(
    *,
    target: str = "model",
    profile: str = DEFAULT_PROFILE,
    suites: Sequence[str] | None = None,
    pattern: str | None = None,
    format: str = "text",
    strict: bool = False,
    jobs: int | None = None,
    output: TextIO | None = None,
) -> int:
    """The exit status: 0 good, 1 findings, 3 nothing could run here. ConformError is for 2.

    ``target`` and ``profile`` may be several, separated by commas: each target with each profile.
    ``suites`` None means all; ``pattern`` is text that a case's id must have; ``strict`` makes a
    finding of a case that could not run; ``output`` is standard output unless it is given.
    """
    if format not in FORMATS:
        raise ConformError(f"unknown format {format!r}; allowed: {', '.join(sorted(FORMATS))}")
    progress = TerminalProgress()
    try:
        runs = [
            run(
                target=one,
                profile=kernel,
                suites=suites,
                pattern=pattern,
                jobs=jobs,
                strict=strict,
                progress=progress,
            )
            for one in target.split(",")
            for kernel in profile.split(",")
        ]
    finally:
        progress.end()
    FORMATS[format](runs, output if output is not None else sys.stdout)
    return _exit_status(runs)


def _exit_status(runs: Sequence[Run]) -> int:
    """Findings of one are findings of all; 3 if not one run was possible."""
    statuses = {run.exit_status for run in runs}
    if 1 in statuses:
        return 1
    return 3 if statuses == {3} else 0


def write_missing(profile: str, output: TextIO) -> int:
    """Print what of a profile's uAPI no case touches; 1 if there is something. ConformError."""
    left, total = missing(profile)
    for operation, path in left:
        output.write(f"{operation:<9} {path}\n")
    output.write(f"{total - len(left)} of {total} uses of nodes are in a case ({profile})\n")
    return 1 if left else 0
