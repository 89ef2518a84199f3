# SPDX-License-Identifier: Apache-2.0
"""VFIO_DEVICE_FEATURE_PCI_VF_TOKEN: another token for the virtual functions of an open function."""

from __future__ import annotations

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import EACCES, EINVAL, ENOTTY
from harness.conformance.suites.pci._sriov import MACHINE, NUMVFS, PF, VF, allow
from harness.conformance.suites.vfio_pci._device import (
    GET,
    PROBE,
    SET,
    feature,
    group_path,
    open_bound,
)
from harness.uapi import vfio as u
from harness.uapi.fs import O_RDWR

_FEATURE = "vfio_pci_core_feature_token: drivers/vfio/pci/vfio_pci_core.c, 6.1"
_FIRST, _SECOND = "2ab74924-c335-45f4-9b16-8569e5b08258", "00010203-0405-0607-0809-0a0b0c0d0e0f"
_BYTES = bytes(range(16))


def _opened(call: Call) -> Fd:
    """The physical function, opened with the first token."""
    allow(call)
    call.write_text(NUMVFS, "1")
    return open_bound(call, PF, f" vf_token={_FIRST}").fd


def _is_token(call: Call, token: str) -> None:
    """A group without a container says EINVAL to who knows the token."""
    group = expect(call.open(group_path(call, VF), O_RDWR))
    name = call.buffer(64)
    for each in (_FIRST, _SECOND):
        call.poke(name, f"{VF} vf_token={each}\0".encode())
        answer = EINVAL if each == token else EACCES
        expect(call.ioctl(group, u.VFIO_GROUP_GET_DEVICE_FD, name), answer)
    expect(call.close(group))


@case(source=_FEATURE, machine=MACHINE)
def another(call: Call) -> None:
    """Sixteen bytes, in the order in which the text has them."""
    fd = _opened(call)
    _is_token(call, _FIRST)
    expect(feature(call, fd, SET, _BYTES)[0], 0)
    _is_token(call, _SECOND)


@case(source=f"vfio_check_feature, {_FEATURE}", machine=MACHINE)
@param(
    "operation size answer",
    [
        (0, 24, EINVAL),
        (GET, 24, EINVAL),
        (GET | PROBE, 24, EINVAL),
        (PROBE, 8, 0),
        (SET | PROBE, 24, 0),
        (SET | PROBE, 8, 0),
        (SET, 23, EINVAL),
        (SET, 8, EINVAL),
    ],
    id="{operation:#x}-{size}",
)
def nothing_is_set(call: Call, operation: int, size: int, answer: object) -> None:
    """It cannot be read, or its last user could be found out."""
    fd = _opened(call)
    expect(feature(call, fd, operation, _BYTES, size)[0], answer)
    _is_token(call, _FIRST)


@case(source=_FEATURE, machine=MACHINE)
def more_than_a_token(call: Call) -> None:
    fd = _opened(call)
    expect(feature(call, fd, SET, _BYTES + bytes(8))[0], 0)
    _is_token(call, _SECOND)


# QEMU's function takes its virtual ones away when it is reset, that is, opened: a real kernel waits
# for a minute (PCIE_RESET_READY_POLL_MS) until it opens one nevertheless.
@case(source=_FEATURE, machine=MACHINE, limit=150)
def while_a_virtual_function_is_open(call: Call) -> None:
    """That does not matter: who has the physical one open may set another."""
    fd = _opened(call)
    virtual = open_bound(call, VF, f" vf_token={_FIRST}")
    expect(feature(call, fd, SET, _BYTES)[0], 0)
    for handle in (virtual.fd, virtual.group, virtual.container):
        expect(call.close(handle))
    _is_token(call, _SECOND)


@case(source=_FEATURE, machine=MACHINE)
def a_virtual_function_has_none(call: Call) -> None:
    allow(call)
    call.write_text(NUMVFS, "1")
    group = expect(call.open(group_path(call, PF), O_RDWR))
    name = call.buffer(64)
    call.poke(name, f"{PF} vf_token={_FIRST}\0".encode())
    expect(call.ioctl(group, u.VFIO_GROUP_GET_DEVICE_FD, name), EINVAL)
    fd = open_bound(call, VF, f" vf_token={_FIRST}").fd
    for operation in (0, GET, SET, PROBE, SET | PROBE):
        expect(feature(call, fd, operation, _BYTES)[0], ENOTTY)
