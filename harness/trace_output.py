# SPDX-License-Identifier: Apache-2.0
"""``--trace``: one line for each call of a program, with result, errno and who decided."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from harness.ioctl_arguments import Exchange, exchange_of
from harness.kernel.errors import errno_name
from harness.kernel.trace import Event, Trace
from harness.kernel.unknown import UnknownUapi
from harness.uapi.fs import O_ACCMODE

#: Path lookups and the like that every system call is full of; strace does not show them either.
_QUIET = frozenset({"lookup", "getattr", "readlink", "permission"})
_TEXT_LIMIT = 64
_ACCESS = {0: "O_RDONLY", 1: "O_WRONLY", 2: "O_RDWR"}
_FLAGS = {
    0o100: "O_CREAT",
    0o200: "O_EXCL",
    0o1000: "O_TRUNC",
    0o2000: "O_APPEND",
    0o4000: "O_NONBLOCK",
    0o200000: "O_DIRECTORY",
    0o400000: "O_NOFOLLOW",
    0o2000000: "O_CLOEXEC",
}


def open_flags(flags: int) -> str:
    """``1`` -> ``O_WRONLY``; unknown bits in octal at the end."""
    names = [_ACCESS.get(flags & O_ACCMODE, "O_ACCMODE")]
    rest = flags & ~O_ACCMODE & ~0o100000  # O_LARGEFILE says nothing
    for bit, name in _FLAGS.items():
        if rest & bit:
            names.append(name)
            rest &= ~bit
    if rest:
        names.append(f"{rest:#o}")
    return "|".join(names)


def _value(value: Any) -> str:
    if isinstance(value, bytes):
        shown = repr(value[:_TEXT_LIMIT])[1:]
        return f"{shown}..." if len(value) > _TEXT_LIMIT else shown
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{len(value)}]"
    return type(value).__name__


def _joined(names: set[str]) -> str:
    return "|".join(sorted(names))


def _arguments(event: Event, exchange: Exchange | None) -> str:
    if event.operation == "open":
        return f", {open_flags(event.arguments[0])}"
    if event.operation == "ioctl":
        command, argument = event.arguments
        if exchange is None:
            return f", {command:#x}, {argument:#x}"
        passed = f", {_joined(exchange.passed)}" if exchange.passed else ""
        return f", {exchange.command.name}, {argument:#x}{passed}"
    return "".join(f", {_value(argument)}" for argument in event.arguments)


def _result(event: Event, exchange: Exchange | None) -> str:
    if event.errno:
        return f"-1 {errno_name(event.errno)}"
    if event.result is None or event.operation in ("open", "lookup"):
        return "0"
    given = exchange.given(event.result) if exchange is not None else set()
    return f"{_value(event.result)} ({_joined(given)})" if given else _value(event.result)


def trace_line(event: Event, exchange: Exchange | None = None) -> str:
    """``[pid comm] operation(path, arguments) = result <kernel function>``.

    Of an ioctl that we know, the line tells which constants it carried, both ways.
    """
    who = f"[{event.task.pid} {event.task.comm}] " if event.task is not None else "[kernel] "
    line = f"{who}{event.operation}({event.object}{_arguments(event, exchange)})"
    line += f" = {_result(event, exchange)}"
    return f"{line} <{event.decided_by}>" if event.decided_by else line


class Lines(Protocol):
    """Where lines go, such as a file."""

    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...


class TraceOutput:
    """An observer that writes lines; failed lookups are shown, since they explain ENOENT."""

    def __init__(self, stream: Lines) -> None:
        self._stream = stream
        self._exchanges: dict[Event, Exchange] = {}
        #: Why no more lines are written; the program goes on.
        self.failure: OSError | None = None

    def before(self, event: Event) -> Callable[[], Any] | None:
        """Only watches: what is passed need not be there any more after the call."""
        exchange = exchange_of(event)
        if exchange is not None:
            self._exchanges[event] = exchange
        return None

    def after(self, event: Event) -> None:
        """One line, unless the operation is a step that programs do not ask for by itself."""
        exchange = self._exchanges.pop(event, None)
        if event.operation in _QUIET and not event.errno:
            return
        self.line(trace_line(event, exchange))

    def line(self, text: str) -> None:
        """Write a line, unless one could not be written before."""
        if self.failure is not None:
            return
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except OSError as error:
            self.failure = error

    @staticmethod
    @contextmanager
    def to(destination: str | None, trace: Trace) -> Iterator[None]:
        """Observe ``trace`` into a file, ``-`` for stderr, None for not at all. Raises OSError."""
        if destination is None:
            yield
            return
        with (
            open(1 if destination == "/dev/stdout" else destination, "w")
            if (destination != "-")
            else _borrowed(sys.stderr) as stream
        ):
            output, unknown = TraceOutput(stream), UnknownUapi()
            trace.observers += [output, unknown]
            try:
                yield
            finally:
                trace.observers.remove(output)
                trace.observers.remove(unknown)
                for line in unknown.lines():
                    output.line(f"unknown uAPI used: {line}")
            if output.failure is not None:
                raise output.failure


@contextmanager
def _borrowed(stream: TextIO) -> Iterator[TextIO]:
    yield stream
