# SPDX-License-Identifier: Apache-2.0
"""The target ``model``: the agent's operations straight into the fake kernel."""

from __future__ import annotations

import errno
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from attrs import evolve

from harness.agent.program import FIRST_TASK, Field, Message, Op, Status
from harness.conformance.targets import HARMLESS, USERS, Target
from harness.kernel.errors import Errno
from harness.kernel.system import Kernel
from harness.kernel.system_calls import DescriptorCaller, SystemCalls, UnableError, ownership
from harness.kernel.task import Area
from harness.kernel.task import Task as KernelTask
from harness.kernel.unknown import UnknownUapi
from harness.kernel.vfs import Changes, Stat
from harness.kernel.wait import Interruption
from harness.machine import Machine, load_machine
from harness.uapi.fs import MAP_ANONYMOUS, PROT_WRITE

_ENTRY_HEAD = 19
_SIGBUS, _SIGSEGV = 7, 11

Answer = int | tuple[int, list[Field]]


def _text(path: bytes) -> str:
    return path.decode(errors="surrogateescape")


def stat_fields(status: Stat) -> Answer:
    """A stat as the protocol has it."""
    return 0, [
        status.ino,
        status.mode,
        status.nlink,
        status.uid,
        status.gid,
        status.size,
        status.rdev,
    ]


class _KilledError(Exception):
    """The call was a touch of memory that ends the process, with ``signal``."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


class ModelTask:
    """System calls of one task. Methods are named for operations and take their arguments."""

    def __init__(self, endpoint: ModelEndpoint, caller: DescriptorCaller) -> None:
        self.endpoint = endpoint
        self.kernel = endpoint.kernel
        self.caller = caller
        self.calls = SystemCalls(self.kernel, caller)
        self.children: dict[int, ModelTask] = {}
        #: What the case has mapped, and may touch: address and length.
        self.ranges: dict[int, int] = {}
        #: All threads of this process; the first is the one that fork made.
        self.process: list[ModelTask] = [self]
        self.status: int | None = None
        self.busy = False

    # --- files

    def open(self, path: bytes, flags: int, mode: int) -> Answer:
        """An fd."""
        return self.calls.open(_text(path), flags, mode)

    def close(self, fd: int) -> Answer:
        """0."""
        self.calls.close(fd)
        return 0

    def dup(self, fd: int) -> Answer:
        """An fd."""
        return self.calls.dup(fd)

    def read(self, fd: int, count: int) -> Answer:
        """How much, and the data."""
        data = self.calls.read(fd, count)
        return len(data), [data]

    def pread(self, fd: int, count: int, offset: int) -> Answer:
        """How much, and the data."""
        data = self.calls.pread(fd, count, offset)
        return len(data), [data]

    def write(self, fd: int, data: bytes) -> Answer:
        """How much was taken."""
        return self.calls.write(fd, data)

    def pwrite(self, fd: int, data: bytes, offset: int) -> Answer:
        """How much was taken."""
        return self.calls.pwrite(fd, data, offset)

    def lseek(self, fd: int, offset: int, whence: int) -> Answer:
        """The new position."""
        return self.calls.lseek(fd, offset, whence)

    def ioctl(self, fd: int, command: int, argument: int) -> Answer:
        """What the driver answers."""
        return self.calls.ioctl(fd, command, argument)

    def eventfd(self, initial: int, flags: int) -> Answer:
        """An fd."""
        return self.calls.eventfd(initial, flags)

    def memfd(self, name: bytes, flags: int) -> Answer:
        """An fd."""
        return self.calls.memfd_create(_text(name), flags)

    def poll(self, timeout: int, *pairs: int) -> Answer:
        """How many are ready, and what of each. ``timeout`` in ms, -1 for ever."""
        ready = self.calls.poll(list(zip(pairs[::2], pairs[1::2], strict=True)), timeout)
        return sum(map(bool, ready)), list(ready)

    def epoll(self, fd: int, events: int, timeout: int) -> Answer:
        """How many are ready, and what of it. ``timeout`` in ms, -1 for ever."""
        ready = self.calls.epoll(fd, events, timeout)
        return int(bool(ready)), [ready]

    # --- memory

    def mmap(self, length: int, prot: int, flags: int, fd: int, offset: int) -> Answer:
        """An address."""
        if flags & MAP_ANONYMOUS:
            memory = self.caller.address_space
            address = memory.allocate(length, writable=bool(prot & PROT_WRITE))
        else:
            address = self.calls.mmap(length, prot, flags, fd, offset)
        self.ranges[address] = length
        return address

    def munmap(self, address: int, length: int) -> Answer:
        """0. Only a whole mapping, as in the agents."""
        if self.ranges.get(address) != length:
            raise Errno(errno.EINVAL)
        del self.ranges[address]
        self.calls.munmap(address)
        return 0

    def load(self, address: int, size: int) -> Answer:
        """What is there."""
        return 0, [int.from_bytes(self._touch(address, size), "little")]

    def store(self, address: int, size: int, value: int) -> Answer:
        """0."""
        self._change(address, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))
        return 0

    def peek(self, address: int, count: int) -> Answer:
        """A copy of memory; EFAULT outside of it."""
        return count, [self._touch(address, count)]

    def poke(self, address: int, data: bytes) -> Answer:
        """Copy into memory; EFAULT outside of it."""
        self._change(address, data)
        return 0

    def _find(self, address: int, count: int) -> tuple[Area, int]:
        for start, length in self.ranges.items():
            if start <= address and address + count <= start + length:
                return self.caller.address_space.find(address, count)
        raise Errno(errno.EFAULT)

    def _touch(self, address: int, count: int) -> bytes:
        area, offset = self._find(address, count)
        with self.kernel.lock:
            try:
                return area.read(offset, count)
            except Errno:
                raise _KilledError(_SIGBUS) from None

    def _change(self, address: int, data: bytes) -> None:
        area, offset = self._find(address, len(data))
        if not area.writable:
            raise _KilledError(_SIGSEGV)
        with self.kernel.lock:
            try:
                area.write(offset, data)
            except Errno:
                raise _KilledError(_SIGBUS) from None

    # --- names

    def stat(self, path: bytes) -> Answer:
        """The node's fields."""
        return stat_fields(self.calls.stat(_text(path)))

    def lstat(self, path: bytes) -> Answer:
        """The node's fields."""
        return stat_fields(self.calls.stat(_text(path), follow=False))

    def fstat(self, fd: int) -> Answer:
        """The node's fields."""
        return stat_fields(self.calls.fstat(fd))

    def access(self, path: bytes, mode: int) -> Answer:
        """0."""
        self.calls.access(_text(path), mode)
        return 0

    def readlink(self, path: bytes) -> Answer:
        """How long it is, and the target."""
        data = self.calls.readlink(_text(path)).encode(errors="surrogateescape")
        return len(data), [data]

    def getdents(self, fd: int, count: int) -> Answer:
        """As many whole entries as fit into ``count`` bytes; EINVAL if not one."""
        entries = self.calls.iterate_dir(fd)
        fields: list[Field] = []
        used = 0
        for name, child in entries:
            data = name.encode(errors="surrogateescape")
            size = (_ENTRY_HEAD + len(data) + 1 + 7) & ~7
            if used + size > count:
                if not used:
                    raise Errno(errno.EINVAL)
                break
            used += size
            self.caller.descriptions[fd].position += 1
            fields += [child.ino, stat.S_IFMT(child.mode) >> 12, data]
        return used, fields

    def mkdir(self, path: bytes, mode: int) -> Answer:
        """0."""
        self.calls.mkdir(_text(path), mode)
        return 0

    def rmdir(self, path: bytes) -> Answer:
        """0."""
        self.calls.rmdir(_text(path))
        return 0

    def unlink(self, path: bytes) -> Answer:
        """0."""
        self.calls.unlink(_text(path))
        return 0

    def rename(self, old: bytes, new: bytes) -> Answer:
        """0."""
        self.calls.rename(_text(old), _text(new))
        return 0

    def symlink(self, target: bytes, path: bytes) -> Answer:
        """0."""
        self.calls.symlink(_text(target), _text(path))
        return 0

    def link(self, old: bytes, new: bytes) -> Answer:
        """0."""
        self.calls.link(_text(old), _text(new))
        return 0

    def mknod(self, path: bytes, mode: int, rdev: int) -> Answer:
        """0."""
        self.calls.mknod(_text(path), mode, rdev)
        return 0

    def truncate(self, path: bytes, length: int) -> Answer:
        """0."""
        self.calls.truncate(_text(path), length)
        return 0

    def ftruncate(self, fd: int, length: int) -> Answer:
        """0."""
        self.calls.ftruncate(fd, length)
        return 0

    def chmod(self, path: bytes, mode: int) -> Answer:
        """0."""
        self.calls.change(_text(path), Changes(mode=mode))
        return 0

    def chown(self, path: bytes, uid: int, gid: int) -> Answer:
        """0."""
        self.calls.change(_text(path), ownership(uid, gid))
        return 0

    # --- tasks

    def fork(self) -> Answer:
        """kernel_clone: the same descriptions, a copy of the memory and of who we are."""
        number, child = self.endpoint.new_task(self.caller)
        for fd, description in self.caller.descriptions.items():
            description.references += 1
            child.caller.descriptions[fd] = description
        for address, description in self.caller.mapped.items():
            description.references += 1
            child.caller.mapped[address] = description
        child.ranges = dict(self.ranges)
        pid = child.caller.task.pid
        self.children[pid] = child
        return number, [pid]

    def thread(self) -> Answer:
        """kernel_clone of a thread: the same memory, fds and limits, and who we are for now."""
        number, thread = self.endpoint.new_thread(self.caller)
        thread.children = self.children
        thread.ranges = self.ranges
        thread.process = self.process
        self.process.append(thread)
        return number, [thread.caller.task.tid]

    def exit(self, status: int) -> Answer:
        """do_exit of a thread, do_group_exit of the first one."""
        if self is self.process[0]:
            self.end((status & 0xFF) << 8)
        else:
            self.status = 0
        return 0

    def end(self, status: int) -> None:
        """The end of the process."""
        self.calls.exit()
        for task in self.process:
            task.status = status

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
        """Ends the process, as an unhandled signal does; 0 only asks whether it is there."""
        if signal:
            self.end(signal)
        return 0

    def interrupt(self) -> Answer:
        """A signal with a handler arrives: the call that was started answers EINTR."""
        with self.kernel.lock:
            if self.busy:
                self.caller.interruption.interrupt()
        return 0

    def setuid(self, uid: int, gid: int, *groups: int) -> Answer:
        """0."""
        self.calls.setuid(uid, gid, frozenset(groups))
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


class ModelEndpoint:
    """All tasks of one case in the model. ``dirty``: the machine may have changed."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.dirty = False
        self.tasks: dict[int, ModelTask] = {}
        self.new_task(DescriptorCaller())

    def new_task(self, parent: DescriptorCaller) -> tuple[int, ModelTask]:
        """A task that is like ``parent`` but for its numbers, and its number."""
        pid = self._next_pid()
        caller = DescriptorCaller(
            credentials=parent.credentials,
            task=KernelTask(pid, pid, "case"),
            address_space=parent.address_space.forked(),
            interruption=Interruption(),
            limits=dict(parent.limits),
        )
        return self._add(ModelTask(self, caller))

    def new_thread(self, parent: DescriptorCaller) -> tuple[int, ModelTask]:
        """A task that shares everything with ``parent`` but its thread id, and its number."""
        task = evolve(parent.task, tid=self._next_pid())
        caller = evolve(parent, task=task, interruption=Interruption())
        return self._add(ModelTask(self, caller))

    def _next_pid(self) -> int:
        return 1000 + len(self.tasks) + FIRST_TASK

    def _add(self, task: ModelTask) -> tuple[int, ModelTask]:
        number = len(self.tasks) + FIRST_TASK
        self.tasks[number] = task
        return number, task

    def perform(self, task: int, op: Op, fields: tuple[Field, ...], seconds: float) -> Message:
        """See :class:`harness.conformance.call.Endpoint`; who runs the case ends what hangs."""
        empty = Message(op, 0, task)
        self.dirty = self.dirty or op not in HARMLESS
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
        except _KilledError as killed:
            self.tasks[task].end(killed.signal)
            return empty._replace(status=Status.GONE)
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


class KeptMachine:
    """A machine for each case, or for several that change nothing."""

    def __init__(self) -> None:
        self._machine: Machine | None = None
        self._what = ("", "")
        #: What the last case asked for that the machine has nothing for.
        self.unknown: tuple[str, ...] = ()

    def get(self, name: str, profile: str) -> Machine:
        """The machine, as if it were new."""
        if self._machine is None or self._what != (name, profile):
            self._machine, self._what = load_machine(name, profile=profile), (name, profile)
        return self._machine

    @contextmanager
    def used_by(self, endpoint: ModelEndpoint) -> Iterator[ModelEndpoint]:
        """The endpoint, which is closed at the end; the machine is kept if it may be."""
        machine, self._machine = self._machine, None
        unknown = UnknownUapi()
        endpoint.kernel.trace.observers.append(unknown)
        try:
            yield endpoint
        finally:
            endpoint.kernel.trace.observers.remove(unknown)
            endpoint.close()
            self.unknown = tuple(unknown.lines())
        if not endpoint.dirty:
            self._machine = machine


class ModelTarget(Target):
    """A machine of the model."""

    name = "model"
    features = frozenset({USERS})

    def __init__(self) -> None:
        self._kept = KeptMachine()

    @contextmanager
    def open(self, machine: str, profile: str) -> Iterator[ModelEndpoint]:
        """See :class:`harness.conformance.targets.Target`."""
        endpoint = ModelEndpoint(self._kept.get(machine, profile).kernel)
        try:
            with self._kept.used_by(endpoint):
                yield endpoint
        finally:
            self.unknown = self._kept.unknown
