# SPDX-License-Identifier: Apache-2.0
"""A machine's /sys and /dev for the Python code of this process.

pyfakefs finds every place that holds ``os``, ``io``, ``fcntl``, ``select``, ``mmap``, ``open`` or
one of their functions, in modules loaded before and during the mount, and puts ours there. Its own
fake file system stays unused: what is not the machine's is the host's, as in the process mount.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterable
from types import ModuleType, TracebackType
from typing import Any, ClassVar

from pyfakefs.fake_filesystem_unittest import PATH_MODULE, Patcher

from harness.machine import Machine
from harness.mounts.inprocess.calls import InProcessCalls
from harness.mounts.inprocess.children import Children
from harness.mounts.inprocess.fake_os import NAMES, FakeOs, make_os
from harness.mounts.inprocess.mapping import make_mmap
from harness.mounts.inprocess.modules import make_fcntl, make_io
from harness.mounts.inprocess.polling import make_select, make_selectors
from harness.mounts.process.errors import MountError

_FUNCTIONS = {
    "os": [*NAMES, "walk", "fwalk", "makedirs", "removedirs", "renames", "popen", "fdopen"],
    "io": ["open"],
    "fcntl": ["ioctl", "fcntl"],
    "select": ["select", "poll", "epoll"],
    "mmap": ["mmap"],
}


class _Function:
    """What the patcher takes for a method, and binds; it is a function already."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self._function


class _Patcher(Patcher):
    """Puts ``modules`` in the place of the real ones of those names."""

    #: Ours work on the real files, whenever they were imported.
    _OURS: ClassVar[str] = "harness"
    SKIPMODULES: ClassVar[set[Any]] = Patcher.SKIPMODULES | {select}

    def __init__(self, modules: dict[str, Any]) -> None:
        self._modules = modules
        names = [name for name in sys.modules if name.partition(".")[0] == self._OURS]
        ours: list[str | ModuleType] = [*names]
        super().__init__(additional_skip_names=ours, use_known_patches=False, use_cache=False)

    def _init_fake_module_classes(self) -> None:
        self._fake_module_classes = {
            name: lambda _, module=module: module for name, module in self._modules.items()
        }
        self._unfaked_module_classes: dict[str, Any] = {}
        self._class_modules: dict[str, list[str]] = {}

    def _init_fake_module_functions(self) -> None:
        places = {"os": ["os", "posix"], "io": ["io", "_io"]}
        for module, names in _FUNCTIONS.items():
            for name in names:
                for place in places.get(module, [module]):
                    self._add(name, place, getattr(self._modules[module], name), module)
        path = self._modules["os"].path
        for name in path.__all__:
            for place in ("genericpath", PATH_MODULE):
                self._add(name, place, getattr(path, name), PATH_MODULE)

    def _add(self, name: str, place: str, function: Any, module: str) -> None:
        if callable(function):
            known = self._fake_module_functions.setdefault(name, {})
            known[place] = (_Function(function), module)


class InProcessMount:
    """The code of this process in a machine; a context manager. One at a time in a process.

    ``cannot`` is called with the reason when a program that the code starts cannot run in the
    machine on this host; without it, ChildrenError is raised. Without ``patched``, nothing sees
    the machine but who uses ``modules``.
    """

    _active: ClassVar[InProcessMount | None] = None

    def __init__(
        self,
        machine: Machine,
        *,
        cannot: Callable[[str], object] | None = None,
        patched: bool = True,
    ) -> None:
        self._machine = machine
        self._children = Children(machine, cannot)
        self._patched = patched
        self._patcher: _Patcher | None = None
        #: What was still running at the end, and was killed.
        self.killed: list[str] = []

    def __enter__(self) -> InProcessMount:
        """From now on, the process sees the machine. MountError if something is in the way."""
        if InProcessMount._active is not None:
            raise MountError("there is an in-process mount already; only one can be at a time")
        if Patcher.PATCHER is not None:
            raise MountError("pyfakefs has replaced the file system already (its fixture fs?)")
        self.calls = InProcessCalls(self._machine.kernel)
        fake = self._fake = FakeOs(self.calls, self._children)
        fake_os = make_os(fake)
        fake_select = make_select(self.calls)
        #: The modules that code in the mount has, by name.
        self.modules: dict[str, ModuleType] = {
            "os": fake_os,
            "os.path": fake_os.path,
            "io": make_io(fake),
            "fcntl": make_fcntl(fake, self.calls),
            "select": fake_select,
            "selectors": make_selectors(fake_select),
            "mmap": make_mmap(fake, self.calls),
        }
        self._children.start(fake.getuid, fake.getcwd)
        if self._patched:
            self._patch()
        InProcessMount._active = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Everything is as it was; files of the machine that are still open are closed."""
        InProcessMount._active = None
        if self._patcher is not None:
            self._patcher.tearDown()
            self._patcher = None
        self.killed = self._children.stop()
        for fd in list(self.calls.caller.descriptions):
            self._fake.close(fd)
        self.calls.caller.holder.close()

    def _patch(self) -> None:
        try:
            self._patcher = _Patcher(self.modules)
            self._patcher.setUp()
        except BaseException:
            self._children.stop()
            raise

    def open_paths(self) -> Iterable[str]:
        """The files of the machine that this process has open."""
        return [held.open_file.node.path() for held in self.calls.caller.descriptions.values()]


def _in_child() -> None:
    """A forked child shares no memory with the machine."""
    if InProcessMount._active is not None:
        InProcessMount._active._fake.forked = True


os.register_at_fork(after_in_child=_in_child)
