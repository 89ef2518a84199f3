# SPDX-License-Identifier: Apache-2.0
"""What all formats say alike."""

from __future__ import annotations

from harness.gate.findings import Finding
from harness.gate.rules import Verdict
from harness.gate.verdicts import Result


def place(finding: Finding) -> str | None:
    """``linux/vfio.h:12``, or as far as that is known."""
    if finding.header is None:
        return None
    return finding.header if finding.line is None else f"{finding.header}:{finding.line}"


def message(finding: Finding) -> str:
    """One line that says it all."""
    text = f"{finding.subject}: {finding.detail}"
    return f"{text} ({users(finding)})" if finding.users else text


def users(finding: Finding) -> str:
    """``qemu 7.2 sends it; lspci 3.9.0 sends it``."""
    return "; ".join(map(str, finding.users))


def counts(result: Result) -> str:
    """``2 breaking, 14 compatible``."""
    numbers = {verdict: result.count(verdict) for verdict in Verdict}
    words = [f"{number} {verdict}" for verdict, number in numbers.items() if number]
    words += [f"{len(result.passed)} let pass"] if result.passed else []
    return ", ".join(words) or "no change"


def verdict(result: Result) -> str:
    """Whether the gate is open."""
    return "the gate stays shut" if result.exit_status else "the gate is open"
