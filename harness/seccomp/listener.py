# SPDX-License-Identifier: Apache-2.0
"""What a filter tells us, and our answers: the ioctls of linux/seccomp.h (Linux 5.14 or newer)."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
from contextlib import suppress

from attrs import frozen

_NOTIF_RECV = 0xC0502100
_NOTIF_SEND = 0xC0182101
_NOTIF_ID_VALID = 0x40082102
_NOTIF_ADDFD = 0x40182103
_FLAG_CONTINUE = 1
_ADDFD_SETFD, _ADDFD_SEND = 1, 2
#: struct seccomp_notif: id, pid, flags; number, architecture, instruction pointer, arguments.
_NOTIFICATION = struct.Struct("<QII" + "iIQ6Q")
#: struct seccomp_notif_resp: id, value, error, flags.
_RESPONSE = struct.Struct("<QqiI")
#: struct seccomp_notif_addfd: id, flags, our fd, theirs, flags of theirs.
_ADDITION = struct.Struct("<QIIII")


@frozen
class Notification:
    """A system call that waits for our answer. ``thread`` is the thread id of who made it."""

    id: int
    thread: int
    number: int
    arguments: tuple[int, ...]


class Listener:
    """The file from which notifications come. Whoever waits when it is closed gets ENOSYS.

    One thread receives and closes, when the last task has gone; another may just be answering what
    one of the tasks had asked, which is then as if that task were the only one to have gone.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._closed = False

    def fileno(self) -> int:
        """For poll: readable when there is a notification, hung up when the last task has gone."""
        return self._fd

    def close(self) -> None:
        """No more notifications."""
        with self._lock:
            self._closed = True
            os.close(self._fd)

    def _ask(self, request: int, argument: bytes | bytearray) -> int:
        """An ioctl about a notification; FileNotFoundError if its task has gone."""
        with self._lock:
            if self._closed:  # the number may be another file's by now
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            result = fcntl.ioctl(self._fd, request, argument)
        return result if isinstance(result, int) else 0

    def receive(self) -> Notification | None:
        """The next notification; blocks if there is none. None if it was withdrawn meanwhile."""
        buffer = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._fd, _NOTIF_RECV, buffer)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return None
            raise
        identity, thread, _, number, _, _, *arguments = _NOTIFICATION.unpack(buffer)
        return Notification(identity, thread, number, tuple(arguments))

    def is_pending(self, notification: Notification) -> bool:
        """Whether its task still waits: what was learnt by the thread's id before was its own."""
        try:
            self._ask(_NOTIF_ID_VALID, struct.pack("<Q", notification.id))
        except FileNotFoundError:
            return False
        return True

    def succeed(self, notification: Notification, value: int = 0) -> None:
        """The call returns ``value``."""
        self._respond(notification, value, 0, 0)

    def fail(self, notification: Notification, error: int) -> None:
        """The call fails with errno ``error``."""
        self._respond(notification, 0, -error, 0)

    def proceed(self, notification: Notification) -> None:
        """The host's kernel does the call."""
        self._respond(notification, 0, 0, _FLAG_CONTINUE)

    def install(self, notification: Notification, fd: int, number: int) -> None:
        """The call returns ``number``, a copy of our ``fd`` that exec closes.

        OSError (EBADF, EMFILE) if the task cannot have it; the call still waits then.
        """
        flags = _ADDFD_SETFD | _ADDFD_SEND
        addition = _ADDITION.pack(notification.id, flags, fd, number, os.O_CLOEXEC)
        with suppress(FileNotFoundError):
            self._ask(_NOTIF_ADDFD, addition)

    def add(self, notification: Notification, fd: int, number: int | None = None) -> int:
        """Give the task a copy of our ``fd``, that exec closes; the call still waits.

        Under ``number``, whatever that was before, or the lowest that is free; returns it. OSError
        (EMFILE) if the task cannot have more, ENOENT if it has gone.
        """
        flags = 0 if number is None else _ADDFD_SETFD
        addition = _ADDITION.pack(notification.id, flags, fd, number or 0, os.O_CLOEXEC)
        return self._ask(_NOTIF_ADDFD, bytearray(addition))

    def _respond(self, notification: Notification, value: int, error: int, flags: int) -> None:
        with suppress(FileNotFoundError):  # its task was killed
            self._ask(_NOTIF_SEND, _RESPONSE.pack(notification.id, value, error, flags))
