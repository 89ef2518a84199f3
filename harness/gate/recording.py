# SPDX-License-Identifier: Apache-2.0
"""Running tools under an observer, to see which uAPI they use.

A tool runs in a machine, or is QEMU and makes one: then it is VFIO that it uses.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cattrs
from attrs import asdict, frozen

from harness.agent.client import AgentError
from harness.data import DataError, load_yaml, write_whole
from harness.gate.coverage import SCHEMA, Coverage, folder
from harness.gate.errors import GateError, NotHere
from harness.gate.uses import Uses
from harness.kernel.trace import Trace
from harness.kernel.wait import RealClock
from harness.machine import MachineError, load_machine
from harness.mounts.process import MountError, ProcessMount
from harness.packages import PackagesError, Unavailable, silent
from harness.selftests.build import build, version
from harness.vm import kernels
from harness.vm.guest import machine_for
from harness.vm.qemu import VmError
from harness.vm.session import Session

_SCENARIOS = "scenarios.yaml"
#: How long one command may take, in seconds.
_LIMIT = 900
#: The variable of a scenario's commands that has the selftests' folder.
_FOLDER = "SELFTESTS"


@frozen
class Scenario:
    """One tool's jobs in one machine; ``in_guest`` if the tool is what makes the machine.

    ``setup`` are the jobs of others that it needs done before. ``selftests``: the tool is the
    kernel's selftests/vfio, whose folder is ``$SELFTESTS``.
    """

    tool: str
    program: str
    package: str
    machine: str
    profile: str
    commands: tuple[str, ...]
    setup: tuple[str, ...] = ()
    in_guest: bool = False
    selftests: bool = False


def scenarios() -> list[Scenario]:
    """All that can be recorded. GateError."""
    try:
        document: Any = load_yaml(folder() / _SCENARIOS)
        return cattrs.Converter(forbid_extra_keys=True).structure(document, list[Scenario])
    except DataError as error:
        raise GateError(str(error)) from None


def record(wanted: Sequence[str], to: Path, output: Callable[[str], object]) -> int:
    """Record ``wanted`` (none: all) into files below ``to``; 3 if not one could be. GateError."""
    known: dict[str, list[Scenario]] = defaultdict(list)
    for scenario in scenarios():
        known[scenario.tool].append(scenario)
    if unknown := set(wanted) - known.keys():
        names = f"{', '.join(sorted(unknown))}; known: {', '.join(known)}"
        raise GateError(f"there is no scenario of {names}")
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GateError(f"{to}: {error.strerror}") from None
    done = 0
    for tool in (tool for tool in known if not wanted or tool in wanted):
        try:
            found = _recorded(known[tool])
        except NotHere as error:
            output(f"{tool}: left out, {error}\n")
            continue
        path = to / f"{tool}.json"
        _write(found, path)
        output(f"{path}: {found.name}: {_counts(found)}\n")
        done += 1
    return 0 if done else 3


def _counts(found: Coverage) -> str:
    parts = {"nodes": found.nodes, "commands": found.ioctls, "constants": found.constants}
    return ", ".join(f"{len(part)} {what}" for what, part in parts.items() if part)


def _recorded(scenarios: Sequence[Scenario]) -> Coverage:
    """What one tool used in all its scenarios, the first of which says what it is. GateError."""
    scenario = scenarios[0]
    if shutil.which(scenario.program) is None:
        raise NotHere(f"there is no {scenario.program} here")
    seen = Uses()
    try:
        selftests = build(silent) if scenario.selftests else None
        for one in scenarios:
            if one.in_guest:
                _run_around(one, seen)
            else:
                _run_inside(one, seen, selftests)
    except Unavailable as error:
        raise NotHere(str(error)) from None
    except (MachineError, MountError, PackagesError, VmError, AgentError) as error:
        raise GateError(f"{scenario.tool}: {error}") from None
    return Coverage(
        SCHEMA,
        scenario.tool,
        _version(scenario.package) if selftests is None else version(selftests),
        scenario.profile,
        tuple(sorted(seen.ioctls)),
        seen.by_constant(),
        {path: tuple(sorted(seen.nodes[path])) for path in sorted(seen.nodes)},
    )


def _run_inside(scenario: Scenario, observer: Uses, selftests: Path | None) -> None:
    """The tool runs in the machine."""
    machine = load_machine(scenario.machine, profile=scenario.profile, clock=RealClock())
    with (
        tempfile.TemporaryDirectory(prefix="uapi-coverage-") as folder,
        ProcessMount(machine) as mount,
    ):
        environment = {**os.environ, "TMPDIR": folder}
        if selftests is not None:
            environment[_FOLDER] = str(selftests)
        for command in scenario.setup:
            _run(mount, command, environment)
        machine.trace.observers.append(observer)
        for command in scenario.commands:
            _run(mount, command, environment)


def _run(mount: ProcessMount, command: str, environment: Mapping[str, str]) -> None:
    null = subprocess.DEVNULL
    child = mount.popen(
        ["sh", "-c", command], stdin=null, stdout=null, stderr=null, env=environment
    )
    try:
        child.wait(_LIMIT)
    except subprocess.TimeoutExpired:
        raise MountError(f"no end within {_LIMIT} s of: {command}") from None


def _run_around(scenario: Scenario, observer: Uses) -> None:
    """The tool is QEMU, which makes the machine that the commands run in."""
    file = machine_for(scenario.machine)
    if file is None:
        raise VmError(f"the machine {scenario.machine} has no section qemu")
    with Session(kernels.build(scenario.profile), file, Trace([observer])) as session:
        for command in (*scenario.setup, *scenario.commands):
            session.run(command)


def _version(package: str) -> str:
    """The upstream part of the package's version."""
    if shutil.which("dpkg-query") is None:
        return "unknown"
    command = ["dpkg-query", "--show", "--showformat=${source:Upstream-Version}", package]
    return subprocess.run(command, capture_output=True, text=True).stdout or "unknown"


def _write(found: Coverage, path: Path) -> None:
    """A node or a constant a line, so that a diff shows what changed."""
    document = asdict(found)
    parts = [
        f"{json.dumps(name)}: {{\n{_lines(part)}\n}}"
        if isinstance(part, dict)
        else f"{json.dumps(name)}: {json.dumps(part)}"
        for name, part in document.items()
    ]
    write_whole(path, "{\n" + ",\n".join(parts) + "\n}\n")


def _lines(mapping: Mapping[str, Any]) -> str:
    return ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in mapping.items())
