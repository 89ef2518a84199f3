# SPDX-License-Identifier: Apache-2.0
"""Mediated devices: a parent offers types, a write of a UUID makes a device (drivers/vfio/mdev)."""

from harness.drivers.mdev.driver import (
    MdevBus,
    MdevDriver,
    MdevParentOps,
    MdevVendorOps,
    mdev_bus,
    mdev_register_driver,
)
from harness.drivers.mdev.module import MODULES, has_vendor_create
from harness.drivers.mdev.objects import MdevDevice, MdevParent, MdevType
from harness.drivers.mdev.parent import mdev_register_parent, mdev_unregister_parent

__all__ = [
    "MODULES",
    "MdevBus",
    "MdevDevice",
    "MdevDriver",
    "MdevParent",
    "MdevParentOps",
    "MdevType",
    "MdevVendorOps",
    "has_vendor_create",
    "mdev_bus",
    "mdev_register_driver",
    "mdev_register_parent",
    "mdev_unregister_parent",
]
