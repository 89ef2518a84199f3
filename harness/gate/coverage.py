# SPDX-License-Identifier: Apache-2.0
"""Which program uses which uAPI: recorded of real ones in a machine, ``fixtures/coverage``.

``uapi-harness coverage --record`` runs each tool's scenarios under an observer and writes a file a
tool, which ``coverage.schema.json`` describes. ``uapi-harness coverage`` prints them as one table,
and the gate names the tools in its findings.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import cattrs
from attrs import evolve, frozen

from harness.data import data_path
from harness.gate.errors import GateError, first_problem
from harness.gate.findings import Finding

SCHEMA = 1


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
            raise GateError(f"{path}: {first_problem(error)}") from None
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
