# SPDX-License-Identifier: Apache-2.0
"""Two snapshots become findings."""

from __future__ import annotations

from harness.gate.errors import GateError
from harness.gate.findings import Finding
from harness.gate.header_diff import compare_headers
from harness.gate.snapshot import Snapshot
from harness.gate.sysfs_diff import compare_behaviours, compare_sysfs


def judge(old: Snapshot, new: Snapshot) -> list[Finding]:
    """Every change, the worst first. GateError if the two cannot be compared."""
    machines = old.architecture, new.architecture
    if None not in machines and machines[0] != machines[1]:
        raise GateError(
            f"{old.source} is of {machines[0]} and {new.source} of {machines[1]}; "
            "both must be of one architecture"
        )
    parts = ("headers", "sysfs", "behaviours")
    if not any(getattr(old, part) and getattr(new, part) for part in parts):
        raise GateError(
            f"{old.source} and {new.source} have nothing in common to compare "
            f"(of {', '.join(parts)})"
        )
    found: list[Finding] = []
    if old.headers and new.headers:
        found += compare_headers(old, new)
    found += compare_sysfs(old, new)
    found += compare_behaviours(old, new)
    return sorted(found, key=lambda finding: finding.order)
