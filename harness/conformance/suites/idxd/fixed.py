# SPDX-License-Identifier: Apache-2.0
"""A device whose configuration firmware fixed: what can still be stored, and what enabling does."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EINVAL, ENODEV, ENXIO, EOPNOTSUPP, EPERM
from harness.conformance.suites.idxd._dsa import (
    DEVICES,
    DSA,
    GROUP,
    WQ,
    Wanted,
    bind,
    cmd_status,
    name_driver,
    store,
    unbind,
)

_SYSFS = "drivers/dma/idxd/sysfs.c, 6.1"
_MACHINE = "dsa-fixed"

_QUEUE_STORES: tuple[tuple[str, str, Wanted], ...] = (
    ("group_id", "1", EPERM),
    ("group_id", "x", EINVAL),
    ("mode", "shared", EPERM),
    ("mode", "exclusive", EPERM),
    ("size", "8", EPERM),
    ("size", "x", EINVAL),
    ("priority", "3", EPERM),
    ("priority", "16", EPERM),
    ("threshold", "4", EPERM),
    ("threshold", "0", EINVAL),
    ("max_transfer_size", "4096", EPERM),
    ("max_transfer_size", "x", EPERM),
    ("max_batch_size", "4", EPERM),
    ("block_on_fault", "1", EOPNOTSUPP),
    ("block_on_fault", "x", EOPNOTSUPP),
    ("type", "user", "user\n"),
    ("type", "kern", EINVAL),
    ("name", "abc", "abc\n"),
)


@case(source=f"wq_*_store: {_SYSFS}", machine=_MACHINE)
@param("attribute value wanted", _QUEUE_STORES, id="{attribute}={value}")
def queue(call: Call, attribute: str, value: str, wanted: Wanted) -> None:
    """Only type and name are the administrator's; the device cannot block on a fault."""
    store(call, f"{WQ}/{attribute}", value, wanted)


@case(source="wq_ats_disable_store: drivers/dma/idxd/sysfs.c, 6.1 and 6.12", machine=_MACHINE)
def ats_disable(call: Call) -> None:
    """Only from 6.4 on it is a part of the configuration."""
    store(call, f"{WQ}/ats_disable", "1", EPERM if call.since("6.12") else "1\n")


_OTHER_STORES: tuple[tuple[str, str, Wanted], ...] = (
    ("group0.0/read_buffers_reserved", "x", EINVAL),
    ("group0.0/read_buffers_reserved", "8", EPERM),
    ("group0.0/read_buffers_allowed", "8", EPERM),
    ("group0.0/use_read_buffer_limit", "1", EPERM),
    ("group0.0/traffic_class_a", "1", EPERM),
    ("group0.0/traffic_class_b", "1", EPERM),
    ("engine0.0/group_id", "x", EINVAL),
    ("engine0.0/group_id", "1", EPERM),
    ("engine0.0/group_id", "9", EPERM),
    ("dsa0/read_buffer_limit", "x", EINVAL),
    ("dsa0/read_buffer_limit", "8", EPERM),
)


@case(
    source=f"group_*_store, engine_group_id_store, read_buffer_limit_store: {_SYSFS}",
    machine=_MACHINE,
)
@param("path value wanted", _OTHER_STORES, id="{path}={value}")
def others(call: Call, path: str, value: str, wanted: Wanted) -> None:
    """The text is looked at first."""
    store(call, f"{DEVICES}/{path}", value, wanted)


@case(source=f"idxd_device_load_config: drivers/dma/idxd/device.c, 6.1; {_SYSFS}", machine=_MACHINE)
def comes_enabled(call: Call) -> None:
    """The driver core enables the device as it appears; what firmware wrote is what is shown."""
    expect(call.read_text(f"{DSA}/configurable"), "0\n")
    expect(call.read_text(f"{DSA}/state"), "enabled\n")
    for attribute, value in (
        ("mode", "dedicated\n"),
        ("size", "64\n"),
        ("priority", "10\n"),
        ("group_id", "0\n"),
        ("max_transfer_size", "2097152\n"),
        ("max_batch_size", "32\n"),
        ("type", "none\n"),
        ("name", "\n"),
    ):
        expect(call.read_text(f"{WQ}/{attribute}"), value)
    expect(call.read_text(f"{GROUP}/work_queues"), "wq0.0 wq0.1\n")


@case(
    source="idxd_device_drv_probe, idxd_device_drv_remove: drivers/dma/idxd/device.c, 6.1",
    machine=_MACHINE,
)
def stays_configured(call: Call) -> None:
    """A queue that is named can be enabled; letting the device go forgets nothing of it."""
    expect(bind(call, "dmaengine", "wq0.0"), ENODEV if call.since("6.12") else ENXIO)
    call.write_text(f"{WQ}/name", "dmaengine")
    name_driver(call, "dmaengine")
    expect(bind(call, "dmaengine", "wq0.0"), 5)
    expect(cmd_status(call), "0x0\n")
    expect(unbind(call, "idxd", "dsa0"), 4)
    expect(call.read_text(f"{DSA}/state"), "disabled\n")
    expect(call.read_text(f"{WQ}/size"), "64\n")
    expect(call.read_text(f"{WQ}/group_id"), "0\n")
    expect(bind(call, "idxd", "dsa0"), 4)
