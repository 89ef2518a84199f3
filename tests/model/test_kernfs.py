# SPDX-License-Identifier: Apache-2.0
"""File semantics of sysfs, each as the kernel's fs/kernfs and fs/sysfs of 6.1 have it."""

import errno
import os

import pytest

from harness.kernel.errors import Errno
from harness.kernel.kernfs import kernfs_name_hash
from harness.kernel.sysfs import (
    Attribute,
    BinaryAttribute,
    sysfs_create_file,
    sysfs_create_link,
)
from harness.kernel.task import Credentials, LocalCaller
from harness.kernel.vfs import Changes
from harness.uapi.fs import (
    DEFAULT_POLLMASK,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    POLLERR,
    POLLPRI,
    SEEK_CUR,
    SEEK_END,
    SEEK_SET,
)


class Value:
    """An object with one text value that counts its shows and keeps its stores."""

    def __init__(self, text="abc\n"):
        self.text = text
        self.shows = 0
        self.stores = []

    def show(self, caller):
        self.shows += 1
        return self.text

    def store(self, caller, data):
        self.stores.append(data)


@pytest.fixture
def value():
    return Value()


@pytest.fixture
def directory(kernel, value):
    place = kernel.sysfs.directory("place")
    sysfs_create_file(place, value, Attribute("rw", 0o644, Value.show, Value.store))
    sysfs_create_file(place, value, Attribute("ro", 0o444, Value.show))
    sysfs_create_file(place, value, Attribute("wo", 0o200, None, Value.store))
    return place


@pytest.fixture
def open_file(kernel, caller, directory):
    def open_it(name, flags=O_RDWR, by=caller):
        return kernel.call(by, "open", directory.children[name], flags)

    return open_it


def refuses(number, function, *arguments):
    with pytest.raises(Errno) as raised:
        function(*arguments)
    assert raised.value.errno == number


def test_each_read_at_offset_0_shows_again(kernel, caller, open_file, value):
    file = open_file("rw")
    assert kernel.call(caller, "read", file, 0, 4096) == b"abc\n"
    value.text = "new\n"
    assert kernel.call(caller, "read", file, 4, 4096) == b""
    assert kernel.call(caller, "read", file, 0, 2) == b"ne"
    value.text = "other\n"
    assert kernel.call(caller, "read", file, 2, 4096) == b"w\n"
    assert value.shows == 2


def test_a_read_elsewhere_shows_again_and_skips(kernel, caller, open_file, value):
    file = open_file("rw")
    assert kernel.call(caller, "read", file, 2, 10) == b"c\n"
    assert kernel.call(caller, "read", file, 100, 10) == b""
    assert value.shows == 2


def test_show_is_cut_to_a_page_less_one(kernel, caller, open_file, value):
    value.text = "x" * 5000
    assert len(kernel.call(caller, "read", open_file("rw"), 0, 8192)) == 4095


def test_each_write_is_one_store_whatever_its_offset(kernel, caller, open_file, value):
    file = open_file("rw")
    assert kernel.call(caller, "write", file, 0, b"1") == 1
    assert kernel.call(caller, "write", file, 10, b"2\n") == 2
    assert value.stores == [b"1", b"2\n"]


def test_a_write_is_clipped_to_a_page(kernel, caller, open_file, value):
    assert kernel.call(caller, "write", open_file("rw"), 0, b"x" * 5000) == 4096
    assert value.stores == [b"x" * 4096]


def test_an_empty_write_never_reaches_the_store(kernel, caller, open_file, value):
    assert kernel.call(caller, "write", open_file("rw"), 0, b"") == 0
    assert value.stores == []


@pytest.mark.parametrize(
    ("name", "flags"), [("ro", O_WRONLY), ("ro", O_RDWR), ("wo", O_RDONLY), ("wo", O_RDWR)]
)
def test_mode_bits_bind_root_too(open_file, name, flags):
    refuses(errno.EACCES, open_file, name, flags)


def test_others_are_denied_by_mode_bits(open_file):
    user = LocalCaller(credentials=Credentials(uid=1000, gid=1000, capabilities=0))
    open_file("rw", O_RDONLY, user)
    refuses(errno.EACCES, open_file, "rw", O_WRONLY, user)
    refuses(errno.EACCES, open_file, "wo", O_WRONLY, user)
    refuses(errno.EACCES, open_file, "rw", O_RDONLY | O_TRUNC, user)


def test_a_mode_without_a_method_is_eio(kernel, caller, directory, value):
    sysfs_create_file(directory, value, Attribute("half", 0o644))
    file = kernel.call(caller, "open", directory.children["half"], O_RDWR)
    refuses(errno.EIO, kernel.call, caller, "read", file, 0, 10)
    refuses(errno.EIO, kernel.call, caller, "write", file, 0, b"x")


def test_open_files_of_a_removed_node_are_enodev(kernel, caller, open_file, directory):
    file = open_file("rw")
    assert kernel.call(caller, "read", file, 0, 2) == b"ab"
    directory.remove("rw")
    assert kernel.call(caller, "read", file, 2, 2) == b"c\n"  # still in the snapshot
    refuses(errno.ENODEV, kernel.call, caller, "read", file, 4, 2)
    refuses(errno.ENODEV, kernel.call, caller, "read", file, 0, 2)
    refuses(errno.ENODEV, kernel.call, caller, "write", file, 0, b"x")
    refuses(errno.ENOENT, kernel.walk, caller, "/sys/place/rw")


class Table:
    def __init__(self):
        self.woken = 0

    def add(self, queue):
        queue.add(self.wake)

    def wake(self):
        self.woken += 1


def test_poll_is_armed_by_a_read_and_fired_by_notify(kernel, caller, open_file, directory):
    file = open_file("rw")
    fired = DEFAULT_POLLMASK | POLLERR | POLLPRI
    table = Table()
    assert kernel.call(caller, "poll", file, table) == fired  # never read
    kernel.call(caller, "read", file, 0, 10)
    assert kernel.call(caller, "poll", file, table) == DEFAULT_POLLMASK
    directory.children["rw"].notify()
    assert table.woken == 1
    assert kernel.call(caller, "poll", file, table) == fired


def test_poll_of_a_removed_node_fires(kernel, caller, open_file, directory):
    file = open_file("rw")
    kernel.call(caller, "read", file, 0, 10)
    directory.remove("rw")
    assert kernel.call(caller, "poll", file, Table()) & POLLERR


@pytest.mark.parametrize(
    ("position", "offset", "whence", "result"),
    [(0, 10, SEEK_SET, 10), (5, -2, SEEK_CUR, 3), (0, -96, SEEK_END, 4000)],
)
def test_lseek_is_relative_to_the_size_of_4096(
    kernel, caller, open_file, position, offset, whence, result
):
    assert kernel.call(caller, "lseek", open_file("rw"), position, offset, whence) == result


@pytest.mark.parametrize(("offset", "whence"), [(-1, SEEK_SET), (1 << 31, SEEK_SET)])
def test_lseek_refuses(kernel, caller, open_file, offset, whence):
    refuses(errno.EINVAL, kernel.call, caller, "lseek", open_file("rw"), 0, offset, whence)


def test_ioctl_and_mmap_of_an_attribute(kernel, caller, open_file):
    refuses(errno.ENOTTY, kernel.call, caller, "ioctl", open_file("rw"), 1, 0)
    refuses(errno.ENODEV, kernel.call, caller, "mmap", open_file("rw"), 0, 4096, 1, 1)


def test_names_cannot_be_made_or_removed(kernel, caller, directory):
    for operation, arguments in [
        ("mkdir", ("new", 0o755)),
        ("symlink", ("new", "target")),
        ("mknod", ("new", 0o600, 0)),
        ("unlink", ("rw",)),
        ("rename", ("rw", directory, "new")),
    ]:
        refuses(errno.EPERM, kernel.call, caller, operation, directory, *arguments)
    refuses(errno.EACCES, kernel.call, caller, "create", directory, "new", 0o644)
    refuses(errno.ENOTDIR, kernel.call, caller, "rmdir", directory, "rw")
    refuses(errno.EEXIST, kernel.call, caller, "mkdir", directory, "rw", 0o755)
    refuses(errno.EISDIR, kernel.call, caller, "unlink", kernel.sysfs, "place")


def test_chmod_lasts_and_needs_the_owner(kernel, caller, directory):
    node = directory.children["rw"]
    user = LocalCaller(credentials=Credentials(uid=1000, gid=1000, capabilities=0))
    refuses(errno.EPERM, kernel.call, user, "setattr", node, Changes(mode=0o666))
    kernel.call(caller, "setattr", node, Changes(mode=0o666))
    assert kernel.call(caller, "getattr", node).mode == 0o100666
    kernel.call(user, "open", node, O_WRONLY)


def test_truncation_is_accepted_without_effect(kernel, caller, directory):
    node = directory.children["rw"]
    kernel.call(caller, "setattr", node, Changes(size=0))
    assert kernel.call(caller, "getattr", node).size == 4096


def test_links_are_relative_and_have_no_size(kernel, caller, directory):
    other = kernel.sysfs.directory("a").directory("b")
    sysfs_create_link(other, directory, "there")
    link = other.children["there"]
    assert kernel.call(caller, "readlink", link) == "../../place"
    assert kernel.call(caller, "getattr", link).size == 0
    assert kernel.walk(caller, "/sys/a/b/there/rw") is directory.children["rw"]


@pytest.fixture
def binary(kernel, caller, directory):
    data = bytearray(range(100))

    def read(owner, opener, offset, count):
        return bytes(data[offset : offset + count])

    def write(owner, opener, offset, new):
        data[offset : offset + len(new)] = new
        return len(new)

    sysfs_create_file(directory, None, BinaryAttribute("bin", 0o600, 100, read, write))
    sysfs_create_file(directory, None, BinaryAttribute("none", 0o600, 100))
    return kernel.call(caller, "open", directory.children["bin"], O_RDWR)


def test_binary_attributes_are_clipped_to_their_size(kernel, caller, binary):
    assert kernel.call(caller, "read", binary, 90, 50) == bytes(range(90, 100))
    assert kernel.call(caller, "read", binary, 100, 1) == b""
    assert kernel.call(caller, "write", binary, 98, b"abcd") == 2
    refuses(errno.EFBIG, kernel.call, caller, "write", binary, 100, b"x")


def test_binary_attributes_without_a_method_are_eio(kernel, caller, binary, directory):
    file = kernel.call(caller, "open", directory.children["none"], O_RDWR)
    refuses(errno.EIO, kernel.call, caller, "read", file, 0, 1)
    refuses(errno.EIO, kernel.call, caller, "write", file, 0, b"x")


def test_leaks_are_the_open_attributes(kernel, open_file):
    file = open_file("rw")
    assert kernel.leaks() == ["/sys/place/rw"]
    kernel.release(file)
    assert kernel.leaks() == []


@pytest.mark.parametrize("path", ["/sys/kernel", "/sys/bus", "/sys/class", "/sys/module"])
def test_the_hash_orders_a_real_sysfs(path):
    """The running kernel lists its own directories in the order of our hash."""
    names = os.listdir(path)
    if len(names) < 2:
        pytest.skip(f"{path} has nothing to order")
    assert names == sorted(names, key=lambda name: (kernfs_name_hash(name), name))
