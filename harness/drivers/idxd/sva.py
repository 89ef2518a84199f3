# SPDX-License-Identifier: Apache-2.0
"""Shared virtual addressing, as far as this driver asks for it: drivers/iommu/iommu.c, 6.1."""

from __future__ import annotations

import errno
from collections.abc import Hashable
from typing import TYPE_CHECKING

from attrs import define, field

from harness.hardware import pci_config as cfg
from harness.kernel.errors import Errno
from harness.kernel.ida import Ida

if TYPE_CHECKING:
    from harness.drivers.idxd.device import IdxdDevice
    from harness.drivers.pci import PciDevice
    from harness.kernel.task import AddressSpace

PASID_MIN = 1
#: How many page requests of one function may be open (PRQ_DEPTH of intel-iommu).
_PAGE_REQUESTS = 32
_SVA_CAPABILITIES = (cfg.EXT_CAP_PASID, cfg.EXT_CAP_PRI, cfg.EXT_CAP_ATS)
_ENABLE = 1
_PASID_FEATURES = 0x6
_ATS_ENABLE = 0x8000


@define
class _Bond:
    pasid: int
    users: int = 0


@define(eq=False)
class Pasids:
    """PASIDs of address spaces; each lasts while a device uses it."""

    ida: Ida = field(factory=lambda: Ida(PASID_MIN))
    _bonds: dict[Hashable, _Bond] = field(factory=dict)

    def bind(self, memory: AddressSpace) -> int:
        """The PASID of a program's memory, one more user."""
        bond = self._bonds.get(memory.identity)
        if bond is None:
            bond = self._bonds[memory.identity] = _Bond(self.ida.alloc())
        bond.users += 1
        return bond.pasid

    def unbind(self, memory: AddressSpace) -> None:
        """One user less."""
        bond = self._bonds[memory.identity]
        bond.users -= 1
        if not bond.users:
            self.ida.free(bond.pasid)
            del self._bonds[memory.identity]


def iommu_dev_enable_feature_sva(pdev: PciDevice) -> None:
    """ENODEV where the IOMMU cannot share memory, EINVAL for a function without what it takes.

    What a machine file leaves off of PASID, page requests and ATS is turned on here, which
    intel-iommu does before any driver sees the function.
    """
    if not pdev.iommu.sva:
        raise Errno(errno.ENODEV)
    pasid, pri, ats = (pdev.pci_find_ext_capability(number) for number in _SVA_CAPABILITIES)
    if not pasid or not pri or not ats:
        raise Errno(errno.EINVAL)
    if not pdev.pci_read_config(pasid + 6, 2) & _ENABLE:
        supported = pdev.pci_read_config(pasid + 4, 2) & _PASID_FEATURES
        pdev.pci_write_config(pasid + 6, 2, supported | _ENABLE)
    if not pdev.pci_read_config(pri + 4, 2) & _ENABLE:
        capacity = pdev.pci_read_config(pri + 8, 4)
        pdev.pci_write_config(pri + 12, 4, min(capacity, _PAGE_REQUESTS))
        pdev.pci_write_config(pri + 4, 2, _ENABLE)
    if not pdev.pci_read_config(ats + 6, 2) & _ATS_ENABLE:
        pdev.pci_write_config(ats + 6, 2, _ATS_ENABLE)


def iommu_attach_device_pasid(pdev: PciDevice) -> None:
    """EPERM without a domain of the IOMMU, EOPNOTSUPP without PASIDs (idxd_enable_system_pasid)."""
    if not pdev.in_iommu_group:
        raise Errno(errno.EPERM)
    if not pdev.iommu.pasid:
        raise Errno(errno.EOPNOTSUPP)


def iommu_sva_bind_device(idxd: IdxdDevice, memory: AddressSpace) -> int:
    """A PASID for a program's memory (drivers/iommu/iommu-sva.c, 6.12 and 7.2).

    ENODEV for a device in no IOMMU group. EOPNOTSUPP by kernels whose section says so, and where
    the IOMMU cannot share memory.
    """
    if not idxd.pdev.in_iommu_group:
        raise Errno(errno.ENODEV)
    if not idxd.module.section.sva_bind or not idxd.pdev.iommu.sva:
        raise Errno(errno.EOPNOTSUPP)
    return idxd.module.pasids.bind(memory)


def pasid_privileged(pdev: PciDevice) -> bool:
    """Whether PASIDs are on, with privileged mode (idxd_device_pasid_priv_enabled)."""
    pasid = pdev.pci_find_ext_capability(cfg.EXT_CAP_PASID)
    return bool(pasid) and pdev.pci_read_config(pasid + 6, 2) & 0x5 == 0x5
