# SPDX-License-Identifier: Apache-2.0
"""Running tools under an observer, to see which uAPI they use.

A tool runs in a machine, or is QEMU and makes one: then it is VFIO that it uses.
"""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cattrs
from attrs import asdict, define, field, frozen

from harness.agent.client import AgentError
from harness.data import DataError, load_yaml
from harness.gate.coverage import SCHEMA, Coverage, folder
from harness.gate.errors import GateError, NotHere
from harness.kernel.trace import Event
from harness.machine import MachineError, load_machine
from harness.mounts.process import MountError, ProcessMount
from harness.node_patterns import pattern
from harness.packages import PackagesError, Unavailable
from harness.uapi import vfio
from harness.vm import kernels
from harness.vm.guest import machine_for
from harness.vm.qemu import VmError
from harness.vm.session import Session
from harness.vm.vfio_container import Container
from harness.vm.vfio_device import VfioDevice
from harness.vm.vfio_file import VfioFile
from harness.vm.vfio_group import Group

_SCENARIOS = "scenarios.yaml"
#: What programs do to a node; finding their way there is not among it.
_USES = frozenset({"read", "write", "readlink", "readdir", "ioctl", "mmap", "poll"})
#: How long one command may take, in seconds.
_LIMIT = 120
#: How names of commands begin, by the file that takes them: VFIO's numbers are several commands'.
_CONTAINER = ("VFIO_GET_", "VFIO_CHECK_", "VFIO_SET_", "VFIO_IOMMU_")
_GROUP, _DEVICE = ("VFIO_GROUP_",), ("VFIO_DEVICE_",)
_FILES = (
    ("/dev/vfio/vfio", _CONTAINER),
    ("/dev/vfio/devices/", _DEVICE),
    ("/dev/vfio/", _GROUP),
    ("", _DEVICE),
)
_KINDS: Mapping[type[VfioFile], tuple[str, ...]] = {
    Container: _CONTAINER,
    Group: _GROUP,
    VfioDevice: _DEVICE,
}


@frozen
class Scenario:
    """One tool's jobs in one machine; ``in_guest`` if the tool is what makes the machine."""

    tool: str
    program: str
    package: str
    machine: str
    profile: str
    commands: tuple[str, ...]
    in_guest: bool = False


@define
class _Observer:
    """Writes down what programs do to nodes."""

    nodes: dict[str, set[str]] = field(factory=lambda: defaultdict(set))
    ioctls: set[str] = field(factory=set)

    def before(self, event: Event) -> None:
        """Only watches."""

    def after(self, event: Event) -> None:
        """Uses by programs, whatever the answer was; a command that no file knows is none."""
        if event.task is None or event.operation not in _USES or event.errno == errno.ENOTTY:
            return
        if event.operation == "ioctl":
            self.ioctls.add(_command(event.object, event.arguments[0]))
        if event.object.startswith(("/sys/", "/dev/")):
            self.nodes[pattern(event.object)].add(event.operation)


def _command(path: str, number: int) -> str:
    """The name of a command to a file, or its number."""
    return _named(next(prefixes for start, prefixes in _FILES if path.startswith(start)), number)


def _named(prefixes: tuple[str, ...], number: int) -> str:
    names = (name for name, value in vars(vfio).items() if value == number)
    return next((name for name in names if name.startswith(prefixes)), f"{number:#x}")


def scenarios() -> list[Scenario]:
    """All that can be recorded. GateError."""
    try:
        document: Any = load_yaml(folder() / _SCENARIOS)
        return cattrs.Converter(forbid_extra_keys=True).structure(document, list[Scenario])
    except DataError as error:
        raise GateError(str(error)) from None


def record(wanted: Sequence[str], to: Path, output: Callable[[str], object]) -> int:
    """Record ``wanted`` (none: all) into files below ``to``; 3 if not one could be. GateError."""
    known = scenarios()
    if unknown := set(wanted) - {one.tool for one in known}:
        names = ", ".join(one.tool for one in known)
        raise GateError(f"there is no scenario of {', '.join(sorted(unknown))}; known: {names}")
    done = 0
    for scenario in known:
        if wanted and scenario.tool not in wanted:
            continue
        if shutil.which(scenario.program) is None:
            output(f"{scenario.tool}: left out, there is no {scenario.program} here\n")
            continue
        found = _recorded(scenario)
        path = to / f"{scenario.tool}.json"
        _write(found, path)
        output(f"{path}: {found.name}: {len(found.nodes)} nodes, {len(found.ioctls)} commands\n")
        done += 1
    return 0 if done else 3


def _recorded(scenario: Scenario) -> Coverage:
    try:
        run = _run_around if scenario.in_guest else _run_inside
        nodes, ioctls = run(scenario)
    except Unavailable as error:
        raise NotHere(f"{scenario.tool}: {error}") from None
    except (MachineError, MountError, PackagesError, VmError, AgentError) as error:
        raise GateError(f"{scenario.tool}: {error}") from None
    return Coverage(
        SCHEMA,
        scenario.tool,
        _version(scenario.package),
        scenario.profile,
        {path: tuple(sorted(nodes[path])) for path in sorted(nodes)},
        tuple(sorted(ioctls)),
    )


def _run_inside(scenario: Scenario) -> tuple[Mapping[str, set[str]], set[str]]:
    """The tool runs in the machine."""
    observer = _Observer()
    machine = load_machine(scenario.machine, profile=scenario.profile)
    with ProcessMount(machine) as mount:
        machine.trace.observers.append(observer)
        for command in scenario.commands:
            null = subprocess.DEVNULL
            child = mount.popen(["sh", "-c", command], stdin=null, stdout=null, stderr=null)
            child.wait(_LIMIT)
    return observer.nodes, observer.ioctls


def _run_around(scenario: Scenario) -> tuple[Mapping[str, set[str]], set[str]]:
    """The tool is QEMU, which makes the machine that the commands run in."""
    file = machine_for(scenario.machine)
    if file is None:
        raise VmError(f"the machine {scenario.machine} has no section qemu")
    with Session(kernels.build(scenario.profile), file) as session:
        for command in scenario.commands:
            session.run(command)
        sent = session.server.commands if session.server is not None else set()
    return {}, {_named(_KINDS[kind], number) for kind, number in sent}


def _version(package: str) -> str:
    """The upstream part of the package's version."""
    if shutil.which("dpkg-query") is None:
        return "unknown"
    command = ["dpkg-query", "--show", "--showformat=${source:Upstream-Version}", package]
    return subprocess.run(command, capture_output=True, text=True).stdout or "unknown"


def _write(found: Coverage, path: Path) -> None:
    """A node a line, so that a diff shows what changed."""
    document = asdict(found)
    nodes = ",\n".join(_line(document["nodes"]))
    head = {key: value for key, value in document.items() if key != "nodes"}
    text = ",\n".join(_line(head))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{\n{text},\n"nodes": {{\n{nodes}\n}}\n}}\n')


def _line(mapping: Mapping[str, Any]) -> Iterator[str]:
    return (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in mapping.items())
