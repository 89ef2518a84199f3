# SPDX-License-Identifier: Apache-2.0
"""What no subsystem of the kernels at hand shows: binary attributes, dependents, failures of
drivers. Each as fs/configfs of 6.1 has it."""

import errno

import pytest

from harness.kernel.errors import Errno
from harness.kernel.system_calls import DescriptorCaller, SystemCalls
from harness.machine import load_machine
from harness.modules import (
    Attribute,
    ConfigBinaryAttribute,
    ConfigGroup,
    ConfigItem,
    ItemType,
    Module,
    configfs_depend_item,
    configfs_register_subsystem,
    configfs_undepend_item,
    configfs_unregister_subsystem,
)
from harness.uapi.fs import O_RDONLY, O_RDWR, O_WRONLY, SEEK_SET

ROOT = "/sys/kernel/config/box"
MAXIMUM = 10_000


class Box(ConfigItem):
    """An item whose content is its binary attribute."""

    content = b""
    fails = 0

    def read(self, caller):
        if self.fails:
            raise Errno(self.fails)
        return self.content

    def write(self, caller, data):
        self.writes = [*getattr(self, "writes", []), data]
        if self.fails:
            raise Errno(self.fails)
        self.content = data


BINARY = (
    ConfigBinaryAttribute("blob", 0o644, MAXIMUM, Box.read, Box.write),
    ConfigBinaryAttribute("readable", 0o644, 0, Box.read),
)
LONG = (
    Attribute("page", 0o444, lambda item, caller: b"x" * 4096),
    Attribute("more", 0o444, lambda item, caller: b"x" * 4097),
)


class Subsystem:
    """The subsystem ``box`` of a new machine, and what it was told."""

    def __init__(self):
        self.told = []
        self.refuse = None
        self.box = ItemType(LONG, BINARY, allow_link=lambda item, target: None)
        self.group = ConfigGroup(
            "box",
            ItemType(
                make_item=self.make,
                disconnect_notify=lambda group, item: self.told.append(("notify", item.name)),
                drop_item=lambda group, item: self.told.append(("drop", item.name, item.parent)),
            ),
            (ConfigGroup("inner", ItemType(make_item=lambda group, name: Box(name, self.box))),),
        )
        module = Module("box", self.init, depends=("configfs",))
        self.machine = load_machine("empty", modules=[module])
        self.calls = SystemCalls(self.machine.kernel, DescriptorCaller())

    def init(self, kernel):
        configfs_register_subsystem(kernel, self.group)

    def make(self, group, name):
        if self.refuse is not None:
            raise Errno(self.refuse)
        return None if name == "none" else Box(name, self.box)

    def item(self, name="a"):
        """A new item."""
        self.calls.mkdir(f"{ROOT}/{name}", 0o755)
        return self.calls.walk(f"{ROOT}/{name}").item


@pytest.fixture
def box():
    return Subsystem()


def fails(number, call, *arguments):
    with pytest.raises(Errno) as caught:
        call(*arguments)
    assert caught.value.errno == number


class TestBinary:
    @pytest.fixture
    def calls(self, box):
        self.made = box.item()
        return box.calls

    def opened(self, calls, flags=O_RDWR, name="blob"):
        return calls.open(f"{ROOT}/a/{name}", flags, 0)

    def test_what_was_written_is_handed_over_once_at_the_last_close(self, calls):
        fd = self.opened(calls)
        other = calls.dup(fd)
        assert calls.write(fd, b"abc") == 3
        assert calls.write(other, b"def") == 3
        calls.close(fd)
        assert self.made.content == b""
        calls.close(other)
        assert self.made.writes == [b"abcdef"]

    def test_gaps_are_zeros_and_more_than_the_maximum_is_refused(self, calls):
        fd = self.opened(calls, O_WRONLY)
        assert calls.pwrite(fd, b"z", 5) == 1
        fails(errno.EFBIG, calls.pwrite, fd, b"zz", MAXIMUM - 1)
        assert calls.pwrite(fd, b"a", 0) == 1
        calls.close(fd)
        assert self.made.writes == [b"a\0\0\0\0z"]

    def test_an_open_file_reads_or_writes(self, calls):
        self.made.content = b"content"
        fd = self.opened(calls)
        assert calls.read(fd, 3) == b"con"
        fails(errno.ETXTBSY, calls.write, fd, b"x")
        assert calls.read(fd, 100) == b"tent"
        calls.close(fd)
        fd = self.opened(calls)
        calls.write(fd, b"x")
        fails(errno.ETXTBSY, calls.read, fd, 1)
        calls.close(fd)

    def test_a_read_that_fails_has_begun_reading(self, calls):
        fd = self.opened(calls)
        self.made.fails = errno.EPERM
        fails(errno.EPERM, calls.read, fd, 1)
        self.made.fails = 0
        self.made.content = b"x" * (MAXIMUM + 1)
        fails(errno.EFBIG, calls.read, fd, 1)
        self.made.content = b""
        assert calls.read(fd, 1) == b""
        self.made.content = b"now"
        assert calls.read(fd, 5) == b"now"
        fails(errno.ETXTBSY, calls.write, fd, b"x")

    def test_empty_write(self, calls):
        fd = self.opened(calls)
        fails(errno.EFAULT, calls.write, fd, b"")
        fails(errno.ETXTBSY, calls.read, fd, 1)
        calls.close(fd)
        assert self.made.writes == [b""]

    def test_no_seek_but_offsets(self, calls):
        self.made.content = b"content"
        fd = self.opened(calls, O_RDONLY)
        fails(errno.ESPIPE, calls.lseek, fd, 0, SEEK_SET)
        assert calls.pread(fd, 4, 3) == b"tent"
        assert calls.fstat(fd).size == 0

    def test_an_error_at_the_close_is_lost(self, calls):
        fd = self.opened(calls)
        calls.write(fd, b"x")
        self.made.fails = errno.EIO
        calls.close(fd)
        assert self.made.writes == [b"x"]

    def test_a_removed_item_gets_nothing(self, calls):
        fd = self.opened(calls)
        calls.write(fd, b"x")
        calls.rmdir(f"{ROOT}/a")
        calls.write(fd, b"y")
        calls.close(fd)
        assert not hasattr(self.made, "writes")

    def test_no_method(self, calls):
        fails(errno.EACCES, self.opened, calls, O_WRONLY, "readable")


def test_the_longest_text_is_a_page(box):
    box.item()
    calls = box.calls
    assert len(calls.read(calls.open(f"{ROOT}/a/page", O_RDONLY, 0), 5000)) == 4096
    fails(errno.EIO, calls.read, calls.open(f"{ROOT}/a/more", O_RDONLY, 0), 5000)


def test_what_is_depended_upon_stays(box):
    item = box.item()
    configfs_depend_item(box.group, item)
    configfs_depend_item(box.group, item)
    fails(errno.EBUSY, box.calls.rmdir, f"{ROOT}/a")
    configfs_undepend_item(box.group, item)
    fails(errno.EBUSY, box.calls.rmdir, f"{ROOT}/a")
    configfs_undepend_item(box.group, item)
    box.calls.rmdir(f"{ROOT}/a")
    fails(errno.ENOENT, configfs_depend_item, box.group, item)
    other = ConfigGroup("other", ItemType())
    fails(errno.ENOENT, configfs_depend_item, other, box.item("b"))


def test_the_group_hears_of_a_removal(box):
    box.item()
    box.calls.rmdir(f"{ROOT}/a")
    assert box.told == [("notify", "a"), ("drop", "a", None)]


def test_make_item_refuses(box):
    fails(errno.ENOMEM, box.calls.mkdir, f"{ROOT}/none", 0)
    box.refuse = errno.EXDEV
    fails(errno.EXDEV, box.calls.mkdir, f"{ROOT}/a", 0)
    assert box.told == []


def test_an_item_that_cannot_be_shown_is_dropped(box):
    """A default group of an attribute's name."""
    inner = ConfigGroup("page", ItemType())
    box.make = lambda group, name: ConfigGroup(name, box.box, (inner,))
    box.group.type = ItemType(
        make_group=box.make, drop_item=lambda group, item: box.told.append(item.name)
    )
    fails(errno.EEXIST, box.calls.mkdir, f"{ROOT}/a", 0)
    assert box.told == ["a"]
    assert box.machine.listdir(ROOT) == ["inner"]


def test_a_subsystem_goes_only_when_nothing_was_made_in_it(box):
    kernel = box.machine.kernel
    box.calls.mkdir(f"{ROOT}/inner/a", 0)
    fails(errno.EBUSY, configfs_unregister_subsystem, kernel, box.group)
    box.calls.rmdir(f"{ROOT}/inner/a")
    configfs_unregister_subsystem(kernel, box.group)
    assert box.machine.listdir("/sys/kernel/config") == []
    fails(errno.ENOENT, configfs_unregister_subsystem, kernel, box.group)
    configfs_register_subsystem(kernel, box.group)
    fails(errno.EEXIST, configfs_register_subsystem, kernel, box.group)


def test_without_the_module_there_is_no_mount_point():
    machine = load_machine("empty", modules=[])
    fails(errno.ENODEV, configfs_register_subsystem, machine.kernel, ConfigGroup("x", ItemType()))
    assert "config" not in machine.kernel.sysfs.directory("kernel").children


def test_a_link_is_looked_up_from_where_the_caller_is(box):
    box.item("a")
    box.item("b")
    box.calls.caller.cwd = ROOT
    box.calls.symlink("b", f"{ROOT}/a/l")
    assert box.calls.readlink(f"{ROOT}/a/l") == "../../box/b"
    box.calls.caller.cwd = "/"
    fails(errno.ENOENT, box.calls.symlink, "b", f"{ROOT}/a/m")
    box.calls.symlink("sys/kernel/config/box/a", f"{ROOT}/a/m")
    assert box.calls.readlink(f"{ROOT}/a/m") == "../../box/a"
    fails(errno.EBUSY, box.calls.rmdir, f"{ROOT}/a")


def test_the_trace_names_the_methods(box):
    class Names:
        def __init__(self):
            self.names = []

        def before(self, event):
            return None

        def after(self, event):
            self.names.append(event.decided_by)

    item = box.item()
    item.content = b"x"
    observer = Names()
    box.machine.trace.observers.append(observer)
    calls = box.calls
    calls.read(calls.open(f"{ROOT}/a/blob", O_RDONLY, 0), 1)
    assert observer.names[-1] == "read"
