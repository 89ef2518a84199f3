# SPDX-License-Identifier: Apache-2.0
"""Whole flows: configure, enable the device, enable the queue, with the status after each step."""

from __future__ import annotations

from collections.abc import Callable

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EINVAL, ENODEV, ENXIO, EOPNOTSUPP, ErrorNumber
from harness.conformance.suites.idxd._dsa import (
    DEVICES,
    DSA,
    ENGINE,
    WQ,
    bind,
    cmd_status,
    configure,
    name_driver,
    unbind,
)

Step = Callable[[Call], None]
Bind = tuple[ErrorNumber | None, str]

_GOOD: Bind = (None, "0x0\n")
_NO_SHARED: Bind = (ENXIO, "0x800c0000\n")
_NONE_CONFIGURED: Bind = (ENXIO, "0x800d0000\n")
_NO_SVA: Bind = (EOPNOTSUPP, "0x80110000\n")


def _then(path: str, value: str, error: ErrorNumber | None = None, **options: str) -> Step:
    """The usual configuration, then one more store, which may have to fail."""

    def step(call: Call) -> None:
        configure(call, **options)
        expect(call.write_text(path, value), len(value) if error is None else error)

    return step


def _usual(wq: str = "wq0.0", **options: str) -> Step:
    def step(call: Call) -> None:
        configure(call, wq, **options)

    return step


def _another(call: Call) -> None:
    """The queue has a driver's name, and nothing else."""
    configure(call, "wq0.1")
    name_driver(call, "dmaengine")


_NO_DRIVER_NAME: Bind = (ENODEV, "0x80200000\n")
#: Where binding the queue ends otherwise from a kernel on, the latest first.
_LATER: dict[str, tuple[tuple[str, Bind], ...]] = {
    "user_wq_no_sva": (("7.2", _GOOD),),
    "kernel_type_to_user_drv": (("6.12", _NO_DRIVER_NAME),),
    "driver_name_mismatch": (("6.12", _NO_DRIVER_NAME),),
}

_FLOWS: tuple[tuple[str, Step, str, Bind, Bind], ...] = (
    ("ok_kernel", _usual(), "dmaengine", _GOOD, _GOOD),
    ("user_wq_no_sva", _usual(type="user", name="app1", driver="user"), "user", _GOOD, _NO_SVA),
    ("kernel_type_to_user_drv", _usual(), "user", _GOOD, _NO_SVA),
    ("user_type_to_dma_drv", _usual(type="user", name="x"), "dmaengine", _GOOD, _GOOD),
    ("size0", _usual(size="0"), "dmaengine", _GOOD, _GOOD),
    ("no_group", _usual(group="-1"), "dmaengine", _NONE_CONFIGURED, _NONE_CONFIGURED),
    ("prio0", _usual(priority="0"), "dmaengine", _GOOD, _GOOD),
    ("type_none", _usual(type="none"), "dmaengine", _GOOD, _GOOD),
    ("name_other", _usual(name="zzz"), "dmaengine", _GOOD, _GOOD),
    ("name_empty", _usual(name="\n"), "dmaengine", _GOOD, (ENXIO, "0x80040000\n")),
    ("shared_kernel", _usual(mode="shared"), "dmaengine", _NO_SHARED, _NO_SHARED),
    (
        "shared_user",
        _then(f"{WQ}/threshold", "8", mode="shared", type="user", name="a", driver="user"),
        "user",
        _NO_SHARED,
        _NO_SHARED,
    ),
    (
        "shared_thresh0",
        _then(f"{WQ}/threshold", "0", EINVAL, mode="shared"),
        "dmaengine",
        _NO_SHARED,
        _NO_SHARED,
    ),
    ("engine_other_group", _then(f"{ENGINE}/group_id", "1"), "dmaengine", _GOOD, _GOOD),
    ("bof", _then(f"{WQ}/block_on_fault", "1"), "dmaengine", _GOOD, _GOOD),
    ("wq_not_configured", _another, "dmaengine", _GOOD, (ENXIO, "0x80030000\n")),
    ("driver_name_mismatch", _usual(driver="user"), "dmaengine", _GOOD, _GOOD),
)


@case(
    source="idxd_device_drv_probe, drv_enable_wq: drivers/dma/idxd/device.c, 6.1",
    golden="idxd:idxd/flow_{name}",
)
@param("name setup driver device_bind queue_bind", _FLOWS)
def flow(
    call: Call, name: str, setup: Step, driver: str, device_bind: Bind, queue_bind: Bind
) -> None:
    queue_bind = next(
        (result for kernel, result in _LATER.get(name, ()) if call.since(kernel)), queue_bind
    )
    call.write_text(f"{DSA}/cmd_status", "1")
    setup(call)
    for (error, status), (where, device) in zip(
        (device_bind, queue_bind), (("idxd", "dsa0"), (driver, "wq0.0")), strict=True
    ):
        expect(bind(call, where, device), len(device) if error is None else error)
        expect(cmd_status(call), status)
    expect(call.read_text(f"{DSA}/state"), _state(device_bind))
    expect(call.read_text(f"{WQ}/state"), _state(queue_bind))


def _state(result: Bind) -> str:
    return "enabled\n" if result[0] is None else "disabled\n"


@case(source="idxd_wq_config_write: drivers/dma/idxd/device.c, 6.1")
def size_is_filled_in(call: Call) -> None:
    """A queue with a type but no size gets 16 entries when the device is enabled."""
    configure(call, size="0")
    expect(bind(call, "idxd", "dsa0"), 4)
    expect(call.read_text(f"{WQ}/size"), "16\n")


@case(source="idxd_wq_config_write: drivers/dma/idxd/device.c, 6.1")
def size_is_not_filled_in_without_a_type(call: Call) -> None:
    configure(call, size="0", type="none")
    expect(bind(call, "idxd", "dsa0"), 4)
    expect(call.read_text(f"{WQ}/size"), "0\n")


@case(source="idxd_device_drv_probe, idxd_device_drv_remove: drivers/dma/idxd/device.c, 6.1")
def round_trip(call: Call) -> None:
    """A device can be taken down and set up again, with another queue."""
    for wq in ("wq0.0", "wq0.5"):
        configure(call, wq)
        expect(bind(call, "idxd", "dsa0"), 4)
        expect(bind(call, "dmaengine", wq), 5)
        expect(call.read_text(f"{DEVICES}/{wq}/state"), "enabled\n")
        expect(unbind(call, "dmaengine", wq), 5)
        expect(unbind(call, "idxd", "dsa0"), 4)
        expect(cmd_status(call), "0x0\n")
