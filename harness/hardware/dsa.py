# SPDX-License-Identifier: Apache-2.0
"""Intel DSA and IAA as hardware: the register file and the portals.

The plan: BAR 0 holds the registers, the tables GRPCFG, WQCFG and MSIXPERM (at offsets that the
register at 0x60 names) and the MSI-X table; BAR 2 holds four portal pages for each work queue.
A store to CMD runs the command at once (:mod:`harness.hardware.dsa_commands`); CMDSTS then has its
status, and INTCAUSE and vector 0 tell of it if that was asked for. Follows the Intel DSA
Architecture Specification, with the numbers of Linux 6.1's drivers/dma/idxd/registers.h.

Descriptors are not executed: what is stored to a portal goes nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.hardware import dsa_commands
from harness.hardware.pci import PciFunction
from harness.hardware.pci_config import COMMAND, COMMAND_MASTER, ConfigError, FunctionEntry, load
from harness.hardware.registers import DsaRegisters, IaaRegisters, structure_registers
from harness.uapi import idxd as u

_ALL_ONES = 0xFFFFFFFF
_CONFIG_EN = 1 << 31
#: What software may write to the words of WQCFG; the first one is locked with the device, the
#: next three with the work queue.
_WQCFG_WORDS = {0: 0xFFFF, 1: 0xFFFF, 2: 0x3FFFFFF7, 3: 0x1FF}
#: Of words 2 and 3, on a device with these capabilities.
_WQ_PRS_DISABLE, _MAX_SGL_SHIFT = 1 << 3, 0xF << 9
#: Of word 2 on a device whose configuration is fixed: PASID, its enable bit, and privilege.
_WQCFG_ALWAYS = {2: 0x3FFFFF00}
_WQCFG_OCCUPANCY = {4: 0x1FFFF, 5: 0x1FFFF}
_WQCFG_OP_CONFIG = range(8, 16)
_GENCFG_BITS, _GENCTRL_BITS, _MSIX_PERM_BITS = 0x10FF, 0x3, 0xFFFFF00C
#: More of the two registers on a device with an event log, and the log's own.
_EVL_EN, _EVL_INT_EN = 1 << 13, 1 << 2
_EVLCFG_BITS = {0: 0xFFFFF003, 4: _ALL_ONES, 8: 0xFFFFFFFF, 12: 0xF}


class DsaFunction(PciFunction):
    """A DSA. ConfigError for BARs that cannot hold it; errors of ``registers`` as they are."""

    registers_kind: type[DsaRegisters] = DsaRegisters
    takes_registers = True

    def __init__(self, entry: FunctionEntry) -> None:
        super().__init__(entry)
        self.registers = structure_registers(entry.registers, self.registers_kind)
        self.configurable = bool(self.registers.gen_cap & _CONFIG_EN)
        self._check_bars()
        mmio = self.memory(u.IDXD_MMIO_BAR)
        self.gencap = u.GenCap.from_buffer(mmio, u.IDXD_GENCAP_OFFSET)
        self.gensts = u.GenSts.from_buffer(mmio, u.IDXD_GENSTATS_OFFSET)
        self.genctrl = u.GenCtrl.from_buffer(mmio, u.IDXD_GENCTRL_OFFSET)
        self.swerr = u.SwErr.from_buffer(mmio, u.IDXD_SWERR_OFFSET)
        self.groups = [
            u.GrpCfg.from_buffer(mmio, self.registers.grpcfg_offset + n * u.GRPCFG_SIZE)
            for n in range(self.registers.max_groups)
        ]
        self.wqs = [
            u.WqCfg.from_buffer(mmio, self.registers.wqcfg_offset + n * self.registers.wqcfg_size)
            for n in range(self.registers.max_work_queues)
        ]
        #: Interrupt handles that were given out.
        self.handles: set[int] = set()
        self.initialise()

    def _check_bars(self) -> None:
        registers = self.registers
        needed = max(
            registers.grpcfg_offset + registers.max_groups * u.GRPCFG_SIZE,
            # The structure of a short WQCFG reaches into the next one.
            registers.wqcfg_offset + registers.max_work_queues * registers.wqcfg_size + 32,
            registers.msix_perm_offset + (self.vectors or 1) * u.MSIX_PERM_SIZE,
        )
        portals = registers.max_work_queues * u.IDXD_PORTALS_PER_WQ * u.IDXD_PORTAL_SIZE
        for index, size in ((u.IDXD_MMIO_BAR, needed), (u.IDXD_WQ_BAR, portals)):
            bar = self.bars.get(index)
            if bar is None or bar.size < size:
                raise ConfigError(f"BAR {index} is needed, with at least {size:#x} bytes", "bars")

    @property
    def has_command_capabilities(self) -> bool:
        """Whether CMDCAP says which commands there are."""
        return bool(self.gencap.cmd_cap)

    @property
    def bus_master(self) -> bool:
        """Whether the function may access memory."""
        return bool(load(self.config, COMMAND, 2) & COMMAND_MASTER)

    # --- registers

    def register(self, offset: int) -> int:
        """A 32-bit register."""
        return load(self.memory(u.IDXD_MMIO_BAR), offset, 4)

    def set_register(self, offset: int, value: int, size: int = 4) -> None:
        """Give a register a value, whoever else may write it."""
        mmio = self.memory(u.IDXD_MMIO_BAR)
        mmio[offset : offset + size] = value.to_bytes(size, "little")

    def initialise(self) -> None:
        """All registers as after a reset. MSI-X and INTCAUSE stay as they are."""
        for offset, size, value in self._capabilities():
            self.set_register(offset, value, size)
        for offset in (u.IDXD_GENCFG_OFFSET, u.IDXD_GENCTRL_OFFSET, u.IDXD_GENSTATS_OFFSET):
            self.set_register(offset, 0)
        self.set_register(u.IDXD_SWERR_OFFSET, 0, 32)
        self.set_register(u.IDXD_EVLCFG_OFFSET, 0, 16)
        registers = self.registers
        self.set_register(registers.msix_perm_offset, 0, u.MSIX_PERM_SIZE * (self.vectors or 1))
        for index in range(registers.max_groups):
            self._set_words(registers.grpcfg_offset, u.GRPCFG_SIZE, 8, index, registers.grpcfg)
        for index in range(registers.max_work_queues):
            self.reset_wqcfg(index)
        self.handles.clear()

    def _capabilities(self) -> tuple[tuple[int, int, int], ...]:
        """Offset, size and value of the registers that nobody can write."""
        r = self.registers
        wq_cap = r.max_work_queues_size | r.max_work_queues << 16
        wq_cap |= (r.wqcfg_size.bit_length() - 1 - u.IDXD_WQCFG_MIN) << 24
        wq_flags = (
            *(r.shared_mode, r.dedicated_mode, r.ats, r.priority),
            *(r.occupancy, r.occupancy_interrupt, r.op_config, r.page_request),
        )
        group_cap = r.max_groups | r.max_read_buffers << 8
        group_flags = (r.read_buffer_control, r.read_buffer_limit, r.progress_limit)
        offsets = (r.grpcfg_offset, r.wqcfg_offset, r.msix_perm_offset)
        return (
            (u.IDXD_VER_OFFSET, 4, r.version),
            (u.IDXD_GENCAP_OFFSET, 8, r.gen_cap),
            (u.IDXD_WQCAP_OFFSET, 8, wq_cap | _bits(wq_flags) << 48),
            (u.IDXD_GRPCAP_OFFSET, 8, group_cap | _bits(group_flags) << 16),
            (u.IDXD_ENGCAP_OFFSET, 8, r.max_engines),
            (u.IDXD_OPCAP_OFFSET, 32, r.op_cap),
            (
                u.IDXD_TABLE_OFFSET,
                16,
                sum(offset // u.IDXD_TABLE_MULT << 16 * n for n, offset in enumerate(offsets)),
            ),
            (u.IDXD_CMDCAP_OFFSET, 4, r.cmd_cap),
            (
                u.IDXD_IAACAP_OFFSET,
                24,
                sum(word << 64 * n for n, word in enumerate(r.dsa_caps)) or r.iaa_cap,
            ),
        )

    def _set_words(
        self, table: int, size: int, width: int, index: int, words: Mapping[int, tuple[int, ...]]
    ) -> None:
        """One entry of a table, as firmware left it: zero if it said nothing."""
        data = b"".join(word.to_bytes(width, "little") for word in words.get(index, ()))
        self.set_register(table + size * index, int.from_bytes(data[:size], "little"), size)

    def reset_wqcfg(self, index: int) -> None:
        """The configuration of a work queue as after a reset; it is disabled."""
        registers = self.registers
        size = registers.wqcfg_size
        self._set_words(registers.wqcfg_offset, size, 4, index, registers.wqcfg)

    # --- loads and stores

    def bar_load(self, bar: int, offset: int, size: int) -> int:
        """A register; a portal reads as all ones."""
        if bar == u.IDXD_WQ_BAR:
            return (1 << 8 * size) - 1
        return super().bar_load(bar, offset, size)

    def bar_store(self, bar: int, offset: int, size: int, value: int) -> None:
        """A store to registers goes to each of its 32-bit registers by itself."""
        table_bar, table = self.msix_table() if self.vectors else (-1, range(0))
        if bar == u.IDXD_WQ_BAR:
            return
        if bar != u.IDXD_MMIO_BAR or (bar == table_bar and offset in table):
            super().bar_store(bar, offset, size, value)
            return
        start, shift = offset & ~3, 8 * (offset & 3)
        value, enabled = value << shift, ((1 << 8 * size) - 1) << shift
        while enabled:
            self._store_register(start, value & _ALL_ONES, enabled & _ALL_ONES)
            start, value, enabled = start + 4, value >> 32, enabled >> 32

    def _store_register(self, offset: int, value: int, enabled: int) -> None:
        """Bits outside ``enabled`` were not stored."""
        if offset == u.IDXD_CMD_OFFSET:
            if enabled == _ALL_ONES:
                self.set_register(offset, value)
                self._command(value)
        elif offset == u.IDXD_INTCAUSE_OFFSET:
            self.set_register(offset, self.register(offset) & ~(value & enabled))
        elif offset == u.IDXD_SWERR_OFFSET:
            acknowledged = value & enabled & u.IDXD_SWERR_ACK
            self.set_register(offset, self.register(offset) & ~acknowledged)
        else:
            mask = self._writable(offset) & enabled
            self.set_register(offset, self.register(offset) & ~mask | value & mask)

    def _writable(self, offset: int) -> int:
        """The bits of a register that a store changes now."""
        registers = self.registers
        event_log = bool(self.gencap.evl_support)
        if offset == u.IDXD_GENCTRL_OFFSET:
            return _GENCTRL_BITS | (_EVL_INT_EN if event_log else 0)
        if offset == u.IDXD_GENCFG_OFFSET:
            bits = _GENCFG_BITS | (_EVL_EN if event_log else 0)
            return 0 if self._device_locked() else bits
        if offset - u.IDXD_EVLCFG_OFFSET in _EVLCFG_BITS and event_log:
            return 0 if self._device_locked() else _EVLCFG_BITS[offset - u.IDXD_EVLCFG_OFFSET]
        position = offset - registers.msix_perm_offset
        if 0 <= position < u.MSIX_PERM_SIZE * self.vectors:
            return 0 if position % u.MSIX_PERM_SIZE else _MSIX_PERM_BITS
        position = offset - registers.grpcfg_offset
        if 0 <= position < u.GRPCFG_SIZE * registers.max_groups:
            return 0 if self._device_locked() else _ALL_ONES
        position = offset - registers.wqcfg_offset
        if 0 <= position < registers.wqcfg_size * registers.max_work_queues:
            index, inside = divmod(position, registers.wqcfg_size)
            return self._wqcfg_writable(index, inside // 4)
        return 0

    def _device_locked(self) -> bool:
        """Whether the device's configuration cannot be changed now."""
        enabled = self.gensts.state != u.IDXD_DEVICE_STATE_DISABLED
        return not self.configurable or (self.registers.configuration_checks and enabled)

    def _wqcfg_writable(self, index: int, word: int) -> int:
        registers = self.registers
        if word in _WQCFG_OCCUPANCY:
            return _WQCFG_OCCUPANCY[word] if registers.occupancy_interrupt else 0
        if word == 0:
            return 0 if self._device_locked() else _WQCFG_WORDS[word]
        if registers.configuration_checks and self.wqs[index].wq_state:
            return 0
        if not self.configurable:
            return _WQCFG_ALWAYS.get(word, 0)
        if word in _WQCFG_OP_CONFIG:
            return _ALL_ONES if registers.op_config else 0
        bits = _WQCFG_WORDS.get(word, 0)
        if word == 2 and registers.page_request:
            bits |= _WQ_PRS_DISABLE
        if word == 3 and registers.dsa_caps:
            bits |= _MAX_SGL_SHIFT
        return bits

    # --- commands and events

    def _command(self, value: int) -> None:
        """Run a command; its status is there before the store is over."""
        name, status = dsa_commands.execute(self, value)
        self.set_register(u.IDXD_CMDSTS_OFFSET, status)
        if self.trace is not None:
            self.trace(name, (value & 0xFFFFF, status))
        if value >> 31:
            self._raise_cause(u.IDXD_INTC_CMD)

    def _raise_cause(self, cause: int) -> None:
        self.set_register(u.IDXD_INTCAUSE_OFFSET, self.register(u.IDXD_INTCAUSE_OFFSET) | cause)
        self.raise_interrupt(0)

    def halt(self, reset_type: int) -> None:
        """The hardware fails; ``reset_type`` (IDXD_DEVICE_RESET_*) is what would revive it."""
        self.gensts.state = u.IDXD_DEVICE_STATE_HALT
        self.gensts.reset_type = reset_type
        if self.genctrl.halt_int_en:
            self._raise_cause(u.IDXD_INTC_HALT_STATE)

    def report_error(self, error: u.SwErr) -> None:
        """Record a software error; only overflow is noted while one is there."""
        if self.swerr.valid:
            self.swerr.overflow = 1
            return
        self.set_register(u.IDXD_SWERR_OFFSET, int.from_bytes(bytes(error), "little"), 32)
        self.swerr.valid = 1
        if self.genctrl.softerr_int_en:
            self._raise_cause(u.IDXD_INTC_ERR)

    def reset(self) -> None:
        """Function level reset."""
        super().reset()
        self.initialise()


class IaaFunction(DsaFunction):
    """An IAA: the same registers, other values."""

    registers_kind = IaaRegisters


def _bits(flags: tuple[bool, ...]) -> int:
    """The first flag is bit 0."""
    return sum(flag << position for position, flag in enumerate(flags))
