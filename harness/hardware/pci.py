# SPDX-License-Identifier: Apache-2.0
"""A PCI function as hardware sees it: configuration space, BARs, MSI-X, function level reset.

Loads and stores are little-endian numbers of 1, 2, 4 or 8 bytes. A BAR without further meaning is
memory. Follows the PCI Local Bus Specification 3.0 and the PCI Express Base Specification.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from harness.hardware import pci_config as cfg
from harness.hardware.config_mask import build_mask
from harness.hardware.msi import Msi
from harness.hardware.pci_config import (
    ConfigError,
    FunctionEntry,
    build_config,
    find_capability,
    load,
)
from harness.hardware.qemu_config import build_qemu_mask

MSIX_ENTRY_SIZE = 16
#: Of an entry of the MSI-X table: where the vector control is, and its mask bit.
MSIX_VECTOR_CONTROL, MSIX_VECTOR_MASKED = 12, 1
#: In the PCI Express capability: the high byte of Device Control, and the bit in it.
_DEVICE_CONTROL_HIGH, _INITIATE_FLR = 0x09, 0x80
#: What software turns on, and a machine file may have recorded as such: extended capability, offset
#: and size. A reset clears it.
_TURNED_ON = (
    (cfg.EXT_CAP_ATS, 0x06, 2),
    (cfg.EXT_CAP_PRI, 0x04, 2),
    (cfg.EXT_CAP_PRI, 0x0C, 4),
    (cfg.EXT_CAP_PASID, 0x06, 2),
)
_COMMAND_DECODES = {"memory": cfg.COMMAND_MEMORY, "io": cfg.COMMAND_IO}


class DmaFault(Exception):
    """The function may not access memory at this address; nothing was read or written there."""

    def __init__(self, address: int) -> None:
        super().__init__(f"{address:#x}")
        self.address = address


class Dma(Protocol):
    """Memory as a function reaches it, by the addresses that its driver gave it."""

    def read(self, address: int, count: int) -> bytes:
        """Exactly ``count`` bytes, or DmaFault."""

    def write(self, address: int, data: bytes) -> None:
        """Store ``data``, or DmaFault: what came before that address may have been stored."""


class PciFunction:
    """One function. Whoever puts it into a machine sets its callbacks, ``dma`` and ``trace``.

    ``interrupt(vector)`` delivers a message of MSI-X or MSI, ``line()`` hears that the function
    pulls its interrupt line; ``trace(operation, arguments)`` hears of the commands that the
    hardware executes. ConfigError for ``registers``, unless the kind of device takes some.
    """

    takes_registers = False

    def __init__(self, entry: FunctionEntry) -> None:
        if entry.registers and not self.takes_registers:
            raise ConfigError(f'a device of kind "{entry.kind}" takes none', "registers")
        self.entry = entry
        self.bars = dict(entry.bars)
        #: What is in the expansion ROM up to the end of its last image; empty if there is none.
        self.rom_image = entry.rom.image if entry.rom is not None else b""
        self.config = build_config(entry)
        self.interrupt: Callable[[int], None] | None = None
        self.line: Callable[[], None] | None = None
        self.dma: Dma | None = None
        self.trace: Callable[[str, tuple[Any, ...]], None] | None = None
        build = build_qemu_mask if entry.qemu else build_mask
        self._mask = build(self.config, self.bars, entry.rom)
        self._memory: dict[int, bytearray] = {}
        self._msix = self._find_msix()
        self._msi = Msi(self.config)
        self._mask_vectors()

    def _find_msix(self) -> int:
        """The capability's offset; 0 without it, or if its structures are in no BAR."""
        capability = find_capability(self.config, cfg.CAP_MSIX)
        if not capability:
            return 0
        vectors = (load(self.config, capability + cfg.MSIX_CONTROL, 2) & cfg.MSIX_SIZE) + 1
        for offset, size in ((4, MSIX_ENTRY_SIZE * vectors), (8, -(-vectors // 8))):
            place = load(self.config, capability + offset, 4)
            bar = self.bars.get(place & 7)
            if bar is None or (place & ~7) + size > bar.size:
                return 0
        return capability

    # --- configuration space

    def config_read(self, offset: int, size: int) -> int:
        """``size`` bytes at ``offset`` as a number; all ones past the end."""
        if offset + size > len(self.config):
            return (1 << 8 * size) - 1
        return load(self.config, offset, size)

    def config_write(self, offset: int, size: int, value: int) -> None:
        """Write ``size`` bytes at ``offset``; read-only bits and what is past the end stay."""
        if offset + size > len(self.config):
            return
        before, line = self._power_state(), self.line_asserted
        self._mask.write(self.config, offset, value.to_bytes(size, "little"))
        if self._initiates_flr(offset, size, value) or (
            before == cfg.PM_STATE and self._power_state() == 0 and self._loses_state()
        ):
            self.reset()
        self._deliver_pending()
        self._pull_line(line)

    def _power_state(self) -> int:
        capability = find_capability(self.config, cfg.CAP_PM)
        return self.config[capability + cfg.PM_CONTROL] & cfg.PM_STATE if capability else 0

    def _loses_state(self) -> bool:
        """Whether coming back from D3hot is a reset, which QEMU 7.2 knows nothing of."""
        if self.entry.qemu:
            return False
        capability = find_capability(self.config, cfg.CAP_PM)
        return not self.config[capability + cfg.PM_CONTROL] & cfg.PM_NO_SOFT_RESET

    @property
    def has_flr(self) -> bool:
        """Whether it can be reset by itself."""
        capability = find_capability(self.config, cfg.CAP_PCIE)
        device = load(self.config, capability + cfg.PCIE_DEVICE, 4) if capability else 0
        return bool(device & cfg.PCIE_DEVICE_FLR)

    def _initiates_flr(self, offset: int, size: int, value: int) -> bool:
        if not self.has_flr:
            return False
        capability = find_capability(self.config, cfg.CAP_PCIE)
        position = capability + _DEVICE_CONTROL_HIGH - offset
        return 0 <= position < size and bool(value >> 8 * position & _INITIATE_FLR)

    # --- reset

    def reset(self) -> None:
        """Function level reset: nothing that software wrote survives, BAR addresses included.

        In QEMU that is the header, MSI and MSI-X (pci_do_device_reset: hw/pci/pci.c, 7.2).
        """
        if not self.entry.qemu:
            self.config[:] = build_config(self.entry)
        for offset, size in ((cfg.COMMAND, 2), (cfg.CACHE_LINE_SIZE, 1), (cfg.INTERRUPT_LINE, 1)):
            self.config[offset : offset + size] = bytes(size)
        for index, bar in self.bars.items():
            start, size = cfg.BASE_ADDRESS_0 + 4 * index, bar.bits // 8
            self.config[start : start + size] = bar.flags().to_bytes(size, "little")
        if self.entry.rom is not None:
            self.config[cfg.ROM_ADDRESS : cfg.ROM_ADDRESS + 4] = bytes(4)
        for number, offset, size in _TURNED_ON:
            capability = cfg.find_extended_capability(self.config, number)
            if capability:
                start = capability + offset
                self.config[start : start + size] = bytes(size)
        if self._msix:
            self.config[self._msix + cfg.MSIX_CONTROL + 1] &= 0x07
        self._msi.reset()
        for memory in self._memory.values():
            memory[:] = bytes(len(memory))
        self._mask_vectors()

    # --- BARs

    def load(self, bar: int, offset: int, size: int) -> int:
        """What the processor loads from a BAR; all ones if the function does not decode it."""
        if not self._decodes(bar, offset, size):
            return (1 << 8 * size) - 1
        return self.bar_load(bar, offset, size)

    def store(self, bar: int, offset: int, size: int, value: int) -> None:
        """What the processor stores to a BAR; dropped if the function does not decode it."""
        if not self._decodes(bar, offset, size):
            return
        self.bar_store(bar, offset, size, value)
        self._deliver_pending()

    def _decodes(self, bar: int, offset: int, size: int) -> bool:
        known = self.bars.get(bar)
        if known is None or offset + size > known.size:
            return False
        return bool(load(self.config, cfg.COMMAND, 2) & _COMMAND_DECODES[known.kind])

    def memory(self, bar: int) -> bytearray:
        """The bytes behind a BAR."""
        memory = self._memory.get(bar)
        if memory is None:
            memory = self._memory[bar] = bytearray(self.bars[bar].size)
        return memory

    def bar_load(self, bar: int, offset: int, size: int) -> int:
        """A load that the function decodes."""
        return load(self.memory(bar), offset, size)

    def bar_store(self, bar: int, offset: int, size: int, value: int) -> None:
        """A store that the function decodes."""
        self.memory(bar)[offset : offset + size] = value.to_bytes(size, "little")

    # --- the interrupt line

    @property
    def line_asserted(self) -> bool:
        """Whether the function wants an interrupt, and may say so by its line."""
        return bool(
            load(self.config, cfg.STATUS, 2) & cfg.STATUS_INTERRUPT
            and not load(self.config, cfg.COMMAND, 2) & cfg.COMMAND_INTX_DISABLE
        )

    def set_line(self, *, asserted: bool) -> None:
        """Want an interrupt by line, or no longer."""
        before = self.line_asserted
        status = self.config[cfg.STATUS] & ~cfg.STATUS_INTERRUPT
        self.config[cfg.STATUS] = status | cfg.STATUS_INTERRUPT * asserted
        self._pull_line(before)

    def _pull_line(self, before: bool) -> None:
        if self.line_asserted and not before and self.line is not None:
            self.line()

    # --- MSI and MSI-X

    @property
    def sends_messages(self) -> bool:
        """Whether MSI or MSI-X is on, so that the line has no say."""
        msix = load(self.config, self._msix + cfg.MSIX_CONTROL, 2) if self._msix else 0
        return bool(msix & cfg.MSIX_ENABLE) or self._msi.enabled

    @property
    def vectors(self) -> int:
        """How many MSI-X vectors there are."""
        if not self._msix:
            return 0
        return (load(self.config, self._msix + cfg.MSIX_CONTROL, 2) & cfg.MSIX_SIZE) + 1

    def raise_interrupt(self, vector: int) -> None:
        """Send the vector's message, or remember it while the vector is masked.

        Without MSI-X and MSI enabled, or without such a vector, nothing is sent.
        """
        control = load(self.config, self._msix + cfg.MSIX_CONTROL, 2) if self._msix else 0
        if not control & cfg.MSIX_ENABLE:
            self._raise_msi(vector)
            return
        if vector >= self.vectors:
            return
        if control & cfg.MSIX_MASK_ALL or self._vector_masked(vector):
            self._set_pending(vector, pending=True)
        else:
            self._send(vector)

    def _raise_msi(self, vector: int) -> None:
        message = self._msi.message(vector)
        if message is not None:
            self._send(message)

    def _send(self, vector: int) -> None:
        """A message is a write to memory, which a bus master alone can do."""
        master = load(self.config, cfg.COMMAND, 2) & cfg.COMMAND_MASTER
        if master and self.interrupt is not None:
            self.interrupt(vector)

    def _structure(self, offset: int) -> tuple[bytearray, int]:
        """The memory and the place in it that a dword of the capability names."""
        place = load(self.config, self._msix + offset, 4)
        return self.memory(place & 7), place & ~7

    def msix_table(self) -> tuple[int, range]:
        """The BAR of the MSI-X table, and the offsets that it takes there."""
        place = load(self.config, self._msix + 4, 4)
        start = place & ~7
        return place & 7, range(start, start + MSIX_ENTRY_SIZE * self.vectors)

    def _vector_masked(self, vector: int) -> bool:
        memory, start = self._structure(4)
        control = start + MSIX_ENTRY_SIZE * vector + MSIX_VECTOR_CONTROL
        return bool(memory[control] & MSIX_VECTOR_MASKED)

    def _set_pending(self, vector: int, *, pending: bool) -> None:
        memory, start = self._structure(8)
        bit = 1 << vector % 8
        byte = memory[start + vector // 8]
        memory[start + vector // 8] = byte | bit if pending else byte & ~bit

    def _pending(self) -> list[int]:
        memory, start = self._structure(8)
        bits = load(memory, start, -(-self.vectors // 8))
        return [vector for vector in range(self.vectors) if bits >> vector & 1] if bits else []

    def _deliver_pending(self) -> None:
        """Send what was held back and is not masked any more."""
        for vector in self._msi.unmasked():
            self._raise_msi(vector)
        for vector in self._pending() if self._msix else ():
            self._set_pending(vector, pending=False)
            self.raise_interrupt(vector)

    def _mask_vectors(self) -> None:
        """After reset every vector is masked."""
        if not self._msix:
            return
        memory, start = self._structure(4)
        for vector in range(self.vectors):
            memory[start + MSIX_ENTRY_SIZE * vector + MSIX_VECTOR_CONTROL] = MSIX_VECTOR_MASKED
