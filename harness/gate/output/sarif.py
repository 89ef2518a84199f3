# SPDX-License-Identifier: Apache-2.0
"""SARIF 2.1.0 (OASIS), which forges show beside the code.

What is not in a header has no file, so its location is its name alone (``logicalLocations``).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, TextIO

from harness import __version__
from harness.gate.findings import Finding
from harness.gate.output.words import message
from harness.gate.policy import Suppression
from harness.gate.rules import RULES, Rule, Verdict
from harness.gate.verdicts import Result

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {
    Verdict.BREAKING: "error",
    Verdict.RISKY: "warning",
    Verdict.UNKNOWN: "warning",
    Verdict.COMPATIBLE: "note",
}
_ORDER = list(RULES)


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.reason},
        "help": {"text": f"Example: {rule.example}"},
        "defaultConfiguration": {"level": _LEVELS[rule.verdict]},
        "properties": {"verdict": rule.verdict.value},
    }


def _location(finding: Finding) -> dict[str, Any]:
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": finding.subject}]}
    if finding.header is not None:
        place: dict[str, Any] = {"artifactLocation": {"uri": finding.header}}
        if finding.line is not None:
            place["region"] = {"startLine": finding.line}
        location["physicalLocation"] = place
    return location


def _result(finding: Finding, suppression: Suppression | None = None) -> dict[str, Any]:
    identity = f"{finding.rule_id} {finding.subject}".encode()
    result = {
        "ruleId": finding.rule_id,
        "ruleIndex": _ORDER.index(finding.rule_id),
        "level": _LEVELS[finding.verdict],
        "message": {"text": message(finding)},
        "locations": [_location(finding)],
        "partialFingerprints": {"change/v1": hashlib.sha256(identity).hexdigest()[:32]},
    }
    if suppression is not None:
        result["suppressions"] = [{"kind": "external", "justification": suppression.reason}]
    return result


def write_sarif(result: Result, output: TextIO) -> None:
    """One log of one run."""
    driver = {
        "name": "uapi-harness gate",
        "semanticVersion": __version__,
        "rules": [_rule(rule) for rule in RULES.values()],
    }
    results = [_result(finding) for finding in result.all]
    results += [_result(finding, suppression) for finding, suppression in result.passed]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    json.dump({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, output, indent=1)
    output.write("\n")
