# SPDX-License-Identifier: Apache-2.0
"""A machine file becomes a machine; the public object.

The plan: a machine file names a profile, modules and the functions on the PCI buses. It is read
and checked whole before anything is built. Then come the kernel, the buses with their functions,
the modules in order, and at last the recorded paths that no driver makes.
"""

from __future__ import annotations

import gc
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from cattrs.errors import BaseValidationError

from harness import data, machine_file
from harness.drivers.dmaengine import dma_bus_init
from harness.drivers.pci import (
    Interrupt,
    Iommu,
    IommuInfo,
    Numa,
    PciBus,
    PciDevice,
    Site,
    parse_cpulist,
    pci_stop_and_remove_bus_device,
)
from harness.drivers.pci.slot import hotplug_event
from harness.drivers.pci.stock import register_builtin_drivers
from harness.hardware import KINDS
from harness.hardware.pci_config import ConfigError
from harness.kernel.clock import Clock
from harness.kernel.errors import Errno
from harness.kernel.iommu import IommuCapabilities
from harness.kernel.kernfs import TextFile
from harness.kernel.module import Module, ModuleInfo, load_module
from harness.kernel.profile import Profile
from harness.kernel.sysfs import sysfs_create_link
from harness.kernel.system import Cpu, Kernel
from harness.kernel.task import LocalCaller
from harness.kernel.trace import Event, Trace
from harness.kernel.uevents import Uevent
from harness.kernel.vfs import Node, OpenFile, is_directory, is_link
from harness.machine_file import (
    ExtraEntry,
    IommuEntry,
    MachineError,
    MachineFile,
    PciEntry,
    Problem,
)
from harness.module_file import ModuleFileError, describe, files_of_environment, read
from harness.uapi.fs import O_RDONLY, O_WRONLY, PAGE_SIZE

__all__ = ["Machine", "MachineError", "load_machine"]

#: Where packages of others name their modules.
ENTRY_POINTS = "uapi_harness.modules"
#: Our own modules, by the package whose MODULES has them; a package is loaded when it is named.
BUILTIN_MODULES = {
    **dict.fromkeys(("idxd_bus", "idxd", "iaa_crypto", "idxd_mdev"), "harness.drivers.idxd"),
    **dict.fromkeys(("mdev", "vfio_mdev"), "harness.drivers.mdev"),
    **dict.fromkeys(
        ("virtio_pci", "shpchp", "pci_stub", "uio_pci_generic"), "harness.drivers.pci.stock"
    ),
    **dict.fromkeys(("mtty", "mdpy", "mbochs"), "harness.drivers.samples"),
    "configfs": "harness.kernel.configfs",
    "configfs_sample": "harness.drivers.configfs_sample",
    "null_blk": "harness.drivers.null_blk",
    "nvmet": "harness.drivers.nvmet",
    "iommufd": "harness.drivers.iommufd",
    **dict.fromkeys(("vfio", "vfio_iommu_type1"), "harness.drivers.vfio"),
    **dict.fromkeys(("vfio_pci_core", "vfio_pci"), "harness.drivers.vfio_pci"),
}


class ModuleFiles(Mapping[str, Module]):
    """All modules of one kernel that there are here; each is imported when it is asked for."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile

    def __getitem__(self, name: str) -> Module:
        try:
            module = _find_module(name)
        except Problem:
            raise KeyError(name) from None
        if not module.in_kernel(self._profile):
            raise KeyError(name)
        return module

    def __iter__(self) -> Iterator[str]:
        from importlib.metadata import entry_points  # slow, and seldom needed

        names = {*BUILTIN_MODULES, *entry_points(group=ENTRY_POINTS).names}
        return iter(sorted(name for name in names if self.get(name) is not None))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Waker:
    """A trace observer that sets an event whenever another thread has done something."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._owner = threading.get_ident()

    def before(self, event: Event) -> Callable[[], Any] | None:
        """Only watches."""
        return None

    def after(self, event: Event) -> None:
        """Something may have changed, unless it was the waiting thread that looked."""
        if threading.get_ident() != self._owner:
            self.event.set()


class Machine:
    """One fake machine. All methods may be called from any thread, but not from model code."""

    def __init__(
        self, name: str, description: str, kernel: Kernel, pci: PciBus, sites: dict[str, Site]
    ) -> None:
        self.name = name
        self.description = description
        self.kernel = kernel
        self._pci = pci
        #: The functions of the machine file by address, plugged in or not.
        self._sites = sites

    @property
    def profile(self) -> Profile:
        """The kernel that this machine runs."""
        return self.kernel.profile

    @property
    def trace(self) -> Trace:
        """Observers of everything that happens."""
        return self.kernel.trace

    @property
    def uevents(self) -> list[Uevent]:
        """All uevents since the start."""
        return self.kernel.uevents.events

    @property
    def interrupts(self) -> list[Interrupt]:
        """The latest interrupt messages of all functions, oldest first."""
        with self.kernel.lock:
            return list(self._pci.interrupts)

    def read(self, path: str) -> str:
        """The text of a file, as root reads it. OSError."""
        with self._opened(path, O_RDONLY) as (caller, file):
            return self._read_all(caller, file).decode(errors="surrogateescape")

    def write(self, path: str, text: str) -> int:
        """One write(2) to a file, as root; how many bytes were taken. OSError."""
        with self._opened(path, O_WRONLY) as (caller, file):
            taken: int = self.kernel.call(caller, "write", file, 0, text.encode())
            return taken

    @contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[tuple[LocalCaller, OpenFile]]:
        caller = LocalCaller()
        try:
            file = self.kernel.call(caller, "open", self.kernel.walk(caller, path), flags)
            try:
                yield caller, file
            finally:
                self.kernel.release(file)
        except Errno as error:
            raise OSError(error.errno, os.strerror(error.errno), path) from None

    def _read_all(self, caller: LocalCaller, file: OpenFile) -> bytes:
        content = b""
        while chunk := self.kernel.call(caller, "read", file, len(content), PAGE_SIZE):
            content += chunk
        return content

    def devices(self, bus: str) -> list[str]:
        """The names of the devices on a bus, sorted. OSError for a bus that is not there."""
        return self.listdir(f"/sys/bus/{bus}/devices")

    def listdir(self, path: str) -> list[str]:
        """The names in a directory, sorted. OSError."""
        caller = LocalCaller()
        try:
            nodes = self.kernel.call(caller, "readdir", self.kernel.walk(caller, path))
        except Errno as error:
            raise OSError(error.errno, os.strerror(error.errno), path) from None
        return sorted(node.name for node in nodes)

    def tree(self, path: str = "/sys") -> dict[str, dict[str, Any]]:
        """Every node at and below ``path`` as in the recorded trees, by path, sorted.

        A link is ``{"link": target}``, an empty directory ``{"dir": []}``, a file
        ``{"mode": "0o644", "size": 4096}`` and, if everybody may read it, its content as ``text``
        or ``hex``, or the ``errno`` that reading gave. OSError.
        """
        caller = LocalCaller()
        try:
            top = self.kernel.walk(caller, path, follow=False)
        except Errno as error:
            raise OSError(error.errno, os.strerror(error.errno), path) from None
        with self.kernel.lock:
            leaves = _leaves(caller, top)
        return {path: self._shown(caller, leaves[path]) for path in sorted(leaves)}

    def _shown(self, caller: LocalCaller, node: Node) -> dict[str, Any]:
        if is_directory(node):
            return {"dir": []}
        if is_link(node):
            return {"link": self.kernel.call(caller, "readlink", node)}
        mode = stat.S_IMODE(node.mode)
        shown: dict[str, Any] = {"mode": f"{mode:#o}", "size": node.size}
        if not mode & stat.S_IROTH:
            return shown
        try:
            file = self.kernel.call(caller, "open", node, O_RDONLY)
            try:
                return shown | _content(self._read_all(caller, file))
            finally:
                self.kernel.release(file)
        except Errno as error:
            return shown | {"errno": error.errno}

    def plug(self, address: str) -> None:
        """Put a function of the machine file, now unplugged, into its slot. ValueError."""
        site = self._site(address)
        with self.kernel.lock:
            if address in self._pci.sites:
                raise ValueError(f"{address} is plugged in")
            if site.bus_name not in self._pci.segments:
                raise ValueError(f"the bridge to {address} is not plugged in")
            self._pci.sites[address] = site
            hotplug_event(self._pci.segments[site.bus_name], address)

    def unplug(self, address: str) -> None:
        """Take a function away; its driver loses it as it would by surprise. ValueError."""
        self._site(address)
        with self.kernel.lock:
            if address not in self._pci.sites:
                raise ValueError(f"{address} is not plugged in")
            del self._pci.sites[address]
            device = self._pci.devices.get(address)
            if isinstance(device, PciDevice):
                pci_stop_and_remove_bus_device(device)

    def _site(self, address: str) -> Site:
        try:
            return self._sites[address]
        except KeyError:
            known = ", ".join(self._sites)
            raise ValueError(f"there is no function {address}; known: {known}") from None

    def wait_for(self, condition: Callable[[], bool], timeout: float = 10.0) -> None:
        """Return once ``condition()``, tried again whenever something has happened. TimeoutError.

        ``timeout`` is in seconds of the host. What happens must come from another thread, such as
        a mount that serves programs.
        """
        waker = _Waker()
        deadline = time.monotonic() + timeout
        self.trace.observers.append(waker)
        try:
            while not condition():
                if not waker.event.wait(max(deadline - time.monotonic(), 0)):
                    raise TimeoutError(f"the condition was not met in {timeout:g} seconds")
                waker.event.clear()
        finally:
            self.trace.observers.remove(waker)

    def leaks(self) -> list[str]:
        """What is still open or held: empty once all programs are gone."""
        return self.kernel.leaks()


def _leaves(caller: LocalCaller, top: Node) -> dict[str, Node]:
    """All nodes without children at and below ``top``, by path."""
    leaves: dict[str, Node] = {}
    pending = [top]
    while pending:
        node = pending.pop()
        children = node.readdir(caller) if is_directory(node) else []
        pending.extend(children)
        if not children:
            leaves[node.path()] = node
    return leaves


def _content(content: bytes) -> dict[str, str]:
    """As text if it is text."""
    with suppress(UnicodeDecodeError):
        if b"\0" not in content:
            return {"text": content.decode()}
    return {"hex": content.hex()}


# --- building


def load_machine(
    name_or_path: str | os.PathLike[str],
    *,
    profile: str | None = None,
    clock: Clock | None = None,
    modules: Sequence[Module | str | os.PathLike[str]] | None = None,
) -> Machine:
    """The machine of a name that comes along, or of a file.

    ``profile`` is the kernel to be instead of the file's own; ``clock`` its time, virtual by
    default. ``modules`` are loaded behind the machine's own: a Module or the file of one; those
    of the variable UAPI_MODULES unless given. Raises MachineError: ``FILE:LINE: KEY: what is
    wrong; what is allowed``.
    """
    path = machine_file.find(name_or_path)
    more = files_of_environment() if modules is None else modules
    with _nothing_is_garbage():
        file = machine_file.read(path, [*KINDS])
        try:
            users = [one if isinstance(one, Module) else read(one) for one in more]
            return _build(path, file, profile, clock, users)
        except ModuleFileError as error:
            raise MachineError(str(error)) from None
        except Problem as problem:
            raise machine_file.error_at(path, problem) from None


@contextmanager
def _nothing_is_garbage() -> Iterator[None]:
    """What is built stays; to look through it again and again for garbage takes as long as it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _build(
    path: str,
    file: MachineFile,
    profile: str | None,
    clock: Clock | None,
    users: Sequence[Module],
) -> Machine:
    running = _profile(file, profile)
    modules = _modules(file.modules, running, users)
    kernel = Kernel(running, clock, file.seed)
    numa = Numa({node: parse_cpulist(cpus) for node, cpus in file.cpu.nodes.items()})
    kernel.cpu = Cpu(movdir64b=file.cpu.movdir64b, enqcmd=file.cpu.enqcmd, count=numa.cpu_count)
    pci = PciBus(kernel, _iommu(kernel, file.iommu), numa)
    register_builtin_drivers(pci)
    sites: dict[str, Site] = {}
    roots = {entry.slot[:7] for entry in file.pci}
    buses = set(roots)
    for index, entry in enumerate(file.pci):
        _add_function(entry, ("pci", index), sites, pci, buses, qemu=file.qemu is not None)
    for name in sorted(roots):
        nodes = {entry.numa_node for entry in file.pci if entry.slot.startswith(name)}
        pci.acpi_pci_root_add(name, nodes.pop() if len(nodes) == 1 else -1)
    pci.is_up = True
    dma_bus_init(kernel)
    kernel.module_info = kernel.profile.section("modules", dict[str, ModuleInfo])
    kernel.module_files = ModuleFiles(kernel.profile)
    for module in modules:
        try:
            load_module(kernel, module)
        except (Exception, SystemExit) as error:
            # Ours have no errors but those of the machine file.
            if module not in users:
                raise
            text = describe(error) or f"module {module.name}: {type(error).__name__}: {error}"
            raise MachineError(text) from None
    for position, extra in file.extra.items():
        _add_extra(kernel, position, extra)
    name = file.name if file.name is not None else os.path.basename(path).partition(".")[0]
    description = data.one_line(" ".join(file.description.split()))
    return Machine(name, description, kernel, pci, sites)


def _iommu(kernel: Kernel, entry: IommuEntry | None) -> Iommu | None:
    if entry is None:
        return None
    capabilities = IommuCapabilities(
        address_width=entry.address_width,
        enforces_coherency=entry.snoop_control,
        takes_ats=entry.sva,
        isolates_msi=entry.interrupt_remapping,
    )
    return Iommu(kernel, IommuInfo(entry.sva, entry.pasid, capabilities), entry.type)


def _profile(file: MachineFile, wanted: str | None) -> Profile:
    name = wanted if wanted is not None else file.profile
    if name not in data.profile_names():
        message = f'there is no profile "{name}"; known: {", ".join(data.profile_names())}'
        if wanted is not None:
            raise MachineError(message)
        raise Problem(message, "profile")
    try:
        return Profile(name, data.load_profile(name))
    except data.DataError as error:
        raise MachineError(str(error)) from None


def _add_function(
    entry: PciEntry,
    keys: tuple[str | int, ...],
    sites: dict[str, Site],
    pci: PciBus,
    buses: set[str],
    *,
    qemu: bool,
) -> None:
    """Build the hardware of a function, and of those behind it; ``buses`` are there already."""
    try:
        name = pci.kernel.profile.name
        function = KINDS[entry.kind](machine_file.function_entry(entry, name, qemu=qemu))
        virtual = machine_file.virtual_function_entry(entry, qemu=qemu)
        machine_file.check_buses(entry, function.config, buses)
    except ConfigError as error:
        raise Problem(str(error), *error.keys).below(*keys) from None
    except Problem as problem:
        raise problem.below(*keys) from None
    except (ValueError, BaseValidationError) as error:
        raise machine_file.register_problem(error).below(*keys, "registers") from None
    site = Site(
        entry.slot,
        function,
        entry.numa_node,
        entry.firmware_node,
        entry.irq,
        entry.slots,
        virtual,
    )
    sites[site.address] = site
    if entry.present:
        pci.sites[site.address] = site
    for index, child in enumerate(entry.children):
        _add_function(child, (*keys, "children", index), sites, pci, buses, qemu=qemu)


def present_modules(names: tuple[str, ...], profile: str) -> list[str]:
    """Those of the modules ``names`` that the kernel has; all for a kernel without a profile."""
    if profile not in data.profile_names():
        return list(names)
    kernel = Profile(profile, data.load_profile(profile))
    return [name for name in names if _find_module(name).in_kernel(kernel)]


def _modules(names: tuple[str, ...], profile: Profile, users: Sequence[Module]) -> list[Module]:
    """The modules in the order in which they are loaded, what they depend on first, and a user's
    own last. One of a user's may depend on another.

    Those that this kernel lacks are left off, with what only they depend on.
    """
    ordered: dict[str, Module] = {}
    own = {module.name: module for module in users}
    waiting: set[str] = set()

    def add(name: str) -> None:
        if name not in ordered:
            module = own[name] if name in own else _find_module(name)
            if not module.in_kernel(profile):
                return
            if name in waiting:
                raise Problem(f"{name} depends on itself")
            waiting.add(name)
            for needed in module.needs(profile):
                add(needed)
            ordered[name] = module

    for index, name in enumerate(names):
        try:
            add(name)
        except Problem as problem:
            raise problem.below("modules", index) from None
    for name in own:
        try:
            add(name)
        except Problem as problem:
            raise MachineError(f"module {name}: {problem}") from None
    return list(ordered.values())


def _find_module(name: str) -> Module:
    """One of ours, or of a package with an entry point of this name."""
    if name in BUILTIN_MODULES:
        modules: tuple[Module, ...] = import_module(BUILTIN_MODULES[name]).MODULES
        return next(module for module in modules if module.name == name)
    from importlib.metadata import entry_points  # slow, and seldom needed

    points = entry_points(group=ENTRY_POINTS)
    for point in points.select(name=name):
        module = point.load()
        if isinstance(module, Module):
            return module
        raise Problem(f"the entry point {name} of {ENTRY_POINTS} is no Module")
    known = ", ".join(sorted({*BUILTIN_MODULES, *points.names}))
    raise Problem(f'there is no module "{name}"; known: {known}')


def _add_extra(kernel: Kernel, position: str, extra: ExtraEntry) -> None:
    """Make one recorded path: a file, a link to what is there, or a directory."""
    *folders, name = position.removeprefix("/sys/").split("/")
    directory = kernel.sysfs
    try:
        if not position.startswith("/sys/"):
            raise Problem("a recorded path begins with /sys/", "extra", position)
        for folder in folders:
            directory = directory.directory(folder)
        if extra.link is not None:
            target = kernel.walk(LocalCaller(), f"{directory.path()}/{extra.link}")
            sysfs_create_link(directory, target, name)
        elif extra.text is not None:
            content = extra.text
            directory.add(TextFile(directory.root, name, extra.mode, lambda caller: content, None))
        else:
            directory.directory(name)
    except Errno as error:
        raise Problem(f"it cannot be made: {error}", "extra", position) from None
