# SPDX-License-Identifier: Apache-2.0
"""Observers of everything that happens in a machine.

Coverage, "unknown uAPI used", fault injection, ``--trace`` and tests are observers; drivers neither
log nor inject. While nobody observes, the cost is one test of :attr:`Trace.observers`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

from attrs import define, field

from harness.kernel.errors import Errno
from harness.kernel.task import AddressSpace, Task


@define(eq=False)
class Event:
    """One node or file operation, interrupt, DMA access or hardware command.

    ``task`` is None for what no program asked for; ``object`` is a path or a hardware name.
    ``result`` and ``errno`` are set when the operation is over; ``decided_by`` is the function of
    the fake kernel that gave the answer, which bears the name of its counterpart in the kernel.
    ``memory`` is what addresses in the arguments are of, to be asked for during the event alone;
    EFAULT.
    """

    operation: str
    object: str
    arguments: tuple[Any, ...]
    task: Task | None = None
    result: Any = None
    errno: int = 0
    decided_by: str = ""
    memory: Callable[[], AddressSpace] | None = None


class Observer(Protocol):
    """What sees events. ``before`` may answer instead of the machine."""

    def before(self, event: Event) -> Callable[[], Any] | None:
        """None to go on; or a function whose result (or Errno) is the answer."""

    def after(self, event: Event) -> None:
        """The event with its result."""


def _decider(traceback: TracebackType | None) -> str:
    """The innermost function that raised, by the name it shares with the kernel's."""
    name = ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not code.co_name.startswith("<"):
            name = code.co_name
        traceback = traceback.tb_next
    return name.removeprefix("_")


@define(eq=False)
class Trace:
    """The observers of one machine."""

    observers: list[Observer] = field(factory=list)

    def observe(self, event: Event, function: Callable[[], Any]) -> Any:
        """Run ``function`` as ``event``, with all observers before and after it."""
        for observer in self.observers:
            answer = observer.before(event)
            if answer is not None:
                function = answer
                event.decided_by = type(observer).__name__
                break
        try:
            event.result = function()
        except Errno as error:
            event.errno = error.errno
            if error.__traceback__ is not None:
                event.decided_by = _decider(error.__traceback__.tb_next) or event.decided_by
            raise
        finally:
            for observer in self.observers:
                observer.after(event)
        return event.result

    def emit(self, operation: str, name: str, *arguments: Any, result: Any = None) -> None:
        """Report something that has happened by itself: a uevent, an interrupt, a command."""
        if self.observers:
            self.observe(Event(operation, name, arguments), lambda: result)
