# SPDX-License-Identifier: Apache-2.0
"""Steps that the cases of several suites share."""

from __future__ import annotations

from harness.conformance import Call, expect
from harness.uapi.fs import RLIMIT_NOFILE

PCI_ADDRESS = "0000:00:05.0"
PCI_BUS = "/sys/bus/pci"
PCI_DEVICE = f"{PCI_BUS}/devices/{PCI_ADDRESS}"

_USER = 1000


def plain_user(call: Call) -> Call:
    """The calls of a new task that is not root and has no capabilities."""
    task = call.fork()
    expect(task.call.setuid(_USER, _USER))
    return task.call


def no_more_fds(call: Call) -> int:
    """Let the task have none but those that it has; the limit that would allow one more."""
    lowest = expect(call.eventfd(0, 0))
    expect(call.close(lowest))
    expect(call.setrlimit(RLIMIT_NOFILE, lowest.number))
    return lowest.number + 1
