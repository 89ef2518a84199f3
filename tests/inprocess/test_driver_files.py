# SPDX-License-Identifier: Apache-2.0
"""Python code that gives a driver eventfds, is given fds, and maps its pages."""

import errno
import fcntl
import mmap
import os
import select

import pytest

from harness.mounts.inprocess.mapping import BusError
from tests.process import toy as kinds
from tests.process.toy import Driver


@pytest.fixture
def driver(machine):
    return Driver(machine.kernel)


@pytest.fixture
def toy(driver, mount):
    fd = os.open("/dev/toy", os.O_RDWR)
    yield fd
    os.close(fd)
    assert driver.open == []


def error_of(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except OSError as error:
        return error.errno
    return None


def test_eventfds_are_real(toy):
    event = os.eventfd(0)
    assert fcntl.ioctl(toy, kinds.HOLD, event) == 1
    assert select.select([event], [], [], 0)[0] == []
    fcntl.ioctl(toy, kinds.SIGNAL)
    assert select.select([event], [], [], 0)[0] == [event]
    assert os.eventfd_read(event) == 1
    fcntl.ioctl(toy, kinds.LET_GO)
    assert error_of(fcntl.ioctl, toy, kinds.HOLD, toy) == errno.EINVAL
    os.close(event)
    assert error_of(fcntl.ioctl, toy, kinds.HOLD, event) == errno.EBADF


def test_a_watch_hears_of_writes_and_of_the_close(toy):
    event = os.eventfd(0)
    fcntl.ioctl(toy, kinds.WATCH, event)
    os.eventfd_write(event, 1)
    assert fcntl.ioctl(toy, kinds.WOKEN, select.POLLIN) == 1
    os.close(event)
    assert fcntl.ioctl(toy, kinds.WOKEN, select.POLLHUP) == 1


def test_new_fds(toy, driver):
    fd = fcntl.ioctl(toy, kinds.NEW)
    assert os.pread(fd, 10, 0) == b"2\n"
    assert fcntl.ioctl(toy, kinds.WHICH, fd) == 2
    duplicate = os.dup(fd)
    os.close(fd)
    assert driver.released == []
    os.close(duplicate)
    assert driver.released == [2]


def test_memory(toy, driver):
    with mmap.mmap(toy, 8192) as memory:
        assert isinstance(memory, mmap.mmap)
        memory[0:4] = b"abcd"
        assert driver.memory[:4] == b"abcd"
        driver.memory[8191] = 7
        assert memory[-1] == memory[8191] == 7
        assert memory[0:4:2] == b"ac"
        memory.seek(4)
        assert memory.write(b"ef") == 2
        assert memory.tell() == 6
        memory.seek(0)
        assert memory.read(6) == b"abcdef"
        assert len(memory[:]) == len(memory) == 8192
        with pytest.raises(IndexError):
            memory[8192]
        with pytest.raises(IndexError):
            memory[0:2] = b"abc"
    with pytest.raises(ValueError, match="closed"):
        memory[0]


def test_registers_are_accessed_one_by_one(toy, driver):
    with mmap.mmap(toy, 4096, offset=kinds.REGISTERS) as registers:
        registers[8:12] = (5).to_bytes(4, "little")
        assert registers[8:12] == (6).to_bytes(4, "little")
    assert driver.registers == {8: 5}


def test_a_mapping_keeps_its_file(toy, driver):
    fd = fcntl.ioctl(toy, kinds.NEW)
    memory = mmap.mmap(fd, 4096)
    os.close(fd)
    assert driver.released == []
    memory.close()
    memory.close()
    assert driver.released == [2]


def test_refusals(toy):
    assert error_of(mmap.mmap, toy, 12288) == errno.ENXIO
    assert error_of(mmap.mmap, toy, 4096, access=mmap.ACCESS_COPY) == errno.EINVAL
    reader = os.open("/dev/toy", os.O_RDONLY)
    assert error_of(mmap.mmap, reader, 4096) == errno.EACCES
    memory = mmap.mmap(reader, 4096, access=mmap.ACCESS_READ)
    with pytest.raises(TypeError, match="readonly"):
        memory[0] = 1
    memory.close()
    os.close(reader)


def test_what_would_be_a_signal(toy):
    doorbell = mmap.mmap(toy, 4096, offset=kinds.NOTHING)
    with pytest.raises(BusError, match="SIGBUS"):
        doorbell[0]
    doorbell.close()


def test_files_of_the_host_are_mapped_by_the_host(mount, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abcd")
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memoryview(memory).release()
        assert memory[:] == b"abcd"
    assert isinstance(mmap.mmap(-1, 10), mmap.mmap)


def test_a_bad_address_is_an_error(toy):
    """The machine copies from this process as from any other."""
    assert error_of(fcntl.ioctl, toy, kinds.COPY, 8) == errno.EFAULT
