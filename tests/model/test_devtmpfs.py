# SPDX-License-Identifier: Apache-2.0
"""/dev: programs make directories and links there, drivers nodes."""

import errno

import pytest

from harness.kernel.errors import Errno
from harness.kernel.task import Credentials, LocalCaller
from harness.kernel.vfs import vfs_open
from harness.machine import load_machine

ROOT = LocalCaller()


@pytest.fixture
def kernel():
    return load_machine("spr-1s").kernel


def call(kernel, operation, directory, *arguments, caller=ROOT):
    return kernel.call(caller, operation, kernel.walk(caller, directory), *arguments)


def refused(function):
    with pytest.raises(Errno) as raised:
        function()
    return errno.errorcode[raised.value.errno]


def test_links_and_directories(kernel):
    call(kernel, "mkdir", "/dev", "char", 0o755)
    call(kernel, "symlink", "/dev/char", "245:0.tmp", "../dsa/wq0.0")
    call(kernel, "symlink", "/dev/char", "245:0", "old")
    directory = kernel.walk(ROOT, "/dev/char")
    call(kernel, "rename", "/dev/char", "245:0.tmp", directory, "245:0")
    (link,) = directory.readdir(ROOT)
    assert (link.name, kernel.call(ROOT, "readlink", link)) == ("245:0", "../dsa/wq0.0")
    assert refused(lambda: call(kernel, "rmdir", "/dev", "char")) == "ENOTEMPTY"
    call(kernel, "unlink", "/dev/char", "245:0")
    call(kernel, "rmdir", "/dev", "char")
    assert refused(lambda: kernel.walk(ROOT, "/dev/char")) == "ENOENT"


def test_what_programs_cannot_make(kernel):
    user = LocalCaller(credentials=Credentials(1000, 1000, frozenset(), 0))
    assert refused(lambda: call(kernel, "mkdir", "/dev", "x", 0o755, caller=user)) == "EACCES"
    assert refused(lambda: call(kernel, "mknod", "/dev", "x", 0o20600, 259)) == "EPERM"


def test_a_driver_does_not_miss_a_node_that_was_removed(kernel):
    number = kernel.devices.alloc_chrdev_region("toy") << 8
    kernel.devices.create_node("toy/0", number, lambda node, caller, flags: None)
    call(kernel, "unlink", "/dev/toy", "0")
    kernel.devices.delete_node("toy/0", number)
    assert refused(lambda: kernel.walk(ROOT, "/dev/toy")) == "ENOENT"


def test_who_opens_a_node_just_when_its_device_goes_gets_none_or_the_next(kernel):
    number = kernel.devices.alloc_chrdev_region("toy") << 8
    opened = []
    node = kernel.devices.create_node("toy", number, lambda *_: opened.append("first"))
    kernel.devices.delete_node("toy", number)
    assert refused(lambda: vfs_open(ROOT, node, 0)) == "ENXIO"
    kernel.devices.create_node("toy", number, lambda *_: opened.append("second"))
    vfs_open(ROOT, node, 0)
    assert opened == ["second"]
