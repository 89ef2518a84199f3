# SPDX-License-Identifier: Apache-2.0
"""Tokens of virtual functions, as GET_DEVICE_FD takes them behind the address.

They are looked at before anything else, so that a group without a container can be asked: EINVAL is
then what a function answers whose token is right.
"""

from __future__ import annotations

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import EACCES, EINVAL, ENODEV
from harness.conformance.results import Result
from harness.conformance.suites.pci._sriov import MACHINE, NUMVFS, OTHER_VF, PF, VF, allow
from harness.conformance.suites.vfio._steps import (
    V2,
    get_device_fd,
    group_path,
    open_container,
    set_container,
)
from harness.conformance.suites.vfio_pci._device import CONFIG
from harness.uapi import vfio as u
from harness.uapi.fs import O_RDWR

_VALIDATE = "vfio_pci_validate_vf_token: drivers/vfio/pci/vfio_pci_core.c, 6.1"
_MATCH = "vfio_pci_core_match: drivers/vfio/pci/vfio_pci_core.c, 6.1"
_TOKEN, _OTHER = "2ab74924-c335-45f4-9b16-8569e5b08258", "00000000-0000-0000-0000-000000000000"
_ACCEPTED = EINVAL


def _groups(call: Call, *addresses: str) -> list[Fd]:
    """The groups of functions that vfio-pci has, after two virtual ones were made."""
    allow(call)
    call.write_text(NUMVFS, "2")
    return [expect(call.open(group_path(call, address), O_RDWR)) for address in addresses]


def _ask(call: Call, group: Fd, address: str, token: str | None = None) -> Result[int]:
    """GET_DEVICE_FD."""
    name = address if token is None else f"{address} vf_token={token}"
    return get_device_fd(call, group, name.encode())


def _use(call: Call, group: Fd) -> None:
    """Give the group a container, so that its function can be opened."""
    container = open_container(call)
    expect(set_container(call, group, container), 0)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, V2), 0)


@case(source=_VALIDATE, machine=MACHINE)
@param("token", [_TOKEN, _OTHER, None])
def nobody_knows_the_first(call: Call, token: str | None) -> None:
    """It is a random one, and asking for the physical function without one leaves it."""
    physical, virtual = _groups(call, PF, VF)
    expect(_ask(call, virtual, VF, token), EACCES)
    expect(_ask(call, physical, PF), _ACCEPTED)
    expect(_ask(call, virtual, VF, token), EACCES)


@case(source=_VALIDATE, machine=MACHINE)
@param("token", [_TOKEN, _OTHER, _TOKEN.upper()])
def the_physical_function_sets_it(call: Call, token: str) -> None:
    """For all virtual ones, until it sets another."""
    physical, virtual, another = _groups(call, PF, VF, OTHER_VF)
    expect(_ask(call, physical, PF, token), _ACCEPTED)
    for group, address in ((virtual, VF), (another, OTHER_VF)):
        expect(_ask(call, group, address), EACCES)
        expect(_ask(call, group, address, f"1{token[1:]}"), EACCES)
        expect(_ask(call, group, address, f"{token[:-1]}1"), EACCES)
        expect(_ask(call, group, address, token.lower()), _ACCEPTED)
    expect(_ask(call, physical, PF, f"{token[:-1]}1"), _ACCEPTED)
    expect(_ask(call, virtual, VF, token), EACCES)
    expect(_ask(call, virtual, VF, f"{token[:-1]}1"), _ACCEPTED)


@case(source=_VALIDATE, machine=MACHINE)
def it_outlives_the_group_and_the_virtual_functions(call: Call) -> None:
    """But not the driver."""
    physical, virtual = _groups(call, PF, VF)
    expect(_ask(call, physical, PF, _TOKEN), _ACCEPTED)
    for group in (physical, virtual):
        expect(call.close(group))
    call.write_text(NUMVFS, "0")
    call.write_text(NUMVFS, "1")
    virtual = expect(call.open(group_path(call, VF), O_RDWR))
    expect(_ask(call, virtual, VF, _OTHER), EACCES)
    expect(_ask(call, virtual, VF, _TOKEN), _ACCEPTED)
    expect(call.close(virtual))
    for name in ("unbind", "bind"):
        call.write_text(f"/sys/bus/pci/drivers/vfio-pci/{name}", PF)
    call.write_text(NUMVFS, "1")
    virtual = expect(call.open(group_path(call, VF), O_RDWR))
    expect(_ask(call, virtual, VF, _TOKEN), EACCES)


@case(source=_MATCH, machine=MACHINE)
@param(
    "rest answer",
    [
        ("", EACCES),
        ("  ", EACCES),
        (" vf_token=@", EACCES),
        ("   vf_token=@  ", EACCES),
        ("vf_token=@", ENODEV),
        ("\tvf_token=@", ENODEV),
        (",vf_token=@", ENODEV),
        (" vf_token=@,", EINVAL),
        (" vf_token=@\n", EINVAL),
        (" vf_token=@1", EINVAL),
        (" vf_token=@ x", EINVAL),
        (" x vf_token=@", EINVAL),
        (" vf_token=@ vf_token=@", EINVAL),
        (" vf_token=@vf_token=@", EINVAL),
        (" vf_token= @", EINVAL),
        (" VF_TOKEN=@", EINVAL),
        (" vf_token=#", EINVAL),
        (" vf_token=# ", EINVAL),
        (" vf_token=#g", EINVAL),
        (" vf_token={@}", EINVAL),
        (" vf_token=2ab74924c33545f49b168569e5b082580000", EINVAL),
        (" vf_token=", EINVAL),
        (" vf_token", EINVAL),
        (" \u00e9", EINVAL),
    ],
    id="{rest!r}",
)
def options(call: Call, rest: str, answer: object) -> None:
    """What is no token is told from one that is wrong, which @ is here; # lacks its last digit."""
    (virtual,) = _groups(call, VF)
    rest = rest.replace("@", _TOKEN).replace("#", _TOKEN[:-1])
    expect(get_device_fd(call, virtual, f"{VF}{rest}".encode()), answer)


@case(source=f"{_MATCH}; vfio_pci_validate_vf_token", machine=MACHINE)
def bad_options_set_nothing(call: Call) -> None:
    physical, virtual = _groups(call, PF, VF)
    expect(_ask(call, physical, PF, f"{_TOKEN} x"), EINVAL)
    expect(_ask(call, virtual, VF, _TOKEN), EACCES)


@case(source=_VALIDATE, machine=MACHINE)
def neither(call: Call) -> None:
    """A function that makes none, and is none."""
    bridge = "0000:00:1f.2"
    call.write_text(f"/sys/bus/pci/devices/{bridge}/driver_override", "vfio-pci")
    call.write_text("/sys/bus/pci/drivers_probe", bridge)
    group = expect(call.open(group_path(call, bridge), O_RDWR))
    expect(_ask(call, group, bridge, _TOKEN), EINVAL)


@case(source=f"vfio_pci_core_finish_enable, {_VALIDATE}", machine=MACHINE)
def while_a_virtual_function_is_open(call: Call) -> None:
    """Who opens the physical one must know the token, too, and cannot set another."""
    physical, virtual, another = _groups(call, PF, VF, OTHER_VF)
    expect(_ask(call, physical, PF, _TOKEN), _ACCEPTED)
    _use(call, virtual)
    device = Fd(expect(_ask(call, virtual, VF, _TOKEN)), "device")
    expect(call.pread(device, 2, CONFIG + 8), b"\x02\x02")
    expect(_ask(call, physical, PF), EACCES)
    expect(_ask(call, physical, PF, _OTHER), EACCES)
    expect(_ask(call, physical, PF, _TOKEN), _ACCEPTED)
    expect(_ask(call, another, OTHER_VF), EACCES)
    expect(_ask(call, another, OTHER_VF, _TOKEN), _ACCEPTED)
    second = Fd(expect(_ask(call, virtual, VF, _TOKEN)), "device")
    expect(_ask(call, virtual, VF), EACCES)
    expect(call.close(device))
    expect(_ask(call, physical, PF), EACCES)
    expect(call.close(second))
    expect(_ask(call, physical, PF, _OTHER), _ACCEPTED)
    expect(_ask(call, virtual, VF, _TOKEN), EACCES)
    Fd(expect(_ask(call, virtual, VF, _OTHER)), "device")
    expect(_ask(call, physical, PF, _TOKEN), EACCES)
