# SPDX-License-Identifier: Apache-2.0
"""SR-IOV: functions that a function makes of itself: drivers/pci/iov.c, 6.1.

The plan: a function with the capability has the files ``sriov_*``; its driver lets virtual ones
appear on the same bus, each with a link ``physfn``, and ``virtfnN`` the other way.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from harness.drivers.pci.device import PCI_IOV_RESOURCES, PciDevice, Resource, Site
from harness.drivers.pci.driver import PciDriver
from harness.drivers.pci.remove import pci_stop_and_remove_bus_device
from harness.hardware import pci_config as cfg
from harness.hardware.pci import PciFunction
from harness.hardware.pci_config import FunctionEntry
from harness.kernel.errors import Errno
from harness.kernel.kstrtox import kstrtoint, kstrtouint
from harness.kernel.sysfs import Attribute, AttributeGroup, sysfs_create_link, sysfs_remove_link
from harness.kernel.task import Caller

if TYPE_CHECKING:
    from harness.drivers.pci.bus import PciSegment

_U16_MAX = 0xFFFF


class VirtualFunction(PciDevice):
    """A function that ``physfn`` made; its own ids are in the other's capability."""

    def __init__(self, segment: PciSegment, site: Site, physfn: PciDevice, index: int) -> None:
        self.physfn = physfn
        self.index = index
        super().__init__(segment, site)

    @property
    def may_probe(self) -> bool:
        """See PciDevice: as the other says, or if it is meant for one driver."""
        return self.physfn.sriov_drivers_autoprobe or self.driver_override is not None

    @property
    def vendor(self) -> int:
        return self.physfn.vendor

    @property
    def device(self) -> int:
        return _read(self.physfn, cfg.SRIOV_VF_DEVICE)

    def _pci_read_bases(self) -> list[Resource]:
        """Its part of each of the other's regions for virtual functions."""
        resources = super()._pci_read_bases()
        for index, bar in self.function.bars.items():
            whole = self.physfn.resources[PCI_IOV_RESOURCES + index]
            start = whole.start + self.index * bar.size
            resources[index] = Resource(start, start + bar.size - 1, whole.flags)
        return resources


def _read(device: PciDevice, offset: int) -> int:
    return device.pci_read_config(device.sriov_cap + offset, 2)


# --- enabling


def pci_enable_sriov(device: PciDevice, count: int) -> None:
    """Make ``count`` functions; EINVAL if there are some, or for more than there can be."""
    if device.virtual_functions or count > _read(device, cfg.SRIOV_INITIAL_VFS):
        raise Errno(errno.EINVAL)
    device.pci_write_config(device.sriov_cap + cfg.SRIOV_NUM_VFS, 2, count)
    _set_control(device, cfg.SRIOV_VF_ENABLE | cfg.SRIOV_VF_MEMORY)
    for index in range(count):
        _pci_iov_add_virtfn(device, index)
    device.uevent("change")


def pci_disable_sriov(device: PciDevice) -> None:
    """Take all of them away; none is no error."""
    if not device.virtual_functions:
        return
    for virtfn in reversed(device.virtual_functions):
        sysfs_remove_link(device.sysfs, f"virtfn{virtfn.index}")
        pci_stop_and_remove_bus_device(virtfn)
    device.virtual_functions = []
    _set_control(device, 0)
    device.pci_write_config(device.sriov_cap + cfg.SRIOV_NUM_VFS, 2, 0)


def _set_control(device: PciDevice, value: int) -> None:
    device.pci_write_config(device.sriov_cap + cfg.SRIOV_CONTROL, 2, value)


def _pci_iov_add_virtfn(device: PciDevice, index: int) -> None:
    offset, stride = _read(device, cfg.SRIOV_OFFSET), _read(device, cfg.SRIOV_STRIDE)
    devfn = device.site.devfn + offset + stride * index & 0xFF
    address = f"{device.segment.name}:{devfn >> 3:02x}.{devfn & 7}"
    function = PciFunction(device.site.virtual_function or FunctionEntry())
    site = Site(address, function, device.numa_node)
    virtfn = VirtualFunction(device.segment, site, device, index)
    device.virtual_functions.append(virtfn)
    driver = device.driver
    assert isinstance(driver, PciDriver)
    driver.virtfn_added(virtfn)
    device.segment.pci_device_add(virtfn)
    sysfs_create_link(device.sysfs, virtfn.sysfs, f"virtfn{index}")
    sysfs_create_link(virtfn.sysfs, device.sysfs, "physfn")
    device.segment.pci_bus_add_devices()


# --- files


def sriov_totalvfs_show(device: PciDevice, caller: Caller) -> str:
    return f"{_read(device, cfg.SRIOV_TOTAL_VFS)}\n"


def sriov_numvfs_show(device: PciDevice, caller: Caller) -> str:
    return f"{len(device.virtual_functions)}\n"


def sriov_numvfs_store(device: PciDevice, caller: Caller, data: bytes) -> None:
    """EINVAL; ERANGE above the total; ENOENT without a driver that can; EBUSY; the driver's."""
    try:
        count = kstrtouint(data, 0)
    except Errno:
        raise Errno(errno.EINVAL) from None
    if count > _U16_MAX:
        raise Errno(errno.EINVAL)
    if count > _read(device, cfg.SRIOV_TOTAL_VFS):
        raise Errno(errno.ERANGE)
    if count == len(device.virtual_functions):
        return
    if not isinstance(device.driver, PciDriver):
        raise Errno(errno.ENOENT)
    if count and device.virtual_functions:
        raise Errno(errno.EBUSY)
    device.driver.sriov_configure(device, count)


def sriov_offset_show(device: PciDevice, caller: Caller) -> str:
    return f"{_read(device, cfg.SRIOV_OFFSET)}\n"


def sriov_stride_show(device: PciDevice, caller: Caller) -> str:
    return f"{_read(device, cfg.SRIOV_STRIDE)}\n"


def sriov_vf_device_show(device: PciDevice, caller: Caller) -> str:
    return f"{_read(device, cfg.SRIOV_VF_DEVICE):x}\n"


def sriov_vf_total_msix_show(device: PciDevice, caller: Caller) -> str:
    """No driver here hands out vectors."""
    return "0\n"


def sriov_drivers_autoprobe_show(device: PciDevice, caller: Caller) -> str:
    return f"{device.sriov_drivers_autoprobe:d}\n"


def sriov_drivers_autoprobe_store(device: PciDevice, caller: Caller, data: bytes) -> None:
    """EINVAL for what is no boolean."""
    device.sriov_drivers_autoprobe = device.kernel.kstrtobool(data)


def sriov_vf_msix_count_store(device: PciDevice, caller: Caller, data: bytes) -> None:
    """EINVAL, then EOPNOTSUPP: no driver here hands out vectors."""
    try:
        count = kstrtoint(data, 0)
    except Errno:
        raise Errno(errno.EINVAL) from None
    raise Errno(errno.EINVAL if count < 0 else errno.EOPNOTSUPP)


_PF_ATTRIBUTES = (
    Attribute("sriov_totalvfs", 0o444, sriov_totalvfs_show),
    Attribute("sriov_numvfs", 0o644, sriov_numvfs_show, sriov_numvfs_store),
    Attribute("sriov_offset", 0o444, sriov_offset_show),
    Attribute("sriov_stride", 0o444, sriov_stride_show),
    Attribute("sriov_vf_device", 0o444, sriov_vf_device_show),
    Attribute(
        "sriov_drivers_autoprobe",
        0o644,
        sriov_drivers_autoprobe_show,
        sriov_drivers_autoprobe_store,
    ),
    Attribute("sriov_vf_total_msix", 0o444, sriov_vf_total_msix_show),
)
_VF_ATTRIBUTES = (Attribute("sriov_vf_msix_count", 0o200, None, sriov_vf_msix_count_store),)


def sriov_groups(device: PciDevice) -> tuple[AttributeGroup, ...]:
    """What a function has because it makes others, or was made."""
    if isinstance(device, VirtualFunction):
        return (AttributeGroup(_VF_ATTRIBUTES),)
    return (AttributeGroup(_PF_ATTRIBUTES),) if device.sriov_cap else ()
