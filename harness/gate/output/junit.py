# SPDX-License-Identifier: Apache-2.0
"""JUnit XML: each finding is a test; one that keeps the gate shut is a failure."""

from __future__ import annotations

from typing import TextIO
from xml.etree import ElementTree

from harness.gate.findings import Finding
from harness.gate.output.words import message
from harness.gate.verdicts import Result
from harness.report.junit import clean, write_document


def _case(suite: ElementTree.Element, finding: Finding) -> ElementTree.Element:
    place = (finding.header or "uapi").replace("/", ".")
    name = clean(f"{finding.rule_id}: {finding.subject}")
    return ElementTree.SubElement(suite, "testcase", classname=place, name=name, time="0")


def write_junit(result: Result, output: TextIO) -> None:
    """One suite."""
    failed = [finding for finding in result.all if result.fails(finding)]
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=f"uAPI of {result.old} to {result.new}",
        tests=str(len(result.all) + len(result.passed)),
        failures=str(len(failed)),
        errors="0",
        skipped=str(len(result.passed)),
        time="0",
    )
    for finding in result.all:
        case = _case(suite, finding)
        if finding in failed:
            said = clean(message(finding))
            element = ElementTree.SubElement(case, "failure", message=said, type=finding.verdict)
            element.text = clean(f"{said}\n{finding.rule.reason}\n")
    for finding, suppression in result.passed:
        reason = clean(f"let pass until {suppression.expires}: {suppression.reason}")
        ElementTree.SubElement(_case(suite, finding), "skipped", message=reason)
    write_document(root, output)
