# SPDX-License-Identifier: Apache-2.0
"""VFIO_DEVICE_SET_IRQS: which interrupt signals which eventfd."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EBADF, EBUSY, EFAULT, EINVAL, ENOTTY, ERANGE
from harness.conformance.suites.vfio_pci._device import (
    BOOL,
    E1000E,
    EDU,
    ERR,
    EVENTFD,
    INTX,
    MACHINE,
    MASK,
    MSI,
    MSIX,
    NONE,
    NVME,
    REQ,
    TRIGGER,
    UNMASK,
    count,
    device_fd,
    eventfd,
    fds,
    not_an_eventfd,
    open_device,
    set_irqs,
    wire,
)
from harness.uapi import vfio as u

_INTRS = "drivers/vfio/pci/vfio_pci_intrs.c, 6.1"
_VALIDATE = "vfio_set_irqs_validate_and_prepare: drivers/vfio/vfio_main.c, 6.1"
_DISPATCH = f"vfio_pci_set_irqs_ioctl: {_INTRS}"
_MSI = f"vfio_pci_set_msi_trigger: {_INTRS}"
_INTX = f"vfio_pci_set_intx_trigger: {_INTRS}"
_SINGLE = f"vfio_pci_set_ctx_trigger_single: {_INTRS}"


@case(source=_VALIDATE, machine=MACHINE)
@param(
    "flags index start number argsz",
    [
        (0, MSIX, 0, 1, 20),
        (TRIGGER, MSIX, 0, 1, 20),
        (NONE | BOOL | TRIGGER, MSIX, 0, 1, 21),
        (NONE | TRIGGER | 0x40, MSIX, 0, 1, 20),
        (NONE | TRIGGER | 0x80000000, MSIX, 0, 1, 20),
        (NONE | TRIGGER, 5, 0, 1, 20),
        (NONE | TRIGGER, 0xFFFFFFFF, 0, 1, 20),
        (NONE | TRIGGER, MSIX, 0, 1, 19),
        (NONE | TRIGGER, MSIX, 0xFFFFFFFF, 1, 20),
        (NONE | TRIGGER, MSIX, 65, 0, 20),
        (NONE | TRIGGER, MSIX, 0, 66, 20),
        (NONE | TRIGGER, MSIX, 64, 2, 20),
        (NONE | TRIGGER, ERR, 0, 2, 20),
        (NONE | TRIGGER, REQ, 0, 2, 20),
        (NONE | TRIGGER, MSI, 0, 0, 20),  # no such interrupts at all
        (BOOL | TRIGGER, MSIX, 0, 2, 21),
        (EVENTFD | TRIGGER, MSIX, 0, 2, 24),
        (EVENTFD | TRIGGER, MSIX, 0, 1, 21),
    ],
    id="{flags:#x}-{index}-{start:#x}-{number}-{argsz}",
)
def refused(call: Call, flags: int, index: int, start: int, number: int, argsz: int) -> None:
    fd = open_device(call, NVME).fd
    expect(set_irqs(call, fd, flags, index, start, number, bytes(16), argsz), EINVAL)


@case(source=f"vfio_pci_ioctl_set_irqs; {_DISPATCH}", machine=MACHINE)
def order_of_checks(call: Call) -> None:
    """What cannot be read, then what cannot be, then the action, which comes with the index."""
    fd = open_device(call, NVME).fd
    expect(call.ioctl(fd, u.VFIO_DEVICE_SET_IRQS, 0), EFAULT)
    expect(set_irqs(call, fd, NONE, MSIX, 0, 1), ENOTTY)
    expect(set_irqs(call, fd, NONE | TRIGGER | MASK, MSIX, 0, 1), ENOTTY)
    for index in (MSIX, ERR, REQ):
        for action in (MASK, UNMASK):
            expect(set_irqs(call, fd, NONE | action, index, 0, 1), ENOTTY)
    expect(set_irqs(call, fd, NONE | TRIGGER | MASK, INTX, 0, 1), ENOTTY)


@case(source=f"{_VALIDATE}; {_DISPATCH}; {_MSI}", machine=MACHINE)
def of_no_interrupts(call: Call) -> None:
    """The action still has to be one; with nothing to look at, BOOL asks whether MSI-X is on."""
    fd = open_device(call, NVME).fd
    for start in (0, 1):
        expect(set_irqs(call, fd, NONE | MASK, MSIX, start, 0), ENOTTY)
    expect(set_irqs(call, fd, BOOL | TRIGGER, MSIX, 0, 0), EINVAL)
    expect(wire(call, fd, MSIX, 0, eventfd(call)), 0)
    expect(set_irqs(call, fd, BOOL | TRIGGER, MSIX, 0, 0), 0)


@case(source=_VALIDATE, machine=MACHINE)
def more_data_than_interrupts(call: Call) -> None:
    """Nobody looks at the rest."""
    fd = open_device(call, NVME).fd
    eventfds = [eventfd(call) for _ in range(3)]
    expect(wire(call, fd, MSIX, 0, *eventfds), 0)
    expect(set_irqs(call, fd, BOOL | TRIGGER, MSIX, 0, 2, b"\0\1\1", 23), 0)
    expect([count(call, each) for each in eventfds], [0, 1, 0])


# --- MSI and MSI-X


@case(source=_MSI, machine=MACHINE)
def msix(call: Call) -> None:
    """Vectors are wired, tried and torn down."""
    fd = open_device(call, NVME).fd
    eventfds = [eventfd(call) for _ in range(8)]
    expect(wire(call, fd, MSIX, 0, *eventfds), 0)
    expect(set_irqs(call, fd, EVENTFD | TRIGGER, MSIX, 0, 0), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 3, 1), 0)
    expect([count(call, each) for each in eventfds], [0, 0, 0, 1, 0, 0, 0, 0])
    expect(set_irqs(call, fd, BOOL | TRIGGER, MSIX, 0, 3, b"\1\0\1"), 0)
    expect([count(call, each) for each in eventfds], [1, 0, 1, 0, 0, 0, 0, 0])
    expect(wire(call, fd, MSIX, 2, -1), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 2, 1), 0)
    expect(wire(call, fd, MSIX, 3, eventfds[7], -5), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 0, 8), 0)
    expect([count(call, each) for each in eventfds], [1, 1, 0, 0, 0, 1, 1, 2])
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 0, 0), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 0, 0), EINVAL)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 0, 1), EINVAL)
    expect([count(call, each) for each in eventfds], [0] * 8)


@case(source=_MSI, machine=MACHINE)
def msix_not_active(call: Call) -> None:
    fd = open_device(call, NVME).fd
    expect(set_irqs(call, fd, EVENTFD | TRIGGER, MSIX, 0, 0), ERANGE)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 0, 1), EINVAL)
    expect(set_irqs(call, fd, BOOL | TRIGGER, MSIX, 0, 1, b"\1"), EINVAL)
    expect(set_irqs(call, fd, BOOL | TRIGGER, MSIX, 0, 0), EINVAL)


@case(source=_MSI, machine=MACHINE)
@param("index", [MSI, MSIX])
def one_kind_at_a_time(call: Call, index: int) -> None:
    """Another kind is refused, and torn down neither."""
    fd = open_device(call, E1000E).fd
    first, second = eventfd(call), eventfd(call)
    expect(wire(call, fd, index, 0, first), 0)
    for other in {INTX, MSI, MSIX} - {index}:
        expect(wire(call, fd, other, 0, second), EINVAL)
        expect(set_irqs(call, fd, NONE | TRIGGER, other, 0, 0), EINVAL)
        expect(set_irqs(call, fd, NONE | TRIGGER, other, 0, 1), EINVAL)
    expect(set_irqs(call, fd, NONE | TRIGGER, index, 0, 1), 0)
    expect((count(call, first), count(call, second)), (1, 0))
    expect(set_irqs(call, fd, NONE | TRIGGER, index, 0, 0), 0)
    expect(wire(call, fd, INTX, 0, second), 0)


@case(source=f"vfio_msi_set_block: {_INTRS}", machine=MACHINE)
def msix_without_an_eventfd(call: Call) -> None:
    """Enabling fails as a whole."""
    fd = open_device(call, NVME).fd
    null = not_an_eventfd(call)
    good = eventfd(call)
    expect(wire(call, fd, MSIX, 0, good, null), EINVAL)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 0, 0), EINVAL)
    expect(wire(call, fd, MSIX, 0, good, 999), EBADF)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 0, 0), EINVAL)
    expect(wire(call, fd, MSIX, 0, -1), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 0, 1), 0)


@case(source=f"vfio_msi_set_block: {_INTRS}", machine=MACHINE)
def msix_rewired_in_part(call: Call) -> None:
    """A bad fd unwires what came before it in this call, and itself."""
    fd = open_device(call, NVME).fd
    eventfds = [eventfd(call) for _ in range(4)]
    expect(wire(call, fd, MSIX, 0, *eventfds), 0)
    expect(wire(call, fd, MSIX, 0, eventfds[3], 999, eventfds[3]), EBADF)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 0, 4), 0)
    expect([count(call, each) for each in eventfds], [0, 0, 1, 1])


@case(source=f"vfio_msi_set_vector_signal: {_INTRS}", machine=MACHINE)
def beyond_what_was_enabled(call: Call) -> None:
    """From 6.5 on more vectors of MSI-X can be had later; MSI stays as it was enabled."""
    fd = open_device(call, NVME).fd
    first, second = eventfd(call), eventfd(call)
    expect(wire(call, fd, MSIX, 0, first, first), 0)
    dynamic = call.since("6.12")
    expect(wire(call, fd, MSIX, 5, second), 0 if dynamic else EINVAL)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 0, 8), 0 if dynamic else EINVAL)
    expect((count(call, first), count(call, second)), (2, 1) if dynamic else (0, 0))
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 0, 0), 0)
    expect(wire(call, fd, MSIX, 3, first), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 3, 1), 0)
    expect(count(call, first), 1)


@case(source=f"vfio_msihandler: {_INTRS}", machine=MACHINE)
def closed_eventfd(call: Call) -> None:
    """The vector stays wired to what nobody reads."""
    fd = open_device(call, NVME).fd
    gone, kept = eventfd(call), eventfd(call)
    expect(wire(call, fd, MSIX, 0, gone, kept), 0)
    expect(call.close(gone))
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 0, 2), 0)
    expect(count(call, kept), 1)


@case(source="vfio_pci_core_disable: drivers/vfio/pci/vfio_pci_core.c, 6.1", machine=MACHINE)
def torn_down_by_the_last_close(call: Call) -> None:
    opened = open_device(call, NVME)
    signalled = eventfd(call)
    expect(wire(call, opened.fd, MSIX, 0, signalled), 0)
    expect(wire(call, opened.fd, REQ, 0, signalled), 0)
    again = device_fd(call, opened.group, NVME)
    expect(call.close(opened.fd))
    expect(set_irqs(call, again, NONE | TRIGGER, MSIX, 0, 1), 0)
    expect(call.close(again))
    fd = device_fd(call, opened.group, NVME)
    expect(set_irqs(call, fd, NONE | TRIGGER, MSIX, 0, 0), EINVAL)
    expect(set_irqs(call, fd, NONE | TRIGGER, REQ, 0, 1), EINVAL)
    expect(count(call, signalled), 1)


# --- INTx


@case(source=_INTX, machine=MACHINE)
@param("address", [EDU, NVME, E1000E])
def intx(call: Call, address: str) -> None:
    """Enabled, tried, given another eventfd, none, and torn down."""
    fd = open_device(call, address).fd
    first, second = eventfd(call), eventfd(call)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 0), EINVAL)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 1), EINVAL)
    expect(set_irqs(call, fd, BOOL | TRIGGER, INTX, 0, 1, b"\0"), EINVAL)
    expect(wire(call, fd, INTX, 0, first), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 1), 0)
    expect(set_irqs(call, fd, BOOL | TRIGGER, INTX, 0, 1, b"\1"), 0)
    expect(set_irqs(call, fd, BOOL | TRIGGER, INTX, 0, 1, b"\0"), 0)
    expect(wire(call, fd, INTX, 0, second), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 1), 0)
    expect(wire(call, fd, INTX, 0, -1), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 1), 0)
    expect((count(call, first), count(call, second)), (2, 1))
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 0), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 0), EINVAL)


@case(source=_INTX, machine=MACHINE)
def intx_refused(call: Call) -> None:
    """There is one line; without an eventfd it is enabled all the same."""
    fd = open_device(call).fd
    null = not_an_eventfd(call)
    expect(wire(call, fd, INTX, 1, eventfd(call)), EINVAL)
    expect(set_irqs(call, fd, EVENTFD | TRIGGER, INTX, 0, 0), EINVAL)
    expect(wire(call, fd, INTX, 0, 999), EBADF)
    expect(wire(call, fd, INTX, 0, null), EINVAL)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 0), EINVAL)
    expect(wire(call, fd, INTX, 0, -2), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 1), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 0), 0)


@case(source=f"vfio_pci_set_intx_mask: {_INTRS}", machine=MACHINE)
def intx_masked(call: Call) -> None:
    """Masking does not stop what is only tried."""
    fd = open_device(call).fd
    for action in (MASK, UNMASK):
        expect(set_irqs(call, fd, NONE | action, INTX, 0, 1), EINVAL)
    signalled = eventfd(call)
    expect(wire(call, fd, INTX, 0, signalled), 0)
    for action in (MASK, UNMASK):
        expect(set_irqs(call, fd, NONE | action, INTX, 0, 0), EINVAL)
        expect(set_irqs(call, fd, BOOL | action, INTX, 0, 1, b"\0"), 0)
        expect(set_irqs(call, fd, BOOL | action, INTX, 0, 1, b"\1"), 0)
        expect(set_irqs(call, fd, NONE | action, INTX, 0, 1), 0)
    expect(set_irqs(call, fd, NONE | MASK, INTX, 0, 1), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, INTX, 0, 1), 0)
    expect(count(call, signalled), 1)
    expect(set_irqs(call, fd, EVENTFD | MASK, INTX, 0, 1, fds(signalled)), ENOTTY)


@case(source=f"vfio_pci_set_intx_unmask: {_INTRS}; vfio_virqfd_enable", machine=MACHINE)
def intx_unmasked_by_eventfd(call: Call) -> None:
    fd = open_device(call).fd
    expect(wire(call, fd, INTX, 0, eventfd(call)), 0)
    null = not_an_eventfd(call)
    unmask = eventfd(call)

    def unmask_by(number: object) -> object:
        assert isinstance(number, int | type(unmask))
        return set_irqs(call, fd, EVENTFD | UNMASK, INTX, 0, 1, fds(number))

    expect(unmask_by(-1), 0)
    expect(unmask_by(999), EBADF)
    expect(unmask_by(null), EINVAL)
    expect(unmask_by(unmask), 0)
    expect(unmask_by(unmask), EBUSY)
    expect(unmask_by(999), EBADF)
    expect(unmask_by(-1), 0)
    expect(unmask_by(unmask), 0)


# --- errors and requests


@case(source=_SINGLE, machine=MACHINE)
@param("index", [ERR, REQ])
def single(call: Call, index: int) -> None:
    fd = open_device(call, NVME).fd
    null = not_an_eventfd(call)
    first, second = eventfd(call), eventfd(call)
    for number in (0, 1):
        expect(set_irqs(call, fd, NONE | TRIGGER, index, 0, number), EINVAL)
    expect(set_irqs(call, fd, BOOL | TRIGGER, index, 0, 1, b"\1"), 0)
    expect(wire(call, fd, index, 0, 999), EBADF)
    expect(wire(call, fd, index, 0, null), EINVAL)
    expect(wire(call, fd, index, 1, first), EINVAL)
    expect(wire(call, fd, index, 0, first), 0)
    expect(wire(call, fd, index, 0, 999), EBADF)
    expect(set_irqs(call, fd, NONE | TRIGGER, index, 0, 1), 0)
    expect(set_irqs(call, fd, BOOL | TRIGGER, index, 0, 1, b"\0"), 0)
    expect(wire(call, fd, index, 0, second), 0)
    expect(set_irqs(call, fd, BOOL | TRIGGER, index, 0, 1, b"\1"), 0)
    expect((count(call, first), count(call, second)), (1, 1))
    for flags in (BOOL, EVENTFD):
        expect(set_irqs(call, fd, flags | TRIGGER, index, 0, 0), EINVAL)
    expect(set_irqs(call, fd, NONE | TRIGGER, index, 0, 0), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, index, 0, 0), EINVAL)


@case(source=_SINGLE, machine=MACHINE)
@param("index", [ERR, REQ])
def single_without_an_eventfd(call: Call, index: int) -> None:
    """-1 removes it; less than that changes nothing, and is an error since 6.12."""
    fd = open_device(call, NVME).fd
    signalled = eventfd(call)
    expect(wire(call, fd, index, 0, -1), 0)
    expect(wire(call, fd, index, 0, signalled), 0)
    expect(wire(call, fd, index, 0, -2), EINVAL if call.since("6.12") else 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, index, 0, 1), 0)
    expect(count(call, signalled), 1)
    expect(wire(call, fd, index, 0, -1), 0)
    expect(set_irqs(call, fd, NONE | TRIGGER, index, 0, 1), EINVAL)


@case(source=_VALIDATE, machine=MACHINE)
def error_of_a_conventional_function(call: Call) -> None:
    fd = open_device(call, EDU).fd
    for action in (TRIGGER, MASK):
        expect(set_irqs(call, fd, NONE | action, ERR, 0, 0), EINVAL)
