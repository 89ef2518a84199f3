# SPDX-License-Identifier: Apache-2.0
"""Which program uses which uAPI: recorded of real ones in a machine, ``fixtures/coverage``.

``uapi-harness coverage --record`` runs each tool's scenarios under an observer and writes a file a
tool, which ``coverage.schema.json`` describes. ``uapi-harness coverage`` prints them as one table,
and the gate names the tools in its findings.
"""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cattrs
from attrs import asdict, define, evolve, field, frozen

from harness.data import DataError, data_path, load_yaml
from harness.gate.errors import GateError
from harness.gate.findings import Finding
from harness.gate.machines import pattern
from harness.kernel.trace import Event
from harness.machine import MachineError, load_machine
from harness.mounts.process import MountError, ProcessMount
from harness.uapi import vfio

SCHEMA = 1
_SCENARIOS = "scenarios.yaml"
#: What programs do to a node; finding their way there is not among it.
_USES = frozenset({"read", "write", "readlink", "readdir", "ioctl", "mmap", "poll"})
#: How long one command may take, in seconds.
_LIMIT = 120
#: Names of commands by the files that take them; VFIO's numbers are several commands' each.
_FILES = (
    ("/dev/vfio/vfio", ("VFIO_GET_", "VFIO_CHECK_", "VFIO_SET_", "VFIO_IOMMU_")),
    ("/dev/vfio/devices/", ("VFIO_DEVICE_",)),
    ("/dev/vfio/", ("VFIO_GROUP_",)),
    ("", ("VFIO_DEVICE_",)),
)


@frozen
class Scenario:
    """One tool's jobs in one machine."""

    tool: str
    program: str
    package: str
    machine: str
    profile: str
    commands: tuple[str, ...]


@frozen
class Coverage:
    """What one tool used: operations by the pattern of a node, and commands by name or number."""

    schema: int
    tool: str
    version: str
    profile: str
    nodes: Mapping[str, tuple[str, ...]]
    ioctls: tuple[str, ...]

    @property
    def name(self) -> str:
        """The tool and its version."""
        return f"{self.tool} {self.version}"


def folder() -> Path:
    """Where recordings are."""
    return data_path("fixtures", "coverage")


@cache
def recordings() -> tuple[Coverage, ...]:
    """All of them, by tool. GateError."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    found = []
    for path in sorted(folder().glob("*.json")):
        try:
            found.append(converter.structure(json.loads(path.read_text()), Coverage))
        except Exception as error:  # whatever cattrs makes of what is no object
            raise GateError(f"{path}: {cattrs.transform_error(error)[0]}") from None
    return tuple(found)


# --- who notices


def with_tools(findings: Iterable[Finding]) -> list[Finding]:
    """The findings, each with the tools that are known to use its subject."""
    nodes, ioctls = _users()
    return [evolve(one, tools=_tools(one, nodes, ioctls)) for one in findings]


Users = Mapping[str, set[str]]


@cache
def _users() -> tuple[Users, Users]:
    nodes: dict[str, set[str]] = defaultdict(set)
    ioctls: dict[str, set[str]] = defaultdict(set)
    for one in recordings():
        for path in one.nodes:
            nodes[_end(path)].add(one.name)
        for name in one.ioctls:
            ioctls[name].add(one.name)
    return nodes, ioctls


def _end(path: str) -> str:
    """The node and what it is of, by whatever way one got there."""
    return "/".join(path.split("/")[-2:])


def _tools(finding: Finding, nodes: Users, ioctls: Users) -> tuple[str, ...]:
    if finding.header is None:
        return tuple(sorted(nodes.get(_end(finding.subject), ())))
    name = finding.subject.partition(".")[0].removeprefix("struct ")
    found = [tools for one, tools in ioctls.items() if _is_of(name, one)]
    return tuple(sorted(set().union(*found)))


def _is_of(name: str, command: str) -> bool:
    """Whether it is the command, or by its name the struct of it, as vfio_device_info is."""
    if name == command:
        return True
    words = {word.rstrip("s") for word in command.lower().split("_")}
    return name.islower() and {word.rstrip("s") for word in name.split("_")} <= words


# --- the table


def table(output: Callable[[str], object]) -> int:
    """Print node by tool; 0 if there are recordings, 3 if there are none."""
    tools = recordings()
    if not tools:
        output("nothing was recorded; see uapi-harness coverage --record\n")
        return 3
    for number, one in enumerate(tools):
        output(f"{_column(number)} {one.name}, on {one.profile}\n")
    output("\n")
    rows: dict[str, dict[int, str]] = defaultdict(dict)
    for number, one in enumerate(tools):
        for path, uses in one.nodes.items():
            rows[path][number] = _letters(uses)
        for name in one.ioctls:
            rows[name][number] = "i"
    width = 4
    output("".join(f"{_column(number):<{width}}" for number in range(len(tools))) + "\n")
    for path in sorted(rows):
        cells = (rows[path].get(number, ".") for number in range(len(tools)))
        output("".join(f"{cell:<{width}}" for cell in cells) + f"{path}\n")
    output("\nr read, w write, l readlink, d readdir, i ioctl, m mmap, p poll\n")
    return 0


def _column(number: int) -> str:
    return chr(ord("A") + number)


def _letters(uses: Sequence[str]) -> str:
    letters = {"readlink": "l", "readdir": "d"}
    return "".join(letters.get(use, use[0]) for use in uses)


# --- recording


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
    prefixes = next(prefixes for start, prefixes in _FILES if path.startswith(start))
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
    observer = _Observer()
    try:
        machine = load_machine(scenario.machine, profile=scenario.profile)
        with ProcessMount(machine) as mount:
            machine.trace.observers.append(observer)
            for command in scenario.commands:
                null = subprocess.DEVNULL
                child = mount.popen(["sh", "-c", command], stdin=null, stdout=null, stderr=null)
                child.wait(_LIMIT)
    except (MachineError, MountError) as error:
        raise GateError(f"{scenario.tool}: {error}") from None
    nodes = {path: tuple(sorted(observer.nodes[path])) for path in sorted(observer.nodes)}
    version = _version(scenario.package)
    ioctls = tuple(sorted(observer.ioctls))
    return Coverage(SCHEMA, scenario.tool, version, scenario.profile, nodes, ioctls)


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
