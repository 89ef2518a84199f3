# SPDX-License-Identifier: Apache-2.0
"""What a program sees of mdpy, a display without interrupts: samples/vfio-mdev/mdpy.c, 6.1."""

from __future__ import annotations

import errno

from harness.drivers.mdev import MdevDevice
from harness.drivers.samples.device import (
    CONFIG_SPACE_SIZE,
    SampleDevice,
    config_space,
    write_memory_bar,
)
from harness.drivers.vfio.user import copy_in, copy_out
from harness.hardware import pci_config as cfg
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.kernel.vfs import Pages
from harness.uapi import vfio as u
from harness.uapi.fs import MAP_SHARED, PAGE_SIZE

#: Where the memory is in the file, and as which region it is a display.
_MEMORY_BAR_OFFSET, _DISPLAY_REGION = PAGE_SIZE, 16
_VENDOR_CAPABILITY, _VENDOR_CAPABILITY_SIZE = 0x40, 0x10
#: DRM_FORMAT_XRGB8888.
_FORMAT, _BYTES_PER_PIXEL = 0x34325258, 4
_PLANE_SIZE = u.offsetofend(u.GfxPlaneInfo, "region_index")


class MdpyDevice(SampleDevice):
    """struct mdev_state; ``width`` and ``height`` in pixels."""

    def __init__(self, dev: MdevDevice, width: int, height: int) -> None:
        super().__init__(dev)
        self._width, self._height = width, height
        self._stride = width * _BYTES_PER_PIXEL
        self._memory = bytearray(1 << (self._stride * height - 1).bit_length())
        self._config = config_space(self._config_fields())
        self._reset()

    def _config_fields(self) -> tuple[tuple[int, int, int], ...]:
        """mdpy_create_config_space."""
        return (
            (cfg.VENDOR_ID, 4, 0x000F1B36),
            (cfg.SUBSYSTEM_VENDOR_ID, 4, 0x11001AF4),
            (cfg.COMMAND, 2, cfg.COMMAND_IO | cfg.COMMAND_MEMORY),
            (cfg.STATUS, 2, cfg.STATUS_CAP_LIST),
            (cfg.REVISION_ID, 4, 0x03800001),
            (cfg.BASE_ADDRESS_0, 4, cfg.BAR_PREFETCHABLE),
            (cfg.CAPABILITY_LIST, 1, _VENDOR_CAPABILITY),
            (_VENDOR_CAPABILITY, 4, 0x09 | _VENDOR_CAPABILITY_SIZE << 16),
            (_VENDOR_CAPABILITY + 4, 4, _FORMAT),
            (_VENDOR_CAPABILITY + 8, 4, self._width),
            (_VENDOR_CAPABILITY + 12, 4, self._height),
        )

    def _reset(self) -> None:
        """mdpy_reset: a gray gradient."""
        for row in range(self._height):
            gray = row * 255 // self._height
            start = row * self._stride
            self._memory[start : start + self._stride] = bytes([gray]) * self._stride

    # --- commands

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """mdpy_ioctl."""
        if command == u.VFIO_DEVICE_GET_INFO:
            self.get_device_info(caller, argument)
        elif command == u.VFIO_DEVICE_GET_REGION_INFO:
            region = copy_in(caller, argument, u.RegionInfo)
            self._get_region_info(region)
            copy_out(caller, argument, region)
        elif command == u.VFIO_DEVICE_GET_IRQ_INFO:
            self.get_irq_info_of_none(caller, argument, self.num_irqs)
        elif command == u.VFIO_DEVICE_QUERY_GFX_PLANE:
            plane = copy_in(caller, argument, u.GfxPlaneInfo, _PLANE_SIZE)
            self._query_gfx_plane(plane)
            caller.copy_to_user(argument, bytes(plane)[:_PLANE_SIZE])
        elif command == u.VFIO_DEVICE_SET_IRQS:
            raise Errno(errno.EINVAL)
        elif command == u.VFIO_DEVICE_RESET:
            self._reset()
        else:
            raise Errno(errno.ENOTTY)
        return 0

    def _get_region_info(self, info: u.RegionInfo) -> None:
        """BAR 0 and the display are the same memory; EINVAL for what is no region at all."""
        index = info.index
        if index >= u.VFIO_PCI_NUM_REGIONS and index != _DISPLAY_REGION:
            raise Errno(errno.EINVAL)
        info.offset = info.size = info.flags = 0
        access = u.VFIO_REGION_INFO_FLAG_READ | u.VFIO_REGION_INFO_FLAG_WRITE
        if index == u.VFIO_PCI_CONFIG_REGION_INDEX:
            info.size, info.flags = CONFIG_SPACE_SIZE, access
        elif index in (u.VFIO_PCI_BAR0_REGION_INDEX, _DISPLAY_REGION):
            info.offset, info.size = _MEMORY_BAR_OFFSET, len(self._memory)
            info.flags = access | u.VFIO_REGION_INFO_FLAG_MMAP

    def _query_gfx_plane(self, plane: u.GfxPlaneInfo) -> None:
        """mdpy_query_gfx_plane: planes are regions, and no dmabufs; else EINVAL."""
        region = u.VFIO_GFX_PLANE_TYPE_REGION
        if plane.flags == u.VFIO_GFX_PLANE_TYPE_PROBE | region:
            return
        if plane.flags != region:
            raise Errno(errno.EINVAL)
        plane.drm_format, plane.drm_format_mod = _FORMAT, 0
        plane.width, plane.height = self._width, self._height
        plane.stride, plane.size = self._stride, len(self._memory)
        plane.x_pos = plane.y_pos = plane.x_hot = plane.y_hot = 0
        plane.region_index = _DISPLAY_REGION

    # --- regions

    def load(self, position: int, size: int) -> bytes:
        """Of the memory it is the beginning, wherever one reads (sic)."""
        if position < CONFIG_SPACE_SIZE:
            return bytes(self._config[position : position + size]).ljust(size, b"\0")
        self._check(position, size)
        return bytes(self._memory[:size])

    def store(self, position: int, data: bytes) -> None:
        """Likewise; of configuration space BAR 0 alone can be written."""
        if position >= CONFIG_SPACE_SIZE:
            self._check(position, len(data))
            self._memory[: len(data)] = data
        elif position == cfg.BASE_ADDRESS_0:
            write_memory_bar(self._config, position, data, len(self._memory))

    def _check(self, position: int, size: int) -> None:
        if not 0 <= position - _MEMORY_BAR_OFFSET <= len(self._memory) - size:
            raise Errno(errno.EFAULT)

    def mmap(self, caller: Caller, offset: int, length: int, prot: int, flags: int) -> Pages:
        """mdpy_mmap: from the memory's beginning on, shared; else EINVAL."""
        if offset != _MEMORY_BAR_OFFSET or length > len(self._memory) or not flags & MAP_SHARED:
            raise Errno(errno.EINVAL)
        return Pages(length, memory=memoryview(self._memory)[:length])
