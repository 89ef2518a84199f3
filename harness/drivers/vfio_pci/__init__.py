# SPDX-License-Identifier: Apache-2.0
"""PCI functions as VFIO devices (drivers/vfio/pci, 6.1)."""

from harness.drivers.vfio_pci.vfio_pci import MODULES

__all__ = ["MODULES"]
