# SPDX-License-Identifier: Apache-2.0
"""The targets ``vm:KERNEL``: a real kernel in a virtual machine.

One boot serves many cases. A case that may have changed something is followed by a reset, which
takes the accelerators and their driver away and brings them back; where that does not lead to the
state after boot, or the kernel died, the next case has a new boot.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress

from attrs import define, field

from harness.agent.client import AgentError
from harness.agent.program import FIRST_TASK, Field, Message, Op
from harness.conformance.call import Endpoint, TaskGoneError
from harness.conformance.results import NotRunnableError
from harness.conformance.targets import Target
from harness.vm import kernels
from harness.vm.guest import machine_for
from harness.vm.qemu import VmError, program
from harness.vm.session import Session

_SIGKILL = 9
#: After these the machine is as before, once all tasks are gone.
_HARMLESS = frozenset(
    {
        *(Op.HELLO, Op.OPEN, Op.CLOSE, Op.READ, Op.PREAD, Op.LSEEK, Op.POLL, Op.MMAP, Op.MUNMAP),
        *(Op.LOAD, Op.PEEK, Op.POKE, Op.STAT, Op.LSTAT, Op.FSTAT, Op.ACCESS, Op.READLINK),
        *(Op.GETDENTS, Op.DUP, Op.EVENTFD, Op.FORK, Op.THREAD, Op.EXEC, Op.EXIT, Op.WAIT, Op.KILL),
        *(Op.INTERRUPT, Op.SETUID, Op.DROP_CAPABILITIES, Op.SETRLIMIT),
    }
)


class VmTarget(Target):
    """Cases on the kernel of this name, one virtual machine at a time."""

    features = frozenset({"exec"})

    def __init__(self, kernel: str) -> None:
        self.name = f"vm:{kernel}"
        self._kernel = kernel
        self._machine = ""
        self._session: Session | None = None

    def prepare(self, profile: str) -> None:
        """See :class:`harness.conformance.targets.Target`; downloads and builds what is missing."""
        if profile != self._kernel:
            raise NotRunnableError(f"{self.name} is the kernel {self._kernel}, not {profile}")
        try:
            program()
            kernels.build(self._kernel)
        except (VmError, kernels.KernelError) as error:
            raise NotRunnableError(str(error)) from error

    @contextmanager
    def open(self, machine: str, profile: str) -> Iterator[Endpoint]:
        """See :class:`harness.conformance.targets.Target`."""
        try:
            session = self._booted(machine)
        except (VmError, AgentError, kernels.KernelError) as error:
            raise NotRunnableError(str(error)) from error
        try:
            endpoint = VmEndpoint(session)
            try:
                yield endpoint
            finally:
                endpoint.end()
            if endpoint.dirty and not session.reset():
                self.close()
        except (AgentError, TaskGoneError, TimeoutError) as error:
            raise self._death(session, error) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Switch the virtual machine off."""
        if self._session is not None:
            self._session.__exit__()
            self._session = None

    def _booted(self, machine: str) -> Session:
        if self._session is None or self._machine != machine:
            self.close()
            session = Session(kernels.build(self._kernel), machine_for(machine))
            self._session, self._machine = session.__enter__(), machine
        return self._session

    def _death(self, session: Session, error: Exception) -> Exception:
        """The error, and what the kernel said of it; the machine is of no more use."""
        if not isinstance(error, TimeoutError):
            session.vm.wait_for_end()
        trouble = session.vm.console.trouble()
        self.close()
        return error if trouble is None else AgentError(f"the target died: {trouble}")


@define(eq=False)
class VmEndpoint:
    """The tasks of one case: children of the agent's first task, which stays for the next case."""

    _session: Session
    dirty: bool = False
    _tasks: dict[int, Field] = field(factory=dict)
    _first: int = 0

    def __attrs_post_init__(self) -> None:
        forked = self._session.ask(FIRST_TASK, Op.FORK)
        self._first = forked.result
        self._tasks[forked.result] = forked.fields[0]

    def begin(self, task: int, op: Op, fields: tuple[Field, ...]) -> Future[Message]:
        """See :class:`harness.conformance.call.Endpoint`."""
        self.dirty = self.dirty or op not in _HARMLESS
        number = self._first if task == FIRST_TASK else task
        future = self._session.client.begin(number, op, fields)
        if op in (Op.FORK, Op.THREAD):
            future.add_done_callback(self._remember)
        return future

    def perform(self, task: int, op: Op, fields: tuple[Field, ...], seconds: float) -> Message:
        """See :class:`harness.conformance.call.Endpoint`."""
        return self.begin(task, op, fields).result(seconds)

    def _remember(self, future: Future[Message]) -> None:
        with suppress(AgentError):
            reply = future.result()
            if reply.fields:
                self._tasks[reply.result] = reply.fields[0]

    def end(self) -> None:
        """Kill all tasks of the case. AgentError."""
        for task in self._tasks:
            self._session.ask(task, Op.KILL, _SIGKILL)
        self._session.ask(FIRST_TASK, Op.WAIT, self._tasks[self._first])
