# SPDX-License-Identifier: Apache-2.0
"""Virtual IOMMUs, what belongs to them, and queues of their events: viommu.c, eventq.c in
drivers/iommu/iommufd, 7.2.

Intel's IOMMU has none (intel_iommu_ops lacks viommu_init), so there is never an object that the
other commands could find.
"""

from __future__ import annotations

import errno

from harness.drivers.iommufd.device import iommufd_get_device
from harness.drivers.iommufd.main import Operation, Request
from harness.kernel.errors import Errno
from harness.uapi import iommufd as u

_ULONG_MAX = (1 << 64) - 1


def _unsupported(condition: object) -> None:
    if condition:
        raise Errno(errno.EOPNOTSUPP)


def iommufd_viommu_alloc(request: Request) -> int:
    """EOPNOTSUPP for flags or no type, ENOENT for the device, EOPNOTSUPP for any type."""
    command = request.command
    _unsupported(command.flags or command.type == u.IOMMU_VIOMMU_TYPE_DEFAULT)
    iommufd_get_device(request.context, command.dev_id)
    raise Errno(errno.EOPNOTSUPP)


def iommufd_vdevice_alloc(request: Request) -> int:
    """ENOENT for the vIOMMU."""
    raise Errno(errno.ENOENT)


def iommufd_veventq_alloc(request: Request) -> int:
    """EOPNOTSUPP for flags or no type, EINVAL for no room, ENOENT for the vIOMMU."""
    command = request.command
    _unsupported(command.flags or command.reserved or command.type == u.IOMMU_VEVENTQ_TYPE_DEFAULT)
    if not command.veventq_depth:
        raise Errno(errno.EINVAL)
    raise Errno(errno.ENOENT)


def iommufd_hw_queue_alloc(request: Request) -> int:
    """EOPNOTSUPP for flags or no type, EINVAL for no length, EOVERFLOW, ENOENT for the vIOMMU."""
    command = request.command
    _unsupported(command.flags or command.type == u.IOMMU_HW_QUEUE_TYPE_DEFAULT)
    if not command.length:
        raise Errno(errno.EINVAL)
    if command.nesting_parent_iova + command.length - 1 > _ULONG_MAX:
        raise Errno(errno.EOVERFLOW)
    raise Errno(errno.ENOENT)


OPERATIONS = {
    u.IOMMUFD_CMD_VIOMMU_ALLOC: Operation(u.ViommuAlloc, "out_viommu_id", iommufd_viommu_alloc),
    u.IOMMUFD_CMD_VDEVICE_ALLOC: Operation(u.VdeviceAlloc, "virt_id", iommufd_vdevice_alloc),
    u.IOMMUFD_CMD_VEVENTQ_ALLOC: Operation(u.VeventqAlloc, "out_veventq_fd", iommufd_veventq_alloc),
    u.IOMMUFD_CMD_HW_QUEUE_ALLOC: Operation(u.HwQueueAlloc, "length", iommufd_hw_queue_alloc),
}
