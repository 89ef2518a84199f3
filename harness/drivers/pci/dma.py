# SPDX-License-Identifier: Apache-2.0
"""A function's way to memory: through the domain of its IOMMU group (drivers/iommu, 6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.hardware.pci import DmaFault
from harness.kernel.errors import Errno

if TYPE_CHECKING:
    from harness.drivers.pci.device import PciDevice
    from harness.kernel.iommu import IommuDomain


class FunctionDma:
    """What the hardware is given as ``dma``. Without a domain of a program's, all faults."""

    def __init__(self, device: PciDevice) -> None:
        self._device = device

    def _domain(self, address: int) -> IommuDomain:
        group = self._device.iommu_group
        if group is None or group.domain is None:
            raise DmaFault(address)
        return group.domain

    def read(self, address: int, count: int) -> bytes:
        """See :class:`harness.hardware.pci.Dma`."""
        try:
            return self._domain(address).read(address, count)
        except Errno:
            raise DmaFault(address) from None

    def write(self, address: int, data: bytes) -> None:
        """See :class:`harness.hardware.pci.Dma`."""
        try:
            self._domain(address).write(address, data)
        except Errno:
            raise DmaFault(address) from None
