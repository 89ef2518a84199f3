# SPDX-License-Identifier: Apache-2.0
"""Running agents, for all who test them."""

import os
import subprocess
from contextlib import ExitStack

import pytest

from harness.agent.build import agent_command
from harness.agent.client import AgentClient, AgentError
from harness.agent.program import FIRST_TASK

SECONDS = 30


class Agent:
    """A running agent and the client that talks to it."""

    def __init__(self, command, **options):
        agent_reads, requests = os.pipe()
        replies, agent_writes = os.pipe()
        self.process = subprocess.Popen(
            command,
            stdin=agent_reads,
            stdout=agent_writes,
            **{"stderr": subprocess.DEVNULL, **options},
        )
        os.close(agent_reads)
        os.close(agent_writes)
        self.client = AgentClient(replies, requests)
        self.client.hello(SECONDS)

    def begin(self, op, *fields, task=FIRST_TASK):
        return self.client.begin(task, op, fields)

    def __call__(self, op, *fields, task=FIRST_TASK):
        return self.begin(op, *fields, task=task).result(SECONDS)

    def path(self, op, path, *fields, task=FIRST_TASK):
        return self(op, os.fsencode(path), *fields, task=task)

    def close(self):
        """Its exit status; may be asked again."""
        if self.client is not None:
            self.client.close()
            self.client = None
        return self.process.wait(SECONDS)


@pytest.fixture
def agent_of(monkeypatch):
    """The command that starts the agent ``python`` or ``c``."""

    def command(name):
        monkeypatch.setenv("UAPI_AGENT", name)
        try:
            return agent_command()
        except AgentError as error:
            pytest.skip(str(error))

    return command


@pytest.fixture(params=["python", "c"])
def command(request, agent_of):
    """Starts an agent, each of them in turn."""
    return agent_of(request.param)


@pytest.fixture
def start():
    """Starts an agent; how it ends is the test's affair, and that it ends is ours."""
    with ExitStack() as stack:

        def start(command, **options):
            agent = Agent(command, **options)
            stack.callback(agent.close)
            return agent

        yield start


@pytest.fixture
def agent(start, command):
    agent = start(command)
    yield agent
    assert agent.close() == 0
