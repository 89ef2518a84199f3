# SPDX-License-Identifier: Apache-2.0
"""The modules ``idxd_bus``, ``idxd``, ``iaa_crypto`` (drivers/dma/idxd/{bus,init}.c, 6.1), and
``idxd_mdev`` of the mdev series.

The plan: idxd_bus brings the bus ``dsa``. idxd brings its drivers ``idxd``, ``dmaengine`` and
``user`` in this order, the character device majors ``dsa`` and ``iax``, and the PCI driver
``idxd``; it has the parameters ``sva`` and ``tc_override``. iaa_crypto
brings ``crypto``, idxd_mdev ``mdev`` and ``idxd-mdev``.
"""

from __future__ import annotations

import errno

from harness.drivers.dmaengine import DmaEngine
from harness.drivers.idxd.bus import DsaBus
from harness.drivers.idxd.cdev import IdxdUserDrv
from harness.drivers.idxd.crypto import MODULE as CRYPTO
from harness.drivers.idxd.crypto import IaaCryptoDrv
from harness.drivers.idxd.dma import IdxdDmaengineDrv
from harness.drivers.idxd.dsa_driver import IdxdDsaDrv
from harness.drivers.idxd.enable import IdxdDrv
from harness.drivers.idxd.mdev import IdxdMdevDriver
from harness.drivers.idxd.mdev_wq import MODULE as MDEV
from harness.drivers.idxd.mdev_wq import IdxdMdevWqDrv
from harness.drivers.idxd.probe import IdxdPciDriver
from harness.drivers.idxd.profile import ALIGN, IdxdSection
from harness.drivers.idxd.state import CdevContext, IdxdModule
from harness.drivers.mdev import mdev_register_driver
from harness.drivers.pci import PciDriver, pci_register_driver, pci_unregister_driver
from harness.kernel.driver_core import (
    bus_register,
    bus_unregister,
    driver_register,
    driver_unregister,
)
from harness.kernel.errors import Errno
from harness.kernel.module import BoolParameter, Module
from harness.kernel.profile import Profile
from harness.kernel.system import Kernel
from harness.kernel.watched import Watched


def dsa_bus_init(kernel: Kernel) -> None:
    """Module init of idxd_bus."""
    bus_register(DsaBus(kernel, "dsa", kernel.profile.section("idxd", IdxdSection)))


def dsa_bus_exit(kernel: Kernel) -> None:
    """Module exit of idxd_bus."""
    bus_unregister(kernel.buses["dsa"])


def idxd_init_module(kernel: Kernel) -> None:
    """Module init of idxd. ENODEV on a processor without MOVDIR64B."""
    if not kernel.cpu.movdir64b:
        raise Errno(errno.ENODEV)
    bus = kernel.buses["dsa"]
    assert isinstance(bus, DsaBus)
    module = bus.module = IdxdModule(kernel, bus.section, bus, DmaEngine(kernel), {})
    several = (IdxdDrv, IdxdDmaengineDrv, IdxdUserDrv)
    for driver in (IdxdDsaDrv,) if bus.section.one_driver else several:
        driver_register(driver(module))
    for kind in ALIGN:  # idxd_cdev_register
        module.cdevs[kind] = CdevContext(kernel.devices.alloc_chrdev_region(kind))
    pci_register_driver(IdxdPciDriver(module, kernel.buses["pci"]))


def idxd_exit_module(kernel: Kernel) -> None:
    """Module exit of idxd: all is undone in the order in which it was done but for the bus's
    drivers, of which the last goes first."""
    bus = kernel.buses["dsa"]
    for name in (IdxdUserDrv.name, IdxdDmaengineDrv.name, IdxdDrv.name):
        driver_unregister(bus.drivers[name])
    driver = kernel.buses["pci"].drivers[IdxdPciDriver.name]
    assert isinstance(driver, PciDriver)
    pci_unregister_driver(driver)
    for kind in ALIGN:  # idxd_cdev_remove
        kernel.devices.unregister_chrdev_region(kind)


def iaa_crypto_init_module(kernel: Kernel) -> None:
    """Module init of iaa_crypto (drivers/crypto/intel/iaa/iaa_crypto_main.c, 6.12)."""
    bus = kernel.buses["dsa"]
    assert isinstance(bus, DsaBus)
    driver_register(IaaCryptoDrv(bus.module))


def iaa_crypto_cleanup_module(kernel: Kernel) -> None:
    """Module exit of iaa_crypto."""
    driver_unregister(kernel.buses["dsa"].drivers[IaaCryptoDrv.name])


def idxd_mdev_init(kernel: Kernel) -> None:
    """Module init of idxd_mdev (the mdev series, v6)."""
    bus = kernel.buses["dsa"]
    assert isinstance(bus, DsaBus)
    mdev_driver = IdxdMdevDriver(kernel)
    mdev_register_driver(mdev_driver)
    driver_register(IdxdMdevWqDrv(bus.module, mdev_driver))


def _idxd_depends(profile: Profile) -> tuple[str, ...]:
    """Up to v5 of the series, idxd makes the parents."""
    mdev = profile.section("idxd", IdxdSection).mdev
    parents = mdev is not None and not mdev.wq_driver
    return ("idxd_bus", "mdev", "vfio_mdev") if parents else ("idxd_bus",)


def _has_idxd_mdev(profile: Profile) -> bool:
    mdev = profile.section("idxd", IdxdSection).mdev
    return mdev is not None and mdev.wq_driver


def _has_iaa_crypto(profile: Profile) -> bool:
    return profile.section("idxd", IdxdSection).iaa_crypto


def _idxd_aliases(profile: Profile) -> tuple[str, ...]:
    """Of idxd_pci_tbl."""
    ids = (device.id.split(":") for device in profile.section("idxd", IdxdSection).devices)
    return tuple(
        f"pci:v0000{vendor.upper()}d0000{device.upper()}sv*sd*bc*sc*i*" for vendor, device in ids
    )


def idxd_parameters() -> tuple[BoolParameter, ...]:
    """The parameters of a newly loaded idxd."""
    return (BoolParameter("sva", True), BoolParameter("tc_override", False))


MODULES = (
    Module("idxd_bus", dsa_bus_init, exit=dsa_bus_exit),
    Module(
        "idxd",
        idxd_init_module,
        exit=idxd_exit_module,
        depends=_idxd_depends,
        parameters=idxd_parameters,
        aliases=_idxd_aliases,
        watched=lambda profile: Watched(maps_files=True),
    ),
    Module(
        CRYPTO,
        iaa_crypto_init_module,
        exit=iaa_crypto_cleanup_module,
        depends=("idxd", "idxd_bus"),
        in_kernel=_has_iaa_crypto,
    ),
    Module(
        MDEV, idxd_mdev_init, depends=("idxd", "idxd_bus", "mdev", "vfio"), in_kernel=_has_idxd_mdev
    ),
)
