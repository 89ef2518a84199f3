# SPDX-License-Identifier: Apache-2.0
"""The configuration space that a user sees: drivers/vfio/pci/vfio_pci_config.c, 6.1.

Part of it is the hardware's and part a copy of it, bit by bit (:mod:`.perm_bits`). The copy is
made when the device is opened; what the user does to it has effects, or has none.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

from harness.drivers.pci.device import IORESOURCE_IO, IORESOURCE_MEM_64, IORESOURCE_PREFETCH
from harness.drivers.vfio_pci import perm_bits as p
from harness.drivers.vfio_pci.cap_length import vfio_cap_len, vfio_ext_cap_len
from harness.drivers.vfio_pci.perm_bits import PermBits
from harness.hardware import pci_config as cfg
from harness.hardware.pci_config import load
from harness.kernel.errors import Errno

if TYPE_CHECKING:
    from harness.drivers.pci.device import Resource
    from harness.drivers.vfio_pci.core import VfioPciCoreDevice

#: Which capability a byte is of: none at all.
PCI_CAP_ID_INVALID = 0xFF
_ROM_BAR = 6
_PCI_ROM_ADDRESS_ENABLE = 1


@frozen
class Access:
    """``count`` (1, 2 or 4) bytes at ``pos``, which is ``offset`` in the capability."""

    pos: int
    count: int
    offset: int
    perm: PermBits

    @property
    def virt(self) -> int:
        return load(self.perm.virt, self.offset, self.count)

    @property
    def write(self) -> int:
        return load(self.perm.write, self.offset, self.count)

    @property
    def start(self) -> int:
        """Where the capability is."""
        return self.pos - self.offset


class ConfigSpace:
    """vfio_config_init: ``vconfig`` is the copy, ``map`` says of each byte whose it is."""

    def __init__(self, vdev: VfioPciCoreDevice) -> None:
        self.vdev = vdev
        self.pdev = pdev = vdev.pdev
        size = pdev.config_size
        self.vconfig = bytearray(size)
        header = p.PCI_STD_HEADER_SIZEOF
        self.map = bytearray(header) + bytes([PCI_CAP_ID_INVALID]) * (size - header)
        self._fill(0, header)
        #: The real BARs and the real ROM address, to be restored after a reset behind our back.
        self.rbar = [self.virtual(cfg.BASE_ADDRESS_0 + 4 * bar, 4) for bar in range(6)]
        self._rom = self.virtual(p.PCI_ROM_ADDRESS, 4)
        self.msi_perm: PermBits | None = None
        self.extended_caps = False
        if vdev.nointx or not pdev.irq:
            self.vconfig[cfg.INTERRUPT_PIN] = 0
        self._vfio_cap_init()
        self._vfio_ecap_init()

    # --- what is there

    def _fill(self, offset: int, size: int) -> None:
        """vfio_fill_vconfig_bytes."""
        for position in range(offset, min(offset + size, len(self.vconfig))):
            self.vconfig[position] = self.pdev.pci_read_config(position, 1)

    def _claim(self, position: int, length: int, number: int) -> None:
        end = min(position + length, len(self.map))
        self.map[position:end] = bytes([number]) * (end - position)
        self._fill(position, length)

    def _vfio_cap_init(self) -> None:
        """The capabilities; those that are not for users leave the list."""
        if not self.pdev.pci_read_config(cfg.STATUS, 2) & cfg.STATUS_CAP_LIST:
            return
        previous = cfg.CAPABILITY_LIST
        position = self.pdev.pci_read_config(previous, 1)
        loops = (cfg.CONFIG_SIZE - p.PCI_STD_HEADER_SIZEOF) // 4
        found = False
        while position and loops:
            loops -= 1
            number = self.pdev.pci_read_config(position, 1)
            following = self.pdev.pci_read_config(position + p.PCI_CAP_LIST_NEXT, 1)
            length = vfio_cap_len(self.pdev, number, position)
            if length:
                self._claim(position, length, number)
                self._init_capability(number, position, length)
                previous, found = position + p.PCI_CAP_LIST_NEXT, True
            else:
                self.vconfig[previous] = following
            position = following
        if not found:
            self.vconfig[cfg.STATUS] &= ~cfg.STATUS_CAP_LIST

    def _init_capability(self, number: int, position: int, length: int) -> None:
        """What vfio_cap_len and vfio_update_pm_vconfig_bytes do besides."""
        if number == cfg.CAP_MSI and self.msi_perm is None:
            control = self.pdev.pci_read_config(position + cfg.MSI_CONTROL, 2)
            self.msi_perm = p.msi_perm_bits(control, length)
        elif number in (cfg.CAP_PCIE, p.PCI_CAP_ID_PCIX):
            if self.pdev.config_size > cfg.CONFIG_SIZE:
                self.extended_caps = self.pdev.pci_read_config(cfg.CONFIG_SIZE, 4) != 0
        elif number == cfg.CAP_PM:
            self.clear_virtual(position + p.PCI_PM_PMC, p.PCI_PM_CAP_PME_MASK)
            events = p.PCI_PM_CTRL_PME_ENABLE | p.PCI_PM_CTRL_PME_STATUS
            self.clear_virtual(position + cfg.PM_CONTROL, events)

    def _vfio_ecap_init(self) -> None:
        """The extended capabilities. The first holds the list, so it is hidden as number 0."""
        position = cfg.CONFIG_SIZE if self.extended_caps else 0
        loops = (self.pdev.config_size - cfg.CONFIG_SIZE) // 4
        previous = 0
        found = False
        while position >= cfg.CONFIG_SIZE and loops:
            loops -= 1
            header = self.pdev.pci_read_config(position, 4)
            following = header >> 20 & 0xFFC
            number = header & 0xFFFF
            length = vfio_ext_cap_len(
                self.pdev, number, position, dvsec=self.vdev.section.dvsec_visible
            )
            if length or not previous:
                self._claim(position, length or 4, number & 0xFF)
                if not length:
                    self.set_virtual(position, 4, self.virtual(position, 4) & 0xFFC << 20)
                previous, found = position, found or bool(length)
            else:
                link = self.virtual(previous, 4) & ~(0xFFC << 20) | following << 20
                self.set_virtual(previous, 4, link)
            position = following
        if self.extended_caps and not found:
            self.set_virtual(cfg.CONFIG_SIZE, 4, 0)

    # --- the copy

    def virtual(self, position: int, size: int) -> int:
        """What the copy has."""
        return load(self.vconfig, position, size)

    def set_virtual(self, position: int, size: int, value: int) -> None:
        """Change the copy."""
        self.vconfig[position : position + size] = value.to_bytes(size, "little")

    def clear_virtual(self, position: int, bits: int) -> None:
        """Clear bits of a word of the copy."""
        self.set_virtual(position, 2, self.virtual(position, 2) & ~bits)

    @property
    def command(self) -> int:
        """The virtual command register."""
        return self.virtual(cfg.COMMAND, 2)

    @property
    def interrupt_pin(self) -> int:
        """The virtual pin; 0 for a function whose INTx is hidden."""
        return self.vconfig[cfg.INTERRUPT_PIN]

    # --- access

    def read(self, offset: int, count: int) -> bytes:
        """vfio_pci_config_rw; EFAULT for a range that is not all inside."""
        self._check(offset, count)
        content = b""
        while len(content) < count:
            access, capability = self._access(offset + len(content), count - len(content))
            value = capability.read(self, access)
            content += value.to_bytes(access.count, "little")
        return content

    def write(self, offset: int, data: bytes) -> int:
        """vfio_pci_config_rw; EFAULT for a range that is not all inside."""
        self._check(offset, len(data))
        done = 0
        while done < len(data):
            access, capability = self._access(offset + done, len(data) - done)
            if capability.write is not None:
                capability.write(self, access, load(data, done, access.count))
            done += access.count
        return done

    def _check(self, offset: int, count: int) -> None:
        if offset >= len(self.vconfig) or offset + count > len(self.vconfig):
            raise Errno(errno.EFAULT)

    def _access(self, pos: int, count: int) -> tuple[Access, Capability]:
        """vfio_config_do_rw: the next aligned piece, of no more than one capability."""
        number = self.map[pos]
        remaining = 1
        while (pos + remaining) % 4 and self.map[pos + remaining] == number:
            remaining += 1
        count = min(count, remaining)
        count = next(size for size in (4, 2, 1) if count >= size and not pos % size)
        if number == PCI_CAP_ID_INVALID:
            return Access(pos, count, 0, PermBits()), _UNASSIGNED
        capability = (_ECAPS if pos >= cfg.CONFIG_SIZE else _CAPS).get(number, _DIRECT)
        perm = capability.perm
        if number == cfg.CAP_MSI and pos < cfg.CONFIG_SIZE:
            assert self.msi_perm is not None
            perm = self.msi_perm
        return Access(pos, count, pos - self._find_cap_start(pos, number), perm), capability

    def _find_cap_start(self, pos: int, number: int) -> int:
        """vfio_find_cap_start."""
        if pos < p.PCI_STD_HEADER_SIZEOF:
            return 0
        base = cfg.CONFIG_SIZE if pos >= cfg.CONFIG_SIZE else p.PCI_STD_HEADER_SIZEOF
        while pos - 1 >= base and self.map[pos - 1] == number:
            pos -= 1
        return pos

    # --- BARs

    def bar_fixup(self) -> None:
        """vfio_bar_fixup: the virtual BARs have the bits that hardware would have."""
        bar = 0
        while bar < _ROM_BAR:
            resource = self.pdev.resources[bar]
            place = cfg.BASE_ADDRESS_0 + 4 * bar
            if not resource.start:
                self.set_virtual(place, 4, 0)
                bar += 1
                continue
            mask = ~(resource.size - 1)
            self.set_virtual(
                place, 4, self.virtual(place, 4) & mask & 0xFFFFFFFF | _bar_flags(resource)
            )
            if resource.flags & IORESOURCE_MEM_64:
                bar += 1
                self.set_virtual(place + 4, 4, self.virtual(place + 4, 4) & mask >> 32 & 0xFFFFFFFF)
            bar += 1
        rom = self.pdev.resources[_ROM_BAR]
        mask = (~(rom.size - 1) | _PCI_ROM_ADDRESS_ENABLE) & 0xFFFFFFFF if rom.start else 0
        self.set_virtual(p.PCI_ROM_ADDRESS, 4, self.virtual(p.PCI_ROM_ADDRESS, 4) & mask)

    def restore_bars_if_lost(self, new_command: int) -> None:
        """The user enables what he believes enabled, but a reset took the BARs away."""
        physical = self.pdev.pci_read_config(cfg.COMMAND, 2)
        lost = new_command & self.command & ~physical & (cfg.COMMAND_MEMORY | cfg.COMMAND_IO)
        if lost or self._vfio_need_bar_restore():
            self._vfio_bar_restore()

    def _vfio_need_bar_restore(self) -> bool:
        return any(
            value and self.pdev.pci_read_config(cfg.BASE_ADDRESS_0 + 4 * bar, 4) != value
            for bar, value in enumerate(self.rbar)
        )

    def _vfio_bar_restore(self) -> None:
        for bar, value in enumerate(self.rbar):
            self.pdev.pci_write_config(cfg.BASE_ADDRESS_0 + 4 * bar, 4, value)
        self.pdev.pci_write_config(p.PCI_ROM_ADDRESS, 4, self._rom)
        if self.vdev.nointx:
            self.pdev.intx.pci_intx(enable=False)


def _bar_flags(resource: Resource) -> int:
    """vfio_generate_bar_flags."""
    if resource.flags & IORESOURCE_IO:
        return cfg.BAR_IO
    return cfg.BAR_PREFETCHABLE * bool(resource.flags & IORESOURCE_PREFETCH) | (
        cfg.BAR_64BIT * bool(resource.flags & IORESOURCE_MEM_64)
    )


def _is_bar(offset: int) -> bool:
    return (
        cfg.BASE_ADDRESS_0 <= offset < cfg.BASE_ADDRESS_0 + 24
        or p.PCI_ROM_ADDRESS <= offset < p.PCI_ROM_ADDRESS + 4
    )


# --- reading


def vfio_default_config_read(config: ConfigSpace, access: Access) -> int:
    """Virtual bits from the copy, all others from the hardware."""
    virt = access.virt
    value = config.virtual(access.pos, access.count) & virt
    if virt != (1 << 8 * access.count) - 1:
        value |= config.pdev.pci_read_config(access.pos, access.count) & ~virt
    return value


def vfio_basic_config_read(config: ConfigSpace, access: Access) -> int:
    if _is_bar(access.offset):
        config.bar_fixup()
    return vfio_default_config_read(config, access)


def vfio_direct_config_read(config: ConfigSpace, access: Access) -> int:
    """The hardware's, but for the link to the next capability."""
    value = config.pdev.pci_read_config(access.pos, access.count)
    if access.pos >= cfg.CONFIG_SIZE:
        return config.virtual(access.pos, access.count) if access.offset < 4 else value
    if access.offset == 0 and access.count > 1:
        return value & ~0xFFFF | config.virtual(access.pos, 2)
    if access.offset == p.PCI_CAP_LIST_NEXT:
        return value & ~0xFF | config.virtual(access.pos, 1)
    return value


def vfio_raw_config_read(config: ConfigSpace, access: Access) -> int:
    return config.pdev.pci_read_config(access.pos, access.count)


# --- writing


def vfio_default_config_write(config: ConfigSpace, access: Access, value: int) -> None:
    """Virtual bits go into the copy, all others to the hardware, as far as they are writable."""
    virtual = access.write & access.virt
    if virtual:
        kept = config.virtual(access.pos, access.count) & ~virtual
        config.set_virtual(access.pos, access.count, kept | value & virtual)
    physical = access.write & ~access.virt
    if physical:
        kept = config.pdev.pci_read_config(access.pos, access.count) & ~physical
        config.pdev.pci_write_config(access.pos, access.count, kept | value & physical)


def vfio_raw_config_write(config: ConfigSpace, access: Access, value: int) -> None:
    config.pdev.pci_write_config(access.pos, access.count, value)


def vfio_basic_config_write(config: ConfigSpace, access: Access, value: int) -> None:
    """Memory and I/O decoding are remembered, disabling INTx is done by masking it."""
    if access.offset == cfg.COMMAND:
        if not value & cfg.COMMAND_MEMORY:
            config.vdev.zap_bars()
        config.restore_bars_if_lost(value)
    vfio_default_config_write(config, access, value)
    if access.offset == cfg.COMMAND:
        decode = cfg.COMMAND_MEMORY | cfg.COMMAND_IO
        config.set_virtual(cfg.COMMAND, 2, config.command & ~decode | value & decode)
    if access.offset in (cfg.COMMAND, cfg.COMMAND + 1):
        disabled = bool(config.command & cfg.COMMAND_INTX_DISABLE)
        config.vdev.irqs.set_virq_disabled(disabled)


def vfio_pm_config_write(config: ConfigSpace, access: Access, value: int) -> None:
    """The driver changes the power state on the user's behalf."""
    vfio_default_config_write(config, access, value)
    if access.offset == cfg.PM_CONTROL:
        config.vdev.set_power_state(value & cfg.PM_STATE)


def vfio_exp_config_write(config: ConfigSpace, access: Access, value: int) -> None:
    """FLR resets the function; the size of read requests has the payload's as its floor."""
    place = access.start + p.PCI_EXP_DEVCTL
    before = config.virtual(place, 2) & p.PCI_EXP_DEVCTL_READRQ
    vfio_default_config_write(config, access, value)
    if config.virtual(place, 2) & p.PCI_EXP_DEVCTL_BCR_FLR:
        config.clear_virtual(place, p.PCI_EXP_DEVCTL_BCR_FLR)
        capabilities = config.pdev.pci_read_config(access.start + cfg.PCIE_DEVICE, 4)
        if capabilities & cfg.PCIE_DEVICE_FLR:
            config.vdev.try_reset_function()
    wanted = config.virtual(place, 2) & p.PCI_EXP_DEVCTL_READRQ
    if wanted != before:
        physical = config.pdev.pci_read_config(place, 2)
        floor = (physical & p.PCI_EXP_DEVCTL_PAYLOAD) << 7
        kept = physical & ~p.PCI_EXP_DEVCTL_READRQ
        config.pdev.pci_write_config(place, 2, kept | max(wanted, floor))


def vfio_af_config_write(config: ConfigSpace, access: Access, value: int) -> None:
    """FLR of conventional PCI."""
    vfio_default_config_write(config, access, value)
    place = access.start + p.PCI_AF_CTRL
    if config.virtual(place, 1) & p.PCI_AF_CTRL_FLR:
        config.set_virtual(place, 1, config.virtual(place, 1) & ~p.PCI_AF_CTRL_FLR)
        needed = p.PCI_AF_CAP_FLR | p.PCI_AF_CAP_TP
        if config.pdev.pci_read_config(access.start + p.PCI_AF_CAP, 1) & needed == needed:
            config.vdev.try_reset_function()


def vfio_msi_config_write(config: ConfigSpace, access: Access, value: int) -> None:
    """MSI is turned on by SET_IRQS alone, and with no more vectors than that asked for."""
    vfio_default_config_write(config, access, value)
    if access.offset > cfg.MSI_CONTROL or access.offset + access.count < cfg.MSI_CONTROL:
        return
    place = access.start + cfg.MSI_CONTROL
    flags = config.virtual(place, 2)
    irqs = config.vdev.irqs
    if not irqs.is_msi:
        flags &= ~cfg.MSI_ENABLE
    if (flags & cfg.MSI_ENABLED_COUNT) >> 4 > irqs.msi_qmax:
        flags = flags & ~cfg.MSI_ENABLED_COUNT | irqs.msi_qmax << 4
    config.set_virtual(place, 2, flags)
    config.pdev.pci_write_config(place, 2, flags)


@frozen
class Capability:
    """The functions that serve a capability; without ``write`` what is written is dropped."""

    perm: PermBits
    read: Callable[[ConfigSpace, Access], int]
    write: Callable[[ConfigSpace, Access, int], None] | None


def _default(
    perm: PermBits,
    write: Callable[[ConfigSpace, Access, int], None] = vfio_default_config_write,
) -> Capability:
    return Capability(perm, vfio_default_config_read, write)


#: What is no special case: readable, and not writable.
_DIRECT = Capability(PermBits(), vfio_direct_config_read, None)
_DIRECT_RAW = Capability(PermBits(), vfio_direct_config_read, vfio_raw_config_write)
#: Between the capabilities: whatever the hardware does (unassigned_perms).
_UNASSIGNED = Capability(PermBits(), vfio_raw_config_read, vfio_raw_config_write)
#: cap_perms and ecap_perms, as vfio_pci_init_perm_bits fills them in.
_CAPS = {
    p.PCI_CAP_ID_BASIC: Capability(
        p.basic_perm_bits(), vfio_basic_config_read, vfio_basic_config_write
    ),
    cfg.CAP_PM: _default(p.pm_perm_bits(), vfio_pm_config_write),
    cfg.CAP_MSI: _default(PermBits(), vfio_msi_config_write),
    # No function here has such data, so pci_read_vpd() fails, and no access is ever finished.
    p.PCI_CAP_ID_VPD: _default(p.vpd_perm_bits()),
    p.PCI_CAP_ID_PCIX: _default(p.pcix_perm_bits()),
    p.PCI_CAP_ID_VNDR: _DIRECT_RAW,
    cfg.CAP_PCIE: _default(p.exp_perm_bits(), vfio_exp_config_write),
    p.PCI_CAP_ID_AF: _default(p.af_perm_bits(), vfio_af_config_write),
}
_ECAPS = {
    cfg.EXT_CAP_AER: _default(p.err_perm_bits()),
    p.PCI_EXT_CAP_ID_PWR: _default(p.pwr_perm_bits()),
    p.PCI_EXT_CAP_ID_VNDR: _DIRECT_RAW,
    p.PCI_EXT_CAP_ID_DVSEC: _DIRECT_RAW,
}
