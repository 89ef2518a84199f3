# SPDX-License-Identifier: Apache-2.0
"""The text attributes of a function's directory (drivers/pci/pci-sysfs.c, 6.1)."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.drivers.pci.cpumask import cpulist, cpumap
from harness.drivers.pci.device import PCI_ROM_RESOURCE, PciDevice
from harness.drivers.pci.iov import VirtualFunction, sriov_groups
from harness.drivers.pci.remove import pci_stop_and_remove_bus_device
from harness.drivers.pci.reset import (
    pci_reset_bus,
    pci_reset_function,
    reset_method_select,
)
from harness.drivers.pci.resource import VPD, config_attribute, rom_attribute
from harness.hardware import pci_config as cfg
from harness.kernel.driver_core import Device, driver_set_override
from harness.kernel.errors import Errno
from harness.kernel.kstrtox import kstrtoint, kstrtoul
from harness.kernel.sysfs import Attribute, AttributeGroup
from harness.kernel.task import Caller
from harness.uapi.fs import CAP_SYS_ADMIN

if TYPE_CHECKING:
    from harness.drivers.pci.bus import PciSegment

#: CONFIG_NODES_SHIFT is 10.
_MAX_NUMNODES = 1024
_NUMA_NO_NODE = -1
_LINK_SPEEDS = (
    "Unknown",
    "2.5 GT/s PCIe",
    "5.0 GT/s PCIe",
    "8.0 GT/s PCIe",
    "16.0 GT/s PCIe",
    "32.0 GT/s PCIe",
    "64.0 GT/s PCIe",
)
_WIDTH_UNKNOWN = 0xFF
_CLASS_DISPLAY_VGA = 0x0300
#: Root complex integrated endpoint, and root complex event collector.
_TYPES_WITHOUT_LINK = (9, 10)


def kstrtoul_or_einval(data: bytes) -> int:
    """A number in any base; EINVAL for all else, too large ones included."""
    try:
        return kstrtoul(data, 0)
    except Errno:
        raise Errno(errno.EINVAL) from None


def kstrtoint_or_einval(data: bytes) -> int:
    """A number in any base; EINVAL for all else, too large ones included."""
    try:
        return kstrtoint(data, 0)
    except Errno:
        raise Errno(errno.EINVAL) from None


def _require_admin(caller: Caller) -> None:
    if not caller.credentials.capable(CAP_SYS_ADMIN):
        raise Errno(errno.EPERM)


# --- identity


def vendor_show(device: PciDevice, caller: Caller) -> str:
    return f"0x{device.vendor:04x}\n"


def device_show(device: PciDevice, caller: Caller) -> str:
    return f"0x{device.device:04x}\n"


def subsystem_vendor_show(device: PciDevice, caller: Caller) -> str:
    return f"0x{device.subsystem_vendor:04x}\n"


def subsystem_device_show(device: PciDevice, caller: Caller) -> str:
    return f"0x{device.subsystem_device:04x}\n"


def revision_show(device: PciDevice, caller: Caller) -> str:
    return f"0x{device.revision:02x}\n"


def class_show(device: PciDevice, caller: Caller) -> str:
    return f"0x{device.class_code:06x}\n"


def serial_number_show(device: PciDevice, caller: Caller) -> str:
    """The capability's eight bytes, the last first (pci_get_dsn, 7.2)."""
    capability = device.pci_find_ext_capability(cfg.EXT_CAP_DSN)
    number = [device.pci_read_config(capability + 4 + index, 1) for index in reversed(range(8))]
    return "-".join(f"{byte:02x}" for byte in number) + "\n"


def boot_vga_show(device: PciDevice, caller: Caller) -> str:
    """Whether it is the first that decodes its ports and memory (vga_default_device)."""
    decodes = cfg.COMMAND_IO | cfg.COMMAND_MEMORY
    for other in device.pci_bus.devices.values():
        assert isinstance(other, PciDevice)
        if other.class_code >> 8 != _CLASS_DISPLAY_VGA:
            continue
        if other.pci_read_config(cfg.COMMAND, 2) & decodes == decodes:
            return f"{other is device:d}\n"
    return "0\n"


def irq_show(device: PciDevice, caller: Caller) -> str:
    """The line of INTx, with MSI-X on as well."""
    return f"{device.irq}\n"


def modalias_show(device: PciDevice, caller: Caller) -> str:
    return f"{device.modalias}\n"


def resource_show(device: PciDevice, caller: Caller) -> str:
    return "".join(
        f"0x{resource.start:016x} 0x{resource.end:016x} 0x{resource.flags:016x}\n"
        for resource in device.resources
    )


# --- place


def local_cpus_show(device: PciDevice | PciSegment, caller: Caller) -> str:
    """Also ``cpuaffinity`` of a bus."""
    numa = device.pci_bus.numa
    return f"{cpumap(numa.cpus(device.numa_node), numa.cpu_count)}\n"


def local_cpulist_show(device: PciDevice | PciSegment, caller: Caller) -> str:
    """Also ``cpulistaffinity`` of a bus."""
    return f"{cpulist(device.pci_bus.numa.cpus(device.numa_node))}\n"


def numa_node_show(device: PciDevice, caller: Caller) -> str:
    return f"{device.numa_node}\n"


def numa_node_store(device: PciDevice, caller: Caller, data: bytes) -> None:
    """EPERM; EINVAL for what is no number, out of range, or not online."""
    _require_admin(caller)
    node = kstrtoint_or_einval(data)
    if (node < 0 and node != _NUMA_NO_NODE) or node >= _MAX_NUMNODES:
        raise Errno(errno.EINVAL)
    if node != _NUMA_NO_NODE and node not in device.pci_bus.numa.nodes:
        raise Errno(errno.EINVAL)
    device.numa_node = node


# --- state


def power_state_show(device: PciDevice, caller: Caller) -> str:
    return f"{device.current_state}\n"


def broken_parity_status_show(device: PciDevice, caller: Caller) -> str:
    return f"{device.broken_parity_status:d}\n"


def broken_parity_status_store(device: PciDevice, caller: Caller, data: bytes) -> None:
    device.broken_parity_status = bool(kstrtoul_or_einval(data))


def enable_show(device: PciDevice, caller: Caller) -> str:
    return f"{device.enable_cnt}\n"


def enable_store(device: PciDevice, caller: Caller, data: bytes) -> None:
    """EPERM, EINVAL, EBUSY while a driver has the function, EIO if it is not enabled."""
    _require_admin(caller)
    value = kstrtoul_or_einval(data)
    if device.driver is not None:
        raise Errno(errno.EBUSY)
    if value:
        device.pci_enable_device()
    elif device.enable_cnt:
        device.pci_disable_device()
    else:
        raise Errno(errno.EIO)


def dma_mask_bits_show(device: PciDevice, caller: Caller) -> str:
    return f"{device.dma_mask.bit_length()}\n"


def consistent_dma_mask_bits_show(device: PciDevice, caller: Caller) -> str:
    return f"{device.coherent_dma_mask.bit_length()}\n"


def msi_bus_show(device: PciDevice, caller: Caller) -> str:
    return f"{not device.no_msi:d}\n"


def msi_bus_store(device: PciDevice, caller: Caller, data: bytes) -> None:
    """EPERM, EINVAL; concerns drivers that ask for MSI from now on."""
    _require_admin(caller)
    device.no_msi = not kstrtoul_or_einval(data)


def d3cold_allowed_show(device: PciDevice, caller: Caller) -> str:
    return f"{device.d3cold_allowed:d}\n"


def d3cold_allowed_store(device: PciDevice, caller: Caller, data: bytes) -> None:
    device.d3cold_allowed = bool(kstrtoul_or_einval(data))


def driver_override_show(device: PciDevice, caller: Caller) -> str:
    override = device.driver_override
    return f"{override if override is not None else '(null)'}\n"


def driver_override_store(device: PciDevice, caller: Caller, data: bytes) -> None:
    device.driver_override = driver_set_override(data)


def ari_enabled_show(device: PciDevice, caller: Caller) -> str:
    """Nothing here is below a port with alternative routing ids."""
    return "0\n"


def waiting_for_supplier_show(device: Device, caller: Caller) -> str:
    """drivers/base/core.c: ACPI names no suppliers."""
    return "0\n"


# --- coming, going, resetting


def remove_store(device: PciDevice, caller: Caller, data: bytes) -> None:
    """Non-zero takes the function out of the tree; EINVAL."""
    if kstrtoul_or_einval(data):
        pci_stop_and_remove_bus_device(device)


def dev_rescan_store(device: PciDevice, caller: Caller, data: bytes) -> None:
    """Look for new functions on the same bus; EINVAL."""
    if kstrtoul_or_einval(data):
        device.segment.pci_rescan_bus()


def reset_store(device: PciDevice, caller: Caller, data: bytes) -> None:
    """EINVAL for anything but 1, then what resetting says."""
    if kstrtoul_or_einval(data) != 1:
        raise Errno(errno.EINVAL)
    pci_reset_function(device)


def reset_method_show(device: PciDevice, caller: Caller) -> str:
    return f"{' '.join(device.reset_methods)}\n" if device.reset_methods else ""


def reset_method_store(device: PciDevice, caller: Caller, data: bytes) -> None:
    """EINVAL for a method that is unknown or not supported; then nothing changes."""
    device.reset_methods = reset_method_select(device, data)


# --- PCI Express


def pcie_capability_read(device: PciDevice, offset: int, size: int) -> int:
    """A link register; 0 for a function inside the root complex, which has no link."""
    capability = device.pci_find_capability(cfg.CAP_PCIE)
    port_type = device.pci_read_config(capability + cfg.PCIE_FLAGS, 2) >> 4 & 0xF
    if port_type in _TYPES_WITHOUT_LINK:
        return 0
    return device.pci_read_config(capability + offset, size)


def _speed(code: int) -> str:
    return _LINK_SPEEDS[code] if code < len(_LINK_SPEEDS) else _LINK_SPEEDS[0]


def link_speeds(device: PciDevice) -> tuple[str, str]:
    """Of a bridge's link, the highest that there can be and the one that it has."""
    if not device.pci_find_capability(cfg.CAP_PCIE):
        return _LINK_SPEEDS[0], _LINK_SPEEDS[0]
    highest = pcie_capability_read(device, cfg.PCIE_LINK, 4)
    current = pcie_capability_read(device, cfg.PCIE_LINK_STATUS, 2)
    return _speed(highest & 0xF), _speed(current & 0xF)


def max_link_speed_show(device: PciDevice, caller: Caller) -> str:
    return f"{_speed(pcie_capability_read(device, cfg.PCIE_LINK, 4) & 0xF)}\n"


def max_link_width_show(device: PciDevice, caller: Caller) -> str:
    """255 for a function without a link (pcie_get_width_cap)."""
    capabilities = pcie_capability_read(device, cfg.PCIE_LINK, 4)
    return f"{capabilities >> 4 & 0x3F if capabilities else _WIDTH_UNKNOWN}\n"


def current_link_speed_show(device: PciDevice, caller: Caller) -> str:
    return f"{_speed(pcie_capability_read(device, cfg.PCIE_LINK_STATUS, 2) & 0xF)}\n"


def current_link_width_show(device: PciDevice, caller: Caller) -> str:
    return f"{pcie_capability_read(device, cfg.PCIE_LINK_STATUS, 2) >> 4 & 0x3F}\n"


def _aer_show(names: Sequence[str], total: str) -> str:
    """No error ever happens here."""
    return "".join(f"{name} 0\n" for name in (*names, f"TOTAL_{total}"))


def aer_dev_correctable_show(device: PciDevice, caller: Caller) -> str:
    return _aer_show(device.pci_bus.section.aer_correctable, "ERR_COR")


def aer_dev_fatal_show(device: PciDevice, caller: Caller) -> str:
    return _aer_show(device.pci_bus.section.aer_uncorrectable, "ERR_FATAL")


def aer_dev_nonfatal_show(device: PciDevice, caller: Caller) -> str:
    return _aer_show(device.pci_bus.section.aer_uncorrectable, "ERR_NONFATAL")


def _ratelimit_attributes(kind: str) -> tuple[Attribute, ...]:
    """drivers/pci/pcie/aer.c, 7.2: EPERM, EINVAL; milliseconds go in, jiffies come out."""

    def interval_show(device: PciDevice, caller: Caller) -> str:
        return f"{device.aer_ratelimits[kind][0]}\n"

    def interval_store(device: PciDevice, caller: Caller, data: bytes) -> None:
        _require_admin(caller)
        milliseconds = max(kstrtoint_or_einval(data), 0)
        limit = device.pci_bus.section.aer_ratelimit
        assert limit is not None
        device.aer_ratelimits[kind][0] = -(-milliseconds * limit.hz // 1000)

    def burst_show(device: PciDevice, caller: Caller) -> str:
        return f"{device.aer_ratelimits[kind][1]}\n"

    def burst_store(device: PciDevice, caller: Caller, data: bytes) -> None:
        _require_admin(caller)
        device.aer_ratelimits[kind][1] = kstrtoint_or_einval(data)

    return (
        Attribute(f"{kind}_ratelimit_interval_ms", 0o644, interval_show, interval_store),
        Attribute(f"{kind}_ratelimit_burst", 0o644, burst_show, burst_store),
    )


# --- bridges


def secondary_bus_number_show(device: PciDevice, caller: Caller) -> str:
    return f"{device.pci_read_config(cfg.SECONDARY_BUS, 1)}\n"


def subordinate_bus_number_show(device: PciDevice, caller: Caller) -> str:
    return f"{device.pci_read_config(cfg.SUBORDINATE_BUS, 1)}\n"


def reset_subordinate_store(device: PciDevice, caller: Caller, data: bytes) -> None:
    """EPERM, EINVAL; non-zero resets all functions behind the bridge."""
    _require_admin(caller)
    if kstrtoul_or_einval(data) and device.subordinate is not None:
        pci_reset_bus(device.subordinate)


# --- which function has which


_ALWAYS = (
    Attribute("power_state", 0o444, power_state_show),
    Attribute("resource", 0o444, resource_show),
    Attribute("vendor", 0o444, vendor_show),
    Attribute("device", 0o444, device_show),
    Attribute("subsystem_vendor", 0o444, subsystem_vendor_show),
    Attribute("subsystem_device", 0o444, subsystem_device_show),
    Attribute("revision", 0o444, revision_show),
    Attribute("class", 0o444, class_show),
    Attribute("irq", 0o444, irq_show),
    Attribute("local_cpus", 0o444, local_cpus_show),
    Attribute("local_cpulist", 0o444, local_cpulist_show),
    Attribute("modalias", 0o444, modalias_show),
    Attribute("numa_node", 0o644, numa_node_show, numa_node_store),
    Attribute("dma_mask_bits", 0o444, dma_mask_bits_show),
    Attribute("consistent_dma_mask_bits", 0o444, consistent_dma_mask_bits_show),
    Attribute("enable", 0o644, enable_show, enable_store),
    Attribute("broken_parity_status", 0o644, broken_parity_status_show, broken_parity_status_store),
    Attribute("msi_bus", 0o644, msi_bus_show, msi_bus_store),
    Attribute("d3cold_allowed", 0o644, d3cold_allowed_show, d3cold_allowed_store),
    Attribute("driver_override", 0o644, driver_override_show, driver_override_store),
    Attribute("ari_enabled", 0o444, ari_enabled_show),
)
_HOTPLUG = (
    Attribute("remove", 0o220, None, remove_store),
    Attribute("rescan", 0o200, None, dev_rescan_store),
)
_RESET = (
    Attribute("reset", 0o200, None, reset_store),
    Attribute("reset_method", 0o644, reset_method_show, reset_method_store),
)
_BRIDGE = (
    Attribute("subordinate_bus_number", 0o444, subordinate_bus_number_show),
    Attribute("secondary_bus_number", 0o444, secondary_bus_number_show),
    Attribute("reset_subordinate", 0o200, None, reset_subordinate_store),
)
_PCIE = (
    Attribute("current_link_speed", 0o444, current_link_speed_show),
    Attribute("current_link_width", 0o444, current_link_width_show),
    Attribute("max_link_width", 0o444, max_link_width_show),
    Attribute("max_link_speed", 0o444, max_link_speed_show),
)
_AER = (
    Attribute("aer_dev_correctable", 0o444, aer_dev_correctable_show),
    Attribute("aer_dev_fatal", 0o444, aer_dev_fatal_show),
    Attribute("aer_dev_nonfatal", 0o444, aer_dev_nonfatal_show),
)
_AER_RATELIMIT = (*_ratelimit_attributes("correctable"), *_ratelimit_attributes("nonfatal"))
_SERIAL_NUMBER = (Attribute("serial_number", 0o400, serial_number_show),)
_BOOT_VGA = (Attribute("boot_vga", 0o444, boot_vga_show),)
#: Of what firmware has an object for, until a driver is bound.
WAITING_FOR_SUPPLIER = Attribute("waiting_for_supplier", 0o444, waiting_for_supplier_show)


def _shows_serial_number(device: PciDevice) -> bool:
    section = device.pci_bus.section
    return section.serial_number and bool(device.pci_find_ext_capability(cfg.EXT_CAP_DSN))


def pci_device_groups(device: PciDevice) -> tuple[AttributeGroup, ...]:
    """All groups of one function. ``link`` has no file without a switchable link state."""
    attributes = (
        *_ALWAYS,
        *(() if isinstance(device, VirtualFunction) else _HOTPLUG),
        config_attribute(device),
        *((rom_attribute(device),) if device.resources[PCI_ROM_RESOURCE].size else ()),
        *((VPD,) if device.pci_find_capability(cfg.CAP_VPD) else ()),
        *(_BOOT_VGA if device.class_code >> 8 == _CLASS_DISPLAY_VGA else ()),
        *(_RESET if device.reset_methods else ()),
        *(_BRIDGE if device.is_bridge else ()),
        *(_PCIE if device.pci_find_capability(cfg.CAP_PCIE) else ()),
        *(_AER if device.pci_find_ext_capability(cfg.EXT_CAP_AER) else ()),
        *(_SERIAL_NUMBER if _shows_serial_number(device) else ()),
        *((WAITING_FOR_SUPPLIER,) if device.firmware_node is not None else ()),
    )
    groups = (
        AttributeGroup(attributes),
        *sriov_groups(device),
        AttributeGroup((), name="link"),
    )
    if device.pci_bus.section.aer_ratelimit is None:
        return groups
    aer = device.pci_find_ext_capability(cfg.EXT_CAP_AER)
    return (*groups, AttributeGroup(_AER_RATELIMIT if aer else (), name="aer"))
