# SPDX-License-Identifier: Apache-2.0
"""The report as JUnit XML, which CI systems show; its shape is ``junit.xsd`` beside this file.

A suite, target and profile is a ``testsuite``. A finding is a ``failure``, or an ``error`` where
the target crashed or did not end; all that was not put to the test, or is known to differ, is
``skipped`` with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TextIO
from xml.etree import ElementTree

from harness.conformance.records import Record, Run, State
from harness.report.text import reproduce

#: What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ERRORS = frozenset({State.CRASHED, State.TIMEOUT})


def clean(text: str) -> str:
    """``text`` without what XML cannot hold."""
    return _FORBIDDEN.sub("\ufffd", text)


def _outcome(run: Run, record: Record, findings: set[int]) -> str | None:
    """The element that says how a case ended; None for a pass."""
    if id(record) in findings:
        return "error" if record.state in _ERRORS else "failure"
    return None if record.state is State.PASS else "skipped"


def _case(parent: ElementTree.Element, run: Run, record: Record, outcome: str | None) -> None:
    file, _, name = record.id.partition("::")
    case = ElementTree.SubElement(
        parent,
        "testcase",
        classname=clean(file.replace("/", ".")),
        name=clean(name),
        time=f"{record.duration:.6f}",
    )
    if outcome is None:
        return
    failure = record.failure
    if failure is not None and outcome != "skipped":
        message = f"{failure.call}: expected {failure.expected}, got {failure.got}"
    else:
        message = record.reason or record.state.value
    element = ElementTree.SubElement(case, outcome, message=clean(message))
    if outcome != "skipped":
        element.set("type", record.state.value)
        source = f"source: {record.source} ({record.evidence})"
        element.text = clean(f"{message}\n{source}\nagain: {reproduce(record)}\n")


def _suite(
    parent: ElementTree.Element,
    run: Run,
    name: str,
    records: Sequence[Record],
    findings: set[int],
) -> None:
    outcomes = [_outcome(run, record, findings) for record in records]
    suite = ElementTree.SubElement(
        parent,
        "testsuite",
        name=f"{name} on {run.target}, {run.profile}",
        tests=str(len(records)),
        failures=str(outcomes.count("failure")),
        errors=str(outcomes.count("error")),
        skipped=str(outcomes.count("skipped")),
        time=f"{sum(record.duration for record in records):.6f}",
    )
    for record, outcome in zip(records, outcomes, strict=True):
        _case(suite, run, record, outcome)


def write_junit(runs: Sequence[Run], output: TextIO) -> None:
    """One document."""
    root = ElementTree.Element("testsuites")
    for run in runs:
        findings = {id(record) for record in run.findings}
        for name in sorted({record.suite for record in run.records}):
            records = [record for record in run.records if record.suite == name]
            _suite(root, run, name, records, findings)
    write_document(root, output)


def write_document(root: ElementTree.Element, output: TextIO) -> None:
    """One XML document."""
    ElementTree.indent(root)
    output.write('<?xml version="1.0" encoding="UTF-8"?>\n')
    output.write(ElementTree.tostring(root, encoding="unicode") + "\n")
