# SPDX-License-Identifier: Apache-2.0
"""What every feature of DEVICE_FEATURE looks at first: include/linux/vfio.h, 6.1."""

from __future__ import annotations

import errno

from harness.kernel.errors import Errno
from harness.uapi import vfio as u

_GET, _SET, _PROBE = (
    u.VFIO_DEVICE_FEATURE_GET,
    u.VFIO_DEVICE_FEATURE_SET,
    u.VFIO_DEVICE_FEATURE_PROBE,
)


def vfio_check_feature(flags: int, argsz: int, supported: int, size: int) -> bool:
    """Whether to do it, False if it was only asked for; EINVAL for what is not ``supported``
    (GET, SET), for neither of them, and for less than ``size`` bytes of data."""
    if flags & (_GET | _SET) & ~supported:
        raise Errno(errno.EINVAL)
    if flags & _PROBE:
        return False
    if not flags & (_GET | _SET) or argsz < size:
        raise Errno(errno.EINVAL)
    return True
