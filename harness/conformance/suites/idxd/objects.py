# SPDX-License-Identifier: Apache-2.0
"""What there is after the module found its device: names, links, modes and first values."""

from __future__ import annotations

from collections.abc import Callable

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import ENOENT
from harness.conformance.suites.idxd._dsa import (
    BUS,
    DEVICES,
    DRIVERS,
    WQ,
    check_wq_defaults,
    uevent,
)
from harness.uapi.fs import MAY_EXEC

_SYSFS = "drivers/dma/idxd/sysfs.c, 6.1"
_DRIVER = ("bind", "module", "uevent", "unbind")

_LISTINGS = (
    ("bus_ls", BUS, ("devices", "drivers", "drivers_autoprobe", "drivers_probe", "uevent")),
    ("drivers", DRIVERS, ("dmaengine", "idxd", "user")),
    (
        "devices",
        DEVICES,
        (
            "dsa0",
            *(f"engine0.{n}" for n in range(4)),
            *(f"group0.{n}" for n in range(4)),
            *(f"wq0.{n}" for n in range(8)),
        ),
    ),
    ("drv_idxd_ls", f"{DRIVERS}/idxd", _DRIVER),
    ("drv_user_ls", f"{DRIVERS}/user", _DRIVER),
    ("drv_dmaengine_ls", f"{DRIVERS}/dmaengine", _DRIVER),
    (
        "pci_drv_ls",
        "/sys/bus/pci/drivers/idxd",
        ("0000:00:05.0", "bind", "module", "new_id", "remove_id", "uevent", "unbind"),
    ),
)


@case(
    source="idxd_bus_init, idxd_register_driver: drivers/dma/idxd/{bus,init}.c, 6.1",
    golden="idxd:idxd/{probe}",
)
@param("probe path names", _LISTINGS, id="{path}")
def listing(call: Call, probe: str, path: str, names: tuple[str, ...]) -> None:
    expect(sorted(expect(call.listdir(path))), sorted(names))


_DEVICE = "../../../devices/pci0000:00/0000:00:05.0/dsa0"


@case(source=f"idxd_register_devices: {_SYSFS}", golden="idxd:idxd/{probe}")
@param(
    "probe name target",
    [
        ("dsa0_link", "dsa0", _DEVICE),
        ("wq_link", "wq0.0", f"{_DEVICE}/wq0.0"),
        ("engine_link", "engine0.3", f"{_DEVICE}/engine0.3"),
        ("group_link", "group0.2", f"{_DEVICE}/group0.2"),
    ],
    id="{name}",
)
def link(call: Call, probe: str, name: str, target: str) -> None:
    expect(call.readlink(f"{DEVICES}/{name}"), target)


_READ_ONLY, _READ_WRITE = 0o100444, 0o100644
_COMMON = {"power": 0o40755, "subsystem": 0o120777, "uevent": _READ_WRITE}


def _attributes(mode: int, *names: str) -> dict[str, int]:
    return dict.fromkeys(names, mode)


_WQ_MODES = {
    **_COMMON,
    **_attributes(_READ_ONLY, "cdev_minor", "clients", "occupancy", "state"),
    **_attributes(_READ_WRITE, "ats_disable", "block_on_fault", "enqcmds_retries", "group_id"),
    **_attributes(_READ_WRITE, "max_batch_size", "max_transfer_size", "mode", "name"),
    **_attributes(_READ_WRITE, "priority", "size", "threshold", "type"),
}
_GROUP_MODES = {
    **_COMMON,
    **_attributes(_READ_ONLY, "engines", "work_queues"),
    **_attributes(_READ_WRITE, "read_buffers_allowed", "read_buffers_reserved"),
    **_attributes(_READ_WRITE, "tokens_allowed", "tokens_reserved", "use_read_buffer_limit"),
    **_attributes(_READ_WRITE, "traffic_class_a", "traffic_class_b", "use_token_limit"),
}
_ENGINE_MODES = {**_COMMON, **_attributes(_READ_WRITE, "group_id")}
_DSA_MODES = {
    "power": 0o40755,
    "subsystem": 0o120777,
    **_attributes(_READ_WRITE, "cmd_status", "read_buffer_limit", "token_limit", "uevent"),
    **_attributes(_READ_ONLY, "cdev_major", "clients", "configurable", "errors", "gen_cap"),
    **_attributes(_READ_ONLY, "max_batch_size", "max_engines", "max_groups", "max_read_buffers"),
    **_attributes(_READ_ONLY, "max_tokens", "max_transfer_size", "max_work_queues"),
    **_attributes(_READ_ONLY, "max_work_queues_size", "numa_node", "op_cap", "pasid_enabled"),
    **_attributes(_READ_ONLY, "state", "version"),
}


@case(
    source=f"idxd_wq_attr_visible, idxd_group_attr_visible, idxd_device_attr_visible: {_SYSFS}",
    golden=("idxd:idxd/{kind}_ls", "idxd:idxd/{kind}_modes"),
)
@param(
    "kind name modes",
    [
        ("wq", "wq0.0", _WQ_MODES),
        ("engine", "engine0.0", _ENGINE_MODES),
        ("group", "group0.0", _GROUP_MODES),
    ],
)
def visible(call: Call, kind: str, name: str, modes: dict[str, int]) -> None:
    """Every node of an object and its mode: work queues, engines and groups have all alike."""
    path = f"{DEVICES}/{name}"
    if kind == "wq" and call.since("6.12"):
        modes = {**modes, "driver_name": _READ_WRITE}
    expect(sorted(expect(call.listdir(path))), sorted(modes))
    for node, mode in modes.items():
        expect(call.lstat(f"{path}/{node}"), mode=mode)


def _has_event_log(call: Call) -> bool:
    """The driver knows of event logs, and GENCAP says that there is one."""
    if not call.since("6.12"):
        return False
    return bool(int(expect(call.read_text(f"{DEVICES}/dsa0/gen_cap")), 16) >> 13 & 3)


@case(
    source=f"idxd_device_attr_visible: {_SYSFS}",
    golden=("idxd:idxd/dsa0_ls", "idxd:idxd/dsa0_modes"),
)
def visible_device(call: Call) -> None:
    """The device's directory holds its work queues, engines and groups besides its attributes."""
    names = expect(call.listdir(f"{DEVICES}/dsa0"))
    children = expect(call.listdir(DEVICES))
    modes = _DSA_MODES
    if _has_event_log(call):
        modes = {**modes, "event_log_size": _READ_WRITE}
    expect(sorted(set(names) - set(children)), sorted(modes))
    expect(sorted(set(children) - set(names)), ["dsa0"])
    for node, mode in modes.items():
        expect(call.lstat(f"{DEVICES}/dsa0/{node}"), mode=mode)


@case(source=f"idxd_group_attr_progress_limit_invisible: {_SYSFS}")
@param("attribute", ["desc_progress_limit", "batch_progress_limit"])
def invisible_without_capability(call: Call, attribute: str) -> None:
    expect(call.stat(f"{DEVICES}/group0.0/{attribute}"), ENOENT)


_OP_CAP = ",".join(["00000000"] * 7) + ",041f03fd"
_DSA_VALUES = (
    ("clients", "0\n"),
    ("cmd_status", "0x800d0000\n"),
    ("configurable", "1\n"),
    ("max_batch_size", "1024\n"),
    ("max_engines", "4\n"),
    ("max_groups", "4\n"),
    ("max_read_buffers", "96\n"),
    ("max_tokens", "96\n"),
    ("max_transfer_size", "2147483648\n"),
    ("max_work_queues", "8\n"),
    ("max_work_queues_size", "128\n"),
    ("numa_node", "-1\n"),
    ("op_cap", f"{_OP_CAP}\n"),
    ("read_buffer_limit", "0\n"),
    ("state", "disabled\n"),
    ("token_limit", "0\n"),
    ("version", "0x100\n"),
)
_ENGINE_VALUES = (("group_id", "-1\n"),)
_GROUP_VALUES = (
    ("engines", ""),
    ("read_buffers_reserved", "0\n"),
    ("tokens_reserved", "0\n"),
    ("traffic_class_a", "1\n"),
    ("traffic_class_b", "1\n"),
    ("use_read_buffer_limit", "0\n"),
    ("use_token_limit", "0\n"),
    ("work_queues", ""),
)


_ERRORS = " ".join(["0x0000000000000000"] * 4)
_ERROR_BITMAP = ",".join(["00000000"] * 8)


def _varying_dsa(call: Call) -> list[tuple[str, str]]:
    """The major number depends on what else a kernel has; the recorded 6.12 had an event log."""
    majors = {"+iommufd": "249", "7.2": "243", "6.12": "244", "6.1": "245"}
    major = next(major for kernel, major in majors.items() if call.since(kernel))
    values = [
        ("cdev_major", f"{major}\n"),
        ("errors", f"{_ERROR_BITMAP if call.since('6.12') else _ERRORS}\n"),
        ("gen_cap", "0x815f201f\n" if _has_event_log(call) else "0x815f001f\n"),
        ("pasid_enabled", "1\n" if call.since("7.2") else "0\n"),
        ("uevent", uevent(call, "dsa")),
    ]
    return values + ([("event_log_size", "64\n")] if _has_event_log(call) else [])


def _varying_group(call: Call) -> list[tuple[str, str]]:
    allowed = "96\n" if call.since("6.12") else "0\n"
    names = ("read_buffers_allowed", "tokens_allowed")
    return [("uevent", uevent(call, "group")), *((name, allowed) for name in names)]


#: What differs between kernels.
_VARYING: dict[str, Callable[[Call], list[tuple[str, str]]]] = {
    "dsa0": _varying_dsa,
    "engine": lambda call: [("uevent", uevent(call, "engine"))],
    "group": _varying_group,
}


@case(source=f"*_show: {_SYSFS}", golden="idxd:idxd/{kind}_attrs")
@param(
    "kind name values",
    [
        ("dsa0", "dsa0", _DSA_VALUES),
        ("engine", "engine0.0", _ENGINE_VALUES),
        ("group", "group0.0", _GROUP_VALUES),
    ],
)
def first_values(call: Call, kind: str, name: str, values: tuple[tuple[str, str], ...]) -> None:
    for attribute, value in (*values, *_VARYING[kind](call)):
        expect(call.read_text(f"{DEVICES}/{name}/{attribute}"), value)


@case(source=f"wq_*_show: {_SYSFS}", golden="idxd:idxd/wq_attrs")
def first_values_of_a_queue(call: Call) -> None:
    check_wq_defaults(call, WQ, "\n")


@case(
    source="idxd_cdev_register: drivers/dma/idxd/cdev.c, 6.1: the class is the bus",
    golden="idxd:idxd/sys_class_dsa",
)
def no_class(call: Call) -> None:
    expect(call.access("/sys/class/dsa", MAY_EXEC), ENOENT)


@case(source="dma_bus_init: drivers/dma/dmaengine.c, 6.1", golden="idxd:idxd/dma_class")
def dma_class_is_empty(call: Call) -> None:
    """No channel before a work queue is bound to ``dmaengine``."""
    expect(call.listdir("/sys/class/dma"), [])


@case(
    source="module_param(sva), module_param(tc_override): drivers/dma/idxd/init.c, 6.1",
    golden="idxd:idxd/module_params",
)
def module_parameters(call: Call) -> None:
    path = "/sys/module/idxd/parameters"
    expect(sorted(expect(call.listdir(path))), ["sva", "tc_override"])
    expect(call.read_text(f"{path}/sva"), "Y\n")
    expect(call.read_text(f"{path}/tc_override"), "N\n")


@case(source="param_set_bool: kernel/params.c, 6.1", golden="idxd:idxd/param_write")
def module_parameter_write(call: Call) -> None:
    expect(call.write_text("/sys/module/idxd/parameters/sva", "0"), 1)
    expect(call.read_text("/sys/module/idxd/parameters/sva"), "N\n")
