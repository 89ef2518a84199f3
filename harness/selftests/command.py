# SPDX-License-Identifier: Apache-2.0
"""The command ``uapi-harness selftests``."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

from harness.kernel.wait import RealClock
from harness.machine import load_machine
from harness.mounts.process import ProcessMount
from harness.packages import Progress
from harness.selftests.build import build, programs
from harness.selftests.run import GAVE_UP, Program, ktap, outcomes, parse, script
from harness.vm import kernels
from harness.vm.command import progress
from harness.vm.guest import machine_for
from harness.vm.qemu import VmError
from harness.vm.session import Session
from harness.vm.shell import run_host_program

#: How long all programs together may take, in seconds.
_SECONDS = 1800.0
_VM = "vm:"


def selftests(
    slots: Sequence[str],
    target: str,
    machine: str,
    profile: str | None,
    wanted: Sequence[str],
    form: str,
    output: TextIO,
) -> int:
    """Run them and write a report as ``form`` says, ktap or json: 0, or 1 if a test failed.

    ``target`` is ``process`` or ``vm:KERNEL``; ``wanted`` are the names of programs, none for all.
    Raises MachineError, MountError, PackagesError, VmError, AgentError, ValueError.
    """
    run = _runner(target, machine, profile)
    with progress() as line:
        folder = build(line)
        names = _chosen(programs(folder), wanted)
        found = run(folder, slots, names, line)
    if form == "json":
        where = {"target": target, "machine": machine, "slots": list(slots), "source": folder.name}
        json.dump({"schema": 1, **where, "programs": outcomes(found)}, output, indent=1)
        output.write("\n")
    else:
        output.writelines(f"{line}\n" for line in ktap(found))
    return 1 if any(program.failed for program in found) else 0


def _chosen(there: list[str], wanted: Sequence[str]) -> list[str]:
    for name in wanted:
        if name not in there:
            raise ValueError(f"there is no test {name!r}; there are: {', '.join(there)}")
    return list(wanted) or there


#: Runs programs: their folder, the functions, the programs' names, and what is told of progress.
Runner = Callable[[Path, Sequence[str], Sequence[str], Progress], list[Program]]


def _runner(target: str, machine: str, profile: str | None) -> Runner:
    """What runs programs on ``target``; the rest of its errors come when it is called."""
    if target == "process":
        return in_fake_machine(machine, profile)
    if target.startswith(_VM):
        return in_virtual_machine(machine, target.removeprefix(_VM))
    raise ValueError(f"unknown target {target!r}; allowed: process, {_VM}KERNEL")


def in_fake_machine(machine: str, profile: str | None) -> Runner:
    """Runs them in a machine of ours. MachineError; MountError when it is called."""
    loaded = load_machine(machine, profile=profile, clock=RealClock())

    def run(
        folder: Path, slots: Sequence[str], names: Sequence[str], line: Progress
    ) -> list[Program]:
        # Of ours: the script does not get to remove its own if it is killed with the mount.
        with TemporaryDirectory(prefix="uapi-selftests-") as place, ProcessMount(loaded) as mount:
            child = mount.popen(
                ["bash", "-c", script(folder, slots, names)],
                env={**os.environ, "TMPDIR": place},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            out, _ = child.communicate(_SECONDS)
        return answers(out.decode(errors="replace"), names)

    return run


def in_virtual_machine(machine: str, kernel: str) -> Runner:
    """Runs them on a real kernel. MachineError, VmError; PackagesError, VmError and AgentError when
    it is called."""
    file = machine_for(machine)
    if file is None:
        raise VmError(f"the machine {machine} has no section qemu: no virtual machine can be it")

    def run(
        folder: Path, slots: Sequence[str], names: Sequence[str], line: Progress
    ) -> list[Program]:
        with Session(kernels.build(kernel, line), file) as session:
            command = ["bash", "-c", script(folder, slots, names)]
            _, text = run_host_program(session, command, _SECONDS)
        return answers(text, names)

    return run


def answers(output: str, names: Sequence[str]) -> list[Program]:
    """What the programs said; ValueError says why not all of them ran."""
    found = parse(output)
    if len(found) != len(names):
        raise ValueError(_why_not(output.strip().splitlines()))
    return found


def _why_not(said: list[str]) -> str:
    """Why not all programs ran, out of what the script said: its own words come last."""
    if not said:
        return "the script that runs the tests said nothing"
    if not said[-1].startswith(GAVE_UP):
        return said[-1]
    why = said[-1].removeprefix(GAVE_UP).strip()
    return f"{why}: {said[-2]}" if said[:-1] else why
