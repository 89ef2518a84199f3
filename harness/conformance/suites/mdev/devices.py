# SPDX-License-Identifier: Apache-2.0
"""What a mediated device shows."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EINVAL, EIO, ENOENT
from harness.conformance.suites.mdev._samples import (
    BUS,
    MACHINE,
    PARENTS,
    UUID,
    create,
    device,
)
from harness.uapi.fs import MAY_EXEC

_CREATE = "mdev_device_create: drivers/vfio/mdev/mdev_core.c, 6.1"
_SYSFS = "drivers/vfio/mdev/mdev_sysfs.c, 6.1"
_GROUP = "vfio_noiommu_group_alloc: drivers/vfio/vfio_main.c, 6.1"


@case(source=_CREATE, machine=MACHINE, golden=("mdev/dev_modes", "mdev/parent_child_dir"))
def files(call: Call) -> None:
    create(call, "mtty-1")
    modes = {
        "driver": 0o120777,
        "iommu_group": 0o120777,
        "mdev_type": 0o120777,
        "power": 0o40755,
        "remove": 0o100200,
        "subsystem": 0o120777,
        "uevent": 0o100644,
        "vendor": 0o40755,
    }
    shown = expect(call.listdir(device()))
    for name, mode in modes.items():
        expect(name in shown, True)
        expect(call.lstat(f"{device()}/{name}"), mode=mode)
    expect(call.access(f"{PARENTS}/mtty/{UUID}", MAY_EXEC))


@case(source=f"mdev_create_sysfs_files: {_SYSFS}", machine=MACHINE, golden="{probe}")
@param(
    "probe link target",
    [
        ("mdev/bus_link", f"{BUS}/devices/{UUID}", f"../../../devices/virtual/mtty/mtty/{UUID}"),
        ("mdev/mdev_type_link", f"{device()}/mdev_type", "../mdev_supported_types/mtty-1"),
        ("mdev/driver_link", f"{device()}/driver", "../../../../../bus/mdev/drivers/mtty"),
        ("mdev/subsystem_link", f"{device()}/subsystem", "../../../../../bus/mdev"),
        (
            "",
            f"{BUS}/drivers/mtty/{UUID}",
            f"../../../../devices/virtual/mtty/mtty/{UUID}",
        ),
    ],
    id="{target}",
)
def links(call: Call, probe: str, link: str, target: str) -> None:
    create(call, "mtty-1")
    expect(call.readlink(link), target)


@case(source="uevent_show: drivers/base/core.c, 6.1", machine=MACHINE, golden="mdev/dev_uevent")
def uevent(call: Call) -> None:
    create(call, "mtty-1")
    expect(call.read_text(f"{device()}/uevent"), "DRIVER=mtty\n")


@case(
    source="sample_mdev_dev_show and others: samples/vfio-mdev/{mtty,mdpy,mbochs}.c, 6.1",
    machine=MACHINE,
)
@param(
    "type file text",
    [
        ("mtty-2", "sample_mdev_dev", f"This is MDEV {UUID}\n"),
        ("mdpy-xga", "resolution", "1024x768\n"),
        ("mbochs-medium", "memory", "16 MB\n"),
    ],
)
def of_the_driver(call: Call, type: str, file: str, text: str) -> None:
    """While the driver has the device, and no longer."""
    create(call, type)
    expect(call.listdir(f"{device()}/vendor"), [file])
    expect(call.stat(f"{device()}/vendor/{file}"), mode=0o100444)
    expect(call.read_text(f"{device()}/vendor/{file}"), text)
    expect(call.write_text(f"{BUS}/drivers/{type.partition('-')[0]}/unbind", UUID), 36)
    expect(call.lstat(f"{device()}/vendor"), ENOENT)


@case(source=_GROUP, machine=MACHINE, golden=("mdev/iommu_group_name", "mdev/iommu_group_type"))
def iommu_group(call: Call) -> None:
    """A group of its own that no IOMMU is behind, so that there is no type to choose."""
    create(call, "mtty-1")
    group = f"{device()}/iommu_group"
    names = ["devices", "name", "reserved_regions", "type"]
    expect(sorted(expect(call.listdir(group))), names)
    expect(call.listdir(f"{group}/devices"), [UUID])
    expect(call.stat(f"{group}/name"), mode=0o100444)
    expect(call.read_text(f"{group}/name"), "vfio-noiommu\n")
    expect(call.read_text(f"{group}/type"), "unknown\n")
    expect(call.read_text(f"{group}/reserved_regions"), "")
    for text in ("DMA", "identity", "auto", "unknown"):
        expect(call.write_text(f"{group}/type", text), EINVAL)


@case(source="iommu_group_alloc: drivers/iommu/iommu.c, 6.1", machine=MACHINE)
def number_of_the_group(call: Call) -> None:
    """The lowest that is free; it goes with the device."""
    groups = "/sys/kernel/iommu_groups"
    before = expect(call.listdir(groups))
    create(call, "mtty-1")
    expect(
        call.readlink(f"{device()}/iommu_group"),
        f"../../../../../kernel/iommu_groups/{len(before)}",
    )
    expect(call.write_text(f"{device()}/remove", "1"), 1)
    expect(call.lstat(f"{groups}/{len(before)}"), ENOENT)
    create(call, "mdpy-vga")
    expect(
        call.readlink(f"{device()}/iommu_group"),
        f"../../../../../kernel/iommu_groups/{len(before)}",
    )


@case(
    source="mdev_bus_type, which has no driver_override: drivers/vfio/mdev/mdev_driver.c, 6.1",
    machine=MACHINE,
    golden="mdev/driver_override_absent",
)
def no_driver_override(call: Call) -> None:
    create(call, "mtty-1")
    expect(call.read_text(f"{device()}/driver_override"), ENOENT)


@case(source="pm_runtime_autosuspend_delay: drivers/base/power/sysfs.c, 6.1", machine=MACHINE)
def power(call: Call) -> None:
    """Nobody manages its power."""
    create(call, "mtty-1")
    for file, text in (
        ("control", "auto\n"),
        ("runtime_status", "unsupported\n"),
        ("runtime_enabled", "disabled\n"),
        ("async", "disabled\n"),
    ):
        expect(call.read_text(f"{device()}/power/{file}"), text)
    expect(call.read_text(f"{device()}/power/autosuspend_delay_ms"), EIO)
