# SPDX-License-Identifier: Apache-2.0
"""A part of a BAR as a dmabuf, for other devices: drivers/vfio/pci/vfio_pci_dmabuf.c, 7.2.

No device here takes one, so it is a file with a size that keeps the device registered.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from ctypes import sizeof
from typing import TYPE_CHECKING

from harness.drivers.pci.device import IORESOURCE_MEM, PCI_STD_NUM_BARS
from harness.drivers.vfio.check_feature import vfio_check_feature
from harness.kernel.dma_buf import DmaBuf
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.kernel.uaccess import copy_from_user
from harness.uapi import vfio as u
from harness.uapi.fs import PAGE_SIZE

if TYPE_CHECKING:
    from harness.drivers.vfio_pci.core import VfioPciCoreDevice

_U64 = (1 << 64) - 1
#: The highest bit of a size is not free (DMA_IOVA_USE_SWIOTLB).
_TOO_LARGE = 1 << 63
#: What kmalloc has at most, in bytes (KMALLOC_MAX_SIZE).
_MOST = 1 << 22


class VfioPciDmaBuf(DmaBuf):
    """struct vfio_pci_dma_buf. ``device`` is None once nobody has it open any more."""

    __slots__ = ("device",)

    def __init__(self, caller: Caller, size: int, flags: int, device: VfioPciCoreDevice) -> None:
        super().__init__(caller, size, flags)
        self.device: VfioPciCoreDevice | None = device
        device.references += 1
        device.dmabufs.append(self)

    def detach(self) -> None:
        """The device is left alone: it is closed, or this is."""
        device, self.device = self.device, None
        if device is not None:
            device.dmabufs.remove(self)
            device.put_registration()

    def release(self) -> None:
        """vfio_pci_dma_buf_release."""
        self.detach()


def vfio_pci_dma_buf_cleanup(device: VfioPciCoreDevice) -> None:
    """The device is closed; its dmabufs stay open, and of no use."""
    for dmabuf in list(device.dmabufs):
        dmabuf.detach()


def vfio_pci_core_feature_dma_buf(
    device: VfioPciCoreDevice, caller: Caller, flags: int, argument: int, argsz: int
) -> int:
    """EINVAL, EFAULT, ENODEV for what is no BAR, ENOMEM, EOVERFLOW, EMFILE; an fd."""
    size = sizeof(u.FeatureDmaBuf)
    if not vfio_check_feature(flags, argsz, u.VFIO_DEVICE_FEATURE_GET, size):
        return 0
    given = copy_from_user(caller, u.FeatureDmaBuf, argument)
    if not given.nr_ranges or given.flags:
        raise Errno(errno.EINVAL)
    bar: int = given.region_index
    if bar >= PCI_STD_NUM_BARS or not device.pdev.resources[bar].size:
        raise Errno(errno.ENODEV)
    ranges = _ranges(caller, argument + size, given.nr_ranges)
    length = _validate_dmabuf_input(ranges)
    _check_phys(device, bar, ranges)
    dmabuf = VfioPciDmaBuf(caller, length, given.open_flags, device)
    try:
        caller.check_unused_fd()
        return caller.install(dmabuf)
    except Errno:
        dmabuf.release()
        raise


def _ranges(caller: Caller, address: int, count: int) -> Sequence[tuple[int, int]]:
    """Offset and length of each (memdup_array_user)."""
    size = sizeof(u.RegionDmaRange)
    if count * size > _MOST:
        raise Errno(errno.ENOMEM)
    content = caller.copy_from_user(address, count * size)
    found = (u.RegionDmaRange.from_buffer_copy(content, place * size) for place in range(count))
    return [(one.offset, one.length) for one in found]


def _validate_dmabuf_input(ranges: Sequence[tuple[int, int]]) -> int:
    """How much it is in all."""
    total = 0
    for offset, length in ranges:
        if not length or offset % PAGE_SIZE or length % PAGE_SIZE:
            raise Errno(errno.EINVAL)
        total += length
        if total > _U64:
            raise Errno(errno.EINVAL)
    if total & _TOO_LARGE:
        raise Errno(errno.EINVAL)
    return total


def _check_phys(device: VfioPciCoreDevice, bar: int, ranges: Sequence[tuple[int, int]]) -> None:
    """vfio_pci_core_get_dmabuf_phys, vfio_pci_core_fill_phys_vec: what wraps is told from what is
    only behind the BAR's end. I/O ports cannot be had."""
    resource = device.pdev.resources[bar]
    if not resource.flags & IORESOURCE_MEM:
        raise Errno(errno.EINVAL)
    for offset, length in ranges:
        end = resource.start + offset + length
        if end > _U64:
            raise Errno(errno.EOVERFLOW)
        if offset + length > resource.size:
            raise Errno(errno.EINVAL)
