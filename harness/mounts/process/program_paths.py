# SPDX-License-Identifier: Apache-2.0
"""Files as a program names them in a system call.

They are found by the text of their path, in the machine: who is outside of the mount's user
namespace may not look into the mount (fuse_allow_current_process). So a link of the host that leads
into the mount is not followed.
"""

from __future__ import annotations

import errno
import os
import posixpath
from contextlib import suppress
from typing import TYPE_CHECKING

from harness.kernel.errors import Errno

if TYPE_CHECKING:
    from harness.kernel.vfs import Node
    from harness.mounts.process.notifications import NotifiedCall

AT_FDCWD = -100


def absolute(call: NotifiedCall, directory: int, path: str) -> str:
    """``path`` from the root on, if it is relative to the program's fd ``directory``. Errno."""
    if path.startswith("/"):
        return path
    link = "cwd" if directory == AT_FDCWD else f"fd/{directory}"
    return f"{_link(call, link)}/{path}"


def path_of(call: NotifiedCall, number: int) -> str:
    """The path by which the program's fd ``number`` was opened, without links. EBADF."""
    return _link(call, f"fd/{number}")


def _link(call: NotifiedCall, name: str) -> str:
    try:
        return os.readlink(f"/proc/{call.caller.tid}/{name}")
    except OSError:
        raise Errno(errno.EBADF) from None


def find(call: NotifiedCall, path: str, *, follow: bool = True) -> Node | None:
    """The machine's node at an absolute ``path``; None for what is not the machine's."""
    path = posixpath.normpath(path) + ("/" if path.endswith("/") else "")
    if path.startswith(("/sys/", "/dev/")) or path in ("/sys", "/dev"):
        with suppress(Errno):
            return call.kernel.walk(call.caller, path, follow=follow)
    return None


def open_fd(call: NotifiedCall, number: int) -> int:
    """An O_PATH fd of ours for the file that is ``number`` of the program. EBADF."""
    try:
        return os.open(f"/proc/{call.caller.tid}/fd/{number}", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        raise Errno(errno.EBADF) from None
