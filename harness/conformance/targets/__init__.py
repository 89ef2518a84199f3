# SPDX-License-Identifier: Apache-2.0
"""Targets: what a case can run against."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from harness.agent.program import Op
from harness.conformance.call import Endpoint

#: How the names of real kernels in virtual machines begin.
VM = "vm:"


class TargetError(ValueError):
    """There is no target of this name: what there is."""


#: After these a machine is as before, once all tasks are gone, and may serve the next case too.
HARMLESS = frozenset(
    {
        *(Op.HELLO, Op.OPEN, Op.CLOSE, Op.READ, Op.PREAD, Op.LSEEK, Op.POLL, Op.MMAP, Op.MUNMAP),
        *(Op.LOAD, Op.PEEK, Op.POKE, Op.STAT, Op.LSTAT, Op.FSTAT, Op.ACCESS, Op.READLINK),
        *(Op.GETDENTS, Op.DUP, Op.EVENTFD, Op.FORK, Op.THREAD, Op.EXEC, Op.EXIT, Op.WAIT, Op.KILL),
        *(Op.INTERRUPT, Op.SETUID, Op.DROP_CAPABILITIES, Op.SETRLIMIT, Op.MEMFD, Op.EPOLL),
    }
)


#: A feature: files can belong to any user.
USERS = "users"
#: All that a target may have.
FEATURES = frozenset({USERS})


class Target(ABC):
    """A kind of place that answers system calls.

    ``features`` are what a case may name in ``needs``.
    """

    name: str
    features: frozenset[str] = frozenset()
    #: What the last case asked for that the machine has nothing for, as far as the target can tell.
    unknown: tuple[str, ...] = ()
    #: What an observer of the last case wrote down.
    observed: Any = None

    def prepare(self, profile: str) -> None:  # noqa: B027 # most need nothing
        """Get what all cases need, once; NotRunnableError if this host cannot have it."""

    @abstractmethod
    def open(self, machine: str, profile: str) -> AbstractContextManager[Endpoint]:
        """A machine as if it were new, and a task in it. NotRunnableError if there can be none."""

    def close(self) -> None:  # noqa: B027 # most keep nothing
        """Give back what was kept from one case to the next."""


def _model() -> Target:
    from harness.conformance.targets.model import ModelTarget

    return ModelTarget()


def _inprocess() -> Target:
    try:
        from harness.conformance.targets.inprocess import InProcessTarget
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pyfakefs":
            raise
        what = (
            "the target inprocess needs pyfakefs; `pip install 'uapi-harness[inprocess]'` brings it"
        )
        raise TargetError(what) from None

    return InProcessTarget()


def _process() -> Target:
    from harness.conformance.targets.process import ProcessTarget

    return ProcessTarget()


def _host(*, modify: bool) -> Target:
    from harness.conformance.targets.host import HostTarget

    return HostTarget(modify=modify)


#: Targets by name. Imported when asked for: the process mount is not needed for the model.
TARGETS: dict[str, Callable[[], Target]] = {
    "model": _model,
    "inprocess": _inprocess,
    "process": _process,
    "host": partial(_host, modify=False),
    "host:modify": partial(_host, modify=True),
}


def _vm(kernel: str) -> Target:
    from harness.conformance.targets.vm import VmTarget

    return VmTarget(kernel)


def target_maker(name: str) -> Callable[[], Target]:
    """What makes the target of this name, also in another process. TargetError."""
    if name in TARGETS:
        return TARGETS[name]
    if name.startswith(VM):
        return partial(_vm, name.removeprefix(VM))
    known = ", ".join([*(name for name in TARGETS if ":" not in name), f"{VM}KERNEL"])
    raise TargetError(f"unknown target {name!r}; allowed: {known}")
