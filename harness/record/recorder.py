# SPDX-License-Identifier: Apache-2.0
"""A system's devices become a machine.

The plan: choose the functions, add the bridges above them, describe each (``functions``), ask
accelerators for their registers (``accelerators``) and the rest of the system for what is around
them (``system``). What cannot be known is left at the defaults and listed in the file's head.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attrs import define, field
from cattrs.errors import BaseValidationError

from harness import data
from harness.hardware import KINDS
from harness.hardware.pci_config import Bar, FunctionEntry
from harness.machine import BUILTIN_MODULES
from harness.record.accelerators import accelerator_kind, pasid_enabled, read_registers
from harness.record.document import Recording
from harness.record.errors import NothingToRecord
from harness.record.functions import (
    MDEV_BUS,
    Function,
    Identity,
    describe,
    driver_name,
    find_functions,
    select,
)
from harness.record.masking import mask_config
from harness.record.system import (
    choose_profile,
    describe_cpu,
    describe_iommu,
    iommu_group,
    kernel_release,
    loaded_modules,
)
from harness.record.tree import Tree, text

#: Whose configuration space stands in for what an ordinary user cannot read of an accelerator's.
_EXAMPLE_MACHINE = "spr-1s"
_TYPE_FILES = ("available_instances", "description", "device_api", "name")
#: A recorded file is for text that a person could have written.
_LONGEST_TEXT = 1024


@define
class _Recorder:
    tree: Tree
    functions: dict[str, Function]
    mask: Callable[[bytes], tuple[bytes, list[str]]]
    head: list[str] = field(factory=list)
    remarks: dict[str, list[str]] = field(factory=dict)
    configs: dict[Function, bytes] = field(factory=dict)
    masked: list[str] = field(factory=list)
    defaults: set[str] = field(factory=set)

    def entries(self, addresses: frozenset[str]) -> list[dict[str, Any]]:
        """The functions as a tree, bridges with what is behind them."""
        wanted = set(addresses).union(*(self.functions[one].bridges for one in addresses))
        top: list[dict[str, Any]] = []
        made: dict[str, dict[str, Any]] = {}
        for address in sorted(wanted, key=lambda one: (len(self.functions[one].bridges), one)):
            function = self.functions[address]
            entry = made[address] = self._entry(function)
            if function.bridges:
                made[function.bridges[-1]].setdefault("children", []).append(entry)
            else:
                top.append(entry)
        return top

    def _entry(self, function: Function) -> dict[str, Any]:
        identity = describe(self.tree, function, self.mask)
        self.configs[function] = identity.config
        remarks = self.remarks[function.address] = self._surroundings(function)
        remarks += identity.remarks
        if identity.masked:
            remarks.append(f"masked: {', '.join(identity.masked)}")
            self.masked.append(function.address)
        entry = identity.entry
        kind = accelerator_kind(self.tree, function, entry["id"])
        if identity.header_only:
            remarks.append("only the header of its configuration space could be read")
        if kind is not None:
            return self._accelerator(function, identity, kind, remarks)
        return entry

    def _surroundings(self, function: Function) -> list[str]:
        driver, group = driver_name(self.tree, function), iommu_group(self.tree, function)
        return [
            *([f"driver {driver}"] if driver is not None else []),
            *([f"IOMMU group {group[0]} ({group[1]})"] if group is not None else []),
        ]

    def _accelerator(
        self, function: Function, identity: Identity, kind: str, remarks: list[str]
    ) -> dict[str, Any]:
        """A DSA or IAA; a plain function if what is known of it cannot make one."""
        plain = identity.entry
        registers, defaults = read_registers(self.tree, function, kind)
        entry = {"slot": plain["slot"], "kind": kind, **plain}
        if identity.header_only:
            remarks.append(f"the capabilities are those of {_EXAMPLE_MACHINE}")
            entry["capabilities"] = _example_capabilities(kind)
        if registers:
            entry["registers"] = registers
        problem = _problem(entry)
        if problem is not None:
            remarks.append(f"no kind {kind}, because {problem}")
            return plain
        self.defaults.update(defaults)
        return entry

    def mdev_types(
        self, parents: Sequence[str], addresses: frozenset[str], modules: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Recorded paths of what parents of mediated devices offer.

        Nothing where a module of the machine makes them itself.
        """
        extra: dict[str, dict[str, Any]] = {}
        for name in parents:
            path = self.tree.real(f"{MDEV_BUS}/{name}")
            if path is None or name in modules:
                continue
            if path.startswith("/sys/devices/pci") and name not in addresses:
                continue
            found = self._types(f"{path}/mdev_supported_types")
            if found:
                extra |= found
                extra[f"{MDEV_BUS}/{name}"] = {"link": posixpath.relpath(path, MDEV_BUS)}
        return extra

    def _types(self, path: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for kind in self.tree.names(path):
            for name in _TYPE_FILES:
                content = text(self.tree, f"{path}/{kind}/{name}")
                if content is not None and content.isprintable() and len(content) < _LONGEST_TEXT:
                    found[f"{path}/{kind}/{name}"] = {"text": f"{content}\n"}
            found[f"{path}/{kind}/devices"] = {}
        return found


def record(
    tree: Tree,
    devices: Sequence[str],
    *,
    everything: bool = False,
    name: str | None = None,
    profile: str | None = None,
    unmasked: bool = False,
) -> Recording:
    """The machine that has ``devices`` of ``tree``, with the bridges above them.

    ``devices`` are addresses, ids (``8086:0b25``), drivers and parents of mediated devices;
    ``everything`` means all there are. Raises RecordError, NothingToRecord.
    """
    functions, foreign = find_functions(tree)
    chosen = select(tree, functions, devices, everything=everything)
    recorder = _Recorder(tree, functions, (lambda raw: (raw, [])) if unmasked else mask_config)
    profile, why = choose_profile(tree, profile)
    modules = loaded_modules(tree)
    pci = recorder.entries(chosen.addresses)
    extra = recorder.mdev_types(chosen.mdev_parents, chosen.addresses, modules)
    if not pci and not extra and not {*chosen.mdev_parents} & {*modules}:
        raise NothingToRecord("there is nothing that a machine file could have")
    cpu, cpu_remarks = describe_cpu(tree, recorder.configs, modules)
    pasids = [pasid_enabled(tree, function) for function in recorder.configs]
    iommu, iommu_remarks = describe_iommu(tree, recorder.configs, pasids)
    document = {
        "schema": 1,
        "name": name,
        "description": f"Recorded: {_summary(pci)}",
        "profile": profile,
        "modules": modules,
        "iommu": iommu,
        "cpu": cpu,
        "pci": pci,
        "extra": extra,
    }
    release = kernel_release(tree) or "unknown"
    head = [
        f"Recorded by uapi-harness record; the kernel says that it is {release}.",
        f"The profile is {why}.",
        *(f"{remark[0].upper()}{remark[1:]}." for remark in (*cpu_remarks, *iommu_remarks)),
        "Nothing is masked: serial numbers are the hardware's own."
        if unmasked
        else _masked(recorder),
        *_lacking(recorder),
        *(_left_out(recorder, foreign) if everything else []),
    ]
    return Recording(
        {key: value for key, value in document.items() if value}, head, recorder.remarks
    )


def _summary(entries: Sequence[dict[str, Any]]) -> str:
    """``1 DSA, 2 IAA, 6 other PCI functions``."""
    kinds = [kind for entry in entries for kind in _kinds(entry)]
    parts = [f"{kinds.count(kind)} {kind.upper()}" for kind in ("dsa", "iaa") if kind in kinds]
    others = kinds.count("function")
    if others:
        parts.append(f"{others} {'other ' if parts else ''}PCI function{'s' * (others > 1)}")
    return ", ".join(parts) or "parents of mediated devices"


def _kinds(entry: dict[str, Any]) -> list[str]:
    below = [kind for child in entry.get("children", ()) for kind in _kinds(child)]
    return [entry.get("kind", "function"), *below]


def _masked(recorder: _Recorder) -> str:
    if recorder.masked:
        return f"Masked (zeros), as said at each: {', '.join(sorted(recorder.masked))}."
    return "Nothing had to be masked: no serial number, no vital product data."


def _lacking(recorder: _Recorder) -> Iterator[str]:
    """What the machine has not, or has only by default."""
    drivers = {driver_name(recorder.tree, function) for function in recorder.configs}
    names = {name for name in drivers if name is not None}
    unknown = sorted(name for name in names if name.replace("-", "_") not in BUILTIN_MODULES)
    if unknown:
        yield f"Without a driver here: functions of {', '.join(unknown)}."
    if recorder.defaults:
        yield f"Defaults, because sysfs does not tell: {', '.join(sorted(recorder.defaults))}."


def _left_out(recorder: _Recorder, foreign: Sequence[str]) -> Iterator[str]:
    if foreign:
        yield f"Left out, being behind a host bridge that is a function: {', '.join(foreign)}."
    dark = sorted(recorder.functions.keys() - recorder.remarks.keys())
    if dark:
        yield f"Left out, because they cannot be read: {', '.join(dark)}."


def _example_capabilities(kind: str) -> list[dict[str, Any]]:
    document = data.load_yaml(data.machine_path(_EXAMPLE_MACHINE))
    entry = next(entry for entry in document["pci"] if entry["kind"] == kind)
    capabilities: list[dict[str, Any]] = entry["capabilities"]
    return capabilities


def _problem(entry: dict[str, Any]) -> str | None:
    """Why no hardware can be made of an accelerator's entry."""
    try:
        KINDS[entry["kind"]](
            FunctionEntry(
                kind=entry["kind"],
                bars={index: Bar(index, **bar) for index, bar in entry.get("bars", {}).items()},
                capabilities=tuple(entry.get("capabilities", ())),
                registers=entry.get("registers", {}),
                config=bytes.fromhex(entry["config"]),
            )
        )
    except BaseValidationError:
        return "its registers are no numbers"
    except (ValueError, OverflowError) as error:
        return str(error)
    return None
