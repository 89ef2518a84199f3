# SPDX-License-Identifier: Apache-2.0
"""Tokens of virtual functions: vf_token of drivers/vfio/pci/vfio_pci_core.c, 6.1.

The plan: a physical function that vfio-pci takes has a token, a UUID that nobody knows until the
function's user gives one. Who opens one of its virtual functions must know the token, and so must
who opens the physical function while virtual ones are open: neither can then be put under the
other unasked.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from attrs import define

from harness.drivers.pci.iov import VirtualFunction
from harness.drivers.vfio.check_feature import vfio_check_feature
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.kernel.uuid import UUID_LEN, UUID_STRING_LEN, uuid_parse
from harness.uapi import vfio as u

if TYPE_CHECKING:
    from harness.drivers.vfio_pci.core import VfioPciCoreDevice

_VF_TOKEN_ARG = "vf_token="


@define(eq=False)
class VfToken:
    """struct vfio_pci_vf_token. ``users`` counts the virtual functions that are open."""

    #: None is the random one that it begins with, which no program can know.
    uuid: bytes | None = None
    users: int = 0


def vfio_pci_vf_init(vdev: VfioPciCoreDevice) -> None:
    """A physical function gets a token, a virtual one finds what made it if that is vfio-pci's."""
    pdev = vdev.pdev
    if isinstance(pdev, VirtualFunction):
        vdev.sriov_pf_core_dev = vdev.driver.core_device(pdev.physfn)
    elif pdev.sriov_cap:
        vdev.vf_token = VfToken()


def vfio_pci_vf_token_user_add(vdev: VfioPciCoreDevice, change: int) -> None:
    """A virtual function was opened or is closed (vfio_pci_core_finish_enable, _close_device)."""
    if vdev.sriov_pf_core_dev is not None:
        _token(vdev.sriov_pf_core_dev).users += change


def _token(physical: VfioPciCoreDevice) -> VfToken:
    assert physical.vf_token is not None
    return physical.vf_token


def vfio_pci_validate_vf_token(vdev: VfioPciCoreDevice, uuid: bytes | None) -> None:
    """Whether the function may be opened by who gave ``uuid``: EACCES unless it is the token where
    one is needed, EINVAL for one where there are none (vfio_pci_core_match_token_uuid, 6.17).

    A physical function of which no virtual one is open takes it as its own.
    """
    if isinstance(vdev.pdev, VirtualFunction):
        physical = vdev.sriov_pf_core_dev
        if physical is not None:
            _check(_token(physical), uuid)
        elif uuid is not None:
            raise Errno(errno.EINVAL)
    elif vdev.vf_token is not None:
        if vdev.vf_token.users:
            _check(vdev.vf_token, uuid)
        elif uuid is not None:
            vdev.vf_token.uuid = uuid
    elif uuid is not None:
        raise Errno(errno.EINVAL)


def _check(token: VfToken, uuid: bytes | None) -> None:
    if uuid is None or uuid != token.uuid:
        raise Errno(errno.EACCES)


def vf_token_of(options: str) -> bytes | None:
    """The token in what a program wrote behind a function's address (vfio_pci_core_match).

    EINVAL for anything but spaces and one ``vf_token=`` with a UUID.
    """
    uuid = None
    while options := options.lstrip(" "):
        if uuid is not None or not options.startswith(_VF_TOKEN_ARG):
            raise Errno(errno.EINVAL)
        options = options[len(_VF_TOKEN_ARG) :]
        uuid = uuid_parse(options.encode(errors="surrogateescape"))
        options = options[UUID_STRING_LEN:]
    return uuid


def vfio_pci_core_feature_token(
    vdev: VfioPciCoreDevice, caller: Caller, flags: int, argument: int, argsz: int
) -> None:
    """PCI_VF_TOKEN: another token, open virtual functions or not. ENOTTY, EINVAL, EFAULT."""
    if vdev.vf_token is None:
        raise Errno(errno.ENOTTY)
    if vfio_check_feature(flags, argsz, u.VFIO_DEVICE_FEATURE_SET, UUID_LEN):
        vdev.vf_token.uuid = caller.copy_from_user(argument, UUID_LEN)
