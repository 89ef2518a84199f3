# SPDX-License-Identifier: Apache-2.0
"""Virtual functions: how many, by whom, and what is made of them."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import (
    EBUSY,
    EINVAL,
    ENODEV,
    ENOENT,
    EOPNOTSUPP,
    ERANGE,
    ErrorNumber,
)
from harness.conformance.suites.pci._q35 import STUB, VFIO, device, give, has_driver, take
from harness.conformance.suites.pci._sriov import MACHINE, NUMVFS, OTHER_VF, PF, VF, allow
from harness.uapi.fs import O_WRONLY

_STORE = "sriov_numvfs_store: drivers/pci/iov.c, 6.1"
_ADD = "pci_iov_add_virtfn: drivers/pci/iov.c, 6.1"


def _region(call: Call, address: str, index: int) -> tuple[int, int, int]:
    """First and last address, and flags."""
    line = expect(call.read_text(f"{device(address)}/resource")).splitlines()[index]
    start, end, flags = (int(word, 16) for word in line.split())
    return start, end, flags


@case(source="sriov_pf_dev_attrs: drivers/pci/iov.c, 6.1", machine=MACHINE)
@param(
    "name mode text",
    [
        ("sriov_totalvfs", 0o444, "4\n"),
        ("sriov_numvfs", 0o644, "0\n"),
        ("sriov_offset", 0o444, "1\n"),
        ("sriov_stride", 0o444, "1\n"),
        ("sriov_vf_device", 0o444, "10\n"),
        ("sriov_vf_total_msix", 0o444, "0\n"),
        ("sriov_drivers_autoprobe", 0o644, "1\n"),
    ],
)
def files(call: Call, name: str, mode: int, text: str) -> None:
    expect(call.stat(f"{device(PF)}/{name}"), mode=0o100000 | mode, size=4096)
    expect(call.read_text(f"{device(PF)}/{name}"), text)


@case(source=_STORE, machine=MACHINE)
@param(
    "text wanted",
    [
        ("0", 1),
        ("1", ENOENT),
        ("4\n", ENOENT),
        ("5", ERANGE),
        ("65535", ERANGE),
        ("65536", EINVAL),
        ("-1", EINVAL),
        ("x", EINVAL),
        ("\n", EINVAL),
        ("", 0),
    ],
)
def without_a_driver_that_can(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    """None, one that cannot at all, and one that may not say the same."""
    expect(call.write_text(NUMVFS, text), wanted)
    for name in (STUB, VFIO):
        give(call, PF, name)
        expect(call.write_text(NUMVFS, text), wanted)
        take(call, PF, name)
    expect(call.read_text(NUMVFS), "0\n")


@case(source=_STORE, machine=MACHINE)
def with_vfio(call: Call) -> None:
    """They come and go together; another number only by way of none."""
    allow(call)
    expect(call.write_text(NUMVFS, "2"), 1)
    expect(call.read_text(NUMVFS), "2\n")
    for text, wanted in (("2\n", 2), ("1", EBUSY), ("4", EBUSY), ("5", ERANGE), ("y", EINVAL)):
        expect(call.write_text(NUMVFS, text), wanted)
    expect(call.readlink(f"{device(PF)}/virtfn0"), f"../{VF}")
    expect(call.readlink(f"{device(PF)}/virtfn1"), f"../{OTHER_VF}")
    expect(call.readlink(f"{device(VF)}/physfn"), f"../{PF}")
    expect(call.write_text(NUMVFS, "0"), 1)
    expect(call.lstat(device(VF)), ENOENT)
    expect(call.lstat(f"{device(PF)}/virtfn0"), ENOENT)


@case(source=_ADD, machine=MACHINE)
@param(
    "name text",
    [
        ("vendor", "0x1b36\n"),
        ("device", "0x0010\n"),
        ("subsystem_vendor", "0x1af4\n"),
        ("subsystem_device", "0x1100\n"),
        ("class", "0x010802\n"),
        ("revision", "0x02\n"),
        ("irq", "0\n"),
        ("driver_override", "vfio-pci\n"),
        ("enable", "0\n"),
        ("reset_method", "flr\n"),
        ("modalias", "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02\n"),
        ("d3cold_allowed", "1\n"),
    ],
)
def a_virtual_function(call: Call, name: str, text: str) -> None:
    allow(call)
    call.write_text(NUMVFS, "1")
    expect(call.read_text(f"{device(VF)}/{name}"), text)


@case(source=_ADD, machine=MACHINE)
def regions_of_virtual_functions(call: Call) -> None:
    """One after the other in what the physical function has for all."""
    start, end, flags = _region(call, PF, 7)
    expect((end - start + 1, flags), (0x10000, 0x140204))
    allow(call)
    call.write_text(NUMVFS, "2")
    for address, first in ((VF, start), (OTHER_VF, start + 0x4000)):
        expect(_region(call, address, 0), (first, first + 0x3FFF, flags))
        expect(call.stat(f"{device(address)}/resource0"), size=0x4000)


@case(source="pci_dev_hp_attrs_are_visible: drivers/pci/pci-sysfs.c, 6.1", machine=MACHINE)
@param(
    "name",
    ["remove", "rescan", "sriov_numvfs", "firmware_node", "waiting_for_supplier", "rom"],
)
def a_virtual_function_has_not(call: Call, name: str) -> None:
    allow(call)
    call.write_text(NUMVFS, "1")
    expect(call.lstat(f"{device(VF)}/{name}"), ENOENT)


@case(source="sriov_vf_msix_count_store: drivers/pci/iov.c, 6.1", machine=MACHINE)
@param("text wanted", [("1", EOPNOTSUPP), ("0", EOPNOTSUPP), ("-1", EINVAL), ("x", EINVAL)])
def vectors_of_a_virtual_function(call: Call, text: str, wanted: ErrorNumber) -> None:
    allow(call)
    call.write_text(NUMVFS, "1")
    path = f"{device(VF)}/sriov_vf_msix_count"
    expect(call.stat(path), mode=0o100200)
    fd = expect(call.open(path, O_WRONLY))
    expect(call.write(fd, text.encode()), wanted)
    expect(call.close(fd), None)


@case(source="pci_device_can_probe: drivers/pci/pci-driver.c, 6.1", machine=MACHINE)
def drivers_of_virtual_functions(call: Call) -> None:
    """vfio-pci gets them by override, which autoprobe does not keep away."""
    for text, wanted in (("0", 1), ("x", EINVAL), ("n\n", 2)):
        expect(call.write_text(f"{device(PF)}/sriov_drivers_autoprobe", text), wanted)
    expect(call.read_text(f"{device(PF)}/sriov_drivers_autoprobe"), "0\n")
    allow(call)
    call.write_text(NUMVFS, "1")
    has_driver(call, VF, VFIO)
    take(call, VF, VFIO)
    call.write_text(f"{device(VF)}/driver_override", "\n")
    expect(call.write_text("/sys/bus/pci/drivers/pci-stub/new_id", "1b36 10"), 7)
    has_driver(call, VF, None)
    expect(call.write_text("/sys/bus/pci/drivers/pci-stub/bind", VF), ENODEV)
    call.write_text(f"{device(PF)}/sriov_drivers_autoprobe", "1")
    expect(call.write_text("/sys/bus/pci/drivers/pci-stub/bind", VF), len(VF))


@case(
    source="vfio_pci_core_unregister_device: drivers/vfio/pci/vfio_pci_core.c, 6.1",
    machine=MACHINE,
)
def they_go_with_the_driver(call: Call) -> None:
    allow(call)
    call.write_text(NUMVFS, "2")
    number = expect(call.readlink(f"{device(VF)}/iommu_group")).rpartition("/")[2]
    take(call, PF, VFIO)
    expect(call.lstat(device(VF)), ENOENT)
    expect(call.lstat(f"/sys/kernel/iommu_groups/{number}"), ENOENT)
    expect(call.read_text(NUMVFS), "0\n")


@case(source="pci_stop_and_remove_bus_device: drivers/pci/remove.c, 6.1", machine=MACHINE)
def they_go_with_the_function(call: Call) -> None:
    allow(call)
    call.write_text(NUMVFS, "4")
    call.write_text(f"{device(PF)}/remove", "1")
    for address in (PF, VF, OTHER_VF):
        expect(call.lstat(device(address)), ENOENT)
    call.write_text("/sys/bus/pci/rescan", "1")
    expect(call.read_text(NUMVFS), "0\n")


@case(source="pci_restore_iov_state: drivers/pci/iov.c, 6.1", machine=MACHINE)
def they_outlive_a_reset(call: Call) -> None:
    allow(call)
    call.write_text(NUMVFS, "1")
    expect(call.write_text(f"{device(PF)}/reset", "1"), 1)
    expect(call.read_text(NUMVFS), "1\n")
    has_driver(call, VF, VFIO)
