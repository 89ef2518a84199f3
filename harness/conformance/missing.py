# SPDX-License-Identifier: Apache-2.0
"""What of a profile's uAPI no case touches: ``uapi-harness conform --missing``.

The suites run on the model with an observer that writes down which nodes are read, written and
followed; all nodes of all machines are what could be, devices of one kind being one
(:mod:`harness.node_patterns`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field

from harness.conformance.observed import run_observed
from harness.data import machine_names
from harness.kernel.trace import Event
from harness.machine import load_machine
from harness.node_patterns import pattern

#: What is done to a node of each kind, by the key that a tree shows it with.
_READ, _WRITE, _FOLLOW = "read", "write", "readlink"

Use = tuple[str, str]


@define
class _Touched:
    """Writes down which operations nodes were asked for, whatever the answer was."""

    uses: set[Use] = field(factory=set)

    def before(self, event: Event) -> Callable[[], Any] | None:
        """Only watches."""
        return None

    def after(self, event: Event) -> None:
        """Attributes and links; directories are on everybody's way."""
        if event.operation in (_READ, _WRITE, _FOLLOW):
            self.uses.add((event.operation, pattern(event.object)))

    def taken(self) -> set[Use]:
        """All of them."""
        return self.uses


def uses(profile: str) -> set[Use]:
    """Everything that could be done to nodes of our machines with this kernel."""
    found = set()
    for name in machine_names():
        machine = load_machine(name, profile=profile)
        for top in machine.listdir("/"):
            for path, shown in machine.tree(f"/{top}").items():
                if "link" in shown:
                    found.add((_FOLLOW, pattern(path)))
                mode = int(shown.get("mode", "0"), 8)
                if mode & 0o444:
                    found.add((_READ, pattern(path)))
                if mode & 0o222:
                    found.add((_WRITE, pattern(path)))
    return found


def missing(profile: str) -> tuple[list[Use], int]:
    """What no case does, sorted by path, and how much there is in all. ConformError."""
    records = run_observed(profile, _Touched)
    touched: set[Use] = set()
    touched.update(*(record.observed for record in records if record.observed is not None))
    every = uses(profile)
    left = every - touched
    return sorted(left, key=lambda use: (use[1], use[0])), len(every)
