# SPDX-License-Identifier: Apache-2.0
"""Who notices: the tools that were seen to use what a finding is about, and how they do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from attrs import evolve

from harness.gate import coverage
from harness.gate.findings import Finding, User
from harness.ioctl_arguments import carriers

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
    tools, structures = [_Tool(one) for one in coverage.recordings()], carriers()
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

    def __init__(self, recorded: coverage.Coverage) -> None:
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
