# SPDX-License-Identifier: Apache-2.0
"""The agent program as a process of its own, on this host's ordinary files."""

import errno
import os
import select
import signal
import subprocess
import tty
from concurrent.futures import wait

import pytest

from harness.agent.client import AgentError
from harness.agent.program import (
    HEADER,
    MAX_DATA,
    VERSION,
    Message,
    Op,
    Status,
    body_length,
    decode,
    encode,
)

SECONDS = 30


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
    assert agent(Op.EPOLL, fd, 1, 0).error == errno.EPERM
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
        (Op.EPOLL, (-1, 1, 0)),
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


def test_the_death_of_the_agent_is_told(start, command):
    agent = start(command)
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


def test_tasks_do_not_outlive_the_client(start, command):
    agent = start(command)
    fork = agent(Op.FORK)
    fd = agent(Op.EVENTFD, 0, 0).result
    agent.begin(Op.READ, fd, 8)
    pidfd = os.pidfd_open(fork.fields[0])
    assert agent.close() == 0
    assert_ends(pidfd)


def test_a_stream_that_is_one_file(command):
    """As a virtio-serial port: both directions, and a hang-up at its end."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    os.write(ours, encode(Message(Op.HELLO, 3, 0)))
    reply = b""
    while len(reply) < HEADER.size:
        reply += os.read(ours, HEADER.size)
    assert decode(reply, b"").result == VERSION
    os.close(ours)
    assert process.wait(SECONDS) == 0


# --- only the C agent


@pytest.fixture
def c_agent(agent_of, start):
    agent = start(agent_of("c"))
    yield agent
    assert agent.close() == 0


def test_threads_share_files_and_memory(c_agent, file):
    agent = c_agent
    made = agent(Op.THREAD)
    thread = made.result
    fd = agent.path(Op.OPEN, file, os.O_RDONLY, 0, task=thread).result
    assert agent(Op.READ, fd, 3).fields == (b"012",)
    address = agent(Op.MMAP, 4096, 3, 0x22, -1, 0, task=thread).result
    assert agent(Op.POKE, address, b"x").result == 0
    assert agent(Op.PEEK, address, 1, task=thread).fields == (b"x",)
    assert agent(Op.MUNMAP, address, 4096).result == 0
    assert agent(Op.LOAD, address, 1, task=thread).error == errno.EFAULT
    assert agent(Op.WAIT, *made.fields).error == errno.ECHILD, "a thread is no child"
    assert agent(Op.EXIT, 1, task=thread).status == Status.GONE
    assert agent(Op.READ, fd, 3).fields == (b"345",), "the end of a thread closes nothing"


def test_threads_end_with_their_process(c_agent):
    agent = c_agent
    child = agent(Op.FORK)
    threads = [agent(Op.THREAD, task=child.result).result for _ in range(3)]
    fd = agent(Op.EVENTFD, 0, 0, task=child.result).result
    blocked = [agent.begin(Op.READ, fd, 8, task=thread) for thread in threads]
    assert agent(Op.EXIT, 3, task=child.result).status == Status.GONE
    assert {future.result(SECONDS).status for future in blocked} == {Status.GONE}
    assert agent(Op.WAIT, *child.fields).result == 3 << 8


def test_a_thread_alone_is_interrupted_and_forked(c_agent):
    agent = c_agent
    thread = agent(Op.THREAD).result
    fd = agent(Op.EVENTFD, 0, 0).result
    first, second = agent.begin(Op.READ, fd, 8), agent.begin(Op.READ, fd, 8, task=thread)
    assert agent(Op.INTERRUPT, task=thread).result == 0
    assert second.result(SECONDS).error == errno.EINTR
    fork = agent(Op.FORK, task=thread)
    assert agent(Op.EXIT, 4, task=fork.result).status == Status.GONE
    assert agent(Op.WAIT, *fork.fields, task=thread).result == 4 << 8
    assert not first.done()
    assert agent(Op.INTERRUPT).result == 0
    assert first.result(SECONDS).error == errno.EINTR


def test_an_exec_takes_the_other_threads_along(c_agent):
    agent = c_agent
    fork = agent(Op.FORK)
    thread = agent(Op.THREAD, task=fork.result).result
    program = (b"/bin/sh", b"sh", b"-c", b"exit 6")
    assert agent(Op.EXEC, *program, task=thread).status == Status.GONE
    assert agent(Op.WAIT, *fork.fields).result == 6 << 8
    assert agent(Op.CLOSE, 0, task=fork.result).status == Status.NO_TASK


def test_an_interruption_is_never_lost(c_agent):
    """However early it comes: before the task has the request, or just before its call."""
    fd = c_agent(Op.EVENTFD, 0, 0).result
    for _ in range(300):
        blocked = c_agent.begin(Op.READ, fd, 8)
        c_agent.begin(Op.INTERRUPT)
        assert blocked.result(SECONDS).error == errno.EINTR


def test_an_interruption_hits_no_later_call(c_agent):
    for _ in range(100):
        over_at_once = c_agent.begin(Op.POLL, 0)
        c_agent.begin(Op.INTERRUPT)
        over_at_once.result(SECONDS)
        assert c_agent(Op.POLL, 1).error == 0


def test_the_agents_own_fd_is_no_fd_of_the_task(c_agent):
    for fd in range(3, 1024):
        assert c_agent(Op.CLOSE, fd).error == errno.EBADF
    assert c_agent(Op.OPEN, b"/dev/null", 0, 0).result == 3


def test_nothing_outlives_a_killed_agent(agent_of, start):
    agent = start(agent_of("c"))
    forks = [agent(Op.FORK) for _ in range(3)]
    fd = agent(Op.EVENTFD, 0, 0, task=forks[0].result).result
    agent.begin(Op.READ, fd, 8, task=forks[0].result)
    program = (b"/bin/sleep", b"sleep", b"1000")
    assert agent(Op.EXEC, *program, task=forks[1].result).status == Status.GONE
    assert agent(Op.EXIT, 0).status == Status.GONE, "their parent"
    pidfds = [os.pidfd_open(pid) for pid in children(agent.process.pid)]
    pidfds += [os.pidfd_open(fork.fields[0]) for fork in forks]
    agent.process.kill()
    for pidfd in pidfds:
        assert_ends(pidfd)
    assert agent.close() == -signal.SIGKILL
