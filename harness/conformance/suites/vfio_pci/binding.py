# SPDX-License-Identifier: Apache-2.0
"""Giving functions to the driver vfio-pci, and taking them back while programs have them."""

from __future__ import annotations

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.call import Pending
from harness.conformance.errnos import EEXIST, EINVAL, ENODEV, ENOENT
from harness.conformance.suites.vfio_pci._device import (
    E1000E,
    EDU,
    MACHINE,
    NVME,
    PCI,
    REQ,
    bind,
    count,
    device_fd,
    eventfd,
    group_path,
    open_device,
    unbind,
    wire,
)
from harness.uapi import vfio as u
from harness.uapi.fs import O_RDWR, O_WRONLY, POLLIN

_PCI = "vfio_pci_probe: drivers/vfio/pci/vfio_pci.c, 6.1"
_UNREGISTER = "vfio_unregister_group_dev: drivers/vfio/vfio_main.c, 6.1"
_DRIVER = f"{PCI}/drivers/vfio-pci"


@case(source=f"vfio_group_fops_open; {_PCI}", machine=MACHINE)
def node_while_bound(call: Call) -> None:
    """The group's node comes with its first device and goes with the last."""
    bind(call, EDU)
    path = group_path(call, EDU)
    expect(call.close(call.open(path, O_RDWR)))
    expect(call.readlink(f"{_DRIVER}/{EDU}"))
    expect(call.write_text(f"{_DRIVER}/unbind", EDU), len(EDU))
    expect(call.open(path, O_RDWR), ENOENT)


@case(source=_PCI, machine=MACHINE)
@param("address", [EDU, NVME, E1000E])
def device_in_sysfs(call: Call, address: str) -> None:
    """A device of class vfio-dev below the function."""
    bind(call, address)
    below = expect(call.listdir(f"{PCI}/devices/{address}/vfio-dev"))
    expect(len(below), 1)
    expect(call.listdir("/sys/class/vfio-dev"), below)
    group = group_path(call, address).rsplit("/", 1)[1]
    expect(group in expect(call.listdir("/sys/class/vfio")), True)


@case(source=f"pci_match_device: drivers/pci/pci-driver.c, 6.1; {_PCI}", machine=MACHINE)
def only_what_is_told(call: Call) -> None:
    """The table matches nothing by itself; an id or an override does."""
    expect(call.write_text(f"{_DRIVER}/bind", EDU), ENODEV)
    expect(call.write_text(f"{_DRIVER}/new_id", "1234 11e8"), 9)
    expect(call.readlink(f"{_DRIVER}/{EDU}"))
    expect(call.write_text(f"{_DRIVER}/new_id", "1234 11e8"), EEXIST)
    expect(call.write_text(f"{_DRIVER}/remove_id", "1234 11e8"), 9)


@case(source=f"vfio_pci_core_register_device: vfio_pci_core.c, 6.1; {_PCI}", machine=MACHINE)
def no_bridge(call: Call) -> None:
    bridge = "0000:00:08.0"
    unbind(call, bridge)
    expect(call.write_text(f"{PCI}/devices/{bridge}/driver_override", "vfio-pci"), 8)
    expect(call.write_text(f"{_DRIVER}/bind", bridge), EINVAL)


def _unbind(call: Call, address: str) -> Pending[int]:
    """Begin to write to ``unbind``, in a thread of its own."""
    file = expect(call.open(f"{_DRIVER}/unbind", O_WRONLY))
    thread = call.thread()
    return thread.call.start(thread.call.write, file, address.encode())


@case(source=f"vfio_pci_core_request: vfio_pci_core.c, 6.1; {_UNREGISTER}", machine=MACHINE)
def unbound_while_open(call: Call) -> None:
    """The program is asked for the device, and unbinding waits until it has closed it."""
    opened = open_device(call, NVME)
    request = eventfd(call)
    expect(wire(call, opened.fd, REQ, 0, request), 0)
    pending = _unbind(call, NVME)
    expect(call.poll({request: POLLIN}, 10000), {request: POLLIN})
    expect(count(call, request), 1)
    # What is open works on, though the driver's directory has it no longer.
    expect(len(expect(call.pread(opened.fd, 4, 0))), 4)
    expect(call.readlink(f"{_DRIVER}/{NVME}"), ENOENT)
    expect(call.close(opened.fd))
    expect(pending.wait(), len(NVME))
    expect(call.readlink(f"{_DRIVER}/{NVME}"), ENOENT)


@case(source=_UNREGISTER, machine=MACHINE)
def opened_again_while_unbound(call: Call) -> None:
    """It can be opened as long as it is open, so unbinding waits on; from 6.6 on it cannot."""
    opened = open_device(call, NVME)
    request = eventfd(call)
    expect(wire(call, opened.fd, REQ, 0, request), 0)
    pending = _unbind(call, NVME)
    expect(call.poll({request: POLLIN}, 10000), {request: POLLIN})
    if call.since("6.12"):
        name = call.buffer(64)
        expect(call.poke(name, NVME.encode() + b"\0"))
        expect(call.ioctl(opened.group, u.VFIO_GROUP_GET_DEVICE_FD, name), ENODEV)
        expect(call.close(opened.fd))
    else:
        again: Fd = device_fd(call, opened.group, NVME)
        expect(call.close(opened.fd))
        expect(len(expect(call.pread(again, 4, 0))), 4)
        expect(call.close(again))
    expect(pending.wait(), len(NVME))
