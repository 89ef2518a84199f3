# SPDX-License-Identifier: Apache-2.0
"""Formats by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TextIO

from harness.gate.output.github import write_github
from harness.gate.output.json import write_json
from harness.gate.output.junit import write_junit
from harness.gate.output.markdown import write_markdown
from harness.gate.output.sarif import write_sarif
from harness.gate.output.text import write_text
from harness.gate.verdicts import Result

FORMATS: Mapping[str, Callable[[Result, TextIO], None]] = {
    "text": write_text,
    "json": write_json,
    "sarif": write_sarif,
    "github": write_github,
    "markdown": write_markdown,
    "junit": write_junit,
}
