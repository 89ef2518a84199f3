# SPDX-License-Identifier: Apache-2.0
"""System calls that say what a file is, where the host's kernel would say that it is FUSE's.

statfs(2) and fstatfs(2) name the file system that a machine's kernel has there. The family of
stat(2) shows a device as a character device, which on FUSE has to be a file so that it can be
opened; lseek(2) asks drivers that have an answer of their own.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from harness.host_files import device_of
from harness.kernel.errors import Errno
from harness.kernel.vfs import Node, OpenFile
from harness.mounts.process.nodes import Tree, inode_number
from harness.mounts.process.program_paths import AT_FDCWD, absolute, find, open_fd, path_of
from harness.seccomp import Rule
from harness.uapi.fs import NAME_MAX, PAGE_SIZE, SEEK_HOLE

if TYPE_CHECKING:
    from harness.mounts.process.notifications import NotifiedCall, Table

# x86-64
_STAT, _FSTAT, _LSTAT, _LSEEK, _STATFS, _FSTATFS = 4, 5, 6, 8, 137, 138
_NEWFSTATAT, _STATX = 262, 332
_UINT_MAX = 0xFFFF_FFFF
_AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = 0x100, 0x1000

SYSFS_MAGIC, CONFIGFS_MAGIC, TMPFS_MAGIC = 0x62656572, 0x62656570, 0x01021994
#: ST_ flags: valid, nosuid, nodev, noexec, relatime.
_SYS_FLAGS, _DEV_FLAGS = 0x20 | 2 | 4 | 8 | 0x1000, 0x20 | 2 | 0x1000
#: Magic number and flags of what is mounted where; /dev is a tmpfs.
_FILE_SYSTEMS = {
    "/sys/kernel/config": (CONFIGFS_MAGIC, _SYS_FLAGS),
    "/sys": (SYSFS_MAGIC, _SYS_FLAGS),
    "/dev": (TMPFS_MAGIC, _DEV_FLAGS),
}

#: struct statfs: type, block size, five counts of blocks and files, fsid, length of names, fragment
#: size, flags, spare.
_STATFS_OUT = struct.Struct("=7q2i3q4q")
#: struct stat: device, inode, links, mode, uid, gid, padding, rdev, size, block size, blocks, three
#: times in seconds and nanoseconds, unused.
_STAT_OUT = struct.Struct("=QQQIIIiQqqq6Q3q")
#: struct statx: mask, block size, attributes, links, uid, gid, mode, padding, inode, size, blocks,
#: which attributes, four times, rdev, device, mount, spare.
_TIME = struct.Struct("=qIi")
_STATX_HEAD = struct.Struct("=IIQIIIHHQQQQ")
_STATX_TAIL = struct.Struct("=IIIIQ104x")
_STATX_BASIC_STATS = 0x7FF


def add_file_system_rules(table: Table) -> None:
    """Let statfs(2) and fstatfs(2) name the machine's file systems."""
    table.add(Rule(_STATFS), statfs)
    table.add(Rule(_FSTATFS), fstatfs)


def add_device_rules(table: Table) -> None:
    """Let the family of stat(2) show character devices, and lseek(2) treat them so."""
    table.add(Rule(_STAT), _stat_of_path(0))
    table.add(Rule(_LSTAT), _stat_of_path(_AT_SYMLINK_NOFOLLOW))
    table.add(Rule(_FSTAT), fstat)
    table.add(Rule(_NEWFSTATAT), newfstatat)
    table.add(Rule(_STATX), statx)
    table.add(Rule(_LSEEK), lseek)


# --- file systems


def statfs(call: NotifiedCall) -> int | None:
    """statfs(path, buffer)."""
    path = absolute(call, AT_FDCWD, call.path(call.arguments[0]))
    node = find(call, path)
    return _write_statfs(call, node.path()) if node is not None else None


def fstatfs(call: NotifiedCall) -> int | None:
    """fstatfs(fd, buffer)."""
    number = _number(call.arguments[0])
    fd = open_fd(call, number)
    try:
        ours = device_of(fd) == call.server.device
    finally:
        os.close(fd)
    return _write_statfs(call, path_of(call, number)) if ours else None


def _write_statfs(call: NotifiedCall, path: str) -> int:
    """As simple_statfs of the file system that is at ``path``."""
    magic, flags = next(found for place, found in _FILE_SYSTEMS.items() if path.startswith(place))
    device = call.server.device
    sizes = (PAGE_SIZE, 0, 0, 0, 0, 0, device & 0xFFFFFFFF, device >> 32, NAME_MAX, PAGE_SIZE)
    data = _STATFS_OUT.pack(magic, *sizes, flags, *(0,) * 4)
    call.caller.copy_to_user(call.arguments[1], data)
    return 0


# --- devices


def _stat_of_path(flags: int) -> Callable[[NotifiedCall], int | None]:
    def stat_of_path(call: NotifiedCall) -> int | None:
        """stat(path, buffer) and lstat(path, buffer)."""
        address, buffer, *_ = call.arguments
        found = _device(call, AT_FDCWD, call.path(address), flags)
        return _write_stat(call, buffer, found)

    return stat_of_path


def fstat(call: NotifiedCall) -> int | None:
    """fstat(fd, buffer)."""
    number, buffer, *_ = call.arguments
    return _write_stat(call, buffer, _device_of_fd(call, _number(number)))


def newfstatat(call: NotifiedCall) -> int | None:
    """newfstatat(directory, path, buffer, flags)."""
    directory, address, buffer, flags, *_ = call.arguments
    found = _device(call, _number(directory), call.path(address), flags)
    return _write_stat(call, buffer, found)


def statx(call: NotifiedCall) -> int | None:
    """statx(directory, path, flags, mask, buffer)."""
    directory, address, flags, _, buffer, *_ = call.arguments
    path = call.path(address) if address else ""
    found = _device(call, _number(directory), path, flags)
    if found is None:
        return None
    time = _TIME.pack(found.st_mtime, 0, 0)
    data = _STATX_HEAD.pack(
        _STATX_BASIC_STATS,
        PAGE_SIZE,
        0,
        found.st_nlink,
        found.st_uid,
        found.st_gid,
        found.st_mode,
        0,
        found.st_ino,
        0,
        0,
        0,
    )
    data += time + _TIME.pack(0, 0, 0) + time + time
    numbers = (os.major(found.st_rdev), os.minor(found.st_rdev))
    device = (os.major(found.st_dev), os.minor(found.st_dev))
    data += _STATX_TAIL.pack(*numbers, *device, 0)
    call.caller.copy_to_user(buffer, data)
    return 0


class _DeviceStatus:
    """What stat(2) is to show of a device of the machine."""

    def __init__(self, call: NotifiedCall, node: Node) -> None:
        shown = node.getattr(call.caller)
        self.st_dev = call.server.device
        self.st_ino = inode_number(Tree.DEV, node)
        self.st_nlink = shown.nlink
        self.st_mode = shown.mode
        self.st_uid = shown.uid
        self.st_gid = shown.gid
        self.st_rdev = node.rdev
        self.st_mtime = call.server.time


def _write_stat(call: NotifiedCall, buffer: int, found: _DeviceStatus | None) -> int | None:
    if found is None:
        return None
    data = _STAT_OUT.pack(
        found.st_dev,
        found.st_ino,
        found.st_nlink,
        found.st_mode,
        found.st_uid,
        found.st_gid,
        0,
        found.st_rdev,
        0,
        PAGE_SIZE,
        0,
        *(found.st_mtime, 0) * 3,
        *(0,) * 3,
    )
    call.caller.copy_to_user(buffer, data)
    return 0


def lseek(call: NotifiedCall) -> int | None:
    """lseek(fd, offset, whence): None for a file whose position the host's kernel keeps."""
    number, offset, whence, *_ = call.arguments
    try:
        open_file = call.open_file(number & _UINT_MAX)
    except Errno:  # not open, or of a program that we may not look into
        return None
    whence &= _UINT_MAX
    if open_file is None or type(open_file).lseek is OpenFile.lseek or whence > SEEK_HOLE:
        return None
    signed = offset - (1 << 64) if offset >> 63 else offset
    # No method of a driver heeds the position that the file has.
    position: int = call.kernel.call(call.caller, "lseek", open_file, 0, signed, whence)
    return position


def _device(call: NotifiedCall, directory: int, path: str, flags: int) -> _DeviceStatus | None:
    """A device of the machine, by what the *at() calls are given; None for anything else."""
    if not path:
        return _device_of_fd(call, directory) if flags & _AT_EMPTY_PATH else None
    with suppress(Errno):  # the host's kernel will find out as well
        full = absolute(call, directory, path)
        return _device_at(call, full, follow=not flags & _AT_SYMLINK_NOFOLLOW)
    return None


def _device_of_fd(call: NotifiedCall, number: int) -> _DeviceStatus | None:
    with suppress(Errno):
        return _device_at(call, path_of(call, number))
    return None


def _device_at(call: NotifiedCall, path: str, *, follow: bool = True) -> _DeviceStatus | None:
    node = find(call, path, follow=follow)
    if node is None or not stat.S_ISCHR(node.mode):
        return None
    return _DeviceStatus(call, node)


def _number(argument: int) -> int:
    """An argument that is an int."""
    low = argument & _UINT_MAX
    return low - (1 << 32) if low >> 31 else low
