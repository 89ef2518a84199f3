# SPDX-License-Identifier: Apache-2.0
"""Intel accelerators DSA and IAA (drivers/dma/idxd, 6.1)."""

from harness.drivers.idxd.module import MODULES

__all__ = ["MODULES"]
