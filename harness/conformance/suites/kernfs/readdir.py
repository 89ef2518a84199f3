# SPDX-License-Identifier: Apache-2.0
"""Reading directories."""

from __future__ import annotations

from harness.conformance import Call, case, expect
from harness.conformance.errnos import EINVAL, ENOTDIR
from harness.conformance.suites._steps import PCI_DEVICE
from harness.uapi.fs import O_DIRECTORY, O_RDONLY, SEEK_SET

_READDIR = "kernfs_fop_readdir: fs/kernfs/dir.c, 6.1"
_DT_DIR, _DT_REG, _DT_LNK = 4, 8, 10
_TYPES = {0o040000: _DT_DIR, 0o100000: _DT_REG, 0o120000: _DT_LNK}
_WQ = "/sys/bus/dsa/devices/wq0.0"


@case(source=f"{_READDIR}; dir_emit_dots: include/linux/fs.h")
def dots_come_first(call: Call) -> None:
    with call.opened(_WQ, O_RDONLY | O_DIRECTORY) as fd:
        entries = expect(call.getdents(fd))
        expect([entry.name for entry in entries[:2]], [".", ".."])
        expect([entry.type for entry in entries[:2]], [_DT_DIR, _DT_DIR])
        expect(entries[0].ino, expect(call.stat(_WQ)).ino)
        expect(call.getdents(fd), [])


@case(source=f"kernfs_name_hash: {_READDIR}")
def order_is_by_hash(call: Call) -> None:
    """Not by name, and not by creation."""
    names = ["uevent", "drivers_autoprobe", "devices", "drivers_probe", "drivers"]
    expect(call.listdir("/sys/bus/dsa"), names)


@case(source=_READDIR)
def types_and_numbers_are_those_of_stat(call: Call) -> None:
    with call.opened(_WQ, O_RDONLY | O_DIRECTORY) as fd:
        for entry in expect(call.getdents(fd))[2:]:
            node = expect(call.lstat(f"{_WQ}/{entry.name}"))
            expect((entry.ino, entry.type), (node.ino, _TYPES[node.mode & 0o170000]))


@case(source=_READDIR)
def in_pieces(call: Call) -> None:
    """A small buffer gives a few at a time, each once."""
    with call.opened(PCI_DEVICE, O_RDONLY | O_DIRECTORY) as fd:
        names: list[str] = []
        while entries := expect(call.getdents(fd, 128)):
            names += [entry.name for entry in entries]
        expect(names[2:], expect(call.listdir(PCI_DEVICE)))


@case(source=_READDIR)
def rewinding(call: Call) -> None:
    with call.opened(_WQ, O_RDONLY | O_DIRECTORY) as fd:
        first = expect(call.getdents(fd))
        expect(call.getdents(fd), [])
        expect(call.lseek(fd, 0, SEEK_SET), 0)
        expect(call.getdents(fd), first)


@case(source="filldir64: fs/readdir.c, 6.1")
def refused(call: Call) -> None:
    with call.opened(_WQ, O_RDONLY | O_DIRECTORY) as fd:
        expect(call.getdents(fd, 8), EINVAL)
    with call.opened(f"{_WQ}/size", O_RDONLY) as fd:
        expect(call.getdents(fd), ENOTDIR)
