# SPDX-License-Identifier: Apache-2.0
"""Programs that code in an in-process mount starts: they run in a process mount of its machine.

They stay ordinary children of this process, with the pipes, files and signals that it gave them;
nsenter(1) puts them into the mount's namespaces first. Where this host cannot have a process mount,
starting a program raises :class:`ChildrenError`, which the pytest plugin makes a skip.
"""

from __future__ import annotations

import errno
import inspect
import io
import os
import shutil
import subprocess
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from harness.machine import Machine
from harness.mounts.process.errors import MountError
from harness.mounts.process.mount import ProcessMount

_Path = Any


class UnmodelledError(io.UnsupportedOperation):
    """This cannot be done in an in-process mount. An OSError and a ValueError."""


class ChildrenError(UnmodelledError):
    """No program can be started in the machine on this host; the text says what is missing."""


class Children:
    """Starts programs in a process mount of ``machine``, made when the first is started.

    ``cannot`` is called with the reason where that cannot be; it may raise what it likes.
    """

    def __init__(self, machine: Machine, cannot: Callable[[str], object] | None) -> None:
        self._machine = machine
        self._cannot = cannot
        self._mount: ProcessMount | None = None
        self._lock = threading.Lock()
        self._popen = subprocess.Popen.__init__
        self._running: weakref.WeakSet[subprocess.Popen[Any]] = weakref.WeakSet()
        self._user: Callable[[], int] = lambda: 0
        self._directory: Callable[[], str] = os.getcwd

    def start(self, user: Callable[[], int], directory: Callable[[], str]) -> None:
        """From now on, subprocess starts programs in the machine."""
        self._user, self._directory = user, directory
        original, signature = self._popen, inspect.signature(self._popen)

        def start(popen: subprocess.Popen[Any], *arguments: Any, **options: Any) -> None:
            bound = signature.bind(popen, *arguments, **options)
            words = bound.arguments["args"]
            self._rewrite(bound.arguments)
            original(*bound.args, **bound.kwargs)
            popen.args = words  # what a CalledProcessError shows
            self._running.add(popen)

        subprocess.Popen.__init__ = start  # type: ignore[assignment, method-assign]

    def stop(self) -> list[str]:
        """Kill what still runs, and take the mount away; what was killed. That is what a program
        has left behind, too.
        """
        subprocess.Popen.__init__ = self._popen  # type: ignore[method-assign]
        killed = []
        for popen in list(self._running):
            if popen.poll() is None:
                with suppress(ProcessLookupError):
                    popen.kill()
                popen.wait()
                words: Any = popen.args
                killed.append(" ".join(os.fsdecode(word) for word in words))
        if self._mount is not None:
            killed += self._mount.kill_visitors()
            self._mount.__exit__(None, None, None)
            self._mount = None
        return killed

    def popen(self, arguments: Any, **options: Any) -> subprocess.Popen[Any]:
        """As subprocess.Popen."""
        return subprocess.Popen(arguments, **options)

    def prepare(self) -> None:
        """Make the mount, so that a forked child finds it."""
        with suppress(ChildrenError):
            self._launcher()

    def command(
        self, path: _Path, argv: Sequence[_Path], directory: _Path
    ) -> tuple[str, list[_Path]]:
        """The program to execute instead, and its arguments."""
        if self._user():
            text = f"user {self._user()} of an in-process mount"
            raise UnmodelledError(errno.EOPNOTSUPP, f"{text} cannot start programs: only root can")
        pid = self._launcher()
        enter = shutil.which("nsenter")
        if enter is None:
            raise self._refuse("nsenter (util-linux) is not installed")
        where = f"--wdns={os.fsdecode(directory)}"
        # With the credentials that it has, which are root's in there.
        options = ["--user", "--mount", "--preserve-credentials", f"--target={pid}", where]
        return enter, ["nsenter", *options, "--", path, *list(argv)[1:]]

    def find(self, name: _Path, env: Mapping[Any, Any] | None, directory: _Path) -> _Path:
        """The program's path, looked for as exec does; FileNotFoundError, PermissionError."""
        text = os.fsdecode(name)
        variables: Mapping[Any, Any] = os.environ if env is None else env
        found = None
        places = [os.path.join(os.fsdecode(directory or self._directory()), text)]
        if "/" not in text:
            path = os.fsdecode(variables.get("PATH") or variables.get(b"PATH") or os.defpath)
            places = [os.path.join(entry, text) for entry in path.split(":")]
        number = errno.ENOENT
        for place in places:
            if os.access(place, os.X_OK) and not os.path.isdir(place):
                found = place
                break
            if os.path.exists(place):
                number = errno.EACCES
        if found is None:
            raise OSError(number, os.strerror(number), name)
        return found

    def _rewrite(self, given: dict[str, Any]) -> None:
        """Make the arguments of a Popen start its program in the machine."""
        words = given["args"]
        words = [words] if isinstance(words, str | bytes | os.PathLike) else list(words)
        executable = given.get("executable")
        if given.get("shell"):
            words = [executable or "/bin/sh", "-c", *words]
            executable = None
        directory = given.get("cwd")
        program = self.find(executable or words[0], given.get("env"), directory)
        where = os.path.join(self._directory(), os.fsdecode(directory or ""))
        given["executable"], given["args"] = self.command(program, words, where)
        given["shell"] = False
        if directory is not None and not os.path.isdir(os.fsdecode(directory)):
            given["cwd"] = None  # a directory of the machine, or none: nsenter tells

    def _launcher(self) -> int:
        """The process whose namespaces have the mount."""
        with self._lock:
            if self._mount is None:
                mount = ProcessMount(self._machine)
                try:
                    self._mount = mount.__enter__()
                except MountError as error:
                    raise self._refuse(str(error)) from None
            self._mount.flush()
            return self._mount.pid

    def _refuse(self, reason: str) -> ChildrenError:
        text = f"programs cannot run in the machine here: {reason}"
        if self._cannot is not None:
            self._cannot(text)
        return ChildrenError(errno.EOPNOTSUPP, text)
