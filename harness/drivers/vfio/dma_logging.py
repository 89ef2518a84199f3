# SPDX-License-Identifier: Apache-2.0
"""The features DMA_LOGGING_*: which memory a device writes to (vfio_main.c, 6.12).

The checks are the core's. The only device here that has the operations (struct vfio_log_ops) is the
sample mtty, whose operations succeed, and log nothing.
"""

from __future__ import annotations

import errno
from ctypes import sizeof
from typing import TYPE_CHECKING

from harness.drivers.vfio.check_feature import vfio_check_feature
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.kernel.uaccess import copy_from_user
from harness.uapi import vfio as u
from harness.uapi.fs import PAGE_SIZE

if TYPE_CHECKING:
    from harness.drivers.vfio.vfio_main import VfioDevice

_U64 = (1 << 64) - 1
_LOG_MAX_RANGES = PAGE_SIZE // sizeof(u.FeatureDmaLoggingRange)
_SMALLEST_PAGE = 4096


def logging_start(device: VfioDevice, caller: Caller, flags: int, data: int, argsz: int) -> int:
    """vfio_ioctl_device_feature_logging_start."""
    _can_log(device)
    size = sizeof(u.FeatureDmaLoggingControl)
    if not vfio_check_feature(flags, argsz, u.VFIO_DEVICE_FEATURE_SET, size):
        return 0
    control = copy_from_user(caller, u.FeatureDmaLoggingControl, data)
    if not control.num_ranges:
        raise Errno(errno.EINVAL)
    if control.num_ranges > _LOG_MAX_RANGES:
        raise Errno(errno.E2BIG)
    taken: list[tuple[int, int]] = []
    for number in range(control.num_ranges):
        place = control.ranges + number * sizeof(u.FeatureDmaLoggingRange)
        taken.append(_range(caller, place, control.page_size, taken))
    caller.copy_to_user(data, bytes(control))
    return 0


def _range(
    caller: Caller, place: int, page_size: int, taken: list[tuple[int, int]]
) -> tuple[int, int]:
    """First and last address of a range: EFAULT, EINVAL, EOVERFLOW, EINVAL for an overlap."""
    given = copy_from_user(caller, u.FeatureDmaLoggingRange, place)
    within = (page_size - 1) & _U64
    if given.iova & within or given.length & within:
        raise Errno(errno.EINVAL)
    if given.iova + given.length > _U64:
        raise Errno(errno.EOVERFLOW)
    first, last = given.iova, (given.iova + given.length - 1) & _U64
    if any(first <= other_last and start <= last for start, other_last in taken):
        raise Errno(errno.EINVAL)
    return first, last


def logging_stop(device: VfioDevice, flags: int, argsz: int) -> int:
    """vfio_ioctl_device_feature_logging_stop: no error if it was not started."""
    _can_log(device)
    vfio_check_feature(flags, argsz, u.VFIO_DEVICE_FEATURE_SET, 0)
    return 0


def logging_report(device: VfioDevice, caller: Caller, flags: int, data: int, argsz: int) -> int:
    """vfio_ioctl_device_feature_logging_report. The bitmap is the operation's to write; EOPNOTSUPP
    in a kernel that has none."""
    _can_log(device)
    size = sizeof(u.FeatureDmaLoggingReport)
    if not vfio_check_feature(flags, argsz, u.VFIO_DEVICE_FEATURE_GET, size):
        return 0
    report = copy_from_user(caller, u.FeatureDmaLoggingReport, data)
    if report.page_size < _SMALLEST_PAGE or report.page_size.bit_count() != 1:
        raise Errno(errno.EINVAL)
    if report.iova + report.length > _U64:
        raise Errno(errno.EOVERFLOW)
    if not device.core.section.iova_bitmap:  # iova_bitmap_alloc
        raise Errno(errno.EOPNOTSUPP)
    return 0


def _can_log(device: VfioDevice) -> None:
    if not device.logs_dma:
        raise Errno(errno.ENOTTY)
