# SPDX-License-Identifier: Apache-2.0
"""Mediated devices: a parent offers types, a write of a UUID makes a device (drivers/vfio/mdev)."""

from harness.drivers.mdev.driver import MdevBus, MdevDriver, mdev_bus, mdev_register_driver
from harness.drivers.mdev.module import MODULES
from harness.drivers.mdev.objects import MdevDevice, MdevParent, MdevType
from harness.drivers.mdev.parent import mdev_register_parent, mdev_unregister_parent

__all__ = [
    "MODULES",
    "MdevBus",
    "MdevDevice",
    "MdevDriver",
    "MdevParent",
    "MdevType",
    "mdev_bus",
    "mdev_register_driver",
    "mdev_register_parent",
    "mdev_unregister_parent",
]
