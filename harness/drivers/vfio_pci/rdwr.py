# SPDX-License-Identifier: Apache-2.0
"""Reading, writing and mapping BARs and the ROM: drivers/vfio/pci/vfio_pci_rdwr.c, 6.1."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from harness.drivers.pci.device import IORESOURCE_MEM
from harness.drivers.vfio.virqfd import Virqfd
from harness.hardware.pci_config import load
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.kernel.vfs import Pages
from harness.uapi import vfio as u
from harness.uapi.fs import MAP_SHARED, PAGE_SIZE

if TYPE_CHECKING:
    from harness.drivers.vfio_pci.core import VfioPciCoreDevice

_OFFSET_MASK = (1 << u.VFIO_PCI_OFFSET_SHIFT) - 1
_IOEVENTFD_MAX = 1000


@frozen
class _Unit:
    """One access; ``excluded`` is not made: it reads as ones, and drops what is written."""

    offset: int
    size: int
    excluded: bool


def _units(start: int, count: int, excluded: range, widest: int) -> Iterator[_Unit]:
    """do_io_rw: naturally aligned accesses, up to what is excluded and behind it."""
    position, end = start, start + count
    while position < end:
        if position in excluded:
            size = min(end, excluded.stop) - position
            yield _Unit(position, size, excluded=True)
        else:
            limit = excluded.start if position < excluded.start else end
            size = widest
            while position % size or position + size > min(end, limit):
                size //= 2
            yield _Unit(position, size, excluded=False)
        position += size


class Bars:
    """The BARs of one device, and its ROM."""

    def __init__(self, vdev: VfioPciCoreDevice) -> None:
        self._vdev = vdev
        self._pdev = vdev.pdev
        self._ioeventfds: list[_Ioeventfd] = []

    def _place(self, offset: int, count: int) -> tuple[int, int, int]:
        """BAR, offset in it, and how many bytes it has there: EINVAL for what it has not."""
        bar, start = offset >> u.VFIO_PCI_OFFSET_SHIFT, offset & _OFFSET_MASK
        resource = self._pdev.resources[bar]
        if not resource.start or start >= resource.size:
            raise Errno(errno.EINVAL)
        return bar, start, min(count, resource.size - start)

    def _excluded(self, bar: int) -> range:
        """The table of MSI-X, or what a ROM leaves free."""
        if bar == u.VFIO_PCI_ROM_REGION_INDEX:
            return range(len(self._pdev.function.rom_image), self._pdev.resources[bar].size)
        return self._vdev.msix_table if bar == self._vdev.msix_bar else range(0)

    def _accesses(self, bar: int, start: int, count: int) -> Iterator[_Unit]:
        """The units of a transfer; EIO at the first one that meets memory switched off."""
        widest = 8 if self._vdev.section.wide_access else 4
        is_memory = bool(self._pdev.resources[bar].flags & IORESOURCE_MEM)
        for unit in _units(start, count, self._excluded(bar), widest):
            if is_memory and not unit.excluded and not self._vdev.memory_is_enabled:
                raise Errno(errno.EIO)
            yield unit

    def read(self, offset: int, count: int) -> bytes:
        """vfio_pci_bar_rw."""
        bar, start, count = self._place(offset, count)
        if bar == u.VFIO_PCI_ROM_REGION_INDEX and not len(self._pdev.function.rom_image):
            raise Errno(errno.ENOMEM)
        content = b""
        for unit in self._accesses(bar, start, count):
            if unit.excluded:
                content += b"\xff" * unit.size
            else:
                value = self._load(bar, unit.offset, unit.size)
                content += value.to_bytes(unit.size, "little")
        return content

    def _load(self, bar: int, offset: int, size: int) -> int:
        if bar == u.VFIO_PCI_ROM_REGION_INDEX:
            return load(self._pdev.function.rom_image, offset, size)
        return self._pdev.function.load(bar, offset, size)

    def write(self, offset: int, data: bytes) -> int:
        """vfio_pci_bar_rw; a ROM cannot be written."""
        bar, start, count = self._place(offset, len(data))
        for unit in self._accesses(bar, start, count):
            if not unit.excluded:
                value = load(data, unit.offset - start, unit.size)
                self._pdev.function.store(bar, unit.offset, unit.size, value)
        return count

    def mmap(self, offset: int, length: int, flags: int) -> Pages:
        """vfio_pci_core_mmap: whole pages of a BAR that can be mapped, and shared; else EINVAL."""
        bar, start = offset >> u.VFIO_PCI_OFFSET_SHIFT, offset & _OFFSET_MASK
        if bar >= u.VFIO_PCI_NUM_REGIONS or not flags & MAP_SHARED:
            raise Errno(errno.EINVAL)
        if bar >= u.VFIO_PCI_ROM_REGION_INDEX or not self._vdev.bar_mmap_supported[bar]:
            raise Errno(errno.EINVAL)
        size = self._pdev.resources[bar].size
        if start + length > (size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1):
            raise Errno(errno.EINVAL)
        function = self._pdev.function

        def fetch(position: int, size: int) -> bytes:
            self._fault()
            return function.load(bar, start + position, size).to_bytes(size, "little")

        def store(position: int, data: bytes) -> None:
            self._fault()
            function.store(bar, start + position, len(data), int.from_bytes(data, "little"))

        return Pages(length, load=fetch, store=store)

    def _fault(self) -> None:
        """vfio_pci_mmap_fault: EFAULT stands for the signal SIGBUS."""
        if self._vdev.low_power.engaged or not self._vdev.memory_is_enabled:
            raise Errno(errno.EFAULT)

    # --- writes that an eventfd makes

    def vfio_pci_ioeventfd(self, caller: Caller, request: u.Ioeventfd) -> None:
        """Write ``data`` whenever the eventfd is written; fd -1 ends that.

        EINVAL for what is no range of a BAR or touches the table of MSI-X; EEXIST, ENODEV, ENOSPC.
        """
        size = request.flags & u.VFIO_DEVICE_IOEVENTFD_SIZE_MASK
        bar, start = request.offset >> u.VFIO_PCI_OFFSET_SHIFT, request.offset & _OFFSET_MASK
        if bar > u.VFIO_PCI_BAR5_REGION_INDEX or start + size > self._pdev.resources[bar].size:
            raise Errno(errno.EINVAL)
        table = self._vdev.msix_table
        if bar == self._vdev.msix_bar and start < table.stop and start + size > table.start:
            raise Errno(errno.EINVAL)
        wanted = _Ioeventfd(bar, start, size, request.data)
        found = next((known for known in self._ioeventfds if known.same(wanted)), None)
        if found is not None:
            if request.fd != -1:
                raise Errno(errno.EEXIST)
            found.virqfd.disable()
            self._ioeventfds.remove(found)
            return
        if request.fd < 0:
            raise Errno(errno.ENODEV)
        if len(self._ioeventfds) >= _IOEVENTFD_MAX:
            raise Errno(errno.ENOSPC)
        wanted.virqfd.enable(caller, request.fd, lambda: self._do_write(wanted))
        self._ioeventfds.append(wanted)

    def _do_write(self, ioeventfd: _Ioeventfd) -> None:
        """vfio_pci_ioeventfd_handler: nothing while memory is switched off."""
        memory = self._pdev.resources[ioeventfd.bar].flags & IORESOURCE_MEM
        if memory and not self._vdev.memory_is_enabled:
            return
        mask = (1 << 8 * ioeventfd.size) - 1
        self._pdev.function.store(
            ioeventfd.bar, ioeventfd.start, ioeventfd.size, ioeventfd.data & mask
        )

    def release(self) -> None:
        """The device is closed."""
        for ioeventfd in self._ioeventfds:
            ioeventfd.virqfd.disable()
        self._ioeventfds.clear()


@define(eq=False)
class _Ioeventfd:
    """struct vfio_pci_ioeventfd."""

    bar: int
    start: int
    size: int
    data: int
    virqfd: Virqfd = field(factory=Virqfd)

    def same(self, other: _Ioeventfd) -> bool:
        """Whether it is about the same write."""
        return (self.bar, self.start, self.size, self.data) == (
            other.bar,
            other.start,
            other.size,
            other.data,
        )
