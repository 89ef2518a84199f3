# SPDX-License-Identifier: Apache-2.0
"""The parts ``sysfs`` and ``behaviours`` of a snapshot, of machines and of results of cases.

Nodes of different devices of one kind are one (:mod:`harness.node_patterns`); what a file looks
like is told from what is in all of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.conformance import golden
from harness.conformance.cases import discover
from harness.conformance.observed import run_observed
from harness.conformance.probes import GoldenError
from harness.conformance.runner import ConformError
from harness.data import machine_names
from harness.gate.errors import GateError
from harness.gate.snapshot import Behaviour, SysfsNode
from harness.kernel.errors import errno_name
from harness.kernel.trace import Event
from harness.machine import MachineError, load_machine
from harness.node_patterns import pattern

#: As in uevent, where there may be one or several.
_SETTINGS = "KEY=VALUE"
#: What lines look like, most special first, by how the kernel prints them.
_FORMATS = (
    ("%d", re.compile(r"-?\d+")),
    ("0x%x", re.compile(r"0x[0-9a-f]+")),
    ("%x", re.compile(r"[0-9a-f]+")),
    ("%d:%d", re.compile(r"\d+:\d+")),
    ("%*pb", re.compile(r"[0-9a-f]{1,8}(?:,[0-9a-f]{8})+")),
    ("%*pbl", re.compile(r"\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*")),
    ("0x%x ...", re.compile(r"0x[0-9a-f]+(?: 0x[0-9a-f]+)*")),
    ("%d.%d GT/s PCIe", re.compile(r"\d+\.\d GT/s PCIe")),
    (_SETTINGS, re.compile(r"[A-Z0-9_]+=.*")),
    ("%s", re.compile(r"\S+")),
    ("text", re.compile(r".*")),
)


def sysfs(trees: Iterable[Mapping[str, Mapping[str, Any]]]) -> dict[str, SysfsNode]:
    """The nodes of trees as :meth:`harness.machine.Machine.tree` gives them."""
    nodes: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    owners: dict[str, set[tuple[int, str]]] = defaultdict(set)
    folders: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for number, tree in enumerate(trees):
        for path, shown in tree.items():
            name = pattern(path)
            parent = path.rpartition("/")[0]
            nodes[name].append(shown)
            owners[name].add((number, parent))
            folders[pattern(parent)].add((number, parent))
    return {
        name: _node(found, len(owners[name]) == len(folders[name.rpartition("/")[0]]))
        for name, found in nodes.items()
    }


def _node(found: list[Mapping[str, Any]], everywhere: bool) -> SysfsNode:
    first = found[0]
    kind = next((kind for kind in ("link", "dir") if kind in first), "file")
    modes = sorted({int(one["mode"], 8) for one in found if "mode" in one})
    return SysfsNode(
        kind=kind,
        mode=modes[0] if len(modes) == 1 else None,
        format=_format([one["text"] for one in found if "text" in one]),
        visible="always" if everywhere else "sometimes",
    )


def _format(texts: list[str]) -> str | None:
    """The format of each line, if there are several; None if nothing is known."""
    contents = [text for text in texts if text.strip()]
    if not contents:
        return None
    lines = [line for text in contents for line in text.splitlines()]
    name = next(name for name, form in _FORMATS if all(form.fullmatch(line) for line in lines))
    end = "\n" if all(text.endswith("\n") for text in contents) else ""
    several = any(text.rstrip("\n").count("\n") for text in contents)
    return f"{name}{end}..." if several and name != _SETTINGS else f"{name}{end}"


def of_machine(name: str, profile: str | None = None) -> dict[str, SysfsNode]:
    """The nodes of one machine. GateError."""
    try:
        return sysfs([load_machine(name, profile=profile).tree()])
    except MachineError as error:
        raise GateError(str(error)) from None


def nodes_of_profile(profile: str) -> dict[str, SysfsNode]:
    """The nodes of all machines with this kernel. GateError."""
    try:
        return sysfs([load_machine(name, profile=profile).tree() for name in machine_names()])
    except MachineError as error:
        raise GateError(str(error)) from None


class _Errors:
    """An observer that writes down which errors the calls of a case gave."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def before(self, event: Event) -> None:
        """Only watches."""

    def after(self, event: Event) -> None:
        """Errors of what the kernel did by itself are nobody's."""
        if event.errno and event.task is not None:
            self.seen.add(event.errno)

    def taken(self) -> str | None:
        """Their names in order, if there were any."""
        return ", ".join(sorted(map(errno_name, self.seen))) or None


def behaviours_of_profile(
    profile: str, progress: Callable[[str], None], text: str | None = None
) -> dict[str, Behaviour]:
    """How each case ends whose id has ``text`` in it, and which errors it is about. GateError.

    The end is that on a real kernel, if it was recorded. The errors are the model's, which a case
    that passes on both has compared with the kernel's.
    """
    try:
        records = run_observed(
            profile, _Errors, text, lambda record: progress(f"{profile}: {record.id}")
        )
        cases = {case.id: case for case in discover()}
        judgements = [golden.judgement(cases[record.id], profile) for record in records]
    except (ConformError, GoldenError) as error:
        raise GateError(str(error)) from None
    found: dict[str, Behaviour] = {}
    for record, judged in zip(records, judgements, strict=True):
        state, answer = record.state, record.observed
        if judged is not None and judged.state is not state:
            state, answer = judged.state, judged.failure.got if judged.failure else None
        found[record.id] = Behaviour(state.value, answer)
    return found


def of_results(document: Any, name: str) -> dict[str, Behaviour]:
    """How the cases of a report (``report.schema.json``) ended. GateError."""
    runs = document.get("runs", [document]) if isinstance(document, Mapping) else []
    try:
        if len(runs) != 1:
            raise GateError(f"{name}: a report of one run is wanted, not of {len(runs)}")
        return {
            one["id"]: Behaviour(one["state"], one["failure"]["got"] if one["failure"] else None)
            for one in runs[0]["cases"]
        }
    except (KeyError, TypeError) as error:
        raise GateError(
            f"{name}: no report of `uapi-harness conform --format json`: {error}"
        ) from None
