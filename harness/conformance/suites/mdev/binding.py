# SPDX-License-Identifier: Apache-2.0
"""bind, unbind and drivers_probe on the bus mdev."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import ENODEV, ENOENT
from harness.conformance.suites.mdev._samples import (
    BUS,
    MACHINE,
    OTHER_UUID,
    UUID,
    available,
    create,
    device,
    type_of,
)

_MATCH = "mdev_match: drivers/vfio/mdev/mdev_driver.c; bind_store: drivers/base/bus.c, 6.1"
_UNBIND = "unbind_store: drivers/base/bus.c; mtty_release_dev: samples/vfio-mdev/mtty.c, 6.1"


@case(source=_MATCH, machine=MACHINE, golden=("mdev/drv_bind", "mdev/bind_wrong_drv"))
@param("unbound", [False, True])
def bind(call: Call, unbound: bool) -> None:
    """Nothing on this bus ever matches by itself, so that nothing can be bound by hand."""
    create(call, "mtty-1")
    if unbound:
        expect(call.write_text(f"{BUS}/drivers/mtty/unbind", UUID), 36)
    for driver in ("mtty", "mdpy", "mbochs"):
        for uuid in (UUID, f"{UUID}\n", UUID.upper(), OTHER_UUID):
            expect(call.write_text(f"{BUS}/drivers/{driver}/bind", uuid), ENODEV)


@case(
    source=_UNBIND,
    machine=MACHINE,
    golden=("mdev/driver_link_gone", "mdev/group_after_unbind", "mdev/avail_after_unbind"),
)
def unbind(call: Call) -> None:
    """The device stays, without driver, group and attributes. mtty gives its port back."""
    create(call, "mtty-1")
    expect(call.write_text(f"{BUS}/drivers/mtty/unbind", UUID), 36)
    expect(call.readlink(f"{device()}/driver"), ENOENT)
    expect(call.readlink(f"{device()}/iommu_group"), ENOENT)
    expect(call.lstat(f"{BUS}/drivers/mtty/{UUID}"), ENOENT)
    expect(call.read_text(f"{device()}/uevent"), "")
    expect(call.readlink(f"{device()}/mdev_type"), "../mdev_supported_types/mtty-1")
    expect(call.listdir(f"{type_of('mtty-1')}/devices"), [UUID])
    expect(call.read_text(f"{type_of('mtty-1')}/available_instances"), "24\n")
    expect(call.write_text(f"{BUS}/drivers/mtty/unbind", UUID), ENODEV)
    expect(call.write_text(f"{device()}/remove", "1"), 1)
    available(call, "mtty-1", 24)


@case(source="mdev_device_release: drivers/vfio/mdev/mdev_core.c, 6.1", machine=MACHINE)
def unbind_where_the_core_counts(call: Call) -> None:
    """An instance is free when the device is gone, not when its driver is."""
    create(call, "mdpy-vga")
    expect(call.write_text(f"{BUS}/drivers/mdpy/unbind", UUID), 36)
    available(call, "mdpy-vga", 3)
    expect(call.write_text(f"{device()}/remove", "1"), 1)
    available(call, "mdpy-vga", 4)


@case(source="unbind_store: drivers/base/bus.c, 6.1", machine=MACHINE)
@param("uuid", [OTHER_UUID, UUID.upper(), f"{UUID} "])
def unbind_of_another(call: Call, uuid: str) -> None:
    """Names are compared whole, and letter by letter."""
    create(call, "mtty-1")
    expect(call.write_text(f"{BUS}/drivers/mtty/unbind", uuid), ENODEV)
    expect(call.write_text(f"{BUS}/drivers/mdpy/unbind", UUID), ENODEV)
    expect(call.readlink(f"{device()}/driver"), "../../../../../bus/mdev/drivers/mtty")


@case(source="drivers_probe_store: drivers/base/bus.c, 6.1", machine=MACHINE)
@param("unbound", [False, True])
def drivers_probe(call: Call, unbound: bool) -> None:
    """Success, and nothing is bound."""
    create(call, "mtty-1")
    if unbound:
        expect(call.write_text(f"{BUS}/drivers/mtty/unbind", UUID), 36)
    expect(call.write_text(f"{BUS}/drivers_probe", UUID), 36)
    expect(call.write_text(f"{BUS}/drivers_probe", OTHER_UUID), ENODEV)
    driver = ENOENT if unbound else "../../../../../bus/mdev/drivers/mtty"
    expect(call.readlink(f"{device()}/driver"), driver)


@case(
    source="mdev_device_create, which attaches the driver: drivers/vfio/mdev/mdev_core.c, 6.1",
    machine=MACHINE,
)
def without_autoprobe(call: Call) -> None:
    """drivers_autoprobe is not asked: create attaches the driver itself."""
    expect(call.write_text(f"{BUS}/drivers_autoprobe", "0"), 1)
    create(call, "mtty-1")
    expect(call.readlink(f"{device()}/driver"), "../../../../../bus/mdev/drivers/mtty")
