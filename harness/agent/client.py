# SPDX-License-Identifier: Apache-2.0
"""The client's end of the agent protocol: requests out, replies back to whoever waits for them."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from pathlib import Path

from harness.agent import program
from harness.agent.program import HEADER, Field, Message, Op, ProtocolError

#: The agent, as a file that any Python of 3.11 or newer can run by itself.
PROGRAM = Path(program.__file__)


#: Seconds after which an agent that does not answer is taken for dead.
_LONG = 30.0


class AgentError(Exception):
    """The agent died, or it speaks another protocol."""


class AgentClient:
    """One agent, over a pair of file descriptors that this object owns and closes.

    A thread of its own reads replies, so that neither side ever waits for the other to read.
    """

    def __init__(self, replies: int, requests: int) -> None:
        self._replies = replies
        self._requests = requests
        self._lock = threading.Lock()
        self._pending: dict[int, Future[Message]] = {}
        self._last = 0
        self._ended = False
        self._reader = threading.Thread(target=self._read_replies, name="agent", daemon=True)
        self._reader.start()

    def hello(self, timeout: float) -> None:
        """Agree on the version; AgentError if the agent has another, or dies, or is silent."""
        try:
            reply = self.begin(0, Op.HELLO, (program.VERSION,)).result(timeout)
        except TimeoutError:
            raise AgentError(f"no answer from the agent within {timeout:g} s") from None
        if reply.result != program.VERSION:
            raise AgentError(f"the agent speaks version {reply.result}, not {program.VERSION}")

    def begin(self, task: int, op: Op, fields: tuple[Field, ...]) -> Future[Message]:
        """Send a request; the reply comes by the future, or AgentError if the agent dies."""
        future: Future[Message] = Future()
        with self._lock:
            self._last += 1
            request = self._last
            if self._ended:
                future.set_exception(AgentError("the agent died"))
                return future
            self._pending[request] = future
            data = memoryview(program.encode(Message(op, request, task, fields)))
            try:
                while data:
                    data = data[os.write(self._requests, data) :]
            except BrokenPipeError:
                self._end()
        return future

    def ask(self, task: int, op: Op, *fields: Field) -> Message:
        """One request and its reply; AgentError also if there is none for long."""
        try:
            return self.begin(task, op, fields).result(_LONG)
        except TimeoutError:
            raise AgentError(f"no answer to {op.name} within {_LONG:g} s") from None

    def close(self) -> None:
        """Let the agent go, with all its tasks. To be called once, when nobody waits."""
        os.close(self._requests)
        self._reader.join()
        os.close(self._replies)

    def _read_replies(self) -> None:
        try:
            while True:
                header = self._read(HEADER.size)
                reply = program.decode(header, self._read(program.body_length(header)))
                with self._lock:
                    future = self._pending.pop(reply.request, None)
                if future is not None:
                    future.set_result(reply)
        except (EOFError, ProtocolError, OSError):
            with self._lock:
                self._end()

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = os.read(self._replies, count - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def _end(self) -> None:
        """No reply comes any more; called with the lock held."""
        self._ended = True
        for future in self._pending.values():
            future.set_exception(AgentError("the agent died"))
        self._pending.clear()
