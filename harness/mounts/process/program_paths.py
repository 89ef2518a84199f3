# SPDX-License-Identifier: Apache-2.0
"""Files as a program names them in a system call, looked up on its behalf.

Only for handlers that have handed over (see :mod:`harness.mounts.process.notifications`): the file
may be in the mount, and then our own workers answer.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from harness.kernel.errors import Errno

if TYPE_CHECKING:
    from harness.mounts.process.notifications import NotifiedCall

AT_FDCWD = -100
_SYS_OPENAT2 = 437
#: struct open_how: flags, mode, resolve.
_OPEN_HOW = struct.Struct("=QQQ")
_RESOLVE_IN_ROOT = 0x10

_libc = ctypes.CDLL(None, use_errno=True)


def absolute(call: NotifiedCall, directory: int, path: str) -> str:
    """``path`` from the program's root on, if it is relative to the fd ``directory``.

    Links on the way are as they were. ENOENT for a directory that has no name any more.
    """
    if path.startswith("/"):
        return path
    base = "cwd" if directory == AT_FDCWD else f"fd/{directory}"
    try:
        return f"{os.readlink(f'/proc/{call.caller.tid}/{base}')}/{path}"
    except OSError as error:
        raise Errno(error.errno or errno.EBADF) from None


def open_path(call: NotifiedCall, path: str, *, follow: bool = True) -> int:
    """An O_PATH fd of ours for an absolute path in the program's root and mount namespace. Errno.

    Links lead from the program's root; those of /proc to open files lead nowhere (ELOOP).
    """
    root = -1
    try:
        root = os.open(f"/proc/{call.caller.tid}/root", os.O_PATH | os.O_CLOEXEC)
        flags = os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        how = _OPEN_HOW.pack(flags, 0, _RESOLVE_IN_ROOT)
        fd = _libc.syscall(_SYS_OPENAT2, root, os.fsencode(path), how, len(how))
        if fd < 0:
            raise Errno(ctypes.get_errno())
        return int(fd)
    except OSError as error:
        raise Errno(error.errno or errno.ESRCH) from None
    finally:
        with suppress(OSError):
            os.close(root)


def open_fd(call: NotifiedCall, number: int) -> int:
    """An O_PATH fd of ours for the file that is ``number`` of the program. EBADF."""
    try:
        return os.open(f"/proc/{call.caller.tid}/fd/{number}", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        raise Errno(errno.EBADF) from None
