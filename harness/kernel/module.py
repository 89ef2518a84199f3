# SPDX-License-Identifier: Apache-2.0
"""Modules: what registers buses, drivers and nodes, and how /sys/module shows them.

A :class:`Module` of ours and a user's come through the same table (entry point group
``uapi_harness.modules``); a machine file names modules, never Python to import.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, field, frozen

from harness.kernel.errors import Errno
from harness.kernel.kernfs import KernfsDirectory
from harness.kernel.kstrtox import kstrtobool, kstrtouint
from harness.kernel.sysfs import Attribute, sysfs_create_file, sysfs_create_link
from harness.kernel.task import Caller
from harness.kernel.uevents import kobject_synth_uevent

if TYPE_CHECKING:
    from harness.kernel.profile import Profile
    from harness.kernel.system import Kernel


@frozen
class Module:
    """A kernel module as a machine file names it.

    ``init(kernel)`` registers what the module brings, as module_init does; ``depends`` are loaded
    first. ``suites`` names the conformance suites about it. ``parameters()`` makes the module's
    parameters for one machine; they are in /sys/module before ``init`` runs. Where
    ``in_kernel(profile)`` is false, that kernel lacks the module: a machine file may name it all
    the same, and nothing is loaded.
    """

    name: str
    init: Callable[[Kernel], None]
    depends: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    parameters: Callable[[], tuple[Parameter, ...]] = tuple
    in_kernel: Callable[[Profile], bool] = lambda profile: True
    has_parameter: Callable[[Profile, str], bool] = lambda profile, name: True


class Parameter(Protocol):
    """A module parameter (struct kernel_param)."""

    name: str
    mode: int
    value: Any

    def show(self) -> str:
        """What the file reads as, without the newline."""

    def store(self, data: bytes) -> None:
        """Take what was written; EINVAL, ERANGE."""


@define(eq=False)
class BoolParameter:
    """A bool module parameter (param_ops_bool)."""

    name: str
    value: bool
    mode: int = 0o644

    def show(self) -> str:
        """param_get_bool."""
        return "Y" if self.value else "N"

    def store(self, data: bytes) -> None:
        """param_set_bool; EINVAL for what is no boolean."""
        self.value = kstrtobool(data)


@define(eq=False)
class UintParameter:
    """A module parameter of 32 bits without sign (param_ops_uint)."""

    name: str
    value: int
    mode: int = 0o644

    def show(self) -> str:
        """param_get_uint."""
        return str(self.value)

    def store(self, data: bytes) -> None:
        """param_set_uint; EINVAL, ERANGE."""
        self.value = kstrtouint(data, 0)


@define(eq=False)
class LoadedModule:
    """A module in /sys/module. ``version`` and ``srcversion`` as MODULE_VERSION gives them.

    ``import_ns`` is the namespace of symbols that it uses, which 7.2 shows. ``taint`` is what is
    wrong with it, a letter each: O for one from outside the kernel, E for an unsigned one.
    """

    kernel: Kernel
    name: str
    coresize: int = 0
    version: str | None = None
    srcversion: str | None = None
    parameters: Mapping[str, Parameter] = field(factory=dict)
    holders: list[str] = field(factory=list)
    references: int = 0
    import_ns: str | None = None
    taint: str = ""
    #: What the module keeps for this machine, as in its static variables.
    data: Any = None


def param_attr_show(parameter: Parameter, caller: Caller) -> str:
    return f"{parameter.show()}\n"


def param_attr_store(parameter: Parameter, caller: Caller, data: bytes) -> None:
    """What the parameter says to it."""
    parameter.store(data)


def module_uevent_store(module: LoadedModule, caller: Caller, data: bytes) -> None:
    """store_uevent of kernel/params.c."""

    def send(action: str, extra: dict[str, str]) -> None:
        path = f"/module/{module.name}"
        module.kernel.uevents.send(action, path, {"SUBSYSTEM": "module", **extra})

    kobject_synth_uevent(data, send)


def _attributes(module: LoadedModule) -> list[Attribute]:
    def text(name: str, value: Callable[[LoadedModule], object]) -> Attribute:
        return Attribute(name, 0o444, lambda module, caller: f"{value(module)}\n")

    attributes = [
        text("coresize", lambda module: module.coresize),
        text("initsize", lambda module: 0),
        text("initstate", lambda module: "live"),
        text("refcnt", lambda module: module.references),
        text("taint", lambda module: module.taint),
        Attribute("uevent", 0o200, None, module_uevent_store),
    ]
    if module.version is not None:
        attributes.append(text("version", lambda module: module.version))
    if module.srcversion is not None:
        attributes.append(text("srcversion", lambda module: module.srcversion))
    if module.import_ns is not None:
        attributes.append(text("import_ns", lambda module: module.import_ns))
    return attributes


def mod_sysfs_setup(module: LoadedModule) -> KernfsDirectory:
    """Make /sys/module/NAME; EEXIST if it is there (kernel/module/sysfs.c, 6.1)."""
    modules = module.kernel.sysfs.directory("module")
    if module.name in modules.children:
        raise Errno(errno.EEXIST)
    directory = modules.directory(module.name)
    for attribute in _attributes(module):
        sysfs_create_file(directory, module, attribute)
    directory.directory("holders")
    if module.parameters:
        parameters = directory.directory("parameters")
        for parameter in module.parameters.values():
            attribute = Attribute(parameter.name, parameter.mode, param_attr_show, param_attr_store)
            sysfs_create_file(parameters, parameter, attribute)
    module.kernel.uevents.send("add", f"/module/{module.name}", {"SUBSYSTEM": "module"})
    return directory


def add_usage(user: KernfsDirectory, used: LoadedModule) -> None:
    """``user`` depends on ``used``: one more reference and a link in holders/."""
    holders = used.kernel.sysfs.directory("module").directory(used.name).directory("holders")
    sysfs_create_link(holders, user, user.name)
    used.references += 1
