# SPDX-License-Identifier: Apache-2.0
"""A machine without an IOMMU: there are no groups, and vfio-pci makes one if it is allowed to."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EACCES, EINVAL, ENOENT
from harness.conformance.suites.pci._q35 import (
    E1000E,
    EDU,
    ORDINARY,
    STUB,
    VFIO,
    device,
    driver,
    give,
    group,
    has_driver,
    take,
)
from harness.uapi.fs import MAY_READ, O_RDWR

MACHINE = "qemu-q35-noiommu"
FEATURE = "+noiommu"
_GROUPS = "/sys/kernel/iommu_groups"
_PARAMETER = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
_NO_IOMMU = "no IOMMU: drivers/iommu/iommu.c, 6.1"
_FIND = "vfio_group_find_or_alloc: drivers/vfio/vfio_main.c, 6.1; group.c, 6.12"
_ALLOC = "vfio_noiommu_group_alloc: drivers/vfio/vfio_main.c, 6.1; group.c, 6.12"


@case(source=_NO_IOMMU, machine=MACHINE)
def no_groups(call: Call) -> None:
    expect(call.listdir(_GROUPS), [])
    expect(call.listdir("/sys/class/iommu"), [])
    for name in ("iommu_group", "iommu"):
        expect(call.lstat(f"{device(EDU)}/{name}"), ENOENT)


@case(source=_NO_IOMMU, machine=MACHINE)
@param("name", [ORDINARY, STUB])
def other_drivers_do_not_care(call: Call, name: str) -> None:
    give(call, E1000E, name)
    has_driver(call, E1000E, name)
    expect(call.listdir(_GROUPS), [])


def _override(call: Call, address: str) -> None:
    expect(call.write_text(f"{device(address)}/driver_override", VFIO), len(VFIO))


@case(source=_FIND, machine=MACHINE)
def refused(call: Call) -> None:
    """A function that no IOMMU keeps from all memory is not for programs; the error is bind's."""
    _override(call, EDU)
    expect(call.write_text(f"{driver(VFIO)}/bind", EDU), EINVAL)
    expect(call.write_text("/sys/bus/pci/drivers_probe", EDU), len(EDU))
    has_driver(call, EDU, None)
    expect(call.lstat(group(EDU)), ENOENT)
    expect(call.lstat(f"{device(EDU)}/vfio-dev"), ENOENT)
    for folder in (_GROUPS, "/sys/class/vfio", "/sys/class/vfio-dev"):
        expect(call.listdir(folder), [])
    expect(call.listdir("/dev/vfio"), ["vfio"])


@case(source=_FIND, machine=MACHINE)
def refused_by_id(call: Call) -> None:
    """The id is taken; that the driver does not take the function is not said."""
    expect(call.write_text(f"{driver(VFIO)}/new_id", "1234 11e8"), 9)
    has_driver(call, EDU, None)


@case(
    source="module_param_named: drivers/vfio/container.c, 6.1; vfio_main.c, 6.12",
    machine=MACHINE,
    since=FEATURE,
)
def parameter(call: Call) -> None:
    expect(call.stat(_PARAMETER), mode=0o100644, size=4096)
    expect(call.read_text(_PARAMETER), "N\n")
    for text, shown in (("Y", "Y"), ("0\n", "N"), ("on", "Y"), ("n", "N"), ("1", "Y")):
        expect(call.write_text(_PARAMETER, text), len(text))
        expect(call.read_text(_PARAMETER), f"{shown}\n")
    expect(call.write_text(_PARAMETER, "2"), EINVAL)
    expect(call.read_text(_PARAMETER), "Y\n")
    task = call.fork()
    task.call.setuid(1000, 1000)
    expect(task.call.open(_PARAMETER, O_RDWR), EACCES)
    expect(task.call.access(_PARAMETER, MAY_READ))


def _allow(call: Call, value: str = "Y") -> None:
    expect(call.write_text(_PARAMETER, value))


@case(source=_ALLOC, machine=MACHINE, since=FEATURE)
def group_of_its_own(call: Call) -> None:
    """It has a number and a name, nothing is reserved, and it has no type that could change."""
    _allow(call)
    give(call, EDU, VFIO)
    expect(expect(call.readlink(group(EDU))).rpartition("/")[2], "0")
    expect(call.lstat(f"{device(EDU)}/iommu"), ENOENT)
    expect(
        sorted(expect(call.listdir(group(EDU)))), ["devices", "name", "reserved_regions", "type"]
    )
    expect(call.listdir(f"{group(EDU)}/devices"), [EDU])
    expect(call.stat(f"{group(EDU)}/name"), mode=0o100444)
    expect(call.read_text(f"{group(EDU)}/name"), "vfio-noiommu\n")
    expect(call.read_text(f"{group(EDU)}/type"), "unknown\n")
    expect(call.read_text(f"{group(EDU)}/reserved_regions"), "")
    for kind in ("identity", "DMA", "DMA-FQ", "auto", "x"):
        expect(call.write_text(f"{group(EDU)}/type", kind), EINVAL)


@case(source=f"vfio_create_group; {_ALLOC}", machine=MACHINE, since=FEATURE)
def node(call: Call) -> None:
    """Its name says what it is; those who look for the number alone do not find it."""
    _allow(call)
    give(call, EDU, VFIO)
    name = "noiommu-0"
    expect(sorted(expect(call.listdir("/dev/vfio"))), sorted([name, "vfio"]))
    expect(expect(call.stat(f"/dev/vfio/{name}")).mode & 0o7777, 0o600)
    expect(call.listdir("/sys/class/vfio"), [name])
    link = expect(call.readlink(f"/sys/class/vfio/{name}"))
    expect(link, f"../../devices/virtual/vfio/{name}")
    number = expect(call.read_text(f"/sys/class/vfio/{name}/dev")).strip()
    major, minor = number.split(":")
    expect(
        call.read_text(f"/sys/class/vfio/{name}/uevent"),
        f"MAJOR={major}\nMINOR={minor}\nDEVNAME=vfio/{name}\n",
    )
    expect(call.listdir(f"{device(EDU)}/vfio-dev"), ["vfio0"])
    expect(call.listdir("/sys/class/vfio-dev"), ["vfio0"])


@case(source=f"vfio_device_remove_group: group.c, 6.12; {_ALLOC}", machine=MACHINE, since=FEATURE)
def gone_with_its_function(call: Call) -> None:
    """The next gets the same number; a function that stays bound keeps its own."""
    _allow(call)
    give(call, EDU, VFIO)
    give(call, E1000E, VFIO)
    expect(expect(call.readlink(group(E1000E))).rpartition("/")[2], "1")
    take(call, EDU, VFIO)
    expect(call.lstat(group(EDU)), ENOENT)
    expect(call.listdir(_GROUPS), ["1"])
    expect(sorted(expect(call.listdir("/dev/vfio"))), ["noiommu-1", "vfio"])
    take(call, E1000E, VFIO)
    give(call, E1000E, VFIO)
    expect(call.listdir(_GROUPS), ["0"])


@case(source=_FIND, machine=MACHINE, since=FEATURE)
def allowed_no_longer(call: Call) -> None:
    """Forbidding it takes nothing away, but lets nothing new in."""
    _allow(call)
    give(call, EDU, VFIO)
    _allow(call, "N")
    has_driver(call, EDU, VFIO)
    _override(call, E1000E)
    expect(call.write_text(f"{driver(VFIO)}/bind", E1000E), EINVAL)
    take(call, EDU, VFIO)
    expect(call.write_text(f"{driver(VFIO)}/bind", EDU), EINVAL)
