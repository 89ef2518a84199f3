# SPDX-License-Identifier: Apache-2.0
"""The model's side of :mod:`harness.mounts.process.launcher`: starting it, and talking to it.

Host root maps all ids into the user namespace as they are, so that a plain user of the machine is
a different user to the kernel. Anybody else may map his own id only, to 0.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

from attrs import astuple, define, field

from harness.mounts.process import launcher
from harness.mounts.process.errors import MountError

_ADVICE = "`uapi-harness doctor` says what this host lacks"


#: A directory to be covered; directories, files and links of the host's that stay; new directories.
Place = tuple[str, list[str], list[str], list[tuple[str, str]], list[str]]


@define
class Surroundings:
    """What is made to be different around the mount, once it is where it belongs.

    ``places`` are covered. ``layers`` are directories, and folders whose content is to be seen in
    them, too. What of the host's is seen below a ``guarded`` path cannot be changed. ``proc`` are
    names of files in every /proc that the model fills, where the host has a file of that name.
    """

    places: list[Place] = field(factory=list)
    layers: list[tuple[str, str]] = field(factory=list)
    guarded: list[str] = field(factory=list)
    proc: list[str] = field(factory=list)


class Launcher:
    """A running launcher. ``user_namespace`` is the inode of the namespace it made.

    ``network``: programs are in a network namespace of their own.
    """

    def __init__(self, *, network: bool = False) -> None:
        """Start it; it comes up while the caller does something else."""
        if not sys.executable:
            raise MountError("no Python interpreter is known to start the launcher with")
        self._control, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self.user_namespace = 0
        self._network = network
        with theirs:
            self.pid = self._start(theirs.fileno(), ["network"] if network else [])

    @staticmethod
    def _start(control: int, options: list[str]) -> int:
        arguments = [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), *options]
        actions = [
            (os.POSIX_SPAWN_DUP2, control, launcher.CONTROL_FD),  # first: it may be 0 or 1 here
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
        ]
        # What it is to ignore must not end it before it does.
        return os.posix_spawn(
            sys.executable,
            arguments,
            os.environ,
            file_actions=actions,
            setsigmask=launcher.FOR_COMMAND,
        )

    def map_ids(self) -> bool:
        """Give the new user namespace its ids; returns whether there is but one."""
        self._expect("unshared")
        self.user_namespace = os.stat(f"/proc/{self.pid}/ns/user").st_ino
        return _map_ids(self.pid)

    def make_mount(self, options: str) -> tuple[int, int | None]:
        """Make the mount, as yet in nobody's way.

        Returns the connection's fd, and that of a netlink socket in the network, if there is one.
        """
        self._send(("mapped", options))
        netlink = self._expect("network")[1][0] if self._network else None
        _, (fd,) = self._expect("fuse")
        return fd, netlink

    def cover(
        self,
        covered: list[str],
        binds: list[str],
        surroundings: Surroundings | None = None,
    ) -> tuple[int, list[int]]:
        """Put the mount where it belongs; its server must be running.

        Returns its st_dev, and fds of the files of /proc that ``surroundings`` names.
        """
        self._send(("cover", covered, binds, surroundings and astuple(surroundings)))
        message, fds = self._expect("ready")
        return int(message[1]), fds

    def spawn(self, message: tuple[Any, ...], fds: tuple[int, ...]) -> None:
        """Start a command; the answer comes on the child's own socket."""
        with self._lock:
            self._send(("spawn", *message), fds)

    def open(self, name: str) -> int:
        """An fd of the file ``name`` below the mount's root; its server must be serving."""
        with self._lock:
            self._send(("open", name))
            _, (fd,) = self._expect("opened")
            try:
                self._expect("closed")
            except MountError:
                os.close(fd)
                raise
            return fd

    def close(self) -> None:
        """End it, and with it all that runs in its namespaces."""
        with self._lock:  # a call of a program that was killed may still open its file
            self._control.close()
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _send(self, message: tuple[Any, ...], fds: tuple[int, ...] = ()) -> None:
        try:
            launcher.send(self._control, message, fds)
        except OSError:
            raise MountError("the mount's launcher has died") from None

    def _expect(self, kind: str) -> tuple[tuple[Any, ...], list[int]]:
        try:
            message, fds, _ = launcher.receive(self._control)
        except OSError:
            message, fds = (), []
        if message and message[0] == "failed":
            _, what, number = message
            raise MountError(f"{what}: {os.strerror(number)}; {_ADVICE}")
        if not message or message[0] != kind:
            raise MountError("the mount's launcher has died")
        return message, fds


def _map_ids(pid: int) -> bool:
    """Map ids into the user namespace of process ``pid``; returns whether there is but one."""
    if os.geteuid() == 0:
        with suppress(PermissionError):
            for kind in ("uid", "gid"):
                _write(f"/proc/{pid}/{kind}_map", _own_ids(kind))
            return False
    try:
        _write(f"/proc/{pid}/setgroups", "deny")
        _write(f"/proc/{pid}/uid_map", f"0 {os.geteuid()} 1")
        _write(f"/proc/{pid}/gid_map", f"0 {os.getegid()} 1")
    except OSError as error:
        raise MountError(f"map ids: {error.strerror}; {_ADVICE}") from None
    return True


def _own_ids(kind: str) -> str:
    """All ids that there are here, mapped to themselves."""
    with open(f"/proc/self/{kind}_map") as file:
        extents = [line.split() for line in file]
    return "".join(f"{inside} {inside} {count}\n" for inside, _, count in extents)


def _write(path: str, text: str) -> None:
    # In one write(2), which is what these files want.
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
