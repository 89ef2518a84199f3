# SPDX-License-Identifier: Apache-2.0
"""VFIO: devices handed to programs (drivers/vfio, 6.1)."""

from harness.drivers.vfio.module import MODULES

__all__ = ["MODULES"]
