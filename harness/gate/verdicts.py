# SPDX-License-Identifier: Apache-2.0
"""What a gate has to say in the end."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from harness.gate.findings import Finding
from harness.gate.policy import Suppression
from harness.gate.rules import ORDER, Verdict


@frozen
class Result:
    """Everything that was found. ``passed`` is let pass by the policy, ``policy`` is about it."""

    old: str
    new: str
    fail_on: Verdict
    findings: Sequence[Finding]
    passed: Sequence[tuple[Finding, Suppression]] = ()
    policy: Sequence[Finding] = ()

    def fails(self, finding: Finding) -> bool:
        """Whether the gate stays shut because of this finding."""
        return finding in self.policy or ORDER.index(finding.verdict) <= ORDER.index(self.fail_on)

    @property
    def all(self) -> list[Finding]:
        """All that stands, the policy's own findings last."""
        return [*self.findings, *self.policy]

    @property
    def exit_status(self) -> int:
        """1 if the gate stays shut."""
        return int(any(self.fails(finding) for finding in self.all))

    def count(self, verdict: Verdict) -> int:
        """How many findings have this verdict."""
        return sum(finding.verdict is verdict for finding in self.all)
