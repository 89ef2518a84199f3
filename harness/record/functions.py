# SPDX-License-Identifier: Apache-2.0
"""PCI functions of a recorded system: which there are, which were meant, and what each is."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from harness.drivers.pci.device import (
    IORESOURCE_IO,
    IORESOURCE_MEM_64,
    IORESOURCE_PREFETCH,
    PCI_ROM_RESOURCE,
)
from harness.hardware import pci_config as cfg
from harness.hardware.pci_config import capabilities, load
from harness.record.errors import NothingToRecord, RecordError
from harness.record.tree import Tree, number, text

_BUS = "/sys/bus/pci/devices"
_SLOTS = "/sys/bus/pci/slots"
MDEV_BUS = "/sys/class/mdev_bus"
_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
#: Without the domain, which is then 0.
_SHORT_ADDRESS = re.compile(r"[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
_ANY_ADDRESS = re.compile(r"[0-9a-f]+:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_ID = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}")
_HOST_BRIDGE = re.compile(r"pci[0-9a-f]{4}:[0-9a-f]{2}")

#: In the flags of ``resource`` (include/linux/ioport.h): the place is fixed, not in a BAR; or there
#: is no place yet.
_IORESOURCE_FIXED, _IORESOURCE_UNSET = 0x10, 0x20000000
_RESOURCE = re.compile(r"0x([0-9a-f]+) 0x([0-9a-f]+) 0x([0-9a-f]+)")
_HEADER_SIZE = 64


@frozen
class Function:
    """A PCI function; ``path`` is its directory, ``bridges`` lead to it from the root bus."""

    address: str
    path: str
    bridges: tuple[str, ...] = ()


def find_functions(tree: Tree) -> tuple[dict[str, Function], list[str]]:
    """All functions by address, and the addresses of those that no machine file can have.

    The latter are behind a host bridge that is itself a PCI function, such as Intel's VMD.
    """
    functions: dict[str, Function] = {}
    foreign = []
    for path in sorted(_paths(tree), key=posixpath.basename):
        address = posixpath.basename(path)
        above = path.split("/")[3:-1]
        bridges = [name for name in above if _ANY_ADDRESS.fullmatch(name)]
        hosts = [name for name in above if name.startswith("pci")]
        if all(map(_ADDRESS.fullmatch, (address, *bridges))) and len(hosts) == 1:
            functions[address] = Function(address, path, tuple(bridges))
        else:
            foreign.append(address)
    return functions, foreign


def _paths(tree: Tree) -> Iterator[str]:
    """Directories of functions: those that the bus lists, or in a copy without it all there are."""
    if tree.real(_BUS) is not None:
        listed = [tree.real(f"{_BUS}/{name}") for name in tree.names(_BUS)]
        yield from (path for path in listed if path is not None)
        return
    hosts = [name for name in tree.names("/sys/devices") if _HOST_BRIDGE.fullmatch(name)]
    pending = [f"/sys/devices/{name}" for name in hosts]
    while pending:
        for name in tree.names(above := pending.pop()):
            if _ANY_ADDRESS.fullmatch(name):
                yield f"{above}/{name}"
                pending.append(f"{above}/{name}")


def driver_name(tree: Tree, function: Function) -> str | None:
    """The driver that is bound."""
    link = tree.link(f"{function.path}/driver")
    return posixpath.basename(link) if link is not None else None


def function_id(tree: Tree, function: Function) -> str | None:
    """``VENDOR:DEVICE``; None if that cannot be read."""
    return _pair(tree, function.path, "")


def _pair(tree: Tree, path: str, prefix: str) -> str | None:
    vendor = number(tree, f"{path}/{prefix}vendor", 16)
    device = number(tree, f"{path}/{prefix}device", 16)
    return None if vendor is None or device is None else f"{vendor:04x}:{device:04x}"


# --- which are meant


@frozen
class Selection:
    """Addresses of functions, bridges above them not included, and names of mdev parents."""

    addresses: frozenset[str]
    mdev_parents: tuple[str, ...]


def select(
    tree: Tree, functions: Mapping[str, Function], words: Sequence[str], *, everything: bool
) -> Selection:
    """What ``words`` mean: addresses, ids, drivers, mdev parents.

    RecordError for what is not there, NothingToRecord if nothing is.
    """
    parents = tree.names(MDEV_BUS)
    if not functions and not parents:
        raise NothingToRecord("there is no PCI function here")
    if everything:
        return _all_readable(tree, functions, parents)
    by_word: dict[str, set[str]] = {address: {address} for address in functions}
    for address, function in functions.items():
        for word in (function_id(tree, function), driver_name(tree, function)):
            if word is not None:
                by_word.setdefault(word, set()).add(address)
    chosen: set[str] = set()
    for word in words:
        name = _full(word)
        if name not in by_word and word not in parents:
            raise RecordError(_no_such(word, name, [*by_word, *parents]))
        chosen |= by_word.get(name, set())
    return Selection(frozenset(chosen), tuple(name for name in parents if name in words))


def _all_readable(
    tree: Tree, functions: Mapping[str, Function], parents: Sequence[str]
) -> Selection:
    """All, but for functions that cannot be read, and those behind such a bridge."""
    dark = {address for address, one in functions.items() if not _is_readable(tree, one)}
    chosen = [
        one.address for one in functions.values() if dark.isdisjoint({one.address, *one.bridges})
    ]
    if not chosen and not parents:
        raise NothingToRecord(f"none of {len(functions)} PCI functions can be read")
    return Selection(frozenset(chosen), tuple(parents))


def _is_readable(tree: Tree, function: Function) -> bool:
    header = tree.data(f"{function.path}/config") or b""
    return len(header) >= _HEADER_SIZE and function_id(tree, function) is not None


def _full(word: str) -> str:
    """An address with its domain, an id in small letters, all else as it is."""
    small = word.lower()
    if _SHORT_ADDRESS.fullmatch(small):
        return f"0000:{small}"
    return small if _ADDRESS.fullmatch(small) or _ID.fullmatch(small) else word


def _no_such(word: str, name: str, known: Iterable[str]) -> str:
    if _ADDRESS.fullmatch(name):
        kind, known = "function", [one for one in known if _ADDRESS.fullmatch(one)]
    elif _ID.fullmatch(name):
        kind, known = "function with the id", [one for one in known if _ID.fullmatch(one)]
    else:
        kind = "address, id, driver or mdev parent"
    near = difflib.get_close_matches(name, known, 3, 0) or ["none"]
    return f'there is no {kind} "{word}"; nearest: {", ".join(near)}'


# --- what each is


@frozen
class Identity:
    """What a function's directory tells: the entry of a machine file without kind and children.

    ``config`` is all that could be read, ``masked`` what was taken out of it; ``remarks`` are what
    else a reader should know.
    """

    entry: dict[str, Any]
    config: bytes
    header_only: bool
    masked: tuple[str, ...]
    remarks: tuple[str, ...]


def describe(
    tree: Tree, function: Function, mask: Callable[[bytes], tuple[bytes, list[str]]]
) -> Identity:
    """Read one function; ``mask`` takes out of its configuration space what is private.

    RecordError if its ids or the header of its configuration space cannot be read.
    """
    path = function.path
    raw = tree.data(f"{path}/config") or b""
    ids = function_id(tree, function)
    if len(raw) < _HEADER_SIZE or ids is None:
        raise RecordError(f"{function.address} cannot be read in {path}")
    config, masked = mask(raw)
    resource = text(tree, f"{path}/resource") or ""
    bars, remarks = _bars(resource, config)
    entry: dict[str, Any] = {"slot": function.address, "id": ids}
    entry |= _differences(tree, path, config)
    node = number(tree, f"{path}/numa_node")
    if node is not None and node >= 0:
        entry["numa_node"] = node
    firmware = _firmware_node(tree, path)
    if firmware is not None:
        entry["firmware_node"] = firmware
    entry |= _routing(tree, function, config)
    if bars:
        entry["bars"] = bars
    rom = _rom(resource)
    if rom is not None and not config[cfg.HEADER_TYPE] & 0x7F:
        entry["rom"] = rom
    entry["config"] = _trimmed(config, tree.size(f"{path}/config")).hex()
    header_only = len(raw) < cfg.CONFIG_SIZE
    return Identity(entry, config, header_only, tuple(masked), tuple(remarks))


def _differences(tree: Tree, path: str, config: bytes) -> dict[str, Any]:
    """Where the kernel says something else than configuration space, as for virtual functions."""
    found: dict[str, Any] = {}
    subsystem = _pair(tree, path, "subsystem_")
    vendor, device = (load(config, at, 2) for at in (cfg.SUBSYSTEM_VENDOR_ID, cfg.SUBSYSTEM_ID))
    plain = not config[cfg.HEADER_TYPE] & 0x7F
    if plain and subsystem is not None and subsystem != f"{vendor:04x}:{device:04x}":
        found["subsystem"] = subsystem
    for name, offset, size in (
        ("class", cfg.CLASS_PROGRAMMING, 3),
        ("revision", cfg.REVISION_ID, 1),
    ):
        value = number(tree, f"{path}/{name}", 16)
        if value is not None and value != load(config, offset, size):
            found[name] = value
    return found


def _routing(tree: Tree, function: Function, config: bytes) -> dict[str, Any]:
    """What ACPI says of the interrupt, if the function was enabled, and of slots behind it."""
    found: dict[str, Any] = {}
    irq = number(tree, f"{function.path}/irq", 10)
    message = str(irq) in tree.names(f"{function.path}/msi_irqs")
    if config[cfg.INTERRUPT_PIN] and irq not in (None, config[cfg.INTERRUPT_LINE]) and not message:
        found["irq"] = irq
    if config[cfg.HEADER_TYPE] & 0x7F:
        behind = f"{function.address[:5]}{config[cfg.SECONDARY_BUS]:02x}:"
        slots = [text(tree, f"{_SLOTS}/{name}/address") or "" for name in tree.names(_SLOTS)]
        count = sum(slot.startswith(behind) for slot in slots)
        if count:
            found["slots"] = count
    return found


def _rom(resource: str) -> dict[str, Any] | None:
    """The expansion ROM: the line behind the BARs of ``resource``."""
    lines = [_RESOURCE.fullmatch(line) for line in resource.splitlines()]
    if len(lines) <= PCI_ROM_RESOURCE or (numbers := lines[PCI_ROM_RESOURCE]) is None:
        return None
    start, end, flags = (int(word, 16) for word in numbers.groups())
    if not flags or flags & _IORESOURCE_FIXED:
        return None
    rom = {"size": end - start + 1}
    return rom if flags & _IORESOURCE_UNSET else rom | {"address": start}


def _firmware_node(tree: Tree, path: str) -> str | None:
    """The ACPI object's path below /sys/devices, be it in the copy or not."""
    link = tree.link(f"{path}/firmware_node")
    if link is None:
        return None
    target = posixpath.normpath(posixpath.join(path, link))
    return target.removeprefix("/sys/devices/") if target.startswith("/sys/devices/") else None


def _bars(resource: str, config: bytes) -> tuple[dict[int, dict[str, Any]], list[str]]:
    """The BARs of the file ``resource``, and remarks on those that were left out."""
    bars: dict[int, dict[str, Any]] = {}
    left_out = []
    count = 2 if config[cfg.HEADER_TYPE] & 0x7F else 6
    for index, line in enumerate(resource.splitlines()[:count]):
        numbers = _RESOURCE.fullmatch(line)
        start, end, flags = (int(word, 16) for word in numbers.groups()) if numbers else (0, 0, 0)
        size = end - start + 1
        if not flags:
            continue
        if flags & _IORESOURCE_FIXED or size <= 0 or size & size - 1 or start % size:
            left_out.append(f"resource {index} is in no BAR")
            continue
        bar: dict[str, Any] = {"size": size}
        if not flags & _IORESOURCE_UNSET:
            bar["address"] = start
        if flags & IORESOURCE_IO:
            bar["kind"] = "io"
        if flags & IORESOURCE_PREFETCH:
            bar["prefetchable"] = True
        if flags & IORESOURCE_MEM_64:
            bar["bits"] = 64
        bars[index] = bar
    return bars, left_out


def _trimmed(config: bytes, size: int) -> bytes:
    """Without the zeros at the end, but so long that its whole size (in bytes) stays known."""
    short = config.rstrip(b"\0")
    express = any(kind == cfg.CAP_PCIE for kind, _ in capabilities(config))
    if size > cfg.CONFIG_SIZE and not express:
        return short.ljust(cfg.CONFIG_SIZE + 1, b"\0")
    return short
