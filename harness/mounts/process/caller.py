# SPDX-License-Identifier: Apache-2.0
"""The task behind a FUSE request, as :class:`harness.kernel.task.Caller`.

The request's header names a thread of the host and its user and group as the mount's user
namespace sees them. All else is read from ``/proc/TID`` when the model first asks for it, which
the common calls never do.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import TYPE_CHECKING

from harness.address_space import AddressSpaces
from harness.host_files import HostFile, copy_fd
from harness.kernel.errors import Errno
from harness.kernel.task import AddressSpace, Credentials, Task, lowest_fd
from harness.kernel.wait import Interruption
from harness.mounts.overlay import directory_on_host
from harness.uapi.fs import RLIMIT_NOFILE

if TYPE_CHECKING:
    from harness.kernel.vfs import OpenFile
    from harness.mounts.process.workers import Worker


_libc = ctypes.CDLL(None, use_errno=True)
_SYS_TGKILL = 234  # x86-64


class ThreadGroups:
    """Which process a thread is of: what was true of its number before, if it still is.

    tgkill(2) of signal 0 says so, in a fraction of the time that ``/proc/TID/status`` takes.
    """

    _MOST = 4096

    def __init__(self) -> None:
        self._known: dict[int, int] = {}

    def of(self, status: TaskStatus) -> int:
        """A process id of the host; a task that has gone keeps its own."""
        tid = status.tid
        known = self._known.get(tid)
        if known is not None and self._is_in(tid, known):
            return known
        group = int(status.field("Tgid") or tid)
        if len(self._known) >= self._MOST:
            self._known.clear()
        self._known[tid] = group
        return group

    @staticmethod
    def _is_in(tid: int, group: int) -> bool:
        """EPERM comes behind the search."""
        sent = _libc.syscall(_SYS_TGKILL, group, tid, 0) == 0
        return sent or ctypes.get_errno() == errno.EPERM


_CAPABILITY_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3


def effective_capabilities(tid: int) -> int:
    """Of a task; none of one that has gone (capget(2), sooner done than a look into /proc)."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION, tid)
    data = ctypes.create_string_buffer(24)
    if _libc.capget(header, data) != 0:
        return 0
    low, _, _, high, _, _ = struct.unpack("=6I", data.raw)
    return int(low | high << 32)


class TaskStatus:
    """``/proc/TID/status``, read once. Every field of a task that has gone is empty."""

    __slots__ = ("_fields", "tid")

    def __init__(self, tid: int) -> None:
        self.tid = tid
        self._fields: dict[str, str] | None = None

    def field(self, name: str) -> str:
        """The text of field ``name``, such as ``Tgid``."""
        if self._fields is None:
            self._fields = self._read()
        return self._fields.get(name, "")

    def number(self, name: str, default: int) -> int:
        """The last number of a field: of ids, the one that the task itself sees."""
        words = self.field(name).split()
        return int(words[-1]) if words else default

    def _read(self) -> dict[str, str]:
        try:
            with open(f"/proc/{self.tid}/status", errors="surrogateescape") as file:
                lines = file.read().splitlines()
        except OSError:
            return {}
        return {name: text.strip() for name, _, text in (line.partition(":") for line in lines)}


class UserNamespace:
    """How ids of tasks are to be read, in a mount whose own user namespace has inode ``inode``.

    With ``per_task`` each task's ids are those of the task's own user namespace. An unprivileged
    host user can map but one id into the mount's namespace, so that every task has the same id
    there; a plain user in the machine is then a task in a nested namespace that calls the same id
    another name.
    """

    __slots__ = ("inode", "per_task")

    def __init__(self, inode: int, *, per_task: bool) -> None:
        self.inode = inode
        self.per_task = per_task

    def owns(self, tid: int) -> bool:
        """Whether the task lives in the mount's own namespace, where its capabilities count."""
        try:
            return os.stat(f"/proc/{tid}/ns/user").st_ino == self.inode
        except OSError:
            return False


def _inner_id(tid: int, kind: str, outer: int) -> int:
    """What the task ``tid`` itself calls the host's id ``outer``; ``kind`` is uid or gid."""
    try:
        with open(f"/proc/{tid}/{kind}_map") as file:
            lines = file.read().splitlines()
    except OSError:
        lines = []
    for line in lines:
        first, lower, count = map(int, line.split())
        if lower <= outer < lower + count:
            return first + outer - lower
    return 65534  # overflowuid


class TaskCredentials(Credentials):
    """Credentials whose groups and capabilities are looked up when first asked for."""

    __slots__ = ("_namespace", "_status", "_tid")
    # Not frozen as its base is: this is made for every open.
    __setattr__ = object.__setattr__

    def __init__(self, uid: int, gid: int, tid: int, namespace: UserNamespace) -> None:
        self.uid = uid  # type: ignore[misc]
        self.gid = gid  # type: ignore[misc]
        self._tid = tid
        self._namespace = namespace
        self._status: TaskStatus | None = None

    def _field(self, name: str) -> str:
        if self._status is None:
            self._status = TaskStatus(self._tid)
        return self._status.field(name)

    @property
    def groups(self) -> frozenset[int]:
        """Supplementary groups, as the host numbers them."""
        return frozenset(map(int, self._field("Groups").split()))

    @property
    def capabilities(self) -> int:
        """The effective set; none for a task in another user namespace than the mount's."""
        return effective_capabilities(self._tid) if self._namespace.owns(self._tid) else 0


class ProcessCaller:
    """See :class:`harness.kernel.task.Caller`."""

    __slots__ = (
        "_credentials",
        "_gid",
        "_interruption",
        "_lasting",
        "_memory",
        "_status",
        "_uid",
        "tid",
        "unique",
        "worker",
    )

    def __init__(
        self, worker: Worker, unique: int, uid: int | None, gid: int | None, tid: int
    ) -> None:
        self.worker = worker
        #: Which request this is; what FUSE_INTERRUPT names.
        self.unique = unique
        #: As the mount's own user namespace has them; None if nobody has told.
        self._uid = uid
        self._gid = gid
        self.tid = tid
        self._credentials: Credentials | None = None
        self._interruption: Interruption | None = None
        self._status: TaskStatus | None = None
        #: A call's memory stays the same while it lasts; that of who opened a file need not.
        self._memory: AddressSpace | None = None
        self._lasting = False

    @property
    def status(self) -> TaskStatus:
        """What /proc says of the task."""
        if self._status is None:
            self._status = TaskStatus(self.tid)
        return self._status

    @property
    def credentials(self) -> Credentials:
        """Ids of the request's header, or of the task's own user namespace."""
        if self._credentials is None:
            namespace = self.worker.server.user_namespace
            uid, gid = self._uid, self._gid
            if uid is None or gid is None or namespace.per_task:
                uid = _inner_id(self.tid, "uid", self.status.number("Uid", 65534))
                gid = _inner_id(self.tid, "gid", self.status.number("Gid", 65534))
            self._credentials = TaskCredentials(uid, gid, self.tid, namespace)
        return self._credentials

    @property
    def task(self) -> Task:
        """Ids in the program's own pid namespace; a task that has gone keeps the host's."""
        status = self.status
        return Task(
            pid=status.number("NStgid", self.tid),
            tid=status.number("NSpid", self.tid),
            comm=status.field("Name"),
        )

    @property
    def process(self) -> int:
        """The task's process id on the host (thread group)."""
        return self.worker.server.thread_groups.of(self.status)

    @property
    def address_space(self) -> AddressSpace:
        """The memory of the task's process, now."""
        if self._memory is not None:
            return self._memory
        spaces: AddressSpaces = self.worker.server.address_spaces
        # A thread whose number is a process's that lives is that process's first.
        memory = spaces.known(self.tid) or spaces.of(self.process)
        if not self._lasting:
            self._memory = memory
        return memory

    def copy_from_user(self, address: int, count: int) -> bytes:
        """Of the task, whatever its memory is: killed or not, it waits for the reply to a request
        that we have read (request_wait_answer: fs/fuse/dev.c, 6.1)."""
        spaces: AddressSpaces = self.worker.server.address_spaces
        return spaces.read(self.tid, address, count)

    def copy_to_user(self, address: int, data: bytes) -> None:
        """See :meth:`copy_from_user`."""
        spaces: AddressSpaces = self.worker.server.address_spaces
        spaces.write(self.tid, address, data)

    @property
    def interruption(self) -> Interruption:
        """Set off by FUSE_INTERRUPT."""
        if self._interruption is None:
            self._interruption = Interruption()
        return self._interruption

    def settle(self) -> None:
        """Look up now what must stay as it is while a file is open, and keep nothing else."""
        self._memory, self._lasting = None, True
        credentials = self.credentials
        if isinstance(credentials, TaskCredentials):
            self._credentials = Credentials(
                credentials.uid, credentials.gid, credentials.groups, credentials.capabilities
            )

    @property
    def cwd(self) -> str:
        """As the task's own mount namespace has it; "/" of a task that has gone."""
        try:
            return os.readlink(f"/proc/{self.tid}/cwd")
        except OSError:
            return "/"

    def on_host(self, path: str) -> str | None:
        """See :func:`harness.mounts.overlay.directory_on_host`."""
        return directory_on_host(path)

    def rlimit(self, resource: int) -> int:
        """The soft limit; unlimited is 2**64 - 1."""
        from resource import prlimit

        try:
            soft, _ = prlimit(self.tid, resource)
        except OSError as error:
            raise Errno(error.errno or errno.ESRCH) from None
        return soft & 0xFFFF_FFFF_FFFF_FFFF

    def file(self, fd: int) -> OpenFile | HostFile:
        """See :class:`harness.kernel.task.Caller`; with the machine's lock held."""
        copy = copy_fd(self.process, fd)
        open_file = self.worker.server.identify(self.worker, copy, locked=True)
        if open_file is None:
            return HostFile(self.worker.server.holder, self.process, fd, copy)
        os.close(copy)
        return open_file

    def check_unused_fd(self) -> None:
        """See :class:`harness.kernel.task.Caller`. Another thread may take the last one yet."""
        try:
            taken = {int(name) for name in os.listdir(f"/proc/{self.tid}/fd")}
        except OSError as error:
            raise Errno(error.errno or errno.ESRCH) from None
        lowest_fd(taken, 0, self.rlimit(RLIMIT_NOFILE))

    def install(self, open_file: OpenFile) -> int:
        """Only the caller of a notified system call can be given an fd: see
        :mod:`harness.uapi.fd_commands`."""
        raise NotImplementedError(f"a call through FUSE makes no fd ({open_file!r})")

    def blocking(self) -> None:
        """Let another thread serve while this call waits."""
        self.worker.block(self)
