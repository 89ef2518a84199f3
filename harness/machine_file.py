# SPDX-License-Identifier: Apache-2.0
"""Schema 1 of a machine file and its checks. A problem is one line: ``FILE:LINE: KEY: ...``."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from types import UnionType
from typing import Any, get_args, get_origin

import attrs
from attrs import Factory, frozen, validators
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)

from harness import data
from harness.hardware.pci_config import Bar, ConfigError, FunctionEntry, Rom
from harness.kernel.iommu import DOMAIN_TYPES

SCHEMA = 1
_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
_ID = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}")
_HEX = re.compile(r"([0-9a-fA-F]{2}|\s)*")
#: As many devices as a bus can have; the bits of a ROM's address that cannot be written.
_MOST_SLOTS, _SMALLEST_ROM = 32, 2048
_CPU_LIST = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")


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
    address_width: int = attrs.field(default=57, validator=validators.in_((39, 48, 57)))
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
    """As the file would have it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f'"{value}"' if isinstance(value, str) else str(value)


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
    addresses: set[str] = set()
    for index, entry in enumerate(machine.pci):
        try:
            _check_function(entry, kinds, addresses)
        except Problem as problem:
            raise problem.below("pci", index) from None
    if machine.iommu is not None and machine.iommu.type not in DOMAIN_TYPES:
        allowed = ", ".join(DOMAIN_TYPES)
        message = f'"{machine.iommu.type}" is no type of domain; allowed: {allowed}'
        raise Problem(message, "iommu", "type")
    for node, cpus in machine.cpu.nodes.items():
        if not _CPU_LIST.fullmatch(cpus):
            raise Problem(f'"{cpus}" is no list of CPUs such as "0-3,8"', "cpu", "nodes", node)


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
    if not _HEX.fullmatch(entry.config):
        raise Problem("not an even number of hexadecimal digits", "config")
    for index, bar in entry.bars.items():
        _check_bar(index, bar)
    if entry.virtual_function is not None:
        _check_virtual_function(entry.virtual_function)
    _check_profiles(entry.registers_by_profile)
    _check_firmware(entry)
    for index, child in enumerate(entry.children):
        try:
            _check_function(child, kinds, addresses)
        except Problem as problem:
            raise problem.below("children", index) from None


def _check_firmware(entry: PciEntry) -> None:
    if not 0 <= entry.slots <= _MOST_SLOTS:
        raise Problem(f"{entry.slots} is no number of slots; allowed: 0 to {_MOST_SLOTS}", "slots")
    if entry.irq is not None and entry.irq < 0:
        raise Problem(f"{entry.irq} is no interrupt; allowed: 0 and more", "irq")
    if entry.rom is not None and entry.rom.size < _SMALLEST_ROM:
        raise Problem(f"a ROM has at least {_SMALLEST_ROM} bytes", "rom", "size")


def _check_profiles(names: Collection[str]) -> None:
    for name in names:
        if name not in data.profile_names():
            known = ", ".join(data.profile_names())
            message = f'there is no profile "{name}"; known: {known}'
            raise Problem(message, "registers_by_profile", name)


def _check_virtual_function(made: VirtualFunctionEntry) -> None:
    if not _HEX.fullmatch(made.config):
        raise Problem("not an even number of hexadecimal digits", "virtual_function", "config")
    for index, bar in made.bars.items():
        try:
            _check_bar(index, bar)
        except Problem as problem:
            raise problem.below("virtual_function") from None


def _check_bar(index: int, bar: BarEntry) -> None:
    last = 4 if bar.bits == 64 else 5
    if not 0 <= index <= last:
        raise Problem(f"a BAR of {bar.bits} bits is number 0 to {last}", "bars", index)
    if bar.kind not in ("memory", "io"):
        raise Problem(f'"{bar.kind}" is not a kind; allowed: memory, io', "bars", index, "kind")
    if bar.bits not in (32, 64):
        raise Problem(f"{bar.bits} is no width; allowed: 32, 64", "bars", index, "bits")


def _rom(entry: RomEntry) -> Rom:
    """What is not known of the images is zeros."""
    try:
        image = bytes.fromhex(entry.image)
    except ValueError:
        message = "not an even number of hexadecimal digits in quotes"
        raise ConfigError(message, "rom", "image") from None
    return Rom(entry.size, entry.address, image.ljust(entry.image_size, b"\0"))


def function_entry(entry: PciEntry, profile: str) -> FunctionEntry:
    """What the hardware needs to know of a function, in a machine with ``profile``."""
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
    )


def _bars(entries: Mapping[int, BarEntry]) -> dict[int, Bar]:
    return {
        index: Bar(index, bar.size, bar.address, bar.kind, bar.prefetchable, bar.bits)
        for index, bar in entries.items()
    }


def virtual_function_entry(entry: PciEntry) -> FunctionEntry | None:
    """What the hardware needs to know of the functions that a function makes of itself."""
    made = entry.virtual_function
    if made is None:
        return None
    return FunctionEntry(config=bytes.fromhex(made.config), bars=_bars(made.bars))


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
        raise MachineError(str(error)) from None
    try:
        machine: MachineFile = structure(document, MachineFile)
        _check(machine, kinds)
    except Problem as problem:
        raise error_at(path, problem) from None
    return machine


def error_at(path: str, problem: Problem) -> MachineError:
    """The one line that says where in the file what is wrong."""
    where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in problem.keys)
    line = data.line_of(path, problem.keys)
    separator = ": " if where else ""
    return MachineError(f"{path}:{line}: {where.lstrip('.')}{separator}{problem}")


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
