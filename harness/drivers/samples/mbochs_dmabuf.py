# SPDX-License-Identifier: Apache-2.0
"""The picture of mbochs as a dmabuf: samples/vfio-mdev/mbochs.c, 6.1."""

from __future__ import annotations

import errno

from attrs import frozen

from harness.drivers.samples import mbochs_registers as vbe
from harness.kernel.dma_buf import DmaBuf
from harness.kernel.errors import Errno
from harness.kernel.module import LoadedModule
from harness.kernel.task import Caller
from harness.uapi.fs import PAGE_SIZE

#: DRM_FORMAT_XRGB8888, the one format.
_FORMAT, _BITS, _BYTES_PER_PIXEL = 0x34325258, 32, 4
_ENABLED = 1
_SMALLEST = 64


@frozen
class Mode:
    """struct mbochs_mode: the place, and sizes in pixels and bytes; nothing but 0: no picture."""

    drm_format: int = 0
    width: int = 0
    height: int = 0
    stride: int = 0
    offset: int = 0
    size: int = 0


def check_framebuffer(registers: vbe.VbeRegisters, memory_size: int) -> Mode | None:
    """What the registers show, None if that is none (mbochs_check_framebuffer)."""
    if not registers[vbe.VBE_ENABLE] & _ENABLED or registers[vbe.VBE_BPP] != _BITS:
        return None
    width, height = registers[vbe.VBE_XRES], registers[vbe.VBE_YRES]
    stride = max(registers[vbe.VBE_VIRT_WIDTH], width) * _BYTES_PER_PIXEL
    offset = registers[vbe.VBE_X_OFFSET] * _BYTES_PER_PIXEL + registers[vbe.VBE_Y_OFFSET] * stride
    size = stride * height
    if min(width, height) < _SMALLEST or offset + size > memory_size:
        return None
    return Mode(_FORMAT, width, height, stride, offset, size)


class MbochsDmabuf:
    """struct mbochs_dmabuf: a picture that a program was told of."""

    def __init__(self, module: LoadedModule, number: int, mode: Mode) -> None:
        self._module = module
        self.number = number
        self.mode = mode
        self._exported: _Exported | None = None

    def export(self, caller: Caller) -> DmaBuf:
        """mbochs_dmabuf_export: one file, as long as it is open, which holds the module. EINVAL if
        the picture does not begin with a page.

        In a kernel further fds do not count (sic): once the first is closed, they refer to what is
        gone. Here they are of no use then, but do no harm.
        """
        if self._exported is None:
            if self.mode.offset % PAGE_SIZE:
                raise Errno(errno.EINVAL)
            self._module.references += 1
            self._exported = _Exported(caller, self)
        return self._exported

    def released(self, file: DmaBuf) -> None:
        """mbochs_release_dmabuf, dma_buf_release."""
        if self._exported is file:
            self._exported = None
            self._module.references -= 1


class _Exported(DmaBuf):
    """mbochs_dmabuf_ops."""

    __slots__ = ("_dmabuf",)

    def __init__(self, caller: Caller, dmabuf: MbochsDmabuf) -> None:
        super().__init__(caller, dmabuf.mode.size)
        self._dmabuf = dmabuf

    def release(self) -> None:
        self._dmabuf.released(self)
