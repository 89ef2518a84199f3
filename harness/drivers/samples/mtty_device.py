# SPDX-License-Identifier: Apache-2.0
"""What a program sees of mtty: samples/vfio-mdev/mtty.c, 6.1 and 6.12."""

from __future__ import annotations

import errno

from harness.drivers.mdev import MdevDevice
from harness.drivers.samples.device import CONFIG_SPACE_SIZE, SampleDevice, config_space
from harness.drivers.samples.mtty_migration import Migration
from harness.drivers.samples.mtty_port import SerialPort
from harness.drivers.samples.profile import SamplesSection
from harness.drivers.vfio.set_irqs import (
    SetIrqs,
    read_set_irqs,
    vfio_set_irqs_validate_and_prepare,
)
from harness.drivers.vfio.user import copy_in, copy_out
from harness.hardware import pci_config as cfg
from harness.kernel.errors import Errno
from harness.kernel.eventfd import EventfdContext, eventfd_ctx_fdget
from harness.kernel.task import Caller
from harness.kernel.vfs import OpenFile
from harness.uapi import vfio as u

IO_BAR_SIZE = 8
_BAR_MASK = 0xFFFFFFF8
_OFFSET_MASK = (1 << u.VFIO_PCI_OFFSET_SHIFT) - 1
_NO_IRQ = -1
_ID = 0x32534348
_INTX, _MSI = u.VFIO_PCI_INTX_IRQ_INDEX, u.VFIO_PCI_MSI_IRQ_INDEX
_MASK, _UNMASK, _TRIGGER = (
    u.VFIO_IRQ_SET_ACTION_MASK,
    u.VFIO_IRQ_SET_ACTION_UNMASK,
    u.VFIO_IRQ_SET_ACTION_TRIGGER,
)
_MIGRATION = u.VFIO_MIGRATION_STOP_COPY | u.VFIO_MIGRATION_P2P | u.VFIO_MIGRATION_PRE_COPY


def _config_space(ports: int) -> bytearray:
    """mtty_create_config_space."""
    fields = (
        (cfg.VENDOR_ID, 4, _ID),
        (cfg.COMMAND, 2, cfg.COMMAND_IO),
        (cfg.STATUS, 2, 0x0200),
        (cfg.REVISION_ID, 4, 0x07000210),
        *((cfg.BASE_ADDRESS_0 + 4 * bar, 4, cfg.BAR_IO) for bar in range(ports)),
        (cfg.SUBSYSTEM_VENDOR_ID, 4, _ID),
        (cfg.INTERRUPT_PIN, 1, 1),
        (0x40, 1, 0x23),
        (0x43, 1, 0x80),
        *((offset, 1, 0x23) for offset in (0x44, 0x48, 0x4C)),
    )
    config = config_space(fields)
    config[0x60:0x6F] = b"PCI Serial/UART"
    return config


class MttyDevice(SampleDevice):
    """struct mdev_state."""

    def __init__(self, dev: MdevDevice, section: SamplesSection, ports: int) -> None:
        super().__init__(dev)
        self._section = section
        self.ports = [SerialPort(self._trigger_interrupt) for _ in range(ports)]
        self._config = _config_space(ports)
        self._irq_index = _NO_IRQ
        self._eventfds: dict[int, EventfdContext] = {}
        self._intx_masked = False
        self._migration = Migration(self)
        if self._section.mtty_migration:
            self.migration_flags = _MIGRATION
            self.logs_dma = True

    def close_device(self) -> None:
        """mtty_close."""
        self._migration.disable_files()
        for index in list(self._eventfds):
            self._disable(index)

    # --- migration

    def migration_set_state(self, caller: Caller, state: int) -> OpenFile | None:
        """mtty_set_state."""
        return self._migration.set_state(caller, state)

    def migration_get_state(self) -> int:
        """mtty_get_state."""
        return self._migration.state

    def migration_get_data_size(self) -> int:
        """mtty_get_data_size."""
        return self._migration.data_size

    # --- commands

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """mtty_ioctl."""
        if command == u.VFIO_DEVICE_GET_INFO:
            self.get_device_info(caller, argument)
        elif command == u.VFIO_DEVICE_GET_REGION_INFO:
            region = copy_in(caller, argument, u.RegionInfo)
            self._get_region_info(region)
            copy_out(caller, argument, region)
        elif command == u.VFIO_DEVICE_GET_IRQ_INFO:
            irq = copy_in(caller, argument, u.IrqInfo)
            self._get_irq_info(irq)
            copy_out(caller, argument, irq)
        elif command == u.VFIO_DEVICE_SET_IRQS:
            self._set_irqs(caller, argument)
        elif command == u.VFIO_DEVICE_RESET:
            self._migration.reset()
        else:
            raise Errno(errno.ENOTTY)
        return 0

    def _get_region_info(self, info: u.RegionInfo) -> None:
        """Regions that are not there have no size, but can be read and written (sic)."""
        if info.index >= u.VFIO_PCI_NUM_REGIONS:
            raise Errno(errno.EINVAL)
        is_config = info.index == u.VFIO_PCI_CONFIG_REGION_INDEX
        bar_size = IO_BAR_SIZE if info.index < len(self.ports) else 0
        info.size = CONFIG_SPACE_SIZE if is_config else bar_size
        info.offset = info.index << u.VFIO_PCI_OFFSET_SHIFT
        info.flags = u.VFIO_REGION_INFO_FLAG_READ | u.VFIO_REGION_INFO_FLAG_WRITE

    def _get_irq_info(self, info: u.IrqInfo) -> None:
        known = {_INTX, _MSI} | ({u.VFIO_PCI_REQ_IRQ_INDEX} - self._unknown)
        if info.index >= self.num_irqs or info.index not in known:
            raise Errno(errno.EINVAL)
        info.flags, info.count = u.VFIO_IRQ_INFO_EVENTFD, 1
        if info.index == _INTX:
            info.flags |= u.VFIO_IRQ_INFO_MASKABLE | u.VFIO_IRQ_INFO_AUTOMASKED
        else:
            info.flags |= u.VFIO_IRQ_INFO_NORESIZE

    @property
    def _unknown(self) -> set[int]:
        """The indexes that later kernels do not know any more."""
        known = {_INTX, _MSI}
        return set(range(u.VFIO_PCI_NUM_IRQS)) - known if self._section.mtty_irqs else set()

    # --- interrupts

    def _set_irqs(self, caller: Caller, argument: int) -> None:
        size = u.offsetofend(u.IrqSet, "count")
        header = u.IrqSet.from_buffer_copy(caller.copy_from_user(argument, size))
        data_size = vfio_set_irqs_validate_and_prepare(header, self.num_irqs, u.VFIO_PCI_NUM_IRQS)
        request = read_set_irqs(caller, argument, header, data_size)
        if self._section.mtty_irqs:
            self._mtty_set_irqs(caller, request)
        else:
            self._mtty_set_irqs_6_1(caller, request)

    def _mtty_set_irqs_6_1(self, caller: Caller, request: SetIrqs) -> None:
        """Whatever is not done is no error (to 6.7). A torn down eventfd is not forgotten there,
        so that doing it twice corrupts memory; here it is."""
        if request.index not in (_INTX, _MSI) or request.action != _TRIGGER:
            return
        if request.none:
            self._disable(request.index)
            self._irq_index = _INTX if request.index == _MSI else self._irq_index
        elif request.eventfds and request.eventfds[0] > 0:
            if request.index == _MSI and _MSI in self._eventfds:
                return
            self._enable(caller, request.index, request.eventfds[0])

    def _mtty_set_irqs(self, caller: Caller, request: SetIrqs) -> None:
        """As vfio-pci does it (6.8)."""
        index, is_one = request.index, request.start == 0 and request.count == 1
        if index in self._unknown or (index == _MSI and request.action in (_MASK, _UNMASK)):
            raise Errno(errno.ENOTTY)
        active = self._irq_index == index
        if request.action in (_MASK, _UNMASK):
            if not active or not is_one:
                raise Errno(errno.EINVAL)
            if request.eventfds is not None:
                raise Errno(errno.ENOTTY)
            if request.concerns(0):
                self._intx_masked = request.action == _MASK
        elif request.action == _TRIGGER:
            self._set_trigger(caller, request, active=active, is_one=is_one)

    def _set_trigger(self, caller: Caller, request: SetIrqs, *, active: bool, is_one: bool) -> None:
        if active and not request.count and request.none:
            self._disable(request.index)
            return
        if self._irq_index not in (request.index, _NO_IRQ) or not is_one:
            raise Errno(errno.EINVAL)
        if request.eventfds is not None:
            self._disable(request.index)
            if request.eventfds[0] >= 0:
                self._enable(caller, request.index, request.eventfds[0])
        elif not active:
            raise Errno(errno.EINVAL)
        elif request.concerns(0):
            self._trigger_interrupt()

    def _enable(self, caller: Caller, index: int, fd: int) -> None:
        context = eventfd_ctx_fdget(caller, fd)
        old = self._eventfds.pop(index, None)
        if old is not None:
            old.release()
        self._eventfds[index] = context
        self._irq_index = index

    def _disable(self, index: int) -> None:
        """mtty_disable_intx, mtty_disable_msi: nothing without an eventfd."""
        context = self._eventfds.pop(index, None)
        if context is not None:
            context.release()
            self._intx_masked = False
            self._irq_index = _NO_IRQ

    def _trigger_interrupt(self) -> None:
        """mtty_trigger_interrupt: INTx is masked by itself, since 6.8. Before that, an
        interrupt without an eventfd is an oops; here it is none."""
        context = self._eventfds.get(self._irq_index)
        if context is None or (self._irq_index == _INTX and self._intx_masked):
            return
        context.signal()
        self._intx_masked = self._irq_index == _INTX and self._section.mtty_irqs

    # --- regions

    def _place(self, position: int) -> tuple[int, int]:
        region = position >> u.VFIO_PCI_OFFSET_SHIFT
        if region > u.VFIO_PCI_BAR5_REGION_INDEX and region != u.VFIO_PCI_CONFIG_REGION_INDEX:
            raise Errno(errno.EFAULT)
        return region, position & _OFFSET_MASK

    def load(self, position: int, size: int) -> bytes:
        """Nothing looks whether a place is inside; what is not is 0 here."""
        region, offset = self._place(position)
        if region == u.VFIO_PCI_CONFIG_REGION_INDEX:
            return bytes(self._config[offset : offset + size]).ljust(size, b"\0")
        value = self.ports[region].read(offset & 0xFFFF) if region < len(self.ports) else 0
        return value.to_bytes(size, "little")

    def store(self, position: int, data: bytes) -> None:
        """Writes that nobody takes are dropped."""
        region, offset = self._place(position)
        if region == u.VFIO_PCI_CONFIG_REGION_INDEX:
            self._config_write(offset, data)
        elif region < len(self.ports):
            self.ports[region].write(offset & 0xFFFF, data[0])

    def _config_write(self, offset: int, data: bytes) -> None:
        """handle_pci_cfg_write: the interrupt line and BARs; all else is dropped."""
        if offset == cfg.INTERRUPT_LINE:
            self._config[offset] = data[0]
        bar, rest = divmod(offset - cfg.BASE_ADDRESS_0, 4)
        if rest or not 0 <= bar <= 4:
            return
        value = 0
        if bar < len(self.ports):
            value = int.from_bytes(data.ljust(4, b"\0"), "little")
            value = value & _BAR_MASK if value == 0xFFFFFFFF else value
            value |= self._config[offset] & 0x3
        self._config[offset : offset + 4] = value.to_bytes(4, "little")
