# SPDX-License-Identifier: Apache-2.0
"""What is configured outlives a function level reset: drivers/dma/idxd/init.c, 7.2.

The plan: before the reset, what groups, engines and enabled queues are configured to be is saved.
After it, the device is let go by its driver, which forgets everything, and is configured and bound
again; so are queues of programs. Queues that were not enabled, and kernel queues, are lost.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import frozen

from harness.drivers.idxd.config import idxd_device_config
from harness.drivers.idxd.irq import idxd_cleanup_interrupts, idxd_setup_interrupts
from harness.kernel.driver_core import device_driver_attach, device_release_driver
from harness.kernel.errors import Errno

if TYPE_CHECKING:
    from harness.drivers.idxd.device import IdxdDevice
    from harness.drivers.idxd.group import IdxdGroup

_GROUP = ("rdbufs_allowed", "rdbufs_reserved", "tc_a", "tc_b", "use_rdbuf_limit")
_FLAGS = ("dedicated", "block_on_fault", "ats_disable", "prs_disable")
_LIMITS = ("threshold", "size", "priority", "max_xfer_bytes", "max_batch_size", "enqcmds_retries")
_WQ = (*_FLAGS, *_LIMITS, "group", "type", "wq_name", "driver_name")

_Values = dict[str, Any]


@frozen
class IdxdSavedStates:
    """struct idxd_saved_states. Queues are by number, and only those that are enabled."""

    rdbuf_limit: int
    evl_size: int | None
    groups: list[_Values]
    engines: list[IdxdGroup | None]
    wqs: dict[int, _Values]


def _values(of: object, names: tuple[str, ...]) -> _Values:
    return {name: getattr(of, name) for name in names}


def _set(of: object, values: _Values) -> None:
    for name, value in values.items():
        setattr(of, name, value)


def idxd_reset_prepare(idxd: IdxdDevice) -> None:
    """idxd_device_config_save."""
    idxd.idxd_saved = IdxdSavedStates(
        idxd.rdbuf_limit,
        idxd.evl.size if idxd.evl is not None else None,
        [_values(group, _GROUP) for group in idxd.idxd_groups],
        [engine.group for engine in idxd.engines],
        {number: _values(idxd.wqs[number], _WQ) for number in sorted(idxd.wq_enable_map)},
    )


def idxd_reset_done(idxd: IdxdDevice) -> None:
    """Each step that fails is the last one; what it failed of is in cmd_status."""
    saved, idxd.idxd_saved = idxd.idxd_saved, None
    if saved is None:
        return
    drivers = idxd.module.bus.drivers
    if idxd.driver is drivers["idxd"]:
        device_release_driver(idxd)
    _probe_again(idxd)
    _idxd_device_config_restore(idxd, saved)
    try:
        if idxd.configurable:
            idxd_device_config(idxd)
        device_driver_attach(drivers["idxd"], idxd)
    except Errno:
        return
    for number in saved.wqs:
        wq = idxd.wqs[number]
        wq.state = "disabled"
        try:
            if wq.type == "user":
                device_driver_attach(drivers["user"], wq)
                continue
        except Errno:
            pass
        idxd.wq_enable_map.discard(number)


def _probe_again(idxd: IdxdDevice) -> None:
    """idxd_pci_probe_alloc of a device that is there: enabled once more, with new vectors."""
    idxd.pdev.pci_enable_device()
    idxd.pdev.pci_set_master()
    idxd_cleanup_interrupts(idxd)
    with suppress(Errno):
        idxd_setup_interrupts(idxd)


def _idxd_device_config_restore(idxd: IdxdDevice, saved: IdxdSavedStates) -> None:
    """Members are not counted again."""
    idxd.rdbuf_limit = saved.rdbuf_limit
    if idxd.evl is not None and saved.evl_size is not None:
        idxd.evl.size = saved.evl_size
    for group, values in zip(idxd.idxd_groups, saved.groups, strict=True):
        _set(group, values)
    for engine, member_of in zip(idxd.engines, saved.engines, strict=True):
        engine.group = member_of
    idxd.wq_enable_map = set(saved.wqs)
    for number, values in saved.wqs.items():
        _set(idxd.wqs[number], values)
