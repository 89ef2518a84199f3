# SPDX-License-Identifier: Apache-2.0
"""System calls of this process on the machine's files, and which files are the machine's.

The tree is the one that the process mount shows: the machine's entries first, the host's other
entries next to them (see :mod:`harness.mounts.overlay`). A path that leads to one of the host's
raises :class:`OnHost`, and the real function is asked.

An fd of the machine is a real one, opened with O_PATH: its number is nobody else's, and whatever
uses it without asking us gets EBADF from the host's kernel.
"""

from __future__ import annotations

import os
import stat
import threading
from typing import Any

from attrs import define, field

from harness.address_space import ProcessMemory
from harness.host_files import Holder, HostFile, copy_fd
from harness.kernel.kernfs import KernfsDirectory
from harness.kernel.system import Kernel
from harness.kernel.system_calls import Description, DescriptorCaller, SystemCalls
from harness.kernel.task import AddressSpace, Caller, Task
from harness.kernel.vfs import Node, OpenFile, is_link, path_walk
from harness.kernel.wait import Interruption
from harness.mounts.overlay import HostNode, Overlay, directory_on_host


class OnHost(Exception):
    """The path leads to a file of the host: ``path``, to be used instead."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def _arrived(node: Node, left: list[str]) -> None:
    """Go on where the host's part begins, unless it is a link that is not to be followed."""
    if isinstance(node, HostNode) and not is_link(node):
        raise OnHost("/".join([node.path_on_host, *reversed(left)]))


class _Here(threading.local):
    """What each thread has of its own."""

    def __init__(self) -> None:
        self.interruption = Interruption()


@define(eq=False)
class InProcessCaller(DescriptorCaller):
    """This process, as the machine knows it: root unless it changes its user there."""

    address_space: AddressSpace = field(factory=lambda: ProcessMemory(os.getpid()))  # type: ignore[assignment]
    #: What the drivers hold of real files of this process.
    holder: Holder = field(kw_only=True)
    _here: _Here = field(factory=_Here, init=False)

    @property
    def task(self) -> Task:  # type: ignore[override]
        """The calling thread."""
        return Task(os.getpid(), threading.get_native_id(), threading.current_thread().name)

    @property
    def interruption(self) -> Interruption:
        """Of the calling thread."""
        return self._here.interruption

    @interruption.setter
    def interruption(self, interruption: Interruption) -> None:
        self._here.interruption = interruption

    def on_host(self, path: str) -> str | None:
        """See :func:`harness.mounts.overlay.directory_on_host`."""
        return directory_on_host(path)

    def file(self, fd: int) -> OpenFile | HostFile:
        """A file of the machine, or a real one: EBADF if it is open as neither (fget)."""
        if fd in self.descriptions:
            return self.description(fd).open_file
        return HostFile(self.holder, os.getpid(), fd, copy_fd(os.getpid(), fd))

    def add(self, description: Description) -> int:
        """A real fd that nothing can be done with."""
        fd = os.open(os.devnull, os.O_PATH | os.O_CLOEXEC)
        self.descriptions[fd] = description
        return fd

    def put(self, fd: int, description: Description) -> None:
        """The same at ``fd``, closing what the host has there (dup2)."""
        reserved = os.open(os.devnull, os.O_PATH | os.O_CLOEXEC)
        os.dup2(reserved, fd, inheritable=False)
        os.close(reserved)
        self.descriptions[fd] = description


class InProcessCalls(SystemCalls):
    """System calls on the merged tree."""

    caller: InProcessCaller

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, InProcessCaller(holder=Holder(kernel)))
        self._overlay = Overlay(kernel)

    def close(self, fd: int) -> None:
        """The real fd is free again, too."""
        super().close(fd)
        os.close(fd)

    def catch_up(self) -> None:
        """What was done to real eventfds comes before the call that follows."""
        if self.caller.holder.watches:
            with self.kernel.lock:
                self.caller.holder.catch_up()

    def _call(self, operation: str, target: Any, *arguments: Any) -> Any:
        self.catch_up()
        return super()._call(operation, target, *arguments)

    @property
    def root(self) -> Node:
        """See :class:`harness.kernel.vfs.Walker`."""
        return self.kernel.root

    def call(self, caller: Caller, operation: str, target: Node, *arguments: str) -> object:
        """A lookup or readlink in the merged tree."""
        if operation == "readlink":
            return self._target(target)
        (name,) = arguments
        if target is self.kernel.root:
            if name not in self.kernel.roots:
                return HostNode(f"/{name}", name, stat.S_IFDIR, 0)
            return self.kernel.roots[name].directory
        host = self._overlay.find(target, name)
        return self._call("lookup", target, name) if host is None else host

    def walk(self, path: str, *, follow: bool = True) -> Node:
        """The machine's node, or a link of the host; OnHost for anything else of the host's."""
        return path_walk(self, self.caller, path, follow=follow, arrived=_arrived)

    def _target(self, link: Node) -> str:
        if isinstance(link, HostNode):
            return link.readlink(self.caller)
        return str(self._call("readlink", link))

    def stat(self, path: str, *, follow: bool = True) -> Any:
        """See :class:`SystemCalls`; a link of the host is the host's."""
        node = self.walk(path, follow=follow)
        if isinstance(node, HostNode):
            raise OnHost(node.path_on_host)
        return self._call("getattr", node)

    def readlink(self, path: str) -> str:
        """See :class:`SystemCalls`."""
        return self._target(self.walk(path, follow=False))

    def children(self, node: Node) -> list[tuple[str, Node]]:
        """The machine's entries, then those of the host that it does not have."""
        mine = super().children(node)
        names = node.children if isinstance(node, KernfsDirectory) else {}
        host = self._overlay.entries(node).items()
        return [*mine, *((name, entry) for name, entry in host if name not in names)]
