# SPDX-License-Identifier: Apache-2.0
"""The module ``mdev``: drivers/vfio/mdev/mdev_core.c, 6.1."""

from __future__ import annotations

from harness.drivers.mdev.driver import MdevBus
from harness.drivers.mdev.parent import mdev_bus_class
from harness.kernel.driver_core import bus_register
from harness.kernel.module import Module
from harness.kernel.system import Kernel


def mdev_init(kernel: Kernel) -> None:
    """Module init: the bus, and the class of parents."""
    bus_register(MdevBus(kernel))
    mdev_bus_class(kernel)


MODULES = (Module("mdev", mdev_init, suites=("mdev",)),)
