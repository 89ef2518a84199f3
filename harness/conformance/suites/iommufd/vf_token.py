# SPDX-License-Identifier: Apache-2.0
"""Tokens of virtual functions, as VFIO_DEVICE_BIND_IOMMUFD takes them."""

from __future__ import annotations

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import E2BIG, EACCES, EBADF, EFAULT, EINVAL
from harness.conformance.results import Result
from harness.conformance.suites.iommufd._steps import (
    FEATURE,
    Context,
    cdev_path,
    open_cdev,
    open_context,
)
from harness.conformance.suites.pci._sriov import MACHINE, NUMVFS, PF, VF, allow
from harness.conformance.suites.vfio_pci import _device
from harness.conformance.suites.vfio_pci._device import SET, ask, feature
from harness.uapi import vfio as u
from harness.uapi.fs import O_RDWR

_BIND = "vfio_df_ioctl_bind_iommufd: drivers/vfio/device_cdev.c, 7.2"
_CHECK = "vfio_df_check_token: drivers/vfio/device_cdev.c, 7.2"
_NO_CHECK = "vfio_df_ioctl_bind_iommufd: drivers/vfio/device_cdev.c, 6.12"
_UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa2001"
_LATER = "7.2+iommufd"
_TOKEN, _OTHER = bytes(range(16)), bytes(16)
_FLAG = u.VFIO_DEVICE_BIND_FLAG_TOKEN


def _bind(context: Context, device: Fd, token: bytes | None, behind: bytes = b"") -> Result[int]:
    """VFIO_DEVICE_BIND_IOMMUFD with the larger structure."""
    call = context.call
    memory = call.buffer(16)
    call.poke(memory, token or bytes(16))
    size = len(bytes(u.BindIommufdFull())) + len(behind)
    given = u.BindIommufdFull(size, 0, context.fd.number)
    if token is not None:
        given.flags, given.token_uuid_ptr = _FLAG, memory.address
    return ask(call, device, u.VFIO_DEVICE_BIND_IOMMUFD, bytes(given) + behind)[0]


def _functions(call: Call) -> tuple[Fd, Fd]:
    """A physical function and a virtual one, neither of them bound."""
    allow(call)
    call.write_text(NUMVFS, "1")
    physical, virtual = (
        expect(call.open(cdev_path(call, address), O_RDWR)) for address in (PF, VF)
    )
    return physical, virtual


@case(source=_CHECK, machine=MACHINE, since=_LATER)
@param("token", [_TOKEN, _OTHER, None])
def nobody_knows_the_first(call: Call, token: bytes | None) -> None:
    """A virtual function needs one, also where the flag is not given."""
    _, virtual = _functions(call)
    expect(_bind(open_context(call), virtual, token), EACCES)
    expect(open_context(call).bind(virtual)[0], EACCES)


@case(source=_CHECK, machine=MACHINE, since=_LATER)
def bound_with_it(call: Call) -> None:
    """The physical function sets it; it outlives that, and can be changed while it is bound."""
    physical, virtual = _functions(call)
    context = open_context(call)
    expect(_bind(context, physical, _TOKEN), 0)
    expect(_bind(context, virtual, _OTHER), EACCES)
    expect(_bind(context, virtual, None), EACCES)
    expect(feature(call, physical, SET, _OTHER)[0], 0)
    expect(_bind(context, virtual, _TOKEN), EACCES)
    expect(call.close(physical))
    expect(_bind(context, virtual, _OTHER), 0)


@case(source=_CHECK, machine=MACHINE, since=_LATER)
def while_a_virtual_function_is_bound(call: Call) -> None:
    """The physical function needs it, too."""
    physical, virtual = _functions(call)
    context = open_context(call)
    given = u.BindIommufdFull(24, _FLAG, 9999, 0, 0)
    expect(_bind(context, physical, _TOKEN), 0)
    expect(_bind(context, virtual, _TOKEN), 0)
    expect(call.close(physical))
    physical = expect(call.open(cdev_path(call, PF), O_RDWR))
    expect(context.bind(physical)[0], EACCES)
    expect(_bind(context, physical, _OTHER), EACCES)
    expect(ask(call, physical, u.VFIO_DEVICE_BIND_IOMMUFD, given)[0], EFAULT)
    expect(_bind(context, physical, _TOKEN), 0)
    for device in (virtual, physical):
        expect(call.close(device))
    physical = expect(call.open(cdev_path(call, PF), O_RDWR))
    expect(context.bind(physical)[0], 0)


@case(source=_CHECK, machine=MACHINE, since=_LATER)
def set_though_binding_fails(call: Call) -> None:
    """The token is looked at before the iommufd."""
    physical, virtual = _functions(call)
    place = call.buffer(16)
    call.poke(place, _TOKEN)
    nowhere = u.BindIommufdFull(24, _FLAG, 9999, 0, place.address)
    expect(ask(call, virtual, u.VFIO_DEVICE_BIND_IOMMUFD, nowhere)[0], EACCES)
    expect(ask(call, physical, u.VFIO_DEVICE_BIND_IOMMUFD, nowhere)[0], EBADF)
    expect(ask(call, virtual, u.VFIO_DEVICE_BIND_IOMMUFD, nowhere)[0], EBADF)


@case(source=_BIND, machine=_device.MACHINE, since=_LATER)
def structure(call: Call) -> None:
    """It may be longer than what is known, if that is zero; what is missing of it is."""
    device, context = open_cdev(call), open_context(call)
    expect(_bind(context, device, None, b"\1"), E2BIG)
    expect(_bind(context, device, None, bytes(4000) + b"\1"), E2BIG)
    expect(context.bind(device, _FLAG)[0], EFAULT)
    expect(context.bind(device, _FLAG, 15)[0], EINVAL)
    expect(context.bind(device, _FLAG | 2)[0], EINVAL)
    expect(_bind(context, device, None, bytes(4000)), 0)
    expect(_bind(context, device, _TOKEN), EINVAL)


@case(source=_CHECK, machine=_device.MACHINE, since=_LATER)
def neither(call: Call) -> None:
    """A function that makes none, and is none."""
    device, context = open_cdev(call), open_context(call)
    expect(_bind(context, device, _TOKEN), EINVAL)
    expect(_bind(context, device, None), 0)


@case(source=_NO_CHECK, machine=MACHINE, since=FEATURE, until="7.2")
def not_asked_for(call: Call) -> None:
    """There is no flag for it, and a virtual function needs none."""
    physical, virtual = _functions(call)
    context = open_context(call)
    expect(_bind(context, physical, _TOKEN), EINVAL)
    expect(context.bind(virtual)[0], 0)
    expect(context.bind(physical)[0], 0)


@case(source=_CHECK, machine=_device.MACHINE, since=_LATER)
def a_driver_that_knows_none(call: Call) -> None:
    """It does not look where the token is."""
    create = "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create"
    expect(call.write_text(create, _UUID), len(_UUID))
    (name,) = expect(call.listdir(f"/sys/bus/mdev/devices/{_UUID}/vfio-dev"))
    device = expect(call.open(f"/dev/vfio/devices/{name}", O_RDWR))
    context = open_context(call)
    expect(context.bind(device, _FLAG)[0], EINVAL)
    expect(_bind(context, device, _TOKEN), EINVAL)
    expect(_bind(context, device, None), 0)
