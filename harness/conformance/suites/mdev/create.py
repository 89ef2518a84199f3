# SPDX-License-Identifier: Apache-2.0
"""Writes of a UUID to a type's file ``create``."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EACCES, EEXIST, EINVAL, ENOENT, ENOSPC, EUSERS, ErrorNumber
from harness.conformance.suites.mdev._samples import (
    BUS,
    MACHINE,
    OTHER_UUID,
    UUID,
    available,
    create,
    device,
    numbered,
    type_of,
)
from harness.uapi.fs import O_APPEND, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY

_STORE = "create_store: drivers/vfio/mdev/mdev_sysfs.c, 6.1"
_CREATE = "mdev_device_create: drivers/vfio/mdev/mdev_core.c, 6.1"
_FILE = f"{type_of('mtty-1')}/create"


@case(source=_STORE, machine=MACHINE, golden="{probe}")
@param(
    "probe text count",
    [
        ("mdev/create_ok", UUID, 36),
        ("mdev/recreate_same_uuid", f"{UUID}\n", 37),
        ("mdev/create_37_x", f"{OTHER_UUID}x", 37),
        ("", f"{UUID}\0", 37),
        ("", f"{UUID}-", 37),
        ("", "FFFFFFFF-ffff-ffff-ffff-ffffffffffff", 36),
    ],
    id="{text}",
)
def accepted(call: Call, probe: str, text: str, count: int) -> None:
    """A UUID, and perhaps one more byte, whichever."""
    expect(call.write_text(_FILE, text), count)
    expect(call.listdir(f"{BUS}/devices"), [text[:36].lower()])


@case(
    source=_STORE,
    machine=MACHINE,
    golden=("mdev/create_37_space", "mdev/created_by_space?", "mdev/rm_space"),
)
def with_a_blank(call: Call) -> None:
    """It is no part of the name."""
    expect(call.write_text(_FILE, f"{UUID} "), 37)
    expect(call.listdir(f"{BUS}/devices"), [UUID])
    expect(call.write_text(f"{device()}/remove", "1"), 1)


@case(source=_STORE, machine=MACHINE, golden=("mdev/create_nil", "mdev/rm_nil"))
def nil(call: Call) -> None:
    """It is a UUID as any other."""
    uuid = "00000000-0000-0000-0000-000000000000"
    create(call, "mtty-1", uuid)
    expect(call.write_text(f"{device(uuid)}/remove", "1"), 1)


@case(source=f"{_STORE}; guid_parse: lib/uuid.c", machine=MACHINE, golden="{probe}")
@param(
    "probe text",
    [
        ("mdev/create_nl", "\n"),
        ("mdev/create_35", UUID[:-1]),
        ("mdev/create_35nl", f"{UUID[:-1]}\n"),
        ("mdev/create_38", f"{UUID}\n\n"),
        ("mdev/create_nodash", "83b8f4f2509f382f3c1ee6bfe0fa10110000"),
        ("mdev/create_badhex", "g3b8f4f2-509f-382f-3c1e-e6bfe0fa1011"),
        ("mdev/create_dash_misplaced", "83b8f4f-2509f-382f-3c1e-e6bfe0fa10111"),
        ("mdev/create_braces", f"{{{UUID}}}"),
        ("mdev/create_lead_space", f" {UUID}"),
        ("mdev/create_nul_in", f"{UUID[:20]}\0{UUID[21:]}"),
        ("mdev/create_long", "a" * 5000),
        ("mdev/create_two_lines", f"{UUID}\n{OTHER_UUID}\n"),
        ("", f"{UUID[:35]}\xe9"),
        ("", f"{UUID[:-1]}x"),
    ],
    id="{text}",
)
def refused(call: Call, probe: str, text: str) -> None:
    """Anything else leaves nothing behind."""
    expect(call.write_text(_FILE, text), EINVAL)
    expect(call.listdir(f"{BUS}/devices"), [])
    available(call, "mtty-1", 24)


@case(source="vfs_write: fs/read_write.c, 6.1", machine=MACHINE, golden="mdev/create_empty")
def nothing(call: Call) -> None:
    """A write of no bytes does not get as far as the file."""
    expect(call.write_text(_FILE, ""), 0)
    expect(call.listdir(f"{BUS}/devices"), [])


@case(
    source="kernfs_fop_open: fs/kernfs/file.c, 6.1",
    machine=MACHINE,
    golden="mdev/create_open_{how}",
)
@param(
    "how flags wanted",
    [
        ("rdonly", O_RDONLY, EACCES),
        ("rdwr", O_RDWR, EACCES),
        ("trunc", O_WRONLY | O_TRUNC, None),
        ("append", O_WRONLY | O_APPEND, None),
    ],
)
def opened(call: Call, how: str, flags: int, wanted: ErrorNumber | None) -> None:
    """It cannot be read, by root either."""
    result = call.open(_FILE, flags)
    if wanted is None:
        expect(call.close(result))
    else:
        expect(result, wanted)


@case(
    source="mdev_device_create, which names it with %pUl: drivers/vfio/mdev/mdev_core.c, 6.1",
    machine=MACHINE,
    golden="mdev/create_upper",
)
def in_capitals(call: Call) -> None:
    """The name of the device is in small letters."""
    uuid = "83B8F4F2-509F-382F-3C1E-E6BFE0FAABCD"
    create(call, "mtty-1", uuid)
    expect(call.listdir(f"{BUS}/devices"), [uuid.lower()])


@case(source=_CREATE, machine=MACHINE, golden="mdev/create_dup_{how}")
@param(
    "how type uuid",
    [
        ("same_type", "mtty-1", UUID),
        ("other_type", "mtty-2", UUID),
        ("upper", "mtty-1", UUID.upper()),
        ("other_parent", "mdpy-vga", UUID),
    ],
)
def taken(call: Call, how: str, type: str, uuid: str) -> None:
    """A UUID is there once, over all parents."""
    create(call, "mtty-1")
    expect(call.write_text(f"{type_of(type)}/create", uuid), EEXIST)
    available(call, "mtty-1", 23)
    available(call, "mdpy-vga", 4)


@case(
    source="mtty_init_dev: samples/vfio-mdev/mtty.c, 6.1",
    machine=MACHINE,
    golden=("mdev/overcapacity_t1", "mdev/overcapacity_t2", "mdev/fail_leaves_nothing"),
)
@param("type", ["mtty-1", "mtty-2"])
def too_many_for_the_driver(call: Call, type: str) -> None:
    """mtty has 24 ports."""
    for number in range(24):
        create(call, "mtty-1", numbered(number))
    expect(call.write_text(f"{type_of(type)}/create", numbered(24)), ENOSPC)
    available(call, "mtty-1", 0)
    available(call, "mtty-2", 0)
    expect(call.lstat(device(numbered(24))), ENOENT)
    expect(len(expect(call.listdir(f"{BUS}/devices"))), 24)


@case(
    source="mtty_init_dev: samples/vfio-mdev/mtty.c, 6.1",
    machine=MACHINE,
    golden=("mdev/free_one", "mdev/t2_needs_two", "mdev/free_two", "mdev/t2_ok", "mdev/avail_zero"),
)
def two_ports_needed(call: Call) -> None:
    """One port that came free is not enough for a device of two."""
    for number in range(24):
        create(call, "mtty-1", numbered(number))
    expect(call.write_text(f"{device(numbered(0))}/remove", "1"), 1)
    expect(call.write_text(f"{type_of('mtty-2')}/create", numbered(24)), ENOSPC)
    expect(call.write_text(f"{device(numbered(1))}/remove", "1"), 1)
    create(call, "mtty-2", numbered(24))
    available(call, "mtty-1", 0)
    available(call, "mtty-2", 0)


@case(source=_CREATE, machine=MACHINE)
def too_many_for_the_core(call: Call) -> None:
    """mdpy leaves it to the core to count four devices, over all its types."""
    for number, type in enumerate(("vga", "xga", "hd", "vga")):
        available(call, "mdpy-xga", 4 - number)
        create(call, f"mdpy-{type}", numbered(number))
    for type in ("vga", "xga", "hd"):
        available(call, f"mdpy-{type}", 0)
        expect(call.write_text(f"{type_of(f'mdpy-{type}')}/create", numbered(4)), EUSERS)
    expect(call.lstat(device(numbered(4))), ENOENT)


@case(source=f"{_STORE}; {_CREATE}", machine=MACHINE)
@param(
    "text wanted",
    [
        ("not a UUID at all, but of its length", EINVAL),
        (numbered(0), EEXIST),
        (numbered(4), EUSERS),
    ],
)
def which_error_comes_first(call: Call, text: str, wanted: ErrorNumber) -> None:
    """None left: the text is looked at first, then the UUID, then the count."""
    for number in range(4):
        create(call, "mdpy-vga", numbered(number))
    expect(call.write_text(f"{type_of('mdpy-vga')}/create", text), wanted)


@case(source="mbochs_init_dev: samples/vfio-mdev/mbochs.c, 6.1", machine=MACHINE)
def too_much_video_memory(call: Call) -> None:
    """mbochs has 256 MB."""
    for number in range(3):
        create(call, "mbochs-large", numbered(number))
    create(call, "mbochs-small", numbered(3))
    for type, left in (("large", 0), ("medium", 3), ("small", 15)):
        available(call, f"mbochs-{type}", left)
    expect(call.write_text(f"{type_of('mbochs-large')}/create", numbered(4)), ENOSPC)
    expect(call.lstat(device(numbered(4))), ENOENT)
