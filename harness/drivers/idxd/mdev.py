# SPDX-License-Identifier: Apache-2.0
"""Accelerators as parents of mediated devices: the series, drivers/vfio/mdev/idxd/mdev.c.

The plan: a mediated device stands for one work queue, which the driver picks: a dedicated one that
nobody has, or the shared one with the fewest clients. A dedicated queue is then disabled, until a
guest enables its own. Up to v5 the parent makes its devices itself; from v6 on the driver
``idxd-mdev`` does.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from attrs import define, field

from harness.drivers.idxd.command import idxd_wq_disable
from harness.drivers.mdev import (
    MdevDevice,
    MdevDriver,
    MdevParent,
    MdevType,
    MdevVendorOps,
    mdev_bus,
    mdev_register_parent,
    mdev_unregister_parent,
)
from harness.drivers.vfio.vfio_main import (
    VfioDevice,
    vfio_put_device,
    vfio_register_group_dev,
    vfio_unregister_group_dev,
)
from harness.hardware import pci_config as cfg
from harness.kernel.driver_core import Device
from harness.kernel.errors import Errno
from harness.kernel.system import Kernel
from harness.uapi import idxd as u

if TYPE_CHECKING:
    from harness.drivers.idxd.device import IdxdDevice
    from harness.drivers.idxd.mdev_section import IdxdMdevSection, MdevTypeData
    from harness.drivers.idxd.wq import IdxdWq


def siov_supported(idxd: IdxdDevice) -> bool:
    """Whether the function says that it can be shared out (idxd_check_siov)."""
    pdev = idxd.pdev
    dvsec = pdev.pci_find_ext_capability(cfg.EXT_CAP_DVSEC)
    if not dvsec:
        return False
    vendor, number = pdev.pci_read_config(dvsec + 4, 2), pdev.pci_read_config(dvsec + 8, 2)
    return (vendor, number) == (cfg.VENDOR_INTEL, cfg.DVSEC_SIOV)


def idxd_ims_size(idxd: IdxdDevice) -> int:
    """How many interrupts the device can keep for its parts; 0 if it cannot be shared out."""
    return int(idxd.hw.gen_cap.max_ims_mult) * u.IDXD_IMS_MULT if siov_supported(idxd) else 0


def iommu_dev_has_aux(idxd: IdxdDevice) -> bool:
    """Whether the IOMMU has domains for parts of this device (IOMMU_DEV_FEAT_AUX)."""
    return idxd.pdev.in_iommu_group and idxd.pdev.iommu.pasid


@define(eq=False)
class IdxdMdevType(MdevType):
    """A type of the series."""

    data: MdevTypeData = field(kw_only=True)


# --- which queue


def find_available_mdev_instances(type: MdevType) -> int:
    """What ``available_instances`` shows."""
    assert isinstance(type, IdxdMdevType)
    idxd, section = _idxd_of(type), _section_of(type)
    if section.queue_uuids:
        return sum(
            wq.type == "mdev" and (not wq.dedicated or wq.client_count <= 1) for wq in idxd.wqs
        )
    if type.data.kind not in (None, idxd.data.kind):
        return 0
    return sum(
        wq.type == "mdev"
        and (wq.state == "enabled" or section.counts_disabled)
        and wq.dedicated is not type.data.shared
        and (type.data.shared or wq.client_count == 0)
        for wq in idxd.wqs
    )


def find_wq(type: MdevType, uuid: str) -> IdxdWq:
    """The queue for a new device: ENODEV if there is none (find_any_dwq); in v1 ENOMEM."""
    assert isinstance(type, IdxdMdevType)
    idxd, section = _idxd_of(type), _section_of(type)
    if section.queue_uuids:
        for wq in idxd.wqs:
            if uuid in wq.uuids and wq.state == "enabled":
                return wq
        raise Errno(errno.ENOMEM)
    fitting = [wq for wq in idxd.wqs if _fits(wq, type.data, section)]
    if not fitting:
        raise Errno(errno.ENODEV)
    return min(fitting, key=lambda wq: wq.client_count)


def _fits(wq: IdxdWq, data: MdevTypeData, section: IdxdMdevSection) -> bool:
    if data.kind not in (None, wq.idxd.data.kind):
        return False
    if wq.type != "mdev" and not section.takes_any_type:
        return False
    if data.shared:
        return not wq.dedicated and wq.state == "enabled"
    ready = wq.state == "enabled" or (section.reuses_locked and wq.state == "locked")
    return wq.dedicated and wq.client_count == 0 and ready


def idxd_wq_take(wq: IdxdWq) -> None:
    """A device has the queue. A dedicated one waits for the device's own commands."""
    section = wq.idxd.module.section.mdev
    assert section is not None
    wq.client_count += section.clients_each
    if wq.dedicated:
        idxd_wq_disable(wq)
        wq.state = "locked" if section.locks else "disabled"


def idxd_wq_give_back(wq: IdxdWq) -> None:
    """The device is gone. The queue's state stays; its clients were forgotten if it was unbound."""
    wq.client_count = max(wq.client_count - 1, 0)


def _idxd_of(type: MdevType) -> IdxdDevice:
    idxd: IdxdDevice = type.parent.device.driver_data
    return idxd


def _section_of(type: MdevType) -> IdxdMdevSection:
    section = _idxd_of(type).module.section.mdev
    assert section is not None
    return section


# --- parents and devices


class IdxdMdevOps(MdevVendorOps):
    """A parent up to v5 (idxd_vdcm_ops)."""

    device_api = "vfio-pci"

    def __init__(self) -> None:
        self.wqs: dict[MdevDevice, IdxdWq] = {}

    def get_available(self, type: MdevType) -> int:
        """See :func:`find_available_mdev_instances`."""
        return find_available_mdev_instances(type)

    def create(self, mdev: MdevDevice) -> None:
        """idxd_vdcm_create."""
        wq = find_wq(mdev.type, mdev.name)
        idxd_wq_take(wq)
        self.wqs[mdev] = wq

    def remove(self, mdev: MdevDevice) -> None:
        """idxd_vdcm_remove."""
        idxd_wq_give_back(self.wqs.pop(mdev))


class VdcmDevice(VfioDevice):
    """What programs are handed: a work queue as a device (struct vdcm_idxd)."""

    def __init__(self, dev: Device, wq: IdxdWq) -> None:
        super().__init__(dev)
        self.wq = wq


class IdxdMdevDriver(MdevDriver):
    """The driver of the devices from v6 on (idxd_vdcm_driver)."""

    name = "idxd-mdev"
    device_api = "vfio-pci"
    counts = True

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, mdev_bus(kernel), "idxd_mdev")

    def get_available(self, type: MdevType) -> int:
        """See :func:`find_available_mdev_instances`."""
        return find_available_mdev_instances(type)

    def probe(self, device: Device) -> None:
        """idxd_vdcm_probe."""
        assert isinstance(device, MdevDevice)
        wq = find_wq(device.type, device.name)
        idxd_wq_take(wq)
        device.driver_data = VdcmDevice(device, wq)
        vfio_register_group_dev(device.driver_data)

    def remove(self, device: Device) -> None:
        """idxd_vdcm_remove."""
        vdcm: VdcmDevice = device.driver_data
        vfio_unregister_group_dev(vdcm)
        vfio_put_device(vdcm)
        idxd_wq_give_back(vdcm.wq)


def idxd_mdev_host_init(idxd: IdxdDevice, ops: MdevVendorOps | MdevDriver) -> MdevParent:
    """Make the device a parent. EOPNOTSUPP if the device or the IOMMU lacks what it takes."""
    section = idxd.module.section.mdev
    assert section is not None
    if section.aux_domains and not (idxd_ims_size(idxd) and iommu_dev_has_aux(idxd)):
        raise Errno(errno.EOPNOTSUPP)
    types = tuple(IdxdMdevType(data.name, data.text, data=data) for data in section.types)
    return mdev_register_parent(idxd.pdev, ops, types)


def idxd_mdev_host_release(idxd: IdxdDevice) -> None:
    """It is a parent no more; devices that there are go first."""
    if idxd.mdev_parent is not None:
        mdev_unregister_parent(idxd.mdev_parent)
        idxd.mdev_parent = None
