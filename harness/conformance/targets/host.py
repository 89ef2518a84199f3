# SPDX-License-Identifier: Apache-2.0
"""The target ``host``: the kernel that we run on ourselves.

A case is for a host that has the functions of the case's machine. What would change the host is
refused unless that is allowed (``host:modify``), and then nothing is put back afterwards.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from attrs import define

from harness.agent.program import Field, Message, Op
from harness.conformance.call import Endpoint
from harness.conformance.results import ImpossibleError, NotRunnableError
from harness.conformance.targets import HARMLESS, USERS, Target
from harness.conformance.targets.tasks import CaseTasks, case_tasks, running_agent
from harness.hardware import KINDS
from harness.machine_file import PciEntry, find, read
from harness.uapi.fs import O_ACCMODE, O_CREAT, O_TRUNC

_DEVICES = "/sys/bus/pci/devices"


def _identity(device: Path) -> str | None:
    with suppress(OSError):
        ids = [(device / name).read_text().strip() for name in ("vendor", "device")]
        return ":".join(text.removeprefix("0x") for text in ids)
    return None


def _missing(entries: Iterable[PciEntry]) -> Iterator[str]:
    """The functions of a machine that this host does not have, of those whose kind matters."""
    for entry in entries:
        if entry.id is not None and _identity(Path(_DEVICES, entry.slot)) != entry.id:
            yield f"{entry.slot} {entry.id}"
        yield from _missing(entry.children)


@cache
def _lacks(machine: str) -> str | None:
    """What this host lacks to be the machine. MachineError."""
    missing = list(_missing(read(find(machine), [*KINDS]).pci))
    return f"this host has no {missing[0]}, which {machine} has" if missing else None


@define
class _Guarded:
    """A case's tasks, which are kept from changing the host."""

    tasks: CaseTasks

    def begin(self, task: int, op: Op, fields: tuple[Field, ...]) -> Future[Message]:
        """See :class:`harness.conformance.call.Endpoint`."""
        writes = op is Op.OPEN and int(fields[1]) & (O_ACCMODE | O_CREAT | O_TRUNC)
        if writes or op not in HARMLESS:
            raise NotRunnableError(
                f"{op.name.lower()} could change this host; --modify-host allows it"
            )
        return self.tasks.begin(task, op, fields)

    def perform(self, task: int, op: Op, fields: tuple[Field, ...], seconds: float) -> Message:
        """See :class:`harness.conformance.call.Endpoint`."""
        return self.begin(task, op, fields).result(seconds)


class HostTarget(Target):
    """A new agent for each case, on this host."""

    features = frozenset({USERS})

    def __init__(self, *, modify: bool) -> None:
        self.name = "host:modify" if modify else "host"
        self._modify = modify

    @contextmanager
    def open(self, machine: str, profile: str) -> Iterator[Endpoint]:
        """See :class:`harness.conformance.targets.Target`."""
        lacks = _lacks(machine)
        if lacks is not None:
            raise ImpossibleError(lacks)
        agent = running_agent(subprocess.Popen, subprocess.Popen.kill)
        with agent as client, case_tasks(client) as tasks:
            yield tasks if self._modify else _Guarded(tasks)
