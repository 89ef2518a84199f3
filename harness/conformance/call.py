# SPDX-License-Identifier: Apache-2.0
"""The object ``call``: all that a case can do is make system calls through it.

Arguments and results are int, bytes, str or a handle. A method makes one system call of one task
and gives a :class:`~harness.conformance.results.Result`; a few conveniences at the end are made of
the same calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeAlias, TypeVar

from attrs import define, evolve, field, frozen

from harness.agent.program import FIRST_TASK, Message, Op, Status
from harness.agent.program import Field as WireField
from harness.conformance.errnos import ErrorNumber
from harness.conformance.results import (
    Failure,
    NotRunnableError,
    Result,
    shown,
)
from harness.trace_output import open_flags
from harness.uapi.fs import O_DIRECTORY, O_RDONLY, O_WRONLY, PAGE_SIZE

T = TypeVar("T")
P = ParamSpec("P")

_PROT_READ_WRITE = 0x3
_MAP_PRIVATE_ANONYMOUS = 0x22
_AT_ONCE = 32768


class Endpoint(Protocol):
    """The target's end: takes the operations of the agent protocol."""

    def begin(self, task: int, op: Op, fields: tuple[WireField, ...]) -> Future[Message]:
        """Start a call; the future's exceptions are AgentError and nothing else."""

    def perform(self, task: int, op: Op, fields: tuple[WireField, ...], seconds: float) -> Message:
        """Make a call; TimeoutError after ``seconds``, AgentError if the agent dies."""


class TaskGoneError(Exception):
    """A task ended during a call that does not end tasks."""


@frozen
class Fd:
    """A file descriptor of a task; shown by the path that was opened."""

    number: int
    path: str

    def __repr__(self) -> str:
        return self.path


@frozen
class Buffer:
    """Memory of a task. ``buffer + 16`` is the place 16 bytes further on."""

    address: int
    size: int

    def __add__(self, offset: int) -> Buffer:
        return Buffer(self.address + offset, self.size - offset)

    def __repr__(self) -> str:
        return f"<{self.size} bytes of memory>"


@frozen
class Stat:
    """What stat(2) shows; ``mode`` with the file type."""

    ino: int
    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    rdev: int


@frozen
class Entry:
    """One directory entry: inode number, DT_* type and name."""

    ino: int
    type: int
    name: str


@define(eq=False)
class Context:
    """What all tasks of one running case share: the way to the target, the clock, what was seen."""

    endpoint: Endpoint
    deadline: float
    #: The profile and those that it extends.
    kernels: tuple[str, ...] = ()
    results: list[Result[Any]] = field(factory=list)

    def seconds_left(self) -> float:
        """Until the case's time is over."""
        return max(0.0, self.deadline - time.monotonic())

    def first_unseen_failure(self) -> Failure | None:
        """The first failed call whose result no one looked at."""
        for result in self.results:
            if result.error is not None and not result.looked_at:
                return Failure(result.text, "success", str(result.error))
        return None


@define(eq=False)
class Pending(Generic[T]):
    """A call that may still be blocked."""

    _context: Context
    _task: int
    _future: Future[Message]
    _finish: Callable[[Message], Result[T]]

    def wait(self) -> Result[T]:
        """The result, once the call is over. The case's time limit bounds this."""
        return self._finish(self._future.result(self._context.seconds_left()))

    def interrupt(self) -> None:
        """Interrupt the call as a signal with a handler does: it answers EINTR."""
        self._context.endpoint.perform(self._task, Op.INTERRUPT, (), self._context.seconds_left())


FdLike: TypeAlias = Fd | Result[Fd]
Address: TypeAlias = int | Buffer | Result[Buffer]


def _value(argument: Any) -> Any:
    return argument.value if isinstance(argument, Result) else argument


def _wire(argument: Any) -> WireField:
    """An argument as the protocol has it."""
    match argument:
        case Fd(number=number):
            return number
        case Buffer(address=address):
            return address
        case str():
            return argument.encode(errors="surrogateescape")
        case int() | bytes():
            return argument
    raise TypeError(f"{argument!r} is no argument of a system call")


@frozen
class _Request:
    """A call before it is made: the operation, how the report shows it, and its arguments."""

    op: Op
    text: str
    fields: tuple[WireField, ...]


def _request(op: Op, arguments: tuple[Any, ...], text: str | None) -> _Request:
    values = [_value(argument) for argument in arguments]
    if text is None:
        text = f"{op.name.lower()}({', '.join(shown(value) for value in values)})"
    return _Request(op, text, tuple(_wire(value) for value in values))


def _number(message: Message) -> int:
    return message.result


def _bytes(message: Message) -> bytes:
    data = message.fields[0]
    assert isinstance(data, bytes)
    return data


def _text(message: Message) -> str:
    return _bytes(message).decode(errors="surrogateescape")


def _nothing(message: Message) -> None:
    return None


def _stat(message: Message) -> Stat:
    return Stat(*message.fields)  # type: ignore[arg-type]


def _entries(message: Message) -> list[Entry]:
    fields = message.fields
    return [
        Entry(ino, kind, name.decode(errors="surrogateescape"))  # type: ignore[union-attr, arg-type]
        for ino, kind, name in zip(fields[::3], fields[1::3], fields[2::3], strict=True)
    ]


@define(eq=False)
class Call:
    """System calls of one task of the target."""

    _context: Context
    _task: int = FIRST_TASK

    def since(self, kernel: str) -> bool:
        """Whether the target's kernel is ``kernel``, a profile's name, or one that came after."""
        return kernel in self._context.kernels

    def _make(
        self,
        op: Op,
        *arguments: Any,
        to: Callable[[Message], T],
        text: str | None = None,
    ) -> Result[T]:
        """One call: ``to`` makes the value out of the reply, ``text`` is what the report shows."""
        request = _request(op, arguments, text)
        left = self._context.seconds_left()
        message = self._context.endpoint.perform(self._task, op, request.fields, left)
        return _finish(self._context, request, to, message)

    def start(
        self,
        method: Callable[Concatenate[Call, P], Result[T]] | Callable[P, Result[T]],
        *arguments: Any,
        **options: Any,
    ) -> Pending[T]:
        """Begin a call that may block: ``pending = call.start(call.read, fd, 8)``."""
        starter = _Starter(self._context, self._task)
        getattr(starter, method.__name__)(*arguments, **options)
        assert starter.pending is not None
        return starter.pending

    # --- files

    def open(self, path: str, flags: int, mode: int = 0o666) -> Result[Fd]:
        """open(2)."""
        return self._make(
            Op.OPEN,
            path,
            flags,
            mode,
            to=lambda message: Fd(message.result, path),
            text=f"open({path!r}, {open_flags(flags)})",
        )

    def close(self, fd: FdLike) -> Result[None]:
        """close(2)."""
        return self._make(Op.CLOSE, fd, to=_nothing)

    def dup(self, fd: FdLike) -> Result[Fd]:
        """dup(2)."""
        path = _value(fd).path
        return self._make(Op.DUP, fd, to=lambda message: Fd(message.result, path))

    def read(self, fd: FdLike, count: int) -> Result[bytes]:
        """read(2)."""
        return self._make(Op.READ, fd, count, to=_bytes)

    def write(self, fd: FdLike, data: bytes) -> Result[int]:
        """write(2)."""
        return self._make(Op.WRITE, fd, data, to=_number)

    def pread(self, fd: FdLike, count: int, offset: int) -> Result[bytes]:
        """pread(2)."""
        return self._make(Op.PREAD, fd, count, offset, to=_bytes)

    def pwrite(self, fd: FdLike, data: bytes, offset: int) -> Result[int]:
        """pwrite(2)."""
        return self._make(Op.PWRITE, fd, data, offset, to=_number)

    def lseek(self, fd: FdLike, offset: int, whence: int) -> Result[int]:
        """lseek(2)."""
        return self._make(Op.LSEEK, fd, offset, whence, to=_number)

    def ioctl(self, fd: FdLike, command: int, argument: Address = 0) -> Result[int]:
        """ioctl(2); a struct is put into a buffer first."""
        address = _value(argument)
        text = f"ioctl({_value(fd)!r}, {command:#x}, {address!r})"
        return self._make(Op.IOCTL, fd, command, address, to=_number, text=text)

    def poll(self, events: Mapping[Fd, int], timeout: int = 0) -> Result[dict[Fd, int]]:
        """poll(2): the ready events of each fd. ``timeout`` in ms; -1 waits for ever."""
        pairs = [number for fd, mask in events.items() for number in (fd.number, mask)]
        watched = ", ".join(f"{fd!r}: {mask:#x}" for fd, mask in events.items())

        def ready(message: Message) -> dict[Fd, int]:
            return dict(zip(events, (int(mask) for mask in message.fields), strict=True))

        text = f"poll({{{watched}}}, {timeout})"
        return self._make(Op.POLL, timeout, *pairs, to=ready, text=text)

    def epoll(self, fd: Fd, events: int, timeout: int = 0) -> Result[int]:
        """The ready events by epoll_wait(2), of an instance that only this fd was added to.

        ``timeout`` in ms; -1 waits for ever."""
        text = f"epoll({fd!r}, {events:#x}, {timeout})"
        return self._make(
            Op.EPOLL, fd, events, timeout, to=lambda message: int(message.fields[0]), text=text
        )

    def eventfd(self, initial: int = 0, flags: int = 0) -> Result[Fd]:
        """eventfd(2)."""
        return self._make(
            Op.EVENTFD, initial, flags, to=lambda message: Fd(message.result, "eventfd")
        )

    def memfd(self, name: str = "memory", flags: int = 0) -> Result[Fd]:
        """memfd_create(2)."""
        return self._make(
            Op.MEMFD, name, flags, to=lambda message: Fd(message.result, f"/memfd:{name}")
        )

    # --- memory

    def mmap(
        self, length: int, prot: int, flags: int, fd: FdLike, offset: int = 0
    ) -> Result[Buffer]:
        """mmap(2) of a file."""
        return self._make(
            Op.MMAP,
            length,
            prot,
            flags,
            fd,
            offset,
            to=lambda message: Buffer(message.result, length),
        )

    def buffer(self, size: int = PAGE_SIZE) -> Buffer:
        """New zeroed memory of the task."""
        arguments = (size, _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS, -1, 0)
        return self._make(
            Op.MMAP, *arguments, to=lambda message: Buffer(message.result, size)
        ).value

    def munmap(self, memory: Buffer | Result[Buffer]) -> Result[None]:
        """munmap(2) of a whole mapping."""
        value = _value(memory)
        return self._make(Op.MUNMAP, value, value.size, to=_nothing)

    def load(self, address: Address, size: int) -> Result[int]:
        """One load of 1, 2, 4 or 8 bytes."""
        return self._make(
            Op.LOAD, address, size, to=lambda message: int(message.fields[0]) & _mask(size)
        )

    def store(self, address: Address, size: int, value: int) -> Result[None]:
        """One store of 1, 2, 4 or 8 bytes."""
        return self._make(Op.STORE, address, size, value, to=_nothing)

    def peek(self, address: Address, count: int) -> Result[bytes]:
        """A copy of memory."""
        return self._make(Op.PEEK, address, count, to=_bytes)

    def poke(self, address: Address, data: bytes) -> Result[None]:
        """Copy into memory."""
        return self._make(Op.POKE, address, data, to=_nothing)

    # --- names

    def stat(self, path: str) -> Result[Stat]:
        """stat(2)."""
        return self._make(Op.STAT, path, to=_stat)

    def lstat(self, path: str) -> Result[Stat]:
        """lstat(2)."""
        return self._make(Op.LSTAT, path, to=_stat)

    def fstat(self, fd: FdLike) -> Result[Stat]:
        """fstat(2)."""
        return self._make(Op.FSTAT, fd, to=_stat)

    def access(self, path: str, mode: int) -> Result[None]:
        """access(2); ``mode`` of MAY_* bits, which are R_OK and so on."""
        return self._make(Op.ACCESS, path, mode, to=_nothing)

    def readlink(self, path: str) -> Result[str]:
        """readlink(2)."""
        return self._make(Op.READLINK, path, to=_text)

    def getdents(self, fd: FdLike, count: int = _AT_ONCE) -> Result[list[Entry]]:
        """getdents64(2): the next entries, in the kernel's order; none at the end."""
        return self._make(Op.GETDENTS, fd, count, to=_entries)

    def mkdir(self, path: str, mode: int = 0o777) -> Result[None]:
        """mkdir(2)."""
        return self._make(Op.MKDIR, path, mode, to=_nothing)

    def rmdir(self, path: str) -> Result[None]:
        """rmdir(2)."""
        return self._make(Op.RMDIR, path, to=_nothing)

    def unlink(self, path: str) -> Result[None]:
        """unlink(2)."""
        return self._make(Op.UNLINK, path, to=_nothing)

    def rename(self, old: str, new: str) -> Result[None]:
        """rename(2)."""
        return self._make(Op.RENAME, old, new, to=_nothing)

    def symlink(self, target: str, path: str) -> Result[None]:
        """symlink(2)."""
        return self._make(Op.SYMLINK, target, path, to=_nothing)

    def link(self, old: str, new: str) -> Result[None]:
        """link(2)."""
        return self._make(Op.LINK, old, new, to=_nothing)

    def mknod(self, path: str, mode: int, rdev: int = 0) -> Result[None]:
        """mknod(2); ``mode`` with the file type."""
        return self._make(Op.MKNOD, path, mode, rdev, to=_nothing)

    def truncate(self, path: str, length: int) -> Result[None]:
        """truncate(2)."""
        return self._make(Op.TRUNCATE, path, length, to=_nothing)

    def ftruncate(self, fd: FdLike, length: int) -> Result[None]:
        """ftruncate(2)."""
        return self._make(Op.FTRUNCATE, fd, length, to=_nothing)

    def chmod(self, path: str, mode: int) -> Result[None]:
        """chmod(2)."""
        text = f"chmod({path!r}, {mode:#o})"
        return self._make(Op.CHMOD, path, mode, to=_nothing, text=text)

    def chown(self, path: str, uid: int, gid: int) -> Result[None]:
        """chown(2); -1 leaves one alone."""
        return self._make(Op.CHOWN, path, uid, gid, to=_nothing)

    # --- tasks

    def fork(self) -> Task:
        """fork(2): another task with copies of the memory and the same open files."""
        return self._make(Op.FORK, to=self._child).value

    def thread(self) -> Task:
        """clone(2) of a thread: another task with the same memory and the same table of fds."""
        return self._make(Op.THREAD, to=self._child).value

    def _child(self, message: Message) -> Task:
        pid = message.fields[0]
        assert isinstance(pid, int)
        return Task(evolve(self, task=message.result), pid)

    def wait(self, task: Task) -> Result[int]:
        """waitpid(2) of a child: its wait status."""
        return self._make(Op.WAIT, task.pid, to=_number)

    def setuid(self, uid: int, gid: int, groups: tuple[int, ...] = ()) -> Result[None]:
        """Be another user from here on; any but root has no capabilities then."""
        return self._make(Op.SETUID, uid, gid, *groups, to=_nothing)

    def drop_capabilities(self, *capabilities: int) -> Result[None]:
        """Lose these capabilities; without arguments, all."""
        return self._make(Op.DROP_CAPABILITIES, *capabilities, to=_nothing)

    def setrlimit(self, resource: int, soft: int) -> Result[None]:
        """setrlimit(2) of the soft limit."""
        return self._make(Op.SETRLIMIT, resource, soft, to=_nothing)

    # --- made of the calls above

    @contextmanager
    def opened(self, path: str, flags: int) -> Iterator[Fd]:
        """An fd that is closed at the end; the case fails if it cannot be opened."""
        fd = self.open(path, flags).value
        yield fd
        self.close(fd)

    def read_text(self, path: str) -> Result[str]:
        """The content of an attribute: open, one read of a page, close."""
        opened = self.open(path, O_RDONLY)
        if opened.error is not None:
            return opened.failed
        data = self.read(opened, PAGE_SIZE)
        self.close(opened)
        if data.error is not None:
            return data.failed
        return Result(data.text, None, data.value.decode(errors="surrogateescape"))

    def write_text(self, path: str, text: str) -> Result[int]:
        """Store into an attribute: open, one write, close; how many bytes were taken."""
        opened = self.open(path, O_WRONLY)
        if opened.error is not None:
            return opened.failed
        written = self.write(opened, text.encode(errors="surrogateescape"))
        self.close(opened)
        return written

    def listdir(self, path: str) -> Result[list[str]]:
        """The names in a directory in the kernel's order, without ``.`` and ``..``."""
        opened = self.open(path, O_RDONLY | O_DIRECTORY)
        if opened.error is not None:
            return opened.failed
        names: list[str] = []
        while entries := self.getdents(opened).value:
            names += [entry.name for entry in entries if entry.name not in (".", "..")]
        self.close(opened)
        return Result(f"listdir({path!r})", None, names)


def _finish(
    context: Context, request: _Request, to: Callable[[Message], T], message: Message
) -> Result[T]:
    """The result that a reply is, seen by the case and kept by the context."""
    op, text = request.op, request.text
    if message.status == Status.UNKNOWN:
        raise NotRunnableError(f"the target has no operation {op.name}")
    if message.status == Status.UNABLE:
        raise NotRunnableError(_text(message))
    if message.status == Status.GONE and op not in (Op.EXEC, Op.EXIT):
        raise TaskGoneError(f"the task ended in {text}")
    if message.status not in (Status.DONE, Status.GONE):
        raise RuntimeError(f"{text}: {Status(message.status).name}: {message.fields}")
    if message.error:
        result: Result[T] = Result(text, ErrorNumber(message.error))
    else:
        result = Result(text, None, to(message))
    context.results.append(result)
    return result


@define(eq=False)
class _Starter(Call):
    """Makes its one call only as far as sending it."""

    pending: Pending[Any] | None = None

    def _make(
        self,
        op: Op,
        *arguments: Any,
        to: Callable[[Message], T],
        text: str | None = None,
    ) -> Result[T]:
        if self.pending is not None:
            raise TypeError("only a single system call can be started")
        request = _request(op, arguments, text)
        future = self._context.endpoint.begin(self._task, op, request.fields)
        finish = partial(_finish, self._context, request, to)
        self.pending = Pending(self._context, self._task, future, finish)
        return Result(request.text, None)


def _mask(size: int) -> int:
    return (1 << 8 * size) - 1


@define(eq=False)
class Task:
    """A task that another one made. Its calls are made through ``task.call``."""

    call: Call
    pid: int

    def exec(self, path: str, *arguments: str) -> Result[None]:
        """execve(2); after success the task takes no calls any more."""
        return self.call._make(Op.EXEC, path, *arguments, to=_nothing)

    def exit(self, status: int = 0) -> Result[None]:
        """_exit(2); a thread ends alone, any other task with the threads of its process."""
        return self.call._make(Op.EXIT, status, to=_nothing)

    def kill(self, signal: int) -> Result[None]:
        """kill(2)."""
        return self.call._make(Op.KILL, signal, to=_nothing)
