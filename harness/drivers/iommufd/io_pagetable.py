# SPDX-License-Identifier: Apache-2.0
"""Addresses of devices and the memory behind them: drivers/iommu/iommufd/io_pagetable.c, 6.12.

An area is a range that was mapped at once. What devices cannot use is reserved, each range by who
said so; what a program asked for is allowed, and cannot be reserved any more. Memory is pinned
while there is a domain.
"""

from __future__ import annotations

import errno
import heapq
from collections.abc import Hashable, Iterable, Iterator
from typing import Protocol

from attrs import define, frozen

from harness.kernel.errors import Errno
from harness.kernel.interval import IntervalMap
from harness.kernel.iommu import IommuCapabilities
from harness.kernel.task import Memory
from harness.uapi.fs import PAGE_SIZE

ULONG_MAX = (1 << 64) - 1
_HPAGE_SIZE = 1 << 21
IOMMU_READ, IOMMU_WRITE = 1, 2
Range = tuple[int, int]


class Accounting(Protocol):
    """Whom pinned pages count against. ``payer`` is equal for two exactly if they are the same."""

    @property
    def payer(self) -> Hashable: ...

    def lock(self, pages: int) -> None:
        """ENOMEM beyond the limit."""

    def unlock(self, pages: int) -> None:
        """They are given back."""


@define(eq=False)
class Pages:
    """Memory of a program, or a file (struct iopt_pages). ``writable`` if it was mapped so."""

    memory: Memory
    writable: bool
    accounting: Accounting
    of_file: bool = False


@define(eq=False)
class Area:
    """A mapped range (struct iopt_area); ``vaddr`` is where its first byte is in the pages."""

    start: int
    last: int
    pages: Pages
    vaddr: int
    prot: int
    pinned: int = 0

    def pin(self) -> None:
        """EFAULT, ENOMEM."""
        first = self.vaddr & -PAGE_SIZE
        end = self.vaddr + self.last - self.start + 1
        count = -(-(end - first) // PAGE_SIZE)
        length = count * PAGE_SIZE
        self.pages.memory.pin(first, length, write=self.pages.writable, device=False)
        self.pages.accounting.lock(count)
        self.pinned = count

    def unpin(self) -> None:
        """Nothing is counted any more."""
        self.pages.accounting.unlock(self.pinned)
        self.pinned = 0


@frozen
class Piece:
    """A part of a program's memory that is to be mapped."""

    pages: Pages
    vaddr: int
    length: int


class IoPagetable:
    """struct io_pagetable."""

    def __init__(self) -> None:
        self.areas: IntervalMap[Area] = IntervalMap()
        self._reserved: list[tuple[int, int, object]] = []
        self._allowed: list[Range] = []
        self._domains: dict[object, IommuCapabilities] = {}
        #: There is no hole below, so that nobody has to look for one among very many areas.
        self._full_below = PAGE_SIZE
        self.large_pages = True
        #: Drivers that use whole pages of it.
        self._accesses: set[object] = set()

    @property
    def alignment(self) -> int:
        """Of addresses: that of the largest of the domains' smallest pages, and that of a page for
        drivers, or without large pages (iopt_calculate_iova_alignment)."""
        sizes = [domain.page_sizes & -domain.page_sizes for domain in self._domains.values()]
        return max(1 if self.large_pages and not self._accesses else PAGE_SIZE, *sizes, 1)

    def _check_alignment(self, alignment: int) -> None:
        """EADDRINUSE if something is mapped otherwise (iopt_check_iova_alignment)."""
        if any((area.start | area.vaddr | area.last + 1) & alignment - 1 for area in self.areas):
            raise Errno(errno.EADDRINUSE)

    def disable_large_pages(self) -> None:
        """EINVAL if something is in the IOMMU, EADDRINUSE (iopt_disable_large_pages)."""
        if not self.large_pages:
            return
        if self._domains and any(True for _ in self.areas):
            raise Errno(errno.EINVAL)
        self._check_alignment(PAGE_SIZE)
        self.large_pages = False

    def add_access(self, access: object) -> None:
        """EADDRINUSE (iopt_add_access)."""
        self._check_alignment(PAGE_SIZE)
        self._accesses.add(access)

    def remove_access(self, access: object) -> None:
        """Its driver uses it no more (iopt_remove_access)."""
        self._accesses.remove(access)

    @property
    def page_sizes(self) -> int:
        """Those that all domains have (iommufd_get_pagesizes)."""
        bitmap = ULONG_MAX
        for domain in self._domains.values():
            bitmap &= domain.page_sizes
        if bitmap & PAGE_SIZE - 1:
            bitmap = bitmap & -PAGE_SIZE & ULONG_MAX | PAGE_SIZE
        return max(bitmap, self.alignment)

    # --- which addresses

    def usable(self) -> list[Range]:
        """What is not reserved, ascending."""
        return list(self._holes(self._reserved_ranges(), 0, ULONG_MAX))

    def _reserved_ranges(self) -> list[Range]:
        return sorted((start, last) for start, last, _ in self._reserved)

    @staticmethod
    def _holes(used: Iterable[Range], start: int, last: int) -> Iterator[Range]:
        """What is left of a range without those used, which are given ascending."""
        for low, high in used:
            if high < start:
                continue
            if low > last:
                break
            if low > start:
                yield start, low - 1
            start = high + 1
        if start <= last:
            yield start, last

    def reserve(self, start: int, last: int, owner: object) -> None:
        """EADDRINUSE if it is mapped or allowed (iopt_reserve_iova)."""
        allowed = any(low <= last and start <= high for low, high in self._allowed)
        if allowed or self.areas.first(start, last) is not None:
            raise Errno(errno.EADDRINUSE)
        self._reserved.append((start, last, owner))

    def unreserve(self, owner: object) -> None:
        """All that ``owner`` reserved (iopt_remove_reserved_iova)."""
        self._reserved = [entry for entry in self._reserved if entry[2] is not owner]
        self._full_below = PAGE_SIZE

    def set_allowed(self, ranges: list[Range]) -> None:
        """EADDRINUSE if any is reserved (iopt_set_allow_iova)."""
        for start, last in ranges:
            if self._is_reserved(start, last):
                raise Errno(errno.EADDRINUSE)
        self._allowed = ranges
        self._full_below = PAGE_SIZE

    def _is_reserved(self, start: int, last: int) -> bool:
        return any(low <= last and start <= high for low, high, _ in self._reserved)

    # --- domains

    def add_domain(self, domain: object, capabilities: IommuCapabilities) -> None:
        """Addresses shrink to what it has and all memory is pinned (iopt_table_add_domain)."""
        self._check_alignment(capabilities.page_sizes & -capabilities.page_sizes)
        self.reserve(1 << capabilities.address_width, ULONG_MAX, domain)
        if not self._domains:
            pinned: list[Area] = []
            try:
                for area in self.areas:
                    area.pin()
                    pinned.append(area)
            except Errno:
                for area in pinned:
                    area.unpin()
                self.unreserve(domain)
                raise
        self._domains[domain] = capabilities

    def remove_domain(self, domain: object) -> None:
        """With the last one, nothing is pinned (iopt_table_remove_domain)."""
        del self._domains[domain]
        self.unreserve(domain)
        if not self._domains:
            for area in self.areas:
                area.unpin()

    # --- mapping

    def map_pages(self, pieces: list[Piece], iova: int | None, prot: int) -> int:
        """Map all pieces one after the other; where they are (iopt_map_pages).

        None lets the table choose. EINVAL, EOVERFLOW, EEXIST, ENOSPC, EPERM for writing to what can
        only be read, and what pinning says.
        """
        length = sum(piece.length for piece in pieces)
        if not length or length & self.alignment - 1:
            raise Errno(errno.EINVAL)
        if iova is None:
            iova = self._alloc_iova(pieces[0].vaddr, length)
        else:
            self._check_iova(iova, length)
        if any(prot & IOMMU_WRITE and not piece.pages.writable for piece in pieces):
            raise Errno(errno.EPERM)
        if any(piece.vaddr % PAGE_SIZE & self.alignment - 1 for piece in pieces):
            raise Errno(errno.EINVAL)
        self._fill(pieces, iova, prot)
        return iova

    def _fill(self, pieces: list[Piece], iova: int, prot: int) -> None:
        """All or nothing (iopt_fill_domains_pages)."""
        made: list[Area] = []
        position = iova
        try:
            for piece in pieces:
                last = position + piece.length - 1
                area = Area(position, last, piece.pages, piece.vaddr, prot)
                if self._domains:
                    area.pin()
                made.append(area)
                position += piece.length
        except Errno:
            for area in made:
                area.unpin()
            raise
        for area in made:
            self.areas.insert(area)

    def _check_iova(self, iova: int, length: int) -> None:
        """iopt_check_iova."""
        if iova & self.alignment - 1:
            raise Errno(errno.EINVAL)
        last = iova + length - 1
        if last > ULONG_MAX:
            raise Errno(errno.EOVERFLOW)
        if self._is_reserved(iova, last):
            raise Errno(errno.EINVAL)
        if self.areas.first(iova, last) is not None:
            raise Errno(errno.EEXIST)

    def _alloc_iova(self, vaddr: int, length: int) -> int:
        """The lowest hole, aligned as the memory is (iopt_alloc_iova)."""
        if length >= ULONG_MAX // 2:
            raise Errno(errno.EOVERFLOW)
        alignment = 1 << (length - 1).bit_length()
        if vaddr:
            alignment = min(alignment, vaddr & -vaddr)
        alignment = min(alignment, _HPAGE_SIZE)
        if alignment < self.alignment:
            raise Errno(errno.EINVAL)
        offset = vaddr % PAGE_SIZE
        for start, last in self._unused():
            aligned = -(-start // alignment) * alignment | offset
            if aligned < last and last - aligned >= length - 1:
                return aligned
        raise Errno(errno.ENOSPC)

    def _unused(self) -> Iterator[Range]:
        """The holes that may be given to who leaves the choice to the table, ascending."""
        first = True
        for low, high in sorted(self._allowed) or [(PAGE_SIZE, ULONG_MAX - PAGE_SIZE)]:
            low, high = max(low, self._full_below), min(high, ULONG_MAX - PAGE_SIZE)
            mapped = ((area.start, area.last) for area in self.areas.overlapping(low, high))
            for hole in self._holes(heapq.merge(self._reserved_ranges(), mapped), low, high):
                if first:
                    self._full_below, first = hole[0], False
                yield hole

    def get_pages(self, iova: int, length: int) -> list[Piece]:
        """What is mapped in a range without a gap: EINVAL, EOVERFLOW, ENOENT (iopt_get_pages)."""
        if not length:
            raise Errno(errno.EINVAL)
        last = iova + length - 1
        if last > ULONG_MAX:
            raise Errno(errno.EOVERFLOW)
        return [
            Piece(area.pages, area.vaddr + start - area.start, count)
            for area, start, count in self._contiguous(iova, last, errno.ENOENT)
        ]

    def _contiguous(self, iova: int, last: int, missing: int) -> list[tuple[Area, int, int]]:
        """The areas of a range, with start and length in each; ``missing`` if there is a gap."""
        pieces, position = [], iova
        for area in self.areas.overlapping(iova, last):
            if area.start > position:
                break
            count = min(area.last, last) - position + 1
            pieces.append((area, position, count))
            position += count
        if position != last + 1:
            raise Errno(missing)
        return pieces

    # --- unmapping

    def unmap(self, start: int, last: int) -> int:
        """How many bytes went; ENOENT at the first area that is cut (iopt_unmap_iova_range)."""
        unmapped = 0
        for area in list(self.areas.overlapping(start, last)):
            if area.start < start or area.last > last:
                raise Errno(errno.ENOENT)
            self._remove(area)
            unmapped += area.last - area.start + 1
        return unmapped

    def _remove(self, area: Area) -> None:
        area.unpin()
        self.areas.remove(area)
        self._full_below = max(min(self._full_below, area.start), PAGE_SIZE)

    def cut(self, last: int) -> None:
        """Make an area that goes on after ``last`` two (iopt_cut_iova)."""
        area = self.areas.at(last)
        if area is None or area.last == last:
            return
        upper = Area(last + 1, area.last, area.pages, area.vaddr + last + 1 - area.start, area.prot)
        pages = (upper.last - upper.start + 1) // PAGE_SIZE
        upper.pinned = min(pages, area.pinned)
        area.pinned -= upper.pinned
        area.last = last
        self.areas.insert(upper)

    # --- what devices do

    def read(self, iova: int, count: int) -> bytes:
        """As a device reads: EFAULT outside what is mapped for reading."""
        return b"".join(
            area.pages.memory.read(area.vaddr + start - area.start, length)
            for area, start, length in self._transfer(iova, count, IOMMU_READ)
        )

    def write(self, iova: int, data: bytes) -> None:
        """As a device writes: EFAULT outside what is mapped for writing."""
        for area, start, length in self._transfer(iova, len(data), IOMMU_WRITE):
            content = data[start - iova : start - iova + length]
            area.pages.memory.write(area.vaddr + start - area.start, content)

    def _transfer(self, iova: int, count: int, prot: int) -> list[tuple[Area, int, int]]:
        if not count:
            return []
        pieces = self._contiguous(iova, iova + count - 1, errno.EFAULT)
        if not all(area.prot & prot for area, _, _ in pieces):
            raise Errno(errno.EFAULT)
        return pieces
