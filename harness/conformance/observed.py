# SPDX-License-Identifier: Apache-2.0
"""Cases on the model with somebody watching what their programs do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from harness.conformance.records import Record
from harness.conformance.runner import Progress, run
from harness.conformance.targets.model import ModelEndpoint, ModelTarget
from harness.kernel.trace import Observer


class Notes(Observer, Protocol):
    """An observer of one case."""

    def taken(self) -> Any:
        """What it wrote down; this comes from another process, so it must be plain data."""


class WatchedModel(ModelTarget):
    """The target ``model``, observed."""

    def __init__(self, notes: Callable[[], Notes]) -> None:
        super().__init__()
        self._notes = notes

    @contextmanager
    def open(self, machine: str, profile: str) -> Iterator[ModelEndpoint]:
        """See :class:`harness.conformance.targets.Target`."""
        notes = self._notes()
        with super().open(machine, profile) as endpoint:
            observers = endpoint.kernel.trace.observers
            observers.append(notes)
            try:
                yield endpoint
            finally:
                observers.remove(notes)
                self.observed = notes.taken()


def run_observed(
    profile: str,
    notes: Callable[[], Notes],
    pattern: str | None = None,
    progress: Progress | None = None,
) -> list[Record]:
    """All cases about ``profile``, each with what its own ``notes()`` took. ConformError.

    Other processes call ``notes``: it must be the name of a class or function.
    """
    make = partial(WatchedModel, notes)
    return [
        *run(target="model", profile=profile, pattern=pattern, progress=progress, make=make).records
    ]
