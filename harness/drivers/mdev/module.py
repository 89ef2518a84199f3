# SPDX-License-Identifier: Apache-2.0
"""The module ``mdev``: drivers/vfio/mdev/mdev_core.c, 6.1."""

from __future__ import annotations

from harness.drivers.mdev.driver import MdevBus, mdev_register_driver
from harness.drivers.mdev.parent import mdev_bus_class
from harness.drivers.mdev.profile import MdevSection
from harness.drivers.mdev.vfio_mdev import VfioMdevDriver
from harness.kernel.driver_core import bus_register
from harness.kernel.module import Module
from harness.kernel.profile import Profile
from harness.kernel.system import Kernel


def mdev_init(kernel: Kernel) -> None:
    """Module init: the bus, and the class of parents."""
    bus = MdevBus(kernel)
    bus_register(bus)
    if not bus.section.class_by_parent:
        mdev_bus_class(kernel)


def vfio_mdev_init(kernel: Kernel) -> None:
    """Module init of vfio_mdev (drivers/vfio/mdev/vfio_mdev.c, 5.8)."""
    mdev_register_driver(VfioMdevDriver(kernel))


def has_vendor_create(profile: Profile) -> bool:
    """Whether parents of this kernel make their devices themselves."""
    return profile.section("mdev", MdevSection).vendor_create


MODULES = (
    Module("mdev", mdev_init, suites=("mdev",)),
    Module("vfio_mdev", vfio_mdev_init, depends=("mdev", "vfio"), in_kernel=has_vendor_create),
)
