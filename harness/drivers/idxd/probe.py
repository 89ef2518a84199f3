# SPDX-License-Identifier: Apache-2.0
"""The PCI driver ``idxd``: finding accelerators and letting them go (init.c, sysfs.c, 6.1)."""

from __future__ import annotations

from contextlib import suppress

from harness.drivers.idxd.command import (
    idxd_device_disable,
    idxd_device_init_reset,
    idxd_mask_error_interrupts,
    idxd_set_user_intr,
)
from harness.drivers.idxd.config import idxd_device_load_config
from harness.drivers.idxd.device import IdxdDevice
from harness.drivers.idxd.flr import idxd_reset_done, idxd_reset_prepare
from harness.drivers.idxd.irq import idxd_setup_interrupts
from harness.drivers.idxd.mdev import (
    IdxdMdevOps,
    idxd_mdev_host_init,
    idxd_mdev_host_release,
)
from harness.drivers.idxd.profile import IdxdDriverData
from harness.drivers.idxd.state import IdxdModule
from harness.drivers.idxd.sva import iommu_attach_device_pasid, iommu_dev_enable_feature_sva
from harness.drivers.pci import PciDevice, PciDriver, PciId
from harness.kernel.driver_core import Bus, device_add, device_del
from harness.kernel.errors import Errno

#: Driver data is a kernel address, which no program knows: a new_id that names one is refused.
_DRIVER_DATA = 0xFFFFFFFF_C0000000


class IdxdPciDriver(PciDriver):
    """Takes DSA and IAX functions."""

    name = "idxd"

    def __init__(self, module: IdxdModule, bus: Bus) -> None:
        super().__init__(module.kernel, bus, "idxd")
        self.idxd_module = module
        self._driver_data: dict[int, IdxdDriverData] = {}
        ids = []
        for address, data in enumerate(module.section.devices, _DRIVER_DATA):
            vendor, device = (int(number, 16) for number in data.id.split(":"))
            ids.append(PciId(vendor, device, driver_data=address))
            self._driver_data[address] = data
        self.id_table = tuple(ids)

    def probe(self, device: PciDevice) -> None:  # type: ignore[override]
        """idxd_pci_probe: make the device and register all its objects."""
        assert device.id is not None
        device.pci_enable_device()
        idxd_ida = self.idxd_module.idxd_ida
        number = idxd_ida.alloc()
        try:
            device.dma_set_mask_and_coherent(64)
            device.pci_set_master()
            data = self._driver_data[device.id.driver_data]
            idxd = IdxdDevice(self.idxd_module, device, data, number)
            _idxd_probe(idxd)
        except Errno:
            idxd_ida.free(number)
            device.pci_disable_device()
            raise
        device.driver_data = idxd
        if data.is_iax and self.idxd_module.section.iaa_defaults:
            idxd_load_iaa_device_defaults(idxd)
        _idxd_register_devices(idxd)
        _idxd_mdev_setup(idxd)

    def remove(self, device: PciDevice) -> None:  # type: ignore[override]
        """idxd_remove."""
        idxd: IdxdDevice = device.driver_data
        idxd_mdev_host_release(idxd)
        for child in (*idxd.wqs, *idxd.engines, *idxd.idxd_groups, idxd):
            device_del(child)
        _idxd_shutdown(idxd)
        device.free_irq(0)
        device.pci_free_irq_vectors()
        device.pci_disable_device()
        self.idxd_module.idxd_ida.free(idxd.id)

    def reset_prepare(self, device: PciDevice) -> None:
        """Only 7.2 keeps the configuration."""
        if self.idxd_module.section.flr_restore:
            idxd_reset_prepare(device.driver_data)

    def reset_done(self, device: PciDevice) -> None:
        """Only 7.2 restores the configuration."""
        if self.idxd_module.section.flr_restore:
            idxd_reset_done(device.driver_data)


def idxd_load_iaa_device_defaults(idxd: IdxdDevice) -> None:
    """The first queue, in the first group with the first engine, is for crypto (6.12)."""
    if not idxd.configurable:
        return
    wq, group, engine = idxd.wqs[0], idxd.idxd_groups[0], idxd.engines[0]
    wq.dedicated = True
    wq.threshold = 0
    wq.size = idxd.max_wq_size
    wq.priority = 10
    wq.type = "kernel"
    wq.group = group
    group.num_wqs += 1
    wq.wq_name, wq.driver_name = b"iaa_crypto", b"crypto"
    engine.group = group
    group.num_engines += 1


def _idxd_probe(idxd: IdxdDevice) -> None:
    """ENXIO for a halted device, EOPNOTSUPP for a fixed configuration it cannot use, ENOSPC."""
    idxd_device_init_reset(idxd)
    _enable_sva(idxd)
    idxd.idxd_setup_internals()
    if not idxd.configurable:
        idxd_device_load_config(idxd)
    idxd_setup_interrupts(idxd)


def _enable_sva(idxd: IdxdDevice) -> None:
    """Without it the device works, but for queues of programs and shared ones."""
    if not idxd.module.sva:
        return
    section = idxd.module.section
    with suppress(Errno):
        if not section.user_pasid_always:
            iommu_dev_enable_feature_sva(idxd.pdev)
        idxd.user_pasid_enabled = True
        if section.system_pasid:
            _idxd_enable_system_pasid(idxd)


def _idxd_enable_system_pasid(idxd: IdxdDevice) -> None:
    """What iommu_attach_device_pasid says."""
    iommu_attach_device_pasid(idxd.pdev)
    idxd.pasid = idxd.module.pasids.ida.alloc()
    idxd.pasid_enabled = True
    idxd_set_user_intr(idxd, True)


def _idxd_register_devices(idxd: IdxdDevice) -> None:
    """The device first; each is tried by the drivers of the bus as it appears."""
    for device in (idxd, *idxd.wqs, *idxd.engines, *idxd.idxd_groups):
        device_add(device)


def _idxd_mdev_setup(idxd: IdxdDevice) -> None:
    """Up to v5 of the series, each device is a parent, or says that it cannot be one."""
    section = idxd.module.section.mdev
    if section is not None and not section.wq_driver:
        with suppress(Errno):
            idxd.mdev_parent = idxd_mdev_host_init(idxd, IdxdMdevOps())


def _idxd_shutdown(idxd: IdxdDevice) -> None:
    with suppress(Errno):
        idxd_device_disable(idxd)
    idxd_mask_error_interrupts(idxd)
    if idxd.pasid_enabled:  # idxd_disable_system_pasid
        idxd.module.pasids.ida.free(idxd.pasid)
