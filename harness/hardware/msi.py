# SPDX-License-Identifier: Apache-2.0
"""MSI of a PCI function: which message leaves, and which one waits for its mask bit.

Follows the PCI Local Bus Specification 3.0, 6.8.1. A message is named by its vector; the address
and data that software wrote are of no further meaning here.
"""

from __future__ import annotations

from harness.hardware import pci_config as cfg
from harness.hardware.pci_config import find_capability, load


class Msi:
    """The capability in ``config``, if there is one."""

    def __init__(self, config: bytearray) -> None:
        self._config = config
        self._capability = find_capability(config, cfg.CAP_MSI)
        control = self._control
        #: Where the mask bits are, and behind them the pending bits; 0 without them.
        self._masks = 0
        if control & cfg.MSI_MASKING:
            self._masks = self._capability + (0x10 if control & cfg.MSI_64BIT else 0x0C)

    @property
    def _control(self) -> int:
        if not self._capability:
            return 0
        return load(self._config, self._capability + cfg.MSI_CONTROL, 2)

    @property
    def enabled(self) -> bool:
        """Whether software turned it on."""
        return bool(self._control & cfg.MSI_ENABLE)

    def message(self, vector: int) -> int | None:
        """The message that is sent for ``vector`` now; None if it is off, or waits."""
        if not self.enabled:
            return None
        # Fewer messages may be on than the function knows: it folds them.
        vector &= (1 << ((self._control & cfg.MSI_ENABLED_COUNT) >> 4)) - 1
        if self._masks and load(self._config, self._masks, 4) >> vector & 1:
            self._set_pending(vector, pending=True)
            return None
        return vector

    def unmasked(self) -> list[int]:
        """The vectors that waited and wait no longer."""
        if not self._masks or not self.enabled:
            return []
        ready = load(self._config, self._masks + 4, 4) & ~load(self._config, self._masks, 4)
        vectors = [vector for vector in range(32) if ready >> vector & 1]
        for vector in vectors:
            self._set_pending(vector, pending=False)
        return vectors

    def reset(self) -> None:
        """Off, nothing masked and nothing pending."""
        if self._capability:
            self._config[self._capability + cfg.MSI_CONTROL] &= cfg.MSI_CAPABLE | cfg.MSI_64BIT
        if self._masks:
            self._config[self._masks : self._masks + 8] = bytes(8)

    def _set_pending(self, vector: int, *, pending: bool) -> None:
        bits = load(self._config, self._masks + 4, 4) & ~(1 << vector) | pending << vector
        self._config[self._masks + 4 : self._masks + 8] = bits.to_bytes(4, "little")
