# SPDX-License-Identifier: Apache-2.0
"""A PCI function as the kernel knows it: drivers/pci/{probe,pci,msi/msi}.c, 6.1.

Nothing here repeats what the function's configuration space holds; it is read when it is needed.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen

from harness.drivers.pci.dma import FunctionDma
from harness.drivers.pci.intx import IntxLine
from harness.drivers.pci.iommu import NO_IOMMU
from harness.drivers.pci.reset import pci_init_reset_methods
from harness.hardware import pci_config as cfg
from harness.hardware.pci import PciFunction
from harness.hardware.pci_config import Bar, FunctionEntry
from harness.kernel.driver_core import Device
from harness.kernel.errors import Errno
from harness.kernel.power import PowerState
from harness.kernel.sysfs import Attribute, sysfs_create_file, sysfs_create_link
from harness.kernel.task import Caller
from harness.kernel.wakeup import WakeupSource, wakeup_source_register

if TYPE_CHECKING:
    from harness.drivers.pci.bus import PciBus, PciSegment
    from harness.drivers.pci.driver import PciId
    from harness.drivers.pci.iov import VirtualFunction

IORESOURCE_IO = 0x100
IORESOURCE_MEM = 0x200
IORESOURCE_PREFETCH = 0x2000
IORESOURCE_READONLY = 0x4000
IORESOURCE_SIZEALIGN = 0x40000
IORESOURCE_MEM_64 = 0x100000
#: 6 BARs, the ROM and 6 BARs of virtual functions; a bridge has 4 windows more.
PCI_BRIDGE_RESOURCES = 13
DEVICE_COUNT_RESOURCE = 17
PCI_STD_NUM_BARS = 6
PCI_ROM_RESOURCE = 6
PCI_IOV_RESOURCES = 7
_ROM_FLAGS = IORESOURCE_MEM | IORESOURCE_PREFETCH | IORESOURCE_READONLY | IORESOURCE_SIZEALIGN
#: In the low bits of a bridge's windows: addresses of 32 bits (I/O), of 64 bits (memory).
_WINDOW_IO_32 = _WINDOW_MEMORY_64 = 1

HEADER_TYPE_BRIDGE = 1
PCI_POWER_NAMES = ("D0", "D1", "D2", "D3hot")
#: In the power management capabilities: that the function has the states that it may lack.
_LOW_POWER = {1: cfg.PM_D1, 2: cfg.PM_D2}
PCI_POWER_UNKNOWN = "unknown"
#: Where x86 puts the message of an interrupt (arch/x86/include/asm/msi.h).
MSI_ADDRESS = 0xFEE00000
MSIX_ENTRY_SIZE = 16

InterruptHandler = Callable[[int], None]


@frozen
class Resource:
    """What a BAR decodes (struct resource); all zero if there is none."""

    start: int = 0
    end: int = 0
    flags: int = 0

    @property
    def size(self) -> int:
        """Bytes (resource_size)."""
        return self.end - self.start + 1 if self.flags else 0


def link_firmware_node(device: Device, path: str) -> None:
    """The link to an ACPI object by its path below /sys/devices (acpi_bind_one)."""
    node = device.kernel.sysfs.directory("devices")
    for name in path.split("/"):
        node = node.directory(name)
    sysfs_create_link(device.sysfs, node, "firmware_node")


def msi_mode_show(device: PciDevice, caller: Caller) -> str:
    """kernel/irq/msi.c msi_mode_show."""
    return "msix\n" if device.msix_enabled else "msi\n"


def _window(start: int, end: int, flags: int) -> Resource:
    """A bridge's window; none if the base is above the limit."""
    return Resource(start, end, flags) if start <= end else Resource()


@frozen
class Site:
    """A place in the machine and the function in it, with what firmware says of it.

    ``firmware_node`` is the path of its ACPI object below /sys/devices. ACPI routes its pin to the
    interrupt ``routed_irq`` when it is enabled, and describes ``slots`` hot-plug slots behind it.
    ``virtual_function`` is what it makes of itself, if it can.
    """

    address: str
    function: PciFunction
    numa_node: int = -1
    firmware_node: str | None = None
    routed_irq: int | None = None
    slots: int = 0
    virtual_function: FunctionEntry | None = None

    @property
    def bus_name(self) -> str:
        """The bus it is on, ``DDDD:BB``."""
        return self.address[:7]

    @property
    def devfn(self) -> int:
        """Device and function number as one."""
        return int(self.address[8:10], 16) << 3 | int(self.address[11])


class PciDevice(Device):
    """A function on the bus (struct pci_dev)."""

    def __init__(self, segment: PciSegment, site: Site) -> None:
        super().__init__(segment.kernel, site.address, segment.pci_bus, segment.bridge)
        self.pci_bus: PciBus = segment.pci_bus
        self.segment = segment
        self.site = site
        self.function = site.function
        self.firmware_node = site.firmware_node
        self.irq = self._pci_read_irq()
        self.numa_node = site.numa_node
        iommu = segment.pci_bus.iommu
        self.iommu = iommu.info if iommu is not None else NO_IOMMU
        #: Whether DMA of the function goes through an IOMMU at all.
        self.in_iommu_group = iommu is not None
        self.subordinate: PciSegment | None = None
        self.id: PciId | None = None
        self.is_added = self.match_driver = False
        self.driver_override: str | None = None
        self.enable_cnt = 0
        self.dma_mask = self.coherent_dma_mask = 0xFFFFFFFF
        self.wakeup: WakeupSource | None = None
        up = segment.pci_bus.section.power_up
        self.current_state = PCI_POWER_NAMES[0] if up else PCI_POWER_UNKNOWN
        #: Interval and burst of the log of correctable errors, and of the others (struct aer_info).
        limit = segment.pci_bus.section.aer_ratelimit
        self.aer_ratelimits = (
            {}
            if limit is None
            else {name: [limit.interval, limit.burst] for name in ("correctable", "nonfatal")}
        )
        self.no_msi = self.broken_parity_status = False
        self.irq_handlers: dict[int, InterruptHandler] = {}
        #: Linux's numbers of the vectors that are on.
        self.msi_irqs: list[int] = []
        self.rom_attr_enabled = False
        self.sriov_cap = self.pci_find_ext_capability(cfg.EXT_CAP_SRIOV)
        self.sriov_drivers_autoprobe = True
        self.virtual_functions: list[VirtualFunction] = []
        self.resources = self._pci_read_bases()
        self.pm_cap = self.pci_find_capability(cfg.CAP_PM)
        self.d3cold_allowed = bool(self.pm_cap)
        self.power = PowerState(  # pci_pm_init: active, and forbidden to suspend
            runtime_pm=True,
            runtime_auto=False,
            async_suspend=True,
            usage_count=1,
            parent=segment.bridge.power,
            ops=self,
        )
        self.reset_methods = pci_init_reset_methods(self)
        self.intx = IntxLine(self)
        self.function.interrupt = self._handle_irq
        self.function.trace = self._report
        self.function.dma = FunctionDma(self)

    @property
    def address(self) -> str:
        """``DDDD:BB:DD.F``."""
        return self.name

    @property
    def config_size(self) -> int:
        """256 or 4096 bytes (pci_cfg_space_size)."""
        return len(self.function.config)

    def pci_read_config(self, offset: int, size: int) -> int:
        """``size`` (1, 2 or 4) bytes of configuration space as a number."""
        return self.function.config_read(offset, size)

    def pci_write_config(self, offset: int, size: int, value: int) -> None:
        """Write ``size`` (1, 2 or 4) bytes of configuration space."""
        self.function.config_write(offset, size, value)

    def pci_find_capability(self, number: int) -> int:
        """The offset of a capability, 0 if it is not there."""
        return cfg.find_capability(self.function.config, number)

    def pci_find_ext_capability(self, number: int) -> int:
        """The offset of an extended capability, 0 if it is not there."""
        return cfg.find_extended_capability(self.function.config, number)

    @property
    def may_probe(self) -> bool:
        """Whether drivers may have it (pci_device_can_probe)."""
        return True

    @property
    def vendor(self) -> int:
        return self.pci_read_config(cfg.VENDOR_ID, 2)

    @property
    def device(self) -> int:
        return self.pci_read_config(cfg.DEVICE_ID, 2)

    @property
    def subsystem_vendor(self) -> int:
        return 0 if self.is_bridge else self.pci_read_config(cfg.SUBSYSTEM_VENDOR_ID, 2)

    @property
    def subsystem_device(self) -> int:
        return 0 if self.is_bridge else self.pci_read_config(cfg.SUBSYSTEM_ID, 2)

    @property
    def class_code(self) -> int:
        """Base class, subclass and programming interface: 24 bits."""
        return self.pci_read_config(cfg.REVISION_ID, 4) >> 8

    @property
    def revision(self) -> int:
        return self.pci_read_config(cfg.REVISION_ID, 1)

    def _pci_read_irq(self) -> int:
        """The interrupt line as firmware routed it; 0 without a pin (pci_read_irq)."""
        if not self.pci_read_config(cfg.INTERRUPT_PIN, 1):
            return 0
        return self.pci_read_config(cfg.INTERRUPT_LINE, 1)

    @property
    def header_type(self) -> int:
        """What the header is of: 0 for a function, 1 for a bridge."""
        return self.pci_read_config(cfg.HEADER_TYPE, 1) & 0x7F

    @property
    def is_bridge(self) -> bool:
        """Whether the header is a PCI-to-PCI bridge's."""
        return self.header_type == HEADER_TYPE_BRIDGE

    @property
    def is_multifunction(self) -> bool:
        """Whether its slot may have further functions."""
        return bool(self.pci_read_config(cfg.HEADER_TYPE, 1) & 0x80)

    @property
    def root_bus_name(self) -> str:
        """The root bus that it is on or below."""
        bridge = self.segment.self_device
        return bridge.root_bus_name if bridge is not None else self.segment.name

    @property
    def modalias(self) -> str:
        """What modprobe matches against the aliases of modules."""
        code = self.class_code
        return (
            f"pci:v{self.vendor:08X}d{self.device:08X}"
            f"sv{self.subsystem_vendor:08X}sd{self.subsystem_device:08X}"
            f"bc{code >> 16:02X}sc{code >> 8 & 0xFF:02X}i{code & 0xFF:02X}"
        )

    def _pci_read_bases(self) -> list[Resource]:
        """The resources, from what the BARs hold (pci_read_bases, __pci_read_base)."""
        count = DEVICE_COUNT_RESOURCE if self.is_bridge else PCI_BRIDGE_RESOURCES
        resources = [Resource()] * count
        for index, bar in self.function.bars.items():
            value = self.pci_read_config(cfg.BASE_ADDRESS_0 + 4 * index, 4)
            if value & cfg.BAR_IO:
                start, flags = value & ~0x3, value & 0x3 | IORESOURCE_IO
            else:
                start, flags = value & ~0xF, value & 0xF | IORESOURCE_MEM
                flags |= IORESOURCE_PREFETCH * bool(value & cfg.BAR_PREFETCHABLE)
                if value & cfg.BAR_64BIT:
                    start |= self.pci_read_config(cfg.BASE_ADDRESS_0 + 4 * index + 4, 4) << 32
                    flags |= IORESOURCE_MEM_64
            end = start + bar.size - 1
            resources[index] = Resource(start, end, flags | IORESOURCE_SIZEALIGN)
        rom = self.function.entry.rom
        if rom is not None:
            start = self.pci_read_config(cfg.ROM_ADDRESS, 4) & ~0x7FF
            resources[PCI_ROM_RESOURCE] = Resource(start, start + rom.size - 1, _ROM_FLAGS)
        if self.sriov_cap and self.site.virtual_function is not None:
            for index, bar in self.site.virtual_function.bars.items():
                resources[PCI_IOV_RESOURCES + index] = self._sriov_region(index, bar)
        if self.is_bridge:
            resources[PCI_BRIDGE_RESOURCES:] = [*self._pci_read_bridge_bases(), Resource()]
        return resources

    def _sriov_region(self, index: int, bar: Bar) -> Resource:
        """Where this BAR of all virtual functions together is (sriov_init)."""
        register = self.sriov_cap + cfg.SRIOV_BAR_0 + 4 * index
        start, flags = self.pci_read_config(register, 4), bar.flags() | IORESOURCE_MEM
        if bar.bits == 64:
            start |= self.pci_read_config(register + 4, 4) << 32
            flags |= IORESOURCE_MEM_64
        flags |= IORESOURCE_PREFETCH * bar.prefetchable | IORESOURCE_SIZEALIGN
        start &= ~0xF
        count = self.pci_read_config(self.sriov_cap + cfg.SRIOV_TOTAL_VFS, 2)
        return Resource(start, start + bar.size * count - 1, flags)

    def _pci_read_bridge_bases(self) -> list[Resource]:
        """The windows for what is behind a bridge: I/O, memory, prefetchable memory."""
        return [self._io_window(), self._memory_window(), self._pref_window()]

    def _io_window(self) -> Resource:
        base, limit = self._read_pair(cfg.IO_BASE, cfg.IO_LIMIT, 1)
        start, end = (base & 0xF0) << 8, (limit & 0xF0) << 8
        if base & 0xF == _WINDOW_IO_32:
            upper_base, upper_limit = self._read_pair(cfg.IO_BASE_UPPER, cfg.IO_LIMIT_UPPER, 2)
            start, end = start | upper_base << 16, end | upper_limit << 16
        return _window(start, end + 0xFFF, base & 0xF | IORESOURCE_IO)

    def _memory_window(self) -> Resource:
        base, limit = self._read_pair(cfg.MEMORY_BASE, cfg.MEMORY_LIMIT, 2)
        start, end = (base & 0xFFF0) << 16, (limit & 0xFFF0) << 16
        return _window(start, end + 0xFFFFF, base & 0xF | IORESOURCE_MEM)

    def _pref_window(self) -> Resource:
        base, limit = self._read_pair(cfg.PREF_BASE, cfg.PREF_LIMIT, 2)
        start, end = (base & 0xFFF0) << 16, (limit & 0xFFF0) << 16
        flags = base & 0xF | IORESOURCE_MEM | IORESOURCE_PREFETCH
        if base & 0xF == _WINDOW_MEMORY_64:
            upper_base, upper_limit = self._read_pair(cfg.PREF_BASE_UPPER, cfg.PREF_LIMIT_UPPER, 4)
            start, end = start | upper_base << 32, end | upper_limit << 32
            flags |= IORESOURCE_MEM_64
        return _window(start, end + 0xFFFFF, flags)

    def _read_pair(self, first: int, second: int, size: int) -> tuple[int, int]:
        return self.pci_read_config(first, size), self.pci_read_config(second, size)

    def platform_notify(self) -> None:
        """The links to the ACPI object (acpi_bind_one) and to the IOMMU's group."""
        if self.firmware_node is not None:
            link_firmware_node(self, self.firmware_node)
            if self.pci_bus.section.acpi_wakeup:
                name = self.firmware_node.rpartition("/")[2]
                self.wakeup = wakeup_source_register(self, name)
        if self.pci_bus.iommu is not None:
            self.pci_bus.iommu.iommu_probe_device(self)

    # --- enabling: drivers/pci/pci.c, drivers/pci/setup-res.c

    def pci_update_current_state(self) -> None:
        """Ask the power management capability, if there is one, for the power state."""
        if self.pm_cap:
            state = self.pci_read_config(self.pm_cap + cfg.PM_CONTROL, 2) & cfg.PM_STATE
            self.current_state = PCI_POWER_NAMES[state]

    def pci_enable_device(self) -> None:
        """Power up and decode the BARs, for the first user (pci_enable_device_flags)."""
        self.pci_update_current_state()
        self.enable_cnt += 1
        if self.enable_cnt > 1:
            return
        self._pci_enable_bridge()
        self.pci_power_up()
        self._pci_enable_resources()
        self.pcibios_enable_irq()

    def pcibios_enable_irq(self) -> None:
        """ACPI routes the pin (acpi_pci_irq_enable); it stays so when the function is disabled."""
        if self.site.routed_irq is not None and self.pci_read_config(cfg.INTERRUPT_PIN, 1):
            self.irq = self.site.routed_irq

    def _pci_enable_bridge(self) -> None:
        bridge = self.segment.self_device
        if bridge is None:
            return
        if not bridge.enable_cnt:
            bridge.pci_enable_device()
        bridge.pci_set_master()

    def pci_power_up(self) -> None:
        """To D0, in which a function without the capability is taken to be (pci_power_up)."""
        if self.pm_cap:
            control = self.pci_read_config(self.pm_cap + cfg.PM_CONTROL, 2)
            if control & cfg.PM_STATE:
                self.pci_write_config(self.pm_cap + cfg.PM_CONTROL, 2, 0)
        self.current_state = PCI_POWER_NAMES[0]

    def runtime_suspend(self) -> None:
        """pci_pm_runtime_suspend of a function without a driver: it stays in D0."""

    def runtime_resume(self) -> None:
        """pci_pm_runtime_resume: what it was like in its sleep is not asked for."""
        self.pci_power_up()

    def pci_set_power_state(self, state: int) -> None:
        """To D0, or to a deeper state than the present one (drivers/pci/pci.c, 6.1). The function
        has the capability. EINVAL for one less deep, EIO for one that the function has not."""
        if self.current_state == PCI_POWER_NAMES[state]:
            return
        if state == 0:
            self.pci_power_up()
            return
        if self.current_state in PCI_POWER_NAMES[state:]:
            raise Errno(errno.EINVAL)
        supported = self.pci_read_config(self.pm_cap + cfg.PM_CAPABILITIES, 2)
        if not supported & _LOW_POWER.get(state, supported):
            raise Errno(errno.EIO)
        control = self.pci_read_config(self.pm_cap + cfg.PM_CONTROL, 2)
        self.pci_write_config(self.pm_cap + cfg.PM_CONTROL, 2, control & ~cfg.PM_STATE | state)
        self.pci_update_current_state()

    def _pci_enable_resources(self) -> None:
        command = self.pci_read_config(cfg.COMMAND, 2)
        wanted = command
        for index, resource in enumerate(self.resources):
            if index == PCI_ROM_RESOURCE:  # decoded only while it is read
                continue
            wanted |= cfg.COMMAND_IO * bool(resource.flags & IORESOURCE_IO)
            wanted |= cfg.COMMAND_MEMORY * bool(resource.flags & IORESOURCE_MEM)
        if wanted != command:
            self.pci_write_config(cfg.COMMAND, 2, wanted)

    def pci_disable_device(self) -> None:
        """The last user is gone: no more bus mastering (do_pci_disable_device)."""
        self.enable_cnt -= 1
        if self.enable_cnt == 0:
            self.pci_clear_master()

    def pci_set_master(self) -> None:
        """Let the function be a bus master."""
        self._set_command(cfg.COMMAND_MASTER, on=True)

    def pci_clear_master(self) -> None:
        """Stop the function from being a bus master."""
        self._set_command(cfg.COMMAND_MASTER, on=False)

    def _set_command(self, bit: int, *, on: bool) -> None:
        command = self.pci_read_config(cfg.COMMAND, 2)
        wanted = command | bit if on else command & ~bit
        if wanted != command:
            self.pci_write_config(cfg.COMMAND, 2, wanted)

    def dma_set_mask_and_coherent(self, bits: int) -> None:
        """How wide the function's addresses are."""
        self.dma_mask = self.coherent_dma_mask = (1 << bits) - 1

    # --- MSI and MSI-X: drivers/pci/msi/msi.c

    def pci_msix_vec_count(self) -> int:
        """How many vectors the function has; EINVAL if it has no MSI-X."""
        capability = self.pci_find_capability(cfg.CAP_MSIX)
        if not capability:
            raise Errno(errno.EINVAL)
        return (self._msix_control(capability) & cfg.MSIX_SIZE) + 1

    def pci_msi_vec_count(self) -> int:
        """How many messages of MSI the function has; EINVAL if it has no MSI."""
        capability = self.pci_find_capability(cfg.CAP_MSI)
        if not capability:
            raise Errno(errno.EINVAL)
        return 1 << ((self._msi_control(capability) & cfg.MSI_CAPABLE) >> 1)

    def pci_alloc_irq_vectors(self, minimum: int, maximum: int, *, msix: bool = True) -> int:
        """Turn MSI-X, or MSI, on with as many vectors as there are; how many.

        ERANGE if that is less than no vector; EINVAL without the capability or while it is
        disallowed; ENOSPC if there are fewer than ``minimum`` (__pci_enable_msix_range,
        __pci_enable_msi_range). Several messages of MSI are one for the processor's interrupt
        controller, so that there is but one unless the IOMMU tells them apart
        (MSI_FLAG_MULTI_PCI_MSI, msi_capability_init).
        """
        if maximum < minimum:
            raise Errno(errno.ERANGE)
        if self.no_msi:
            raise Errno(errno.EINVAL)
        count = min(self.pci_msix_vec_count() if msix else self.pci_msi_vec_count(), maximum)
        if not msix and not self.iommu.capabilities.isolates_msi:
            count = min(count, 1)
        if count < minimum:
            raise Errno(errno.ENOSPC)
        if msix:
            self._msix_capability_init()
        else:
            self._msi_capability_init(count)
        for _ in range(count):
            self._msi_sysfs_populate_desc()
        return count

    def pci_msix_alloc_irq_at(self) -> None:
        """One vector more of MSI-X that is on (6.3)."""
        self._msi_sysfs_populate_desc()

    def _msix_capability_init(self) -> None:
        capability = self.pci_find_capability(cfg.CAP_MSIX)
        self._msix_set(capability, cfg.MSIX_ENABLE | cfg.MSIX_MASK_ALL, 0)
        self.intx.pci_intx(enable=False)
        for vector in range(self.pci_msix_vec_count()):
            self._msix_mask(vector, masked=True)
        self._msix_set(capability, 0, cfg.MSIX_MASK_ALL)

    def _msi_capability_init(self, count: int) -> None:
        capability = self.pci_find_capability(cfg.CAP_MSI)
        self.pci_write_config(capability + 4, 4, MSI_ADDRESS)
        size = (count - 1).bit_length() << 4
        control = self._msi_control(capability) & ~cfg.MSI_ENABLED_COUNT | size
        self.pci_write_config(capability + cfg.MSI_CONTROL, 2, control | cfg.MSI_ENABLE)
        self.intx.pci_intx(enable=False)

    def _msi_sysfs_populate_desc(self) -> None:
        """A file for a vector, named as the interrupt's number (kernel/irq/msi.c)."""
        number = self.pci_bus.irqs.alloc()
        self.msi_irqs.append(number)
        directory = self.sysfs.directory("msi_irqs")
        sysfs_create_file(directory, self, Attribute(str(number), 0o444, msi_mode_show))

    def _msi_device_destroy_sysfs(self) -> None:
        for number in self.msi_irqs:
            self.pci_bus.irqs.free(number)
        self.msi_irqs = []
        self.sysfs.remove("msi_irqs")

    def pci_free_irq_vectors(self) -> None:
        """Turn MSI-X or MSI off (pci_msix_shutdown, pci_msi_shutdown)."""
        if self.msix_enabled:
            for vector in range(self.pci_msix_vec_count()):
                self._msix_mask(vector, masked=True)
            self._msix_set(self.pci_find_capability(cfg.CAP_MSIX), 0, cfg.MSIX_ENABLE)
        elif capability := self.pci_find_capability(cfg.CAP_MSI):
            control = self._msi_control(capability)
            if not control & cfg.MSI_ENABLE:
                return
            self.pci_write_config(capability + cfg.MSI_CONTROL, 2, control & ~cfg.MSI_ENABLE)
        else:
            return
        self._msi_device_destroy_sysfs()
        self.intx.pci_intx(enable=True)

    @property
    def msix_enabled(self) -> bool:
        """Whether MSI-X is on."""
        capability = self.pci_find_capability(cfg.CAP_MSIX)
        return bool(capability and self._msix_control(capability) & cfg.MSIX_ENABLE)

    def request_irq(self, vector: int, handler: InterruptHandler) -> None:
        """Call ``handler(vector)`` at each interrupt; EBUSY if the vector has a handler."""
        if vector in self.irq_handlers:
            raise Errno(errno.EBUSY)
        self.irq_handlers[vector] = handler
        if self.msix_enabled:
            self.pci_write_msg_msix(vector)

    def pci_write_msg_msix(self, vector: int) -> None:
        """Store the vector's message and unmask it."""
        bar, entry = self._msix_entry(vector)
        for offset, value in ((0, MSI_ADDRESS), (4, 0), (8, vector)):
            self.function.store(bar, entry + offset, 4, value)
        self._msix_mask(vector, masked=False)

    def free_irq(self, vector: int) -> None:
        """Forget the vector's handler; none is no error."""
        if self.irq_handlers.pop(vector, None) is not None and self.msix_enabled:
            self._msix_mask(vector, masked=True)

    def _msix_control(self, capability: int) -> int:
        return self.pci_read_config(capability + cfg.MSIX_CONTROL, 2)

    def _msi_control(self, capability: int) -> int:
        return self.pci_read_config(capability + cfg.MSI_CONTROL, 2)

    def _msix_set(self, capability: int, bits: int, clear: int) -> None:
        control = self._msix_control(capability) & ~clear | bits
        self.pci_write_config(capability + cfg.MSIX_CONTROL, 2, control)

    def _msix_entry(self, vector: int) -> tuple[int, int]:
        table = self.pci_read_config(self.pci_find_capability(cfg.CAP_MSIX) + 4, 4)
        return table & 7, (table & ~7) + MSIX_ENTRY_SIZE * vector

    def _msix_mask(self, vector: int, *, masked: bool) -> None:
        bar, entry = self._msix_entry(vector)
        self.function.store(bar, entry + 12, 4, int(masked))

    def _handle_irq(self, vector: int) -> None:
        """The function raised ``vector``: report it and call its handler."""
        self.pci_bus.interrupt(self, vector)
        handler = self.irq_handlers.get(vector)
        if handler is not None:
            handler(vector)

    def _report(self, operation: str, arguments: tuple[Any, ...]) -> None:
        """The function executed a command of its own."""
        self.kernel.trace.emit(operation, self.address, *arguments)
