# SPDX-License-Identifier: Apache-2.0
"""plain_user.py COMMAND...: run a command as user 65534 of the host, if this is root.

Where a folder on the way to the interpreter or to this project is closed to others, as root's home
is, a private mount namespace shows that folder with nothing in it but the way.
"""

import ctypes
import os
import stat
import sys
from pathlib import Path

_CLONE_NEWNS, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x20000, 4096, 16384, 1 << 18
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _mount(source, target, kind, flags, data=b""):
    _check(_libc.mount(os.fsencode(source), os.fsencode(target), kind, flags, data))


def _closed(path):
    """The first folder above ``path`` that others cannot enter."""
    for folder in reversed(path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None


def main():
    """Open the way to what the command needs, and become the command."""
    if os.geteuid() == 0:
        become_plain()
    os.execvp(sys.argv[1], sys.argv[1:])


def become_plain():
    """Be that user, in a mount namespace that has the way."""
    needed = {Path(sys.base_prefix), Path(sys.prefix), Path(__file__).resolve().parents[2]}
    _check(_libc.unshare(_CLONE_NEWNS))
    _mount("", "/", None, _MS_REC | _MS_PRIVATE)
    closed = {}
    for path in needed:
        folder = _closed(path)
        if folder is not None:
            closed.setdefault(folder, []).append((path, os.open(path, os.O_PATH)))
    for folder, ways in closed.items():
        _mount("tmpfs", folder, b"tmpfs", 0, b"mode=755")
        for path, fd in sorted(ways):
            path.mkdir(parents=True, exist_ok=True)
            _mount(f"/proc/self/fd/{fd}", path, None, _MS_BIND)
            os.close(fd)
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    os.environ["HOME"] = "/nonexistent"


if __name__ == "__main__":
    main()
