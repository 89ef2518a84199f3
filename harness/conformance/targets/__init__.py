# SPDX-License-Identifier: Apache-2.0
"""Targets: what a case can run against."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from harness.conformance.call import Endpoint


class Target(Protocol):
    """A kind of place that answers system calls.

    ``features`` are what a case may name in ``needs``.
    """

    name: str
    features: frozenset[str]

    def open(self, machine: str, profile: str) -> AbstractContextManager[Endpoint]:
        """A fresh machine and a task in it. NotRunnableError if this host cannot have one."""


def _model() -> Target:
    from harness.conformance.targets.model import ModelTarget

    return ModelTarget()


def _inprocess() -> Target:
    from harness.conformance.targets.inprocess import InProcessTarget

    return InProcessTarget()


def _process() -> Target:
    from harness.conformance.targets.process import ProcessTarget

    return ProcessTarget()


#: Targets by name. Imported when asked for: the process mount is not needed for the model.
TARGETS: dict[str, Callable[[], Target]] = {
    "model": _model,
    "inprocess": _inprocess,
    "process": _process,
}
