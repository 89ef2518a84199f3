# SPDX-License-Identifier: Apache-2.0
"""What is recorded of a system besides its devices: kernel, modules, processor, IOMMU."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness import data
from harness.drivers.pci.cpumask import parse_cpulist
from harness.hardware import pci_config as cfg
from harness.hardware.pci_config import find_extended_capability, load
from harness.kernel.iommu import DOMAIN_TYPES
from harness.machine import BUILTIN_MODULES
from harness.record.errors import RecordError
from harness.record.functions import Function
from harness.record.tree import Tree, number, text

_NODES = "/sys/devices/system/node"
_VERSION = re.compile(r"(\d+)\.(\d+)")
_CPU_LIST = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
#: In intel-iommu's ``ecap`` (VT-d specification): scalable mode, PASIDs, page requests.
_ECAP_SMTS, _ECAP_PASID, _ECAP_PRS = 1 << 43, 1 << 40, 1 << 29


# --- kernel and modules


def kernel_release(tree: Tree) -> str | None:
    """``uname -r`` of the recorded system."""
    return text(tree, "/proc/sys/kernel/osrelease")


def choose_profile(tree: Tree, wanted: str | None) -> tuple[str, str]:
    """The profile to name, and why that one. RecordError for an unknown ``wanted``.

    The idxd module tells its source by a checksum; next best is the release.
    """
    names = data.profile_names()
    if wanted is not None:
        if wanted not in names:
            raise RecordError(f'there is no profile "{wanted}"; known: {", ".join(names)}')
        return wanted, "the one that was asked for"
    sources = {
        name: data.load_profile(name).get("modules", {}).get("idxd", {}).get("srcversion")
        for name in names
    }
    source = text(tree, "/sys/module/idxd/srcversion")
    same = [name for name in names if source is not None and sources[name] == source]
    if same:
        # What extends a kernel by a configuration of its own has a longer name.
        return min(same, key=len), f"the one whose idxd module has the same source ({source})"
    return _by_release(kernel_release(tree))


def _by_release(release: str | None) -> tuple[str, str]:
    """The newest profile that is not newer than the kernel; else the oldest."""
    versions = {_version(name): name for name in data.profile_names() if _VERSION.fullmatch(name)}
    ordered = sorted(version for version in versions if version is not None)
    oldest = versions[ordered[0]]
    version = _version(release or "")
    if version is None:
        return oldest, "the oldest known, since the recorded kernel's release cannot be read"
    not_newer = [one for one in ordered if one <= version]
    if not not_newer:
        return oldest, f"the oldest known, which is newer than the recorded kernel {release}"
    return versions[not_newer[-1]], f"the nearest known that is not newer than {release}"


def _version(text: str) -> tuple[int, int] | None:
    match = _VERSION.match(text)
    return (int(match[1]), int(match[2])) if match else None


def loaded_modules(tree: Tree) -> list[str]:
    """Those of the modules that a machine file can name; a driver's name tells its module, too."""
    places = ("/sys/module/", "/sys/bus/pci/drivers/")
    return [
        name
        for name in BUILTIN_MODULES
        if any(tree.real(f"{place}{name}") for place in places)
        or tree.real(f"/sys/bus/pci/drivers/{name.replace('_', '-')}")
    ]


# --- processor


def describe_cpu(
    tree: Tree, functions: Iterable[Function], modules: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """The section ``cpu``, and remarks."""
    flags = re.search(r"(?m)^flags\s*:(.*)$", _cpuinfo(tree))
    words = set(flags[1].split()) if flags else None
    remarks = []
    if words is not None and "idxd" in modules and "movdir64b" not in words:
        remarks.append(
            "/proc/cpuinfo lacks movdir64b, but idxd, which needs it, is loaded: ignored"
        )
        words = None
    elif words is None:
        remarks.append("/proc/cpuinfo tells no flags: movdir64b and enqcmd are guesses")
    cpu: dict[str, Any] = {name: words is None or name in words for name in ("movdir64b", "enqcmd")}
    cpu["nodes"] = _nodes(tree, functions)
    return cpu, remarks


def _cpuinfo(tree: Tree) -> str:
    return (tree.data("/proc/cpuinfo") or b"").decode(errors="replace")


def _nodes(tree: Tree, functions: Iterable[Function]) -> dict[int, str]:
    """The CPUs of each NUMA node. What functions say of their own node counts more."""
    names = (re.fullmatch(r"node(\d+)", name) for name in tree.names(_NODES))
    nodes = {int(name[1]): _cpus(tree, f"{_NODES}/{name[0]}/cpulist") for name in names if name}
    for function in functions:
        node = number(tree, f"{function.path}/numa_node")
        cpus = _cpus(tree, f"{function.path}/local_cpulist")
        if node is not None and node >= 0:
            nodes[node] = cpus
        elif cpus and parse_cpulist(cpus) != _all_cpus(nodes):
            nodes = {0: cpus}  # all CPUs are local to what is in no node
    return {node: cpus for node, cpus in sorted(nodes.items()) if cpus} or {0: "0"}


def _cpus(tree: Tree, path: str) -> str:
    """A list of CPUs; empty if there is none."""
    cpus = text(tree, path) or ""
    return cpus if _CPU_LIST.fullmatch(cpus) else ""


def _all_cpus(nodes: Mapping[int, str]) -> frozenset[int]:
    return frozenset().union(*(parse_cpulist(cpus) for cpus in nodes.values() if cpus))


# --- IOMMU


def iommu_group(tree: Tree, function: Function) -> tuple[str, str] | None:
    """Number and type of the function's group."""
    link = tree.link(f"{function.path}/iommu_group")
    if link is None:
        return None
    kind = text(tree, posixpath.normpath(posixpath.join(function.path, link, "type")))
    return posixpath.basename(link), kind or "?"


def describe_iommu(
    tree: Tree, functions: Mapping[Function, bytes], pasids: Iterable[bool | None]
) -> tuple[dict[str, Any] | None, list[str]]:
    """The section ``iommu``, and remarks; None without an IOMMU.

    ``functions`` come with their configuration space; ``pasids`` are what accelerators say of
    sharing memory (pasid_enabled).
    """
    told = [one for one in pasids if one is not None]
    groups = [group for group in (iommu_group(tree, one) for one in functions) if group]
    if not groups:
        return None, []
    types = Counter(kind for _, kind in groups if kind in DOMAIN_TYPES)
    iommu: dict[str, Any] = {
        "sva": _sva(tree, functions, told),
        "pasid": any(map(_pasid, functions.values())) or _ecap(tree, functions, _ECAP_PASID),
    }
    iommu["pasid"] |= iommu["sva"]
    remarks = []
    if types:
        iommu["type"] = types.most_common(1)[0][0]
    if len(types) > 1:
        remarks.append(
            f"IOMMU groups of several types ({', '.join(types)}): all have one type here"
        )
    if not told:
        remarks.append("no driver tells whether memory can be shared (sva): capabilities decided")
    return iommu, remarks


def _sva(tree: Tree, functions: Mapping[Function, bytes], told: Sequence[bool]) -> bool:
    """As a driver says it; if none does, whether all that takes part is ready for it."""
    ready = any(_pasid(config) and _ats(config) for config in functions.values())
    if told:
        unknown = all(len(config) <= cfg.CONFIG_SIZE for config in functions.values())
        return any(told) and (ready or unknown)
    return (ready and any(map(_pri, functions.values()))) or _ecap(
        tree, functions, _ECAP_SMTS | _ECAP_PASID | _ECAP_PRS
    )


def _ecap(tree: Tree, functions: Iterable[Function], bits: int) -> bool:
    """Whether an Intel unit has all these extended capabilities."""
    values = (number(tree, f"{one.path}/iommu/intel-iommu/ecap", 16) for one in functions)
    return any(value is not None and value & bits == bits for value in values)


def _enabled(config: bytes, capability: int, offset: int, bit: int) -> bool:
    start = find_extended_capability(config, capability)
    return bool(start) and bool(load(config, start + offset, 2) & bit)


def _pasid(config: bytes) -> bool:
    return _enabled(config, cfg.EXT_CAP_PASID, 6, 1)


def _ats(config: bytes) -> bool:
    return _enabled(config, cfg.EXT_CAP_ATS, 6, 0x8000)


def _pri(config: bytes) -> bool:
    return _enabled(config, cfg.EXT_CAP_PRI, 4, 1)
