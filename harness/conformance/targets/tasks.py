# SPDX-License-Identifier: Apache-2.0
"""Cases one after the other on one agent: each has tasks of its own, and leaves none behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

from attrs import define, field

from harness.agent.build import agent_command
from harness.agent.client import AgentClient, AgentError
from harness.agent.program import FIRST_TASK, Field, Message, Op
from harness.conformance.results import NotRunnableError
from harness.conformance.targets import HARMLESS
from harness.uapi.fs import O_ACCMODE

_SIGKILL = 9


@define(eq=False)
class CaseTasks:
    """The tasks of one case. Its first one is a child of the agent's, which stays as it is.

    ``dirty`` says whether the machine may have changed; ``written`` are the paths of files that
    were opened for writing, or got another mode or owner.
    """

    _client: AgentClient
    dirty: bool = False
    written: set[str] = field(factory=set)
    _pids: dict[int, Field] = field(factory=dict)
    _first: int = 0

    def __attrs_post_init__(self) -> None:
        forked = self._client.ask(FIRST_TASK, Op.FORK)
        self._first = forked.result
        self._pids[forked.result] = forked.fields[0]

    def begin(self, task: int, op: Op, fields: tuple[Field, ...]) -> Future[Message]:
        """See :class:`harness.conformance.call.Endpoint`."""
        self.dirty = self.dirty or op not in HARMLESS
        opened = op is Op.OPEN and int(fields[1]) & O_ACCMODE
        if (opened or op in (Op.CHMOD, Op.CHOWN)) and isinstance(fields[0], bytes):
            self.written.add(os.fsdecode(fields[0]))
        number = self._first if task == FIRST_TASK else task
        future = self._client.begin(number, op, fields)
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
                self._pids[reply.result] = reply.fields[0]

    def end(self) -> None:
        """Kill all tasks, and wait until what they held is given back. AgentError."""
        for task in self._pids:
            self._client.ask(task, Op.KILL, _SIGKILL)
        self._client.ask(FIRST_TASK, Op.WAIT, self._pids[self._first])


@contextmanager
def case_tasks(client: AgentClient) -> Iterator[CaseTasks]:
    """Tasks for one case, which are gone at the end."""
    tasks = CaseTasks(client)
    try:
        yield tasks
    finally:
        tasks.end()


_START_SECONDS = 20.0


class _Process(Protocol):
    def wait(self) -> int: ...


_P = TypeVar("_P", bound=_Process)


@contextmanager
def running_agent(start: Callable[..., _P], destroy: Callable[[_P], None]) -> Iterator[AgentClient]:
    """An agent, which is gone with all its tasks at the end. NotRunnableError if there is none.

    ``start`` takes the command, ``stdin`` and ``stdout`` as subprocess.Popen does; ``destroy`` ends
    an agent that may never look at its input again.
    """
    try:
        command = agent_command()
    except AgentError as error:
        raise NotRunnableError(str(error)) from error
    agent_reads, requests = os.pipe()
    replies, agent_writes = os.pipe()
    process = start(command, stdin=agent_reads, stdout=agent_writes)
    os.close(agent_reads)
    os.close(agent_writes)
    client = AgentClient(replies, requests)
    try:
        client.hello(_START_SECONDS)
        yield client
    except BaseException:
        destroy(process)
        raise
    finally:
        client.close()
        process.wait()
