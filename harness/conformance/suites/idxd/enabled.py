# SPDX-License-Identifier: Apache-2.0
"""Stores into a work queue's attributes while the device is enabled, or the queue itself is."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EINVAL, ENOENT, ENXIO, EPERM
from harness.conformance.suites.idxd._dsa import DEVICES, WQ, Wanted, bind, enable, store

_SYSFS = "drivers/dma/idxd/sysfs.c, 6.1"

_DEVICE_ONLY = (
    ("group_id", "1", "1\n"),
    ("mode", "shared", "shared\n"),
    ("size", "8", EPERM),
    ("priority", "3", "3\n"),
    ("type", "user", "user\n"),
    ("name", "zz", "zz\n"),
    ("block_on_fault", "1", "1\n"),
    ("max_transfer_size", "4096", "4096\n"),
    ("max_batch_size", "4", "4\n"),
    ("ats_disable", "1", "1\n"),
    ("op_config", "1", ENOENT),
    ("prs_disable", "1", ENOENT),
)


_DRIVER_NAME = "idxd:idxd/enabled_wq_driver_name"


@case(source=f"wq_*_store: {_SYSFS}", golden="idxd:idxd/enabled_wq_{attribute}")
@param("attribute value wanted", _DEVICE_ONLY)
def device_enabled(call: Call, attribute: str, value: str, wanted: Wanted) -> None:
    """Only the size looks at the device; the rest looks at the queue, which is disabled."""
    enable(call)
    store(call, f"{WQ}/{attribute}", value, wanted)


@case(source="wq_driver_name_store: drivers/dma/idxd/sysfs.c, 6.12", golden=_DRIVER_NAME)
def device_enabled_driver_name(call: Call) -> None:
    """6.1 has no such attribute."""
    enable(call)
    store(call, f"{WQ}/driver_name", "user", "user\n" if call.since("6.12") else ENOENT)


@case(
    source=f"wq_threshold_store, wq_enqcmds_retries_store: {_SYSFS}",
    golden="idxd:idxd/enabled_wq_{attribute}",
)
@param("attribute value", [("threshold", "4"), ("enqcmds_retries", "3")])
def device_enabled_queue_shared(call: Call, attribute: str, value: str) -> None:
    enable(call)
    call.write_text(f"{WQ}/mode", "shared")
    store(call, f"{WQ}/{attribute}", value, f"{value}\n")


@case(
    source=f"wq_size_store: {_SYSFS}",
    golden=("idxd:idxd/enabled_other_wq", "idxd:idxd/wq_locked_size"),
)
@param("wq", ["wq0.0", "wq0.1"])
def size_of_any_queue(call: Call, wq: str) -> None:
    enable(call)
    store(call, f"{DEVICES}/{wq}/size", "4", EPERM)


_QUEUE_TOO = (
    ("group_id", "1", EPERM),
    ("group_id", "x", EINVAL),
    ("mode", "shared", EPERM),
    ("mode", "exclusive", EPERM),
    ("size", "4", EPERM),
    ("size", "x", EINVAL),
    ("priority", "3", EPERM),
    ("priority", "16", EPERM),
    ("priority", "x", EINVAL),
    ("type", "user", EPERM),
    ("type", "kern", EPERM),
    ("name", "zz", EPERM),
    ("name", "a" * 1025, EPERM),
    ("block_on_fault", "1", ENXIO),
    ("block_on_fault", "x", ENXIO),
    ("threshold", "4", ENXIO),
    ("threshold", "0", EINVAL),
    ("max_transfer_size", "4096", EPERM),
    ("max_transfer_size", "x", EPERM),
    ("max_batch_size", "4", EPERM),
    ("ats_disable", "1", EPERM),
    ("ats_disable", "x", EPERM),
)


@case(source=f"wq_*_store: {_SYSFS}")
@param("attribute value wanted", _QUEUE_TOO, id="{attribute}={value}")
def queue_enabled(call: Call, attribute: str, value: str, wanted: Wanted) -> None:
    """Which check comes first decides between the errors."""
    enable(call)
    expect(bind(call, "dmaengine", "wq0.0"), 5)
    store(call, f"{WQ}/{attribute}", value, wanted)
