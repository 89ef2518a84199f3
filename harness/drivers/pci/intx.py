# SPDX-License-Identifier: Apache-2.0
"""The interrupt line of a function: drivers/pci/pci.c and kernel/irq, 6.1.

A line is a level: its handler is called whenever the line is asserted and the interrupt enabled,
until the handler makes the function let go, or masks it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.hardware import pci_config as cfg

if TYPE_CHECKING:
    from harness.drivers.pci.device import PciDevice


class IntxLine:
    """The line of one function, as the kernel handles it."""

    def __init__(self, device: PciDevice) -> None:
        self._device = device
        self._handler: Callable[[], None] | None = None
        self._disabled = False
        device.function.line = self._deliver

    def request(self, handler: Callable[[], None], *, enabled: bool = True) -> None:
        """Call ``handler`` from now on, at once if the line is asserted (request_irq)."""
        self._handler, self._disabled = handler, not enabled
        self._deliver()

    def free(self) -> None:
        """Call nobody any more (free_irq)."""
        self._handler = None

    def disable(self) -> None:
        """Ignore the line (disable_irq_nosync)."""
        self._disabled = True

    def enable(self) -> None:
        """Heed the line again; it may be asserted (enable_irq)."""
        self._disabled = False
        self._deliver()

    def _deliver(self) -> None:
        if self._handler is not None and not self._disabled and self._device.function.line_asserted:
            self._handler()

    def pci_intx(self, *, enable: bool) -> None:
        """Let the function use its line, or not (pci_intx)."""
        command = self._device.pci_read_config(cfg.COMMAND, 2)
        wanted = command & ~cfg.COMMAND_INTX_DISABLE | cfg.COMMAND_INTX_DISABLE * (not enable)
        if wanted != command:
            self._device.pci_write_config(cfg.COMMAND, 2, wanted)

    @property
    def pending(self) -> bool:
        """Whether the function wants an interrupt by its line."""
        return bool(self._device.pci_read_config(cfg.STATUS, 2) & cfg.STATUS_INTERRUPT)

    def pci_check_and_mask_intx(self) -> bool:
        """Take the line from a function that wants an interrupt; False if it wants none."""
        if self.pending:
            self.pci_intx(enable=False)
            return True
        return False
