# SPDX-License-Identifier: Apache-2.0
"""System calls that FUSE cannot carry, for every mount of a machine that needs them."""

from __future__ import annotations

from harness.kernel.system import Kernel
from harness.mounts.process.notifications import NotifiedCall, Table
from harness.seccomp import Argument, Rule

_IOCTL = 16  # x86-64
_UINT_MAX = 0xFFFF_FFFF


def add_rules(table: Table, kernel: Kernel) -> None:
    """Fill ``table`` with what the drivers of ``kernel`` make use of."""
    for command in sorted(kernel.fd_commands):
        table.add(Rule(_IOCTL, (Argument(1, command),)), ioctl)


def ioctl(call: NotifiedCall) -> int | None:
    """A command that makes an fd, if the file is one of ours."""
    fd, command, argument, *_ = call.arguments
    open_file = call.open_file(fd & _UINT_MAX)
    if open_file is None:
        return None
    call.server.catch_up()
    result: int = call.kernel.call(call.caller, "ioctl", open_file, command & _UINT_MAX, argument)
    return result
