# SPDX-License-Identifier: Apache-2.0
"""A VFIO container with a type 1 IOMMU: which memory of the program devices may access.

Follows drivers/vfio/{container,vfio_iommu_type1}.c, Linux 6.1. Nothing is pinned, as for mediated
devices: an address is looked up when a device uses it, and the memory is that of the program as it
was when it mapped it, not of what it has become by exec.
"""

from __future__ import annotations

import bisect
import errno
from collections.abc import Iterator

from attrs import frozen

from harness.address_space import ProcessMemory
from harness.hardware.pci import DmaFault
from harness.kernel.errors import Errno
from harness.uapi import vfio as u
from harness.uapi.fs import PAGE_SIZE
from harness.vm.vfio_file import Caller, VfioFile, copy_in, copy_out, unknown

_EXTENSIONS = (u.VFIO_TYPE1_IOMMU, u.VFIO_TYPE1v2_IOMMU, u.VFIO_UNMAP_ALL)
_IOMMU_TYPES = (u.VFIO_TYPE1_IOMMU, u.VFIO_TYPE1v2_IOMMU)
_ADDRESSES = 1 << 64
#: Any size that is a number of pages, as if only mediated devices were attached.
_PAGE_SIZES = _ADDRESSES - PAGE_SIZE


@frozen
class _Mapping:
    """``size`` bytes at ``iova`` are those at ``vaddr`` of a program's memory."""

    iova: int
    size: int
    vaddr: int
    flags: int
    memory: ProcessMemory

    @property
    def end(self) -> int:
        return self.iova + self.size


class Mappings:
    """What is mapped in a container; for its functions, their ``dma``."""

    def __init__(self) -> None:
        #: Sorted by iova; none overlap.
        self._mappings: list[_Mapping] = []

    def clear(self) -> None:
        """Nothing is mapped."""
        self._mappings.clear()

    def map(self, memory: ProcessMemory, request: u.DmaMap) -> None:
        """vfio_dma_do_map; EEXIST for what is mapped. Moving a mapping (VADDR) is not offered."""
        access = u.VFIO_DMA_MAP_FLAG_READ | u.VFIO_DMA_MAP_FLAG_WRITE
        if request.flags & ~access or not request.flags:
            raise Errno(errno.EINVAL)
        if not request.size or (request.size | request.iova | request.vaddr) % PAGE_SIZE:
            raise Errno(errno.EINVAL)
        if max(request.iova, request.vaddr) + request.size > _ADDRESSES:
            raise Errno(errno.EINVAL)
        if self._mappings[self._span(request.iova, request.size)]:
            raise Errno(errno.EEXIST)
        mapping = _Mapping(request.iova, request.size, request.vaddr, request.flags, memory)
        bisect.insort(self._mappings, mapping, key=lambda known: known.iova)

    def unmap(self, request: u.DmaUnmap) -> int:
        """vfio_dma_do_unmap: how many bytes were unmapped. Neither type cuts a mapping here."""
        if request.flags & ~u.VFIO_DMA_UNMAP_FLAG_ALL or request.iova % PAGE_SIZE:
            raise Errno(errno.EINVAL)
        start, size = request.iova, request.size
        if request.flags:
            if start or size:
                raise Errno(errno.EINVAL)
            size = _ADDRESSES
        elif not size or size % PAGE_SIZE or start + size > _ADDRESSES:
            raise Errno(errno.EINVAL)
        span = self._span(start, size)
        found = self._mappings[span]
        if any(mapping.iova < start or mapping.end > start + size for mapping in found):
            raise Errno(errno.EINVAL)
        del self._mappings[span]
        return sum(mapping.size for mapping in found)

    def _span(self, start: int, size: int) -> slice:
        """Where the mappings are that have a byte in the range."""
        first = bisect.bisect_right(self._mappings, start, key=lambda known: known.iova)
        if first and self._mappings[first - 1].end > start:
            first -= 1
        last = bisect.bisect_left(self._mappings, start + size, key=lambda known: known.iova)
        return slice(first, max(first, last))

    # --- what a device does

    def read(self, address: int, count: int) -> bytes:
        """See harness.hardware.pci.Dma."""
        parts = []
        for mapping, vaddr, length in self._pieces(address, count, u.VFIO_DMA_MAP_FLAG_READ):
            try:
                parts.append(mapping.memory.read(vaddr, length))
            except Errno:
                raise DmaFault(mapping.iova + vaddr - mapping.vaddr) from None
        return b"".join(parts)

    def write(self, address: int, data: bytes) -> None:
        """See harness.hardware.pci.Dma."""
        view = memoryview(data)
        for mapping, vaddr, length in self._pieces(address, len(data), u.VFIO_DMA_MAP_FLAG_WRITE):
            try:
                mapping.memory.write(vaddr, bytes(view[:length]))
            except Errno:
                raise DmaFault(mapping.iova + vaddr - mapping.vaddr) from None
            view = view[length:]

    def _pieces(self, address: int, count: int, access: int) -> Iterator[tuple[_Mapping, int, int]]:
        """Mapping, address there, length of each piece of the range; DmaFault before a gap."""
        end = address + count
        for mapping in self._mappings[self._span(address, count)]:
            if mapping.iova > address or not mapping.flags & access:
                break
            length = min(end, mapping.end) - address
            yield mapping, mapping.vaddr + address - mapping.iova, length
            address += length
        if address < end:
            raise DmaFault(address)


class Container(VfioFile):
    """What one open of /dev/vfio/vfio makes."""

    path = "/dev/vfio/vfio"

    def __init__(self) -> None:
        self.iommu: int | None = None
        self.mappings = Mappings()
        self._groups = 0

    # --- groups

    def attach(self) -> None:
        """A group comes in."""
        self._groups += 1

    def detach(self) -> None:
        """A group leaves; with the last one the IOMMU and all mappings go."""
        self._groups -= 1
        if not self._groups:
            self.iommu = None
            self.mappings.clear()

    # --- commands

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """See VfioFile. Without an IOMMU, what is unknown is EINVAL (vfio_fops_unl_ioctl)."""
        match command:
            case u.VFIO_GET_API_VERSION:
                return u.VFIO_API_VERSION
            case u.VFIO_CHECK_EXTENSION:
                return int(argument in _EXTENSIONS)
            case u.VFIO_SET_IOMMU:
                return self._set_iommu(argument)
        if self.iommu is None:
            raise Errno(errno.EINVAL)
        match command:
            case u.VFIO_IOMMU_GET_INFO:
                info = copy_in(caller, argument, u.IommuType1Info)
                info.flags = u.VFIO_IOMMU_INFO_PGSIZES
                info.iova_pgsizes = _PAGE_SIZES
                copy_out(caller, argument, info)
            case u.VFIO_IOMMU_MAP_DMA:
                self.mappings.map(caller.memory, copy_in(caller, argument, u.DmaMap))
            case u.VFIO_IOMMU_UNMAP_DMA:
                request = copy_in(caller, argument, u.DmaUnmap)
                request.size = self.mappings.unmap(request)
                copy_out(caller, argument, request)
            case _:
                raise unknown("container", command)
        return 0

    def _set_iommu(self, kind: int) -> int:
        """vfio_ioctl_set_iommu."""
        if not self._groups or self.iommu is not None:
            raise Errno(errno.EINVAL)
        if kind not in _IOMMU_TYPES:
            raise Errno(errno.ENODEV)
        self.iommu = kind
        return 0
