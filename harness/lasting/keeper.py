# SPDX-License-Identifier: Apache-2.0
"""The process that keeps a machine: answers clients until it is told to stop.

``python -m harness.lasting.keeper SOCKET MACHINE PROFILE OPTION...`` makes the machine and its
mount and says on stdout ``ready``, or in one line what went wrong. The profile may be empty, the
options are names of MountOptions. ``start`` runs it.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from harness.kernel.uevents import Uevent
from harness.lasting.places import locked
from harness.machine import Machine, MachineError, load_machine
from harness.mounts.process import Child, CommandError, MountError, MountOptions, ProcessMount
from harness.mounts.process.launcher import receive, send
from harness.trace_output import TraceOutput

#: A client that went away.
_GONE = (BrokenPipeError, ConnectionResetError)


class _Lines:
    """A stream whose lines wait for a client: the machine does not, however slow he is."""

    #: So many lines wait; further ones are lost, which the next line tells.
    LIMIT = 100_000

    def __init__(self) -> None:
        self._waiting: SimpleQueue[str | None] = SimpleQueue()
        self._lost = 0

    def write(self, text: str) -> int:
        if self._waiting.qsize() >= self.LIMIT:
            self._lost += 1
            return len(text)
        if self._lost:
            self._waiting.put(f"{self._lost} lines were lost: nobody read them\n")
            self._lost = 0
        self._waiting.put(text)
        return len(text)

    def flush(self) -> None:
        """Whoever iterates has each line at once."""

    def end(self) -> None:
        """There are no more lines."""
        self._waiting.put(None)

    def __iter__(self) -> Iterator[str]:
        while (text := self._waiting.get()) is not None:
            yield text


class Keeper:
    """Serves the clients of one machine."""

    def __init__(self, machine: Machine, mount: ProcessMount, listener: socket.socket) -> None:
        self._machine = machine
        self._mount = mount
        self._listener = listener
        self._children: set[Child] = set()
        self._stopped = threading.Event()
        self._requests: dict[str, Callable[..., Any]] = {
            "status": self._status,
            "ls": machine.listdir,
            "read": machine.read,
            "write": self._write,
            "plug": self._plug,
            "unplug": self._unplug,
            "uevents": self._uevents,
        }

    def serve(self) -> None:
        """Answer until a client says stop."""
        threading.Thread(target=self._accept, daemon=True).start()
        self._stopped.wait()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()
            except (OSError, RuntimeError):
                time.sleep(0.1)  # no more fds or threads until somebody has ended

    def _answer(self, client: socket.socket) -> None:
        with client, suppress(*_GONE):
            message, fds, _ = receive(client)
            if message[:1] == ("run",):
                self._run(client, fds, *message[1:])
                return
            for fd in fds:
                os.close(fd)  # of who died while he asked
            if message[:1] == ("trace",):
                self._trace(client)
            elif message[:1] == ("stop",):
                self._stopped.set()
            elif message:
                send(client, self._result(*message))

    def _result(self, request: str, *arguments: Any) -> tuple[Any, ...]:
        try:
            return ("ok", self._requests[request](*arguments))
        except OSError as error:
            return ("failed", f"{error.filename}: {error.strerror}", 1)
        except ValueError as error:
            return ("failed", str(error), 2)

    # --- requests

    def _status(self) -> tuple[str, str, int, list[str]]:
        running = [child.argv[0] for child in list(self._children)]
        return self._machine.name, self._machine.profile.name, os.getpid(), running

    def _write(self, path: str, text: str) -> int:
        taken = self._machine.write(path, text)
        self._mount.flush()
        return taken

    def _plug(self, address: str) -> None:
        self._machine.plug(address)
        self._mount.flush()

    def _unplug(self, address: str) -> None:
        self._machine.unplug(address)
        self._mount.flush()

    def _uevents(self) -> list[str]:
        return [_line(event) for event in list(self._machine.uevents)]

    def _trace(self, client: socket.socket) -> None:
        lines = _Lines()
        observer, observers = TraceOutput(lines), self._machine.trace.observers
        threading.Thread(target=self._await_end, args=(client, lines), daemon=True).start()
        with self._machine.kernel.lock:
            observers.append(observer)
        try:
            for line in lines:
                send(client, ("line", line))
        finally:
            with self._machine.kernel.lock:
                observers.remove(observer)

    @staticmethod
    def _await_end(client: socket.socket, lines: _Lines) -> None:
        with suppress(OSError):
            receive(client)  # nothing comes but the end
        lines.end()

    # --- programs

    def _run(
        self,
        client: socket.socket,
        fds: list[int],
        argv: list[str],
        env: dict[str, str],
        cwd: str | None,
        uid: int,
    ) -> None:
        try:
            stdin, stdout, stderr = fds
            child = self._mount.popen(
                argv, stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd, uid=uid
            )
        except CommandError as error:
            send(client, ("failed", str(error), error.status))
            return
        except (MountError, OSError) as error:
            send(client, ("failed", str(error), 125))
            return
        finally:
            for fd in fds:
                os.close(fd)
        self._children.add(child)
        listener = threading.Thread(target=self._listen, args=(client, child), daemon=True)
        listener.start()
        try:
            with suppress(*_GONE):  # the listener's concern: the program ends before its run
                send(client, ("ok", child.pid))
            send(client, ("exit", child.wait()))
        finally:
            self._children.discard(child)
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _listen(self, client: socket.socket, child: Child) -> None:
        """Pass signals on; who goes away takes the program along."""
        with suppress(OSError):
            while True:
                message, _, _ = receive(client)
                if not message:
                    break
                child.send_signal(message[1])
        if child.poll() is None:
            child.destroy()


def _line(event: Uevent) -> str:
    variables = [f"{key}={value}" for key, value in event.variables.items()]
    return " ".join([f"{event.action}@{event.devpath}", *variables])


def main() -> int:
    """Make the machine and keep it."""
    path, name, profile, *words = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    listener = socket.socket(socket.AF_UNIX)
    try:
        machine = load_machine(name, profile=profile or None)
        # An ordinary user has but one id in the mount, so the machine must tell users apart.
        by_machine = True if os.geteuid() else None
        options = MountOptions.of(words)
        mount = ProcessMount(machine, server_permissions=by_machine, options=options)
        with mount, listener:
            _listen(listener, path)
            try:
                _ready()
                Keeper(machine, mount, listener).serve()
            finally:
                os.unlink(path)
    except FileExistsError:
        print(f"{path} is there: was another started at the same time?", flush=True)
        return 1
    except (MachineError, MountError, OSError) as error:
        print(error, flush=True)
        return 1
    return 0


def _listen(listener: socket.socket, path: str) -> None:
    """Take the name ``path``; FileExistsError if it is taken."""
    with locked(path):
        try:
            listener.bind(path)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise FileExistsError(path) from None
            raise
        listener.listen()


def _ready() -> None:
    """Tell ``start``, and let go of its streams."""
    print("ready", flush=True)
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.close(null)


if __name__ == "__main__":
    sys.exit(main())
