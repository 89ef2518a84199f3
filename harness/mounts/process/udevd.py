# SPDX-License-Identifier: Apache-2.0
"""The host's systemd-udevd in a machine: it handles the machine's uevents, and nobody else's.

Its data is the machine's (a /run/udev of its own), its listeners are in the machine's network, and
what it sees of the host's devices it cannot change. It is there before the first program is, and
goes with the mount.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from contextlib import closing
from typing import IO, TYPE_CHECKING

from harness.mounts.process.child import Child
from harness.mounts.process.errors import CommandError, MountError
from harness.mounts.process.namespaces import Place
from harness.mounts.process.stdio import DEVNULL

if TYPE_CHECKING:
    from harness.mounts.process.mount import ProcessMount

#: Where packages have it (Debian's, and those of other distributions).
PROGRAMS = ("/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd", "/usr/sbin/udevd")
_DATA = "/run/udev"
_NOTIFY = f"{_DATA}/uapi-harness-ready"
#: How long it may take to be ready, in seconds.
_TIMEOUT = 30.0


def places() -> list[Place]:
    """An empty /run/udev: in a /run with what else the host has there, if it has none."""
    if os.path.isdir(_DATA):
        return [(_DATA, [], [], [], [])]
    above = os.path.dirname(_DATA)
    entries = list(os.scandir(above))
    return [
        (
            above,
            [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)],
            [entry.name for entry in entries if not (entry.is_symlink() or entry.is_dir())],
            [(entry.name, os.readlink(entry.path)) for entry in entries if entry.is_symlink()],
            [os.path.basename(_DATA)],
        )
    ]


def start_udevd(mount: ProcessMount) -> None:
    """Start it, and return when it is ready. MountError with its own words if it cannot be."""
    program = next((path for path in PROGRAMS if os.path.exists(path)), None)
    if program is None:
        raise MountError("udevd: there is no systemd-udevd here; Debian's package udev has it")
    with (
        tempfile.TemporaryFile() as messages,
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as notifications,
    ):
        # In the machine's /run/udev: it goes with the mount, even if we are killed.
        address = f"/proc/{mount.pid}/root{_NOTIFY}"
        notifications.bind(address)
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "NOTIFY_SOCKET": _NOTIFY,
            "SYSTEMD_LOG_TARGET": "console",  # else it may write to the host's kernel log
        }
        try:
            child = mount.popen(
                [program],
                stdin=DEVNULL,
                stdout=messages,
                stderr=messages,
                env=environment,
                cwd="/",
                uid=0,
            )
        except CommandError as error:
            raise MountError(f"udevd: {error}") from None
        _await_ready(child, notifications, messages)
        os.unlink(address)


def _await_ready(child: Child, notifications: socket.socket, messages: IO[bytes]) -> None:
    notifications.settimeout(0.05)
    deadline = time.monotonic() + _TIMEOUT
    while child.poll() is None and time.monotonic() < deadline:
        try:
            if b"READY=1" in notifications.recv(4096).split(b"\n"):
                return
        except TimeoutError:
            continue
    messages.seek(0)
    *_, said = [b"it did not become ready", *messages.read().splitlines()]
    raise MountError(f"udevd: {said.decode(errors='replace')}")
