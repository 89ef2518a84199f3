# SPDX-License-Identifier: Apache-2.0
"""An IOMMU that leaves interrupts alone: what is not allowed then, and what there is less of."""

from __future__ import annotations

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import EINVAL, EPERM
from harness.conformance.suites.vfio._steps import (
    EDU,
    PAGE,
    V1,
    V2,
    Mapper,
    get_device_fd,
    open_container,
    open_group,
    set_container,
)
from harness.conformance.suites.vfio_pci._device import (
    MSI,
    MSIX,
    NONE,
    TRIGGER,
    count,
    eventfd,
    irq_info,
    set_irqs,
    wire,
)
from harness.uapi import vfio as u

MACHINE = "qemu-q35-nointremap"
_USB = "0000:00:06.0"
_VECTORS = 16
_PARAMETER = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
_ATTACH = "vfio_iommu_type1_attach_group: drivers/vfio/vfio_iommu_type1.c, 6.1"
_ENABLE = (
    "vfio_msi_enable: drivers/vfio/pci/vfio_pci_intrs.c; msi_capability_init: drivers/pci/msi, 6.1"
)


@case(source=_ATTACH, machine=MACHINE)
@param("kind", [V1, V2])
def not_allowed(call: Call, kind: int) -> None:
    """A device could send any interrupt; the container takes the group, but gets no IOMMU."""
    group, container = open_group(call, EDU), open_container(call)
    expect(call.read_text(_PARAMETER), "N\n")
    expect(set_container(call, group, container), 0)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, kind), EPERM)
    expect(get_device_fd(call, group, EDU.encode()), EINVAL)
    expect(call.write_text(_PARAMETER, "Y"), 1)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, kind), 0)
    expect(get_device_fd(call, group, EDU.encode()))


@case(source=_ATTACH, machine=MACHINE)
def second_group(call: Call) -> None:
    """It is asked for each group, and what was mapped stays."""
    group, container = open_group(call, EDU), open_container(call)
    expect(call.write_text(_PARAMETER, "Y"), 1)
    expect(set_container(call, group, container), 0)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, V2), 0)
    mapped = Mapper(call, container, group)
    expect(mapped.map(0, PAGE, call.buffer(PAGE)), 0)
    second = open_group(call, _USB)
    expect(call.write_text(_PARAMETER, "N"), 1)
    expect(set_container(call, second, container), EPERM)
    mapped.unmapped(0, PAGE, PAGE)
    expect(call.write_text(_PARAMETER, "Y"), 1)
    expect(set_container(call, second, container), 0)


def _open(call: Call) -> Fd:
    """The controller, with 16 messages of MSI and of MSI-X."""
    expect(call.write_text(_PARAMETER, "Y"), 1)
    group, container = open_group(call, _USB), open_container(call)
    expect(set_container(call, group, container), 0)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, V2), 0)
    fd = Fd(expect(get_device_fd(call, group, _USB.encode())), _USB)
    for index in (MSI, MSIX):
        expect(irq_info(call, fd, index)[1].count, _VECTORS)
    return fd


@case(source=_ENABLE, machine=MACHINE)
@param("wanted", [2, 3, 4, 16])
def fewer_messages(call: Call, wanted: int) -> None:
    """The call succeeds and says how many there are; nothing is enabled."""
    fd = _open(call)
    eventfds = [eventfd(call) for _ in range(wanted)]
    expect(wire(call, fd, MSI, 0, *eventfds), 1)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSI, 0, 1), EINVAL)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSI, 0, 0), EINVAL)
    expect(wire(call, fd, MSI, 0, eventfds[0]), 0)
    expect(wire(call, fd, MSI, 1, eventfds[1]), EINVAL)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSI, 0, 1), 0)
    expect([count(call, each) for each in eventfds], [1] + [0] * (wanted - 1))


@case(source=_ENABLE, machine=MACHINE)
def fewer_messages_from_another_on(call: Call) -> None:
    """It is the last one that counts; a bad eventfd is not looked at."""
    fd = _open(call)
    trigger = eventfd(call)
    expect(wire(call, fd, MSI, 1, trigger), 1)
    expect(wire(call, fd, MSI, 15, 999), 1)
    expect(wire(call, fd, MSI, 16, trigger), EINVAL)
    expect(wire(call, fd, MSI, 0, trigger), 0)


@case(source=_ENABLE, machine=MACHINE)
def all_of_msix(call: Call) -> None:
    """Each of those is an interrupt by itself."""
    fd = _open(call)
    eventfds = [eventfd(call) for _ in range(_VECTORS)]
    expect(wire(call, fd, MSIX, 0, *eventfds), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 0, _VECTORS), 0)
    expect([count(call, each) for each in eventfds], [1] * _VECTORS)
