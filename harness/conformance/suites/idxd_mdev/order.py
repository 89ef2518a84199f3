# SPDX-License-Identifier: Apache-2.0
"""One dedicated queue from its configuration to its end, as each version shows it."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EINVAL, ENODEV, ENOENT, ENXIO, EPERM, ErrorNumber
from harness.conformance.suites.idxd_mdev._series import (
    DEVICE,
    MACHINE,
    MDEVS,
    PARENT,
    SERIES,
    UUID,
    allow,
    bind_device,
    bind_file,
    bind_queue,
    configure,
    create,
    dedicated_type,
    enabled,
    queue,
    remove,
    shows,
    unbind_queue,
)

_STORE = "the series, drivers/dma/idxd/sysfs.c"


@case(source=SERIES, machine=MACHINE, since="rfc-v1", until="rfc-v2")
def events_v1(call: Call) -> None:
    """The queue is the one whose list has the UUID."""
    shows(call, "disabled", 0, 0)
    configure(call)
    shows(call, "disabled", 0, 1)
    bind_device(call)
    bind_queue(call)
    allow(call)
    shows(call, "enabled", 0, 1)
    create(call)
    shows(call, "disabled", 1, 1)
    remove(call)
    shows(call, "disabled", 0, 1)


@case(source=SERIES, machine=MACHINE, since="rfc-v2", until="v6")
def events_v2(call: Call) -> None:
    """A queue that had a device stays locked, for good."""
    shows(call, "disabled", 0, 0)
    configure(call)
    shows(call, "disabled", 0, 1)
    bind_device(call)
    bind_queue(call)
    shows(call, "enabled", 0, 1)
    create(call)
    shows(call, "locked", 1, 0)
    remove(call)
    shows(call, "locked", 0, 1)
    expect(call.write_text(f"{dedicated_type(call)}/create", UUID), ENODEV)
    unbind_queue(call)
    shows(call, "locked", 0, 1)
    expect(call.write_text(bind_file(call, "mdev"), "wq0.0"), ENODEV)


@case(source=SERIES, machine=MACHINE, since="v6", until="oa")
def events_v6(call: Call) -> None:
    """A device counts as two clients and is forgotten as one."""
    shows(call, "disabled", 0, None)
    configure(call)
    shows(call, "disabled", 0, None)
    bind_device(call)
    bind_queue(call)
    shows(call, "enabled", 0, 1)
    create(call)
    shows(call, "locked", 2, 0)
    remove(call)
    shows(call, "locked", 1, 0)
    expect(call.write_text(f"{dedicated_type(call)}/create", UUID), ENODEV)
    unbind_queue(call)
    expect(call.read_text(f"{queue()}/state"), "disabled\n")
    expect(call.read_text(f"{queue()}/clients"), "0\n")
    expect(call.lstat(PARENT), ENOENT)


@case(source=SERIES, machine=MACHINE, since="oa")
def events_oa(call: Call) -> None:
    """A locked queue can be had again, though it is not counted."""
    shows(call, "disabled", 0, None)
    configure(call)
    bind_device(call)
    bind_queue(call)
    shows(call, "enabled", 0, 1)
    create(call)
    shows(call, "locked", 1, 0)
    remove(call)
    shows(call, "locked", 0, 0)
    create(call)
    shows(call, "locked", 1, 0)
    remove(call)
    unbind_queue(call)
    expect(call.read_text(f"{queue()}/state"), "disabled\n")
    expect(call.lstat(PARENT), ENOENT)
    bind_queue(call)
    shows(call, "enabled", 0, 1)


@case(source=f"idxd_vdcm_remove: {SERIES}", machine=MACHINE, since="rfc-v1")
@param("text wanted gone", [("abc", EINVAL, False), ("0", 1, False), ("1", 1, True)])
def remove_file(call: Call, text: str, wanted: int | ErrorNumber, gone: bool) -> None:
    enabled(call)
    allow(call)
    create(call)
    expect(call.write_text(f"{MDEVS}/{UUID}/remove", text), wanted)
    expect(call.listdir(MDEVS), [] if gone else [UUID])


@case(
    source=f"idxd_config_bus_remove, idxd_mdev_drv_remove: {SERIES}",
    machine=MACHINE,
    since="rfc-v1",
)
def unbind_with_a_device(call: Call) -> None:
    """It is not refused. From v6 on, devices go with the last queue of their parent."""
    enabled(call)
    allow(call)
    create(call)
    unbind_queue(call)
    expect(call.read_text(f"{queue()}/clients"), "0\n")
    expect(call.listdir(MDEVS), [] if call.since("v6") else [UUID])


@case(source=f"idxd_mdev_drv_remove: {SERIES}", machine=MACHINE, since="v6")
def unbind_of_one_of_two(call: Call) -> None:
    """The device stays as long as its parent."""
    enabled(call, queues=2)
    create(call)
    unbind_queue(call, 0)
    expect(call.listdir(MDEVS), [UUID])
    unbind_queue(call, 1)
    expect(call.listdir(MDEVS), [])


@case(source=f"wq_size_store, wq_type_store and others: {_STORE}", machine=MACHINE, since="rfc-v2")
@param(
    "file text wanted",
    [
        ("size", "8", EPERM),
        ("mode", "shared", EPERM),
        ("group_id", "1", EPERM),
        ("type", "user", EPERM),
        ("name", "x", EPERM),
        ("priority", "1", EPERM),
        ("threshold", "4", ENXIO),
        ("block_on_fault", "1", ENXIO),
    ],
)
def locked_queue(call: Call, file: str, text: str, wanted: ErrorNumber) -> None:
    """It can be read alone."""
    enabled(call)
    create(call)
    expect(call.write_text(f"{queue()}/{file}", text), wanted)


@case(source=f"wq_type_store: {_STORE}", machine=MACHINE, since="rfc-v1")
def type_of_a_queue(call: Call) -> None:
    """A new type loses the name."""
    expect(call.write_text(f"{queue()}/name", "x"), 1)
    expect(call.write_text(f"{queue()}/type", "mdev"), 4)
    expect(call.read_text(f"{queue()}/type"), "mdev\n")
    expect(call.read_text(f"{queue()}/name"), "\n")
    expect(call.write_text(f"{queue()}/type", "vdev"), EINVAL)
    enabled(call)
    expect(call.write_text(f"{queue()}/type", "user"), EPERM)


@case(
    source=f"idxd_config_bus_probe: {SERIES}; bind_store: drivers/base/bus.c",
    machine=MACHINE,
    since="rfc-v1",
)
@param(
    "what cmd_status",
    [("device", "0x80000020"), ("group_id", "0x80030000"), ("name", "0x80040000")],
    id="without_{what}",
)
def bind_refused(call: Call, what: str, cmd_status: str) -> None:
    """Before 5.14 whatever is wrong is ENODEV, and nothing says what it was."""
    configure(call)
    if what == "group_id":
        configure(call, 1)
        expect(call.write_text(f"{queue()}/group_id", "-1"), 2)
    if what == "name":
        for type in ("none", "mdev"):
            expect(call.write_text(f"{queue()}/type", type), 4)
    if what != "device":
        bind_device(call)
    wanted = ENXIO if call.since("v6") else ENODEV
    expect(call.write_text(bind_file(call, "mdev"), "wq0.0"), wanted)
    expect(call.read_text(f"{queue()}/state"), "disabled\n")
    if call.since("v6"):
        expect(call.read_text(f"{DEVICE}/cmd_status"), f"{cmd_status}\n")
    elif call.since("rfc-v2"):
        expect(call.read_text(f"{DEVICE}/cmd_status"), "0x0\n")
    else:
        expect(call.lstat(f"{DEVICE}/cmd_status"), ENOENT)


@case(source=f"idxd_mdev_drv_probe: {SERIES}", machine=MACHINE, since="v6")
def bind_of_another_type(call: Call) -> None:
    """OpenAnolis's driver gives the queue its type."""
    configure(call, type="user")
    bind_device(call)
    if call.since("oa"):
        bind_queue(call)
        expect(call.read_text(f"{queue()}/type"), "mdev\n")
    else:
        expect(call.write_text(bind_file(call, "mdev"), "wq0.0"), ENODEV)
        expect(call.lstat(PARENT), ENOENT)
