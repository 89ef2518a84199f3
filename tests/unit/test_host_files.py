# SPDX-License-Identifier: Apache-2.0
"""Files of the host in the hands of a driver, here our own."""

import fcntl
import gc
import mmap
import os
import tempfile
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


@pytest.fixture
def memfd():
    fd = os.memfd_create("memory")
    os.ftruncate(fd, 8192)
    yield fd
    os.close(fd)


class TestMemory:
    """A file as memory of devices."""

    def test_outlives_the_program_s_fd(self, caller):
        fd = os.memfd_create("memory")
        os.ftruncate(fd, 4096)
        other = os.dup(fd)
        memory = caller.file(fd).memory()
        os.close(fd)
        memory.write(100, b"from the device")
        assert os.pread(other, 15, 100) == b"from the device"
        os.pwrite(other, b"to", 100)
        assert memory.read(100, 15) == b"toom the device"
        os.close(other)

    def test_is_shared_with_mappings(self, caller, memfd):
        memory = caller.file(memfd).memory()
        with mmap.mmap(memfd, 8192) as mapping:
            mapping[:5] = b"store"
            assert memory.read(0, 5) == b"store"
            memory.write(4096, b"x")
            assert mapping[4096] == ord("x")

    def test_is_closed_with_its_last_holder(self, caller, memfd):
        before = open_fds()
        memory = caller.file(memfd).memory()
        assert open_fds() != before
        del memory
        assert open_fds() == before

    def test_no_more_than_there_is(self, caller, memfd):
        memory = caller.file(memfd).memory()
        memory.pin(0, 8192, write=True, device=False)
        with pytest.raises(Errno, match="EINVAL"):
            memory.pin(4096, 8192, write=False, device=False)

    def test_what_was_cut_away_is_not_brought_back(self, caller, memfd):
        memory = caller.file(memfd).memory()
        os.ftruncate(memfd, 4096)
        memory.write(4090, b"0123456789")
        assert os.fstat(memfd).st_size == 4096
        assert memory.read(4090, 10) == b"012345".ljust(10, b"\0")

    def test_open_for_reading_alone(self, caller, memfd):
        """Who maps it does not decide what a device may do with it (memfd_pin_folios)."""
        reading = os.open(f"/proc/self/fd/{memfd}", os.O_RDONLY)
        memory = caller.file(reading).memory()
        memory.write(0, b"written")
        assert memory.read(0, 7) == b"written"
        os.close(reading)

    def test_sealed(self, caller):
        fd = os.memfd_create("memory", os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, 4096)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
        with pytest.raises(Errno, match="EFAULT"):
            caller.file(fd).memory().write(0, b"x")
        os.close(fd)

    def test_of_a_tmpfs(self, caller):
        if not os.path.ismount("/dev/shm"):
            pytest.skip("no tmpfs at /dev/shm")
        with tempfile.TemporaryFile(dir="/dev/shm") as file:
            file.truncate(4096)
            caller.file(file.fileno()).memory().pin(0, 4096, write=True, device=False)

    @pytest.mark.parametrize("path", ["/dev/null", "/proc/self/status", __file__])
    def test_other_files_are_none(self, caller, path):
        with open(path, "rb") as file:
            memory = caller.file(file.fileno()).memory()
        for access in (
            lambda: memory.pin(0, 1, write=False, device=False),
            lambda: memory.read(0, 1),
            lambda: memory.write(0, b"x"),
        ):
            with pytest.raises(Errno, match="EINVAL"):
                access()
