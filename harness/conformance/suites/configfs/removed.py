# SPDX-License-Identifier: Apache-2.0
"""Items that are removed while something of them is open."""

from __future__ import annotations

from harness.conformance import Call, case, expect
from harness.conformance.errnos import EFAULT, ENOENT
from harness.conformance.suites.configfs._sample import DIR, FILE, GROUPS, MACHINE, SIMPLE
from harness.uapi.fs import O_RDONLY, O_RDWR, POLLIN, POLLOUT

_FRAGMENT = f"configfs_fragment: {FILE}"


@case(source=_FRAGMENT, machine=MACHINE, golden="configfs/rmdir_while_attr_open")
def attribute(call: Call) -> None:
    call.mkdir(f"{SIMPLE}/a")
    fd = expect(call.open(f"{SIMPLE}/a/storeme", O_RDWR))
    expect(call.rmdir(f"{SIMPLE}/a"))
    expect(call.read(fd, 10), ENOENT)
    expect(call.write(fd, b"3"), ENOENT)
    expect(call.poll({fd: POLLIN | POLLOUT}), {fd: POLLIN | POLLOUT})
    expect(call.open(f"{SIMPLE}/a/storeme", O_RDONLY), ENOENT)
    expect(call.fstat(fd), mode=0o100644)
    expect(call.close(fd))


@case(source=f"fill_write_buffer: {FILE}", machine=MACHINE)
def empty_write(call: Call) -> None:
    """That there is nothing to store is seen first."""
    call.mkdir(f"{SIMPLE}/a")
    fd = expect(call.open(f"{SIMPLE}/a/storeme", O_RDWR))
    expect(call.rmdir(f"{SIMPLE}/a"))
    expect(call.write(fd, b""), EFAULT)
    expect(call.close(fd))


@case(source=_FRAGMENT, machine=MACHINE)
def text_that_was_read_stays(call: Call) -> None:
    call.mkdir(f"{SIMPLE}/a")
    call.write_text(f"{SIMPLE}/a/storeme", "5")
    fd = expect(call.open(f"{SIMPLE}/a/storeme", O_RDWR))
    expect(call.read(fd, 10), b"5\n")
    expect(call.rmdir(f"{SIMPLE}/a"))
    expect(call.pread(fd, 10, 0), b"5\n")
    expect(call.write(fd, b"3"), ENOENT)
    expect(call.pread(fd, 10, 0), ENOENT)
    expect(call.close(fd))


@case(source=_FRAGMENT, machine=MACHINE)
def another_of_the_same_name(call: Call) -> None:
    """A new item has nothing to do with the old one's file."""
    call.mkdir(f"{SIMPLE}/a")
    fd = expect(call.open(f"{SIMPLE}/a/storeme", O_RDWR))
    expect(call.rmdir(f"{SIMPLE}/a"))
    expect(call.mkdir(f"{SIMPLE}/a"))
    expect(call.write(fd, b"3"), ENOENT)
    expect(call.read_text(f"{SIMPLE}/a/storeme"), "0\n")
    expect(call.write_text(f"{SIMPLE}/a/storeme", "4"), 1)
    expect(call.read(fd, 10), ENOENT)
    expect(call.close(fd))


@case(source=f"configfs_dir_open, configfs_rmdir: {DIR}", machine=MACHINE)
def directory(call: Call) -> None:
    """An open directory does not keep it; its children can be had again by name alone."""
    call.mkdir(f"{GROUPS}/g")
    fd = expect(call.open(f"{GROUPS}/g", O_RDONLY))
    expect(call.rmdir(f"{GROUPS}/g"))
    expect(call.getdents(fd), ENOENT)
    expect(call.close(fd))
    expect(call.mkdir(f"{GROUPS}/g/c"), ENOENT)
    expect(call.mkdir(f"{GROUPS}/g"))
    expect(call.mkdir(f"{GROUPS}/g/c"))
