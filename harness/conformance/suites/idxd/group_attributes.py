# SPDX-License-Identifier: Apache-2.0
"""Stores into a group's attributes, and the lists of its members."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EACCES, EINVAL, ENOENT, EPERM
from harness.conformance.suites.idxd._dsa import (
    DEVICES,
    DSA,
    GROUP,
    WQ,
    Wanted,
    configure,
    enable,
    store,
)

_SYSFS = "drivers/dma/idxd/sysfs.c, 6.1"
_VALUES = ("-1", "0", "1", "2", "3", "4", "7", "8", "20", "96", "97", "x")


def _accepted(values: tuple[str, ...], refused: Wanted = EINVAL) -> list[tuple[str, Wanted]]:
    """A row for each of the values: those in ``values`` are taken, the others refused."""
    return [(value, f"{value}\n" if value in values else refused) for value in _VALUES]


_UP_TO_96 = ("0", "1", "2", "3", "4", "7", "8", "20", "96")


@case(
    source=f"group_read_buffers_reserved_store: {_SYSFS}",
    golden="idxd:idxd/group_read_buffers_reserved={value!r}",
)
@param("value wanted", _accepted(_UP_TO_96))
def read_buffers_reserved(call: Call, value: str, wanted: Wanted) -> None:
    store(call, f"{GROUP}/read_buffers_reserved", value, wanted)


@case(
    source=f"group_read_buffers_allowed_store: {_SYSFS}",
    golden="idxd:idxd/group_read_buffers_allowed={value!r}",
)
@param("value wanted", _accepted(_UP_TO_96))
def read_buffers_allowed(call: Call, value: str, wanted: Wanted) -> None:
    store(call, f"{GROUP}/read_buffers_allowed", value, wanted)


@case(source=f"group_read_buffers_allowed_store: {_SYSFS}")
@param("value wanted", [("3", EINVAL), ("4", "4\n")])
def read_buffers_allowed_for_an_engine(call: Call, value: str, wanted: Wanted) -> None:
    """Each engine in the group needs four."""
    call.write_text(f"{DEVICES}/engine0.0/group_id", "0")
    store(call, f"{GROUP}/read_buffers_allowed", value, wanted)


@case(
    source=f"group_use_read_buffer_limit_store: {_SYSFS}",
    golden="idxd:idxd/group_use_read_buffer_limit={value!r}",
)
@param("value wanted", [(value, EINVAL if value in ("-1", "x") else EPERM) for value in _VALUES])
def use_read_buffer_limit_without_one(call: Call, value: str, wanted: Wanted) -> None:
    """The device's limit is 0, so there is nothing to use."""
    store(call, f"{GROUP}/use_read_buffer_limit", value, wanted)


@case(source=f"group_use_read_buffer_limit_store: {_SYSFS}", golden="idxd:idxd/rbl_then_group")
@param("value wanted", [("1", "1\n"), ("0", "0\n"), ("8", "1\n"), ("x", EINVAL)])
def use_read_buffer_limit(call: Call, value: str, wanted: Wanted) -> None:
    """Any number but 0 is 1."""
    expect(call.write_text(f"{DSA}/read_buffer_limit", "8"), 1)
    store(call, f"{GROUP}/use_read_buffer_limit", value, wanted)


@case(source=f"group_tokens_*: {_SYSFS}")
@param(
    "old new",
    [
        ("tokens_reserved", "read_buffers_reserved"),
        ("tokens_allowed", "read_buffers_allowed"),
        ("use_token_limit", "use_read_buffer_limit"),
    ],
)
def token_names_are_the_same(call: Call, old: str, new: str) -> None:
    call.write_text(f"{DSA}/read_buffer_limit", "8")
    store(call, f"{GROUP}/{old}", "1", "1\n")
    expect(call.read_text(f"{GROUP}/{new}"), "1\n")


_REFUSED = [(value, EINVAL if value == "x" else EPERM) for value in _VALUES]


@case(
    source=f"group_traffic_class_a_store: {_SYSFS}",
    golden="idxd:idxd/group_traffic_class_a={value!r}",
)
@param("value wanted", _REFUSED)
def traffic_class_a(call: Call, value: str, wanted: Wanted) -> None:
    """Version 1 devices have fixed classes, unless the module was told otherwise."""
    store(call, f"{GROUP}/traffic_class_a", value, wanted)


@case(
    source=f"group_traffic_class_b_store: {_SYSFS}",
    golden="idxd:idxd/group_traffic_class_b={value!r}",
)
@param("value wanted", _REFUSED)
def traffic_class_b(call: Call, value: str, wanted: Wanted) -> None:
    store(call, f"{GROUP}/traffic_class_b", value, wanted)


@case(source=f"group_traffic_class_a_store, group_traffic_class_b_store: {_SYSFS}")
@param(
    "attribute value wanted",
    [
        (attribute, value, wanted)
        for attribute in ("traffic_class_a", "traffic_class_b")
        for value, wanted in (("0", "0\n"), ("7", "7\n"), ("8", EINVAL), ("-1", EINVAL))
    ],
    id="{attribute}={value}",
)
def traffic_class_with_override(call: Call, attribute: str, value: str, wanted: Wanted) -> None:
    expect(call.write_text("/sys/module/idxd/parameters/tc_override", "1"), 1)
    store(call, f"{GROUP}/{attribute}", value, wanted)


@case(
    source=f"idxd_group_attr_progress_limit_invisible: {_SYSFS}",
    golden=[f"idxd:idxd/group_{{attribute}}={value!r}" for value in (*_VALUES, "")],
)
@param("attribute", ["desc_progress_limit", "batch_progress_limit"])
def progress_limits_are_absent(call: Call, attribute: str) -> None:
    """The device lacks the capability."""
    for value in (*_VALUES, ""):
        expect(call.write_text(f"{GROUP}/{attribute}", value), ENOENT)


@case(source="vfs_write: fs/read_write.c, 6.1", golden="idxd:idxd/group_{attribute}=''")
@param(
    "attribute before after",
    [
        ("read_buffers_reserved", "96", "96\n"),
        ("read_buffers_allowed", "96", "96\n"),
        ("use_read_buffer_limit", None, "0\n"),
        ("traffic_class_a", None, "1\n"),
        ("traffic_class_b", None, "1\n"),
    ],
)
def empty_write(call: Call, attribute: str, before: str | None, after: str) -> None:
    if before is not None:
        call.write_text(f"{GROUP}/{attribute}", before)
    store(call, f"{GROUP}/{attribute}", "", after)


@case(source="kernfs_fop_open: fs/kernfs/file.c, 6.1", golden="idxd:idxd/group_engines_write")
@param("attribute", ["engines", "work_queues"])
def members_are_read_only(call: Call, attribute: str) -> None:
    expect(call.write_text(f"{GROUP}/{attribute}", "engine0.0"), EACCES)


@case(source=f"group_work_queues_show: {_SYSFS}", golden="idxd:idxd/group_workqueues_read")
@param("attribute", ["engines", "work_queues"])
def members_of_an_empty_group(call: Call, attribute: str) -> None:
    """No newline, no byte at all."""
    expect(call.read_text(f"{GROUP}/{attribute}"), "")


@case(
    source=f"group_engines_show, group_work_queues_show: {_SYSFS}",
    golden=("idxd:idxd/group_lists", "idxd:idxd/conf_ok"),
)
def members(call: Call) -> None:
    configure(call)
    expect(call.read_text(f"{GROUP}/engines"), "engine0.0\n")
    expect(call.read_text(f"{GROUP}/work_queues"), "wq0.0\n")


@case(source=f"group_engines_show, group_work_queues_show: {_SYSFS}")
def several_members(call: Call) -> None:
    """Names in the order of their numbers, one blank between them."""
    for name in ("wq0.2", "wq0.0", "wq0.1", "engine0.3", "engine0.1"):
        call.write_text(f"{DEVICES}/{name}/group_id", "0")
    expect(call.read_text(f"{GROUP}/work_queues"), "wq0.0 wq0.1 wq0.2\n")
    expect(call.read_text(f"{GROUP}/engines"), "engine0.1 engine0.3\n")


@case(
    source=f"group_read_buffers_reserved_store: {_SYSFS}",
    golden="idxd:idxd/reserve_sum_over",
)
def reserved_buffers_are_shared_out(call: Call) -> None:
    """Of 96, one group has 90; the next may have 6."""
    expect(call.write_text(f"{DEVICES}/group0.1/read_buffers_reserved", "90"), 2)
    store(call, f"{GROUP}/read_buffers_reserved", "20", EINVAL)
    store(call, f"{GROUP}/read_buffers_reserved", "7", EINVAL)
    store(call, f"{GROUP}/read_buffers_reserved", "6", "6\n")


@case(
    source=f"group_read_buffers_reserved_store: {_SYSFS}",
    golden="idxd:idxd/reserve_reset",
)
def reserved_buffers_come_back(call: Call) -> None:
    call.write_text(f"{DEVICES}/group0.1/read_buffers_reserved", "90")
    store(call, f"{DEVICES}/group0.1/read_buffers_reserved", "0", "0\n")
    store(call, f"{GROUP}/read_buffers_reserved", "96", "96\n")


@case(source=f"group_*_store: {_SYSFS}", golden="idxd:idxd/enabled_group_tc")
@param(
    "attribute",
    [
        "traffic_class_a",
        "traffic_class_b",
        "read_buffers_reserved",
        "read_buffers_allowed",
        "use_read_buffer_limit",
    ],
)
def while_enabled(call: Call, attribute: str) -> None:
    enable(call)
    store(call, f"{GROUP}/{attribute}", "2", EPERM)
    store(call, f"{GROUP}/{attribute}", "x", EINVAL)


@case(source=f"group_work_queues_show: {_SYSFS}")
def members_follow_the_queue(call: Call) -> None:
    call.write_text(f"{WQ}/group_id", "0")
    expect(call.read_text(f"{GROUP}/work_queues"), "wq0.0\n")
    call.write_text(f"{WQ}/group_id", "-1")
    expect(call.read_text(f"{GROUP}/work_queues"), "")
