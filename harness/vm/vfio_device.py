# SPDX-License-Identifier: Apache-2.0
"""A hardware model's function as a VFIO PCI device: its regions, its interrupts, its reset.

Follows drivers/vfio/pci/{vfio_pci_core,vfio_pci_rdwr,vfio_pci_config}.c, Linux 6.12, with these
limits: no region can be mapped, there is no reset of a bus, no VFIO feature, no ioeventfd, and of
configuration space only the interrupt pin and MSI-X are virtual.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

from harness.hardware import pci_config as cfg
from harness.hardware.pci import Dma, PciFunction
from harness.kernel.anon_inode import PREFIX
from harness.kernel.errors import Errno
from harness.uapi import vfio as u
from harness.vm.vfio_file import Caller, VfioFile, copy_in, copy_out, unknown
from harness.vm.vfio_irqs import Interrupts

_OFFSET_MASK = (1 << u.VFIO_PCI_OFFSET_SHIFT) - 1
#: No access is wider.
_WIDEST = 8


class VfioDevice(VfioFile):
    """What VFIO_GROUP_GET_DEVICE_FD gives; several descriptors share the state."""

    path = f"{PREFIX}[vfio-device]"

    def __init__(self, name: str, function: PciFunction) -> None:
        self.name = name
        self.function = function
        self.opened = 0
        self.on_last_close: Callable[[], None] | None = None
        self._interrupts = Interrupts(function)

    # --- opening and closing

    def open(self, dma: Dma) -> None:
        """The first open resets the function and hands it over (vfio_pci_core_enable)."""
        self.opened += 1
        if self.opened == 1:
            self.function.reset()
            self.function.dma = dma
            self.function.interrupt = self._interrupts.message

    def release(self) -> None:
        """The last close takes all back (vfio_pci_core_disable)."""
        self.opened -= 1
        if not self.opened:
            self._interrupts.release()
            self.function.dma = self.function.interrupt = None
            self.function.reset()
            if self.on_last_close is not None:
                self.on_last_close()

    # --- commands

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """See VfioFile."""
        match command:
            case u.VFIO_DEVICE_GET_INFO:
                info = copy_in(caller, argument, u.DeviceInfo)
                info.flags = u.VFIO_DEVICE_FLAGS_PCI
                info.flags |= u.VFIO_DEVICE_FLAGS_RESET if self.function.has_flr else 0
                info.num_regions, info.num_irqs = u.VFIO_PCI_NUM_REGIONS, u.VFIO_PCI_NUM_IRQS
                copy_out(caller, argument, info)
            case u.VFIO_DEVICE_GET_REGION_INFO:
                region = copy_in(caller, argument, u.RegionInfo)
                self._region_info(region)
                copy_out(caller, argument, region)
            case u.VFIO_DEVICE_GET_IRQ_INFO:
                irq = copy_in(caller, argument, u.IrqInfo)
                self._interrupts.get_info(irq)
                copy_out(caller, argument, irq)
            case u.VFIO_DEVICE_SET_IRQS:
                self._interrupts.set(caller, argument)
            case u.VFIO_DEVICE_RESET:
                self._reset()
            case u.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
                copy_in(caller, argument, u.HotResetInfo)
                raise Errno(errno.ENODEV)
            case _:
                raise unknown("device", command)
        return 0

    def _region_info(self, info: u.RegionInfo) -> None:
        """vfio_pci_ioctl_get_region_info. There is no VGA region."""
        if info.index >= u.VFIO_PCI_VGA_REGION_INDEX:
            raise Errno(errno.EINVAL)
        info.size = self._region_size(info.index)
        info.offset = info.index << u.VFIO_PCI_OFFSET_SHIFT
        access = u.VFIO_REGION_INFO_FLAG_READ | u.VFIO_REGION_INFO_FLAG_WRITE
        info.flags = access if info.size else 0

    def _region_size(self, index: int) -> int:
        if index == u.VFIO_PCI_CONFIG_REGION_INDEX:
            return len(self.function.config)
        bar = self.function.bars.get(index)
        return bar.size if bar is not None else 0

    def _reset(self) -> None:
        """Function level reset around which configuration space is kept (pci_reset_function)."""
        if not self.function.has_flr:
            raise Errno(errno.EINVAL)
        saved = bytes(self.function.config)
        self.function.reset()
        for offset in range(0, len(saved), 4):
            self.function.config_write(offset, 4, cfg.load(saved, offset, 4))
        self._interrupts.program()

    # --- regions

    def read(self, offset: int, count: int) -> bytes:
        """vfio_pci_rw, from any region."""
        if not count:
            return b""
        region, start, count = self._place(offset, count)
        return b"".join(
            self._load(region, position, size).to_bytes(size, "little")
            for position, size in _units(start, count)
        )

    def write(self, offset: int, data: bytes) -> int:
        """vfio_pci_rw, to any region."""
        if not data:
            return 0
        region, start, count = self._place(offset, len(data))
        for position, size in _units(start, count):
            self._store(region, position, size, cfg.load(data, position - start, size))
        return count

    def _place(self, offset: int, count: int) -> tuple[int, int, int]:
        """Region, offset in it, and how many bytes there are; or the errno of vfio_pci_rw."""
        region, start = offset >> u.VFIO_PCI_OFFSET_SHIFT, offset & _OFFSET_MASK
        size = self._region_size(region)
        if region == u.VFIO_PCI_CONFIG_REGION_INDEX:
            if start + count > size:
                raise Errno(errno.EFAULT)
            return region, start, count
        if start >= size:
            raise Errno(errno.EINVAL)
        command = self.function.config_read(cfg.COMMAND, 2)
        if self.function.bars[region].kind == "memory" and not command & cfg.COMMAND_MEMORY:
            raise Errno(errno.EIO)
        return region, start, min(count, size - start)

    def _load(self, region: int, offset: int, size: int) -> int:
        if region == u.VFIO_PCI_CONFIG_REGION_INDEX:
            value = self.function.config_read(offset, size)
            # No line is connected to the pin.
            position = cfg.INTERRUPT_PIN - offset
            return value & ~(0xFF << 8 * position) if 0 <= position < size else value
        if self._in_msix_table(region, offset):
            return (1 << 8 * size) - 1
        return self.function.load(region, offset, size)

    def _store(self, region: int, offset: int, size: int, value: int) -> None:
        if region == u.VFIO_PCI_CONFIG_REGION_INDEX:
            self._config_store(offset, size, value)
        elif not self._in_msix_table(region, offset):
            self.function.store(region, offset, size, value)

    def _config_store(self, offset: int, size: int, value: int) -> None:
        """MSI-X stays as it is, whether written to or reset."""
        self.function.config_write(offset, size, value)
        self._interrupts.restore()

    def _in_msix_table(self, region: int, offset: int) -> bool:
        if not self.function.vectors:
            return False
        bar, table = self.function.msix_table()
        return region == bar and offset in table


def _units(start: int, count: int) -> Iterator[tuple[int, int]]:
    """Offset and size of the accesses that a transfer is made of, each naturally aligned."""
    position, end = start, start + count
    while position < end:
        size = _WIDEST
        while position % size or position + size > end:
            size //= 2
        yield position, size
        position += size
