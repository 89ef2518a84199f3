# SPDX-License-Identifier: Apache-2.0
"""The type 1 IOMMU: memory of programs for devices (drivers/vfio/vfio_iommu_type1.c, 6.1).

The plan: a container that chose it maps ranges of a program's memory at addresses of devices. The
pages are pinned, and count against the program's limit of locked memory, as long as a group with an
IOMMU is in the container. Version 1 forgives unmaps that cut a mapping by doing more or less than
was asked, version 2 refuses them. A mapping belongs to the memory of who made it: it dies with it.
"""

from __future__ import annotations

import errno
from ctypes import sizeof
from typing import TYPE_CHECKING

from attrs import define

from harness.drivers.vfio.info_caps import InfoCaps
from harness.drivers.vfio.type1_bitmap import bitmap_words, update_user_bitmap, verify_bitmap_size
from harness.drivers.vfio.type1_iova import valid_ranges
from harness.kernel.errors import Errno
from harness.kernel.interval import IntervalMap
from harness.kernel.task import AddressSpace, Caller
from harness.kernel.uaccess import access_ok, copy_from_user
from harness.uapi import vfio as u
from harness.uapi.fs import CAP_IPC_LOCK, PAGE_SIZE, RLIMIT_MEMLOCK

if TYPE_CHECKING:
    from harness.drivers.vfio.group import VfioGroup
    from harness.drivers.vfio.profile import VfioSection
    from harness.drivers.vfio.vfio_main import VfioDevice
    from harness.kernel.module import BoolParameter, UintParameter

U64_MAX = (1 << 64) - 1
_PAGE_MASK = U64_MAX - PAGE_SIZE + 1
IOMMU_READ, IOMMU_WRITE = u.VFIO_DMA_MAP_FLAG_READ, u.VFIO_DMA_MAP_FLAG_WRITE


class Type1Driver:
    """What containers are offered (vfio_iommu_driver_ops_type1)."""

    module = "vfio_iommu_type1"

    def __init__(
        self,
        section: VfioSection,
        dma_entry_limit: UintParameter,
        unsafe_interrupts: BoolParameter,
    ) -> None:
        self.section = section
        self.dma_entry_limit = dma_entry_limit
        self.unsafe_interrupts = unsafe_interrupts

    def check_extension(self, extension: int) -> int:
        """vfio_iommu_type1_check_extension, without a container."""
        return int(extension == u.VFIO_UNMAP_ALL or extension in self._types)

    @property
    def _types(self) -> tuple[int, ...]:
        nesting = (u.VFIO_TYPE1_NESTING_IOMMU,) if self.section.nesting else ()
        return (u.VFIO_TYPE1_IOMMU, u.VFIO_TYPE1v2_IOMMU, *nesting)

    def open(self, caller: Caller, kind: int) -> Type1:
        """vfio_iommu_type1_open: EINVAL for an extension that is no type."""
        if kind not in self._types:
            raise Errno(errno.EINVAL)
        return Type1(self, kind)


@define(eq=False)
class VfioDma:
    """One mapping (struct vfio_dma). ``memory`` is that of who made it."""

    start: int
    last: int
    vaddr: int
    prot: int
    memory: AddressSpace
    lock_cap: bool
    iommu_mapped: bool = False
    vaddr_invalid: bool = False
    #: A bit for each page that a driver wrote to; None while nobody tracks.
    dirty: int | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return self.last - self.start + 1


class Type1:
    """What one container has mapped (struct vfio_iommu)."""

    def __init__(self, driver: Type1Driver, kind: int) -> None:
        self._driver = driver
        self._section = driver.section
        self.nesting = kind == u.VFIO_TYPE1_NESTING_IOMMU
        self.v2 = kind != u.VFIO_TYPE1_IOMMU
        self.dma_list: IntervalMap[VfioDma] = IntervalMap()
        self.dma_avail = driver.dma_entry_limit.value
        self.vaddr_invalid_count = 0
        self.dirty_page_tracking = False
        self.domain_groups: list[VfioGroup] = []
        self.emulated_groups: list[VfioGroup] = []
        self._devices: list[VfioDevice] = []
        #: What programs may map, first and last address; None: everything.
        self._iova_list: list[tuple[int, int]] | None = None

    @property
    def domain(self) -> Type1:
        """Devices that have no DMA of their own use the mappings directly."""
        return self

    @property
    def pgsize_bitmap(self) -> int:
        """Sizes of pages that all groups have (vfio_update_pgsize_bitmap)."""
        bitmap = U64_MAX
        for group in self.domain_groups:
            assert group.iommu_group is not None
            bitmap &= group.iommu_group.capabilities.page_sizes
        if bitmap & ~_PAGE_MASK:
            bitmap = bitmap & _PAGE_MASK | PAGE_SIZE
        return bitmap

    @property
    def _pgsize(self) -> int:
        bitmap = self.pgsize_bitmap
        return bitmap & -bitmap

    # --- commands

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """vfio_iommu_type1_ioctl."""
        if command == u.VFIO_IOMMU_MAP_DMA:
            return self._map_dma(caller, argument)
        if command == u.VFIO_IOMMU_UNMAP_DMA:
            return self._unmap_dma(caller, argument)
        if command == u.VFIO_CHECK_EXTENSION:
            return self._check_extension(argument)
        if command == u.VFIO_IOMMU_GET_INFO:
            return self._get_info(caller, argument)
        if command == u.VFIO_IOMMU_DIRTY_PAGES:
            return self._dirty_pages(caller, argument)
        raise Errno(errno.ENOTTY)

    def _check_extension(self, extension: int) -> int:
        """vfio_iommu_type1_check_extension."""
        if extension == u.VFIO_UPDATE_VADDR:
            return int(not self.emulated_groups)
        if extension == u.VFIO_DMA_CC_IOMMU:
            return int(
                all(
                    group.iommu_group is not None
                    and group.iommu_group.capabilities.enforces_coherency
                    for group in self.domain_groups
                )
            )
        return self._driver.check_extension(extension)

    def _get_info(self, caller: Caller, argument: int) -> int:
        """vfio_iommu_type1_get_info: what does not fit is told by ``argsz``."""
        given = copy_from_user(caller, u.IommuType1Info, argument)
        if given.argsz < sizeof(u.IommuType1Info):
            raise Errno(errno.EINVAL)
        whole = sizeof(u.IommuType1InfoCaps)
        info = u.IommuType1InfoCaps(
            argsz=given.argsz,
            flags=u.VFIO_IOMMU_INFO_PGSIZES | u.VFIO_IOMMU_INFO_CAPS,
            iova_pgsizes=self.pgsize_bitmap,
        )
        if self._section.info_padded:
            written = min(given.argsz, whole)
        else:
            end = u.offsetofend(u.IommuType1InfoCaps, "cap_offset")
            written = end if given.argsz >= end else sizeof(u.IommuType1Info)
        caps = self._build_caps()
        if given.argsz < whole + caps.size:
            info.argsz = whole + caps.size
        else:
            caller.copy_to_user(argument + whole, caps.chain(whole))
            info.cap_offset = whole
        caller.copy_to_user(argument, bytes(info)[:written])
        return 0

    def _build_caps(self) -> InfoCaps:
        """vfio_iommu_migration_build_caps, _dma_avail_build_caps, _iova_build_caps."""
        caps = InfoCaps(self._section.info_cap_align)
        header = u.InfoCapHeader(id=u.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, version=1)
        caps.add(
            u.IommuType1InfoCapMigration(
                header=header,
                pgsize_bitmap=self._pgsize,
                max_dirty_bitmap_size=bitmap_words((1 << 31) - 1) * 8,
            )
        )
        header = u.InfoCapHeader(id=u.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, version=1)
        caps.add(u.IommuType1InfoDmaAvail(header=header, avail=self.dma_avail))
        if self._iova_list is not None:
            header = u.InfoCapHeader(id=u.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, version=1)
            ranges = [bytes(u.IovaRange(start, end)) for start, end in self._iova_list]
            caps.add(
                u.IommuType1InfoCapIovaRange(header=header, nr_iovas=len(ranges)), b"".join(ranges)
            )
        return caps

    # --- mapping

    def _map_dma(self, caller: Caller, argument: int) -> int:
        """vfio_iommu_type1_map_dma."""
        given = copy_from_user(caller, u.DmaMap, argument)
        flags = u.VFIO_DMA_MAP_FLAG_VADDR | IOMMU_READ | IOMMU_WRITE
        if given.argsz < sizeof(u.DmaMap) or given.flags & ~flags:
            raise Errno(errno.EINVAL)
        self._dma_do_map(caller, given)
        return 0

    def _dma_do_map(self, caller: Caller, given: u.DmaMap) -> None:
        """vfio_dma_do_map: a new mapping, or new memory for one that lost its own."""
        iova, vaddr, size = given.iova, given.vaddr, given.size
        prot = given.flags & (IOMMU_READ | IOMMU_WRITE)
        update = bool(given.flags & u.VFIO_DMA_MAP_FLAG_VADDR)
        if self._section.dma_overflow and size:
            self._check_wrap(iova, vaddr, size)
        if update == bool(prot):
            raise Errno(errno.EINVAL)
        if not size or (size | iova | vaddr) & self._pgsize - 1:
            raise Errno(errno.EINVAL)
        self._check_wrap(iova, vaddr, size)
        last = iova + size - 1
        old = self.dma_list.first(iova, last)
        if update:
            self._update_vaddr(caller, old, given)
            return
        if old is not None:
            raise Errno(errno.EEXIST)
        if not self.dma_avail:
            raise Errno(errno.ENOSPC)
        if not self._iova_dma_valid(iova, last):
            raise Errno(errno.EINVAL)
        lock_cap = caller.credentials.capable(CAP_IPC_LOCK)
        dma = VfioDma(iova, last, vaddr, prot, caller.address_space, lock_cap)
        if self.domain_groups:
            self._pin_map(caller, dma)
        if self.dirty_page_tracking:
            dma.dirty = 0
        self.dma_avail -= 1
        self.dma_list.insert(dma)

    def _check_wrap(self, iova: int, vaddr: int, size: int) -> None:
        """EOVERFLOW, which older kernels call EINVAL."""
        if max(iova, vaddr) + size - 1 > U64_MAX:
            raise Errno(self._wrap_errno)

    @property
    def _wrap_errno(self) -> int:
        return errno.EOVERFLOW if self._section.dma_overflow else errno.EINVAL

    def _iova_dma_valid(self, start: int, last: int) -> bool:
        """vfio_iommu_iova_dma_valid."""
        if self._iova_list is None:
            return True
        return any(low <= start and last <= high for low, high in self._iova_list)

    def _update_vaddr(self, caller: Caller, old: VfioDma | None, given: u.DmaMap) -> None:
        """ENOENT, EINVAL unless it is exactly a mapping without memory, ENOMEM where the new
        owner's limit is too low (vfio_change_dma_owner)."""
        if old is None:
            raise Errno(errno.ENOENT)
        if not old.vaddr_invalid or (old.start, old.size) != (given.iova, given.size):
            raise Errno(errno.EINVAL)
        memory = caller.address_space
        if memory.identity != old.memory.identity and old.iommu_mapped:
            lock_cap = caller.credentials.capable(CAP_IPC_LOCK)
            pages = old.size // PAGE_SIZE
            if not lock_cap and pages > _lockable(caller):
                raise Errno(errno.ENOMEM)
            old.memory.locked_pages -= pages
            memory.locked_pages += pages
            old.lock_cap = lock_cap
        old.memory = memory
        old.vaddr = given.vaddr
        old.vaddr_invalid = False
        self.vaddr_invalid_count -= 1

    def _pin_map(self, caller: Caller, dma: VfioDma) -> None:
        """EFAULT for the first page that cannot be had, ENOMEM if the limit of locked memory comes
        before it (vfio_pin_map_dma, vfio_pin_pages_remote)."""
        pages = dma.size // PAGE_SIZE
        most = pages if dma.lock_cap else min(pages, max(_lockable(caller), 0))
        # The first page beyond the limit is still looked at.
        looked_at = min(most + 1, pages)
        write = bool(dma.prot & IOMMU_WRITE)
        dma.memory.pin(dma.vaddr, looked_at * PAGE_SIZE, write=write, device=True)
        if most < pages:
            raise Errno(errno.ENOMEM)
        dma.memory.locked_pages += pages
        dma.iommu_mapped = True

    def _unpin(self, dma: VfioDma) -> None:
        """vfio_unmap_unpin."""
        if dma.iommu_mapped:
            dma.memory.locked_pages -= dma.size // PAGE_SIZE
            dma.iommu_mapped = False

    # --- unmapping

    def _unmap_dma(self, caller: Caller, argument: int) -> int:
        """vfio_iommu_type1_unmap_dma."""
        given = copy_from_user(caller, u.DmaUnmap, argument)
        want_bitmap = bool(given.flags & u.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)
        others = u.VFIO_DMA_UNMAP_FLAG_ALL | u.VFIO_DMA_UNMAP_FLAG_VADDR
        known = u.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | others
        if given.argsz < sizeof(u.DmaUnmap) or given.flags & ~known:
            raise Errno(errno.EINVAL)
        if want_bitmap and given.flags & others:
            raise Errno(errno.EINVAL)
        bitmap = None
        if want_bitmap:
            if given.argsz < sizeof(u.DmaUnmap) + sizeof(u.Bitmap):
                raise Errno(errno.EINVAL)
            bitmap = copy_from_user(caller, u.Bitmap, argument + sizeof(u.DmaUnmap))
            if not access_ok(bitmap.data, bitmap.size):
                raise Errno(errno.EINVAL)
            verify_bitmap_size(given.size, bitmap)
        given.size = self._dma_do_unmap(caller, given, bitmap)
        caller.copy_to_user(argument, bytes(given))
        return 0

    def _dma_do_unmap(self, caller: Caller, given: u.DmaUnmap, bitmap: u.Bitmap | None) -> int:
        """How many bytes were unmapped (vfio_dma_do_unmap)."""
        iova = given.iova
        invalidate = bool(given.flags & u.VFIO_DMA_UNMAP_FLAG_VADDR)
        unmap_all = bool(given.flags & u.VFIO_DMA_UNMAP_FLAG_ALL)
        if invalidate and self.emulated_groups:
            raise Errno(errno.EBUSY)
        pgsize = self._pgsize
        last = self._range_to_unmap(given, pgsize, unmap_all=unmap_all)
        if bitmap is not None and (not self.dirty_page_tracking or bitmap.pgsize != pgsize):
            raise Errno(errno.EINVAL)
        if self.v2 and not unmap_all:
            self._check_bisect(iova, last)
        found = list(self.dma_list.overlapping(iova, last))
        if not self.v2 and found and found[0].start < iova:
            return 0
        if invalidate:
            return self._invalidate(found)
        unmapped = 0
        for dma in found:
            self._notify_dma_unmap(dma)
            if bitmap is not None:
                update_user_bitmap(caller, bitmap, dma, iova, self._all_dirty(dma))
            unmapped += dma.size
            self._remove_dma(dma)
        return unmapped

    def _range_to_unmap(self, given: u.DmaUnmap, pgsize: int, *, unmap_all: bool) -> int:
        """The last address; EINVAL, EOVERFLOW."""
        iova, size = given.iova, given.size
        if iova & pgsize - 1:
            raise Errno(errno.EINVAL)
        if unmap_all:
            if iova or size:
                raise Errno(errno.EINVAL)
            return U64_MAX
        if not size or size & pgsize - 1:
            raise Errno(errno.EINVAL)
        if iova + size - 1 > U64_MAX:
            raise Errno(self._wrap_errno)
        last: int = iova + size - 1
        return last

    def _check_bisect(self, iova: int, last: int) -> None:
        """EINVAL if the range cuts a mapping at either end."""
        first = self.dma_list.at(iova)
        if first is not None and first.start != iova:
            raise Errno(errno.EINVAL)
        final = self.dma_list.at(last)
        if final is not None and final.last != last:
            raise Errno(errno.EINVAL)

    def _invalidate(self, found: list[VfioDma]) -> int:
        """All mappings lose their memory, or none if one has lost it already: EINVAL."""
        if any(dma.vaddr_invalid for dma in found):
            raise Errno(errno.EINVAL)
        for dma in found:
            dma.vaddr_invalid = True
        self.vaddr_invalid_count += len(found)
        return sum(dma.size for dma in found)

    def _remove_dma(self, dma: VfioDma) -> None:
        """vfio_remove_dma."""
        self._unpin(dma)
        self.dma_list.remove(dma)
        if dma.vaddr_invalid:
            self.vaddr_invalid_count -= 1
        self.dma_avail += 1

    def _notify_dma_unmap(self, dma: VfioDma) -> None:
        """Tell the drivers of open devices (vfio_notify_dma_unmap)."""
        for device in self._devices:
            device.dma_unmap(dma.start, dma.size)

    # --- dirty pages

    def _dirty_pages(self, caller: Caller, argument: int) -> int:
        """vfio_iommu_type1_dirty_pages: EACCES on version 1, even before the copy."""
        if not self.v2:
            raise Errno(errno.EACCES)
        given = copy_from_user(caller, u.DirtyBitmap, argument)
        flags = (
            u.VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
            u.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
            u.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
        )
        if given.argsz < sizeof(u.DirtyBitmap) or given.flags not in flags:
            raise Errno(errno.EINVAL)
        if given.flags == u.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
            return self._get_dirty_bitmap(caller, argument, given.argsz - sizeof(u.DirtyBitmap))
        start = given.flags == u.VFIO_IOMMU_DIRTY_PAGES_FLAG_START
        if start != self.dirty_page_tracking:
            self.dirty_page_tracking = start
            for dma in self.dma_list:
                dma.dirty = 0 if start else None
        return 0

    def _get_dirty_bitmap(self, caller: Caller, argument: int, data_size: int) -> int:
        """The part for GET_BITMAP, with vfio_iova_dirty_bitmap."""
        if data_size < sizeof(u.DirtyBitmapGet):
            raise Errno(errno.EINVAL)
        given = copy_from_user(caller, u.DirtyBitmapGet, argument + sizeof(u.DirtyBitmap))
        if given.size and given.iova + given.size - 1 > U64_MAX:
            raise Errno(self._wrap_errno)
        if not access_ok(given.bitmap.data, given.bitmap.size):
            raise Errno(errno.EINVAL)
        verify_bitmap_size(given.size, given.bitmap)
        pgsize = self._pgsize
        if given.bitmap.pgsize != pgsize or (given.iova | given.size) & pgsize - 1:
            raise Errno(errno.EINVAL)
        if not self.dirty_page_tracking:
            raise Errno(errno.EINVAL)
        last = given.iova + given.size - 1
        self._check_bisect(given.iova, last)
        for dma in self.dma_list.overlapping(given.iova, last):
            update_user_bitmap(caller, given.bitmap, dma, given.iova, self._all_dirty(dma))
            dma.dirty = 0
        return 0

    def _all_dirty(self, dma: VfioDma) -> bool:
        """A device behind an IOMMU may have written to every page without a word."""
        return bool(self.domain_groups) and dma.iommu_mapped

    # --- groups and devices

    def attach_group(self, caller: Caller, group: VfioGroup) -> None:
        """EBUSY while a mapping has no memory, EINVAL if the group's addresses and the mappings do
        not go together, EPERM if it could send interrupts of others and that is not allowed; then
        all mappings are pinned (vfio_iommu_type1_attach_group)."""
        if self.vaddr_invalid_count:
            raise Errno(errno.EBUSY)
        if group in self.domain_groups or group in self.emulated_groups:
            raise Errno(errno.EINVAL)
        if not group.physical:
            self.emulated_groups.insert(0, group)
            return
        if self.nesting:  # the IOMMU makes no such domains
            raise Errno(errno.EINVAL)
        ranges = valid_ranges([*self.domain_groups, group])
        for dma in self.dma_list:
            if not any(low <= dma.start and dma.last <= high for low, high in ranges):
                raise Errno(errno.EINVAL)
        assert group.iommu_group is not None
        if not (
            group.iommu_group.capabilities.isolates_msi or self._driver.unsafe_interrupts.value
        ):
            raise Errno(errno.EPERM)
        if not self.domain_groups:
            self._replay(caller)
        self._iova_list = ranges
        self.domain_groups.append(group)
        group.iommu_group.domain = self

    def _replay(self, caller: Caller) -> None:
        """Pin what was mapped before there was an IOMMU, all or nothing (vfio_iommu_replay)."""
        pinned: list[VfioDma] = []
        try:
            for dma in self.dma_list:
                self._pin_map(caller, dma)
                pinned.append(dma)
        except Errno:
            for dma in pinned:
                self._unpin(dma)
            raise

    def detach_group(self, group: VfioGroup) -> None:
        """Without a group nothing stays mapped, without an IOMMU nothing pinned
        (vfio_iommu_type1_detach_group)."""
        if group in self.emulated_groups:
            self.emulated_groups.remove(group)
        else:
            self.domain_groups.remove(group)
            self._iova_list = valid_ranges(self.domain_groups) if self.domain_groups else None
        if not self.domain_groups:
            for dma in list(self.dma_list):
                if self.emulated_groups:
                    self._unpin(dma)
                else:
                    self._remove_dma(dma)

    def register_device(self, device: VfioDevice) -> None:
        """vfio_iommu_type1_register_device."""
        self._devices.append(device)

    def unregister_device(self, device: VfioDevice) -> None:
        """vfio_iommu_type1_unregister_device."""
        self._devices.remove(device)

    def release(self) -> None:
        """vfio_iommu_type1_release."""
        for dma in list(self.dma_list):
            self._remove_dma(dma)

    # --- what devices do

    def read(self, iova: int, count: int) -> bytes:
        """As a device reads: EFAULT outside what is mapped for reading."""
        return b"".join(
            dma.memory.read(dma.vaddr + start - dma.start, length)
            for dma, start, length in self._pieces(iova, count, IOMMU_READ)
        )

    def write(self, iova: int, data: bytes) -> None:
        """As a device writes: EFAULT outside what is mapped for writing; what came before stays."""
        for dma, start, length in self._pieces(iova, len(data), IOMMU_WRITE):
            dma.memory.write(
                dma.vaddr + start - dma.start, data[start - iova : start - iova + length]
            )
            if dma.dirty is not None:
                first = (start - dma.start) // PAGE_SIZE
                count = (start - dma.start + length - 1) // PAGE_SIZE - first + 1
                dma.dirty |= (1 << count) - 1 << first

    def _pieces(self, iova: int, count: int, prot: int) -> list[tuple[VfioDma, int, int]]:
        """The mappings that a transfer goes through, with start and length in each."""
        pieces = []
        position, end = iova, iova + count
        for dma in self.dma_list.overlapping(iova, end - 1):
            if dma.start > position or not dma.prot & prot or dma.vaddr_invalid:
                break
            length = min(end, dma.last + 1) - position
            pieces.append((dma, position, length))
            position += length
        if position != end:
            raise Errno(errno.EFAULT)
        return pieces


def _lockable(caller: Caller) -> int:
    """How many more pages the caller may lock."""
    return caller.rlimit(RLIMIT_MEMLOCK) // PAGE_SIZE - caller.address_space.locked_pages
