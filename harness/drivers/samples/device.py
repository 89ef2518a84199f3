# SPDX-License-Identifier: Apache-2.0
"""What the devices of the samples have in common (samples/vfio-mdev, 6.1)."""

from __future__ import annotations

import errno
from abc import abstractmethod
from collections.abc import Iterable, Iterator

from harness.drivers.mdev import MdevDevice
from harness.drivers.vfio.user import copy_in, copy_out
from harness.drivers.vfio.vfio_main import VfioDevice
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.uapi import vfio as u

CONFIG_SPACE_SIZE = 0xFF
_BAR_FLAGS = 0xF


class SampleDevice(VfioDevice):
    """A device whose regions are accessed by 4, 2 or 1 bytes, whatever the place."""

    num_regions = u.VFIO_PCI_NUM_REGIONS

    def __init__(self, dev: MdevDevice) -> None:
        super().__init__(dev)
        #: GET_INFO leaves it here, and until then there is none (sic).
        self.num_irqs = 0

    def get_device_info(self, caller: Caller, argument: int) -> None:
        """VFIO_DEVICE_GET_INFO."""
        info = copy_in(caller, argument, u.DeviceInfo)
        info.flags = u.VFIO_DEVICE_FLAGS_PCI
        info.num_regions, info.num_irqs = self.num_regions, u.VFIO_PCI_NUM_IRQS
        self.num_irqs = info.num_irqs
        copy_out(caller, argument, info)

    def get_irq_info_of_none(self, caller: Caller, argument: int, num_irqs: int) -> None:
        """VFIO_DEVICE_GET_IRQ_INFO of a display, which has no interrupts."""
        irq = copy_in(caller, argument, u.IrqInfo)
        if irq.index >= num_irqs:
            raise Errno(errno.EINVAL)
        irq.count = 0
        copy_out(caller, argument, irq)

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


def config_space(fields: Iterable[tuple[int, int, int]]) -> bytearray:
    """Configuration space with ``fields``: place, size, value. Reads get a byte behind its end."""
    config = bytearray(CONFIG_SPACE_SIZE + 1)
    for offset, size, value in fields:
        config[offset : offset + size] = value.to_bytes(size, "little")
    return config


def write_memory_bar(config: bytearray, position: int, data: bytes, bar_size: int) -> None:
    """Write a BAR of 32 bits, whose size is learned as from any BAR (handle_pci_cfg_write). What
    shorter writes leave open is 0 here."""
    address = int.from_bytes(data.ljust(4, b"\0"), "little")
    mask = -bar_size if address == 0xFFFFFFFF else ~_BAR_FLAGS
    value = address & mask & 0xFFFFFFFF | config[position] & _BAR_FLAGS
    config[position : position + 4] = value.to_bytes(4, "little")
