# SPDX-License-Identifier: Apache-2.0
"""Binding devices and work queues to the drivers on the bus, and letting them go."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EBUSY, ENODEV, ENOENT, ENXIO, EOPNOTSUPP
from harness.conformance.suites.idxd._dsa import (
    BUS,
    DEVICES,
    DRIVERS,
    DSA,
    ENGINE,
    GROUP,
    WQ,
    bind,
    check_wq_defaults,
    cmd_status,
    configure,
    enable,
    name_driver,
    unbind,
)
from harness.uapi.fs import MAY_EXEC, O_RDWR

_CORE = "drivers/base/{bus,dd}.c, 6.1"
_DEVICE = "drivers/dma/idxd/device.c, 6.1"


@case(
    source=f"idxd_device_drv_probe, idxd_wqs_setup: {_DEVICE}",
    golden=("idxd:idxd/bind_dev_unconfigured", "idxd:idxd/bind_dev_unconf_status"),
)
def unconfigured_device(call: Call) -> None:
    call.write_text(f"{DSA}/cmd_status", "1")
    expect(bind(call, "idxd", "dsa0"), ENXIO)
    expect(call.read_text(f"{DSA}/state"), "disabled\n")
    expect(cmd_status(call), "0x800d0000\n")
    expect(call.readlink(f"{DSA}/driver"), ENOENT)


@case(
    source=f"idxd_engines_setup: {_DEVICE}",
    golden=("idxd:idxd/conf_no_engine", "idxd:idxd/conf_no_engine_status"),
)
def no_engine_in_a_group(call: Call) -> None:
    """There is no code for this: the status stays what it was."""
    configure(call)
    call.write_text(f"{ENGINE}/group_id", "-1")
    call.write_text(f"{DSA}/cmd_status", "1")
    expect(bind(call, "idxd", "dsa0"), ENXIO)
    expect(call.read_text(f"{DSA}/state"), "disabled\n")
    expect(cmd_status(call), "0x0\n")


@case(
    source="idxd_dmaengine_drv_probe: drivers/dma/idxd/dma.c, 6.1; idxd_user_drv_probe: cdev.c",
    golden="idxd:idxd/{probe}",
)
@param(
    "probe driver",
    [("bind_wq_dev_disabled", "dmaengine"), ("bind_wq_user_dev_disabled", "user")],
    id="{driver}",
)
def queue_of_a_disabled_device(call: Call, probe: str, driver: str) -> None:
    """The status is not touched."""
    expect(bind(call, driver, "wq0.0"), ENXIO)
    expect(cmd_status(call), "0x800d0000\n")


_NO_MATCH = (
    ("bind_engine", "idxd", "engine0.0"),
    ("bind_group", "idxd", "group0.0"),
    ("bind_wq_to_idxd_drv", "idxd", "wq0.0"),
    ("bind_dev_to_user_drv", "user", "dsa0"),
    ("bind_nonexist", "idxd", "dsa9"),
    ("bind_nonexist_wq", "user", "wq9.9"),
    ("bind_nothing", "user", "\n"),
)


@case(
    source=f"bind_store: {_CORE}; idxd_config_bus_match: drivers/dma/idxd/bus.c",
    golden="idxd:idxd/{probe}",
)
@param("probe driver device", _NO_MATCH, id="{driver}/{device}")
def no_match(call: Call, probe: str, driver: str, device: str) -> None:
    expect(bind(call, driver, device), ENODEV)


@case(
    source=f"unbind_store: {_CORE}",
    golden=(
        "idxd:idxd/unbind_not_bound",
        "idxd:idxd/unbind_wq",
        "idxd:idxd/unbind_wq_again",
    ),
)
@param("driver device", [("idxd", "dsa0"), ("dmaengine", "wq0.0"), ("user", "wq0.0")])
def unbind_what_is_not_bound(call: Call, driver: str, device: str) -> None:
    expect(unbind(call, driver, device), ENODEV)


@case(
    source=f"idxd_device_drv_probe: {_DEVICE}",
    golden=(
        "idxd:idxd/bind_dev",
        "idxd:idxd/dev_state",
        "idxd:idxd/dev_driver_link",
    ),
)
def device(call: Call) -> None:
    configure(call)
    expect(bind(call, "idxd", "dsa0"), 4)
    expect(call.read_text(f"{DSA}/state"), "enabled\n")
    expect(cmd_status(call), "0x0\n")
    expect(call.readlink(f"{DSA}/driver"), "../../../../bus/dsa/drivers/idxd")
    expect(
        call.readlink(f"{DRIVERS}/idxd/dsa0"),
        "../../../../devices/pci0000:00/0000:00:05.0/dsa0",
    )


@case(source=f"__driver_probe_device: {_CORE}", golden="idxd:idxd/bind_dev_again")
def device_again(call: Call) -> None:
    """The driver core refuses, so the driver leaves no status."""
    enable(call)
    expect(bind(call, "idxd", "dsa0"), EBUSY)
    expect(cmd_status(call), "0x0\n")


@case(
    source=f"drv_enable_wq: {_DEVICE}; idxd_dmaengine_drv_probe: drivers/dma/idxd/dma.c",
    golden=(
        "idxd-6.1:idxd/bind_wq_dma",
        "idxd-6.1:idxd/wq_dma_state",
        "idxd:idxd/wq_driver_link",
        "idxd:idxd/cdev_minor_kernel",
        "idxd:idxd/unbind_wq",
    ),
)
def shared_queue_without_pasid(call: Call) -> None:
    """Made shared after the device was enabled, which does not look at it."""
    enable(call)
    call.write_text(f"{WQ}/mode", "shared")
    call.write_text(f"{WQ}/threshold", "4")
    expect(bind(call, "dmaengine", "wq0.0"), ENXIO)
    expect(cmd_status(call), "0x80050000\n")
    expect(call.read_text(f"{WQ}/state"), "disabled\n")
    expect(call.read_text(f"{WQ}/clients"), "0\n")
    expect(call.read_text(f"{DSA}/clients"), "0\n")
    expect(call.read_text(f"{WQ}/type"), "none\n")
    expect(call.readlink(f"{WQ}/driver"), ENOENT)
    expect(call.read_text(f"{WQ}/cdev_minor"), ENXIO)
    expect(unbind(call, "dmaengine", "wq0.0"), ENODEV)


@case(
    source="idxd_dmaengine_drv_probe, idxd_wq_driver_name_match: drivers/dma/idxd/dma.c, 6.12",
    since="6.12",
    golden=("idxd:idxd/bind_wq_dma", "idxd:idxd/wq_dma_state"),
)
@param("driver_name", ["user", "dma", "Dmaengine"])
def queue_of_another_driver(call: Call, driver_name: str) -> None:
    """A queue that does not name the driver loses its type, too."""
    enable(call)
    name_driver(call, driver_name)
    expect(bind(call, "dmaengine", "wq0.0"), ENODEV)
    expect(cmd_status(call), "0x80200000\n")
    expect(call.read_text(f"{WQ}/state"), "disabled\n")
    expect(call.read_text(f"{WQ}/type"), "none\n")
    expect(call.read_text(f"{WQ}/clients"), "0\n")
    expect(call.read_text(f"{DSA}/clients"), "0\n")


@case(source="idxd_user_drv_probe: drivers/dma/idxd/cdev.c, 6.12", since="6.12")
@param("driver_name", ["dmaengine", "use", "\n"])
def queue_of_another_driver_for_programs(call: Call, driver_name: str) -> None:
    """Here the type stays, and SVA is not asked for."""
    enable(call)
    name_driver(call, driver_name)
    expect(bind(call, "user", "wq0.0"), ENODEV)
    expect(cmd_status(call), "0x80200000\n")
    expect(call.read_text(f"{WQ}/type"), "kernel\n")


@case(source="idxd_wq_driver_name_match: drivers/dma/idxd/idxd.h, 6.12", since="6.12")
def driver_name_that_goes_on(call: Call) -> None:
    """The driver's name is compared as far as it goes."""
    enable(call)
    name_driver(call, "dmaengine2")
    expect(bind(call, "dmaengine", "wq0.0"), 5)
    expect(call.read_text(f"{WQ}/state"), "enabled\n")
    expect(unbind(call, "dmaengine", "wq0.0"), 5)
    expect(call.read_text(f"{WQ}/driver_name"), "dmaengine2\n")


@case(source="idxd_probe, idxd_cdev_open: drivers/dma/idxd/{init,cdev}.c, 7.2", since="7.2")
def user_queue_without_iommu(call: Call) -> None:
    """A queue of programs can be enabled without an IOMMU, but not opened."""
    configure(call, type="user", name="app", driver="user")
    expect(bind(call, "idxd", "dsa0"), 4)
    expect(bind(call, "user", "wq0.0"), 5)
    expect(call.read_text(f"{WQ}/state"), "enabled\n")
    expect(call.open("/dev/dsa/wq0.0", O_RDWR), ENODEV)
    expect(call.read_text(f"{WQ}/clients"), "0\n")


@case(source=f"drv_enable_wq: {_DEVICE}")
@param(
    "attribute value status",
    [
        ("group_id", "-1", "0x80030000\n"),
        ("name", "\n", "0x80040000\n"),
        ("mode", "shared", "0x80050000\n"),
    ],
)
def queue_is_not_ready(call: Call, attribute: str, value: str, status: str) -> None:
    enable(call)
    call.write_text(f"{WQ}/{attribute}", value)
    expect(bind(call, "dmaengine", "wq0.0"), ENXIO)
    expect(cmd_status(call), status)


@case(source=f"drv_enable_wq: {_DEVICE}")
def group_is_checked_before_name_and_mode(call: Call) -> None:
    enable(call)
    call.write_text(f"{WQ}/mode", "shared")
    call.write_text(f"{WQ}/name", "\n")
    expect(bind(call, "dmaengine", "wq0.0"), ENXIO)
    expect(cmd_status(call), "0x80040000\n")
    call.write_text(f"{WQ}/group_id", "-1")
    expect(bind(call, "dmaengine", "wq0.0"), ENXIO)
    expect(cmd_status(call), "0x80030000\n")


@case(source="idxd_user_drv_probe: drivers/dma/idxd/cdev.c, 6.1", until="7.2")
def user_queue_without_sva(call: Call) -> None:
    """Refused before the type is set and before the queue is looked at."""
    enable(call)
    call.write_text(f"{WQ}/type", "none")
    name_driver(call, "user")
    expect(bind(call, "user", "wq0.0"), EOPNOTSUPP)
    expect(cmd_status(call), "0x80110000\n")
    expect(call.read_text(f"{WQ}/type"), "none\n")
    expect(call.access("/dev/dsa", MAY_EXEC), ENOENT)


@case(source=f"drv_enable_wq: {_DEVICE}; idxd_register_dma_channel: drivers/dma/idxd/dma.c")
def queue(call: Call) -> None:
    """A dedicated kernel queue: state, driver, and a channel in the class ``dma``."""
    enable(call)
    expect(bind(call, "dmaengine", "wq0.0"), 5)
    expect(cmd_status(call), "0x0\n")
    expect(call.read_text(f"{WQ}/state"), "enabled\n")
    expect(call.read_text(f"{WQ}/type"), "kernel\n")
    expect(call.readlink(f"{WQ}/driver"), "../../../../../bus/dsa/drivers/dmaengine")
    expect(call.listdir("/sys/class/dma"), ["dma0chan0"])
    expect(bind(call, "dmaengine", "wq0.0"), EBUSY)
    expect(bind(call, "user", "wq0.0"), EBUSY)
    expect(unbind(call, "user", "wq0.0"), ENODEV)
    expect(cmd_status(call), "0x0\n")


_AFTER_QUEUE = (
    ("name", "\n"),
    ("mode", "shared\n"),
    ("threshold", "0\n"),
    ("priority", "0\n"),
    ("type", "none\n"),
    ("block_on_fault", "0\n"),
    ("ats_disable", "0\n"),
    ("max_transfer_size", "2097152\n"),
    ("max_batch_size", "32\n"),
    ("enqcmds_retries", "32\n"),
    ("size", "16\n"),
    ("group_id", "0\n"),
    ("state", "disabled\n"),
)


@case(source=f"idxd_wq_disable_cleanup: {_DEVICE}")
def queue_after_unbind(call: Call) -> None:
    """All is as at first, but for size and group."""
    enable(call)
    for attribute, value in (
        ("block_on_fault", "1"),
        ("ats_disable", "1"),
        ("max_transfer_size", "4096"),
        ("max_batch_size", "4"),
    ):
        call.write_text(f"{WQ}/{attribute}", value)
    expect(bind(call, "dmaengine", "wq0.0"), 5)
    expect(unbind(call, "dmaengine", "wq0.0"), 5)
    for attribute, value in _AFTER_QUEUE:
        expect(call.read_text(f"{WQ}/{attribute}"), value)
    expect(cmd_status(call), "0x0\n")
    expect(call.readlink(f"{WQ}/driver"), ENOENT)
    expect(call.listdir("/sys/class/dma"), [])
    expect(unbind(call, "dmaengine", "wq0.0"), ENODEV)


@case(
    source=f"idxd_device_drv_remove, idxd_device_clear_state: {_DEVICE}",
    golden=(
        "idxd:idxd/unbind_dev_with_wq_enabled",
        "idxd-6.1:idxd/config_after_disable",
        "idxd:idxd/group_after_disable",
    ),
)
def device_unbound_with_a_queue_enabled(call: Call) -> None:
    """The queue is let go first; then all configuration is back at its defaults."""
    enable(call)
    expect(bind(call, "dmaengine", "wq0.0"), 5)
    expect(unbind(call, "idxd", "dsa0"), 4)
    expect(call.read_text(f"{DSA}/state"), "disabled\n")
    expect(call.readlink(f"{WQ}/driver"), ENOENT)
    check_wq_defaults(call, WQ, "dmaengine\n")
    expect(call.read_text(f"{GROUP}/engines"), "")
    expect(call.read_text(f"{GROUP}/work_queues"), "")
    expect(call.read_text(f"{ENGINE}/group_id"), "-1\n")
    expect(cmd_status(call), "0x0\n")


@case(
    source="idxd_device_clear_state: drivers/dma/idxd/device.c, 6.12",
    since="6.12",
    golden="idxd:idxd/config_after_disable",
)
def driver_name_survives(call: Call) -> None:
    """The driver's name is all that is left of the configuration; the type went before."""
    enable(call)
    name_driver(call, "user")
    expect(bind(call, "dmaengine", "wq0.0"), ENODEV)
    expect(unbind(call, "idxd", "dsa0"), 4)
    check_wq_defaults(call, WQ, "user\n")


@case(source=f"idxd_groups_clear_state: {_DEVICE}")
def group_after_unbind(call: Call) -> None:
    call.write_text(f"{GROUP}/read_buffers_reserved", "8")
    call.write_text(f"{GROUP}/read_buffers_allowed", "20")
    enable(call)
    expect(unbind(call, "idxd", "dsa0"), 4)
    expect(call.read_text(f"{GROUP}/read_buffers_reserved"), "0\n")
    everything = "96\n" if call.since("6.12") else "0\n"
    expect(call.read_text(f"{GROUP}/read_buffers_allowed"), everything)
    expect(call.read_text(f"{GROUP}/use_read_buffer_limit"), "0\n")


@case(source=f"unbind_store: {_CORE}")
def wrong_driver(call: Call) -> None:
    enable(call)
    expect(unbind(call, "user", "dsa0"), ENODEV)
    expect(call.read_text(f"{DSA}/state"), "enabled\n")


@case(source=f"drivers_autoprobe_show: {_CORE}", golden="idxd:idxd/drivers_autoprobe")
def autoprobe_is_on(call: Call) -> None:
    expect(call.read_text(f"{BUS}/drivers_autoprobe"), "1\n")


@case(
    source=f"drivers_probe_store, bus_rescan_devices_helper: {_CORE}",
    golden="idxd:idxd/drivers_probe_wq",
)
def drivers_probe_succeeds_without_a_driver(call: Call) -> None:
    """Whoever wrote has to look at the link."""
    expect(call.write_text(f"{BUS}/drivers_probe", "wq0.0"), 5)
    expect(call.readlink(f"{DEVICES}/wq0.0/driver"), ENOENT)


@case(source=f"drivers_probe_store: {_CORE}")
def drivers_probe_enables_a_configured_device(call: Call) -> None:
    configure(call)
    expect(call.write_text(f"{BUS}/drivers_probe", "dsa0"), 4)
    expect(call.read_text(f"{DSA}/state"), "enabled\n")
