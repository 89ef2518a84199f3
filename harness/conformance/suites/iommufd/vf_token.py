# SPDX-License-Identifier: Apache-2.0
"""Tokens of virtual functions, as VFIO_DEVICE_BIND_IOMMUFD takes them.

They are looked at before the iommufd: EBADF is what a function answers whose token is right if
there is none. The physical function is never bound, because QEMU's takes its virtual ones away when
it is reset then, and a real kernel waits for those for a minute.
"""

from __future__ import annotations

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import E2BIG, EACCES, EBADF, EFAULT, EINVAL
from harness.conformance.results import Result
from harness.conformance.suites.iommufd._steps import (
    FEATURE,
    NOWHERE,
    Context,
    cdev_path,
    open_cdev,
    open_context,
)
from harness.conformance.suites.pci._sriov import MACHINE, NUMVFS, PF, VF, allow
from harness.conformance.suites.vfio_pci import _device
from harness.conformance.suites.vfio_pci._device import ask
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


def _nowhere(call: Call) -> Context:
    """One that is not open."""
    return Context(call, Fd(NOWHERE, "nowhere"))


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
def the_physical_function_sets_it(call: Call) -> None:
    """Until it sets another. A virtual one is bound with it alone."""
    physical, virtual = _functions(call)
    nowhere, context = _nowhere(call), open_context(call)
    expect(_bind(nowhere, physical, _TOKEN), EBADF)
    expect(nowhere.bind(physical)[0], EBADF)
    expect(_bind(nowhere, virtual, None), EACCES)
    expect(_bind(nowhere, virtual, _OTHER), EACCES)
    expect(_bind(nowhere, virtual, _TOKEN), EBADF)
    expect(_bind(nowhere, physical, _OTHER), EBADF)
    expect(_bind(context, virtual, _TOKEN), EACCES)
    expect(_bind(context, virtual, _OTHER), 0)
    expect(_bind(context, virtual, _OTHER), EINVAL)


@case(source=_CHECK, machine=MACHINE, since=_LATER)
def while_a_virtual_function_is_bound(call: Call) -> None:
    """Who binds the physical function must know it, too, and cannot set another."""
    physical, virtual = _functions(call)
    nowhere, context = _nowhere(call), open_context(call)
    expect(_bind(nowhere, physical, _TOKEN), EBADF)
    expect(_bind(context, virtual, _TOKEN), 0)
    expect(nowhere.bind(physical)[0], EACCES)
    expect(_bind(nowhere, physical, _OTHER), EACCES)
    expect(_bind(nowhere, physical, _TOKEN), EBADF)
    expect(call.close(virtual))
    expect(nowhere.bind(physical)[0], EBADF)
    expect(_bind(nowhere, physical, _OTHER), EBADF)


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
    for function in (physical, virtual):
        expect(_bind(context, function, _TOKEN), EINVAL)
    expect(context.bind(virtual)[0], 0)
    expect(_nowhere(call).bind(physical)[0], EBADF)


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
