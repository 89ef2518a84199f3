# SPDX-License-Identifier: Apache-2.0
"""A machine's /sys and /dev as real programs see them."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from harness.kernel.watched import Watched
from harness.mounts.overlay import Overlay
from harness.mounts.process.caller import UserNamespace
from harness.mounts.process.child import Child, start_command
from harness.mounts.process.errors import MountError
from harness.mounts.process.handlers import add_rules
from harness.mounts.process.namespaces import Launcher, Surroundings
from harness.mounts.process.notifications import Table
from harness.mounts.process.options import PLAIN, MountOptions
from harness.mounts.process.server import Server
from harness.mounts.process.stdio import Stdio, Streams

if TYPE_CHECKING:
    from harness.kernel.system import Kernel
    from harness.mounts.process.system_files import SystemFiles

#: How long to wait for the mount to end once all its processes have, in seconds.
_END_TIMEOUT = 10.0


class Machine(Protocol):
    """What a mount needs of a machine."""

    @property
    def kernel(self) -> Kernel: ...


class ProcessMount:
    """Real programs in a machine; a context manager, and several programs may run in it.

    ``uid`` is the user that programs are, 0 unless given. ``server_permissions`` lets the machine
    check permissions instead of the host's kernel (see :mod:`harness.mounts.process.server`), which
    an unprivileged user's mount does in any case where ``uid`` is not 0. ``options`` is what it
    does besides.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        uid: int | None = None,
        server_permissions: bool | None = None,
        options: MountOptions = PLAIN,
    ) -> None:
        self._kernel = machine.kernel
        self._uid = uid or 0
        self._server_permissions = server_permissions
        #: Whether there is but one id to have in the mount.
        self._single = False
        self._children: list[Child] = []
        #: Programs may be started by several threads.
        self._lock = threading.Lock()
        self._options = options
        self._launcher: Launcher | None = None
        self._server: Server | None = None
        self._system: SystemFiles | None = None
        #: Which system calls the mount answers by itself.
        self._table = Table()

    def __enter__(self) -> ProcessMount:
        """Make the mount; MountError says what this host lacks."""
        try:
            self._launcher = started = Launcher(network=self._options.network)
            # While the launcher starts.
            overlay = Overlay(self._kernel, devices=not self._options.udevd)
            self._server = self._connect(started, overlay)
            self._server.start()
            surroundings = self._surroundings(overlay) if self._options.surroundings else None
            device, files = started.cover(overlay.covered, overlay.binds, surroundings)
            if self._system is not None:
                self._system.fill(files)
            self._server.begin_traced(device)
            if self._options.udevd:
                from harness.mounts.process.udevd import start_udevd

                start_udevd(self)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill what still runs, and take the mount away."""
        self._close()

    def popen(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        stdin: Stdio = None,
        stdout: Stdio = None,
        stderr: Stdio = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        uid: int | None = None,
    ) -> Child:
        """Start a program; arguments as :class:`subprocess.Popen` has them.

        ``uid`` is the user that it is, if not the mount's. Where users can have but one id, the
        mount must have been made with ``server_permissions`` for that.

        Raises CommandError if it cannot be started, MountError if the mount is gone, ValueError for
        no words at all, a NUL in one, or a text in place of words.
        """
        self.flush()
        if isinstance(argv, (str, bytes)):
            raise ValueError(f'{argv!r} is no list of words; for a shell: ["sh", "-c", TEXT]')
        command = [os.fsencode(word) for word in argv]
        if not command or any(b"\0" in word for word in command):
            raise ValueError("a command is one word or more, without NUL")
        variables = os.environ if env is None else env
        environment = {os.fsencode(key): os.fsencode(value) for key, value in variables.items()}
        directory = os.fsencode(cwd) if cwd is not None else _current_directory()
        user = self._uid if uid is None else uid
        nested = self._single and user != 0
        message = (command, environment, directory, user, nested, self._table.program())
        launcher, server = self._running()
        streams = Streams(stdin, stdout, stderr)
        child = start_command(launcher.spawn, message, streams, server.listen)
        with self._lock:
            self._children = [known for known in self._children if known.poll() is None]
            self._children.append(child)
        return child

    @property
    def pid(self) -> int:
        """A process in the mount's namespaces, which lives as long as the mount."""
        return self._running()[0].pid

    def kill_visitors(self) -> list[str]:
        """Kill what has entered the mount's namespaces from outside, as by nsenter(1).

        And all that came of it; returns their command lines.
        """
        launcher = self.pid
        namespace = _mount_namespace(launcher)
        killed: list[str] = []
        while visitors := [
            int(name)
            for name in os.listdir("/proc")
            if name.isdecimal() and int(name) != launcher and _mount_namespace(name) == namespace
        ]:
            for pid in visitors:
                killed += _kill(pid)
        return killed

    def flush(self) -> None:
        """Return when programs see all that was changed in the machine so far.

        Changes are passed on by themselves, but not at once unless a program's own call made them.
        To be called after plug, unplug and the like, without the machine's lock.
        """
        self._running()[1].flush()

    def exchange(self, machine: Machine) -> bool:
        """Show ``machine`` from now on, just built from the file and profile of the one before.

        For the next test, once the programs of the last have ended: much cheaper than a new mount.
        False if it cannot be done, because the machine took a place of the host's meanwhile.
        """
        if not self._running()[1].exchange(machine.kernel):
            return False
        self._kernel = machine.kernel
        return True

    def _connect(self, started: Launcher, overlay: Overlay) -> Server:
        self._single = started.map_ids()
        by_server = self._server_permissions
        if by_server is None:
            by_server = self._single and self._uid != 0
        options = "allow_other" if by_server else "allow_other,default_permissions"
        namespace = UserNamespace(started.user_namespace, per_task=by_server)
        watched = _watched(self._kernel, self._options)
        add_rules(self._table, watched, self._options)
        if self._options.system:
            from harness.mounts.process import system_files

            self._system = system_files.SystemFiles(self._kernel, self._table)
        fd, netlink = started.make_mount(options)
        return Server(
            self._kernel,
            overlay,
            fd,
            namespace,
            self._table,
            started.open,
            netlink,
            devices=self._options.devices,
            maps_files=watched.maps_files,
        )

    def _surroundings(self, overlay: Overlay) -> Surroundings:
        surroundings = Surroundings()
        if self._options.udevd:
            from harness.mounts.process.udevd import places

            surroundings.places += places()
            surroundings.guarded += overlay.covered
        if self._system is not None:
            self._system.add_to(surroundings)
        return surroundings

    def _running(self) -> tuple[Launcher, Server]:
        if self._launcher is None or self._server is None:
            raise MountError("the mount is not there: use it in a with statement")
        return self._launcher, self._server

    def _close(self) -> None:
        for child in self._children:
            child.destroy()
        self._children.clear()
        if self._launcher is not None:
            self._launcher.close()
            self._launcher = None
        if self._server is not None:
            self._server.close(_END_TIMEOUT)
            self._server = None
        if self._system is not None:
            self._system.close()
            self._system = None


def _watched(kernel: Kernel, options: MountOptions) -> Watched:
    """What programs are watched for from their start: what can be loaded later, too."""
    watched = kernel.watched
    if options.system:
        for module in kernel.module_files.values():
            watched |= module.watched(kernel.profile)
    return watched


def _mount_namespace(pid: int | str) -> int:
    """Its number; 0 of a process that has gone, or is out of reach."""
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino
    except OSError:
        return 0


def _kill(pid: int) -> list[str]:
    """Kill a process, and wait until it has gone; its command line, or nothing if it had gone."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return []
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            line = file.read().replace("\0", " ").strip()
        signal.pidfd_send_signal(process, signal.SIGKILL)
        select.select([process], [], [])
    except (FileNotFoundError, ProcessLookupError):
        return []
    finally:
        os.close(process)
    return [line]


def _current_directory() -> bytes | None:
    """Where we are; None if that has no name any more."""
    try:
        return os.getcwdb()
    except OSError:
        return None
