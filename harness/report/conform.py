# SPDX-License-Identifier: Apache-2.0
"""Run suites on a target and write the report: the command ``uapi-harness conform``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from harness.conformance.runner import ConformError, TerminalProgress, run
from harness.report.json_report import write_json
from harness.report.junit import write_junit
from harness.report.text import write_text

FORMATS = {"text": write_text, "json": write_json, "junit": write_junit}


def conform(
    *,
    target: str = "model",
    profile: str = "6.1",
    suites: Sequence[str] | None = None,
    pattern: str | None = None,
    format: str = "text",
    strict: bool = False,
    jobs: int | None = None,
    output: TextIO | None = None,
) -> int:
    """The exit status: 0 good, 1 findings, 3 nothing could run here. ConformError is for 2.

    ``suites`` None means all; ``pattern`` is text that a case's id must have; ``strict`` makes a
    finding of a case that could not run; ``output`` is standard output unless it is given.
    """
    if format not in FORMATS:
        raise ConformError(f"unknown format {format!r}; allowed: {', '.join(sorted(FORMATS))}")
    progress = TerminalProgress()
    try:
        result = run(
            target=target,
            profile=profile,
            suites=suites,
            pattern=pattern,
            jobs=jobs,
            strict=strict,
            progress=progress,
        )
    finally:
        progress.end()
    FORMATS[format](result, output if output is not None else sys.stdout)
    return result.exit_status
