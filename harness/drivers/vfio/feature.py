# SPDX-License-Identifier: Apache-2.0
"""What every feature of a device checks first: include/linux/vfio.h, 6.1."""

from __future__ import annotations

import errno

from harness.kernel.errors import Errno
from harness.uapi import vfio as u

_OPERATIONS = u.VFIO_DEVICE_FEATURE_GET | u.VFIO_DEVICE_FEATURE_SET


def vfio_check_feature(flags: int, argsz: int, supported: int, minimum: int) -> bool:
    """Whether the feature is to be used now; False if a caller only asked if it is there.

    EINVAL for an operation that is not among those ``supported``, for none, and for less than
    ``minimum`` bytes of data.
    """
    if flags & _OPERATIONS & ~supported:
        raise Errno(errno.EINVAL)
    if flags & u.VFIO_DEVICE_FEATURE_PROBE:
        return False
    if not flags & _OPERATIONS or argsz < minimum:
        raise Errno(errno.EINVAL)
    return True
