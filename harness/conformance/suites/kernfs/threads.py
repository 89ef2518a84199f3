# SPDX-License-Identifier: Apache-2.0
"""Attributes in the hands of several threads of one process."""

from __future__ import annotations

from harness.conformance import Call, case, expect
from harness.conformance.errnos import EBADF
from harness.conformance.suites._steps import PCI_DEVICE
from harness.uapi.fs import O_RDONLY, SEEK_CUR, SEEK_SET

_SOURCE = "copy_files, CLONE_FILES: kernel/fork.c, 6.1"
_VENDOR = f"{PCI_DEVICE}/vendor"


@case(source=_SOURCE)
def one_opens_another_reads(call: Call) -> None:
    """There is one table of fds, and one position of each."""
    thread = call.thread()
    fd = expect(thread.call.open(_VENDOR, O_RDONLY))
    expect(call.read(fd, 3), b"0x8")
    expect(thread.call.read(fd, 3), b"086")
    expect(call.lseek(fd, 0, SEEK_SET), 0)
    expect(thread.call.lseek(fd, 0, SEEK_CUR), 0)
    expect(call.close(fd))
    expect(thread.call.read(fd, 1), EBADF)


@case(source="exit_files, put_files_struct: fs/file.c, 6.1")
def one_ends_another_reads(call: Call) -> None:
    """The end of one thread closes nothing."""
    thread = call.thread()
    fd = expect(thread.call.open(_VENDOR, O_RDONLY))
    expect(thread.exit())
    expect(call.read(fd, 100), b"0x8086\n")


@case(source="copy_mm, CLONE_VM: kernel/fork.c, 6.1")
def memory_is_one(call: Call) -> None:
    """A thread sees what another one stores; a forked task has a copy of its own."""
    buffer = call.buffer()
    thread, child = call.thread(), call.fork()
    expect(thread.call.poke(buffer, b"thread"))
    expect(call.peek(buffer, 6), b"thread")
    expect(child.call.peek(buffer, 6), bytes(6))
