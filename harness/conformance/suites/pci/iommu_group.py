# SPDX-License-Identifier: Apache-2.0
"""IOMMU groups of functions: who is in them, their type, and who has their DMA."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EACCES, EBUSY, EINVAL, ENOENT, EPERM, ErrorNumber
from harness.conformance.suites._steps import PCI_BUS, plain_user
from harness.conformance.suites.pci._q35 import (
    BRIDGE,
    EDU,
    INNER_EDU,
    MACHINE,
    ORDINARY,
    SMBUS,
    STUB,
    TESTDEV,
    VFIO,
    device,
    driver,
    give,
    group,
    has_driver,
    take,
)
from harness.uapi.fs import CAP_SYS_ADMIN, CAP_SYS_RAWIO, O_RDWR, O_WRONLY

_STORE = "iommu_group_store_type: drivers/iommu/iommu.c, 6.1"
_MSI = "0x00000000fee00000 0x00000000feefffff msi\n"
_ISA = "0x0000000000000000 0x0000000000ffffff direct-relaxable\n"


def _refused(call: Call) -> ErrorNumber:
    """What a driver in the way gives."""
    return EPERM if call.since("6.12") else EBUSY


@case(source="pci_device_group: drivers/iommu/iommu.c, 6.1", machine=MACHINE)
@param(
    "address members",
    [
        (EDU, [EDU]),
        (BRIDGE, [BRIDGE, INNER_EDU, TESTDEV]),
        (SMBUS, ["0000:00:1f.0", "0000:00:1f.2", SMBUS]),
    ],
)
def members(call: Call, address: str, members: list[str]) -> None:
    """What a bridge cannot tell apart, and the functions of one slot, are together."""
    expect(sorted(expect(call.listdir(f"{group(address)}/devices"))), members)
    target = expect(call.readlink(group(address)))
    expect(target.rpartition("/")[0].endswith("/kernel/iommu_groups"), True)
    for member in members:
        expect(expect(call.readlink(group(member))).rpartition("/")[2], target.rpartition("/")[2])
    expect(call.lstat(f"{group(address)}/name"), ENOENT)


@case(source="iommu_group_show_resv_regions: drivers/iommu/iommu.c, 6.1", machine=MACHINE)
@param("address regions", [(EDU, _MSI), (BRIDGE, _MSI), (SMBUS, _ISA + _MSI)])
def reserved_regions(call: Call, address: str, regions: str) -> None:
    if call.since("7.2+iommufd"):
        # Without CONFIG_INTEL_IOMMU_FLOPPY_WA.
        regions = _MSI
    expect(call.read_text(f"{group(address)}/reserved_regions"), regions)
    expect(call.stat(f"{group(address)}/reserved_regions"), mode=0o100444)
    expect(call.stat(f"{group(address)}/type"), mode=0o100644)


@case(source=_STORE, machine=MACHINE)
@param(
    "text",
    ["identity", "identity\n", "DMA", "DMA-FQ", "auto"],
)
def type_of_a_group_without_drivers(call: Call, text: str) -> None:
    expect(call.read_text(f"{group(EDU)}/type"), "DMA\n")
    expect(call.write_text(f"{group(EDU)}/type", text), len(text))
    word = text.strip()
    expect(call.read_text(f"{group(EDU)}/type"), f"{'DMA' if word == 'auto' else word}\n")


@case(source=_STORE, machine=MACHINE)
@param(
    "text wanted",
    [("", 0), ("\n", EINVAL), ("foo", EINVAL), ("dma", EINVAL), ("identity ", EINVAL)],
)
def no_type(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    expect(call.write_text(f"{group(EDU)}/type", text), wanted)
    expect(call.read_text(f"{group(EDU)}/type"), "DMA\n")


@case(source=_STORE, machine=MACHINE)
@param("text", ["identity", "foo"])
def type_without_capabilities(call: Call, text: str) -> None:
    """Both are needed, and looked at when writing, before the word is."""
    for capability in (CAP_SYS_ADMIN, CAP_SYS_RAWIO):
        task = call.fork()
        task.call.drop_capabilities(capability)
        fd = expect(task.call.open(f"{group(EDU)}/type", O_WRONLY))
        expect(task.call.write(fd, text.encode()), EACCES)
    expect(plain_user(call).open(f"{group(EDU)}/type", O_RDWR), EACCES)


@case(source=_STORE, machine=MACHINE)
def type_of_a_group_of_several(call: Call) -> None:
    wanted = 8 if call.since("6.12") else EINVAL
    expect(call.write_text(f"{group(INNER_EDU)}/type", "identity"), wanted)
    kind = "identity" if call.since("6.12") else "DMA"
    expect(call.read_text(f"{group(BRIDGE)}/type"), f"{kind}\n")


@case(source=_STORE, machine=MACHINE)
@param("text", ["identity", "DMA", "auto"])
def type_with_an_ordinary_driver(call: Call, text: str) -> None:
    give(call, EDU, ORDINARY)
    expect(call.write_text(f"{group(EDU)}/type", text), _refused(call))
    expect(call.write_text(f"{group(EDU)}/type", "foo"), EINVAL)
    expect(call.write_text(f"{group(EDU)}/type", "DMA-FQ"), 6)
    expect(call.read_text(f"{group(EDU)}/type"), "DMA-FQ\n")
    expect(call.write_text(f"{group(EDU)}/type", "DMA"), _refused(call))
    take(call, EDU, ORDINARY)
    expect(call.write_text(f"{group(EDU)}/type", "DMA"), 3)


@case(source=_STORE, machine=MACHINE)
@param("name", [STUB, VFIO])
def type_with_a_driver_that_manages_dma(call: Call, name: str) -> None:
    """To 6.1 any driver is in the way, to 6.12 only who has the DMA."""
    give(call, EDU, name)
    wanted = 8 if call.since("6.12") else EBUSY
    expect(call.write_text(f"{group(EDU)}/type", "identity"), wanted)


@case(source=_STORE, machine=MACHINE)
def type_by_word_is_kept(call: Call) -> None:
    """It outlives drivers, and goes with the group."""
    call.write_text(f"{group(EDU)}/type", "identity")
    give(call, EDU, STUB)
    take(call, EDU, STUB)
    expect(call.read_text(f"{group(EDU)}/type"), "identity\n")
    number = expect(call.readlink(group(EDU))).rpartition("/")[2]
    call.write_text(f"{device(EDU)}/remove", "1")
    expect(call.lstat(f"/sys/kernel/iommu_groups/{number}"), ENOENT)
    call.write_text(f"{PCI_BUS}/rescan", "1")
    expect(expect(call.readlink(group(EDU))).rpartition("/")[2], number)
    expect(call.read_text(f"{group(EDU)}/type"), "DMA\n")


@case(source="remove_iommu_group: drivers/iommu/iommu.c, 6.1", machine=MACHINE)
def a_group_outlives_one_of_several(call: Call) -> None:
    number = expect(call.readlink(group(INNER_EDU))).rpartition("/")[2]
    call.write_text(f"{device(TESTDEV)}/remove", "1")
    here = f"/sys/kernel/iommu_groups/{number}"
    expect(sorted(expect(call.listdir(f"{here}/devices"))), [BRIDGE, INNER_EDU])
    call.write_text(f"{device(BRIDGE)}/rescan", "1")
    call.write_text(f"{PCI_BUS}/rescan", "1")
    expect(sorted(expect(call.listdir(f"{here}/devices"))), [BRIDGE, INNER_EDU, TESTDEV])


@case(source="iommu_device_use_default_domain: drivers/iommu/iommu.c, 6.1", machine=MACHINE)
@param("name", [ORDINARY, STUB])
def drivers_of_one_group_share_it(call: Call, name: str) -> None:
    give(call, INNER_EDU, ORDINARY)
    give(call, TESTDEV, name)
    has_driver(call, TESTDEV, name)
    call.write_text(f"{driver(name)}/unbind", TESTDEV)
    has_driver(call, INNER_EDU, ORDINARY)
