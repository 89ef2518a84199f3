# SPDX-License-Identifier: Apache-2.0
"""What a program sees of mbochs, a display that a guest sets: samples/vfio-mdev/mbochs.c, 6.1."""

from __future__ import annotations

import ctypes
import errno

from harness.drivers.mdev import MdevDevice
from harness.drivers.samples.device import (
    CONFIG_SPACE_SIZE,
    SampleDevice,
    config_space,
    write_memory_bar,
)
from harness.drivers.samples.mbochs_dmabuf import MbochsDmabuf, Mode, check_framebuffer
from harness.drivers.samples.mbochs_registers import (
    EDID_BLOB_OFFSET,
    EdidRegion,
    VbeRegisters,
)
from harness.drivers.samples.profile import SamplesSection
from harness.drivers.vfio.info_caps import InfoCaps, put_region_info
from harness.drivers.vfio.user import copy_in
from harness.hardware import pci_config as cfg
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.kernel.vfs import Pages
from harness.uapi import vfio as u
from harness.uapi.fs import MAP_SHARED, PAGE_SIZE

_EDID_REGION = u.VFIO_PCI_NUM_REGIONS
#: Where the regions are in the file.
_MMIO_OFFSET, _EDID_OFFSET, _MEMORY_OFFSET = PAGE_SIZE, 2 * PAGE_SIZE, 3 * PAGE_SIZE
_MMIO_SIZE = _EDID_SIZE = PAGE_SIZE
_EDID_END, _VBE_START, _VBE_END = 0x400, 0x500, 0x516
_BAR_2 = cfg.BASE_ADDRESS_0 + 8
_PLANE_TYPE_PRIMARY = 1
_PLANE_SIZE = u.offsetofend(u.GfxPlaneInfo, "region_index")
_ACCESS = u.VFIO_REGION_INFO_FLAG_READ | u.VFIO_REGION_INFO_FLAG_WRITE
_EDID_CAPABILITY = u.RegionInfoCapType(
    u.InfoCapHeader(u.VFIO_REGION_INFO_CAP_TYPE, 1),
    u.VFIO_REGION_TYPE_GFX,
    u.VFIO_REGION_SUBTYPE_GFX_EDID,
)
#: mbochs_create_config_space.
_CONFIG = (
    (cfg.VENDOR_ID, 4, 0x11111234),
    (cfg.SUBSYSTEM_VENDOR_ID, 4, 0x11001AF4),
    (cfg.COMMAND, 2, cfg.COMMAND_IO | cfg.COMMAND_MEMORY),
    (cfg.REVISION_ID, 4, 0x03800001),
    (cfg.BASE_ADDRESS_0, 4, cfg.BAR_PREFETCHABLE),
    (_BAR_2, 4, 0),
)


class MbochsDevice(SampleDevice):
    """struct mdev_state; ``max_x`` and ``max_y`` in pixels."""

    num_regions = _EDID_REGION + 1

    def __init__(
        self, dev: MdevDevice, section: SamplesSection, mbytes: int, max_x: int, max_y: int
    ) -> None:
        super().__init__(dev)
        self._section = section
        self._memory_size = mbytes << 20
        #: Pages are taken as they are needed, and given back when the device is closed.
        self._pages: bytearray | None = None
        self._config = config_space(_CONFIG)
        self._vbe = VbeRegisters(self._memory_size)
        self._edid = EdidRegion(max_x, max_y)
        self._dmabufs: list[MbochsDmabuf] = []
        self._next_id = 1

    @property
    def _memory(self) -> bytearray:
        """With what is behind it, see :meth:`_place`."""
        if self._pages is None:
            self._pages = bytearray(self._memory_size + _MEMORY_OFFSET - _MMIO_OFFSET)
        return self._pages

    def close_device(self) -> None:
        """mbochs_close_device."""
        self._dmabufs.clear()
        self._pages = None

    # --- commands

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """mbochs_ioctl."""
        if command == u.VFIO_DEVICE_GET_INFO:
            self.get_device_info(caller, argument)
        elif command == u.VFIO_DEVICE_GET_REGION_INFO:
            self._get_region_info(caller, argument)
        elif command == u.VFIO_DEVICE_GET_IRQ_INFO:
            self.get_irq_info_of_none(caller, argument, u.VFIO_PCI_NUM_IRQS)
        elif command == u.VFIO_DEVICE_QUERY_GFX_PLANE:
            plane = copy_in(caller, argument, u.GfxPlaneInfo, _PLANE_SIZE)
            self._query_gfx_plane(plane)
            caller.copy_to_user(argument, bytes(plane)[:_PLANE_SIZE])
        elif command == u.VFIO_DEVICE_GET_GFX_DMABUF:
            number = int.from_bytes(caller.copy_from_user(argument, 4), "little")
            return self._get_gfx_dmabuf(caller, number)
        elif command == u.VFIO_DEVICE_SET_IRQS:
            raise Errno(errno.EINVAL)
        elif command == u.VFIO_DEVICE_RESET:
            self._vbe.reset()
        else:
            raise Errno(errno.ENOTTY)
        return 0

    def _get_region_info(self, caller: Caller, argument: int) -> None:
        """Up to 6.18 the capability is always there, even where the caller has no room for it, and
        who has more room than for that is refused."""
        info = copy_in(caller, argument, u.RegionInfo)
        end, whole = ctypes.sizeof(info), ctypes.sizeof(info) + ctypes.sizeof(_EDID_CAPABILITY)
        caps = InfoCaps(self.core.section.info_cap_align)
        size = info.argsz
        if not self._section.mbochs_region_caps and size > whole:
            raise Errno(errno.EINVAL)
        self._fill_region_info(info)
        if info.index == _EDID_REGION:
            caps.add(_EDID_CAPABILITY)
        if self._section.mbochs_region_caps:
            put_region_info(caller, argument, info, caps)
            return
        if caps.size:
            info.flags |= u.VFIO_REGION_INFO_FLAG_CAPS
            info.argsz, info.cap_offset = whole, end
        content = bytes(info) + caps.chain(end)
        # Behind the structure, other regions have what is on the kernel's stack: 0 here.
        caller.copy_to_user(argument, content.ljust(whole, b"\0")[:size])

    def _fill_region_info(self, info: u.RegionInfo) -> None:
        """EINVAL for what is no region at all."""
        if info.index >= self.num_regions:
            raise Errno(errno.EINVAL)
        info.offset, info.size, info.flags = {
            u.VFIO_PCI_CONFIG_REGION_INDEX: (0, CONFIG_SPACE_SIZE, _ACCESS),
            u.VFIO_PCI_BAR0_REGION_INDEX: (
                _MEMORY_OFFSET,
                self._memory_size,
                _ACCESS | u.VFIO_REGION_INFO_FLAG_MMAP,
            ),
            u.VFIO_PCI_BAR2_REGION_INDEX: (_MMIO_OFFSET, _MMIO_SIZE, _ACCESS),
            _EDID_REGION: (_EDID_OFFSET, _EDID_SIZE, _ACCESS),
        }.get(info.index, (0, 0, 0))

    # --- the picture

    def _query_gfx_plane(self, plane: u.GfxPlaneInfo) -> None:
        """mbochs_query_gfx_plane: planes are dmabufs, and no regions; else EINVAL.

        A new picture is ENOMEM, though it is there for the next who asks (sic).
        """
        dmabuf = u.VFIO_GFX_PLANE_TYPE_DMABUF
        if plane.flags == u.VFIO_GFX_PLANE_TYPE_PROBE | dmabuf:
            return
        if plane.flags != dmabuf:
            raise Errno(errno.EINVAL)
        mode = None
        if plane.drm_plane_type == _PLANE_TYPE_PRIMARY:
            mode = check_framebuffer(self._vbe, self._memory_size)
        number = self._dmabuf_id(mode) if mode is not None else 0
        shown = mode or Mode()
        plane.drm_format, plane.drm_format_mod = shown.drm_format, 0
        plane.width, plane.height = shown.width, shown.height
        plane.stride, plane.size = shown.stride, shown.size
        plane.x_pos = plane.y_pos = plane.x_hot = plane.y_hot = 0
        plane.region_index = number

    def _dmabuf_id(self, mode: Mode) -> int:
        for known in self._dmabufs:
            if known.mode == mode:
                return known.number
        module = self.kernel.modules["mbochs"]
        self._dmabufs.append(MbochsDmabuf(module, self._next_id, mode))
        self._next_id += 1
        raise Errno(errno.ENOMEM)

    def _get_gfx_dmabuf(self, caller: Caller, number: int) -> int:
        """mbochs_get_gfx_dmabuf: ENOENT, EINVAL if it does not begin with a page."""
        for dmabuf in self._dmabufs:
            if dmabuf.number == number:
                return caller.install(dmabuf.export(caller))
        raise Errno(errno.ENOENT)

    # --- regions

    def _place(self, position: int, size: int) -> int:
        """Where a place of the file is in the memory: two pages further than a mapping has it
        (sic), so that the last two are behind it. EFAULT."""
        if not 0 <= position - _MEMORY_OFFSET <= self._memory_size - size:
            raise Errno(errno.EFAULT)
        return position - _MMIO_OFFSET

    def load(self, position: int, size: int) -> bytes:
        """What no register answers is 0 here."""
        if position < CONFIG_SPACE_SIZE:
            return bytes(self._config[position : position + size]).ljust(size, b"\0")
        if _MMIO_OFFSET <= position < _EDID_OFFSET:
            return self._load_mmio(position - _MMIO_OFFSET, size)
        if _EDID_OFFSET <= position < _MEMORY_OFFSET:
            offset = position - _EDID_OFFSET
            if offset < EDID_BLOB_OFFSET:
                return self._edid.load_register(offset, size)
            return self._edid.load_blob(offset - EDID_BLOB_OFFSET, size)
        place = self._place(position, size)
        return bytes(self._memory[place : place + size])

    def _load_mmio(self, offset: int, size: int) -> bytes:
        """handle_mmio_read: the EDID of a display that is on, and registers of 2 bytes."""
        if offset < _EDID_END:
            return self._edid.shown(offset, size)
        if _VBE_START <= offset < _VBE_END and size == 2:
            return self._vbe[(offset - _VBE_START) // 2].to_bytes(2, "little")
        return bytes(size)

    def store(self, position: int, data: bytes) -> None:
        """Writes that nobody takes are dropped."""
        if position < CONFIG_SPACE_SIZE:
            sizes = {cfg.BASE_ADDRESS_0: self._memory_size, _BAR_2: _MMIO_SIZE}
            if position in sizes:
                write_memory_bar(self._config, position, data, sizes[position])
        elif _MMIO_OFFSET <= position < _EDID_OFFSET:
            offset = position - _MMIO_OFFSET
            if _VBE_START <= offset < _VBE_END and len(data) == 2:
                self._vbe[(offset - _VBE_START) // 2] = int.from_bytes(data, "little")
        elif _EDID_OFFSET <= position < _MEMORY_OFFSET:
            offset = position - _EDID_OFFSET
            if offset < EDID_BLOB_OFFSET:
                self._edid.store_register(offset, data)
            else:
                self._edid.store_blob(offset - EDID_BLOB_OFFSET, data)
        else:
            place = self._place(position, len(data))
            self._memory[place : place + len(data)] = data

    def mmap(self, caller: Caller, offset: int, length: int, prot: int, flags: int) -> Pages:
        """mbochs_mmap: from the memory's beginning on, shared; else EINVAL."""
        if offset != _MEMORY_OFFSET or length > self._memory_size or not flags & MAP_SHARED:
            raise Errno(errno.EINVAL)
        return Pages(length, memory=memoryview(self._memory)[:length])
