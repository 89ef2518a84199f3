# SPDX-License-Identifier: Apache-2.0
"""The commands of DSA and IAA, and what each refuses, in order.

Error codes are those of the Intel DSA Architecture Specification as Linux 6.1's
drivers/dma/idxd/registers.h numbers them and accel-config explains them. Nobody has judged the
order among the checks of one command on real hardware.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from harness.hardware import pci_config as cfg
from harness.hardware.pci_config import find_extended_capability, load
from harness.uapi import idxd as u

if TYPE_CHECKING:
    from harness.hardware.dsa import DsaFunction

_PASID_ENABLE, _PASID_PRIVILEGED = 0x1, 0x4
_PRI_ENABLE = 0x1
#: What every device has that does not list its commands.
_BASIC_COMMANDS = range(u.IDXD_CMD_ENABLE_DEVICE, u.IDXD_CMD_ABORT_PASID + 1)
#: A group's engines need this many read buffers each.
_READ_BUFFERS_PER_ENGINE = 4


class CommandError(Exception):
    """A command ends with this error code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"{code:#x}")
        self.code = code


def execute(device: DsaFunction, value: int) -> tuple[str, int]:
    """Run the command that CMD holds. Returns its name and what CMDSTS shall be."""
    command = u.Command.from_buffer_copy(value.to_bytes(4, "little"))
    name, function = COMMANDS.get(command.cmd, (f"command {command.cmd}", None))
    try:
        if function is None or not _supported(device, command.cmd):
            raise CommandError(u.IDXD_CMDSTS_INVAL_CMD)
        if device.registers.configuration_checks and command.rsvd:
            raise CommandError(u.IDXD_CMDSTS_ERR_RESERVED)
        if device.gensts.state == u.IDXD_DEVICE_STATE_HALT:
            raise CommandError(u.IDXD_CMDSTS_HW_ERR)
        return name, function(device, command.operand) << u.IDXD_CMDSTS_RES_SHIFT
    except CommandError as error:
        return name, error.code


def _supported(device: DsaFunction, command: int) -> bool:
    if device.has_command_capabilities:
        return bool(device.registers.cmd_cap >> command & 1)
    return command in _BASIC_COMMANDS


def _require_enabled(device: DsaFunction, code: int) -> None:
    if device.gensts.state != u.IDXD_DEVICE_STATE_ENABLED:
        raise CommandError(code)


# --- the device


def _enable_device(device: DsaFunction, operand: int) -> int:
    if device.gensts.state != u.IDXD_DEVICE_STATE_DISABLED:
        raise CommandError(u.IDXD_CMDSTS_ERR_DEV_ENABLED)
    if device.registers.configuration_checks:
        _check_device(device)
    device.gensts.state = u.IDXD_DEVICE_STATE_ENABLED
    return 0


def _check_device(device: DsaFunction) -> None:
    """What Enable Device asks of the configuration."""
    if not device.bus_master:
        raise CommandError(u.IDXD_CMDSTS_ERR_BUSMASTER_EN)
    if not _page_requests_fit(device):
        raise CommandError(u.IDXD_CMDSTS_ERR_PASID_INVAL)
    if sum(wq.wq_size for wq in device.wqs) > device.registers.max_work_queues_size:
        raise CommandError(u.IDXD_CMDSTS_ERR_WQ_SIZE_ERANGE)
    wqs = [sum(word << 64 * n for n, word in enumerate(group.wqs)) for group in device.groups]
    engines = [group.engines for group in device.groups]
    if any(bool(queues) != bool(working) for queues, working in zip(wqs, engines, strict=True)):
        raise CommandError(u.IDXD_CMDSTS_ERR_GRP_CONFIG)
    if not _disjoint(wqs, device.registers.max_work_queues):
        raise CommandError(u.IDXD_CMDSTS_ERR_GRP_CONFIG2)
    if not _disjoint(engines, device.registers.max_engines):
        raise CommandError(u.IDXD_CMDSTS_ERR_GRP_CONFIG3)
    if device.registers.read_buffer_control and not _read_buffers_fit(device):
        raise CommandError(u.IDXD_CMDSTS_ERR_GRP_CONFIG4)


def _page_requests_fit(device: DsaFunction) -> bool:
    """If page requests are on, some must be allowed, and no more than there can be."""
    pri = find_extended_capability(device.config, cfg.EXT_CAP_PRI)
    if not pri or not load(device.config, pri + 4, 2) & _PRI_ENABLE:
        return True
    return 1 <= load(device.config, pri + 12, 4) <= load(device.config, pri + 8, 4)


def _disjoint(masks: list[int], count: int) -> bool:
    """Nothing is in two of the masks, and all is below ``count``."""
    union = 0
    for mask in masks:
        if mask & union:
            return False
        union |= mask
    return not union >> count


def _read_buffers_fit(device: DsaFunction) -> bool:
    total = device.registers.max_read_buffers
    free = total - sum(group.flags.rdbufs_reserved for group in device.groups)
    if free < 0:
        return False
    for group in device.groups:
        reserved, allowed = group.flags.rdbufs_reserved, group.flags.rdbufs_allowed
        needed = _READ_BUFFERS_PER_ENGINE * group.engines.bit_count()
        if group.engines and not max(needed, reserved) <= allowed <= reserved + free:
            return False
    return True


def _disable_device(device: DsaFunction, operand: int) -> int:
    """All work queues are drained and disabled; the configuration stays."""
    _require_enabled(device, u.IDXD_CMDSTS_ERR_DIS_DEV_EN)
    device.gensts.state = u.IDXD_DEVICE_STATE_DISABLED
    for wq in device.wqs:
        wq.wq_state = 0
    return 0


def _drain_or_abort(device: DsaFunction, operand: int) -> int:
    """All work, or all of one PASID: there is never any left."""
    if device.registers.configuration_checks:
        _require_enabled(device, u.IDXD_CMDSTS_ERR_DIS_DEV_EN)
    return 0


def _reset_device(device: DsaFunction, operand: int) -> int:
    device.initialise()
    return 0


# --- work queues


def _enable_wq(device: DsaFunction, operand: int) -> int:
    _require_enabled(device, u.IDXD_CMDSTS_ERR_DEV_NOTEN)
    if operand >= len(device.wqs):
        raise CommandError(u.IDXD_CMDSTS_INVAL_WQIDX)
    wq = device.wqs[operand]
    if wq.wq_state:
        raise CommandError(u.IDXD_CMDSTS_ERR_WQ_ENABLED)
    if wq.wq_size == 0:
        raise CommandError(u.IDXD_CMDSTS_ERR_WQ_SIZE)
    if device.registers.configuration_checks:
        for code, is_wrong in _WQ_CHECKS:
            if is_wrong(device, wq):
                raise CommandError(code)
    wq.wq_state = 1
    return 0


def _priority_is_wrong(device: DsaFunction, wq: u.WqCfg) -> bool:
    return device.registers.priority and wq.priority == 0


def _mode_is_wrong(device: DsaFunction, wq: u.WqCfg) -> bool:
    registers = device.registers
    return not (registers.dedicated_mode if wq.mode else registers.shared_mode)


def _block_on_fault_is_wrong(device: DsaFunction, wq: u.WqCfg) -> bool:
    return bool(wq.bof and not device.gencap.block_on_fault)


def _pasid_control(device: DsaFunction) -> int:
    pasid = find_extended_capability(device.config, cfg.EXT_CAP_PASID)
    return load(device.config, pasid + 6, 2) if pasid else 0


def _pasid_is_wrong(device: DsaFunction, wq: u.WqCfg) -> bool:
    """A PASID needs the capability enabled, and then a shared queue needs PASIDs."""
    if not _pasid_control(device) & _PASID_ENABLE:
        return bool(wq.pasid_en)
    return not wq.mode and not wq.pasid_en


def _batch_is_wrong(device: DsaFunction, wq: u.WqCfg) -> bool:
    return bool(wq.max_batch_shift > device.gencap.max_batch_shift)


def _transfer_is_wrong(device: DsaFunction, wq: u.WqCfg) -> bool:
    return bool(wq.max_xfer_shift > device.gencap.max_xfer_shift)


def _privilege_is_wrong(device: DsaFunction, wq: u.WqCfg) -> bool:
    """A dedicated queue with a PASID is privileged only if the capability allows it."""
    return bool(wq.mode and wq.pasid_en and wq.priv) and not (
        _pasid_control(device) & _PASID_PRIVILEGED
    )


#: What Enable WQ asks of the configuration: error code, and whether it applies.
_WQ_CHECKS: tuple[tuple[int, Callable[[DsaFunction, u.WqCfg], bool]], ...] = (
    (u.IDXD_CMDSTS_ERR_WQ_PRIOR, _priority_is_wrong),
    (u.IDXD_CMDSTS_ERR_WQ_MODE, _mode_is_wrong),
    (u.IDXD_CMDSTS_ERR_BOF_EN, _block_on_fault_is_wrong),
    (u.IDXD_CMDSTS_ERR_PASID_EN, _pasid_is_wrong),
    (u.IDXD_CMDSTS_ERR_MAX_BATCH_SIZE, _batch_is_wrong),
    (u.IDXD_CMDSTS_ERR_MAX_XFER_SIZE, _transfer_is_wrong),
    (u.IDXD_CMDSTS_ERR_PRIV, _privilege_is_wrong),
)


def _selected(device: DsaFunction, operand: int) -> Iterator[int]:
    """The work queues that a mask in the low half, for the 16 that the high half names, means."""
    first = 16 * (operand >> 16)
    for index in range(first, first + 16):
        if operand >> index - first & 1:
            if index >= len(device.wqs):
                raise CommandError(u.IDXD_CMDSTS_INVAL_WQIDX)
            yield index


def _enabled_wqs(device: DsaFunction, operand: int) -> list[int]:
    """The work queues that a command is about; all of them must be enabled."""
    _require_enabled(device, u.IDXD_CMDSTS_ERR_DEV_NOT_EN)
    indices = list(_selected(device, operand))
    checks = device.registers.configuration_checks
    if checks and not all(device.wqs[index].wq_state for index in indices):
        raise CommandError(u.IDXD_CMDSTS_ERR_DEV_NOT_EN)
    return indices


def _disable_wq(device: DsaFunction, operand: int) -> int:
    for index in _enabled_wqs(device, operand):
        device.wqs[index].wq_state = 0
    return 0


def _drain_or_abort_wq(device: DsaFunction, operand: int) -> int:
    _enabled_wqs(device, operand)
    return 0


def _reset_wq(device: DsaFunction, operand: int) -> int:
    for index in _enabled_wqs(device, operand):
        size = device.wqs[index].wq_size
        device.reset_wqcfg(index)
        # The size is the device's configuration, which stays while it is enabled.
        device.wqs[index].wq_size = size
    return 0


# --- interrupt handles


def _request_int_handle(device: DsaFunction, operand: int) -> int:
    """A handle has the number of the MSI-X entry that it is for."""
    index = operand & 0xFFFF
    if operand & u.CMD_INT_HANDLE_IMS or index >= device.vectors:
        raise CommandError(u.IDXD_CMDSTS_ERR_INVAL_INT_IDX)
    if index not in device.handles:
        if len(device.handles) >= device.registers.interrupt_handles:
            raise CommandError(u.IDXD_CMDSTS_ERR_NO_HANDLE)
        device.handles.add(index)
    return index


def _release_int_handle(device: DsaFunction, operand: int) -> int:
    handle = operand & 0xFFFF
    if handle not in device.handles:
        raise CommandError(u.IDXD_CMDSTS_ERR_INVAL_HANDLE)
    device.handles.remove(handle)
    return 0


COMMANDS: dict[int, tuple[str, Callable[[DsaFunction, int], int]]] = {
    u.IDXD_CMD_ENABLE_DEVICE: ("ENABLE_DEVICE", _enable_device),
    u.IDXD_CMD_DISABLE_DEVICE: ("DISABLE_DEVICE", _disable_device),
    u.IDXD_CMD_DRAIN_ALL: ("DRAIN_ALL", _drain_or_abort),
    u.IDXD_CMD_ABORT_ALL: ("ABORT_ALL", _drain_or_abort),
    u.IDXD_CMD_RESET_DEVICE: ("RESET_DEVICE", _reset_device),
    u.IDXD_CMD_ENABLE_WQ: ("ENABLE_WQ", _enable_wq),
    u.IDXD_CMD_DISABLE_WQ: ("DISABLE_WQ", _disable_wq),
    u.IDXD_CMD_DRAIN_WQ: ("DRAIN_WQ", _drain_or_abort_wq),
    u.IDXD_CMD_ABORT_WQ: ("ABORT_WQ", _drain_or_abort_wq),
    u.IDXD_CMD_RESET_WQ: ("RESET_WQ", _reset_wq),
    u.IDXD_CMD_DRAIN_PASID: ("DRAIN_PASID", _drain_or_abort),
    u.IDXD_CMD_ABORT_PASID: ("ABORT_PASID", _drain_or_abort),
    u.IDXD_CMD_REQUEST_INT_HANDLE: ("REQUEST_INT_HANDLE", _request_int_handle),
    u.IDXD_CMD_RELEASE_INT_HANDLE: ("RELEASE_INT_HANDLE", _release_int_handle),
}
