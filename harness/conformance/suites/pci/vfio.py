# SPDX-License-Identifier: Apache-2.0
"""What binding to vfio-pci makes appear."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EBUSY, EINVAL, ENOENT, EPERM
from harness.conformance.suites._steps import PCI_BUS
from harness.conformance.suites.pci._q35 import (
    EDU,
    INNER_EDU,
    MACHINE,
    ORDINARY,
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
from harness.uapi import vfio as u
from harness.uapi.fs import O_RDWR

_REGISTER = "vfio_register_group_dev: drivers/vfio/vfio_main.c, 6.1"
_CLAIM = "iommu_group_claim_dma_owner: drivers/iommu/iommu.c, 6.1"
_PARAMETERS = "/sys/module/vfio_pci/parameters"


def _number(call: Call, address: str) -> str:
    return expect(call.readlink(group(address))).rpartition("/")[2]


def _permissions(call: Call, path: str) -> int:
    """Without the type of file, which only real kernels show of a node in /dev."""
    return expect(call.stat(path)).mode & 0o7777


@case(source=_REGISTER, machine=MACHINE)
def nodes(call: Call) -> None:
    """The group's node stays until its last function leaves."""
    number = _number(call, INNER_EDU)
    expect(_permissions(call, "/dev/vfio/vfio"), 0o666)
    expect(call.stat(f"/dev/vfio/{number}"), ENOENT)
    give(call, INNER_EDU, VFIO)
    expect(_permissions(call, f"/dev/vfio/{number}"), 0o600)
    entry = f"/sys/class/vfio/{number}"
    expect(call.readlink(entry), f"../../devices/virtual/vfio/{number}")
    major = expect(call.read_text(f"{entry}/dev")).partition(":")[0]
    expect(call.read_text(f"{entry}/uevent"), f"MAJOR={major}\nMINOR=0\nDEVNAME=vfio/{number}\n")
    give(call, TESTDEV, VFIO)
    take(call, INNER_EDU, VFIO)
    expect(_permissions(call, f"/dev/vfio/{number}"), 0o600)
    take(call, TESTDEV, VFIO)
    expect(call.stat(f"/dev/vfio/{number}"), ENOENT)
    expect(call.lstat(entry), ENOENT)


@case(source=f"vfio_init_device: {_REGISTER}", machine=MACHINE)
def vfio_dev(call: Call) -> None:
    """Numbered from 0, the lowest free first."""
    give(call, INNER_EDU, VFIO)
    give(call, TESTDEV, VFIO)
    expect(call.listdir(f"{device(INNER_EDU)}/vfio-dev"), ["vfio0"])
    expect(call.listdir(f"{device(TESTDEV)}/vfio-dev"), ["vfio1"])
    take(call, INNER_EDU, VFIO)
    expect(call.lstat(f"{device(INNER_EDU)}/vfio-dev"), ENOENT)
    give(call, EDU, VFIO)
    expect(call.listdir(f"{device(EDU)}/vfio-dev"), ["vfio0"])
    expect(
        call.readlink("/sys/class/vfio-dev/vfio0"),
        f"../../devices/pci0000:00/{EDU}/vfio-dev/vfio0",
    )


@case(source="vfio_pci_params: drivers/vfio/pci/vfio_pci.c, 6.1", machine=MACHINE)
@param(
    "path mode",
    [
        (f"{_PARAMETERS}/nointxmask", 0o644),
        (f"{_PARAMETERS}/disable_vga", 0o444),
        (f"{_PARAMETERS}/disable_idle_d3", 0o644),
        (f"{_PARAMETERS}/enable_sriov", 0o644),
        (f"{_PARAMETERS}/disable_denylist", 0o444),
        ("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", 0o644),
        ("/sys/module/vfio_iommu_type1/parameters/disable_hugepages", 0o644),
    ],
)
def parameters(call: Call, path: str, mode: int) -> None:
    expect(call.stat(path), mode=0o100000 | mode, size=4096)
    expect(call.read_text(path), "N\n")


@case(
    source="vfio_noiommu (CONFIG_VFIO_NOIOMMU): drivers/vfio/vfio_main.c, 6.1",
    machine=MACHINE,
    until="+noiommu",
)
def without_an_iommu_there_is_no_mode(call: Call) -> None:
    """Debian builds its kernels without it."""
    expect(call.lstat("/sys/module/vfio/parameters"), ENOENT)


@case(source="new_id_store: drivers/pci/pci-driver.c, 6.1", machine=MACHINE)
def dynamic_id(call: Call) -> None:
    expect(call.write_text(f"{driver(VFIO)}/new_id", "1234 11e8"), 9)
    has_driver(call, EDU, VFIO)
    has_driver(call, INNER_EDU, VFIO)
    expect(call.listdir(f"{device(EDU)}/vfio-dev"), ["vfio0"])
    expect(call.write_text(f"{driver(VFIO)}/remove_id", "1234 11e8"), 9)
    has_driver(call, EDU, VFIO)


@case(source=_CLAIM, machine=MACHINE)
def dma_belongs_to_the_container(call: Call) -> None:
    """Then no ordinary driver gets a function of the group, but those that manage DMA do."""
    give(call, INNER_EDU, VFIO)
    fd = expect(call.open(f"/dev/vfio/{_number(call, INNER_EDU)}", O_RDWR))
    container = expect(call.open("/dev/vfio/vfio", O_RDWR))
    memory = call.buffer()
    call.poke(memory, container.number.to_bytes(4, "little"))
    expect(call.ioctl(fd, u.VFIO_GROUP_SET_CONTAINER, memory), 0)
    call.write_text(f"{device(TESTDEV)}/driver_override", ORDINARY)
    expect(call.write_text(f"{driver(ORDINARY)}/bind", TESTDEV), EBUSY)
    expect(call.write_text(f"{PCI_BUS}/drivers_probe", TESTDEV), EINVAL)
    expect(
        call.write_text(f"{group(TESTDEV)}/type", "identity"),
        EPERM if call.since("6.12") else EINVAL,
    )
    has_driver(call, TESTDEV, None)
    give(call, TESTDEV, STUB)
    expect(call.ioctl(fd, u.VFIO_GROUP_UNSET_CONTAINER), 0)
    take(call, TESTDEV, STUB)
    give(call, TESTDEV, ORDINARY)
    expect(call.ioctl(fd, u.VFIO_GROUP_SET_CONTAINER, memory), EPERM)
    call.close(fd)
    call.close(container)
