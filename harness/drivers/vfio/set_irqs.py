# SPDX-License-Identifier: Apache-2.0
"""What VFIO_DEVICE_SET_IRQS asks of a driver, checked: vfio_set_irqs_validate_and_prepare, 6.1."""

from __future__ import annotations

import errno
import struct

from attrs import frozen

from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.uapi import vfio as u

_HEADER = u.offsetofend(u.IrqSet, "count")
_UINT_MAX = 0xFFFFFFFF
#: Bytes for each interrupt.
_DATA_SIZES = {
    u.VFIO_IRQ_SET_DATA_NONE: 0,
    u.VFIO_IRQ_SET_DATA_BOOL: 1,
    u.VFIO_IRQ_SET_DATA_EVENTFD: 4,
}


@frozen
class SetIrqs:
    """The request: ``count`` interrupts of an index from ``start`` on, and their ``data``."""

    flags: int
    index: int
    start: int
    count: int
    data: bytes = b""

    @property
    def action(self) -> int:
        """The bits that say what to do (VFIO_IRQ_SET_ACTION_*)."""
        return self.flags & u.VFIO_IRQ_SET_ACTION_TYPE_MASK

    @property
    def none(self) -> bool:
        """It has no data."""
        return bool(self.flags & u.VFIO_IRQ_SET_DATA_NONE)

    @property
    def eventfds(self) -> tuple[int, ...] | None:
        """The fds, if it is about them."""
        if not self.flags & u.VFIO_IRQ_SET_DATA_EVENTFD:
            return None
        return struct.unpack(f"<{self.count}i", self.data)

    def concerns(self, position: int) -> bool:
        """Whether it is about the interrupt at ``position``: without data it is about all."""
        return self.none or bool(self.data[position])


def vfio_set_irqs_validate_and_prepare(header: u.IrqSet, count: int, max_index: int) -> int:
    """How many bytes of data follow. ``count`` is how many interrupts the index has. EINVAL."""
    if (
        header.argsz < _HEADER
        or header.index >= max_index
        or header.count >= _UINT_MAX - header.start
        or header.flags & ~(u.VFIO_IRQ_SET_DATA_TYPE_MASK | u.VFIO_IRQ_SET_ACTION_TYPE_MASK)
    ):
        raise Errno(errno.EINVAL)
    if header.start >= count or header.start + header.count > count:
        raise Errno(errno.EINVAL)
    size = _DATA_SIZES.get(header.flags & u.VFIO_IRQ_SET_DATA_TYPE_MASK)
    if size is None or header.argsz - _HEADER < header.count * size:
        raise Errno(errno.EINVAL)
    return int(header.count * size)


def read_set_irqs(caller: Caller, argument: int, header: u.IrqSet, size: int) -> SetIrqs:
    """The request with its data, or EFAULT."""
    data = caller.copy_from_user(argument + _HEADER, size) if size else b""
    return SetIrqs(header.flags, header.index, header.start, header.count, data)
