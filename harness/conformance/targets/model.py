# SPDX-License-Identifier: Apache-2.0
"""The target ``model``: the agent's operations straight into the fake kernel.

What the kernel's system call layer does above node and file operations is here: fd tables, file
positions, the last step of a path. Sources: fs/{open,namei,read_write,stat,readdir,select}.c, 6.1.
"""

from __future__ import annotations

import errno
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from attrs import define, evolve, field

from harness.agent.program import FIRST_TASK, Field, Message, Op, Status
from harness.conformance.call import Endpoint
from harness.kernel.errors import Errno
from harness.kernel.system import Kernel
from harness.kernel.task import Credentials, LocalCaller, LocalMemory
from harness.kernel.task import Task as KernelTask
from harness.kernel.vfs import Changes, Node, OpenFile, Stat, is_directory
from harness.kernel.wait import Interruption, WaitQueue
from harness.machine import load_machine
from harness.uapi.fs import (
    O_ACCMODE,
    O_CREAT,
    O_EXCL,
    O_NOFOLLOW,
    O_PATH,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    POLLERR,
    POLLHUP,
    POLLNVAL,
)

_CAP_SETUID = 7
_MAP_ANONYMOUS = 0x20
_NOBODY = -1
_ENTRY_HEAD = 19

Answer = int | tuple[int, list[Field]]


class UnableError(Exception):
    """The model has no such thing; the text says what."""


@define(eq=False)
class Description:
    """An open file description: position, flags and how many fds refer to it (struct file)."""

    open_file: OpenFile
    flags: int
    position: int = 0
    references: int = 1

    def check_readable(self) -> None:
        """EBADF unless it was opened for reading (vfs_read)."""
        if self.flags & O_ACCMODE not in (0, O_RDWR):
            raise Errno(errno.EBADF)

    def check_writable(self) -> None:
        """EBADF unless it was opened for writing (vfs_write)."""
        if self.flags & O_ACCMODE not in (O_WRONLY, O_RDWR):
            raise Errno(errno.EBADF)


@define(eq=False)
class ModelCaller(LocalCaller):
    """A task of the model whose fds are open file descriptions."""

    descriptions: dict[int, Description] = field(factory=dict)

    def description(self, fd: int) -> Description:
        """EBADF if ``fd`` is not open (fdget)."""
        try:
            return self.descriptions[fd]
        except KeyError:
            raise Errno(errno.EBADF) from None

    def file(self, fd: int) -> OpenFile:
        """See :class:`harness.kernel.task.Caller`."""
        return self.description(fd).open_file

    def install(self, open_file: OpenFile) -> int:
        """See :class:`harness.kernel.task.Caller`."""
        return self.add(Description(open_file, O_RDWR))

    def add(self, description: Description) -> int:
        """The lowest free fd (alloc_fd); 0 to 2 are taken, as in any program."""
        fd = next(n for n in range(3, len(self.descriptions) + 4) if n not in self.descriptions)
        self.descriptions[fd] = description
        return fd


def _text(path: bytes) -> str:
    return path.decode(errors="surrogateescape")


def _stat_fields(status: Stat) -> Answer:
    return 0, [
        status.ino,
        status.mode,
        status.nlink,
        status.uid,
        status.gid,
        status.size,
        status.rdev,
    ]


def _parent(node: Node) -> Node:
    return node.parent if node.parent is not None else node


def _entries(directory: Node, children: list[Node]) -> list[tuple[str, Node]]:
    """What getdents shows: ``.``, ``..`` and the children."""
    named = [(child.name, child) for child in children]
    return [(".", directory), ("..", _parent(directory)), *named]


class _Queues:
    """Collects what poll methods would wait for (poll_wqueues)."""

    def __init__(self) -> None:
        self.woken = WaitQueue()
        self._queues: list[WaitQueue] = []

    def add(self, queue: WaitQueue) -> None:
        queue.add(self.woken.wake)
        self._queues.append(queue)

    def remove(self) -> None:
        for queue in self._queues:
            queue.remove(self.woken.wake)


class ModelTask:
    """System calls of one task. Methods are named for operations and take their arguments."""

    def __init__(self, endpoint: ModelEndpoint, caller: ModelCaller) -> None:
        self.endpoint = endpoint
        self.kernel = endpoint.kernel
        self.caller = caller
        self.children: dict[int, ModelTask] = {}
        self.status: int | None = None
        self.busy = False

    # --- paths

    def _call(self, operation: str, target: Any, *arguments: Any) -> Any:
        return self.kernel.call(self.caller, operation, target, *arguments)

    def _walk(self, path: bytes, *, follow: bool = True) -> Node:
        return self.kernel.walk(self.caller, _text(path), follow=follow)

    def _last(self, path: bytes) -> tuple[Node, str]:
        """The directory of the last name, and the name (filename_parentat)."""
        text = _text(path).rstrip("/")
        if not path:
            raise Errno(errno.ENOENT)
        directory, _, name = text.rpartition("/")
        if name in ("", ".", ".."):
            raise UnableError(f"the model takes no path that ends in {name or '/'!r} here")
        return self.kernel.walk(self.caller, f"{directory}/"), name

    # --- files

    def open(self, path: bytes, flags: int, mode: int) -> Answer:
        """do_filp_open, do_open and handle_truncate (fs/namei.c)."""
        if flags & O_PATH:
            raise UnableError("the model has no O_PATH")
        node = self._node_to_open(path, flags, mode)
        description = Description(self._call("open", node, flags), flags)
        if flags & O_TRUNC:
            self._call("setattr", node, Changes(size=0))
        return self.caller.add(description)

    def _node_to_open(self, path: bytes, flags: int, mode: int) -> Node:
        follow = not flags & O_NOFOLLOW
        if not flags & O_CREAT:
            return self._walk(path, follow=follow)
        try:
            node = self._walk(path, follow=follow and not flags & O_EXCL)
        except Errno as error:
            if error.errno != errno.ENOENT:
                raise
            directory, name = self._last(path)
            created = self._call("create", directory, name, mode)
            assert isinstance(created, Node)
            return created
        if flags & O_EXCL:
            raise Errno(errno.EEXIST)
        if is_directory(node):
            raise Errno(errno.EISDIR)
        return node

    def close(self, fd: int) -> Answer:
        """The last close of a description releases the file (fput)."""
        description = self.caller.description(fd)
        del self.caller.descriptions[fd]
        self._put(description)
        return 0

    def _put(self, description: Description) -> None:
        description.references -= 1
        if not description.references:
            self.kernel.release(description.open_file)

    def dup(self, fd: int) -> Answer:
        """Another fd of the same description."""
        description = self.caller.description(fd)
        description.references += 1
        return self.caller.add(description)

    def read(self, fd: int, count: int) -> Answer:
        """ksys_read: at the position, which moves on."""
        description = self.caller.description(fd)
        description.check_readable()
        data: bytes = self._call("read", description.open_file, description.position, count)
        description.position += len(data)
        return len(data), [data]

    def pread(self, fd: int, count: int, offset: int) -> Answer:
        """ksys_pread64: a negative offset is looked at first."""
        description = self._positioned(fd, offset)
        description.check_readable()
        data: bytes = self._call("read", description.open_file, offset, count)
        return len(data), [data]

    def write(self, fd: int, data: bytes) -> Answer:
        """ksys_write: at the position, which moves on."""
        description = self.caller.description(fd)
        description.check_writable()
        written: int = self._call("write", description.open_file, description.position, data)
        description.position += written
        return written

    def pwrite(self, fd: int, data: bytes, offset: int) -> Answer:
        """ksys_pwrite64."""
        description = self._positioned(fd, offset)
        description.check_writable()
        return int(self._call("write", description.open_file, offset, data))

    def _positioned(self, fd: int, offset: int) -> Description:
        if offset < 0:
            raise Errno(errno.EINVAL)
        description = self.caller.description(fd)
        if not description.open_file.seekable:
            raise Errno(errno.ESPIPE)
        return description

    def lseek(self, fd: int, offset: int, whence: int) -> Answer:
        """ksys_lseek."""
        description = self.caller.description(fd)
        position = description.position
        new: int = self._call("lseek", description.open_file, position, offset, whence)
        description.position = new
        return new

    def ioctl(self, fd: int, command: int, argument: int) -> Answer:
        """vfs_ioctl."""
        open_file = self.caller.description(fd).open_file
        return int(self._call("ioctl", open_file, command, argument))

    # --- poll

    def poll(self, timeout: int, *pairs: int) -> Answer:
        """do_poll: sleeps until something is ready; ``timeout`` in ms, -1 for ever."""
        watched = list(zip(pairs[::2], pairs[1::2], strict=True))
        queues = _Queues()
        scheduler = self.kernel.scheduler
        ready = [self._poll_one(fd, events, queues) for fd, events in watched]

        def woken() -> bool:
            ready[:] = [self._repoll(fd, events) for fd, events in watched]
            return any(ready)

        if not any(ready) and timeout:
            seconds = None if timeout < 0 else timeout / 1000
            with scheduler.lock:
                scheduler.wait(self.caller, queues.woken, woken, seconds)
        queues.remove()
        return sum(map(bool, ready)), list(ready)

    def _poll_one(self, fd: int, events: int, queues: _Queues) -> int:
        """do_pollfd: what is ready of ``events``; POLLNVAL for what is no fd."""
        description = self.caller.descriptions.get(fd)
        if description is None:
            return POLLNVAL
        mask: int = self._call("poll", description.open_file, queues)
        return mask & (events | POLLERR | POLLHUP)

    def _repoll(self, fd: int, events: int) -> int:
        """The same again after a wake, with the machine's lock held already."""
        description = self.caller.descriptions[fd]
        mask = description.open_file.poll(self.caller, _Queues())
        return mask & (events | POLLERR | POLLHUP)

    # --- memory

    def mmap(self, length: int, prot: int, flags: int, fd: int, offset: int) -> Answer:
        """Anonymous memory only; a file's mmap method is asked, then its pages are refused."""
        if flags & _MAP_ANONYMOUS:
            return self.caller.address_space.allocate(length)
        open_file = self.caller.description(fd).open_file
        self._call("mmap", open_file, offset, length, prot, flags)
        raise UnableError("the model target maps no files")

    def munmap(self, address: int, length: int) -> Answer:
        """Nothing to do: buffers live as long as their task."""
        self.caller.address_space.read(address, length)
        return 0

    def peek(self, address: int, count: int) -> Answer:
        """A copy of memory; EFAULT outside of it."""
        return count, [self.caller.address_space.read(address, count)]

    def poke(self, address: int, data: bytes) -> Answer:
        """Copy into memory; EFAULT outside of it."""
        self.caller.address_space.write(address, data)
        return 0

    # --- names

    def stat(self, path: bytes) -> Answer:
        """vfs_stat."""
        return _stat_fields(self._call("getattr", self._walk(path)))

    def lstat(self, path: bytes) -> Answer:
        """vfs_lstat."""
        return _stat_fields(self._call("getattr", self._walk(path, follow=False)))

    def fstat(self, fd: int) -> Answer:
        """vfs_fstat."""
        return _stat_fields(self._call("getattr", self.caller.description(fd).open_file.node))

    def access(self, path: bytes, mode: int) -> Answer:
        """do_faccessat: the mode bits alone, whatever an open would answer."""
        node = self._walk(path)
        if mode:
            self._call("permission", node, mode)
        return 0

    def readlink(self, path: bytes) -> Answer:
        """do_readlinkat."""
        target: str = self._call("readlink", self._walk(path, follow=False))
        data = target.encode(errors="surrogateescape")
        return len(data), [data]

    def getdents(self, fd: int, count: int) -> Answer:
        """iterate_dir: as many whole entries as fit into ``count`` bytes; EINVAL if not one."""
        description = self.caller.description(fd)
        node = description.open_file.node
        if not is_directory(node):
            raise Errno(errno.ENOTDIR)
        entries = _entries(node, self._call("readdir", node))
        fields: list[Field] = []
        used = 0
        for name, child in entries[description.position :]:
            data = name.encode(errors="surrogateescape")
            size = (_ENTRY_HEAD + len(data) + 1 + 7) & ~7
            if used + size > count:
                if not used:
                    raise Errno(errno.EINVAL)
                break
            used += size
            description.position += 1
            fields += [child.ino, stat.S_IFMT(child.mode) >> 12, data]
        return used, fields

    def mkdir(self, path: bytes, mode: int) -> Answer:
        """do_mkdirat."""
        self._call("mkdir", *self._last(path), mode)
        return 0

    def rmdir(self, path: bytes) -> Answer:
        """do_rmdir."""
        self._call("rmdir", *self._last(path))
        return 0

    def unlink(self, path: bytes) -> Answer:
        """do_unlinkat."""
        self._call("unlink", *self._last(path))
        return 0

    def rename(self, old: bytes, new: bytes) -> Answer:
        """do_renameat2."""
        self._call("rename", *self._last(old), *self._last(new))
        return 0

    def symlink(self, target: bytes, path: bytes) -> Answer:
        """do_symlinkat."""
        self._call("symlink", *self._last(path), _text(target))
        return 0

    def link(self, old: bytes, new: bytes) -> Answer:
        """do_linkat."""
        source = self._walk(old, follow=False)
        self._call("link", *self._last(new), source)
        return 0

    def mknod(self, path: bytes, mode: int, rdev: int) -> Answer:
        """do_mknodat: a regular file is made as open makes it, but must not be there."""
        directory, name = self._last(path)
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            self._call("mknod", directory, name, mode, rdev)
            return 0
        self._node_to_open(path, O_CREAT | O_EXCL, mode)
        return 0

    def truncate(self, path: bytes, length: int) -> Answer:
        """do_sys_truncate, vfs_truncate."""
        if length < 0:
            raise Errno(errno.EINVAL)
        node = self._walk(path)
        if is_directory(node):
            raise Errno(errno.EISDIR)
        if not stat.S_ISREG(node.mode):
            raise Errno(errno.EINVAL)
        self._call("setattr", node, Changes(size=length))
        return 0

    def ftruncate(self, fd: int, length: int) -> Answer:
        """do_sys_ftruncate: EINVAL, not EBADF, for what was not opened for writing."""
        if length < 0:
            raise Errno(errno.EINVAL)
        description = self.caller.description(fd)
        node = description.open_file.node
        if not stat.S_ISREG(node.mode) or description.flags & O_ACCMODE not in (O_WRONLY, O_RDWR):
            raise Errno(errno.EINVAL)
        with self.kernel.lock:
            # Permission was checked at open; vfs_setattr would check it once more.
            node.setattr(self.caller, Changes(size=length))
        return 0

    def chmod(self, path: bytes, mode: int) -> Answer:
        """do_fchmodat."""
        self._call("setattr", self._walk(path), Changes(mode=mode))
        return 0

    def chown(self, path: bytes, uid: int, gid: int) -> Answer:
        """do_fchownat: -1 leaves one alone."""
        changes = Changes(uid=None if uid == _NOBODY else uid, gid=None if gid == _NOBODY else gid)
        self._call("setattr", self._walk(path), changes)
        return 0

    # --- tasks

    def fork(self) -> Answer:
        """kernel_clone: the same descriptions, a copy of the memory and of who we are."""
        number, child = self.endpoint.new_task(self.caller)
        for fd, description in self.caller.descriptions.items():
            description.references += 1
            child.caller.descriptions[fd] = description
        pid = child.caller.task.pid
        self.children[pid] = child
        return number, [pid]

    def exit(self, status: int) -> Answer:
        """do_exit: every fd is closed."""
        for fd in list(self.caller.descriptions):
            self.close(fd)
        self.status = (status & 0xFF) << 8
        return 0

    def wait(self, pid: int) -> Answer:
        """kernel_wait4 of a child that has ended; ECHILD if it is none of ours."""
        child = self.children.get(pid)
        if child is None:
            raise Errno(errno.ECHILD)
        if child.status is None:
            raise UnableError("the model waits only for tasks that have ended")
        del self.children[pid]
        return child.status

    def kill(self, signal: int) -> Answer:
        """Ends the task, as an unhandled signal does; 0 only asks whether it is there."""
        if signal:
            self.exit(0)
            self.status = signal
        return 0

    def interrupt(self) -> Answer:
        """A signal with a handler arrives: the call that was started answers EINTR."""
        with self.kernel.lock:
            if self.busy:
                self.caller.interruption.interrupt()
        return 0

    def setuid(self, uid: int, gid: int, *groups: int) -> Answer:
        """setgroups, setgid and setuid: EPERM without CAP_SETUID; no capabilities but for root."""
        if not self.caller.credentials.capable(_CAP_SETUID):
            raise Errno(errno.EPERM)
        capabilities = self.caller.credentials.capabilities if uid == 0 else 0
        self.caller.credentials = Credentials(uid, gid, frozenset(groups), capabilities)
        return 0

    def drop_capabilities(self, *capabilities: int) -> Answer:
        """capset without these, or without any."""
        credentials = self.caller.credentials
        lost = sum(1 << number for number in capabilities) if capabilities else -1
        self.caller.credentials = evolve(credentials, capabilities=credentials.capabilities & ~lost)
        return 0

    def setrlimit(self, resource: int, soft: int) -> Answer:
        """prlimit64."""
        self.caller.limits[resource] = soft
        return 0


def _copy(memory: LocalMemory) -> LocalMemory:
    """What a child has after fork: the same content, none of it locked (dup_mm)."""
    child = deepcopy(memory)
    child.locked_pages = 0
    return child


class ModelEndpoint:
    """All tasks of one case in the model."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.tasks: dict[int, ModelTask] = {}
        self.new_task(ModelCaller())

    def new_task(self, parent: ModelCaller) -> tuple[int, ModelTask]:
        """A task that is like ``parent`` but for its numbers, and its number."""
        number = len(self.tasks) + FIRST_TASK
        pid = 1000 + number
        caller = ModelCaller(
            credentials=parent.credentials,
            task=KernelTask(pid, pid, "case"),
            address_space=_copy(parent.address_space),
            interruption=Interruption(),
            limits=dict(parent.limits),
        )
        self.tasks[number] = ModelTask(self, caller)
        return number, self.tasks[number]

    def perform(self, task: int, op: Op, fields: tuple[Field, ...], seconds: float) -> Message:
        """See :class:`harness.conformance.call.Endpoint`; who runs the case ends what hangs."""
        empty = Message(op, 0, task)
        if self.tasks[task].status is not None:
            return empty._replace(status=Status.NO_TASK)
        function: Callable[..., Answer] | None = getattr(self.tasks[task], op.name.lower(), None)
        if function is None:
            return empty._replace(status=Status.UNKNOWN)
        try:
            answer = function(*fields)
        except Errno as error:
            return empty._replace(result=-1, error=error.errno)
        except UnableError as problem:
            text = str(problem).encode()
            return empty._replace(status=Status.UNABLE, fields=(text,))
        result, data = (answer, []) if isinstance(answer, int) else answer
        return empty._replace(result=result, fields=tuple(data))

    def begin(self, task: int, op: Op, fields: tuple[Field, ...]) -> Future[Message]:
        """The call on a thread of its own, so that it may block."""
        maker = self.tasks[task]
        maker.busy = True
        future: Future[Message] = Future()

        def run() -> None:
            message = self.perform(task, op, fields, 0)
            with self.kernel.lock:
                maker.busy = False
                maker.caller.interruption.pending = False
            future.set_result(message)

        threading.Thread(target=run, name=f"{op.name} of task {task}", daemon=True).start()
        return future

    def close(self) -> None:
        """Everything that is still open is closed, as at the death of a program."""
        for task in self.tasks.values():
            if task.status is None:
                task.exit(0)


class ModelTarget:
    """A machine of the model for each case."""

    name = "model"
    features = frozenset[str]()

    @contextmanager
    def open(self, machine: str, profile: str) -> Iterator[Endpoint]:
        """See :class:`harness.conformance.targets.Target`."""
        endpoint = ModelEndpoint(load_machine(machine, profile=profile).kernel)
        try:
            yield endpoint
        finally:
            endpoint.close()
