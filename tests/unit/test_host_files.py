# SPDX-License-Identifier: Apache-2.0
"""Eventfds of the host in the hands of a driver, here our own."""

import gc
import os
import threading

import pytest

from harness.host_files import Holder, HostFile, copy_fd
from harness.kernel.errors import Errno
from harness.kernel.eventfd import eventfd_ctx_fdget
from harness.kernel.task import LocalCaller
from harness.uapi.fs import POLLHUP, POLLIN

NONBLOCKING = os.EFD_NONBLOCK | os.EFD_CLOEXEC


class OurCaller(LocalCaller):
    """Asks for fds of this process."""

    def file(self, fd):
        return HostFile(self.holder, os.getpid(), fd, copy_fd(os.getpid(), fd))


@pytest.fixture
def holder(kernel):
    holder = Holder(kernel)
    yield holder
    assert kernel.leaks() == []
    holder.close()


@pytest.fixture
def caller(holder):
    caller = OurCaller()
    caller.holder = holder
    return caller


@pytest.fixture
def eventfd():
    fd = os.eventfd(0, NONBLOCKING)
    yield fd
    os.close(fd)


def open_fds():
    gc.collect()
    return set(os.listdir("/proc/self/fd"))


def test_signal_adds_one(caller, eventfd):
    context = eventfd_ctx_fdget(caller, eventfd)
    context.signal()
    context.signal()
    assert os.eventfd_read(eventfd) == 2
    context.release()


def test_signal_of_a_full_one_does_not_block(caller):
    eventfd = os.eventfd(0, os.EFD_CLOEXEC)
    os.eventfd_write(eventfd, 2**64 - 2)
    context = eventfd_ctx_fdget(caller, eventfd)
    context.signal()
    assert os.eventfd_read(eventfd) == 2**64 - 2
    context.release()
    os.close(eventfd)


def test_read_takes_what_is_there(caller, eventfd):
    context = eventfd_ctx_fdget(caller, eventfd)
    assert context.read() == 0
    os.eventfd_write(eventfd, 5)
    assert context.read() == 5
    context.release()


def test_read_of_an_empty_blocking_one_does_not_block(caller):
    eventfd = os.eventfd(0, os.EFD_CLOEXEC)
    context = eventfd_ctx_fdget(caller, eventfd)
    assert context.read() == 0
    context.release()
    os.close(eventfd)


def test_what_is_no_eventfd(caller):
    reading, writing = os.pipe()
    with pytest.raises(Errno, match="EINVAL"):
        eventfd_ctx_fdget(caller, reading)
    os.close(reading)
    os.close(writing)


def test_what_is_not_open(caller, eventfd):
    closed = os.dup(eventfd)
    os.close(closed)
    for fd in (closed, -1, 1 << 20):
        with pytest.raises(Errno, match="EBADF"):
            eventfd_ctx_fdget(caller, fd)


def test_an_fd_that_is_but_a_path_is_none(caller):
    path = os.open("/dev/null", os.O_PATH)
    with pytest.raises(Errno, match="EBADF"):
        eventfd_ctx_fdget(caller, path)
    os.close(path)


def test_identity_is_the_eventfds(caller, eventfd):
    duplicate = os.dup(eventfd)
    other = os.eventfd(0)
    contexts = [eventfd_ctx_fdget(caller, fd) for fd in (eventfd, duplicate, other)]
    one, same, different = (context.identity for context in contexts)
    assert one == same != different
    for context in contexts:
        context.release()
    os.close(duplicate)
    os.close(other)


def test_held_until_released(caller, holder, eventfd):
    before = open_fds()
    context = eventfd_ctx_fdget(caller, eventfd)
    assert holder.kernel.leaks() == [f"anon_inode:[eventfd] {eventfd} of local"]
    assert len(open_fds()) == len(before) + 1
    context.release()
    assert open_fds() == before


class TestWatch:
    @pytest.fixture
    def events(self):
        return []

    @pytest.fixture
    def context(self, caller, eventfd):
        return eventfd_ctx_fdget(caller, eventfd)

    def test_a_write_wakes(self, holder, context, eventfd):
        woken = threading.Event()
        with holder.kernel.lock:
            assert context.watch(lambda events: woken.set()) == 0
        os.eventfd_write(eventfd, 1)
        assert woken.wait(10)
        with holder.kernel.lock:
            assert context.read() == 1
            context.release()

    def test_what_was_there_before(self, holder, context, eventfd, events):
        os.eventfd_write(eventfd, 1)
        with holder.kernel.lock:
            assert context.watch(events.append) == POLLIN
            holder.catch_up()
            assert events == []
            context.release()

    def test_each_write_counts_until_a_catch_up(self, holder, context, eventfd, events):
        with holder.kernel.lock:
            context.watch(events.append)
            for _ in range(2):
                os.eventfd_write(eventfd, 1)
                os.eventfd_write(eventfd, 1)
                holder.catch_up()
            assert events == [POLLIN, POLLIN]
            context.release()

    def test_unwatched(self, holder, context, eventfd, events):
        with holder.kernel.lock:
            context.watch(events.append)
            context.unwatch()
            os.eventfd_write(eventfd, 1)
            holder.catch_up()
            assert events == []
            context.release()

    def test_the_last_close(self, holder, caller, events):
        eventfd = os.eventfd(0, NONBLOCKING)
        duplicate = os.dup(eventfd)
        context = eventfd_ctx_fdget(caller, eventfd)
        with holder.kernel.lock:
            context.watch(events.append)
            os.close(eventfd)
            holder.catch_up()
            assert events == []
            os.eventfd_write(duplicate, 1)
            os.close(duplicate)
            holder.catch_up()
            holder.catch_up()
            assert events == [POLLHUP]
            assert context.read() == 0
            context.release()

    def test_no_fd_is_left(self, holder, context, eventfd, events):
        with holder.kernel.lock:
            context.watch(events.append)
            before = open_fds()
            other = os.eventfd(0)
            os.close(other)
            context.release()
            assert len(open_fds()) == len(before) - 1

    def test_read_is_of_this_eventfd(self, holder, caller, events):
        """Another file may have got the number meanwhile."""
        eventfd = os.eventfd(0, NONBLOCKING)
        duplicate = os.dup(eventfd)
        context = eventfd_ctx_fdget(caller, eventfd)
        with holder.kernel.lock:
            context.watch(events.append)
            os.eventfd_write(duplicate, 1)
            other = os.eventfd(7, NONBLOCKING)
            os.dup2(other, eventfd)
            assert context.read() == 0
            context.release()
        for fd in (eventfd, duplicate, other):
            os.close(fd)
