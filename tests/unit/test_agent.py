# SPDX-License-Identifier: Apache-2.0
"""The agent program as a process of its own, on this host's ordinary files."""

import errno
import os
import select
import signal
import subprocess
from concurrent.futures import wait

import pytest

from harness.agent.build import agent_command
from harness.agent.client import AgentClient, AgentError
from harness.agent.program import (
    FIRST_TASK,
    HEADER,
    MAX_DATA,
    Message,
    Op,
    Status,
    body_length,
    decode,
    encode,
)

SECONDS = 30


class Agent:
    """A running agent and the client that talks to it."""

    def __init__(self, command):
        agent_reads, requests = os.pipe()
        replies, agent_writes = os.pipe()
        self.process = subprocess.Popen(
            command,
            stdin=agent_reads,
            stdout=agent_writes,
            stderr=subprocess.DEVNULL,
        )
        os.close(agent_reads)
        os.close(agent_writes)
        self.client = AgentClient(replies, requests)
        self.client.hello(SECONDS)

    def begin(self, op, *fields, task=FIRST_TASK):
        return self.client.begin(task, op, fields)

    def __call__(self, op, *fields, task=FIRST_TASK):
        return self.begin(op, *fields, task=task).result(SECONDS)

    def path(self, op, path, *fields, task=FIRST_TASK):
        return self(op, os.fsencode(path), *fields, task=task)


@pytest.fixture(params=["python", "c"])
def command(request, monkeypatch):
    """Starts an agent, each of them in turn."""
    monkeypatch.setenv("UAPI_AGENT", request.param)
    try:
        return agent_command()
    except AgentError as error:
        pytest.skip(str(error))


@pytest.fixture
def agent(command):
    agent = Agent(command)
    yield agent
    agent.client.close()
    assert agent.process.wait(SECONDS) == 0


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


def test_files(agent, file):
    fd = agent.path(Op.OPEN, file, os.O_RDWR, 0).result
    assert agent(Op.READ, fd, 4).fields == (b"0123",)
    assert agent(Op.LSEEK, fd, -2, os.SEEK_END).result == 8
    assert agent(Op.WRITE, fd, b"ab").result == 2
    assert agent(Op.PWRITE, fd, b"x", 1).result == 1
    assert agent(Op.PREAD, fd, 100, 0).fields == (b"0x234567ab",)
    assert agent(Op.FTRUNCATE, fd, 3).result == 0
    assert agent.path(Op.STAT, file).fields[5] == 3
    assert agent(Op.POLL, 0, fd, 1).fields == (1,)
    assert agent(Op.CLOSE, fd).result == 0
    assert agent(Op.CLOSE, fd).error == errno.EBADF


def test_names(agent, tmp_path):
    directory = tmp_path / "d"
    assert agent.path(Op.MKDIR, directory, 0o700).result == 0
    assert agent.path(Op.MKDIR, directory, 0o700).error == errno.EEXIST
    assert agent(Op.SYMLINK, b"d", os.fsencode(tmp_path / "l")).result == 0
    assert agent.path(Op.READLINK, tmp_path / "l").fields == (b"d",)
    fd = agent.path(Op.OPEN, tmp_path, os.O_DIRECTORY, 0).result
    names = agent(Op.GETDENTS, fd, 4096).fields[2::3]
    assert sorted(names) == [b".", b"..", b"d", b"l"]
    assert agent(Op.GETDENTS, fd, 4096).result == 0
    assert agent.path(Op.ACCESS, tmp_path / "none", 0).error == errno.ENOENT
    assert agent(Op.RENAME, os.fsencode(directory), os.fsencode(tmp_path / "e")).result == 0
    assert agent.path(Op.RMDIR, tmp_path / "e").result == 0


def test_memory(agent):
    address = agent(Op.MMAP, 8192, 3, 0x22, -1, 0).result
    assert agent(Op.STORE, address, 8, -2).result == 0
    assert agent(Op.LOAD, address, 2).fields == (0xFFFE,)
    assert agent(Op.POKE, address + 8190, b"ab").result == 0
    assert agent(Op.PEEK, address + 8189, 3).fields == (b"\0ab",)
    assert agent(Op.POKE, address + 8190, b"abc").error == errno.EFAULT
    assert agent(Op.LOAD, 16, 4).error == errno.EFAULT
    assert agent(Op.PEEK, address, -1).error == errno.EFAULT
    assert agent(Op.MUNMAP, address, 4096).error == errno.EINVAL
    assert agent(Op.MUNMAP, address, 8192).result == 0
    assert agent(Op.PEEK, address, 1).error == errno.EFAULT


def test_fork_shares_files_and_copies_memory(agent, file):
    fd = agent.path(Op.OPEN, file, os.O_RDONLY, 0).result
    address = agent(Op.MMAP, 4096, 3, 0x22, -1, 0).result
    fork = agent(Op.FORK)
    child = fork.result
    assert agent(Op.READ, fd, 3, task=child).fields == (b"012",)
    assert agent(Op.READ, fd, 3).fields == (b"345",)
    agent(Op.POKE, address, b"x", task=child)
    assert agent(Op.PEEK, address, 1).fields == (b"\0",)
    assert agent(Op.EXIT, 3, task=child).status == Status.GONE
    assert agent(Op.WAIT, *fork.fields).result == 3 << 8
    assert agent(Op.READ, fd, 3, task=child).status == Status.NO_TASK


def test_a_fork_of_a_fork(agent):
    child = agent(Op.FORK).result
    grandchild = agent(Op.FORK, task=child)
    assert grandchild.result == child + 1
    assert agent(Op.KILL, signal.SIGKILL, task=grandchild.result).result == 0
    assert agent(Op.WAIT, *grandchild.fields, task=child).result == signal.SIGKILL
    assert agent(Op.WAIT, *grandchild.fields).error == errno.ECHILD


def test_exec(agent, tmp_path):
    fork = agent(Op.FORK)
    program = (b"/bin/sh", b"sh", b"-c", b"cat; exit 5")
    assert agent(Op.EXEC, b"/nonesuch", b"x", task=fork.result).error == errno.ENOENT
    assert agent(Op.EXEC, *program, task=fork.result).status == Status.GONE
    assert agent(Op.WAIT, *fork.fields).result == 5 << 8


def test_interrupt(agent):
    fd = agent(Op.EVENTFD, 0, 0).result
    assert agent(Op.INTERRUPT).result == 0, "of a task that makes no call: nothing happens"
    blocked = agent.begin(Op.READ, fd, 8)
    assert agent(Op.READ, fd, 8).status == Status.BUSY
    assert agent(Op.INTERRUPT).result == 0
    assert blocked.result(SECONDS).error == errno.EINTR
    assert agent(Op.WRITE, fd, (7).to_bytes(8, "little")).result == 8
    assert agent(Op.READ, fd, 8).fields == ((7).to_bytes(8, "little"),)


def test_another_task_wakes_a_blocked_one(agent):
    fd = agent(Op.EVENTFD, 0, 0).result
    child = agent(Op.FORK).result
    blocked = agent.begin(Op.POLL, -1, fd, 1, task=child)
    assert not wait([blocked], timeout=0).done
    agent(Op.WRITE, fd, (1).to_bytes(8, "little"))
    assert blocked.result(SECONDS).fields == (1,)


def test_another_user(agent, file):
    file.chmod(0o600)
    child = agent(Op.FORK).result
    # Root may read what it owns and what it does not; the user may do neither.
    assert agent(Op.SETUID, 1000, 1000, task=child).result == 0
    assert agent(Op.SETUID, 0, 0, task=child).error == errno.EPERM
    assert agent.path(Op.CHOWN, file, 0, 0, task=child).error in (errno.EPERM, errno.EACCES)


def test_limits(agent):
    assert agent(Op.SETRLIMIT, 7, 3).result == 0  # RLIMIT_NOFILE
    assert agent(Op.OPEN, b"/dev/null", 0, 0).error == errno.EMFILE


@pytest.mark.parametrize(
    ("op", "fields", "status"),
    [
        (Op.OPEN, (1,), Status.MALFORMED),
        (Op.OPEN, (b"/", 0), Status.MALFORMED),
        (Op.OPEN, (b"/", 0, b""), Status.MALFORMED),
        (Op.POLL, (0, 1), Status.MALFORMED),
        (Op.READ, (0, MAX_DATA + 1), Status.MALFORMED),
        (Op.LOAD, (0, 3), Status.DONE),
        (Op.KILL, (), Status.MALFORMED),
        (999, (), Status.UNKNOWN),
    ],
)
def test_requests_that_are_wrong_are_answered(agent, op, fields, status):
    assert agent(op, *fields).status == status
    assert agent(Op.CLOSE, -1).error == errno.EBADF, "the agent goes on"


@pytest.mark.parametrize(
    ("op", "fields"),
    [
        (Op.READ, (0, -1)),
        (Op.READ, (1 << 40, 1)),
        (Op.LSEEK, (0, 0, 1 << 40)),
        (Op.OPEN, (b"a\0b", 0, 0)),
        (Op.OPEN, (b"/", 1 << 40, 0)),
        (Op.POLL, (0, 1 << 40, 1)),
        (Op.MMAP, (0, 0, 0, 0, 0)),
        (Op.GETDENTS, (-1, -1)),
        (Op.DUP, (-1,)),
        (Op.KILL, (999,)),
        (Op.SETRLIMIT, (999, 0)),
        (Op.DROP_CAPABILITIES, (-1,)),
    ],
)
def test_arguments_beyond_all_bounds_are_errors(agent, op, fields):
    assert agent(op, *fields).error
    assert agent(Op.CLOSE, -1).error == errno.EBADF, "the agent goes on"


def raw(command, *data):
    """What an agent answers to bytes, and its exit status."""
    done = subprocess.run(
        command,
        input=b"".join(data),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    replies, output = [], done.stdout
    while output:
        header = output[: HEADER.size]
        end = HEADER.size + body_length(header)
        replies.append(decode(header, output[HEADER.size : end]))
        output = output[end:]
    return replies, done.returncode


def test_a_body_that_is_no_body_is_answered(command):
    header = HEADER.pack(HEADER.size + 8, Op.CLOSE, 1, 5, 1, 0, 0, 0, 0)
    end = encode(Message(Op.HELLO, 6, 0))
    replies, status = raw(command, header, b"\xff" * 8, end)
    assert status == 0
    assert {(reply.request, reply.status) for reply in replies} >= {(6, Status.DONE)}


def test_a_length_that_is_none_ends_the_agent_with_a_reply(command):
    replies, status = raw(command, b"\xff" * HEADER.size)
    assert status == 2
    assert [(reply.request, reply.status) for reply in replies] == [(0, Status.MALFORMED)]


def test_half_a_message_is_the_end(command):
    assert raw(command, encode(Message(Op.HELLO, 1, 0))[:-1]) == ([], 0)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def assert_ends(pidfd):
    ended, _, _ = select.select([pidfd], [], [], SECONDS)
    os.close(pidfd)
    assert ended == [pidfd]


def test_the_death_of_the_agent_is_told(command):
    agent = Agent(command)
    fd = agent(Op.EVENTFD, 0, 0).result
    blocked = agent.begin(Op.READ, fd, 8)
    pidfds = [os.pidfd_open(pid) for pid in children(agent.process.pid)]
    agent.process.kill()
    with pytest.raises(AgentError, match="died"):
        blocked.result(SECONDS)
    agent.process.wait(SECONDS)
    assert pidfds
    for pidfd in pidfds:
        assert_ends(pidfd)
    with pytest.raises(AgentError, match="died"):
        agent(Op.CLOSE, 0)
    agent.client.close()


def test_tasks_do_not_outlive_the_client(command):
    agent = Agent(command)
    fork = agent(Op.FORK)
    fd = agent(Op.EVENTFD, 0, 0).result
    agent.begin(Op.READ, fd, 8)
    pidfd = os.pidfd_open(fork.fields[0])
    agent.client.close()
    assert agent.process.wait(SECONDS) == 0
    assert_ends(pidfd)
