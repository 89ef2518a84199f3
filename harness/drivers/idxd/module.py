# SPDX-License-Identifier: Apache-2.0
"""The modules ``idxd_bus``, ``idxd`` and ``iaa_crypto`` (drivers/dma/idxd/{bus,init}.c, 6.1).

The plan: idxd_bus brings the bus ``dsa``. idxd brings its drivers ``idxd``, ``dmaengine`` and
``user`` in this order, the character device majors ``dsa`` and ``iax``, and the PCI driver
``idxd``; it has the parameters ``sva`` and ``tc_override``. iaa_crypto brings ``crypto``.
"""

from __future__ import annotations

import errno

from harness.drivers.dmaengine import DmaEngine
from harness.drivers.idxd.bus import DsaBus
from harness.drivers.idxd.cdev import IdxdUserDrv
from harness.drivers.idxd.crypto import MODULE as CRYPTO
from harness.drivers.idxd.crypto import IaaCryptoDrv
from harness.drivers.idxd.dma import IdxdDmaengineDrv
from harness.drivers.idxd.enable import IdxdDrv
from harness.drivers.idxd.probe import IdxdPciDriver
from harness.drivers.idxd.profile import ALIGN, IdxdSection
from harness.drivers.idxd.state import CdevContext, IdxdModule
from harness.drivers.pci import pci_register_driver
from harness.kernel.driver_core import bus_register, driver_register
from harness.kernel.errors import Errno
from harness.kernel.module import BoolParameter, Module
from harness.kernel.profile import Profile
from harness.kernel.system import Kernel


def dsa_bus_init(kernel: Kernel) -> None:
    """Module init of idxd_bus."""
    bus_register(DsaBus(kernel, "dsa", kernel.profile.section("idxd", IdxdSection)))


def idxd_init_module(kernel: Kernel) -> None:
    """Module init of idxd. ENODEV on a processor without MOVDIR64B."""
    if not kernel.cpu.movdir64b:
        raise Errno(errno.ENODEV)
    bus = kernel.buses["dsa"]
    assert isinstance(bus, DsaBus)
    module = bus.module = IdxdModule(kernel, bus.section, bus, DmaEngine(kernel), {})
    for driver in (IdxdDrv, IdxdDmaengineDrv, IdxdUserDrv):
        driver_register(driver(module))
    for kind in ALIGN:  # idxd_cdev_register
        module.cdevs[kind] = CdevContext(kernel.devices.alloc_chrdev_region(kind))
    kernel.maps_files = True
    pci_register_driver(IdxdPciDriver(module, kernel.buses["pci"]))


def iaa_crypto_init_module(kernel: Kernel) -> None:
    """Module init of iaa_crypto (drivers/crypto/intel/iaa/iaa_crypto_main.c, 6.12)."""
    bus = kernel.buses["dsa"]
    assert isinstance(bus, DsaBus)
    driver_register(IaaCryptoDrv(bus.module))


def _has_iaa_crypto(profile: Profile) -> bool:
    return profile.section("idxd", IdxdSection).iaa_crypto


def idxd_parameters() -> tuple[BoolParameter, ...]:
    """The parameters of a newly loaded idxd."""
    return (BoolParameter("sva", True), BoolParameter("tc_override", False))


MODULES = (
    Module("idxd_bus", dsa_bus_init),
    Module("idxd", idxd_init_module, depends=("idxd_bus",), parameters=idxd_parameters),
    Module(CRYPTO, iaa_crypto_init_module, depends=("idxd", "idxd_bus"), in_kernel=_has_iaa_crypto),
)
