# SPDX-License-Identifier: Apache-2.0
"""System calls that FUSE cannot carry, for every mount of a machine that needs them."""

from __future__ import annotations

import errno
import os

from harness.host_files import copy_fd, open_flags
from harness.kernel.errors import Errno
from harness.kernel.system_calls import may_map, path_noexec
from harness.kernel.vfs import Pages
from harness.kernel.watched import Watched
from harness.mounts.process.notifications import NotifiedCall, Table
from harness.mounts.process.options import MountOptions
from harness.seccomp import Argument, Rule
from harness.uapi.fs import (
    EPOLL_CTL_ADD,
    MAP_ANONYMOUS,
    MAP_SHARED,
    O_ACCMODE,
    O_RDWR,
    PAGE_SIZE,
    PROT_EXEC,
    PROT_WRITE,
)

_MMAP, _IOCTL, _EPOLL_CTL = 9, 16, 233  # x86-64
#: Arguments of mmap.
_LENGTH, _PROT, _FLAGS, _OFFSET = 1, 2, 3, 5
#: Where the second region of a VFIO device begins.
_FAR = 1 << 40
_UINT_MAX = 0xFFFF_FFFF
_EPOLL_EVENT_SIZE = 12


def add_rules(table: Table, watched: Watched, options: MountOptions) -> None:
    """Fill ``table`` with what is ``watched``, and with what is asked for."""
    for command in sorted(watched.fd_commands):
        table.add(Rule(_IOCTL, (Argument(1, command),)), ioctl)
    if watched.unpollable:  # to FUSE every file can be polled
        table.add(Rule(_EPOLL_CTL, (Argument(1, EPOLL_CTL_ADD),)), epoll_ctl)
    if watched.maps_files:
        _add_mmap_rules(table)
    devices = options.devices or watched.known_by_number
    if options.network or devices or options.system:
        from harness.mounts.process import file_status

        if options.network or options.system:  # libudev takes only what is on sysfs for a device
            file_status.add_file_system_rules(table)
        if devices:
            file_status.add_device_rules(table)


def _add_mmap_rules(table: Table) -> None:
    """All shared mappings of files, and of the private ones, which libraries are mapped with all
    the time, those that no library has: to write to a file's first page, or far behind its end; or
    too short for one, such as of an attribute. That is refused: who waits for a page of it may hold
    the lock of a memory that we wait for to serve him."""
    shared = Argument(_FLAGS, MAP_SHARED, mask=MAP_SHARED | MAP_ANONYMOUS)
    private = Argument(_FLAGS, 0, mask=MAP_SHARED | MAP_ANONYMOUS)
    writable = Argument(_PROT, PROT_WRITE, mask=PROT_WRITE)
    first = (Argument(_OFFSET, 0), Argument(_OFFSET, 0, high=True))
    far = Argument(_OFFSET, _FAR >> 32, at_least=True, high=True)
    short = Argument(_LENGTH, 0, mask=-2 * PAGE_SIZE & _UINT_MAX)
    few = ((private, writable, *first), (private, short, *first), (private, far))
    for conditions in ((shared,), *few):
        table.add(Rule(_MMAP, conditions), mmap)


def ioctl(call: NotifiedCall) -> int | None:
    """A command that makes an fd, if the file is one of ours."""
    fd, command, argument, *_ = call.arguments
    open_file = call.open_file(fd & _UINT_MAX)
    if open_file is None:
        return None
    result: int = call.server.do_file(
        call.caller, "ioctl", open_file, command & _UINT_MAX, argument
    )
    return result


def epoll_ctl(call: NotifiedCall) -> int | None:
    """EPERM for what has no poll method (do_epoll_ctl in fs/eventpoll.c, 6.1)."""
    epoll, _, fd, event, *_ = call.arguments
    try:
        open_file = call.open_file(fd & _UINT_MAX)
        if open_file is None or open_file.can_poll:
            return None
        call.caller.copy_from_user(event, _EPOLL_EVENT_SIZE)
        os.close(copy_fd(call.caller.process, epoll & _UINT_MAX))
    except Errno:
        return None  # the host's kernel finds the same, in its order
    raise Errno(errno.EPERM)


def mmap(call: NotifiedCall) -> int | None:
    """The driver's word on a mapping: a refusal, or pages that are what is mapped.

    What the host's kernel refuses by itself is left to it, and so is the mapping.
    """
    _, length, prot, flags, fd, offset = call.arguments
    fd &= _UINT_MAX
    try:
        open_file = call.open_file(fd)
        if open_file is None:
            return None
        opened = open_flags(call.caller.process, fd)
        may_map(opened, length, prot, flags, offset)
    except Errno:
        return None
    if prot & PROT_EXEC and path_noexec(call.kernel, open_file.node):
        raise Errno(errno.EPERM)
    pages: Pages = call.kernel.call(call.caller, "mmap", open_file, offset, length, prot, flags)
    writable = bool(flags & MAP_SHARED) and opened & O_ACCMODE == O_RDWR
    call.server.map(open_file, offset, pages, writable=writable)
    return None
