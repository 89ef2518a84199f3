# SPDX-License-Identifier: Apache-2.0
"""Registers of mbochs: the display interface of Bochs, and the EDID (samples/vfio-mdev/mbochs.c,
6.1)."""

from __future__ import annotations

import ctypes

from harness.uapi import vfio as u
from harness.uapi.fs import PAGE_SIZE

(
    VBE_ID,
    VBE_XRES,
    VBE_YRES,
    VBE_BPP,
    VBE_ENABLE,
    _,
    VBE_VIRT_WIDTH,
    _,
    VBE_X_OFFSET,
    VBE_Y_OFFSET,
    VBE_VIDEO_MEMORY_64K,
) = range(11)
_ID5 = 0xB0C5
#: Where the EDID itself is in its region, and how long it may be.
EDID_BLOB_OFFSET, _EDID_MAX_SIZE = PAGE_SIZE // 2, 0x400
_REGISTER_SIZE = 4
_WRITABLE = (u.RegionGfxEdid.link_state.offset, u.RegionGfxEdid.edid_size.offset)


class VbeRegisters(list[int]):
    """Registers of 16 bits, all of which can be written to; ``memory_size`` in bytes."""

    def __init__(self, memory_size: int) -> None:
        self._memory_size = memory_size
        self.reset()

    def reset(self) -> None:
        """mbochs_reset."""
        self[:] = [0] * (VBE_VIDEO_MEMORY_64K + 1)
        self[VBE_ID] = _ID5
        self[VBE_VIDEO_MEMORY_64K] = self._memory_size >> 16


class EdidRegion:
    """What the program says of the monitor, which the guest reads in BAR 2."""

    def __init__(self, max_x: int, max_y: int) -> None:
        self._registers = u.RegionGfxEdid(
            edid_offset=EDID_BLOB_OFFSET,
            edid_max_size=_EDID_MAX_SIZE,
            max_xres=max_x,
            max_yres=max_y,
        )
        self._blob = bytearray(_EDID_MAX_SIZE)

    def load_register(self, offset: int, size: int) -> bytes:
        """handle_edid_regs: by 4 bytes; else it is what is on the kernel's stack, 0 here."""
        content = bytes(self._registers)
        if size != _REGISTER_SIZE or offset + size > len(content):
            return bytes(size)
        return content[offset : offset + size]

    def store_register(self, offset: int, data: bytes) -> None:
        """handle_edid_regs: the others are dropped."""
        if len(data) == _REGISTER_SIZE and offset in _WRITABLE:
            ctypes.memmove(ctypes.addressof(self._registers) + offset, data, len(data))

    def load_blob(self, offset: int, size: int) -> bytes:
        """handle_edid_blob; behind its end likewise."""
        return bytes(self._blob[offset : offset + size]).ljust(size, b"\0")

    def store_blob(self, offset: int, data: bytes) -> None:
        """handle_edid_blob: what is behind its end is dropped."""
        if offset + len(data) <= _EDID_MAX_SIZE:
            self._blob[offset : offset + len(data)] = data

    def shown(self, offset: int, size: int) -> bytes:
        """The EDID in BAR 2; 0 without a link, and where nothing is behind its end."""
        is_up = self._registers.link_state == u.VFIO_DEVICE_GFX_LINK_STATE_UP
        if not is_up or offset >= self._registers.edid_size:
            return bytes(size)
        return self.load_blob(offset, size)
