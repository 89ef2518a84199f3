# SPDX-License-Identifier: Apache-2.0
"""Interrupts as a user sees them: drivers/vfio/pci/vfio_pci_intrs.c, 6.1 with its stable patches.

One of INTx, MSI and MSI-X is in use, or none. The function's interrupts become signals of the
user's eventfds.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

from harness.drivers.vfio.set_irqs import SetIrqs
from harness.drivers.vfio.virqfd import Virqfd
from harness.kernel.errors import Errno
from harness.kernel.eventfd import EventfdContext, eventfd_ctx_fdget
from harness.kernel.task import Caller
from harness.uapi import vfio as u

if TYPE_CHECKING:
    from harness.drivers.vfio_pci.core import VfioPciCoreDevice

_IRQ_NONE = u.VFIO_PCI_NUM_IRQS


@define
class _Intx:
    """struct vfio_pci_irq_ctx of the line."""

    trigger: EventfdContext | None
    masked: bool
    unmask: Virqfd = field(factory=Virqfd)


class Interrupts:
    """What SET_IRQS changes, of one open device."""

    def __init__(self, vdev: VfioPciCoreDevice) -> None:
        self._vdev = vdev
        self._pdev = vdev.pdev
        self._section = vdev.section
        self.irq_type = _IRQ_NONE
        #: Virtual DisINTx: the user wants no INTx.
        self.virq_disabled = False
        #: Power of two of the vectors that MSI was enabled with.
        self.msi_qmax = 0
        self._intx: _Intx | None = None
        #: Vectors with an eventfd, and how many were allocated when MSI or MSI-X was enabled.
        self._triggers: dict[int, EventfdContext] = {}
        self._allocated = 0
        #: Vectors that were allocated later, one by one.
        self._added: set[int] = set()
        #: Of errors, and of the host's wish to have the device back.
        self._single: dict[int, EventfdContext] = {}

    @property
    def is_msi(self) -> bool:
        """Whether MSI is in use."""
        return self.irq_type == u.VFIO_PCI_MSI_IRQ_INDEX

    def vfio_pci_set_irqs_ioctl(self, caller: Caller, request: SetIrqs) -> int:
        """Do it. A positive result is how many vectors there are where that is too few.

        ENOTTY for what an index does not have.
        """
        messages = (u.VFIO_PCI_MSI_IRQ_INDEX, u.VFIO_PCI_MSIX_IRQ_INDEX)
        function: Callable[[Caller, SetIrqs], int] | None = None
        if request.index == u.VFIO_PCI_INTX_IRQ_INDEX:
            function = {
                u.VFIO_IRQ_SET_ACTION_MASK: self._set_intx_mask,
                u.VFIO_IRQ_SET_ACTION_UNMASK: self._set_intx_unmask,
                u.VFIO_IRQ_SET_ACTION_TRIGGER: self._set_intx_trigger,
            }.get(request.action)
        elif request.action == u.VFIO_IRQ_SET_ACTION_TRIGGER:
            is_message = request.index in messages
            function = self._set_msi_trigger if is_message else self._set_single_trigger
        if function is None:
            raise Errno(errno.ENOTTY)
        return function(caller, request)

    def disable(self) -> None:
        """The device is closed: whatever is in use is torn down."""
        if self.irq_type == u.VFIO_PCI_INTX_IRQ_INDEX:
            self._vfio_intx_disable()
        elif self.irq_type != _IRQ_NONE:
            self._vfio_msi_disable()
        self.virq_disabled = False

    def release_single(self) -> None:
        """Nobody is told of errors and requests any more."""
        for index in list(self._single):
            self._single.pop(index).release()

    def signal_request(self) -> None:
        """The host wants the device back."""
        self._signal_single(u.VFIO_PCI_REQ_IRQ_INDEX)

    # --- INTx

    def _intx_handler(self) -> None:
        """vfio_intx_handler: the line is asserted; it is masked until the user unmasks it."""
        intx = self._intx
        assert intx is not None
        if not self._vdev.pci_2_3:
            self._pdev.intx.disable()
        elif intx.masked or not self._pdev.intx.pci_check_and_mask_intx():
            return
        intx.masked = True
        self._vfio_send_intx_eventfd()

    def _vfio_send_intx_eventfd(self) -> None:
        if self._intx is not None and not self.virq_disabled and self._intx.trigger is not None:
            self._intx.trigger.signal()

    def set_virq_disabled(self, disabled: bool) -> None:
        """The user changed DisINTx in his command register (vfio_basic_config_write)."""
        if disabled == self.virq_disabled:
            return
        self.virq_disabled = disabled
        if disabled:
            self._vfio_pci_intx_mask()
        else:
            self._vfio_pci_intx_unmask()

    def _vfio_pci_intx_mask(self) -> None:
        """While INTx is not in use, the real bit follows the virtual one."""
        if self._intx is None:
            if self._vdev.pci_2_3:
                self._pdev.intx.pci_intx(enable=False)
        elif not self._intx.masked:
            if self._vdev.pci_2_3:
                self._pdev.intx.pci_intx(enable=False)
            else:
                self._pdev.intx.disable()
            self._intx.masked = True

    def _vfio_pci_intx_unmask(self) -> None:
        """vfio_pci_intx_unmask_handler; a function that still wants one signals again at once."""
        if self._intx is None:
            if self._vdev.pci_2_3:
                self._pdev.intx.pci_intx(enable=True)
        elif self._intx.masked and not self.virq_disabled:
            if not self._vdev.pci_2_3:
                self._intx.masked = False
                self._pdev.intx.enable()
            elif self._pdev.intx.pending:
                self._vfio_send_intx_eventfd()
            else:
                self._intx.masked = False
                self._pdev.intx.pci_intx(enable=True)

    def _vfio_intx_enable(self, trigger: EventfdContext | None) -> None:
        """EINVAL while MSI or MSI-X is in use; ENODEV for a pin that leads nowhere."""
        if self.irq_type != _IRQ_NONE:
            raise Errno(errno.EINVAL)
        if not self._pdev.irq:
            raise Errno(errno.ENODEV)
        self._intx = _Intx(trigger, masked=self.virq_disabled)
        if self._vdev.pci_2_3:
            self._pdev.intx.pci_intx(enable=not self._intx.masked)
        self.irq_type = u.VFIO_PCI_INTX_IRQ_INDEX
        self._pdev.intx.request(
            self._intx_handler, enabled=self._vdev.pci_2_3 or not self._intx.masked
        )

    def _vfio_intx_set_signal(self, trigger: EventfdContext | None) -> None:
        assert self._intx is not None
        old, self._intx.trigger = self._intx.trigger, trigger
        if old is not None:
            old.release()

    def _vfio_intx_disable(self) -> None:
        assert self._intx is not None
        self._intx.unmask.disable()
        self._pdev.intx.free()
        self._vfio_intx_set_signal(None)
        self._intx, self.irq_type = None, _IRQ_NONE

    def _check_intx(self, request: SetIrqs, *, enabled: bool) -> None:
        """EINVAL unless it is about the one line, and INTx in use or, at least, nothing else."""
        ready = self.irq_type in ((u.VFIO_PCI_INTX_IRQ_INDEX,) if enabled else (0, _IRQ_NONE))
        if not ready or request.start != 0 or request.count != 1:
            raise Errno(errno.EINVAL)

    def _set_intx_unmask(self, caller: Caller, request: SetIrqs) -> int:
        self._check_intx(request, enabled=True)
        assert self._intx is not None
        if request.eventfds is None:
            if request.concerns(0):
                self._vfio_pci_intx_unmask()
        elif request.eventfds[0] >= 0:
            self._intx.unmask.enable(caller, request.eventfds[0], self._vfio_pci_intx_unmask)
        else:
            self._intx.unmask.disable()
        return 0

    def _set_intx_mask(self, caller: Caller, request: SetIrqs) -> int:
        self._check_intx(request, enabled=True)
        if request.eventfds is not None:
            raise Errno(errno.ENOTTY)
        if request.concerns(0):
            self._vfio_pci_intx_mask()
        return 0

    def _set_intx_trigger(self, caller: Caller, request: SetIrqs) -> int:
        if self._intx is not None and not request.count and request.none:
            self._vfio_intx_disable()
            return 0
        self._check_intx(request, enabled=False)
        if request.eventfds is not None:
            fd = request.eventfds[0]
            self._connect_intx(eventfd_ctx_fdget(caller, fd) if fd >= 0 else None)
        elif self._intx is None:
            raise Errno(errno.EINVAL)
        elif request.concerns(0):
            self._vfio_send_intx_eventfd()
        return 0

    def _connect_intx(self, trigger: EventfdContext | None) -> None:
        if self._intx is not None:
            self._vfio_intx_set_signal(trigger)
            return
        try:
            self._vfio_intx_enable(trigger)
        except Errno:
            if trigger is not None:
                trigger.release()
            raise

    # --- MSI and MSI-X

    def _vfio_msi_enable(self, count: int, index: int) -> int:
        """0, or how many vectors there are if that is fewer; the allocator's errno."""
        msix = index == u.VFIO_PCI_MSIX_IRQ_INDEX
        with self._vdev.memory_enabled():
            available = self._pdev.pci_alloc_irq_vectors(1, count, msix=msix)
            if available < count:
                self._pdev.pci_free_irq_vectors()
                return available
        self.irq_type, self._allocated = index, count
        if not msix:
            self.msi_qmax = (count * 2 - 1).bit_length() - 1
        return 0

    def _vfio_msi_alloc_irq(self, vector: int) -> None:
        """A vector beyond those allocated can be had only of a dynamic MSI-X: EINVAL."""
        if vector < self._allocated or vector in self._added:
            return
        if self.is_msi or not self._section.dynamic_msix:
            raise Errno(errno.EINVAL)
        self._pdev.pci_msix_alloc_irq_at()
        self._added.add(vector)

    def _vfio_msi_set_vector_signal(self, caller: Caller, vector: int, fd: int) -> None:
        """Unwire a vector, and wire it to ``fd`` unless that is negative."""
        self._unwire(vector)
        if fd < 0:
            return
        self._vfio_msi_alloc_irq(vector)
        trigger = eventfd_ctx_fdget(caller, fd)
        self._triggers[vector] = trigger
        with self._vdev.memory_enabled():
            self._pdev.request_irq(vector, lambda vector: trigger.signal())

    def _unwire(self, vector: int) -> None:
        trigger = self._triggers.pop(vector, None)
        if trigger is not None:
            with self._vdev.memory_enabled():
                self._pdev.free_irq(vector)
            trigger.release()

    def _vfio_msi_set_block(self, caller: Caller, start: int, fds: tuple[int, ...]) -> None:
        """Stops at the first fd that is none; up to that all vectors are unwired then."""
        if not self._section.sparse_vectors and (
            start >= self._allocated or start + len(fds) > self._allocated
        ):
            raise Errno(errno.EINVAL)
        for vector, fd in enumerate(fds, start):
            try:
                self._vfio_msi_set_vector_signal(caller, vector, fd)
            except Errno:
                for done in range(start, vector + 1):
                    self._unwire(done)
                raise

    def _vfio_msi_disable(self) -> None:
        for vector in list(self._triggers):
            self._unwire(vector)
        with self._vdev.memory_enabled():
            self._pdev.pci_free_irq_vectors()
        if self._vdev.nointx:
            self._pdev.intx.pci_intx(enable=False)
        self.irq_type, self._allocated = _IRQ_NONE, 0
        self._added.clear()

    def _set_msi_trigger(self, caller: Caller, request: SetIrqs) -> int:
        active = self.irq_type == request.index
        if active and not request.count and request.none:
            self._vfio_msi_disable()
            return 0
        if not active and self.irq_type != _IRQ_NONE:
            raise Errno(errno.EINVAL)
        if request.eventfds is not None:
            if active:
                self._vfio_msi_set_block(caller, request.start, request.eventfds)
                return 0
            return self._enable_and_wire(caller, request, request.eventfds)
        end = request.start + request.count
        if not active or (end > self._allocated and not self._section.sparse_vectors):
            raise Errno(errno.EINVAL)
        for position in range(request.count):
            trigger = self._triggers.get(request.start + position)
            if trigger is not None and request.concerns(position):
                trigger.signal()
        return 0

    def _enable_and_wire(self, caller: Caller, request: SetIrqs, fds: tuple[int, ...]) -> int:
        available = self._vfio_msi_enable(request.start + request.count, request.index)
        if available:
            return available
        try:
            self._vfio_msi_set_block(caller, request.start, fds)
        except Errno:
            self._vfio_msi_disable()
            raise
        return 0

    # --- errors, and requests to give the device back

    def _set_single_trigger(self, caller: Caller, request: SetIrqs) -> int:
        """vfio_pci_set_err_trigger, vfio_pci_set_req_trigger."""
        if request.start != 0 or request.count > 1:
            raise Errno(errno.EINVAL)
        if request.none:
            self._signal_or_remove(request)
        elif not request.count:
            raise Errno(errno.EINVAL)
        elif request.eventfds is None:
            if request.concerns(0):
                self._signal_single(request.index)
        else:
            self._replace_single(caller, request.index, request.eventfds[0])
        return 0

    def _signal_single(self, index: int) -> None:
        trigger = self._single.get(index)
        if trigger is not None:
            trigger.signal()

    def _signal_or_remove(self, request: SetIrqs) -> None:
        if request.index not in self._single:
            raise Errno(errno.EINVAL)
        if request.count:
            self._signal_single(request.index)
        else:
            self._single.pop(request.index).release()

    def _replace_single(self, caller: Caller, index: int, fd: int) -> None:
        """vfio_pci_set_ctx_trigger_single: what fd < -1 means depends on the kernel."""
        if fd < -1:
            if self._section.negative_fd_refused:
                raise Errno(errno.EINVAL)
            return
        trigger = eventfd_ctx_fdget(caller, fd) if fd >= 0 else None
        old = self._single.pop(index, None)
        if old is not None:
            old.release()
        if trigger is not None:
            self._single[index] = trigger
