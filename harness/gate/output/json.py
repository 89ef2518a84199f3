# SPDX-License-Identifier: Apache-2.0
"""JSON; its shape is ``gate.schema.json``."""

from __future__ import annotations

import json
from typing import Any, TextIO

from harness import __version__
from harness.gate.findings import Finding
from harness.gate.rules import Verdict
from harness.gate.verdicts import Result

SCHEMA = 1


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule_id,
        "verdict": finding.verdict.value,
        "subject": finding.subject,
        "detail": finding.detail,
        "file": finding.header,
        "line": finding.line,
        "tools": [user.tool for user in finding.users],
        "uses": [str(user) for user in finding.users],
    }


def write_json(result: Result, output: TextIO) -> None:
    """One document."""
    document = {
        "schema": SCHEMA,
        "tool": {"name": "uapi-harness", "version": __version__},
        "old": result.old,
        "new": result.new,
        "fail_on": result.fail_on.value,
        "exit_status": result.exit_status,
        "counts": {verdict.value: result.count(verdict) for verdict in Verdict},
        "findings": [_finding(finding) for finding in result.all],
        "passed": [
            _finding(finding) | {"reason": one.reason, "expires": one.expires.isoformat()}
            for finding, one in result.passed
        ],
    }
    json.dump(document, output, indent=1)
    output.write("\n")
