# SPDX-License-Identifier: Apache-2.0
"""Modules: what registers buses, drivers and nodes, how they come and go, and /sys/module.

A :class:`Module` of ours and a user's come through the same table (entry point group
``uapi_harness.modules``); a machine file names modules, never Python to import.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from attrs import asdict, define, field, frozen

from harness.kernel.errors import Errno
from harness.kernel.kernfs import KernfsDirectory
from harness.kernel.kstrtox import kstrtobool, kstrtouint
from harness.kernel.sysfs import (
    Attribute,
    sysfs_create_file,
    sysfs_create_link,
    sysfs_remove_link,
)
from harness.kernel.task import Caller
from harness.kernel.uevents import kobject_synth_uevent
from harness.kernel.watched import Watched
from harness.uapi.fs import CAP_SYS_MODULE

if TYPE_CHECKING:
    from harness.kernel.profile import Profile
    from harness.kernel.system import Kernel

#: A name has so many bytes with its NUL.
MODULE_NAME_LEN = 56
_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{MODULE_NAME_LEN - 1}}}")


@frozen
class Module:
    """A kernel module as a machine file names it.

    ``init(kernel)`` registers what the module brings, as module_init does, and ``exit(kernel)``
    undoes it; a module without ``exit`` cannot be unloaded. ``depends`` are loaded first, or what
    it answers for a profile is. ``suites`` names the conformance suites about it. ``parameters()``
    makes the module's parameters for one machine; they are in /sys/module before ``init`` runs.
    Where ``in_kernel(profile)`` is false, that kernel lacks the module: a machine file may name it
    all the same, and nothing is loaded. ``aliases(profile)`` are patterns of the modaliases that
    it is for. ``watched(profile)`` is what its files ask of a mount.
    """

    name: str
    init: Callable[[Kernel], None]
    exit: Callable[[Kernel], None] | None = None
    depends: tuple[str, ...] | Callable[[Profile], tuple[str, ...]] = ()
    suites: tuple[str, ...] = ()
    parameters: Callable[[], tuple[Parameter, ...]] = tuple
    in_kernel: Callable[[Profile], bool] = lambda profile: True
    has_parameter: Callable[[Profile, str], bool] = lambda profile, name: True
    aliases: Callable[[Profile], tuple[str, ...]] = lambda profile: ()
    watched: Callable[[Profile], Watched] = lambda profile: Watched()

    def __attrs_post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            longest = MODULE_NAME_LEN - 1
            raise ValueError(
                f"{self.name!r}: at most {longest} letters, digits, _ and - are wanted"
            )
        if not callable(self.init):
            raise TypeError(f"init is {self.init!r}; a function of the kernel is wanted")
        if isinstance(self.depends, str):
            raise TypeError(f'depends is a text; write: depends=("{self.depends}",)')

    def parameters_in(self, profile: Profile) -> tuple[Parameter, ...]:
        """New parameters, those that this kernel has."""
        return tuple(
            parameter
            for parameter in self.parameters()
            if self.has_parameter(profile, parameter.name)
        )

    def needs(self, profile: Profile) -> tuple[str, ...]:
        """The modules that it depends on in this kernel."""
        return self.depends(profile) if callable(self.depends) else self.depends


@frozen
class ModuleInfo:
    """What /sys/module shows of a module of this kernel (profile section ``modules``)."""

    coresize: int = 0
    version: str | None = None
    srcversion: str | None = None
    import_ns: str | None = None
    taint: str = ""


class Parameter(Protocol):
    """A module parameter (struct kernel_param)."""

    name: str
    mode: int
    value: Any

    @property
    def kind(self) -> str:
        """What modinfo calls its type."""

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
    #: See kstrtobool.
    words: bool = False
    kind = "bool"

    def show(self) -> str:
        """param_get_bool."""
        return "Y" if self.value else "N"

    def store(self, data: bytes) -> None:
        """param_set_bool; EINVAL for what is no boolean."""
        self.value = kstrtobool(data, words=self.words)


@define(eq=False)
class UintParameter:
    """A module parameter of 32 bits without sign (param_ops_uint)."""

    name: str
    value: int
    mode: int = 0o644
    kind = "uint"

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
    ``source`` is what it was loaded from, and ``uses`` are the modules that it depends on.
    """

    kernel: Kernel
    source: Module
    name: str
    coresize: int = 0
    version: str | None = None
    srcversion: str | None = None
    parameters: Mapping[str, Parameter] = field(factory=dict)
    uses: list[LoadedModule] = field(factory=list)
    references: int = 0
    import_ns: str | None = None
    taint: str = ""
    state: str = "coming"
    #: What the module keeps for this machine, as in its static variables.
    data: Any = None

    @property
    def holders(self) -> list[str]:
        """The names of the modules that depend on this one, the newest first."""
        loaded = reversed(self.kernel.modules.values())
        return [other.name for other in loaded if self in other.uses]


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
        text("initstate", lambda module: module.state),
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


def mod_sysfs_teardown(module: LoadedModule) -> None:
    """Undo mod_sysfs_setup and add_usage_links (kernel/module/sysfs.c, 6.1)."""
    for used in module.uses:
        sysfs_remove_link(_holders(used), module.name)
    module.kernel.uevents.send("remove", f"/module/{module.name}", {"SUBSYSTEM": "module"})
    module.kernel.sysfs.directory("module").remove(module.name)


def _add_usage(module: LoadedModule, user: KernfsDirectory, used: LoadedModule) -> None:
    """``module`` depends on ``used``: one more reference and a link in holders/."""
    sysfs_create_link(_holders(used), user, user.name)
    used.references += 1
    module.uses.append(used)


def _holders(used: LoadedModule) -> KernfsDirectory:
    return used.kernel.sysfs.directory("module").directory(used.name).directory("holders")


# --- coming and going: kernel/module/main.c


def load_module(kernel: Kernel, module: Module, arguments: bytes = b"") -> None:
    """Show the module in /sys/module, hold what it depends on, and let it start (6.1).

    EEXIST if it is there, ENOENT without what it depends on, EINVAL for an argument that is no
    value of its parameter, and what its init says; others than its parameters are ignored.
    """
    if module.name in kernel.modules:
        raise Errno(errno.EEXIST)
    needs = module.needs(kernel.profile)
    if any(needed not in kernel.modules for needed in needs):  # simplify_symbols
        raise Errno(errno.ENOENT)
    info = kernel.module_info.get(module.name, ModuleInfo())
    parameters = {parameter.name: parameter for parameter in module.parameters_in(kernel.profile)}
    for parameter in parameters.values():
        if isinstance(parameter, BoolParameter):
            parameter.words = kernel.section.boolean_words
    _parse_args(parameters, arguments)
    shown = asdict(info)
    loaded = LoadedModule(kernel, module, module.name, parameters=parameters, **shown)
    directory = mod_sysfs_setup(loaded)
    kernel.modules[module.name] = loaded
    for needed in needs:
        _add_usage(loaded, directory, kernel.modules[needed])
    kernel.watched |= module.watched(kernel.profile)
    try:
        module.init(kernel)
    except Errno:
        _free_module(loaded)
        raise
    loaded.state = "live"


def _parse_args(parameters: Mapping[str, Parameter], arguments: bytes) -> None:
    """parse_args of kernel/params.c; a bool without a value is switched on."""
    for argument in arguments.split():
        name, equals, value = argument.partition(b"=")
        parameter = parameters.get(name.decode(errors="replace").replace("-", "_"))
        if parameter is None:
            continue
        if not equals and not isinstance(parameter, BoolParameter):
            raise Errno(errno.EINVAL)
        parameter.store(value if equals else b"1")


def _free_module(module: LoadedModule) -> None:
    mod_sysfs_teardown(module)
    for used in module.uses:  # module_unload_free
        used.references -= 1
    del module.kernel.modules[module.name]


def init_module(kernel: Kernel, caller: Caller, name: str, arguments: bytes) -> None:
    """init_module(2) and finit_module(2) of the module ``name``, once its file was read.

    EPERM without CAP_SYS_MODULE, ENOEXEC if it is none of this kernel's, then load_module.
    """
    _may_init_module(caller)
    module = kernel.module_files.get(name)
    if module is None:
        raise Errno(errno.ENOEXEC)
    load_module(kernel, module, arguments)


def delete_module(kernel: Kernel, caller: Caller, name: str) -> None:
    """delete_module(2) (6.1).

    EPERM without CAP_SYS_MODULE, ENOENT unless it is loaded, EAGAIN if others depend on it, EBUSY
    if it cannot be unloaded, EAGAIN while it is in use.
    """
    _may_init_module(caller)
    module = kernel.modules.get(name)
    if module is None:
        raise Errno(errno.ENOENT)
    if module.holders:
        raise Errno(errno.EWOULDBLOCK)
    if module.source.exit is None:
        raise Errno(errno.EBUSY)
    if module.references:
        raise Errno(errno.EWOULDBLOCK)
    module.state = "going"
    module.source.exit(kernel)
    _free_module(module)


def _may_init_module(caller: Caller) -> None:
    if not caller.credentials.capable(CAP_SYS_MODULE):
        raise Errno(errno.EPERM)
