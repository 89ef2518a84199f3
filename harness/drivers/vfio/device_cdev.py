# SPDX-License-Identifier: Apache-2.0
"""Devices by nodes of their own: /dev/vfio/devices/vfioX (drivers/vfio/device_cdev.c, 6.12).

The plan: a file of the node can do nothing until it is bound to an iommufd, which only one file at
a time can be, and not while the group is open. It is unbound when it is closed.
"""

from __future__ import annotations

import errno
from ctypes import sizeof
from typing import TYPE_CHECKING

from harness.drivers.iommufd.main import copy_struct_from_user
from harness.drivers.vfio.iommufd import (
    iommufd_file,
    vfio_iommufd_attach,
    vfio_iommufd_detach,
    vfio_iommufd_pasid_attach,
    vfio_iommufd_pasid_detach,
)
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.kernel.uaccess import copy_from_user, get_user_u32
from harness.kernel.uuid import UUID_LEN
from harness.uapi import vfio as u

if TYPE_CHECKING:
    from harness.drivers.vfio.vfio_main import VfioDevice, VfioDeviceFile


def vfio_df_ioctl_bind_iommufd(file: VfioDeviceFile, caller: Caller, argument: int) -> int:
    """What reading it says, EINVAL for a file of the group's, EBUSY while the group is open, EINVAL
    if it is bound, what the token says, EBADF, EBADFD, EINVAL if another file is; then what binding
    says."""
    device = file.device
    given = _read_bind(file, caller, argument)
    if file.by_group:
        raise Errno(errno.EINVAL)
    if device.group.opened_file is not None:
        raise Errno(errno.EBUSY)
    if file.access_granted:
        raise Errno(errno.EINVAL)
    if device.core.section.bind_token:
        _vfio_df_check_token(device, caller, given)
    context = iommufd_file(caller, given.iommufd)
    number = file.bind(context)
    try:
        place = argument + u.BindIommufd.out_devid.offset
        caller.copy_to_user(place, number.to_bytes(4, "little"))
    except Errno:
        file.close()
        raise
    return 0


def _read_bind(file: VfioDeviceFile, caller: Caller, argument: int) -> u.BindIommufdFull:
    """EFAULT, EINVAL; where a token may follow (6.17), E2BIG for what is behind it."""
    smallest = sizeof(u.BindIommufd)
    size, known = smallest, 0
    if file.device.core.section.bind_token:
        size, known = get_user_u32(caller, argument), u.VFIO_DEVICE_BIND_FLAG_TOKEN
        if size < smallest:
            raise Errno(errno.EINVAL)
    given: u.BindIommufdFull = copy_struct_from_user(caller, u.BindIommufdFull, argument, size)
    if given.argsz < smallest or given.flags & ~known or given.iommufd < 0:
        raise Errno(errno.EINVAL)
    return given


def _vfio_df_check_token(device: VfioDevice, caller: Caller, given: u.BindIommufdFull) -> None:
    """Who gives no token may need one (6.17). EINVAL for one if the driver knows none, EFAULT, what
    the driver says."""
    has_token = given.flags & u.VFIO_DEVICE_BIND_FLAG_TOKEN
    if not device.matches_tokens:
        if has_token:
            raise Errno(errno.EINVAL)
        return
    device.match_token_uuid(
        caller.copy_from_user(given.token_uuid_ptr, UUID_LEN) if has_token else None
    )


def vfio_df_ioctl_attach_pt(file: VfioDeviceFile, caller: Caller, argument: int) -> int:
    """EFAULT, EINVAL; then what attaching says, and the number is written back."""
    device = file.device
    given = copy_from_user(caller, u.AttachIommufdPt, argument)
    if given.argsz < sizeof(u.AttachIommufdPt):
        raise Errno(errno.EINVAL)
    pasid = _read_pasid(file, caller, argument, given, u.AttachIommufdPtFull)
    if pasid is None:
        number = vfio_iommufd_attach(device, given.pt_id)
    else:
        number = vfio_iommufd_pasid_attach(device, pasid, given.pt_id)
    try:
        place = argument + u.AttachIommufdPt.pt_id.offset
        caller.copy_to_user(place, number.to_bytes(4, "little"))
    except Errno:
        vfio_iommufd_detach(device)
        raise
    return 0


def vfio_df_ioctl_detach_pt(file: VfioDeviceFile, caller: Caller, argument: int) -> int:
    """EFAULT, EINVAL."""
    given = copy_from_user(caller, u.DetachIommufdPt, argument)
    if given.argsz < sizeof(u.DetachIommufdPt):
        raise Errno(errno.EINVAL)
    pasid = _read_pasid(file, caller, argument, given, u.DetachIommufdPtFull)
    if pasid is None:
        vfio_iommufd_detach(file.device)
    else:
        vfio_iommufd_pasid_detach(file.device, pasid)
    return 0


def _read_pasid(
    file: VfioDeviceFile,
    caller: Caller,
    argument: int,
    given: u.AttachIommufdPt | u.DetachIommufdPt,
    full: type[u.AttachIommufdPtFull | u.DetachIommufdPtFull],
) -> int | None:
    """The PASID that a flag says is there (6.15).

    EINVAL for a flag, EOPNOTSUPP where the driver has no such operation, EINVAL for a structure
    that is too short, EFAULT.
    """
    device = file.device
    known = u.VFIO_DEVICE_ATTACH_PASID if device.core.section.pasid_attach else 0
    if given.flags & ~known:
        raise Errno(errno.EINVAL)
    if not given.flags:
        return None
    if not device.group.physical:
        raise Errno(errno.EOPNOTSUPP)
    if given.argsz < sizeof(full):
        raise Errno(errno.EINVAL)
    pasid: int = copy_from_user(caller, full, argument).pasid
    return pasid
