# SPDX-License-Identifier: Apache-2.0
"""The targets ``vm:KERNEL``: a real kernel in a virtual machine.

One boot serves many cases. A case that may have changed something is followed by a reset, which
takes the accelerators and their driver away and brings them back; where that does not lead to the
state after boot, or the kernel died, the next case has a new boot.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from harness.agent.client import AgentError
from harness.conformance.call import Endpoint, TaskGoneError
from harness.conformance.results import ImpossibleError, NotRunnableError
from harness.conformance.targets import USERS, Target
from harness.conformance.targets.tasks import case_tasks
from harness.machine_file import MachineFile
from harness.packages import PackagesError
from harness.vm import kernels
from harness.vm.guest import machine_for
from harness.vm.qemu import VmError, program
from harness.vm.session import Session

_log = logging.getLogger("uapi_harness")


class VmTarget(Target):
    """Cases on the kernel of this name, one virtual machine at a time."""

    features = frozenset({USERS})

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
        except (VmError, PackagesError) as error:
            raise NotRunnableError(str(error)) from error

    @contextmanager
    def open(self, machine: str, profile: str) -> Iterator[Endpoint]:
        """See :class:`harness.conformance.targets.Target`."""
        file = machine_for(machine)
        if file is None:
            reason = f"the machine {machine} has no section qemu: no virtual machine can be it"
            raise ImpossibleError(reason)
        try:
            session = self._booted(machine, file)
        except (VmError, AgentError, PackagesError) as error:
            raise NotRunnableError(str(error)) from error
        try:
            with case_tasks(session.client) as tasks:
                yield tasks
            if tasks.dirty and not self._reset(session, tasks.written):
                self.close()
        except (ImpossibleError, NotRunnableError):
            raise
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

    def _reset(self, session: Session, written: set[str]) -> bool:
        """Whether the next case finds what a new boot would have. A kernel that dies of it has
        answered the case all the same."""
        try:
            return session.reset(written)
        except AgentError as error:
            session.vm.wait_for_end()
            trouble = session.vm.console.trouble() or str(error)
            _log.warning("%s died between two cases: %s", self.name, trouble)
            return False

    def _booted(self, machine: str, file: MachineFile) -> Session:
        if self._session is None or self._machine != machine:
            self.close()
            session = Session(kernels.build(self._kernel), file)
            self._session, self._machine = session.__enter__(), machine
        return self._session

    def _death(self, session: Session, error: Exception) -> Exception:
        """The error, and what the kernel said of it; the machine is of no more use."""
        if not isinstance(error, TimeoutError):
            session.vm.wait_for_end()
        trouble = session.vm.console.trouble()
        self.close()
        return error if trouble is None else AgentError(f"the target died: {trouble}")
