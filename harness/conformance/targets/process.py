# SPDX-License-Identifier: Apache-2.0
"""The target ``process``: real system calls of an agent inside a process mount."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from harness.agent.build import agent_command
from harness.agent.client import AgentClient, AgentError
from harness.conformance.call import Endpoint
from harness.conformance.results import NotRunnableError
from harness.conformance.targets import Target
from harness.conformance.targets.tasks import case_tasks
from harness.kernel.wait import RealClock
from harness.machine import load_machine
from harness.mounts.process import MountError, ProcessMount
from harness.mounts.process.namespaces import Launcher

_START_SECONDS = 20.0


@contextmanager
def _agent(mount: ProcessMount) -> Iterator[AgentClient]:
    """An agent in ``mount``, which is gone with all its tasks at the end."""
    try:
        command = agent_command()
    except AgentError as error:
        raise NotRunnableError(str(error)) from error
    agent_reads, requests = os.pipe()
    replies, agent_writes = os.pipe()
    child = mount.popen(command, stdin=agent_reads, stdout=agent_writes)
    os.close(agent_reads)
    os.close(agent_writes)
    client = AgentClient(replies, requests)
    try:
        client.hello(_START_SECONDS)
        yield client
    except BaseException:
        child.destroy()  # whatever it is doing: it may never look at its input again
        raise
    finally:
        client.close()
        child.wait()


class ProcessTarget(Target):
    """A machine and a process mount for each case, or for several that change nothing."""

    name = "process"
    features = frozenset({"exec"})

    def __init__(self) -> None:
        self._kept = ExitStack()
        self._client: AgentClient | None = None
        #: The machine and profile that are kept.
        self._what = ("", "")
        #: Comes up for the next mount while a case runs in this one.
        self._spare: Launcher | None = None

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
        if tasks.dirty:
            self._end()

    def close(self) -> None:
        """End the mount."""
        self._end()
        if self._spare is not None:
            self._spare.close()

    def _end(self) -> None:
        self._client = None
        self._kept.close()

    def _agent_in(self, machine: str, profile: str) -> AgentClient:
        if self._client is None or self._what != (machine, profile):
            self._end()
            loaded = load_machine(machine, profile=profile, clock=RealClock())
            with ExitStack() as stack:
                launcher, self._spare = self._spare, None
                # Tasks change their user, which only the machine's own permission checks can
                # follow where a single user is mapped.
                mount = ProcessMount(loaded, server_permissions=True, launcher=launcher)
                try:
                    stack.enter_context(mount)
                except MountError as error:
                    raise NotRunnableError(str(error)) from error
                self._client = stack.enter_context(_agent(mount))
                self._spare = Launcher()
                self._what = (machine, profile)
                self._kept = stack.pop_all()
        assert self._client is not None
        return self._client
