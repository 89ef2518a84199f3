# SPDX-License-Identifier: Apache-2.0
"""Which program uses which uAPI: recorded of real ones in a machine, ``fixtures/coverage``.

``uapi-harness coverage --record`` runs each tool's scenarios under an observer and writes a file a
tool, which ``coverage.schema.json`` describes. ``uapi-harness coverage`` prints them as one table,
and the gate names the tools in its findings.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import cattrs
from attrs import evolve, frozen

from harness.data import data_path
from harness.gate.errors import GateError, first_problem
from harness.gate.findings import Finding, User
from harness.ioctl_arguments import carriers

SCHEMA = 1


@frozen
class Coverage:
    """What one tool used.

    ``nodes`` are operations by the pattern of a node; ``ioctls`` commands, by name or number.
    ``constants`` are the commands in which it ``passed`` a constant, or was ``given`` it; of
    registers of a function and what they hold, the nodes, or the region's index in VFIO.
    """

    schema: int
    tool: str
    version: str
    profile: str
    ioctls: tuple[str, ...]
    constants: Mapping[str, Mapping[str, tuple[str, ...]]]
    nodes: Mapping[str, tuple[str, ...]]

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

#: How a finding says what is done to a node, and how a constant gets into a command.
_VERBS = {
    "ioctl": "sends commands to",
    "mmap": "maps",
    "poll": "polls",
    "read": "reads",
    "readdir": "lists",
    "readlink": "follows",
    "write": "writes",
}
_WAYS = {"passed": ("passes", "in"), "given": ("is given", "by")}


def with_users(findings: Iterable[Finding]) -> list[Finding]:
    """The findings, each with the tools that are known to use its subject."""
    tools, structures = [_Tool(one) for one in recordings()], carriers()
    return [evolve(one, users=tuple(_users(one, tools, structures))) for one in findings]


def _users(
    finding: Finding, tools: Iterable[_Tool], structures: Mapping[str, set[str]]
) -> Iterator[User]:
    kind, _, name = finding.subject.partition(".")[0].rpartition(" ")
    for tool in tools:
        if finding.header is None:
            how = tool.of_node(finding.subject)
        elif kind == "struct":
            how = tool.of_structure(structures.get(name, set()))
        else:
            known = [tool.of_name(name), *(tool.of_name(one, one) for one in finding.related)]
            how = ", ".join(filter(None, known))
        if how:
            yield User(tool.name, how)


class _Tool:
    """What a finding says of one tool; no text if the tool does not use it."""

    def __init__(self, recorded: Coverage) -> None:
        self.name = recorded.name
        self._ioctls, self._constants = recorded.ioctls, recorded.constants
        self._nodes: dict[str, set[str]] = defaultdict(set)
        for path, uses in recorded.nodes.items():
            self._nodes[_end(path)].update(uses)

    def of_node(self, path: str) -> str:
        """``reads, writes it``."""
        verbs = [_VERBS[use] for use in sorted(self._nodes.get(_end(path), ()))]
        return f"{', '.join(verbs)} it" if verbs else ""

    def of_name(self, name: str, called: str = "it") -> str:
        """``sends it``, of a command; of a constant, ``passes it in VFIO_IOMMU_MAP_DMA``."""
        if name in self._ioctls:
            return f"sends {called}"
        ways = self._constants.get(name, {})
        words = [
            f"{verb} {called} {where} {', '.join(ways[way])}"
            for way, (verb, where) in _WAYS.items()
            if way in ways
        ]
        return ", ".join(words)

    def of_structure(self, carried_by: set[str]) -> str:
        """``sends VFIO_IOMMU_MAP_DMA``: the commands, and constants in commands, it comes with."""
        sent = sorted(carried_by & {*self._ioctls})
        words = [f"sends {', '.join(sent)}"] if sent else []
        for way, (verb, _) in _WAYS.items():
            names = sorted(name for name in carried_by if way in self._constants.get(name, {}))
            words += [f"{verb} {', '.join(names)}"] if names else []
        return ", ".join(words)


def _end(path: str) -> str:
    """The node and what it is of, by whatever way one got there."""
    return "/".join(path.split("/")[-2:])


# --- the table

_LEGEND = """
r read, w write, l readlink, d readdir, i ioctl, m mmap, p poll
below a command or node: p passed in it, g given by it
"""


def table(output: Callable[[str], object]) -> int:
    """Print uAPI by tool; 0 if there are recordings, 3 if there are none.

    Nodes come first, then commands, each with the constants in it.
    """
    tools = recordings()
    if not tools:
        output("nothing was recorded; see uapi-harness coverage --record\n")
        return 3
    for number, one in enumerate(tools):
        output(f"{_column(number)} {one.name}, on {one.profile}\n")
    output("\n")
    output(_row([_column(number) for number in range(len(tools))], ""))
    places = [_places(one) for one in tools]
    for name in sorted({name for found in places for name in found}):
        output(_row([found.get(name, "") for found in places], name))
        inside = [_inside(one, name) for one in tools]
        for constant in sorted({constant for found in inside for constant in found}):
            output(_row([found.get(constant, "") for found in inside], f"  {constant}"))
    output(_LEGEND)
    return 0


def _places(one: Coverage) -> dict[str, str]:
    """Nodes and commands, with letters for what is done to them, and what else constants are in."""
    ways = [pair for found in one.constants.values() for pair in found.items()]
    others = dict.fromkeys((where for _, places in ways for where in places), "")
    nodes = {path: _letters(uses) for path, uses in one.nodes.items()}
    return others | dict.fromkeys(one.ioctls, "i") | nodes


def _row(cells: Iterable[str], name: str) -> str:
    columns = "".join(f"{cell or '.':<4}" for cell in cells)
    return f"{columns}{name}".rstrip() + "\n"


def _inside(one: Coverage, command: str) -> dict[str, str]:
    """The constants in a command or node, with letters for the ways they got there."""
    found: dict[str, str] = defaultdict(str)
    for constant, ways in one.constants.items():
        for way, commands in sorted(ways.items(), reverse=True):
            found[constant] += way[0] if command in commands else ""
    return {constant: letters for constant, letters in found.items() if letters}


def _column(number: int) -> str:
    return chr(ord("A") + number)


def _letters(uses: Sequence[str]) -> str:
    letters = {"readlink": "l", "readdir": "d"}
    return "".join(letters.get(use, use[0]) for use in uses)
