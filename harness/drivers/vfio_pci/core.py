# SPDX-License-Identifier: Apache-2.0
"""A PCI function as a VFIO device: drivers/vfio/pci/vfio_pci_core.c, 6.1."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.drivers.pci import PciDevice, pci_reset_function
from harness.drivers.pci.device import IORESOURCE_MEM, PCI_POWER_NAMES, PCI_STD_NUM_BARS
from harness.drivers.pci.reset import SavedState, pci_restore_state, pci_save_state
from harness.drivers.vfio.info_caps import InfoCaps, put_region_info
from harness.drivers.vfio.set_irqs import read_set_irqs, vfio_set_irqs_validate_and_prepare
from harness.drivers.vfio.user import copy_in, copy_out
from harness.drivers.vfio.vfio_main import VfioDevice
from harness.drivers.vfio_pci.config import ConfigSpace
from harness.drivers.vfio_pci.dmabuf import (
    VfioPciDmaBuf,
    vfio_pci_core_feature_dma_buf,
    vfio_pci_dma_buf_cleanup,
)
from harness.drivers.vfio_pci.hot_reset import get_pci_hot_reset_info, pci_hot_reset
from harness.drivers.vfio_pci.intrs import Interrupts
from harness.drivers.vfio_pci.low_power import LowPower
from harness.drivers.vfio_pci.rdwr import Bars
from harness.drivers.vfio_pci.vf_token import (
    VfToken,
    vf_token_of,
    vfio_pci_core_feature_token,
    vfio_pci_validate_vf_token,
    vfio_pci_vf_token_user_add,
)
from harness.hardware import pci_config as cfg
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.kernel.vfs import Pages
from harness.uapi import vfio as u
from harness.uapi.fs import PAGE_SIZE

if TYPE_CHECKING:
    from harness.drivers.vfio_pci.vfio_pci import VfioPciDriver

_NO_BAR = 0xFF
#: Functions of Intel whose INTx cannot be masked (vfio_pci_nointx): i40e and X550.
_NOINTX = {
    *(0x1572, 0x1574, 0x1580, 0x1581, *range(0x1583, 0x158C), *range(0x37D0, 0x37D3), 0x1563)
}
_OFFSET_MASK = (1 << u.VFIO_PCI_OFFSET_SHIFT) - 1
_RW = u.VFIO_REGION_INFO_FLAG_READ | u.VFIO_REGION_INFO_FLAG_WRITE


class VfioPciCoreDevice(VfioDevice):
    """struct vfio_pci_core_device: what the driver keeps of a function."""

    matches_tokens = True

    def __init__(self, driver: VfioPciDriver, pdev: PciDevice) -> None:
        super().__init__(pdev)
        self.pdev = pdev
        self.driver = driver
        self.section = driver.section
        self.irqs = Interrupts(self)
        self.bars = Bars(self)
        self.low_power = LowPower(self)
        self.dmabufs: list[VfioPciDmaBuf] = []
        self.config: ConfigSpace | None = None
        #: Of a physical function; and of a virtual one, what vfio-pci keeps of the function that
        #: made it.
        self.vf_token: VfToken | None = None
        self.sriov_pf_core_dev: VfioPciCoreDevice | None = None
        #: Whether the reset at open worked; whether INTx is hidden, and can be masked.
        self.reset_works = self.nointx = self.pci_2_3 = False
        self.bar_mmap_supported = [False] * PCI_STD_NUM_BARS
        self.msix_bar = _NO_BAR
        self.msix_table = range(0)
        self._saved: SavedState = []
        self._pm_saved: SavedState = []

    # --- opening and closing

    def open_device(self) -> None:
        """vfio_pci_core_enable, vfio_pci_core_finish_enable."""
        pdev = self.pdev
        self._pm_runtime_get()
        pdev.pci_clear_master()
        pdev.pci_enable_device()
        try:
            pci_reset_function(pdev)
            self.reset_works = True
        except Errno:
            self.reset_works = False
        self._saved = pci_save_state(pdev)
        self.nointx = self.pci_2_3 = False
        if not self.driver.nointxmask:
            self.nointx = pdev.vendor == 0x8086 and pdev.device in _NOINTX
            self.pci_2_3 = not self.nointx
            # Every function here has the bit that disables INTx.
            pdev.intx.pci_intx(enable=self.pci_2_3)
        self.config = ConfigSpace(self)
        self._find_msix()
        for bar, resource in enumerate(pdev.resources[:PCI_STD_NUM_BARS]):
            whole = resource.size >= PAGE_SIZE or not resource.start % PAGE_SIZE
            is_memory = bool(resource.flags & IORESOURCE_MEM)
            self.bar_mmap_supported[bar] = is_memory and resource.size > 0 and whole
        vfio_pci_vf_token_user_add(self, 1)

    def _find_msix(self) -> None:
        self.msix_bar, self.msix_table = _NO_BAR, range(0)
        capability = self.pdev.pci_find_capability(cfg.CAP_MSIX)
        if capability:
            place = self.pdev.pci_read_config(capability + 4, 4)
            self.msix_bar, start = place & 7, place & ~7
            self.msix_table = range(start, start + 16 * self.pdev.pci_msix_vec_count())

    def close_device(self) -> None:
        """vfio_pci_core_close_device, _disable: all is torn down and the function reset."""
        pdev = self.pdev
        vfio_pci_vf_token_user_add(self, -1)
        self.low_power.disengage()
        vfio_pci_dma_buf_cleanup(self)
        self.set_power_state(0)
        pdev.pci_clear_master()
        self.irqs.disable()
        self.bars.release()
        self.config = None
        pdev.pci_write_config(cfg.COMMAND, 2, cfg.COMMAND_INTX_DISABLE)
        if self.reset_works:
            pdev.function.reset()
        pci_restore_state(pdev, self._saved)
        pdev.pci_disable_device()
        self.irqs.release_single()
        self._pm_runtime_put()

    # --- power: while nobody has the function open it sleeps, unless a parameter forbids that

    def pm_allow(self) -> None:
        """The driver has taken the function (vfio_pci_core_register_device)."""
        self.set_power_state(0)
        self.pdev.power.ops = self
        self.pdev.power.pm_runtime_allow()
        self._pm_runtime_put()

    def pm_forbid(self) -> None:
        """The driver lets go of the function (vfio_pci_core_unregister_device)."""
        self._pm_runtime_get()
        self.pdev.power.pm_runtime_forbid()
        self.pdev.power.ops = self.pdev

    def _pm_runtime_get(self) -> None:
        if not self.driver.disable_idle_d3:
            self.pdev.power.pm_runtime_get_sync()

    def _pm_runtime_put(self) -> None:
        if not self.driver.disable_idle_d3:
            self.pdev.power.pm_runtime_put()

    def runtime_suspend(self) -> None:
        """pci_pm_runtime_suspend of a function that a driver has: to D3hot, if there is that."""
        self.set_power_state(cfg.PM_STATE)

    def runtime_resume(self) -> None:
        """pci_pm_runtime_resume."""
        self.set_power_state(0)

    def pm_runtime_get(self) -> None:
        """See VfioDevice."""
        self.low_power.resume()

    def pm_runtime_put(self) -> None:
        """See VfioDevice."""
        self.low_power.suspend()

    # --- what configuration space and interrupts need

    @property
    def vconfig(self) -> ConfigSpace:
        """The configuration space that the user sees; the device is open."""
        assert self.config is not None
        return self.config

    @property
    def memory_is_enabled(self) -> bool:
        """Whether memory BARs can be accessed (__vfio_pci_memory_enabled)."""
        asleep = self.pdev.current_state == PCI_POWER_NAMES[cfg.PM_STATE]
        return not asleep and bool(self.vconfig.command & cfg.COMMAND_MEMORY)

    @contextmanager
    def memory_enabled(self) -> Iterator[None]:
        """The function decodes memory meanwhile (vfio_pci_memory_lock_and_enable)."""
        command = self.pdev.pci_read_config(cfg.COMMAND, 2)
        self.pdev.pci_write_config(cfg.COMMAND, 2, command | cfg.COMMAND_MEMORY)
        try:
            yield
        finally:
            # Allocating and freeing vectors change the bit of INTx, and that is kept.
            now = self.pdev.pci_read_config(cfg.COMMAND, 2)
            kept = now & ~cfg.COMMAND_MEMORY | command & cfg.COMMAND_MEMORY
            self.pdev.pci_write_config(cfg.COMMAND, 2, kept)

    def zap_bars(self) -> None:
        """Mapped pages of BARs fault again (vfio_pci_zap_and_down_write_memory_lock).

        Here every access to them is looked at, so nothing is to be done.
        """

    def set_power_state(self, state: int) -> None:
        """vfio_pci_set_power_state: around a sleep that loses it, the state is kept.

        The user does not see the errors.
        """
        pdev = self.pdev
        if not pdev.pm_cap:
            pdev.pci_power_up()  # what pci_set_power_state finds it in, whatever is wanted
            return
        deepest = PCI_POWER_NAMES[cfg.PM_STATE]
        asleep = pdev.current_state == deepest
        control = pdev.pci_read_config(pdev.pm_cap + cfg.PM_CONTROL, 2)
        loses = not control & cfg.PM_NO_SOFT_RESET
        saved = pci_save_state(pdev) if state == cfg.PM_STATE and not asleep and loses else None
        try:
            pdev.pci_set_power_state(state)
        except Errno:
            return
        if saved is not None and pdev.current_state == deepest:
            self._pm_saved = saved
        elif asleep and state == 0 and loses:
            pci_restore_state(pdev, self._pm_saved)

    def try_reset_function(self) -> None:
        """pci_try_reset_function, whose errors the user does not see."""
        try:
            pci_reset_function(self.pdev)
        except Errno:
            return

    # --- commands

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """vfio_pci_core_ioctl; ENOTTY for what is not known."""
        match command:
            case u.VFIO_DEVICE_GET_INFO:
                self._get_info(caller, argument)
            case u.VFIO_DEVICE_GET_REGION_INFO:
                self._get_region_info(caller, argument)
            case u.VFIO_DEVICE_GET_IRQ_INFO:
                self._get_irq_info(caller, argument)
            case u.VFIO_DEVICE_SET_IRQS:
                return self._set_irqs(caller, argument)
            case u.VFIO_DEVICE_RESET:
                self._reset()
            case u.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
                get_pci_hot_reset_info(self, caller, argument)
            case u.VFIO_DEVICE_PCI_HOT_RESET:
                pci_hot_reset(self, caller, argument)
            case u.VFIO_DEVICE_IOEVENTFD:
                self._ioeventfd(caller, argument)
            case _:
                raise Errno(errno.ENOTTY)
        return 0

    def _get_info(self, caller: Caller, argument: int) -> None:
        minimum = u.offsetofend(u.DeviceInfo, "num_irqs")
        info = copy_in(caller, argument, u.DeviceInfoCaps, minimum)
        if self.section.info_padded:
            size = min(info.argsz, ctypes.sizeof(info))
        else:
            size = u.offsetofend(u.DeviceInfoCaps, "cap_offset")
            size = size if info.argsz >= size else minimum
        info.flags = u.VFIO_DEVICE_FLAGS_PCI | u.VFIO_DEVICE_FLAGS_RESET * self.reset_works
        info.num_regions, info.num_irqs = u.VFIO_PCI_NUM_REGIONS, u.VFIO_PCI_NUM_IRQS
        caller.copy_to_user(argument, bytes(info)[:size])

    def _get_region_info(self, caller: Caller, argument: int) -> None:
        info = copy_in(caller, argument, u.RegionInfo)
        caps = InfoCaps(self.core.section.info_cap_align)
        self._fill_region_info(info, caps)
        put_region_info(caller, argument, info, caps)

    def _fill_region_info(self, info: u.RegionInfo, caps: InfoCaps) -> None:
        """EINVAL for a region that is not there; VGA is none (CONFIG_VFIO_PCI_VGA is off)."""
        index = info.index
        if index >= u.VFIO_PCI_VGA_REGION_INDEX:
            raise Errno(errno.EINVAL)
        info.offset = index << u.VFIO_PCI_OFFSET_SHIFT
        if index == u.VFIO_PCI_CONFIG_REGION_INDEX:
            info.size, info.flags = self.pdev.config_size, _RW
            return
        info.size = self.pdev.resources[index].size
        if index == u.VFIO_PCI_ROM_REGION_INDEX:
            if not self.pdev.function.rom_image:
                info.size = 0
            info.flags = u.VFIO_REGION_INFO_FLAG_READ if info.size else 0
            return
        info.flags = _RW if info.size else 0
        if self.bar_mmap_supported[index]:
            info.flags |= u.VFIO_REGION_INFO_FLAG_MMAP
            if index == self.msix_bar:
                caps.add(u.InfoCapHeader(u.VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1))

    @property
    def _is_pcie(self) -> bool:
        return bool(self.pdev.pci_find_capability(cfg.CAP_PCIE))

    def irq_count(self, index: int) -> int:
        """vfio_pci_get_irq_count."""
        match index:
            case u.VFIO_PCI_INTX_IRQ_INDEX:
                return int(self.vconfig.interrupt_pin != 0)
            case u.VFIO_PCI_MSI_IRQ_INDEX if self.pdev.pci_find_capability(cfg.CAP_MSI):
                return self.pdev.pci_msi_vec_count()
            case u.VFIO_PCI_MSIX_IRQ_INDEX if self.msix_table:
                return self.pdev.pci_msix_vec_count()
            case u.VFIO_PCI_ERR_IRQ_INDEX:
                return int(self._is_pcie)
            case u.VFIO_PCI_REQ_IRQ_INDEX:
                return 1
        return 0

    def _get_irq_info(self, caller: Caller, argument: int) -> None:
        info = copy_in(caller, argument, u.IrqInfo)
        index = info.index
        if index >= u.VFIO_PCI_NUM_IRQS or (
            index == u.VFIO_PCI_ERR_IRQ_INDEX and not self._is_pcie
        ):
            raise Errno(errno.EINVAL)
        info.count = self.irq_count(index)
        info.flags = u.VFIO_IRQ_INFO_EVENTFD
        dynamic = self.section.dynamic_msix and bool(self.msix_table)
        if index == u.VFIO_PCI_INTX_IRQ_INDEX:
            info.flags |= u.VFIO_IRQ_INFO_MASKABLE | u.VFIO_IRQ_INFO_AUTOMASKED
        elif index != u.VFIO_PCI_MSIX_IRQ_INDEX or not dynamic:
            info.flags |= u.VFIO_IRQ_INFO_NORESIZE
        copy_out(caller, argument, info)

    def _set_irqs(self, caller: Caller, argument: int) -> int:
        # argsz is checked together with the rest.
        size = u.offsetofend(u.IrqSet, "count")
        header = u.IrqSet.from_buffer_copy(caller.copy_from_user(argument, size))
        data_size = vfio_set_irqs_validate_and_prepare(
            header, self.irq_count(header.index), u.VFIO_PCI_NUM_IRQS
        )
        request = read_set_irqs(caller, argument, header, data_size)
        return self.irqs.vfio_pci_set_irqs_ioctl(caller, request)

    def _reset(self) -> None:
        """EINVAL if the function was not reset when it was opened."""
        if not self.reset_works:
            raise Errno(errno.EINVAL)
        self.set_power_state(0)
        pci_reset_function(self.pdev)

    def _ioeventfd(self, caller: Caller, argument: int) -> None:
        request = copy_in(caller, argument, u.Ioeventfd, u.offsetofend(u.Ioeventfd, "fd"))
        if request.flags & ~u.VFIO_DEVICE_IOEVENTFD_SIZE_MASK:
            raise Errno(errno.EINVAL)
        if int(request.flags).bit_count() != 1 or request.fd < -1:
            raise Errno(errno.EINVAL)
        self.bars.vfio_pci_ioeventfd(caller, request)

    def device_feature(self, caller: Caller, flags: int, argument: int, argsz: int) -> int:
        """vfio_pci_core_ioctl_feature; ENOTTY for what the function does not have."""
        match flags & u.VFIO_DEVICE_FEATURE_MASK:
            case u.VFIO_DEVICE_FEATURE_PCI_VF_TOKEN:
                vfio_pci_core_feature_token(self, caller, flags, argument, argsz)
            case u.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
                self.low_power.entry(flags, argsz)
            case u.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
                self.low_power.entry_with_wakeup(caller, flags, argument, argsz)
            case u.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
                self.low_power.exit(flags, argsz)
            case u.VFIO_DEVICE_FEATURE_DMA_BUF if self.section.dma_buf:
                return vfio_pci_core_feature_dma_buf(self, caller, flags, argument, argsz)
            case _:
                raise Errno(errno.ENOTTY)
        return 0

    # --- regions

    def read(self, caller: Caller, offset: int, count: int) -> bytes:
        """vfio_pci_core_read."""
        if not count:
            return b""
        region = self._region(offset)
        self.low_power.resume()
        try:
            if region == u.VFIO_PCI_CONFIG_REGION_INDEX:
                return self.vconfig.read(offset & _OFFSET_MASK, count)
            return self.bars.read(offset, count)
        finally:
            self.low_power.suspend()

    def write(self, caller: Caller, offset: int, data: bytes) -> int:
        """vfio_pci_core_write."""
        if not data:
            return 0
        region = self._region(offset)
        self.low_power.resume()
        try:
            if region == u.VFIO_PCI_CONFIG_REGION_INDEX:
                return self.vconfig.write(offset & _OFFSET_MASK, data)
            if region == u.VFIO_PCI_ROM_REGION_INDEX:
                raise Errno(errno.EINVAL)
            return self.bars.write(offset, data)
        finally:
            self.low_power.suspend()

    def _region(self, offset: int) -> int:
        """EINVAL for a region that is not there; VGA is none."""
        region = offset >> u.VFIO_PCI_OFFSET_SHIFT
        if region >= u.VFIO_PCI_VGA_REGION_INDEX:
            raise Errno(errno.EINVAL)
        return region

    def mmap(self, caller: Caller, offset: int, length: int, prot: int, flags: int) -> Pages:
        """vfio_pci_core_mmap."""
        return self.bars.mmap(offset, length, flags)

    # --- the host

    def request(self, count: int) -> None:
        """vfio_pci_core_request."""
        self.irqs.signal_request()

    def match(self, caller: Caller, name: str) -> bool:
        """vfio_pci_core_match: the address, and perhaps a token; EINVAL, EACCES."""
        if not name.startswith(self.pdev.address):
            return False
        rest = name[len(self.pdev.address) :]
        if rest and not rest.startswith(" "):
            return False
        self.match_token_uuid(vf_token_of(rest))
        return True

    def match_token_uuid(self, uuid: bytes | None) -> None:
        """See VfioDevice."""
        vfio_pci_validate_vf_token(self, uuid)
