# SPDX-License-Identifier: Apache-2.0
"""The agent program: one file, standard library only, started as ``python -I -S program.py``.

It reads requests from its standard input, makes the system call each asks for, and writes a reply
to its standard output. docs/agent-protocol.md has the whole protocol; the codec and the table of
operations here are also what the client imports. agent.c beside it answers the same.

The process that is started is the router: it makes no calls, and passes each request on to the
task it is for. A task is a process of its own with a socket to the router, so that a task may
block, fork, exec, change its user or die without taking the others along.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

VERSION = 2
#: No message is longer, header included.
MAX_MESSAGE = 1 << 20
#: No read or write of data is longer, so that it fits into a message.
MAX_DATA = MAX_MESSAGE - 64
#: The task that exists from the start; a fork makes the next number.
FIRST_TASK = 1

Field = int | bytes


class Op(IntEnum):
    """What a request asks for. Numbers are never used again for something else."""

    HELLO = 0
    OPEN = 1
    CLOSE = 2
    READ = 3
    WRITE = 4
    PREAD = 5
    PWRITE = 6
    LSEEK = 7
    IOCTL = 8
    POLL = 9
    MMAP = 10
    MUNMAP = 11
    LOAD = 12
    STORE = 13
    PEEK = 14
    POKE = 15
    STAT = 16
    LSTAT = 17
    FSTAT = 18
    ACCESS = 19
    READLINK = 20
    GETDENTS = 21
    MKDIR = 22
    RMDIR = 23
    UNLINK = 24
    RENAME = 25
    SYMLINK = 26
    LINK = 27
    MKNOD = 28
    TRUNCATE = 29
    FTRUNCATE = 30
    CHMOD = 31
    CHOWN = 32
    DUP = 33
    EVENTFD = 34
    FORK = 35
    EXEC = 36
    EXIT = 37
    WAIT = 38
    KILL = 39
    INTERRUPT = 40
    SETUID = 41
    DROP_CAPABILITIES = 42
    SETRLIMIT = 43
    THREAD = 44
    MEMFD = 45
    EPOLL = 46


class Status(IntEnum):
    """Whether a reply is the answer of a system call, and if not, why not."""

    DONE = 0
    MALFORMED = 1  # the request was not understood
    UNKNOWN = 2  # this agent has no such operation
    UNABLE = 3  # the operation cannot be done here; the one field says why
    NO_TASK = 4  # there is no task of this number
    BUSY = 5  # the task is still making its last call
    GONE = 6  # the task ended, or became another program, during the call


class ProtocolError(ValueError):
    """Bytes that are no message of this protocol."""


class UnableError(Exception):
    """The operation cannot be done here; the text says why."""


class Message(NamedTuple):
    """A request or a reply. ``result``, ``error`` and ``status`` are 0 in a request."""

    op: int
    request: int
    task: int
    fields: tuple[Field, ...] = ()
    result: int = 0
    error: int = 0
    status: int = Status.DONE


HEADER = struct.Struct("<IHHIIqIHH")
_FIELD = struct.Struct("<II")
_NUMBER = struct.Struct("<Q")
_INT, _BYTES = 1, 2
_MASK = (1 << 64) - 1
_UINT_MAX = (1 << 32) - 1


def encode(message: Message) -> bytes:
    """The message as bytes. Numbers are taken modulo 2**64."""
    parts = []
    for value in message.fields:
        if isinstance(value, int):
            parts.append(_FIELD.pack(_INT, 8) + _NUMBER.pack(value & _MASK))
        else:
            parts.append(_FIELD.pack(_BYTES, len(value)) + value + bytes(-len(value) % 8))
    body = b"".join(parts)
    if HEADER.size + len(body) > MAX_MESSAGE:
        raise ProtocolError(f"a message of {HEADER.size + len(body)} bytes; at most {MAX_MESSAGE}")
    header = HEADER.pack(
        HEADER.size + len(body),
        message.op,
        len(message.fields),
        message.request,
        message.task,
        message.result,
        message.error,
        message.status,
        0,
    )
    return header + body


def body_length(header: bytes) -> int:
    """How many bytes follow this header; ProtocolError if it cannot be one."""
    length: int = HEADER.unpack(header)[0]
    if not HEADER.size <= length <= MAX_MESSAGE:
        raise ProtocolError(f"length {length}; from {HEADER.size} to {MAX_MESSAGE}")
    return length - HEADER.size


def decode(header: bytes, body: bytes) -> Message:
    """The message in ``header`` and ``body``, which have the right lengths; or ProtocolError."""
    _, op, count, request, task, result, error, status, zero = HEADER.unpack(header)
    if zero:
        raise ProtocolError("the header's last two bytes are not zero")
    fields: list[Field] = []
    position = 0
    while position < len(body):
        value, position = _decode_field(body, position)
        fields.append(value)
    if len(fields) != count:
        raise ProtocolError(f"{len(fields)} fields, the header says {count}")
    return Message(op, request, task, tuple(fields), result, error, status)


def _decode_field(body: bytes, position: int) -> tuple[Field, int]:
    start = position + _FIELD.size
    if start > len(body):
        raise ProtocolError("a field's head is cut off")
    kind, length = _FIELD.unpack_from(body, position)
    end = start + length
    padded = end + -length % 8
    if padded > len(body):
        raise ProtocolError("a field is longer than its message")
    if kind == _BYTES:
        return body[start:end], padded
    if kind != _INT or length != 8:
        raise ProtocolError(f"a field of kind {kind} and length {length}")
    return struct.unpack_from("<q", body, start)[0], padded


# --- system calls

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int64,
]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]
_libc.poll.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int]
_libc.syscall.restype = ctypes.c_long

_GETDENTS64 = {"x86_64": 217, "aarch64": 61}
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_CAPABILITY_VERSION_3 = 0x20080522
_EPOLL_CTL_ADD = 1
_INTERRUPT = signal.SIGUSR1

Answer = int | tuple[int, list[Field]]


def _check(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _open(path: bytes, flags: int, mode: int) -> int:
    fd = os.open(path, flags, mode)
    # Python opens everything close-on-exec; the program that asked decides.
    os.set_inheritable(fd, not flags & os.O_CLOEXEC)
    return fd


def _close(fd: int) -> int:
    os.close(fd)
    return 0


def _dup(fd: int) -> int:
    new = os.dup(fd)
    os.set_inheritable(new, True)  # as in _open
    return new


def _data(data: bytes) -> Answer:
    return len(data), [data]


def _bounded(count: int) -> int:
    """A byte count whose data fit into a reply."""
    if count > MAX_DATA:
        raise ProtocolError(f"{count} bytes; at most {MAX_DATA}")
    return count


def _read(fd: int, count: int) -> Answer:
    return _data(os.read(fd, _bounded(count)))


def _pread(fd: int, count: int, offset: int) -> Answer:
    return _data(os.pread(fd, _bounded(count), offset))


def _ioctl(fd: int, command: int, argument: int) -> int:
    return _check(_libc.ioctl(fd, command & _MASK, argument & _MASK))


def _poll(timeout: int, *pairs: int) -> Answer:
    """``pairs``: fd and events, in turn. Answers each fd's ready events."""
    if len(pairs) % 2:
        raise ProtocolError("poll takes pairs of fd and events")
    # Python's own poll refuses negative fds, and takes an fd only once.
    polled = struct.Struct("<iHH")
    asked = zip(pairs[::2], pairs[1::2], strict=True)
    data = b"".join(polled.pack(fd, events & 0xFFFF, 0) for fd, events in asked)
    buffer = ctypes.create_string_buffer(data)
    ready = _check(_libc.poll(buffer, len(pairs) // 2, timeout))
    return ready, [events for _, _, events in polled.iter_unpack(buffer.raw[:-1])]


def _epoll(fd: int, events: int, timeout: int) -> Answer:
    """epoll_wait on an instance that nothing but ``fd`` was added to."""
    # Python's own epoll goes on after a signal.
    added = struct.pack("<IQ", events & _MASK & 0xFFFFFFFF, 0)
    epoll = _check(_libc.epoll_create1(os.O_CLOEXEC))
    try:
        _check(_libc.epoll_ctl(epoll, _EPOLL_CTL_ADD, fd, added))
        found = ctypes.create_string_buffer(len(added))
        ready = _check(_libc.epoll_wait(epoll, found, 1, timeout))
    finally:
        os.close(epoll)
    return ready, [struct.unpack_from("<I", found)[0]]


def _stat_fields(status: os.stat_result) -> Answer:
    return 0, [
        status.st_ino,
        status.st_mode,
        status.st_nlink,
        status.st_uid,
        status.st_gid,
        status.st_size,
        status.st_rdev,
    ]


def _getdents(fd: int, count: int) -> Answer:
    """``count`` bytes of directory entries at most; each as inode, type and name."""
    number = _GETDENTS64.get(os.uname().machine)
    if number is None:
        raise UnableError(f"getdents64 has no known number on {os.uname().machine}")
    buffer = ctypes.create_string_buffer(max(0, min(count, MAX_MESSAGE // 8)))
    length = _check(_libc.syscall(number, fd, buffer, len(buffer)))
    fields: list[Field] = []
    position = 0
    while position < length:
        inode, _, size, kind = struct.unpack_from("<QqHB", buffer.raw, position)
        name = buffer.raw[position + 19 : position + size].split(b"\0", 1)[0]
        fields += [inode, kind, name]
        position += size
    return length, fields


def _mknod(path: bytes, mode: int, rdev: int) -> int:
    os.mknod(path, mode, rdev & _UINT_MAX)
    return 0


def _access(path: bytes, mode: int) -> int:
    # os.access swallows the errno. The effective ids count, as the kernel's own checks do.
    return _check(_libc.faccessat(-100, path, mode, 0x200))


def _setrlimit(number: int, soft: int) -> int:
    resource.setrlimit(number, (soft, resource.getrlimit(number)[1]))
    return 0


def _exec(path: bytes, *arguments: bytes) -> Answer:
    ignored = (signal.SIGPIPE, signal.SIGXFSZ)  # by Python, hence by us
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    # Python's own refuses an empty list.
    vector = (ctypes.c_char_p * (len(arguments) + 1))(*arguments)
    try:
        return _check(_libc.execv(path, vector))
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def _no_answer(function: Callable[..., Any]) -> Callable[..., int]:
    """A system call that has no result but success."""

    def call(*arguments: Any) -> int:
        function(*arguments)
        return 0

    return call


# --- users and capabilities


def _is_mapped(uid: int) -> bool:
    """Whether ``uid`` exists in our user namespace."""
    with open("/proc/self/uid_map") as lines:
        ranges = [tuple(map(int, line.split())) for line in lines]
    return any(first <= uid < first + count for first, _, count in ranges)


def _setuid(uid: int, gid: int, *groups: int) -> int:
    """Become another user and group, and lose all capabilities if that is not root."""
    if _is_mapped(uid):
        os.setgroups(groups)
        os.setgid(gid)
        os.setuid(uid)
    else:
        _enter_user_namespace(uid, gid, groups)
    return 0


def _enter_user_namespace(uid: int, gid: int, groups: tuple[int, ...]) -> None:
    """Where only one user is mapped: be that one by another number, and without capabilities."""
    if groups:
        raise UnableError("supplementary groups need a user namespace with more than one group")
    own_uid, own_gid = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER) != 0:
        raise UnableError(f"another user needs unshare: {os.strerror(ctypes.get_errno())}")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {own_uid} 1"),
        ("gid_map", f"{gid} {own_gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    _drop_capabilities()


def _drop_capabilities(*numbers: int) -> int:
    """Drop the given capabilities from all sets; without arguments, every one."""
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    data = ctypes.create_string_buffer(24)
    _check(_libc.capget(header, data))
    if any(not 0 <= number < 64 for number in numbers):
        raise OSError(errno.EINVAL, "no number of a capability")
    drop = 0 if numbers else _MASK
    for number in numbers:
        drop |= 1 << number
    words = list(struct.unpack("<6I", data.raw))
    for index in range(6):
        words[index] &= ~(drop >> (32 if index >= 3 else 0)) & _UINT_MAX
    return _check(_libc.capset(header, struct.pack("<6I", *words)))


# --- memory


class Memory:
    """The address ranges of this task that the client may touch; others answer EFAULT.

    A load that the kernel refuses inside a known range (SIGBUS) ends the task, as it ends any
    program.
    """

    def __init__(self) -> None:
        self.ranges: dict[int, int] = {}

    def mmap(self, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        """The address of a new mapping."""
        address: int = _libc.mmap(None, length, prot, flags, fd, offset) or 0
        if address == _MASK:
            _check(-1)
        self.ranges[address] = length
        return address

    def munmap(self, address: int, length: int) -> int:
        """Only a whole mapping of ours: EINVAL for anything else."""
        if self.ranges.get(address) != length:
            raise OSError(errno.EINVAL, "not a mapping of this task")
        del self.ranges[address]
        return _check(_libc.munmap(address, length))

    def _known(self, address: int, length: int) -> None:
        for start, size in self.ranges.items():
            if start <= address and address + length <= start + size and length >= 0:
                return
        raise OSError(errno.EFAULT, "not an address of this task")

    @staticmethod
    def _word(size: int) -> Any:
        kinds = {1: ctypes.c_uint8, 2: ctypes.c_uint16, 4: ctypes.c_uint32, 8: ctypes.c_uint64}
        if size not in kinds:
            raise ProtocolError(f"an access of {size} bytes; 1, 2, 4 or 8")
        return kinds[size]

    def load(self, address: int, size: int) -> Answer:
        """One load instruction of ``size`` bytes."""
        self._known(address, size)
        return 0, [self._word(size).from_address(address).value]

    def store(self, address: int, size: int, value: int) -> int:
        """One store instruction of ``size`` bytes."""
        self._known(address, size)
        self._word(size).from_address(address).value = value & _MASK
        return 0

    def peek(self, address: int, length: int) -> Answer:
        """A copy of memory."""
        self._known(address, length)
        return _data(ctypes.string_at(address, _bounded(length)))

    def poke(self, address: int, data: bytes) -> int:
        """Copy into memory."""
        self._known(address, len(data))
        ctypes.memmove(address, data, len(data))
        return 0


# --- tasks


class _EndOfStreamError(Exception):
    """The other end of a stream is gone."""


def _receive(channel: socket.socket, count: int) -> tuple[bytes, list[int]]:
    """Exactly ``count`` bytes and the file descriptors that came along."""
    data = b""
    fds: list[int] = []
    while len(data) < count:
        try:
            part, new, _, _ = socket.recv_fds(channel, count - len(data), 1)
        except ConnectionError:
            part, new = b"", []
        if not part:
            raise _EndOfStreamError
        data += part
        fds += new
    return data, fds


class TaskProcess:
    """One task: takes requests from its channel and makes the calls."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.memory = Memory()
        self.operations = self._operations()

    def _operations(self) -> dict[int, tuple[str, Callable[..., Answer]]]:
        """Operation -> its arguments, as :func:`_check_arguments` reads them, and function."""
        memory = self.memory
        return {
            Op.OPEN: ("pii", _open),
            Op.CLOSE: ("f", _close),
            Op.READ: ("fn", _read),
            Op.WRITE: ("fb", os.write),
            Op.PREAD: ("fnn", _pread),
            Op.PWRITE: ("fbn", os.pwrite),
            Op.LSEEK: ("fni", os.lseek),
            Op.IOCTL: ("fnn", _ioctl),
            Op.POLL: ("ii*", _poll),
            Op.MMAP: ("niiin", memory.mmap),
            Op.MUNMAP: ("nn", memory.munmap),
            Op.LOAD: ("nn", memory.load),
            Op.STORE: ("nnn", memory.store),
            Op.PEEK: ("nn", memory.peek),
            Op.POKE: ("nb", memory.poke),
            Op.STAT: ("p", lambda path: _stat_fields(os.stat(path))),
            Op.LSTAT: ("p", lambda path: _stat_fields(os.lstat(path))),
            Op.FSTAT: ("f", lambda fd: _stat_fields(os.fstat(fd))),
            Op.ACCESS: ("pi", _access),
            Op.READLINK: ("p", lambda path: _data(os.readlink(path))),
            Op.GETDENTS: ("fn", _getdents),
            Op.MKDIR: ("pi", _no_answer(os.mkdir)),
            Op.RMDIR: ("p", _no_answer(os.rmdir)),
            Op.UNLINK: ("p", _no_answer(os.unlink)),
            Op.RENAME: ("pp", _no_answer(os.rename)),
            Op.SYMLINK: ("pp", _no_answer(os.symlink)),
            Op.LINK: ("pp", _no_answer(os.link)),
            Op.MKNOD: ("piu", _mknod),
            Op.TRUNCATE: ("pn", _no_answer(os.truncate)),
            Op.FTRUNCATE: ("fn", _no_answer(os.ftruncate)),
            Op.CHMOD: ("pi", _no_answer(os.chmod)),
            Op.CHOWN: ("puu", _no_answer(os.chown)),
            Op.DUP: ("f", _dup),
            Op.EVENTFD: ("ui", lambda initial, flags: os.eventfd(initial & _UINT_MAX, flags)),
            Op.MEMFD: ("pu", os.memfd_create),
            Op.EPOLL: ("fii", _epoll),
            Op.FORK: ("", self.fork),
            Op.EXEC: ("pp*", _exec),
            Op.EXIT: ("i", os._exit),
            Op.WAIT: ("i", lambda pid: os.waitpid(pid, 0)[1]),
            Op.SETUID: ("uuu*", _setuid),
            Op.DROP_CAPABILITIES: ("n*", _drop_capabilities),
            Op.SETRLIMIT: ("in", _setrlimit),
        }

    def serve(self) -> None:
        """Answer requests until the channel closes."""
        signal.signal(_INTERRUPT, _interrupted)
        while True:
            header, _ = _receive(self.channel, HEADER.size)
            body, _ = _receive(self.channel, body_length(header))
            reply, fds = self.perform(header, body)
            if reply is not None:
                socket.send_fds(self.channel, [encode(reply)], fds)
            for fd in fds:
                os.close(fd)

    def perform(self, header: bytes, body: bytes) -> tuple[Message | None, list[int]]:
        """The reply to a request, and fds that go with it. No reply from a newborn child."""
        op, request, task = HEADER.unpack(header)[1], *HEADER.unpack(header)[3:5]
        empty = Message(op, request, task)
        try:
            message = decode(header, body)
            if op not in self.operations:
                return empty._replace(status=Status.UNKNOWN), []
            signature, function = self.operations[op]
            _check_arguments(signature, message.fields, self.channel.fileno())
            answer = _interruptible(function, message.fields)
        except ProtocolError as problem:
            text = str(problem).encode()
            return empty._replace(status=Status.MALFORMED, fields=(text,)), []
        except UnableError as problem:
            text = str(problem).encode()
            return empty._replace(status=Status.UNABLE, fields=(text,)), []
        except OSError as error:
            return empty._replace(result=-1, error=error.errno or errno.EIO), []
        except (ValueError, OverflowError, MemoryError):
            # Python refuses some arguments before the kernel sees them.
            return empty._replace(result=-1, error=errno.EINVAL), []
        if op == Op.FORK:
            return self._forked(empty, answer)
        result, fields = (answer, []) if isinstance(answer, int) else answer
        return empty._replace(result=result, fields=tuple(fields)), []

    def fork(self) -> Answer:
        """A new task with a channel of its own: pid and the channel's other end, 0 in the child."""
        router_end, child_end = socket.socketpair()
        pid = os.fork()
        if pid:
            child_end.close()
            return pid, [router_end.detach()]
        router_end.close()
        self.channel.close()
        self.channel = child_end
        return 0

    @staticmethod
    def _forked(empty: Message, answer: Answer) -> tuple[Message | None, list[int]]:
        if isinstance(answer, int):
            return None, []
        pid, fds = answer
        return empty._replace(result=pid), [fd for fd in fds if isinstance(fd, int)]


def _interrupted(*_: object) -> None:
    raise InterruptedError(errno.EINTR, "interrupted")


def _interruptible(function: Callable[..., Answer], arguments: Sequence[Field]) -> Answer:
    """Only here may the interrupting signal arrive: everywhere else it waits."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [_INTERRUPT])
    try:
        return function(*arguments)
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, [_INTERRUPT])


def _check_arguments(signature: str, fields: Sequence[Field], own_fd: int = -1) -> None:
    """Whether ``fields`` are arguments that a system call can be given.

    A letter each; a star means any number of the last, or none:

    * ``n`` a number; ``i`` one that fits into an int; ``u`` an unsigned int or -1; else EINVAL
    * ``f`` an int, the number of an fd that is not the agent's own (``own_fd``), else EBADF
    * ``b`` bytes; ``p`` bytes without a NUL, else EINVAL

    Raises ProtocolError if there are too many, too few or of the wrong kind, and OSError.
    """
    if signature.endswith("*"):
        fixed, rest = signature[:-2], signature[-2]
        signature = fixed + rest * max(0, len(fields) - len(fixed))
    kinds = "".join("n" if isinstance(value, int) else "b" for value in fields)
    if kinds != signature.translate(_KINDS):
        raise ProtocolError(f"arguments of kinds {kinds!r}; {signature!r} expected")
    for letter, value in zip(signature, fields, strict=True):
        if not _can_be(letter, value):
            raise OSError(errno.EINVAL, f"{value!r} cannot be passed")
        if letter == "f" and value == own_fd:
            raise OSError(errno.EBADF, "an fd of the agent")


_KINDS = str.maketrans("ifup", "nnnb")


def _can_be(letter: str, value: Field) -> bool:
    """Whether the C type that ``letter`` stands for has ``value``."""
    if isinstance(value, bytes):
        return letter == "b" or b"\0" not in value
    if letter == "u":
        return -1 <= value <= _UINT_MAX
    return letter == "n" or -(1 << 31) <= value < 1 << 31


class _Task:
    """What the router knows of a task."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.channel = channel
        self.pending: Message | None = None


class Router:
    """Passes requests from the client to tasks, and replies back."""

    def __init__(self, source: int, sink: int) -> None:
        self.source = source
        self.sink = sink
        self.tasks: dict[int, _Task] = {}
        self.next_task = FIRST_TASK

    def run(self) -> int:
        """Serve until the client goes; the exit status."""
        self._start_first()
        try:
            while True:
                self._turn()
        except (_EndOfStreamError, BrokenPipeError):
            return 0
        except ProtocolError as problem:
            # The place of the next message is lost, so this is the last reply.
            text = str(problem).encode()
            self._reply(Message(0, 0, 0, (text,), status=Status.MALFORMED))
            return 2
        finally:
            for task in self.tasks.values():
                _kill(task.pid, signal.SIGKILL)

    def _start_first(self) -> None:
        ours, theirs = socket.socketpair()
        signal.pthread_sigmask(signal.SIG_BLOCK, [_INTERRUPT])
        pid = os.fork()
        if pid == 0:
            ours.close()
            _run_task(theirs)
        theirs.close()
        self._add(pid, ours)

    def _add(self, pid: int, channel: socket.socket) -> int:
        number = self.next_task
        self.next_task += 1
        self.tasks[number] = _Task(pid, channel)
        return number

    def _turn(self) -> None:
        """Wait for the client or a task, and handle one message of each that is ready."""
        poller = select.poll()
        poller.register(self.source, select.POLLIN)
        by_fd = {task.channel.fileno(): number for number, task in self.tasks.items()}
        for fd in by_fd:
            poller.register(fd, select.POLLIN)
        for fd, _ in poller.poll():
            if fd == self.source:
                self._from_client()
            else:
                self._from_task(by_fd[fd])

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = os.read(self.source, count - len(data))
            if not part:
                raise _EndOfStreamError
            data += part
        return data

    def _reply(self, message: Message) -> None:
        data = memoryview(encode(message))
        while data:
            data = data[os.write(self.sink, data) :]

    def _from_client(self) -> None:
        header = self._read(HEADER.size)
        body = self._read(body_length(header))
        _, op, _, request, number, *_ = HEADER.unpack(header)
        empty = Message(op, request, number)
        if op == Op.HELLO:
            self._reply(empty._replace(result=VERSION))
            return
        task = self.tasks.get(number)
        if task is None:
            self._reply(empty._replace(status=Status.NO_TASK))
        elif op == Op.KILL or op == Op.INTERRUPT:
            self._reply(self._signal(task, empty, header, body))
        elif task.pending is not None:
            self._reply(empty._replace(status=Status.BUSY))
        else:
            self._pass_on(number, task, empty, header + body)

    def _pass_on(self, number: int, task: _Task, empty: Message, data: bytes) -> None:
        task.pending = empty
        try:
            task.channel.sendall(data)
        except ConnectionError:
            self._gone(number)

    @staticmethod
    def _signal(task: _Task, empty: Message, header: bytes, body: bytes) -> Message:
        """Send a task a signal; an interruption only to a task that is making a call."""
        try:
            fields = decode(header, body).fields
            if empty.op == Op.KILL:
                _check_arguments("i", fields)
                (number,) = fields
                assert isinstance(number, int)
                _kill(task.pid, number)
            elif task.pending is not None:
                _kill(task.pid, _INTERRUPT)
        except ProtocolError as problem:
            return empty._replace(status=Status.MALFORMED, fields=(str(problem).encode(),))
        except OSError as error:
            return empty._replace(result=-1, error=error.errno or errno.EIO)
        return empty

    def _from_task(self, number: int) -> None:
        task = self.tasks[number]
        try:
            header, fds = _receive(task.channel, HEADER.size)
            body, _ = _receive(task.channel, body_length(header))
        except _EndOfStreamError:
            self._gone(number)
            return
        reply = decode(header, body)
        task.pending = None
        for fd in fds:  # a fork: its pid is in the result, its channel came along
            pid = reply.result
            child = self._add(pid, socket.socket(fileno=fd))
            reply = reply._replace(result=child, fields=(pid,))
        self._reply(reply)

    def _gone(self, number: int) -> None:
        task = self.tasks.pop(number)
        task.channel.close()
        if task.pending is not None:
            self._reply(task.pending._replace(status=Status.GONE))


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _run_task(channel: socket.socket) -> None:
    """The life of the first task's process, and of all that are forked from it."""
    # Blocked in a call, it would not notice that the router died.
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    # A program that a task executes must not read or write the client's stream.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    try:
        TaskProcess(channel).serve()
    except (_EndOfStreamError, BrokenPipeError):
        os._exit(0)


def main() -> int:
    """Serve the stream on standard input and output."""
    return Router(0, 1).run()


if __name__ == "__main__":
    sys.exit(main())
