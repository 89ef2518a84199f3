# SPDX-License-Identifier: Apache-2.0
"""The target ``model``: what it adds to node and file operations, on a kernel with a few files."""

import time

import pytest

from harness.conformance import Call, Fd, expect
from harness.conformance.call import Context
from harness.conformance.errnos import (
    EACCES,
    EBADF,
    ECHILD,
    EEXIST,
    EFAULT,
    EINTR,
    EINVAL,
    EISDIR,
    ENOENT,
    ENOTDIR,
    ENOTTY,
    EPERM,
    ESPIPE,
)
from harness.conformance.results import NotRunnableError
from harness.conformance.targets.model import ModelEndpoint
from harness.kernel.chardev import makedev
from harness.kernel.sysfs import Attribute, sysfs_create_file, sysfs_create_link
from harness.kernel.vfs import OpenFile
from harness.uapi.fs import (
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOFOLLOW,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    POLLIN,
    POLLNVAL,
    POLLPRI,
    SEEK_CUR,
    SEEK_END,
)


class Stream(OpenFile):
    """A character device that echoes what it is asked."""

    __slots__ = ()
    seekable = False

    def ioctl(self, caller, command, argument):
        data = caller.copy_from_user(argument, 4)
        caller.copy_to_user(argument, data[::-1])
        return caller.rlimit(8) if command == 1 else caller.install(Stream(self.node, caller))


@pytest.fixture
def value():
    """The value of the attribute /sys/top/value."""
    return ["first\n"]


@pytest.fixture
def node(kernel, value):
    """/sys/top with an attribute, a link to it and a directory; /dev/echo."""
    top = kernel.sysfs.directory("top")

    def show(owner, caller):
        return value[0]

    def store(owner, caller, data):
        value[0] = data.decode()

    sysfs_create_file(top, None, Attribute("value", 0o644, show, store))
    node = top.children["value"]
    sysfs_create_link(top, node, "link")
    top.directory("inner")
    kernel.devices.create_node(
        "echo", makedev(10, 3), lambda node, caller, flags: Stream(node, caller), 0o666
    )
    return node


@pytest.fixture
def endpoint(kernel, node):
    return ModelEndpoint(kernel)


@pytest.fixture
def call(endpoint):
    context = Context(endpoint, time.monotonic() + 60)
    yield Call(context)
    endpoint.close()
    assert endpoint.kernel.leaks() == []


VALUE = "/sys/top/value"


def test_position_moves_on(call):
    fd = call.open(VALUE, O_RDWR)
    expect(call.read(fd, 2), b"fi")
    expect(call.lseek(fd, 1, SEEK_CUR), 3)
    expect(call.read(fd, 100), b"st\n")
    expect(call.write(fd, b"next\n"), 5)
    expect(call.lseek(fd, 0, SEEK_CUR), 11)
    expect(call.lseek(fd, 0, SEEK_END), 4096)
    expect(call.pread(fd, 100, 0), b"next\n")
    expect(call.lseek(fd, 0, SEEK_CUR), 4096)


def test_fds_are_the_lowest_free(call):
    first, second = expect(call.open(VALUE, O_RDONLY)), expect(call.open(VALUE, O_RDONLY))
    assert (first.number, second.number) == (3, 4)
    expect(call.close(first))
    expect(call.dup(second), Fd(3, VALUE))
    expect(call.close(second))
    expect(call.read(Fd(3, VALUE), 10), b"first\n")
    expect(call.close(second), EBADF)


def test_access_modes(call):
    for flags, readable, writable in ((O_RDONLY, 1, 0), (O_WRONLY, 0, 1), (O_RDWR, 1, 1)):
        fd = expect(call.open(VALUE, flags))
        for result, allowed in ((call.read(fd, 1), readable), (call.write(fd, b"x"), writable)):
            if not allowed:
                expect(result, EBADF)
        expect(call.pread(fd, 1, -1), EINVAL)
        expect(call.close(fd))


@pytest.mark.parametrize(
    ("path", "flags", "wanted"),
    [
        (VALUE, O_CREAT | O_EXCL, EEXIST),
        ("/sys/top/link", O_CREAT | O_EXCL, EEXIST),
        ("/sys/top/link", O_NOFOLLOW, None),
        ("/sys/top/new", O_CREAT, EACCES),
        ("/sys/none/new", O_CREAT, ENOENT),
        ("/sys/top/inner", O_CREAT, EISDIR),
        ("/sys/top/inner", O_WRONLY, EISDIR),
        (VALUE, O_DIRECTORY, ENOTDIR),
        ("/sys/top/value/x", O_RDONLY, ENOTDIR),
        ("", O_RDONLY, ENOENT),
    ],
)
def test_open_flags(call, path, flags, wanted):
    result = call.open(path, flags)
    if wanted is None:
        assert result.outcome == "ELOOP"
    else:
        expect(result, wanted)


def test_truncation_does_nothing(call):
    expect(call.close(call.open(VALUE, O_WRONLY | O_TRUNC)))
    fd = call.open(VALUE, O_WRONLY)
    expect(call.ftruncate(fd, 0))
    expect(call.ftruncate(fd, -1), EINVAL)
    expect(call.truncate(VALUE, 5))
    expect(call.truncate("/sys/top", 5), EISDIR)
    expect(call.truncate("/dev/echo", 5), EINVAL)
    expect(call.ftruncate(call.open(VALUE, O_RDONLY), 0), EINVAL)
    expect(call.read_text(VALUE), "first\n")


def test_names(call):
    expect(call.stat("/sys/top/link"), mode=0o100644, size=4096)
    expect(call.lstat("/sys/top/link"), mode=0o120777)
    expect(call.fstat(call.open("/dev/echo", O_RDONLY)), mode=0o20666, rdev=makedev(10, 3))
    expect(call.readlink("/sys/top/link"), "value")
    expect(call.readlink(VALUE), EINVAL)
    expect(call.chmod("/sys/top/link", 0o600))
    expect(call.stat(VALUE), mode=0o100600)
    expect(call.chown(VALUE, -1, 7))
    expect(call.stat(VALUE), uid=0, gid=7)
    expect(call.access(VALUE, 0))
    expect(call.access(VALUE, 1), EACCES)
    for refused in (
        call.mkdir("/sys/top/x"),
        call.rmdir("/sys/top/inner"),
        call.unlink(VALUE),
        call.rename(VALUE, "/sys/top/x"),
        call.symlink("x", "/sys/top/x"),
        call.link(VALUE, "/sys/top/x"),
        call.mknod("/sys/top/x", 0o10600),
    ):
        expect(refused, EPERM)
    expect(call.mknod("/sys/top/x", 0o100600), EACCES)
    expect(call.mknod(VALUE, 0o100600), EEXIST)
    with pytest.raises(NotRunnableError, match=r"no path that ends in '\.\.' here"):
        call.rmdir("/sys/top/..")


def test_directories(call):
    with call.opened("/sys/top", O_RDONLY) as fd:
        entries = expect(call.getdents(fd, 24))
        assert [entry.name for entry in entries] == ["."]
        rest = expect(call.getdents(fd))
        assert {entry.name: entry.type for entry in rest} == {
            "..": 4,
            "value": 8,
            "link": 10,
            "inner": 4,
        }
        expect(call.getdents(fd), [])
        expect(call.lseek(fd, 0, 0), 0)
        expect(call.getdents(fd, 8), EINVAL)
    expect(call.getdents(call.open(VALUE, O_RDONLY)), ENOTDIR)
    assert sorted(expect(call.listdir("/sys/top"))) == ["inner", "link", "value"]


def test_streams_and_memory(call):
    fd = call.open("/dev/echo", O_RDWR)
    buffer = call.buffer(16)
    expect(call.poke(buffer + 8, b"abcd"))
    expect(call.setrlimit(8, 123))
    expect(call.ioctl(fd, 1, buffer + 8), 123)
    expect(call.peek(buffer, 16), b"\0" * 8 + b"dcba" + b"\0" * 4)
    expect(call.ioctl(fd, 1, 8), EFAULT)
    expect(call.ioctl(fd, 2, buffer), 4)
    expect(call.close(Fd(4, "installed")))
    expect(call.ioctl(call.open(VALUE, O_RDWR), 1, buffer), ENOTTY)
    expect(call.lseek(fd, 0, 0), ESPIPE)
    expect(call.pread(fd, 1, 0), ESPIPE)
    expect(call.poke(buffer + 15, b"ab"), EFAULT)


def test_poll(call, kernel, node):
    fd = expect(call.open(VALUE, O_RDONLY))
    expect(call.poll({fd: POLLPRI}), {fd: POLLPRI | 8})
    expect(call.read(fd, 10))
    expect(
        call.poll({fd: POLLIN | POLLPRI, Fd(9, "none"): POLLIN}), {fd: 1, Fd(9, "none"): POLLNVAL}
    )
    expect(call.poll({fd: POLLPRI}, 1), {fd: 0})
    pending = call.start(call.poll, {fd: POLLPRI}, -1)
    with kernel.scheduler.lock:
        node.notify()
    expect(pending.wait(), {fd: POLLPRI | 8})


def test_interrupt(call):
    fd = expect(call.open(VALUE, O_RDONLY))
    expect(call.read(fd, 10))
    for _ in range(2):
        pending = call.start(call.poll, {fd: POLLPRI}, -1)
        pending.interrupt()
        expect(pending.wait(), EINTR)
    expect(call.poll({fd: POLLPRI}, 1), {fd: 0})


def test_only_single_calls_can_be_started(call):
    with pytest.raises(TypeError, match="single system call"):
        call.start(call.read_text, VALUE)


def test_fork(call):
    fd = expect(call.open(VALUE, O_RDONLY))
    buffer = call.buffer(8)
    child = call.fork()
    expect(child.call.read(fd, 2), b"fi")
    expect(call.read(fd, 10), b"rst\n")
    expect(child.call.poke(buffer, b"x"))
    expect(call.peek(buffer, 1), b"\0")
    expect(call.close(fd))
    expect(child.call.pread(fd, 5, 0), b"first")
    expect(child.exit(3))
    expect(call.wait(child), 3 << 8)
    expect(call.wait(child), ECHILD)
    with pytest.raises(RuntimeError, match="NO_TASK"):
        child.call.close(fd)


def test_kill(call):
    child = call.fork()
    expect(child.kill(0))
    expect(child.kill(9))
    expect(call.wait(child), 9)


def test_threads(call):
    buffer = call.buffer(8)
    thread = call.thread()
    fd = expect(thread.call.open(VALUE, O_RDONLY))
    expect(thread.call.poke(buffer, b"x"))
    expect(call.peek(buffer, 1), b"x")
    expect(thread.call.setuid(1000, 1000))
    expect(call.chmod(VALUE, 0o600))
    expect(thread.call.open(VALUE, O_RDONLY), EACCES)
    expect(call.wait(thread), ECHILD)
    expect(thread.exit())
    expect(call.read(fd, 10), b"first\n")


def test_threads_end_with_their_process(call):
    child = call.fork()
    thread = child.call.thread()
    grandchild = thread.call.fork()
    expect(grandchild.exit(1))
    expect(child.call.wait(grandchild), 1 << 8)
    expect(thread.kill(9))
    expect(call.wait(child), 9)
    with pytest.raises(RuntimeError, match="NO_TASK"):
        child.call.open(VALUE, O_RDONLY)


def test_users(call):
    expect(call.chmod(VALUE, 0o640))
    child = call.fork()
    expect(child.call.setuid(1000, 1000, (0,)))
    expect(child.call.read_text(VALUE), "first\n")
    expect(child.call.write_text(VALUE, "x"), EACCES)
    expect(child.call.chmod(VALUE, 0o666), EPERM)
    expect(child.call.setuid(0, 0), EPERM)
    expect(call.write_text(VALUE, "x"), 1)


def test_capabilities(call):
    expect(call.chmod(VALUE, 0o066))
    expect(call.drop_capabilities(21))
    expect(call.read_text(VALUE), "first\n")
    expect(call.drop_capabilities())
    expect(call.read_text(VALUE), EACCES)


def test_what_the_model_lacks_is_not_runnable(call):
    with pytest.raises(NotRunnableError, match="the target has no operation"):
        call.fork().exec("/bin/true", "true")


def test_report_texts(call):
    fd = call.open(VALUE, O_WRONLY)
    assert str(fd) == "open('/sys/top/value', O_WRONLY) = /sys/top/value"
    assert str(call.write(fd, b"1")) == "write(/sys/top/value, b'1') = 1"
    assert str(call.read(fd, 5)) == "read(/sys/top/value, 5) = EBADF"
    assert call.chmod(VALUE, 0o600).text == "chmod('/sys/top/value', 0o600)"
