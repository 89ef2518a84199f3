# SPDX-License-Identifier: Apache-2.0
"""Which program uses which uAPI: recorded of real ones in a machine, ``fixtures/coverage``.

``uapi-harness coverage --record`` runs each tool's scenarios under an observer and writes a file a
tool, which ``coverage.schema.json`` describes. ``uapi-harness coverage`` prints them as one table,
and :mod:`harness.gate.who` names the tools in findings.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import cattrs
from attrs import frozen

from harness.data import data_path
from harness.gate.errors import GateError, first_problem

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
