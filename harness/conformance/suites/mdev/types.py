# SPDX-License-Identifier: Apache-2.0
"""Parents and the types that they offer."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EACCES, ENOENT
from harness.conformance.suites.mdev._samples import (
    BUS,
    MACHINE,
    PARENTS,
    UUID,
    available,
    create,
    device,
    type_of,
)

_SYSFS = "drivers/vfio/mdev/mdev_sysfs.c, 6.1"
_T1 = type_of("mtty-1")


@case(
    source="mdev_register_parent: drivers/vfio/mdev/mdev_core.c, 6.1",
    machine=MACHINE,
    golden=("mdev/class_entries", "mdev/bus_drivers"),
)
def parents(call: Call) -> None:
    """The class has only links, each to a device that lives elsewhere."""
    names = ["mbochs", "mdpy", "mtty"]
    expect(sorted(expect(call.listdir(PARENTS))), names)
    expect(sorted(expect(call.listdir(f"{BUS}/drivers"))), names)
    for name in names:
        expect(call.readlink(f"{PARENTS}/{name}"), f"../../devices/virtual/{name}/{name}")
        expect(call.lstat(f"{PARENTS}/{name}/device"), ENOENT)


@case(source="mtty_dev_init: samples/vfio-mdev/mtty.c, 6.1", machine=MACHINE)
def files_of_a_parent(call: Call) -> None:
    names = ["mdev_supported_types", "power", "subsystem", "uevent"]
    expect(sorted(expect(call.listdir(f"{PARENTS}/mtty"))), names)
    expect(call.readlink(f"{PARENTS}/mtty/subsystem"), "../../../../class/mtty")
    expect(call.read_text(f"{PARENTS}/mtty/uevent"), "")


@case(source=f"mdev_type_add: {_SYSFS}", machine=MACHINE, golden="mdev/types_ls")
def types_of_mtty(call: Call) -> None:
    """A type's directory has the name of the parent's driver in front, or else of its class."""
    types = expect(call.listdir(f"{PARENTS}/mtty/mdev_supported_types"))
    expect(sorted(types), ["mtty-1", "mtty-2"])


@case(source=f"mdev_types_core_is_visible: {_SYSFS}", machine=MACHINE)
@param("type described", [("mtty-1", False), ("mdpy-vga", True), ("mbochs-large", True)])
def files_of_a_type(call: Call, type: str, described: bool) -> None:
    """``description`` is only there if the driver has one."""
    modes = {"available_instances": 0o444, "create": 0o200, "device_api": 0o444, "name": 0o444}
    if described:
        modes["description"] = 0o444
    expect(sorted(expect(call.listdir(type_of(type)))), sorted([*modes, "devices"]))
    for name, mode in modes.items():
        expect(call.stat(f"{type_of(type)}/{name}"), mode=0o100000 | mode, size=4096)
    expect(call.stat(f"{type_of(type)}/devices"), mode=0o40755, nlink=2)
    expect(call.stat(type_of(type)), nlink=3)


@case(source=f"name_show, device_api_show: {_SYSFS}", machine=MACHINE, golden="{probe}")
@param(
    "probe type file text",
    [
        ("mdev/type1_name", "mtty-1", "name", "Single port serial\n"),
        ("mdev/type1_device_api", "mtty-1", "device_api", "vfio-pci\n"),
        ("mdev/type1_available_instances", "mtty-1", "available_instances", "24\n"),
        ("mdev/type2_name", "mtty-2", "name", "Dual port serial\n"),
        ("mdev/type2_avail", "mtty-2", "available_instances", "12\n"),
        ("mdev/mdpy_types", "mdpy-vga", "name", "mdpy-vga\n"),
        ("mdev/mdpy_types", "mdpy-xga", "device_api", "vfio-pci\n"),
        ("mdev/mdpy_types", "mdpy-hd", "available_instances", "4\n"),
        ("", "mdpy-vga", "description", "virtual display, 640x480 framebuffer\n"),
        ("", "mdpy-xga", "description", "virtual display, 1024x768 framebuffer\n"),
        ("", "mdpy-hd", "description", "virtual display, 1920x1080 framebuffer\n"),
        ("", "mbochs-small", "name", "mbochs-small\n"),
        ("", "mbochs-medium", "name", "mbochs-medium\n"),
        ("", "mbochs-large", "name", "mbochs-large\n"),
        ("", "mbochs-large", "device_api", "vfio-pci\n"),
    ],
    id="{type}-{file}",
)
def text(call: Call, probe: str, type: str, file: str, text: str) -> None:
    expect(call.read_text(f"{type_of(type)}/{file}"), text)


@case(
    source="mbochs_get_available, mbochs_show_description: samples/vfio-mdev/mbochs.c, 6.1",
    machine=MACHINE,
    golden=("mdev/mbochs_create", "mdev/mbochs_types", "mdev/mbochs_rm"),
)
def of_mbochs_after_one(call: Call) -> None:
    """A device of 4 MB leaves fewer of each size."""
    create(call, "mbochs-small")
    for type, left, size in (("small", 63, 4), ("medium", 15, 16), ("large", 3, 64)):
        available(call, f"mbochs-{type}", left)
        description = f"virtual display, {size} MB video memory\n"
        expect(call.read_text(f"{type_of(f'mbochs-{type}')}/description"), description)
    expect(call.write_text(f"{device()}/remove", "1"), 1)
    available(call, "mbochs-large", 4)


@case(source=f"available_instances_show: {_SYSFS}", machine=MACHINE, golden="mdev/avail_after1")
def types_share_a_pool(call: Call) -> None:
    """Of mtty, whose driver counts, and of mdpy, for which the core does."""
    create(call, "mtty-1")
    available(call, "mtty-1", 23)
    available(call, "mtty-2", 11)
    expect(call.write_text(f"{device()}/remove", "1"), 1)
    available(call, "mtty-1", 24)
    create(call, "mdpy-hd")
    for type in ("mdpy-vga", "mdpy-xga", "mdpy-hd"):
        available(call, type, 3)
    expect(call.write_text(f"{device()}/remove", "1"), 1)
    available(call, "mdpy-vga", 4)


@case(source="kernfs_fop_open: fs/kernfs/file.c, 6.1", machine=MACHINE, golden="{probe}")
@param(
    "probe file",
    [
        ("mdev/write_avail_ro", "available_instances"),
        ("mdev/write_name_ro", "name"),
        ("", "device_api"),
    ],
    id="{file}",
)
def not_written(call: Call, probe: str, file: str) -> None:
    """Root either."""
    expect(call.write_text(f"{_T1}/{file}", "9"), EACCES)


@case(source="kernfs_fop_open: fs/kernfs/file.c, 6.1", machine=MACHINE, golden="mdev/type1_create")
def create_is_not_read(call: Call) -> None:
    expect(call.read_text(f"{_T1}/create"), EACCES)


@case(source=f"mdev_type_add: {_SYSFS}", machine=MACHINE, golden="mdev/type_devices")
def devices_of_a_type(call: Call) -> None:
    """Links to those of this type."""
    create(call, "mtty-1")
    expect(call.listdir(f"{_T1}/devices"), [UUID])
    expect(call.readlink(f"{_T1}/devices/{UUID}"), f"../../../{UUID}")
    expect(call.listdir(f"{type_of('mtty-2')}/devices"), [])


@case(
    source="mdev_bus_type: drivers/vfio/mdev/mdev_driver.c; bus_register: drivers/base/bus.c, 6.1",
    machine=MACHINE,
    golden=("mdev/bus_ls", "mdev/bus_devices_empty", "mdev/drv_ls"),
)
def files_of_the_bus(call: Call) -> None:
    names = ["devices", "drivers", "drivers_autoprobe", "drivers_probe", "uevent"]
    expect(sorted(expect(call.listdir(BUS))), names)
    expect(call.listdir(f"{BUS}/devices"), [])
    driver = sorted(expect(call.listdir(f"{BUS}/drivers/mtty")))
    expect(driver, ["bind", "module", "uevent", "unbind"])
    expect(call.readlink(f"{BUS}/drivers/mtty/module"), "../../../../module/mtty")
