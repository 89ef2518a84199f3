# SPDX-License-Identifier: Apache-2.0
"""Running the kernel's selftests/vfio on a device, and what they say as KTAP.

A program of theirs says TAP of its own; here each is a subtest. KTAP: Documentation/dev-tools/ktap
of the kernel.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from attrs import frozen

#: Statuses of a program that passed, failed, and had nothing to do (kselftest.h).
_PASS, _FAIL, _SKIP = 0, 1, 4
#: How long one program may take, in seconds.
_LIMIT = 300
_SRIOV = "/sys/module/vfio_pci/parameters/enable_sriov"
_FUNCTIONS = "/sys/bus/pci/devices"
#: How the script's last line begins if it ran no program.
GAVE_UP = "uapi-harness: gave up:"
_BEGIN, _END = "uapi-harness: begin", "uapi-harness: status"
_CASE = re.compile(r"(?P<not>not )?ok \d+ (?P<name>\S+)(?P<directive> # SKIP.*)?")


@frozen
class Case:
    """One test of a program. ``reason`` says why it was skipped."""

    name: str
    passed: bool
    reason: str | None = None


@frozen
class Program:
    """What one program said: its lines, its tests, and the status that it ended with."""

    name: str
    lines: tuple[str, ...]
    status: int

    @property
    def cases(self) -> list[Case]:
        """Its tests in order."""
        found = (_CASE.fullmatch(line) for line in self.lines)
        return [
            Case(match["name"], match["not"] is None, (match["directive"] or "")[8:] or None)
            for match in found
            if match is not None
        ]

    @property
    def skipped(self) -> str | None:
        """Why it did not run at all."""
        if self.status != _SKIP:
            return None
        said = next((line for line in reversed(self.lines) if line.strip()), "no reason given")
        return said.removeprefix("1..0 # SKIP ")

    @property
    def failed(self) -> bool:
        """Whether it, or a test of it, failed."""
        return self.status not in (_PASS, _SKIP) or any(not case.passed for case in self.cases)


def script(folder: Path, slots: Sequence[str], names: Iterable[str]) -> str:
    """A script of bash: sets the devices up, runs the programs on them, and gives them back."""
    devices = " ".join(map(shlex.quote, slots))
    lines = [
        f"cd {shlex.quote(str(folder))}",
        "export TMPDIR=$(mktemp -d)",
        "trap 'rm -rf \"$TMPDIR\"' EXIT",
        *(_wanted(slot) for slot in slots),
        # The test of virtual functions wants it; functions without any do not care.
        f"if [ -e {_SRIOV} ]; then echo Y >{_SRIOV}; fi",
        f"bash scripts/setup.sh {devices} || {_give_up('scripts/setup.sh ended with status $?')}",
    ]
    for name in names:
        lines += [
            f"echo {_BEGIN} {name}",
            f"timeout {_LIMIT} ./{name} {devices} 2>&1",
            f'echo "{_END} $?"',
        ]
    lines.append(f"bash scripts/cleanup.sh {devices}")
    return "\n".join(lines)


def _wanted(slot: str) -> str:
    """A line of the script that gives up unless there is such a function."""
    there = f"{_FUNCTIONS}/{shlex.quote(slot)}"
    known = f"; known: $(ls {_FUNCTIONS} | paste -s -d, | sed 's/,/, /g')"
    return f"[ -d {there} ] || {_give_up(f'there is no function {slot}{known}')}"


def _give_up(why: str) -> str:
    return f'{{ echo "{GAVE_UP} {why}"; exit 125; }}'


def parse(output: str) -> list[Program]:
    """What the programs of :func:`script` said."""
    found: list[Program] = []
    lines: list[str] = []
    name = ""
    for line in output.splitlines():
        if line.startswith(_BEGIN):
            name, lines = line.removeprefix(_BEGIN).strip(), []
        elif line.startswith(_END):
            found.append(Program(name, tuple(lines), int(line.removeprefix(_END))))
        else:
            lines.append(line)
    return found


def outcomes(programs: Sequence[Program]) -> dict[str, dict[str, str]]:
    """pass, fail or skip by program and test; of a program that ran no test, by its own name."""
    return {program.name: _outcomes(program) for program in programs}


def _outcomes(program: Program) -> dict[str, str]:
    if program.skipped is not None:
        return {program.name: "skip"}
    found = {
        case.name: "skip" if case.reason is not None else "pass" if case.passed else "fail"
        for case in program.cases
    }
    if program.status not in (_PASS, _FAIL) or not found:
        found[program.name] = "pass" if program.status == _PASS else "fail"
    return found


def _subtest_line(line: str) -> str:
    """What is neither a plan nor a result is a comment."""
    if line.startswith("TAP version"):
        return "KTAP version 1"
    if line.startswith("1..") or _CASE.fullmatch(line):
        return line
    return f"# {line.lstrip('# ')}"


def ktap(programs: Sequence[Program]) -> Iterator[str]:
    """The lines of a report."""
    yield "KTAP version 1"
    yield f"1..{len(programs)}"
    for number, program in enumerate(programs, 1):
        for line in program.lines:
            yield f"  {_subtest_line(line)}"
        verdict = "not ok" if program.failed else "ok"
        reason = f" # SKIP {program.skipped}" if program.skipped else ""
        yield f"{verdict} {number} {program.name}{reason}"
    cases = [case for program in programs for case in program.cases]
    passed = sum(case.passed and case.reason is None for case in cases)
    skipped = sum(case.reason is not None for case in cases)
    yield f"# Totals: pass:{passed} fail:{len(cases) - passed - skipped} skip:{skipped}"
