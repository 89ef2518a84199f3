# SPDX-License-Identifier: Apache-2.0
"""Installs a filter in itself and becomes a program. Run as a script of its own.

A process of its own, because a process with threads must not run Python code between fork and exec.
Its arguments: the number of a socket, its parent's process id, the filter's program in hexadecimal,
the program's path, and the program's own arguments from argv[0] on. Over the socket it sends the
listener, waits for a byte to go on, and is silent if the exec succeeds. Anything that fails
is told as ``what`` and an errno.

Imports little, as it is on the way of every start.
"""

from __future__ import annotations

import _socket
import ctypes
import os
import sys

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SYS_SECCOMP = 317  # x86-64
_SET_MODE_FILTER = 1
_NEW_LISTENER, _WAIT_KILLABLE_RECV = 8, 32

_SIGKILL, _SIGPIPE, _SIGXFSZ, _SIG_DFL = 9, 13, 25, 0

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def install(program: bytes, *, privileged: bool = False) -> int:
    """Install the filter for this thread and all that come of it; the listener's fd, or OSError.

    A call that we have begun to answer is not interrupted by signals, on Linux 5.19 or newer.
    Programs cannot gain privileges any more, unless ``privileged``, which takes CAP_SYS_ADMIN.
    """
    structure = _Program(len(program) // 8, program)
    if not privileged:
        _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    for flags in (_NEW_LISTENER | _WAIT_KILLABLE_RECV, _NEW_LISTENER):
        fd = _libc.syscall(_SYS_SECCOMP, _SET_MODE_FILTER, flags, ctypes.byref(structure))
        if fd >= 0:
            return int(fd)
    return _check(-1)


def _check(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def main() -> None:
    """See above."""
    number, parent, program, path, *argv = sys.argv[1:]
    control = _socket.socket(fileno=int(number))
    os.set_inheritable(control.fileno(), False)
    # The program ends with the thread that started it, whatever ends that.
    _libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != int(parent):
        return
    what = "seccomp"
    try:
        listener = install(bytes.fromhex(program))
        rights = listener.to_bytes(4, sys.byteorder)
        control.sendmsg([b"+"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
        if not control.recv(1):
            return
        what = "exec"
        # The interpreter ignores them.
        for ignored in (_SIGPIPE, _SIGXFSZ):
            _libc.signal(ignored, _SIG_DFL)
        os.execv(path, argv)
    except OSError as error:
        control.sendall(b"%s %d" % (what.encode(), error.errno or 0))


if __name__ == "__main__":
    main()
