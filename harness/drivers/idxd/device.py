# SPDX-License-Identifier: Apache-2.0
"""Accelerators: ``dsaD`` and ``iaxD`` (struct idxd_device; drivers/dma/idxd/init.c, 6.1).

What the hardware can do is read once, when the driver finds it; what it does is asked for when it
is needed. What is configured is kept here and in the queues, groups and engines, and written when
the device or a queue is enabled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, frozen

from harness.drivers.idxd.device_sysfs import IDXD_DEVICE_GROUPS
from harness.drivers.idxd.engine import IdxdEngine
from harness.drivers.idxd.group import IdxdGroup
from harness.drivers.idxd.mmio import Mmio, from_number
from harness.drivers.idxd.profile import IdxdDriverData
from harness.drivers.idxd.wq import IdxdWq
from harness.kernel.driver_core import Device
from harness.uapi import idxd as u

if TYPE_CHECKING:
    from harness.drivers.dmaengine import DmaDevice
    from harness.drivers.idxd.flr import IdxdSavedStates
    from harness.drivers.idxd.state import IdxdModule
    from harness.drivers.mdev import MdevParent
    from harness.drivers.pci import PciDevice


@frozen
class IdxdHw:
    """The capability registers (struct idxd_hw). ``opcap`` has 256 bits."""

    version: int
    gen_cap: u.GenCap
    wq_cap: u.WqCap
    group_cap: u.GroupCap
    num_engines: int
    opcap: int
    cmd_cap: int
    iaa_cap: int = 0
    dsacaps: tuple[int, int, int] = (0, 0, 0)


def idxd_read_caps(version: int, reg_base: Mmio, *, is_iax: bool) -> IdxdHw:
    """Ask the hardware what it can do; CMDCAP only where GENCAP says that it is there."""
    gen_cap = reg_base.read64(u.GenCap, u.IDXD_GENCAP_OFFSET)
    cmd_cap = reg_base.ioread32(u.IDXD_CMDCAP_OFFSET) if gen_cap.cmd_cap else 0
    opcap = sum(reg_base.ioread64(u.IDXD_OPCAP_OFFSET + 8 * n) << 64 * n for n in range(4))
    return IdxdHw(
        version,
        gen_cap,
        reg_base.read64(u.WqCap, u.IDXD_WQCAP_OFFSET),
        reg_base.read64(u.GroupCap, u.IDXD_GRPCAP_OFFSET),
        reg_base.ioread64(u.IDXD_ENGCAP_OFFSET) & 0xFF,
        opcap,
        cmd_cap,
        iaa_cap=(
            reg_base.ioread64(u.IDXD_IAACAP_OFFSET)
            if is_iax and version >= u.DEVICE_VERSION_2
            else 0
        ),
        dsacaps=_read_dsacaps(reg_base) if version >= u.DEVICE_VERSION_3 else (0, 0, 0),
    )


def _read_dsacaps(reg_base: Mmio) -> tuple[int, int, int]:
    first, second, third = (reg_base.ioread64(u.IDXD_DSACAP0_OFFSET + 8 * n) for n in range(3))
    return first, second, third


@define
class IdxdEvl:
    """The event log (struct idxd_evl). ``size`` counts entries."""

    size: int = u.IDXD_EVL_SIZE_MIN


class IdxdDevice(Device):
    """A DSA or IAX. ``state`` is disabled, enabled or halted."""

    groups = IDXD_DEVICE_GROUPS

    def __init__(
        self, module: IdxdModule, pdev: PciDevice, data: IdxdDriverData, number: int
    ) -> None:
        super().__init__(module.kernel, f"{data.kind}{number}", module.bus, pdev)
        self.devtype = data.kind
        self.module = module
        self.pdev = pdev
        self.data = data
        self.id = number
        self.state = "disabled"
        self.cmd_status = 0
        self.pasid_enabled = self.user_pasid_enabled = False
        self.pasid = 0
        self.rdbuf_limit = 0
        self.irq_cnt = 0
        self.sw_err = u.SwErr()
        #: Numbers of the queues that were enabled last; a reset of a queue leaves its number here.
        self.wq_enable_map: set[int] = set()
        #: What a reset of the function must not lose (7.2).
        self.idxd_saved: IdxdSavedStates | None = None
        self.idxd_dma: DmaDevice | None = None
        #: While it is a parent of mediated devices.
        self.mdev_parent: MdevParent | None = None
        self.reg_base = Mmio(pdev.function, u.IDXD_MMIO_BAR)
        version = self.reg_base.ioread32(u.IDXD_VER_OFFSET)
        self.hw = idxd_read_caps(version, self.reg_base, is_iax=data.is_iax)
        #: None without an event log (idxd_init_evl).
        self.evl: IdxdEvl | None = None
        if module.section.event_log and self.hw.gen_cap.evl_support:
            self.evl = IdxdEvl()
        self._idxd_read_table_offsets()
        self.nr_rdbufs = self.max_rdbufs
        self.wqs: list[IdxdWq] = []
        self.engines: list[IdxdEngine] = []
        self.idxd_groups: list[IdxdGroup] = []

    def idxd_setup_internals(self) -> None:
        """Make the queues, engines and groups."""
        self.wqs = [IdxdWq(self, number) for number in range(self.hw.wq_cap.num_wqs)]
        self.engines = [IdxdEngine(self, number) for number in range(self.hw.num_engines)]
        self.idxd_groups = [IdxdGroup(self, number) for number in range(self.max_groups)]

    def _idxd_read_table_offsets(self) -> None:
        low = self.reg_base.ioread64(u.IDXD_TABLE_OFFSET)
        high = self.reg_base.ioread64(u.IDXD_TABLE_OFFSET + 8)
        offsets = from_number(u.Offsets, high << 64 | low, 16)
        self.grpcfg_offset = int(offsets.grpcfg) * u.IDXD_TABLE_MULT
        self.wqcfg_offset = int(offsets.wqcfg) * u.IDXD_TABLE_MULT
        self.msix_perm_offset = int(offsets.msix_perm) * u.IDXD_TABLE_MULT

    @property
    def configurable(self) -> bool:
        """Whether software may configure the device."""
        return bool(self.hw.gen_cap.config_en)

    @property
    def request_int_handles(self) -> bool:
        """Whether descriptors need interrupt handles that the device gives out."""
        return bool(self.hw.cmd_cap >> u.IDXD_CMD_REQUEST_INT_HANDLE & 1)

    @property
    def max_groups(self) -> int:
        return int(self.hw.group_cap.num_groups)

    @property
    def max_rdbufs(self) -> int:
        return int(self.hw.group_cap.total_rdbufs)

    @property
    def max_wq_size(self) -> int:
        """Entries of all queues together."""
        return int(self.hw.wq_cap.total_wq_size)

    @property
    def max_xfer_bytes(self) -> int:
        return 1 << int(self.hw.gen_cap.max_xfer_shift)

    @property
    def max_batch_size(self) -> int:
        """Descriptors; IAX has no batches (idxd_set_max_batch_size)."""
        return 0 if self.data.is_iax else 1 << int(self.hw.gen_cap.max_batch_shift)

    @property
    def sgl_supported(self) -> bool:
        """Whether descriptors may have lists of buffers (idxd_sgl_supported, 7.2)."""
        if self.data.is_iax or self.hw.version < u.DEVICE_VERSION_3:
            return False
        return self.module.section.dsacaps and bool(self._dsacap0.sgl_formats)

    @property
    def max_sgl_shift(self) -> int:
        """The longest list, as a power of two."""
        return int(self._dsacap0.max_sgl_shift)

    @property
    def _dsacap0(self) -> u.DsaCap0:
        return from_number(u.DsaCap0, self.hw.dsacaps[0], 8)

    @property
    def batch_unsafe(self) -> bool:
        """Whether programs may not be trusted with batches (op_cap_show_common)."""
        if self.data.user_submission_safe:
            return False
        only_v1 = self.module.section.batch_unsafe_v1_only
        return not only_v1 or self.hw.version == u.DEVICE_VERSION_1

    @property
    def opcap_bmap(self) -> int:
        return self.hw.opcap

    @property
    def wqcfg_size(self) -> int:
        """Bytes of one queue's configuration registers."""
        return 1 << int(self.hw.wq_cap.wqcfg_size) + u.IDXD_WQCFG_MIN

    def wqcfg_register(self, wq: IdxdWq, word: int) -> int:
        """The offset of a queue's configuration register (WQCFG_OFFSET)."""
        return self.wqcfg_offset + wq.id * self.wqcfg_size + 4 * word
