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
    iommufd_page_table,
)
from harness.drivers.iommufd.main import IommufdFile
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.uapi import vfio as u

if TYPE_CHECKING:
    from harness.drivers.vfio.vfio_main import VfioDevice

_INT_MAX = 0x7FFFFFFF


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
    for pasid in sorted(device.pasids):
        vfio_iommufd_pasid_detach(device, pasid)
    iommufd_device_unbind(bound)
    device.iommufd = device.bound = None
    file.put()


def vfio_iommufd_attach(device: VfioDevice, pt_id: int) -> int:
    """The number of what it is attached to then; a second time, it changes over."""
    bound = device.bound
    assert bound is not None
    if bound.group is None:
        return iommufd_access_attach(bound, pt_id)
    number = iommufd_device_attach(bound, pt_id, replace=device.iommufd_attached)
    device.iommufd_attached = True
    return number


def vfio_iommufd_detach(device: VfioDevice) -> None:
    """If it is attached."""
    bound = device.bound
    assert bound is not None
    if bound.group is None:
        iommufd_access_detach(bound)
    elif device.iommufd_attached:
        iommufd_device_detach(bound)
        device.iommufd_attached = False


def vfio_iommufd_pasid_attach(device: VfioDevice, pasid: int, pt_id: int) -> int:
    """The same for one PASID: EOPNOTSUPP for a device without DMA of its own, ENOSPC for what no
    PASID can be (ida_alloc_range). PASID 0 is none: then it must not be attached without, either
    (vfio_iommufd_physical_pasid_attach_ioas, 6.15)."""
    bound = device.bound
    assert bound is not None
    if pasid > _INT_MAX:
        raise Errno(errno.ENOSPC)
    if pasid:
        # The IOMMU of no machine here knows PASIDs of what a user has.
        iommufd_page_table(bound, pt_id)
        raise Errno(errno.EINVAL)
    number = iommufd_device_attach(bound, pt_id, replace=pasid in device.pasids)
    device.pasids.add(pasid)
    return number


def vfio_iommufd_pasid_detach(device: VfioDevice, pasid: int) -> None:
    """If it is attached by that (vfio_iommufd_physical_pasid_detach_ioas, 6.15)."""
    if pasid in device.pasids:
        assert device.bound is not None
        iommufd_device_detach(device.bound)
        device.pasids.remove(pasid)


def vfio_iommufd_get_dev_id(device: VfioDevice, file: IommufdFile) -> int:
    """A device's number in an iommufd; else whether its group is bound to that
    (vfio_iommufd_get_dev_id of 6.6, and what vfio_pci_fill_devs makes of its errors)."""
    if device.iommufd is not None and device.iommufd.context is file.context:
        assert device.bound is not None
        return device.bound.id
    group = device.dev.iommu_group
    if group is not None and group.owner is file.context:
        return u.VFIO_PCI_DEVID_OWNED
    return u.VFIO_PCI_DEVID_NOT_OWNED
