# SPDX-License-Identifier: Apache-2.0
"""Making devices, which queue they get, and what then becomes of it."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EEXIST, EINVAL, ENODEV, ENOENT, ENOMEM, EPERM, ErrorNumber
from harness.conformance.suites.idxd_mdev._series import (
    ADDRESS,
    MACHINE,
    MDEVS,
    OTHER_UUID,
    SERIES,
    THIRD_UUID,
    UUID,
    allow,
    bind_device,
    bind_queue,
    configure,
    create,
    dedicated_type,
    enabled,
    queue,
    remove,
    shared_type,
    shows,
)

_CREATE = f"find_any_dwq: {SERIES}"
_V1 = "wq_uuid_store: the series, RFC v1, drivers/dma/idxd/sysfs.c"


@case(
    source=f"mdev_device_create: drivers/vfio/mdev/mdev_core.c, 5.8; {SERIES}",
    machine=MACHINE,
    since="rfc-v1",
)
def device(call: Call) -> None:
    """Where it is, and what it shows: nothing says which queue it has."""
    enabled(call)
    allow(call)
    create(call)
    path = f"{MDEVS}/{UUID}"
    names = ["driver", "iommu_group", "mdev_type", "power", "remove", "subsystem", "uevent"]
    shown = [name for name in expect(call.listdir(path)) if name != "vfio-dev"]
    expect(sorted(shown), names)
    driver = "idxd-mdev" if call.since("v6") else "vfio_mdev"
    expect(call.readlink(f"{path}/driver"), f"../../../../bus/mdev/drivers/{driver}")
    type = dedicated_type(call).rpartition("/")[2]
    expect(call.readlink(f"{path}/mdev_type"), f"../mdev_supported_types/{type}")
    expect(call.readlink(path), f"../../../devices/pci0000:6a/{ADDRESS}/{UUID}")
    expect(call.listdir(f"{dedicated_type(call)}/devices"), [UUID])
    expect(call.listdir(f"{path}/iommu_group/devices"), [UUID])
    expect(call.lstat(f"{path}/iommu_group/name"), ENOENT)


@case(source="create_store: drivers/vfio/mdev/mdev_sysfs.c, 5.8", machine=MACHINE, since="rfc-v1")
@param(
    "text wanted",
    [
        (UUID[:-1], EINVAL),
        (f"{UUID}\n\n", EINVAL),
        ("z" * 36, EINVAL),
        ("", 0),
        (UUID, 36),
        (f"{UUID}\n", 37),
        (UUID.upper(), 36),
    ],
)
def text(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    enabled(call)
    allow(call)
    expect(call.write_text(f"{dedicated_type(call)}/create", text), wanted)
    done = isinstance(wanted, int) and wanted > 0
    expect(call.listdir(MDEVS), [UUID] if done else [])


@case(
    source="mdev_device_create: drivers/vfio/mdev/mdev_core.c, 5.8", machine=MACHINE, since="rfc-v1"
)
def taken_uuid(call: Call) -> None:
    enabled(call, queues=2)
    allow(call)
    create(call)
    for uuid in (UUID, UUID.upper()):
        expect(call.write_text(f"{dedicated_type(call)}/create", uuid), EEXIST)


@case(source=_CREATE, machine=MACHINE, since="rfc-v2")
def as_many_as_queues(call: Call) -> None:
    """A dedicated queue each; with none left, ENODEV."""
    enabled(call, queues=2)
    shows(call, "enabled", 0, 2)
    clients = 2 if call.since("v6") and not call.since("oa") else 1
    create(call)
    shows(call, "locked", clients, 1, number=0)
    shows(call, "enabled", 0, 1, number=1)
    create(call, OTHER_UUID)
    shows(call, "locked", clients, 0, number=1)
    expect(call.write_text(f"{dedicated_type(call)}/create", THIRD_UUID), ENODEV)
    expect(call.lstat(f"{MDEVS}/{THIRD_UUID}"), ENOENT)
    expect(sorted(expect(call.listdir(MDEVS))), [UUID, OTHER_UUID])


@case(source=_CREATE, machine=MACHINE, since="rfc-v2")
def queue_that_is_only_configured(call: Call) -> None:
    """It counts as available where only its configuration is looked at, and cannot be had."""
    configure(call, 0)
    configure(call, 1)
    bind_device(call)
    if call.since("v6"):  # there is no parent without another queue
        bind_queue(call, 1)
        create(call, OTHER_UUID)
    expected = 0 if call.since("oa") else 1 if call.since("v6") else 2
    shows(call, "disabled", 0, expected)
    expect(call.write_text(f"{dedicated_type(call)}/create", UUID), ENODEV)


@case(source=_CREATE, machine=MACHINE, since="rfc-v2")
def queue_of_a_program(call: Call) -> None:
    """Up to v5 an idle dedicated queue of programs is taken if it comes first."""
    configure(call, 0, type="user")
    configure(call, 1)
    bind_device(call)
    bind_queue(call, 0, "user")
    bind_queue(call, 1)
    create(call)
    taken, other = (1, 0) if call.since("v6") else (0, 1)
    expect(call.read_text(f"{queue(taken)}/state"), "locked\n")
    expect(call.read_text(f"{queue(other)}/state"), "enabled\n")


@case(source=f"find_available_mdev_instances: {SERIES}", machine=MACHINE, since="rfc-v2")
def shared_queue(call: Call) -> None:
    """It is for no device of the dedicated type."""
    enabled(call, mode="shared")
    expect(call.read_text(f"{dedicated_type(call)}/available_instances"), "0\n")
    expect(call.write_text(f"{dedicated_type(call)}/create", UUID), ENODEV)


@case(source=f"find_any_swq: {SERIES}", machine=MACHINE, since="oa")
def devices_that_share(call: Call) -> None:
    """There is no end to them: the queue stays as it is, and available."""
    enabled(call, mode="shared")
    for number in range(5):
        create(call, f"{UUID[:-1]}{number}", shared_type(call))
        expect(call.read_text(f"{shared_type(call)}/available_instances"), "1\n")
    expect(call.read_text(f"{queue()}/state"), "enabled\n")
    expect(call.read_text(f"{queue()}/clients"), "5\n")
    remove(call, f"{UUID[:-1]}0")
    expect(call.read_text(f"{queue()}/clients"), "4\n")


@case(source=f"find_any_swq: {SERIES}", machine=MACHINE, since="oa")
def devices_over_two_queues(call: Call) -> None:
    """The one with fewer clients is taken."""
    enabled(call, queues=2, mode="shared")
    for number in range(4):
        create(call, f"{UUID[:-1]}{number}", shared_type(call))
    expect(call.read_text(f"{queue(0)}/clients"), "2\n")
    expect(call.read_text(f"{queue(1)}/clients"), "2\n")


@case(source=f"idxd_vdcm_create: {SERIES}, RFC v1", machine=MACHINE, since="rfc-v1", until="rfc-v2")
def uuid_that_no_queue_has(call: Call) -> None:
    """ENOMEM, whatever is available."""
    enabled(call)
    allow(call, OTHER_UUID)
    expect(call.read_text(f"{dedicated_type(call)}/available_instances"), "1\n")
    expect(call.write_text(f"{dedicated_type(call)}/create", UUID), ENOMEM)
    create(call, OTHER_UUID)


@case(source=_V1, machine=MACHINE, since="rfc-v1", until="rfc-v2")
def uuids_of_a_queue(call: Call) -> None:
    """One for a dedicated queue; written again it is taken off; the nil UUID takes all off."""
    enabled(call)
    path = f"{queue()}/uuid"
    expect(call.stat(path), mode=0o100644)
    expect(call.read_text(path), "")
    expect(call.write_text(path, UUID.upper()), 36)
    expect(call.read_text(path), f"{UUID}\n")
    expect(call.write_text(path, OTHER_UUID), EPERM)
    expect(call.write_text(path, f"{UUID}\n"), 37)
    expect(call.read_text(path), "")
    allow(call)
    nil = "00000000-0000-0000-0000-000000000000"
    expect(call.write_text(path, nil), 36)
    expect(call.read_text(path), "")


@case(source=_V1, machine=MACHINE, since="rfc-v1", until="rfc-v2")
@param(
    "type text wanted",
    [
        ("user", UUID, EPERM),
        ("user", "x", EPERM),
        ("mdev", "x", EINVAL),
        ("mdev", f"{UUID}\n\n", EINVAL),
        ("mdev", "z" * 36, EINVAL),
    ],
    id="{type}-{text}",
)
def uuids_refused(call: Call, type: str, text: str, wanted: ErrorNumber) -> None:
    configure(call, type=type)
    expect(call.write_text(f"{queue()}/uuid", text), wanted)


@case(source=_V1, machine=MACHINE, since="rfc-v1", until="rfc-v2")
def uuid_of_a_disabled_queue(call: Call) -> None:
    configure(call)
    expect(call.write_text(f"{queue()}/uuid", UUID), EPERM)


@case(source=_V1, machine=MACHINE, since="rfc-v2")
def no_uuids_of_a_queue(call: Call) -> None:
    """v1 alone has them."""
    expect(call.lstat(f"{queue()}/uuid"), ENOENT)
