# SPDX-License-Identifier: Apache-2.0
"""Drivers of the kernel of which only the PCI side is modelled.

What their functions do behind PCI (a network interface, a disk) is not there; binding, unbinding
and what that changes in the function's directory is.
"""

from __future__ import annotations

import errno
from collections.abc import Collection
from functools import partial

from attrs import frozen

from harness.drivers.pci.bus import PciBus, PciSection
from harness.drivers.pci.device import PciDevice
from harness.drivers.pci.driver import (
    PciDriver,
    PciId,
    pci_id_from_device,
    pci_match_one_id,
    pci_register_driver,
    pci_unregister_driver,
)
from harness.hardware import pci_config as cfg
from harness.kernel.errors import Errno
from harness.kernel.module import Module
from harness.kernel.profile import Profile
from harness.kernel.system import Kernel


@frozen
class StockEntry:
    """What a driver takes, and what it does to a function then.

    ``id_table`` is the driver's own; ``takes_any``, it also takes what override or new_id force
    upon it (else ENODEV), as long as the function has ``capability``. ``enables`` and ``dma_bits``
    are what its probe does; ``keeps``, whether the probe succeeds. ``vectors`` is how many MSI-X
    vectors it uses at most. ``driver_managed_dma`` is the kernel's flag of that name. ``bus_speed``
    is what it finds the bus behind the function to have. ``known_data`` is the driver data of its
    ids where these are not told here; None if it has no ids.
    """

    name: str
    module: str | None
    id_table: tuple[PciId, ...] = ()
    takes_any: bool = False
    capability: int = 0
    enables: bool = False
    keeps: bool = True
    dma_bits: int = 32
    vectors: int = 0
    driver_managed_dma: bool = False
    bus_speed: str | None = None
    known_data: Collection[int] | None = None


class StockDriver(PciDriver):
    """One of them."""

    def __init__(self, entry: StockEntry, bus: PciBus) -> None:
        super().__init__(bus.kernel, bus, entry.module)
        self.entry = entry
        self.name = entry.name
        self.id_table = entry.id_table
        self.driver_managed_dma = entry.driver_managed_dma

    @property
    def known_data(self) -> Collection[int] | None:
        """See PciDriver."""
        told = self.entry.known_data
        return told if told is not None else super().known_data

    def probe(self, device: PciDevice) -> None:  # type: ignore[override]
        """ENODEV for what the driver cannot handle, and for what it gives up on."""
        entry = self.entry
        given = pci_id_from_device(device)
        known = any(pci_match_one_id(candidate, given) for candidate in entry.id_table)
        if not (known or entry.takes_any):
            raise Errno(errno.ENODEV)
        if entry.capability and not device.pci_find_capability(entry.capability):
            raise Errno(errno.ENODEV)
        if entry.enables:
            device.pci_enable_device()
        if entry.bus_speed and device.subordinate is not None:
            device.subordinate.max_bus_speed = entry.bus_speed
            device.subordinate.cur_bus_speed = entry.bus_speed
        if not entry.keeps:
            raise Errno(errno.ENODEV)
        if entry.vectors:
            device.pci_alloc_irq_vectors(1, entry.vectors)
            device.dma_set_mask_and_coherent(entry.dma_bits)
            device.pci_set_master()

    def remove(self, device: PciDevice) -> None:  # type: ignore[override]
        """Undo the probe."""
        if self.entry.vectors:
            device.pci_free_irq_vectors()
        if self.entry.enables:
            device.pci_disable_device()


#: A bridge, to the kernel 0x060400 (PCI_CLASS_BRIDGE_PCI_NORMAL).
_BRIDGE = PciId(class_code=0x060400, class_mask=0xFFFFFF)

#: virtio-pci: drivers/virtio/virtio_pci_common.c. shpchp enables a bridge, asks its controller for
#: the speed (shpc_get_cur_bus_speed), and leaves it so when ACPI has its slots already:
#: drivers/pci/hotplug/shpchp_core.c. pci-stub: drivers/pci/pci-stub.c. uio_pci_generic:
#: drivers/uio/uio_pci_generic.c.
STOCK = (
    StockEntry(
        "virtio-pci",
        "virtio_pci",
        (PciId(0x1AF4),),
        enables=True,
        dma_bits=64,
        vectors=2,
    ),
    StockEntry(
        "shpchp",
        "shpchp",
        (_BRIDGE,),
        capability=cfg.CAP_SHPC,
        enables=True,
        keeps=False,
        bus_speed="33 MHz PCI",
    ),
    StockEntry("pci-stub", "pci_stub", takes_any=True, driver_managed_dma=True),
    StockEntry("uio_pci_generic", "uio_pci_generic", takes_any=True, enables=True),
)


def _init(entry: StockEntry, kernel: Kernel) -> None:
    bus = kernel.buses["pci"]
    assert isinstance(bus, PciBus)
    pci_register_driver(StockDriver(entry, bus))


def _in_kernel(entry: StockEntry, profile: Profile) -> bool:
    return entry.module not in profile.section("pci", PciSection).absent_modules


def _exit(entry: StockEntry, kernel: Kernel) -> None:
    driver = kernel.buses["pci"].drivers[entry.name]
    assert isinstance(driver, PciDriver)
    pci_unregister_driver(driver)


MODULES = tuple(
    Module(
        entry.module,
        partial(_init, entry),
        exit=partial(_exit, entry),
        in_kernel=partial(_in_kernel, entry),
    )
    for entry in STOCK
    if entry.module is not None
)


#: Driver data of ids. Most drivers that are part of the kernel have none; to 8250_mid they are
#: pointers, and to serial numbers of boards, of which nobody has told the last.
_NO_DATA = frozenset({0})
_BUILTIN_DATA: dict[str, Collection[int] | None] = {"8250_mid": (), "serial": None}


def register_builtin_drivers(bus: PciBus) -> None:
    """The drivers that are part of the kernel itself."""
    for name, module in bus.section.builtin_drivers.items():
        if module is None:
            continue
        shown = module if bus.section.builtin_modules else None
        data = _BUILTIN_DATA.get(name, _NO_DATA)
        pci_register_driver(StockDriver(StockEntry(name, shown, known_data=data), bus))
