# SPDX-License-Identifier: Apache-2.0
"""System calls of programs that the mount answers itself, by seccomp notification.

Some calls never reach FUSE, or cannot be answered through it. For each of them there is an entry in
the mount's :class:`Table`::

    table.add(Rule(_STATFS), statfs)

    def statfs(call: NotifiedCall) -> int | None:
        path = call.path(call.arguments[0])
        ...

The rule is a condition on the call's number and arguments, as narrow as can be: each call that it
meets costs the program some 40 us. The handler returns what the call returns, or None if the host's
kernel shall do it, or raises Errno. Of several handlers that a call meets, the first that does not
return None has answered. The union of all rules becomes the filter of every program in the
mount; with an empty table there is none. Rules are added before the mount is made.

A handler runs on the thread that leads the mount's workers, and without the machine's lock:
``call.kernel.call(call.caller, ...)`` makes a call of the machine. While it runs nobody else serves
FUSE, so it must not touch anything that might be in the mount: no path of the program, no file of
it. Who has to do so, or takes long, calls ``call.hand_over()`` first. What is read of the program's
memory is certain to be of the task that made the call.

Order: all FUSE requests that were made before a call have taken effect before its handler runs.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from harness import background
from harness.host_files import copy_fd
from harness.kernel.errors import Errno
from harness.mounts.process import fuse_protocol as fuse
from harness.mounts.process.caller import ProcessCaller
from harness.mounts.process.invalidation import notify
from harness.mounts.process.nodes import Tree
from harness.seccomp import Listener, Notification, Rule
from harness.seccomp.rules import build
from harness.uapi.fs import PAGE_SIZE, PATH_MAX

if TYPE_CHECKING:
    from harness.kernel.system import Kernel
    from harness.kernel.task import AddressSpace
    from harness.kernel.vfs import OpenFile
    from harness.mounts.process.server import Server
    from harness.mounts.process.workers import Worker

_log = logging.getLogger("uapi_harness")


class NotifiedCaller(ProcessCaller):
    """Who made a notified call. ``installed`` are the files it is to get, by number."""

    __slots__ = ("_call", "installed")

    def __init__(self, worker: Worker, call: NotifiedCall) -> None:
        # No FUSE request has a negative number.
        super().__init__(worker, -call.notification.id - 1, None, None, call.notification.thread)
        self._call = call
        self.installed: list[tuple[int, OpenFile]] = []

    @property
    def address_space(self) -> AddressSpace:
        """As of any caller; EFAULT if the task has gone."""
        space = super().address_space
        self._call.check_pending()
        return space

    def copy_from_user(self, address: int, count: int) -> bytes:
        """A task that is killed does not wait for us (seccomp_do_user_notification: 6.1)."""
        return self.address_space.read(address, count)

    def copy_to_user(self, address: int, data: bytes) -> None:
        """See :meth:`copy_from_user`."""
        self.address_space.write(address, data)

    def install(self, open_file: OpenFile) -> int:
        """See :class:`harness.kernel.task.Caller`: EMFILE if there is no number left.

        The number is reserved now, and becomes the file before the call returns.
        """
        number = self._call.reserve()
        self.installed.append((number, open_file))
        return number


class NotifiedCall:
    """A system call that waits for its handler."""

    def __init__(
        self, server: Server, worker: Worker, listener: Listener, notification: Notification
    ) -> None:
        self.server = server
        self.notification = notification
        self.number = notification.number
        self.arguments = notification.arguments
        self.caller = NotifiedCaller(worker, self)
        self._worker = worker
        self._listener = listener

    @property
    def kernel(self) -> Kernel:
        """Of the mount's machine."""
        return self.server.kernel

    def path(self, address: int) -> str:
        """The string at ``address``; EFAULT, or ENAMETOOLONG as of a path (getname)."""
        text = bytearray()
        space = self.caller.address_space
        while len(text) < PATH_MAX:
            at = address + len(text)
            text += space.read(at, PAGE_SIZE - at % PAGE_SIZE)
            end = text.find(0)
            if end >= 0:
                self.check_pending()
                return os.fsdecode(bytes(text[:end]))
        raise Errno(errno.ENAMETOOLONG)

    def open_file(self, fd: int) -> OpenFile | None:
        """The machine's file that is ``fd`` of the program; None for one of the host's. EBADF."""
        copy = copy_fd(self.caller.process, fd)
        try:
            self.check_pending()
            return self.server.identify(self._worker, copy, locked=False)
        finally:
            os.close(copy)

    def hand_over(self) -> None:
        """Let another thread serve FUSE from here on."""
        self._worker.hand_over()

    def check_pending(self) -> None:
        """What was learnt by the task's number was its own; EFAULT if it has gone meanwhile."""
        if not self._listener.is_pending(self.notification):
            raise Errno(errno.EFAULT)

    def reserve(self) -> int:
        """A number of the program's that is taken; behind it is nothing yet."""
        placeholder = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._listener.add(self.notification, placeholder)
        except OSError as error:
            raise Errno(error.errno or errno.EMFILE) from None
        finally:
            os.close(placeholder)

    def put(self, fd: int, number: int) -> None:
        """The program's ``number`` is a copy of our ``fd`` from now on, if there is a program."""
        with suppress(FileNotFoundError):
            self._listener.add(self.notification, fd, number)

    def respond(self, result: int | None, error: int) -> None:
        """The call is over."""
        if error:
            self._listener.fail(self.notification, error)
        elif result is None:
            self._listener.proceed(self.notification)
        else:
            self._listener.succeed(self.notification, result)


Handler = Callable[[NotifiedCall], "int | None"]


class Table:
    """Which calls are answered, and by whom."""

    def __init__(self) -> None:
        self._rules: list[tuple[Rule, Handler]] = []

    def add(self, rule: Rule, handler: Handler) -> None:
        """Have ``handler`` answer the calls that ``rule`` meets. Before the mount is made."""
        self._rules.append((rule, handler))

    def __bool__(self) -> bool:
        return bool(self._rules)

    def program(self) -> bytes:
        """The filter; empty without rules."""
        return build(rule for rule, _ in self._rules) if self else b""

    def answer(self, call: NotifiedCall) -> int | None:
        """What the handlers say; None if the host's kernel shall do it. Raises Errno."""
        for rule, handler in self._rules:
            if rule.meets(call.number, call.arguments):
                result = handler(call)
                if result is not None:
                    return result
        return None


#: The id of a file that the launcher has looked up, and nobody opens; those of other files without
#: a name are higher.
ANNOUNCED_NODE = Tree.ANONYMOUS << 32
#: The number of our question in the request that announces a notification; those that ask for the
#: content of pages count from 1.
ANNOUNCEMENT = 0
_ANNOUNCE = fuse.NOTIFY_RETRIEVE_OUT.pack(ANNOUNCEMENT, ANNOUNCED_NODE, 0, 0, 0)


class Notifications:
    """Receives calls on a thread of its own, and answers them on the leading one. One for a mount.

    What was received is announced by a request that we have the host's kernel make: it brings what
    is cached of a file, which is nothing. As it comes in its turn, the leading thread has served
    all that was before the call, and it waits for nothing but requests.
    """

    def __init__(self, server: Server, table: Table) -> None:
        self._server = server
        self._table = table
        self._ready = select.epoll()
        self._listeners: dict[int, Listener] = {}
        #: Calls that were received, and announced or about to be.
        self._received: deque[tuple[Listener, Notification]] = deque()
        self._closing = os.eventfd(0, os.EFD_CLOEXEC)
        self._ready.register(self._closing, select.EPOLLIN)
        self._thread = threading.Thread(target=self._receive, name="uapi-notified", daemon=True)
        self._starting = threading.Lock()

    def add(self, fd: int) -> None:
        """Programs have got a filter, and this is its listener."""
        self._listeners[fd] = Listener(fd)
        self._ready.register(fd, select.EPOLLIN)
        with self._starting:  # programs may start at once
            if self._thread.ident is None:
                background.start(self._thread)

    def close(self) -> None:
        """When all programs have ended."""
        if self._thread.ident is not None:
            os.eventfd_write(self._closing, 1)
            self._thread.join()
        self._received.clear()
        os.close(self._closing)
        self._ready.close()

    def _receive(self) -> None:
        try:
            while self._take_all():
                pass
        finally:
            # However this ends, no program must wait for an answer that will not come.
            self._listeners.clear()

    def _take_all(self) -> bool:
        """Take what there is, or wait for it; False at the end."""
        for fd, events in self._ready.poll():
            if fd == self._closing:
                return False
            listener = self._listeners[fd]
            if events & select.EPOLLIN:
                self._take(listener)
            else:  # the last task has gone
                self._ready.unregister(fd)
                del self._listeners[fd]  # a call that is being answered refers to it, too
        return True

    def _take(self, listener: Listener) -> None:
        notification = listener.receive()
        if notification is None:
            return
        self._received.append((listener, notification))
        announced = notify(self._server.fd, fuse.NOTIFY_RETRIEVE, _ANNOUNCE)
        if not announced or self._server.ended.is_set():
            self.proceed()

    def proceed(self) -> None:
        """Once the mount is gone, every call is the host's."""
        with suppress(IndexError):  # there is none, or none any more
            while True:
                listener, notification = self._received.popleft()
                listener.proceed(notification)

    def answer(self, worker: Worker) -> None:
        """Answer the first call that was received; on the thread that leads, when announced."""
        try:
            listener, notification = self._received.popleft()
        except IndexError:
            return  # it was the host's meanwhile
        call = NotifiedCall(self._server, worker, listener, notification)
        result, error = None, 0
        try:
            result = self._table.answer(call)
            self._server.install(call)
        except Errno as problem:
            error = problem.errno
        except (Exception, SystemExit):
            _log.exception("system call %d of a program", call.number)
            error = errno.EIO
        self._server.finish_call(worker, call.caller)
        call.respond(result, error)
