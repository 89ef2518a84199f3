# SPDX-License-Identifier: Apache-2.0
"""The target ``process``: real system calls of an agent inside a process mount."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from harness.agent.client import AgentClient
from harness.conformance.call import Endpoint
from harness.conformance.results import NotRunnableError
from harness.conformance.targets import USERS, Target
from harness.conformance.targets.tasks import case_tasks, running_agent
from harness.kernel.wait import RealClock
from harness.machine import Machine, load_machine
from harness.mounts.process import MountError, ProcessMount
from harness.mounts.process.child import Child


class ProcessTarget(Target):
    """A mount for cases on the same machine; after a case that changed it there is another one."""

    name = "process"

    def __init__(self) -> None:
        # A user who is not root has a namespace with one user in it; all others are 65534 there.
        self.features = frozenset({USERS} if os.geteuid() == 0 else {})
        self._kept = ExitStack()
        self._mount: ProcessMount | None = None
        self._client: AgentClient | None = None
        #: The machine and profile that are kept, and whether the last case may have changed it.
        self._what = ("", "")
        self._dirty = False

    @contextmanager
    def open(self, machine: str, profile: str) -> Iterator[Endpoint]:
        """See :class:`harness.conformance.targets.Target`."""
        client = self._agent_in(machine, profile)
        try:
            with case_tasks(client) as tasks:
                yield tasks
        except BaseException as error:
            self._client = None
            self._kept.__exit__(type(error), error, error.__traceback__)
            raise
        self._dirty = tasks.dirty

    def close(self) -> None:
        """End the mount."""
        self._client = None
        self._kept.close()

    def _agent_in(self, machine: str, profile: str) -> AgentClient:
        client, mount = self._client, self._mount
        if client is None or mount is None or self._what != (machine, profile):
            return self._new_mount(machine, profile)
        if self._dirty and not mount.exchange(_load(machine, profile)):
            return self._new_mount(machine, profile)
        return client

    def _new_mount(self, machine: str, profile: str) -> AgentClient:
        self.close()
        with ExitStack() as stack:
            # Tasks change their user, which only the machine's own permission checks can
            # follow where a single user is mapped.
            mount = ProcessMount(_load(machine, profile), server_permissions=True)
            try:
                stack.enter_context(mount)
            except MountError as error:
                raise NotRunnableError(str(error)) from error
            client = stack.enter_context(running_agent(mount.popen, Child.destroy))
            self._kept = stack.pop_all()
        self._mount, self._client, self._what = mount, client, (machine, profile)
        return client


def _load(machine: str, profile: str) -> Machine:
    return load_machine(machine, profile=profile, clock=RealClock())
