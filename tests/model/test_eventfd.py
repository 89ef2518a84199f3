# SPDX-License-Identifier: Apache-2.0
"""What a driver does with an eventfd of the model."""

import pytest
from attrs import evolve

from harness.kernel.errors import Errno
from harness.kernel.eventfd import ULLONG_MAX, Eventfd, eventfd_ctx_fdget
from harness.kernel.vfs import Node, OpenFile
from harness.uapi.fs import O_NONBLOCK, POLLERR, POLLHUP, POLLIN, POLLOUT


class Polls:
    """A poll table that counts wakes."""

    def __init__(self):
        self.woken = 0

    def add(self, queue):
        queue.add(self.wake)

    def wake(self):
        self.woken += 1


@pytest.fixture
def eventfd(kernel, caller):
    return Eventfd(kernel, caller, 0, O_NONBLOCK)


@pytest.fixture
def context(caller, eventfd):
    return eventfd_ctx_fdget(caller, caller.install(eventfd))


def test_signal_is_what_a_read_gets(caller, context, eventfd):
    polls = Polls()
    eventfd.poll(caller, polls)
    context.signal()
    context.signal()
    assert polls.woken == 2
    assert eventfd.read(caller, 0, 8) == (2).to_bytes(8, "little")


def test_signal_reaches_the_number_that_no_write_can(caller, context, eventfd):
    """eventfd_signal stops at the largest number, which poll calls an error (eventfd_poll)."""
    eventfd.write(caller, 0, (ULLONG_MAX - 1).to_bytes(8, "little"))
    for _ in range(2):
        context.signal()
        assert eventfd.poll(caller, Polls()) == POLLIN | POLLERR
    assert context.read() == ULLONG_MAX
    assert eventfd.poll(caller, Polls()) == POLLOUT


def test_identity_is_the_eventfds(kernel, caller, context, eventfd):
    other = Eventfd(kernel, caller, 0, 0)
    fds = [caller.install(file) for file in (eventfd, other)]
    same, different = (eventfd_ctx_fdget(caller, fd).identity for fd in fds)
    assert context.identity == same != different


def test_what_is_no_eventfd(kernel, caller):
    with pytest.raises(Errno, match="EBADF"):
        eventfd_ctx_fdget(caller, 100)
    with pytest.raises(Errno, match="EINVAL"):
        eventfd_ctx_fdget(caller, caller.install(OpenFile(Node("file", 0o100600, 1), caller)))
    assert kernel.leaks() == []


def test_a_watch_hears_of_writes_and_of_the_last_close(caller, context, eventfd):
    events = []
    assert context.watch(events.append) == POLLOUT
    eventfd.write(caller, 0, (1).to_bytes(8, "little"))
    eventfd.read(caller, 0, 8)
    eventfd.release()
    assert events == [POLLIN, POLLHUP]


def test_a_watch_is_told_what_is_there(caller, context, eventfd):
    context.signal()
    assert context.watch(lambda events: None) == POLLIN | POLLOUT


def test_no_watch_after_its_end(caller, context, eventfd):
    events = []
    context.watch(events.append)
    context.unwatch()
    context.unwatch()
    context.signal()
    context.watch(events.append)
    context.release()
    eventfd.release()
    assert events == []


def test_leaks_until_it_is_released(kernel, context):
    assert kernel.leaks() == ["anon_inode:[eventfd] 0 of local"]
    context.release()
    assert kernel.leaks() == []


@pytest.mark.parametrize("exact", [False, True])
def test_a_longer_write(kernel, caller, eventfd, exact):
    """What 6.1 takes and 6.12 refuses, seen on both (eventfd_write)."""
    kernel.section = evolve(kernel.section, eventfd_write_exact=exact)
    data = (3).to_bytes(8, "little") + b"more"
    if exact:
        with pytest.raises(Errno, match="EINVAL"):
            eventfd.write(caller, 0, data)
    else:
        assert eventfd.write(caller, 0, data) == 8
