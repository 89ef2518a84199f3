# SPDX-License-Identifier: Apache-2.0
"""``docs/gate-rules.md``, made of the table of rules: ``python -m harness.gate.rules_document``."""

from __future__ import annotations

from collections.abc import Iterator

from harness.gate.rules import ORDER, RULES

_HEAD = """\
<!-- SPDX-License-Identifier: Apache-2.0 -->
<!-- Made by `python -m harness.gate.rules_document > docs/gate-rules.md`; a test compares. -->
# Rules of the gate

Each change between two snapshots falls under one rule, and the rule has a verdict.
[The gate in CI](ci-gate.md) says how to use them.

| verdict | what it means for programs that work now |
|---|---|
| breaking | some no longer compile, or no longer work |
| risky | it depends on how they were written, or on the machine |
| unknown | nothing to judge by; somebody must look |
| compatible | they go on as before |
"""


def document() -> Iterator[str]:
    """The document's lines."""
    yield _HEAD
    for verdict in ORDER:
        yield f"## {verdict.capitalize()}"
        yield ""
        for rule in RULES.values():
            if rule.verdict is verdict:
                yield f"### {rule.id}"
                yield ""
                yield f"{rule.title}. Example: {rule.example}."
                yield ""
                yield rule.reason
                yield ""


if __name__ == "__main__":
    print("\n".join(document()).rstrip())
