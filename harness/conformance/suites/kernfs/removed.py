# SPDX-License-Identifier: Apache-2.0
"""Attributes that go away while they are open."""

from __future__ import annotations

from harness.conformance import Call, Fd, case, expect
from harness.conformance.errnos import ENODEV, ENOENT
from harness.conformance.suites._steps import PCI_ADDRESS, PCI_BUS, PCI_DEVICE
from harness.uapi.fs import O_RDONLY, O_RDWR, O_WRONLY, POLLERR, POLLIN, POLLOUT, POLLPRI

_DRAIN = "kernfs_get_active, kernfs_drain: fs/kernfs/dir.c, 6.1"
_LIMIT = "/sys/bus/dsa/devices/dsa0/read_buffer_limit"


def _is_dead(call: Call, fd: Fd) -> None:
    expect(call.pread(fd, 100, 0), ENODEV)
    expect(call.write(fd, b"1"), ENODEV)
    expect(call.poll({fd: POLLIN | POLLOUT | POLLPRI}), {fd: POLLIN | POLLOUT | POLLPRI | POLLERR})


@case(source=_DRAIN)
def device_removed(call: Call) -> None:
    """What is open answers ENODEV, what is not is not there."""
    fd = expect(call.open(f"{PCI_DEVICE}/driver_override", O_RDWR))
    expect(call.read(fd, 100), b"(null)\n")
    expect(call.write_text(f"{PCI_DEVICE}/remove", "1"), 1)
    _is_dead(call, fd)
    expect(call.open(f"{PCI_DEVICE}/driver_override", O_RDONLY), ENOENT)
    expect(call.lstat(PCI_DEVICE), ENOENT)
    expect(call.fstat(fd), mode=0o100644, size=4096)
    expect(call.close(fd))


@case(source=_DRAIN)
def driver_unbound(call: Call) -> None:
    """The driver's own devices go with it, and with them their attributes."""
    fd = expect(call.open(_LIMIT, O_RDWR))
    expect(call.write_text(f"{PCI_BUS}/drivers/idxd/unbind", PCI_ADDRESS), len(PCI_ADDRESS))
    _is_dead(call, fd)
    expect(call.open(_LIMIT, O_RDONLY), ENOENT)


@case(source=_DRAIN)
def it_does_not_come_back(call: Call) -> None:
    """A new node of the same name is another node."""
    fd = expect(call.open(_LIMIT, O_RDWR))
    for file in ("unbind", "bind"):
        expect(call.write_text(f"{PCI_BUS}/drivers/idxd/{file}", PCI_ADDRESS))
    expect(call.read_text(_LIMIT), "0\n")
    _is_dead(call, fd)


@case(source="seq_read_iter: fs/seq_file.c, 6.1")
def rest_of_a_snapshot(call: Call) -> None:
    """What was shown before can still be read to its end."""
    with call.opened(f"{PCI_DEVICE}/vendor", O_RDONLY) as fd:
        expect(call.read(fd, 3), b"0x8")
        expect(call.write_text(f"{PCI_DEVICE}/remove", "1"), 1)
        expect(call.read(fd, 100), b"086\n")
        expect(call.read(fd, 100), ENODEV)


@case(source="device_remove_file_self: drivers/base/core.c, 6.1")
def attribute_that_removes_itself(call: Call) -> None:
    """The write that does it succeeds; the next on the same fd finds nothing."""
    fd = expect(call.open(f"{PCI_DEVICE}/remove", O_WRONLY))
    expect(call.write(fd, b"1\n"), 2)
    expect(call.write(fd, b"1\n"), ENODEV)
