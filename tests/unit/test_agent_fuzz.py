# SPDX-License-Identifier: Apache-2.0
"""Both agents against any requests: each is answered, and both answer the same.

What could harm the host is not among the requests: names are in a directory of the test, ioctl
commands are a few that change nothing, and raw bytes never make an operation that has names.
"""

import os
import shutil
import subprocess
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.agent.build import compile_agent, compiler
from harness.agent.program import (
    FIRST_TASK,
    HEADER,
    MAX_DATA,
    MAX_MESSAGE,
    Message,
    Op,
    Status,
    body_length,
    decode,
    encode,
)

SECONDS = 60
FOR_EVER = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
_SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


class Fd(NamedTuple):
    """One of the fds that the task has opened so far."""

    index: int


class At(NamedTuple):
    """A place in one of the task's mappings."""

    index: int
    offset: int


HUGE = (1 << 31, 1 << 32, 1 << 40, -(1 << 40), (1 << 63) - 1, -(1 << 63))


def mostly(*good, bad=HUGE):
    """Four times out of five a good value."""
    return st.sampled_from([*good * (4 * len(bad) // len(good) + 1), *bad])


some = st.integers(0, 3)
fds = mostly(*map(Fd, range(4)), bad=(-1, -5, 1 << 20, 1 << 31, 1 << 40, -(1 << 63)))
places = mostly(*(At(index, offset) for index in range(2) for offset in (0, 1, 8)), bad=(0, 16, -1))
paths = mostly(b"a", b"b", b"d", b"d/c", bad=(b"none/x", b"", b"a\0b", b"x" * 300, b"z/" * 3000))
data = st.sampled_from([b"", b"12345678", b"\0", bytes(5000)])
counts = mostly(0, 1, 8, 100, 5000, MAX_DATA, bad=(MAX_DATA + 1, -1, *HUGE))
modes = mostly(0o600, 0o777, 0o711, 0o7777, bad=(0, -1, *HUGE))
offsets = mostly(0, 3, 4096, 1 << 16, bad=(-1, -4096))
lengths = mostly(4096, 8192, bad=(0, 1, 1 << 62, -1))
sizes = mostly(1, 2, 4, 8, bad=(0, 3, -1, 1 << 40))
#: Of read only to read, write, create, truncate; a directory; exclusive.
open_flags = mostly(0, 1, 2, 0o102, 0o1102, bad=(0o200000, 0o302, 1 << 40))
ids = mostly(0, 1000, 12345, bad=(-1, -2, 1 << 32))

ARGUMENTS = {
    Op.OPEN: (mostly(b"a", b"b", b"d", b"d/c", bad=(b".", b"none/x")), open_flags, modes),
    Op.CLOSE: (fds,),
    Op.READ: (fds, counts),
    Op.WRITE: (fds, data),
    Op.PREAD: (fds, counts, offsets),
    Op.PWRITE: (fds, data, offsets),
    Op.LSEEK: (fds, offsets, mostly(0, 1, 2, bad=(3, 4, 9, 1 << 40))),
    # TCGETS, FIONREAD and two that nothing has
    Op.IOCTL: (fds, mostly(0x5401, 0x541B, bad=(0xDEADBEEF, 1 << 40)), places),
    # A timeout is none or none that there can be; POLLRDHUP is never ready.
    Op.POLL: (mostly(0, 1), fds, mostly(0, 1, 4, 5, bad=(-1,)), fds, st.just(0x2000)),
    Op.MMAP: (lengths, mostly(1, 3, bad=(0, 2)), mostly(0x22, 0x21, 1, 2, bad=(0,)), fds, offsets),
    Op.MUNMAP: (mostly(At(0, 0), At(1, 0), bad=(At(0, 1), 16)), lengths),
    Op.LOAD: (places, sizes),
    Op.STORE: (places, sizes, counts),
    Op.PEEK: (places, counts),
    Op.POKE: (places, data),
    Op.STAT: (paths,),
    Op.LSTAT: (paths,),
    Op.FSTAT: (fds,),
    Op.ACCESS: (paths, mostly(0, 1, 4, 7, bad=(8, -1, 1 << 40))),
    Op.READLINK: (paths,),
    Op.GETDENTS: (fds, counts),
    Op.MKDIR: (paths, modes),
    Op.RMDIR: (paths,),
    Op.UNLINK: (paths,),
    Op.RENAME: (paths, paths),
    Op.SYMLINK: (paths, paths),
    Op.LINK: (paths, paths),
    # Files, a socket, a directory, a type that is none; no device, nothing to wait for.
    Op.MKNOD: (paths, mostly(0o600, 0o100644, bad=(0o140600, 0o40700, 0o160600, 1 << 40)), ids),
    Op.TRUNCATE: (paths, offsets),
    Op.FTRUNCATE: (fds, offsets),
    Op.CHMOD: (paths, modes),
    Op.CHOWN: (paths, ids, ids),
    Op.DUP: (fds,),
    # Never one that a read could wait for.
    Op.EVENTFD: (ids, mostly(0o4000, 0o2004000, bad=(1 << 20, 1 << 40))),
    Op.MEMFD: (paths, mostly(0, 1, 2, bad=(1 << 20, 1 << 40))),
    Op.EPOLL: (fds, mostly(0, 1, 4, bad=(-1, 1 << 40)), mostly(0, bad=(1 << 40,))),
    Op.FORK: (),
    Op.EXEC: (paths, paths, data),
    Op.EXIT: (mostly(1 << 40, bad=(0, 300)),),
    Op.WAIT: (mostly(1, -(1 << 31), bad=(1 << 40,)),),
    Op.KILL: (mostly(0, bad=(999, -1, 1 << 40)),),
    Op.INTERRUPT: (),
    Op.SETUID: (ids, ids),
    Op.DROP_CAPABILITIES: (mostly(0, 1, 40, 63, bad=(64, -1, 1 << 40)),),
    # FSIZE, RSS, NPROC and none
    Op.SETRLIMIT: (mostly(1, 5, 6, bad=(99, -1, 1 << 40)), mostly(0, 4096, -1, bad=(-5,))),
}
#: So that what follows finds something.
FIRST = [
    (Op.OPEN, [b"a", 0o102, 0o666]),
    (Op.WRITE, [Fd(0), bytes(range(200))]),
    (Op.MMAP, [8192, 3, 0x22, -1, 0]),
    (Op.MMAP, [4096, 3, 1, Fd(0), 0]),
    (Op.MKDIR, [b"d", 0o777]),
    (Op.OPEN, [b"d", 0, 0]),
]
#: What differs between two tasks: new fds, addresses, inode numbers, the order of names.
OWN_RESULT = {Op.OPEN, Op.DUP, Op.EVENTFD, Op.MEMFD, Op.MMAP, Op.FORK, Op.GETDENTS}
OWN_FIELDS = {Op.STAT, Op.LSTAT, Op.FSTAT, Op.GETDENTS, Op.FORK}


@st.composite
def requests(draw):
    """An operation and its arguments, now and then one too few, too many or of another kind."""
    op = draw(st.sampled_from(sorted(ARGUMENTS)))
    fields = [draw(argument) for argument in ARGUMENTS[op]]
    change = draw(st.integers(0, 30))
    if change == 0:
        fields.append(draw(st.sampled_from([0, b""])))
    elif change == 1:
        fields = fields[:-1]
    elif change == 2 and fields:
        fields[-1] = b"bytes" if isinstance(fields[-1], int) else 1 << 20
    return op, fields


class Follower:
    """A task of an agent, with what it has opened and mapped."""

    def __init__(self, agent):
        self.agent = agent
        self.task = agent(Op.FORK).result
        self.fds = []
        self.addresses = []

    def _resolve(self, field):
        if isinstance(field, Fd):
            return self.fds[field.index % len(self.fds)] if self.fds else -1
        if isinstance(field, At):
            if not self.addresses:
                return 16
            return self.addresses[field.index % len(self.addresses)] + field.offset
        return field

    def do(self, op, fields):
        """What all agents must answer."""
        resolved = [self._resolve(field) for field in fields]
        reply = self.agent(op, *resolved, task=self.task)
        if reply.status == Status.DONE and not reply.error:
            self._note(op, resolved, reply)
        if reply.status != Status.DONE:
            return Status(reply.status)
        result = None if op in OWN_RESULT and reply.result >= 0 else reply.result
        return reply.error, result, None if op in OWN_FIELDS else reply.fields

    def _note(self, op, fields, reply):
        if op in (Op.OPEN, Op.DUP, Op.EVENTFD, Op.MEMFD):
            self.fds.append(reply.result)
        elif op == Op.CLOSE:
            self.fds.remove(fields[0])
        elif op == Op.MMAP:
            self.addresses.append(reply.result)
        elif op == Op.MUNMAP:
            self.addresses.remove(fields[0])


def empty(directory):
    """Without what the last example left there, but the same one: an agent is in it."""
    for path in directory.iterdir():
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        else:
            path.chmod(0o700)
            shutil.rmtree(path)


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory):
    """The C agent with the compiler's checks for wrong memory accesses and undefined behaviour."""
    cc = compiler()
    program = tmp_path_factory.mktemp("sanitized") / "agent"
    if cc is None or not compile_agent(cc, program, *_SANITIZERS):
        pytest.skip("no compiler with the libraries of address and undefined sanitizers")
    return [str(program)]


@pytest.fixture
def command_of(agent_of, request):
    """The command of ``python``, ``c`` or ``sanitized``."""

    def command(name):
        return request.getfixturevalue("sanitized") if name == "sanitized" else agent_of(name)

    return command


#: Accesses that the kernel refuses shall end the task here too, without a word.
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "handle_segv=0:handle_sigbus=0"}


@pytest.mark.parametrize("name", ["c", "sanitized"])
def test_all_agents_answer_the_same(name, command_of, start, tmp_path):
    directories = [tmp_path / "python", tmp_path / name]
    errors = tmp_path / "errors"
    agents = []
    with errors.open("wb") as stderr:
        for directory in directories:
            directory.mkdir()
            directory.chmod(0o777)  # for tasks that become another user
            options = {"cwd": directory, "env": ENVIRONMENT, "stderr": stderr}
            agents.append(start(command_of(directory.name), **options))
    for agent in agents:
        assert agent(Op.SETRLIMIT, 4, 0).result == 0  # no core files of tasks that end by SIGSEGV

    @FOR_EVER
    @given(st.lists(requests(), min_size=1, max_size=20))
    def all_answer_the_same(steps):
        for directory in directories:
            empty(directory)
        followers = [Follower(agent) for agent in agents]
        for op, fields in FIRST + steps:
            answers = [follower.do(op, fields) for follower in followers]
            assert answers[0] == answers[1], (op, fields)

    all_answer_the_same()
    assert [agent.close() for agent in agents] == [0, 0]
    assert b"anitizer" not in errors.read_bytes()
    assert b"runtime error" not in errors.read_bytes()


# --- bytes

HARMLESS = (
    Op.HELLO,
    Op.CLOSE,
    Op.READ,
    Op.PREAD,
    Op.LSEEK,
    Op.LOAD,
    Op.PEEK,
    Op.FSTAT,
    Op.GETDENTS,
    Op.FORK,
    Op.INTERRUPT,
    Op.DROP_CAPABILITIES,
    45,
    0xFFFF,
)


@st.composite
def frames(draw):
    """A header of a harmless operation, with any body that may or may not be one."""
    valid = st.lists(st.integers(-(1 << 63), (1 << 63) - 1) | st.binary(max_size=20), max_size=4)
    fields = draw(valid)
    body = encode(Message(0, 0, 0, tuple(fields)))[HEADER.size :]
    if draw(st.booleans()):
        body = bytearray(body + draw(st.binary(max_size=20)))
        for _ in range(draw(st.integers(0, 2)) if body else 0):
            body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    count = draw(st.just(len(fields)) | st.integers(0, 0xFFFF))
    return HEADER.pack(
        HEADER.size + len(body),
        draw(st.sampled_from(HARMLESS)),
        count,
        draw(st.integers(1, 5)),
        draw(mostly(FIRST_TASK, bad=(0, 77))),
        draw(st.sampled_from([0, -1])),
        0,
        0,
        draw(mostly(0, bad=(1,))),
    ) + bytes(body)


def replies(output):
    """All of ``output`` is whole replies."""
    found = []
    while output:
        end = HEADER.size + body_length(output[: HEADER.size])
        assert end <= len(output)
        found.append(decode(output[: HEADER.size], output[HEADER.size : end]))
        output = output[end:]
    return found


@pytest.mark.parametrize("name", ["python", "c", "sanitized"])
def test_any_bytes_are_survived(name, command_of):
    command = command_of(name)

    @FOR_EVER
    @given(st.lists(frames(), max_size=8), st.binary(max_size=40))
    def survives(messages, rest):
        # What cannot begin a message ends the agent; a length that one can have, it waits for.
        stream = b"".join(messages) + rest
        done = subprocess.run(command, input=stream, capture_output=True, timeout=SECONDS)
        lost = len(rest) >= HEADER.size and not (
            HEADER.size <= int.from_bytes(rest[:4], "little") <= MAX_MESSAGE
        )
        assert done.returncode == (2 if lost else 0), done.stderr
        assert b"anitizer" not in done.stderr
        assert len(replies(done.stdout)) <= len(messages) + 1

    survives()


@pytest.mark.parametrize("name", ["python", "c", "sanitized"])
def test_every_frame_is_answered(name, command_of):
    """One reply each, whatever is in it; those to a task that is busy are answered too."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command_of(name), **pipes) as agent:

        @FOR_EVER
        @given(st.lists(frames(), min_size=1, max_size=8))
        def all_are_answered(messages):
            agent.stdin.write(b"".join(messages))
            agent.stdin.flush()
            asked = sorted(message[8:12] for message in messages)
            answered = []
            for _ in messages:
                header = agent.stdout.read(HEADER.size)
                reply = decode(header, agent.stdout.read(body_length(header)))
                assert reply.status in set(Status)
                answered.append(header[8:12])
            assert sorted(answered) == asked

        all_are_answered()
        agent.stdin.close()
        assert agent.wait(SECONDS) == 0
