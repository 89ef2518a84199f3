# SPDX-License-Identifier: Apache-2.0
"""Devices on an iommufd instead of a container: drivers/vfio/iommufd.c, 6.12."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from harness.drivers.iommufd.device import (
    iommufd_access_attach,
    iommufd_access_create,
    iommufd_access_detach,
    iommufd_device_attach,
    iommufd_device_bind,
    iommufd_device_detach,
    iommufd_device_unbind,
)
from harness.drivers.iommufd.main import IommufdFile
from harness.kernel.errors import Errno
from harness.kernel.task import Caller

if TYPE_CHECKING:
    from harness.drivers.vfio.vfio_main import VfioDevice


def iommufd_file(caller: Caller, fd: int) -> IommufdFile:
    """EBADF, EBADFD for a file that is none (iommufd_ctx_from_fd)."""
    file = caller.file(fd)
    if not isinstance(file, IommufdFile):
        raise Errno(errno.EBADFD)
    return file


def vfio_iommufd_bind(device: VfioDevice, file: IommufdFile) -> int:
    """The number of the device in the context; EPERM (vfio_iommufd_physical_bind, _emulated)."""
    context = file.context
    if device.group.physical:
        bound = iommufd_device_bind(context, device.dev)
    else:
        bound = iommufd_access_create(context)
    file.users += 1
    device.iommufd = file
    device.bound = bound
    return bound.id


def vfio_iommufd_unbind(device: VfioDevice) -> None:
    """Detach and unbind; the context may go with it."""
    file, bound = device.iommufd, device.bound
    assert file is not None
    assert bound is not None
    vfio_iommufd_detach(device)
    iommufd_device_unbind(bound)
    device.iommufd = device.bound = None
    file.put()


def vfio_iommufd_attach(device: VfioDevice, pt_id: int) -> int:
    """The number of what it is attached to then; a second time, it changes over."""
    bound = device.bound
    assert bound is not None
    if bound.group is None:
        return iommufd_access_attach(bound, pt_id)
    return iommufd_device_attach(bound, pt_id)


def vfio_iommufd_detach(device: VfioDevice) -> None:
    """If it is attached."""
    bound = device.bound
    assert bound is not None
    if bound.group is None:
        iommufd_access_detach(bound)
    elif bound.hwpt is not None:
        iommufd_device_detach(bound)
