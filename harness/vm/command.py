# SPDX-License-Identifier: Apache-2.0
"""The commands ``uapi-harness vm build``, ``vm list`` and ``vm shell``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from harness.packages import Progress, ProgressLine
from harness.vm import kernels
from harness.vm.guest import machine_for
from harness.vm.qemu import VmError
from harness.vm.session import Session
from harness.vm.shell import interactive, run_host_program

_DAY = 86400.0


@contextmanager
def progress() -> Iterator[Progress]:
    """One line on stderr that says what is being done, if that is a terminal."""
    line = ProgressLine(sys.stderr)
    try:
        yield line
    finally:
        line.close()


def build(name: str, *, refresh: bool, output: TextIO) -> int:
    """Make the kernel ready, or say which is. PackagesError."""
    with progress() as line:
        image = kernels.build(name, line, refresh=refresh)
    output.write(f"{image.name}: {image.release}, {image.package} {image.version}\n")
    for module, reason in image.missing.items():
        output.write(f"{image.name}: without the module {module}: {reason}\n")
    return 1 if image.missing else 0


def show(output: TextIO) -> int:
    """The kernels that have names, and what of them is on this disk."""
    for name in kernels.names():
        image = kernels.built(name)
        found = "not built" if image is None else f"{image.release:<28}{image.version}"
        output.write(f"{name:<16}{found}\n")
    return 0


def shell(name: str, machine: str, command: Sequence[str], output: TextIO) -> int:
    """A shell in the virtual machine, or one program of the host; its exit status.

    VmError, PackagesError, AgentError.
    """
    file = machine_for(machine)
    if file is None:
        raise VmError(f"the machine {machine} has no section qemu: no virtual machine can be it")
    with progress() as line:
        image = kernels.build(name, line)
    if not command:
        return interactive(image, file)
    with Session(image, file) as session:
        status, text = run_host_program(session, command, _DAY)
    output.write(text)
    return status
