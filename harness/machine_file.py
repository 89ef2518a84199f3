# SPDX-License-Identifier: Apache-2.0
"""Schema 1 of a machine file and its checks. A problem is one line: ``FILE:LINE: KEY: ...``."""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Collection, Mapping
from types import UnionType
from typing import Any, get_args, get_origin

import attrs
from attrs import Factory, frozen
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)

from harness import data
from harness.hardware import pci_config as cfg
from harness.hardware.pci_config import (
    Bar,
    ConfigError,
    FunctionEntry,
    Rom,
    build_config,
)
from harness.kernel.iommu import DOMAIN_TYPES

SCHEMA = 1
_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
_ID = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}")
_HEX = re.compile(r"([0-9a-fA-F]{2}|\s)*")
#: As many devices as a bus can have; the bits of a ROM's address that cannot be written.
_MOST_SLOTS, _SMALLEST_ROM = 32, 2048
#: As Debian builds its kernels: CONFIG_NR_CPUS, CONFIG_NODES_SHIFT, NAME_MAX, int.
_MOST_CPUS, _MOST_NODES, _NAME_MAX, _INT_MAX = 8192, 1 << 10, 255, (1 << 31) - 1
#: Of the page tables of Intel's IOMMUs: 3, 4 and 5 levels.
_ADDRESS_WIDTHS = (39, 48, 57)
#: Kinds that QEMU does not have: our own hardware is put into its slots.
ACCELERATORS = ("dsa", "iaa")
_CPU_LIST = re.compile(r"\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*")


class MachineError(ValueError):
    """A machine file, or what was asked of it, is wrong. The message is one line."""


class Problem(Exception):
    """What is wrong with the value that ``keys`` lead to."""

    def __init__(self, message: str, *keys: str | int) -> None:
        super().__init__(message)
        self.keys = keys

    def below(self, *keys: str | int) -> Problem:
        """The same, seen from further up."""
        return Problem(str(self), *keys, *self.keys)


@frozen
class BarEntry:
    """A base address register; sizes and addresses in bytes."""

    size: int
    address: int = 0
    kind: str = "memory"
    prefetchable: bool = False
    bits: int = 32


@frozen
class RomEntry:
    """The expansion ROM; size and address in bytes.

    Its images take ``image_size`` bytes and begin with ``image``, in hexadecimal digits.
    """

    size: int
    address: int = 0
    image_size: int = 0
    image: str = ""


@frozen
class VirtualFunctionEntry:
    """What a function makes of itself by SR-IOV: recorded configuration space, and BARs.

    Their addresses, and how many there can be, are in the function's own configuration space.
    """

    config: str
    bars: Mapping[int, BarEntry] = Factory(dict)


@frozen
class PciEntry:
    """A function. ``slot`` is its address ``DDDD:BB:DD.F``; ``children`` are behind a bridge.

    ``config`` is recorded configuration space in hexadecimal, ``firmware_node`` an ACPI object's
    path below /sys/devices, ``irq`` the interrupt that ACPI routes the function's pin to, ``slots``
    how many hot-plug slots it describes behind a bridge. ``registers_by_profile`` is what differs
    with a profile: a recorded machine may have been another one under another kernel. A function
    with ``present: false`` waits for ``Machine.plug``.
    """

    slot: str
    kind: str = "function"
    id: str | None = None
    subsystem: str | None = None
    class_: int | None = None
    revision: int | None = None
    command: int | None = None
    numa_node: int = -1
    firmware_node: str | None = None
    irq: int | None = None
    slots: int = 0
    present: bool = True
    config: str = ""
    bars: Mapping[int, BarEntry] = Factory(dict)
    rom: RomEntry | None = None
    virtual_function: VirtualFunctionEntry | None = None
    capabilities: tuple[Mapping[str, Any], ...] = ()
    registers: Mapping[str, Any] = Factory(dict)
    registers_by_profile: Mapping[str, Mapping[str, Any]] = Factory(dict)
    children: tuple[PciEntry, ...] = ()


@frozen
class IommuEntry:
    """What the IOMMU can do: PASIDs, and sharing a process's memory (SVA).

    ``type`` is the default domain's, as in /sys/kernel/iommu_groups/N/type. ``address_width`` is
    that of addresses that devices use, in bits, and ``snoop_control`` says whether it can make
    all DMA coherent. With ``interrupt_remapping`` it looks at messages of interrupts, too.
    """

    sva: bool = False
    pasid: bool = False
    type: str = "DMA-FQ"
    address_width: int = 57
    snoop_control: bool = True
    interrupt_remapping: bool = True


@frozen
class CpuEntry:
    """The processor's instructions, and the CPUs of each NUMA node as lists of ranges."""

    movdir64b: bool = True
    enqcmd: bool = True
    nodes: Mapping[int, str] = Factory(lambda: {0: "0"})


@frozen
class ExtraEntry:
    """A recorded path: ``text`` of a file, target of a ``link``, or neither: a directory."""

    text: str | None = None
    link: str | None = None
    mode: int = 0o444


@frozen
class QemuEntry:
    """How QEMU is this machine: its arguments, besides the accelerators.

    ``modules`` are loaded by the real kernel only, behind the machine's.
    """

    arguments: tuple[str, ...]
    modules: tuple[str, ...] = ()


@frozen
class MachineFile:
    """A whole machine file. ``memory`` (bytes) and ``qemu`` are for a real kernel."""

    schema: int
    profile: str
    name: str | None = None
    description: str = ""
    modules: tuple[str, ...] = ()
    pci: tuple[PciEntry, ...] = ()
    iommu: IommuEntry | None = None
    cpu: CpuEntry = CpuEntry()
    memory: int | None = None
    seed: int = 0
    qemu: QemuEntry | None = None
    extra: Mapping[str, ExtraEntry] = Factory(dict)


# --- from the document to records: types exactly, names exactly

_KINDS = {int: "a number", str: "text (in quotes)", bool: "true or false"}


def _shown(value: Any) -> str:
    """As the file would have it, if that is short."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f'"{value}"' if isinstance(value, str) else reprlib.repr(value)


def structure(value: Any, kind: Any) -> Any:
    """``value`` as ``kind``; Problem for what does not fit."""
    if kind is Any:
        return value
    if kind in _KINDS:
        return _scalar(value, kind)
    arguments = get_args(kind)
    if isinstance(kind, UnionType):
        return None if value is None else structure(value, arguments[0])
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise Problem(f"{_shown(value)} is not a list")
        return tuple(_at(index, item, arguments[0]) for index, item in enumerate(value))
    if not isinstance(value, dict):
        raise Problem(f"{_shown(value)} is not a mapping")
    if get_origin(kind) is Mapping:
        return {_at(key, key, arguments[0]): _at(key, value[key], arguments[1]) for key in value}
    return _record(value, kind)


def _scalar(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise Problem(f"{_shown(value)} is not {_KINDS[kind]}")
    if isinstance(value, str):
        try:
            value.encode(errors="surrogateescape")
        except UnicodeEncodeError:
            raise Problem(f"{_shown(value)} has half of a pair of surrogates in it") from None
    return value


def _at(key: str | int, value: Any, kind: Any) -> Any:
    try:
        return structure(value, kind)
    except Problem as problem:
        raise problem.below(key) from None


def _record(value: dict[Any, Any], kind: Any) -> Any:
    fields = {field.name.rstrip("_"): field for field in attrs.fields(attrs.resolve_types(kind))}
    for key in value:
        if key not in fields:
            raise Problem(_unknown(str(key), list(fields)), key)
    for name, field in fields.items():
        if field.default is attrs.NOTHING and name not in value:
            raise Problem(f"{name} is missing")
    return kind(
        **{
            field.name: _at(name, value[name], field.type)
            for name, field in fields.items()
            if name in value
        }
    )


def _unknown(key: str, allowed: list[str]) -> str:
    import difflib  # only for a message, and slow to load

    close = difflib.get_close_matches(key, allowed, 1)
    hint = f"did you mean {close[0]}?" if close else f"allowed: {', '.join(allowed)}"
    return f"unknown key; {hint}"


# --- what the types cannot say


def _check(machine: MachineFile, kinds: Collection[str]) -> None:
    if machine.schema != SCHEMA:
        raise Problem(f"{machine.schema} is not a schema of machine files; allowed: 1", "schema")
    if machine.name is not None and not (machine.name and machine.name.isprintable()):
        raise Problem(f"{_shown(machine.name)} is no name in one line", "name")
    _within(machine.memory, 1, None, "memory")
    addresses: set[str] = set()
    for index, entry in enumerate(machine.pci):
        try:
            _check_function(entry, kinds, addresses)
        except Problem as problem:
            raise problem.below("pci", index) from None
    if machine.iommu is not None:
        _among(machine.iommu.type, "type of domain", DOMAIN_TYPES, "iommu", "type")
        width = machine.iommu.address_width
        _among(width, "width", _ADDRESS_WIDTHS, "iommu", "address_width")
    _check_cpus(machine.cpu.nodes)
    for path, extra in machine.extra.items():
        _check_path(path, "/sys/", "extra", path)
        _within(extra.mode, 0, 0o777, "extra", path, "mode")


def _within(value: int | None, first: int, last: int | None, *keys: str | int) -> None:
    """Problem for a number that is less than ``first`` or more than ``last``."""
    if value is not None and not (first <= value and (last is None or value <= last)):
        allowed = f"{first} and more" if last is None else f"{first} to {last}"
        raise Problem(f"it cannot be {reprlib.repr(value)}; allowed: {allowed}", *keys)


def _among(value: Any, what: str, allowed: Collection[Any], *keys: str | int) -> None:
    if value not in allowed:
        names = ", ".join(map(str, allowed))
        raise Problem(f"{_shown(value)} is no {what}; allowed: {names}", *keys)


def _check_path(path: str, start: str, *keys: str | int) -> None:
    """Problem for a path that sysfs cannot have."""
    if not path.startswith(start):
        raise Problem(f"a recorded path begins with {start}", *keys)
    for name in path.removeprefix(start).split("/"):
        length = len(name.encode(errors="surrogateescape"))
        if name in ("", ".", "..") or "\0" in name or length > _NAME_MAX:
            message = f"{_shown(name)} in a path is no name of 1 to {_NAME_MAX} bytes"
            raise Problem(message, *keys)


def _check_cpus(nodes: Mapping[int, str]) -> None:
    if not nodes:
        raise Problem('a machine has CPUs; write: {0: "0"}', "cpu", "nodes")
    for node, text in nodes.items():
        _within(node, 0, _MOST_NODES - 1, "cpu", "nodes", node)
        if not _CPU_LIST.fullmatch(text):
            raise Problem(f'"{text}" is no list of CPUs such as "0-3,8"', "cpu", "nodes", node)
        for part in text.split(","):
            first, _, last = part.partition("-")
            cpus = range(int(first), int(last or first) + 1)
            if not cpus or cpus[-1] >= _MOST_CPUS:
                raise Problem(f"{part} is no range below {_MOST_CPUS}", "cpu", "nodes", node)


def _check_function(entry: PciEntry, kinds: Collection[str], addresses: set[str]) -> None:
    if not _ADDRESS.fullmatch(entry.slot):
        raise Problem(f'"{entry.slot}" is no address such as "0000:6a:01.0"', "slot")
    if entry.slot in addresses:
        raise Problem(f"{entry.slot} is there twice", "slot")
    addresses.add(entry.slot)
    if entry.kind not in kinds:
        allowed = ", ".join(kinds)
        raise Problem(f'"{entry.kind}" is not a kind; allowed: {allowed}', "kind")
    for name in ("id", "subsystem"):
        value = getattr(entry, name)
        if value is not None and not _ID.fullmatch(value):
            raise Problem(f'"{value}" is no id such as "8086:0b25"', name)
    _within(entry.class_, 0, 0xFFFFFF, "class")
    _within(entry.revision, 0, 0xFF, "revision")
    _within(entry.command, 0, 0xFFFF, "command")
    _within(entry.numa_node, -1, _MOST_NODES - 1, "numa_node")
    _check_space(entry)
    if entry.virtual_function is not None:
        try:
            _check_space(entry.virtual_function)
        except Problem as problem:
            raise problem.below("virtual_function") from None
    _check_profiles(entry.registers_by_profile)
    _check_firmware(entry)
    for index, child in enumerate(entry.children):
        try:
            _check_function(child, kinds, addresses)
        except Problem as problem:
            raise problem.below("children", index) from None


def _check_firmware(entry: PciEntry) -> None:
    _within(entry.slots, 0, _MOST_SLOTS, "slots")
    _within(entry.irq, 0, _INT_MAX, "irq")
    if entry.firmware_node is not None:
        _check_path(entry.firmware_node, "", "firmware_node")
    if entry.rom is not None:
        _within(entry.rom.size, _SMALLEST_ROM, None, "rom", "size")
        _within(entry.rom.image_size, 0, entry.rom.size, "rom", "image_size")


def _check_profiles(names: Collection[str]) -> None:
    for name in names:
        if name not in data.profile_names():
            known = ", ".join(data.profile_names())
            message = f'there is no profile "{name}"; known: {known}'
            raise Problem(message, "registers_by_profile", name)


def _check_space(space: PciEntry | VirtualFunctionEntry) -> None:
    """Recorded configuration space, and BARs."""
    if not _HEX.fullmatch(space.config):
        raise Problem("not an even number of hexadecimal digits", "config")
    if len(bytes.fromhex(space.config)) > cfg.EXTENDED_CONFIG_SIZE:
        raise Problem(f"more than {cfg.EXTENDED_CONFIG_SIZE} bytes", "config")
    for index, bar in space.bars.items():
        _check_bar(index, bar)
        if bar.bits == 64 and index + 1 in space.bars:
            raise Problem(f"BAR {index} has 64 bits and is BAR {index + 1}, too", "bars", index + 1)


def _check_bar(index: int, bar: BarEntry) -> None:
    last = 4 if bar.bits == 64 else 5
    if not 0 <= index <= last:
        raise Problem(f"a BAR of {bar.bits} bits is number 0 to {last}", "bars", index)
    if bar.kind not in ("memory", "io"):
        raise Problem(f'"{bar.kind}" is not a kind; allowed: memory, io', "bars", index, "kind")
    widths = (32,) if bar.kind == "io" else (32, 64)
    _among(bar.bits, "width", widths, "bars", index, "bits")


def check_buses(entry: PciEntry, config: bytes | bytearray, buses: set[str]) -> None:
    """Problem unless only a bridge has children, on the buses that its configuration space says,
    and the bus behind it is not yet one of ``buses``, to which it is added.
    """
    domain = entry.slot[:5]
    bridge = config[cfg.HEADER_TYPE] & 0x7F == 1
    first, last = config[cfg.SECONDARY_BUS], config[cfg.SUBORDINATE_BUS]
    if bridge and first:
        name = f"{domain}{first:02x}"
        if name in buses:
            raise Problem(f"the bus behind this bridge, {name}, is there already", "config")
        buses.add(name)
    for index, child in enumerate(entry.children):
        if not bridge:
            raise Problem("only a bridge, by the header in config, has children", "children")
        if child.slot[:5] != domain or not first <= int(child.slot[5:7], 16) <= last:
            message = f"{child.slot} is not on one of the bridge's buses, {first:02x} to {last:02x}"
            raise Problem(message, "children", index, "slot")


def _rom(entry: RomEntry) -> Rom:
    """What is not known of the images is zeros."""
    try:
        image = bytes.fromhex(entry.image)
    except ValueError:
        message = "not an even number of hexadecimal digits in quotes"
        raise ConfigError(message, "rom", "image") from None
    return Rom(entry.size, entry.address, image.ljust(entry.image_size, b"\0"))


def function_entry(entry: PciEntry, profile: str, *, qemu: bool = False) -> FunctionEntry:
    """What the hardware needs to know of a function, in a machine with ``profile``.

    ``qemu`` says that the machine is one of QEMU's, to which accelerators are served by us.
    """
    vendor, device = _numbers(entry.id)
    subsystem_vendor, subsystem_device = _numbers(entry.subsystem)
    return FunctionEntry(
        kind=entry.kind,
        vendor=vendor,
        device=device,
        subsystem_vendor=subsystem_vendor,
        subsystem_device=subsystem_device,
        class_code=entry.class_,
        revision=entry.revision,
        command=entry.command,
        bars=_bars(entry.bars),
        capabilities=entry.capabilities,
        registers=_registers(entry, profile),
        config=bytes.fromhex(entry.config),
        rom=_rom(entry.rom) if entry.rom is not None else None,
        qemu=qemu and entry.kind not in ACCELERATORS,
    )


def _bars(entries: Mapping[int, BarEntry]) -> dict[int, Bar]:
    return {
        index: Bar(index, bar.size, bar.address, bar.kind, bar.prefetchable, bar.bits)
        for index, bar in entries.items()
    }


def virtual_function_entry(entry: PciEntry, *, qemu: bool) -> FunctionEntry | None:
    """What the hardware needs to know of the functions that a function makes of itself.

    ``qemu`` as in :func:`function_entry`. ConfigError for what they cannot be.
    """
    made = entry.virtual_function
    if made is None:
        return None
    virtual = FunctionEntry(config=bytes.fromhex(made.config), bars=_bars(made.bars), qemu=qemu)
    try:
        build_config(virtual)
    except ConfigError as error:
        raise ConfigError(str(error), "virtual_function", *error.keys) from None
    return virtual


def _registers(entry: PciEntry, profile: str) -> dict[str, Any]:
    """``6.12+iommufd`` is 6.12 in another configuration, so it has the same hardware."""
    special = entry.registers_by_profile
    return {**entry.registers, **special.get(profile, special.get(profile.partition("+")[0], {}))}


def _numbers(pair: str | None) -> tuple[int, int] | tuple[None, None]:
    if pair is None:
        return None, None
    first, second = pair.split(":")
    return int(first, 16), int(second, 16)


# --- reading


def is_path(name_or_path: str) -> bool:
    """Whether this is a path: it has a slash or ``.yaml`` in it. Else it is a name."""
    return os.sep in name_or_path or name_or_path.endswith((".yaml", ".yml"))


def find(name_or_path: str | os.PathLike[str]) -> str:
    """The file of a machine: a name, or a path."""
    path = os.fspath(name_or_path)
    if is_path(path):
        return path
    if path in data.machine_names():
        return data.machine_path(path)
    known = ", ".join(data.machine_names())
    raise MachineError(f'there is no machine "{path}"; known: {known}; or name a .yaml file')


def read(path: str, kinds: Collection[str]) -> MachineFile:
    """Read and check a machine file. MachineError."""
    try:
        document = data.load_yaml(path)
    except data.DataError as error:
        raise MachineError(data.one_line(str(error))) from None
    try:
        machine: MachineFile = structure(document, MachineFile)
        _check(machine, kinds)
    except Problem as problem:
        raise error_at(path, problem) from None
    except RecursionError:  # an alias can be inside of what it stands for
        raise MachineError(f"{data.one_line(path)}: children of children without end") from None
    return machine


def error_at(path: str, problem: Problem) -> MachineError:
    """The one line that says where in the file what is wrong."""
    where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in problem.keys)
    line = data.line_of(path, problem.keys)
    separator = ": " if where else ""
    return MachineError(data.one_line(f"{path}:{line}: {where.lstrip('.')}{separator}{problem}"))


def register_problem(error: Exception) -> Problem:
    """What is wrong with the values of a kind of device, as its own class found it."""
    if not isinstance(error, BaseValidationError):
        return Problem(str(error))
    inner = error.exceptions[0]
    if isinstance(inner, ForbiddenExtraKeysError):
        key = sorted(inner.extra_fields)[0]
        return Problem(_unknown(key, [field.name for field in attrs.fields(inner.cl)]), key)
    problem = register_problem(inner)
    for note in getattr(inner, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return problem.below(note.name)
        if isinstance(note, IterableValidationNote):
            return problem.below(note.index)
    return problem
