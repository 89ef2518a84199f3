# SPDX-License-Identifier: Apache-2.0
"""Run suites on a target and write the report: the command ``uapi-harness conform``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

from harness.conformance.fidelity import Comparison, Verdict, compare
from harness.conformance.missing import missing
from harness.conformance.records import Run
from harness.conformance.runner import ConformError, TerminalProgress, run
from harness.conformance.targets import VM
from harness.report.fidelity import fidelity_lines, fidelity_markdown
from harness.report.json_report import write_json
from harness.report.junit import write_junit
from harness.report.text import write_text

#: The kernel that cases are run for, unless another is asked for.
DEFAULT_PROFILE = "6.1"
FORMATS = {"text": write_text, "json": write_json, "junit": write_junit}
#: Formats of the comparison with a kernel.
_FIDELITY = {"text": fidelity_lines, "markdown": fidelity_markdown}


def conform(
    *,
    targets: Sequence[str] = ("model",),
    profiles: Sequence[str] = (DEFAULT_PROFILE,),
    suites: Sequence[str] | None = None,
    pattern: str | None = None,
    format: str = "text",
    strict: bool = False,
    jobs: int | None = None,
    fidelity: bool = False,
    output: TextIO | None = None,
) -> int:
    """The exit status: 0 good, 1 findings, 3 nothing could run here. ConformError is for 2.

    Each of ``targets`` is run with each of ``profiles``; a target ``vm:KERNEL`` with the profile of
    its kernel alone. ``suites`` None means all; ``pattern`` is text that a case's id must have;
    ``strict`` makes a finding of a case that could not run. With ``fidelity``, or if there is a
    real kernel among the targets, what ours answer is compared with what the kernels did.
    ``output`` is standard output unless it is given.
    """
    _check_format(format)
    runs = run_all(targets, profiles, suites, pattern, jobs=jobs, strict=strict)
    stream = output if output is not None else sys.stdout
    if format in FORMATS:
        FORMATS[format](runs, stream)
    status = _exit_status(runs)
    judged = {run.target.startswith(VM) for run in runs}
    if fidelity or format not in FORMATS or len(judged) > 1:
        comparisons = compare(runs)
        for line in _FIDELITY.get(format, _no_lines)(comparisons):
            stream.write(f"{line}\n")
        unlisted = any(one.verdict is Verdict.DIFFER and one.reason is None for one in comparisons)
        status = 1 if unlisted else status
    return status


def run_all(
    targets: Sequence[str],
    profiles: Sequence[str],
    suites: Sequence[str] | None = None,
    pattern: str | None = None,
    *,
    jobs: int | None = None,
    strict: bool = False,
) -> list[Run]:
    """Run each target with each profile that it can have. ConformError."""
    progress = TerminalProgress()
    try:
        return [
            run(
                target=target,
                profile=profile,
                suites=suites,
                pattern=pattern,
                jobs=jobs,
                strict=strict,
                progress=progress,
            )
            for target in targets
            for profile in _profiles(target, profiles)
        ]
    finally:
        progress.end()


def _profiles(target: str, profiles: Sequence[str]) -> Sequence[str]:
    """A real kernel is but one of them."""
    if not target.startswith(VM):
        return profiles
    kernel = target.removeprefix(VM)
    if kernel not in profiles:
        raise ConformError(f"the target {target} needs --profile {kernel}")
    return [kernel]


def _check_format(format: str) -> None:
    allowed = sorted({*FORMATS, *_FIDELITY})
    if format not in allowed:
        raise ConformError(f"unknown format {format!r}; allowed: {', '.join(allowed)}")


def _no_lines(comparisons: Sequence[Comparison]) -> Iterator[str]:
    return iter(())


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
