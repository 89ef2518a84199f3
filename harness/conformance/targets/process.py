# SPDX-License-Identifier: Apache-2.0
"""The target ``process``: real system calls of an agent inside a process mount."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager

from attrs import define

from harness.agent.build import agent_command
from harness.agent.client import AgentClient, AgentError
from harness.agent.program import Field, Message, Op
from harness.conformance.call import Endpoint
from harness.conformance.results import NotRunnableError
from harness.kernel.wait import RealClock
from harness.machine import load_machine
from harness.mounts.process import MountError, ProcessMount

_START_SECONDS = 20.0


@define(eq=False)
class AgentEndpoint:
    """The tasks of one agent."""

    client: AgentClient

    def begin(self, task: int, op: Op, fields: tuple[Field, ...]) -> Future[Message]:
        """See :class:`harness.conformance.call.Endpoint`."""
        return self.client.begin(task, op, fields)

    def perform(self, task: int, op: Op, fields: tuple[Field, ...], seconds: float) -> Message:
        """See :class:`harness.conformance.call.Endpoint`."""
        return self.client.begin(task, op, fields).result(seconds)


@contextmanager
def _agent(mount: ProcessMount) -> Iterator[Endpoint]:
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
        yield AgentEndpoint(client)
    except BaseException:
        child.destroy()  # whatever it is doing: it may never look at its input again
        raise
    finally:
        client.close()
        child.wait()


class ProcessTarget:
    """A machine and a process mount for each case."""

    name = "process"
    features = frozenset({"exec"})

    @contextmanager
    def open(self, machine: str, profile: str) -> Iterator[Endpoint]:
        """See :class:`harness.conformance.targets.Target`."""
        loaded = load_machine(machine, profile=profile, clock=RealClock())
        with ExitStack() as stack:
            # Tasks change their user, which only the machine's own permission checks can follow
            # where a single user is mapped.
            mount = ProcessMount(loaded, server_permissions=True)
            try:
                stack.enter_context(mount)
            except MountError as error:
                raise NotRunnableError(str(error)) from error
            yield stack.enter_context(_agent(mount))
