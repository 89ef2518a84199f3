# SPDX-License-Identifier: Apache-2.0
"""The interrupts of a VFIO device: MSI-X messages become signals of eventfds.

Follows drivers/vfio/pci/vfio_pci_intrs.c, Linux 6.12 (MSI-X vectors come and go one by one). Our
hardware has neither an interrupt line nor MSI: both count no interrupt.

The hardware's own MSI-X capability and table are ours, as they are the host kernel's under the real
driver. The guest's are made up by who serves it (QEMU), and come to us as SET_IRQS. So a vector
with an eventfd is unmasked in the hardware, and every other one is masked.
"""

from __future__ import annotations

import errno
import os
import select
import struct

from harness.drivers.vfio.set_irqs import vfio_set_irqs_validate_and_prepare
from harness.hardware import pci_config as cfg
from harness.hardware.pci import (
    MSIX_ENTRY_SIZE,
    MSIX_VECTOR_CONTROL,
    MSIX_VECTOR_MASKED,
    PciFunction,
)
from harness.kernel.errors import Errno
from harness.uapi import vfio as u
from harness.vm.vfio_file import Caller, copy_in


class Interrupts:
    """The state that SET_IRQS changes."""

    def __init__(self, function: PciFunction) -> None:
        self._function = function
        self._capability = cfg.find_capability(function.config, cfg.CAP_MSIX)
        self._express = bool(cfg.find_capability(function.config, cfg.CAP_PCIE))
        self._msix_enabled = False
        #: Our copies of eventfds by index and vector.
        self._eventfds: dict[tuple[int, int], int] = {}

    def count(self, index: int) -> int:
        """How many interrupts the index has."""
        match index:
            case u.VFIO_PCI_MSIX_IRQ_INDEX:
                return self._function.vectors
            case u.VFIO_PCI_ERR_IRQ_INDEX:
                return int(self._express)
        return int(index == u.VFIO_PCI_REQ_IRQ_INDEX)

    def get_info(self, info: u.IrqInfo) -> None:
        """vfio_pci_ioctl_get_irq_info: fill in the rest, or EINVAL."""
        index = info.index
        if index >= u.VFIO_PCI_NUM_IRQS:
            raise Errno(errno.EINVAL)
        if index == u.VFIO_PCI_ERR_IRQ_INDEX and not self._express:
            raise Errno(errno.EINVAL)
        info.count = self.count(index)
        info.flags = u.VFIO_IRQ_INFO_EVENTFD
        if index == u.VFIO_PCI_INTX_IRQ_INDEX:
            info.flags |= u.VFIO_IRQ_INFO_MASKABLE | u.VFIO_IRQ_INFO_AUTOMASKED
        elif index != u.VFIO_PCI_MSIX_IRQ_INDEX:
            info.flags |= u.VFIO_IRQ_INFO_NORESIZE

    # --- SET_IRQS

    def set(self, caller: Caller, argument: int) -> None:
        """vfio_pci_ioctl_set_irqs."""
        request = copy_in(caller, argument, u.IrqSet)
        size = vfio_set_irqs_validate_and_prepare(
            request, self.count(request.index), u.VFIO_PCI_NUM_IRQS
        )
        data_type = request.flags & u.VFIO_IRQ_SET_DATA_TYPE_MASK
        data = caller.memory.read(argument + u.offsetofend(u.IrqSet, "count"), size)
        if request.flags & u.VFIO_IRQ_SET_ACTION_TYPE_MASK != u.VFIO_IRQ_SET_ACTION_TRIGGER:
            raise Errno(errno.ENOTTY)
        is_msix = request.index == u.VFIO_PCI_MSIX_IRQ_INDEX
        if data_type == u.VFIO_IRQ_SET_DATA_EVENTFD:
            numbers = struct.unpack(f"<{request.count}i", data)
            if is_msix:
                self._wire_msix(caller, request.start, numbers)
            else:
                self._wire_single(caller, request, numbers)
        elif is_msix:
            self._disable_or_trigger_msix(request, data)
        else:
            self._remove_or_trigger_single(request, data)

    def _wire_msix(self, caller: Caller, start: int, numbers: tuple[int, ...]) -> None:
        """vfio_msi_set_block: a bad descriptor leaves what came before it in this call unwired."""
        was_enabled, self._msix_enabled = self._msix_enabled, True
        try:
            for vector, number in enumerate(numbers, start):
                self._replace((u.VFIO_PCI_MSIX_IRQ_INDEX, vector), caller, number)
        except Errno:
            if not was_enabled:
                self._disable_msix()
            for vector in range(start, start + len(numbers)):
                self._drop((u.VFIO_PCI_MSIX_IRQ_INDEX, vector))
            raise
        finally:
            self.program()

    def _disable_or_trigger_msix(self, request: u.IrqSet, data: bytes) -> None:
        if not self._msix_enabled:
            raise Errno(errno.EINVAL)
        if request.flags & u.VFIO_IRQ_SET_DATA_NONE and not request.count:
            self._disable_msix()
            self.program()
        for position in range(request.count):
            if not data or data[position]:
                self._signal((u.VFIO_PCI_MSIX_IRQ_INDEX, request.start + position))

    def _wire_single(self, caller: Caller, request: u.IrqSet, numbers: tuple[int, ...]) -> None:
        """vfio_pci_set_ctx_trigger_single."""
        if len(numbers) != 1:
            raise Errno(errno.EINVAL)
        self._replace((request.index, 0), caller, numbers[0])

    def _remove_or_trigger_single(self, request: u.IrqSet, data: bytes) -> None:
        key = (request.index, 0)
        if request.flags & u.VFIO_IRQ_SET_DATA_BOOL:
            if not request.count:
                raise Errno(errno.EINVAL)
            if data[0]:
                self._signal(key)
        elif key not in self._eventfds:
            raise Errno(errno.EINVAL)
        elif request.count:
            self._signal(key)
        else:
            self._drop(key)

    # --- eventfds

    def message(self, vector: int) -> None:
        """The hardware sends an MSI-X message. Never blocks."""
        self._signal((u.VFIO_PCI_MSIX_IRQ_INDEX, vector))

    def release(self) -> None:
        """The device is closed: nobody is told of anything any more."""
        self._msix_enabled = False
        for key in list(self._eventfds):
            self._drop(key)

    def _replace(self, key: tuple[int, int], caller: Caller, number: int) -> None:
        self._drop(key)
        if number >= 0:
            self._eventfds[key] = caller.eventfd(number)

    def _drop(self, key: tuple[int, int]) -> None:
        fd = self._eventfds.pop(key, None)
        if fd is not None:
            os.close(fd)

    def _disable_msix(self) -> None:
        self._msix_enabled = False
        for vector in range(self._function.vectors):
            self._drop((u.VFIO_PCI_MSIX_IRQ_INDEX, vector))

    def _signal(self, key: tuple[int, int]) -> None:
        """Add 1 to an eventfd, unless it is full or not there."""
        fd = self._eventfds.get(key)
        if fd is None:
            return
        # The program may have made it blocking, and that flag is the program's.
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        if poll.poll(0):
            os.eventfd_write(fd, 1)

    # --- the hardware's side

    def program(self) -> None:
        """Make the hardware's MSI-X what it shall be."""
        if not self._function.vectors:
            return
        bar, table = self._function.msix_table()
        for vector in range(self._function.vectors):
            wired = (u.VFIO_PCI_MSIX_IRQ_INDEX, vector) in self._eventfds
            control = table.start + MSIX_ENTRY_SIZE * vector + MSIX_VECTOR_CONTROL
            # As the host's kernel, whatever the guest has done to memory decoding.
            self._function.bar_store(bar, control, 4, 0 if wired else MSIX_VECTOR_MASKED)
        self._function.config_write(self._capability + cfg.MSIX_CONTROL, 2, self._control())

    def restore(self) -> None:
        """The same, if a write to configuration space has changed it or caused a reset."""
        control = self._function.config_read(self._capability + cfg.MSIX_CONTROL, 2)
        if control & (cfg.MSIX_ENABLE | cfg.MSIX_MASK_ALL) != self._control():
            self.program()

    def _control(self) -> int:
        return cfg.MSIX_ENABLE if self._msix_enabled else 0
