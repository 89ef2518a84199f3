# SPDX-License-Identifier: Apache-2.0
"""What the devices of the samples have in common (samples/vfio-mdev, 6.1)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

from harness.drivers.mdev import MdevDevice
from harness.drivers.vfio.user import copy_in, copy_out
from harness.drivers.vfio.vfio_main import VfioDevice
from harness.kernel.task import Caller
from harness.uapi import vfio as u


class SampleDevice(VfioDevice):
    """A device whose regions are accessed by 4, 2 or 1 bytes, whatever the place."""

    def __init__(self, dev: MdevDevice) -> None:
        super().__init__(dev)
        #: GET_INFO leaves it here, and until then there is none (sic).
        self.num_irqs = 0

    def get_device_info(self, caller: Caller, argument: int) -> None:
        """VFIO_DEVICE_GET_INFO."""
        info = copy_in(caller, argument, u.DeviceInfo)
        info.flags = u.VFIO_DEVICE_FLAGS_PCI
        info.num_regions, info.num_irqs = u.VFIO_PCI_NUM_REGIONS, u.VFIO_PCI_NUM_IRQS
        self.num_irqs = info.num_irqs
        copy_out(caller, argument, info)

    def read(self, caller: Caller, offset: int, count: int) -> bytes:
        """Aligned accesses; EFAULT for whatever goes wrong."""
        content = b""
        for position, size in _units(offset, count):
            content += self.load(position, size)
        return content

    def write(self, caller: Caller, offset: int, data: bytes) -> int:
        """Aligned accesses; EFAULT for whatever goes wrong."""
        for position, size in _units(offset, len(data)):
            self.store(position, data[position - offset : position - offset + size])
        return len(data)

    @abstractmethod
    def load(self, position: int, size: int) -> bytes:
        """mdev_access of one unit at ``position`` of the file."""

    @abstractmethod
    def store(self, position: int, data: bytes) -> None:
        """mdev_access of one unit at ``position`` of the file."""


def _units(offset: int, count: int) -> Iterator[tuple[int, int]]:
    end = offset + count
    while offset < end:
        size = next(size for size in (4, 2, 1) if not offset % size and offset + size <= end)
        yield offset, size
        offset += size
