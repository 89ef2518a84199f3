# SPDX-License-Identifier: Apache-2.0
"""GitHub's workflow commands, which become annotations of a pull request."""

from __future__ import annotations

from typing import TextIO

from harness.gate.findings import Finding
from harness.gate.output.words import counts, message, verdict
from harness.gate.rules import Verdict
from harness.gate.verdicts import Result

_COMMANDS = {Verdict.BREAKING: "error", Verdict.RISKY: "warning", Verdict.UNKNOWN: "notice"}


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _line(command: str, finding: Finding) -> str:
    properties = {
        "file": finding.header,
        "line": finding.line and str(finding.line),
        "title": f"{finding.verdict} {finding.rule_id}",
    }
    words = [f"{name}={_property(value)}" for name, value in properties.items() if value]
    return f"::{command} {','.join(words)}::{_data(message(finding))}"


def write_github(result: Result, output: TextIO) -> None:
    """A line for each finding that is not compatible; what fails the gate is an error."""
    for finding in result.all:
        if finding.verdict in _COMMANDS or result.fails(finding):
            fails = result.fails(finding)
            command = "error" if fails else _COMMANDS[finding.verdict]
            output.write(f"{_line(command, finding)}\n")
    output.write(f"{result.old} -> {result.new}: {counts(result)}; {verdict(result)}\n")
