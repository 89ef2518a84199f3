# SPDX-License-Identifier: Apache-2.0
"""Devices of null_blk: what can be set, when, and what switching on makes of it."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import (
    EACCES,
    EBUSY,
    EEXIST,
    EINVAL,
    EIO,
    EOPNOTSUPP,
    ERANGE,
    ErrorNumber,
)
from harness.conformance.suites.configfs._sample import MACHINE, ROOT
from harness.uapi.fs import O_RDONLY

_NULLB = f"{ROOT}/nullb"
_DEVICE = f"{_NULLB}/t"
_MAIN = "drivers/block/null_blk/main.c, 6.1"


def _set(call: Call, **values: str) -> None:
    for name, text in values.items():
        expect(call.write_text(f"{_DEVICE}/{name}", text), len(text))


def _shown(call: Call, **values: str) -> None:
    for name, text in values.items():
        expect(call.read_text(f"{_DEVICE}/{name}"), f"{text}\n")


@case(source=f"memb_group_features_show: {_MAIN}", machine=MACHINE, golden="nullb/features")
def features(call: Call) -> None:
    """Each of them is an attribute of a device."""
    call.mkdir(_DEVICE)
    names = expect(call.read_text(f"{_NULLB}/features"))
    listed = set(expect(call.listdir(_DEVICE)))
    expect(set(names.rstrip("\n").split(",")) <= listed, True)
    expect(listed - {"index"} <= set(names.rstrip("\n").split(",")), True)


def _without_zones(call: Call, error: ErrorNumber) -> ErrorNumber:
    """``error`` of a kernel without CONFIG_BLK_DEV_ZONED, or EINVAL."""
    return error if call.since("+iommufd") else EINVAL


@case(source=f"null_alloc_dev: {_MAIN}", machine=MACHINE, golden="nullb/defaults")
def defaults(call: Call) -> None:
    call.mkdir(_DEVICE)
    _shown(call, size="256000", blocksize="512", home_node="4294967295", irqmode="1")
    _shown(call, queue_mode="2", hw_queue_depth="64", index="0", power="0", zone_size="256")
    _shown(call, completion_nsec="10000", memory_backed="0", submit_queues="1", poll_queues="1")
    expect(call.read_text(f"{_DEVICE}/badblocks"), "")
    expect(call.open(f"{_DEVICE}/zone_offline", O_RDONLY), EACCES)
    expect(call.write_text(f"{_DEVICE}/zone_offline", "0"), _without_zones(call, EOPNOTSUPP))


@case(source=f"nullb_device_*_attr_store: {_MAIN}", machine=MACHINE)
@param(
    "name text wanted shown",
    [
        ("size", "0x10", 4, "16\n"),
        ("size", "010", 3, "8\n"),
        ("size", "-1", EINVAL, "256000\n"),
        ("size", "18446744073709551615", 20, "18446744073709551615\n"),
        ("size", "9" * 30, ERANGE, "256000\n"),
        ("blocksize", "4294967296", ERANGE, "512\n"),
        ("queue_mode", "9", 1, "9\n"),
        ("submit_queues", "0", 1, "0\n"),
        ("zoned", "on", 2, "1\n"),
        ("zoned", "2", EINVAL, "0\n"),
        ("power", "2", EINVAL, "0\n"),
    ],
    id="{name}={text}",
)
def store(call: Call, name: str, text: str, wanted: int | ErrorNumber, shown: str) -> None:
    """Only the form is looked at before the device is switched on."""
    call.mkdir(_DEVICE)
    expect(call.write_text(f"{_DEVICE}/{name}", text), wanted)
    expect(call.read_text(f"{_DEVICE}/{name}"), shown)


@case(source=f"nullb_device_power_store: {_MAIN}", machine=MACHINE, golden="nullb/power_y")
def switched_on(call: Call) -> None:
    """It has a number, and cannot be changed until it is switched off."""
    call.mkdir(_DEVICE)
    _set(call, power="y")
    _shown(call, power="1", index="1")
    _set(call, power="1")
    expect(call.write_text(f"{_DEVICE}/size", "100"), EBUSY)
    expect(call.write_text(f"{_DEVICE}/size", "x"), EINVAL)
    expect(call.write_text(f"{_DEVICE}/index", "3"), EBUSY)
    _set(call, power="0")
    _set(call, size="100", power="1")
    expect(call.rmdir(_DEVICE))


@case(source=f"nullb_update_nr_hw_queues: {_MAIN}", machine=MACHINE)
def queues_of_a_device_that_is_on(call: Call) -> None:
    call.mkdir(_DEVICE)
    _set(call, power="1")
    expect(call.write_text(f"{_DEVICE}/submit_queues", "0"), EINVAL)
    expect(call.write_text(f"{_DEVICE}/submit_queues", "2"), EINVAL)
    _set(call, submit_queues="1", poll_queues="1")
    expect(call.write_text(f"{_DEVICE}/poll_queues", "2"), EINVAL)


@case(
    source="nullb_update_nr_hw_queues: drivers/block/null_blk/main.c, 6.12",
    machine=MACHINE,
    since="6.12",
)
def no_queue_for_polling(call: Call) -> None:
    """6.1 dies of it."""
    call.mkdir(_DEVICE)
    _set(call, power="1", poll_queues="0")
    _shown(call, poll_queues="0")
    _set(call, poll_queues="1")


@case(source=f"null_add_dev: {_MAIN}", machine=MACHINE)
def numbers(call: Call) -> None:
    """The lowest that is free; 0 is the module's own device, whose name is taken too."""
    for name in ("a", "b", "c"):
        call.mkdir(f"{_NULLB}/{name}")
        call.write_text(f"{_NULLB}/{name}/power", "1")
    expect(call.read_text(f"{_NULLB}/c/index"), "3\n")
    call.write_text(f"{_NULLB}/b/power", "0")
    call.write_text(f"{_NULLB}/c/power", "0")
    call.write_text(f"{_NULLB}/c/power", "1")
    expect(call.read_text(f"{_NULLB}/c/index"), "2\n")


@case(source="null_find_dev_by_name: drivers/block/null_blk/main.c, 6.12", machine=MACHINE)
def name_of_another_device(call: Call) -> None:
    expect(call.mkdir(f"{_NULLB}/nullb0"), EEXIST)
    expect(call.mkdir(f"{_NULLB}/nullb1"))


@case(source=f"null_validate_conf: {_MAIN}", machine=MACHINE)
@param(
    "name text shown",
    [
        ("submit_queues", "0", "1"),
        ("submit_queues", "9", "1"),
        ("poll_queues", "9", "1"),
        ("irqmode", "9", "2"),
        ("cache_size", "7", "0"),
        ("mbps", "99999999", "40960"),
        ("discard", "1", "0"),
        ("index", "7", "1"),
        ("home_node", "0", "0"),
        ("no_sched", "1", "1"),
    ],
    id="{name}={text}",
)
def made_fit(call: Call, name: str, text: str, shown: str) -> None:
    """What a device cannot be becomes what it can be when it is switched on."""
    call.mkdir(_DEVICE)
    _set(call, **{name: text, "power": "1"})
    _shown(call, **{name: shown})


@case(source=f"null_validate_conf: {_MAIN}", machine=MACHINE)
def backed_by_memory(call: Call) -> None:
    """Then it may block, cache and discard."""
    call.mkdir(_DEVICE)
    _set(call, memory_backed="1", cache_size="7", discard="1", power="1")
    _shown(call, blocking="1", cache_size="7", discard="1")


@case(source="blk_validate_limits: block/blk-settings.c, 6.12", machine=MACHINE, since="6.12")
@param(
    "name text wanted",
    [
        ("max_sectors", "5", EINVAL),
        ("max_sectors", "8", 1),
        ("queue_mode", "1", EINVAL),
        ("hw_queue_depth", "0", EINVAL),
    ],
    id="{name}={text}",
)
def refused(call: Call, name: str, text: str, wanted: int | ErrorNumber) -> None:
    """It stays off."""
    call.mkdir(_DEVICE)
    _set(call, **{name: text})
    expect(call.write_text(f"{_DEVICE}/power", "1"), wanted)
    _shown(call, power="1" if wanted == 1 else "0")


@case(source=f"null_validate_conf, blk_validate_block_size: {_MAIN}", machine=MACHINE)
@param("size wanted", [("513", EINVAL), ("100000", EINVAL), ("1024", 1), ("4096", 1)])
def block_sizes(call: Call, size: str, wanted: int | ErrorNumber) -> None:
    call.mkdir(_DEVICE)
    _set(call, blocksize=size)
    expect(call.write_text(f"{_DEVICE}/power", "1"), wanted)
    _shown(call, blocksize=size, power="1" if wanted == 1 else "0")


@case(source=f"null_validate_conf, blk_validate_block_size: {_MAIN}", machine=MACHINE)
def no_block_size(call: Call) -> None:
    """For a kernel with queue limits it means the default."""
    call.mkdir(_DEVICE)
    _set(call, blocksize="0")
    expect(call.write_text(f"{_DEVICE}/power", "1"), 1 if call.since("6.12") else EINVAL)


@case(source="null_init_zoned_dev: drivers/block/null_blk/zoned.c, 6.1", machine=MACHINE)
@param(
    "values wanted",
    [
        ({}, 1),
        ({"zone_size": "3"}, EINVAL),
        ({"zone_size": "0"}, EINVAL),
        ({"zone_capacity": "300"}, EINVAL),
        ({"zone_size": "262144"}, EINVAL),
    ],
)
def zones(call: Call, values: dict[str, str], wanted: int | ErrorNumber) -> None:
    """None without CONFIG_BLK_DEV_ZONED."""
    if call.since("+iommufd"):
        wanted = EINVAL
    call.mkdir(_DEVICE)
    _set(call, zoned="1", **values)
    expect(call.write_text(f"{_DEVICE}/power", "1"), wanted)


@case(
    source="null_init_zoned_dev: drivers/block/null_blk/zoned.c, 6.1",
    machine=MACHINE,
    until="+iommufd",
)
def conventional_zones(call: Call) -> None:
    """At least one is not."""
    call.mkdir(_DEVICE)
    _set(call, zoned="1", zone_nr_conv="99999", zone_max_open="5", power="1")
    _shown(call, zone_nr_conv="999", zone_capacity="256")
    expect(call.write_text(f"{_DEVICE}/zone_readonly", "0"), EINVAL)


@case(
    source=f"nullb_device_badblocks_store: {_MAIN}", machine=MACHINE, golden="nullb/badblocks_add"
)
def bad_blocks(call: Call) -> None:
    """Ranges that touch become one."""
    call.mkdir(_DEVICE)
    path = f"{_DEVICE}/badblocks"
    steps = [
        ("+1-10", "1 10\n"),
        ("+11-20", "1 20\n"),
        ("+30-40\n", "1 20\n30 11\n"),
        ("-15-35", "1 14\n36 5\n"),
        (" +50-51 ", "1 14\n36 5\n50 2\n"),
        ("-0-100", ""),
    ]
    for text, shown in steps:
        expect(call.write_text(path, text), len(text))
        expect(call.read_text(path), shown)


@case(source="badblocks_set: block/badblocks.c, 6.12", machine=MACHINE, since="6.12")
def a_long_range_of_bad_blocks(call: Call) -> None:
    """An entry has at most 512 sectors."""
    call.mkdir(_DEVICE)
    path = f"{_DEVICE}/badblocks"
    expect(call.write_text(path, "+0-2000"), 7)
    expect(call.read_text(path), "0 512\n512 512\n1024 512\n1536 465\n")
    expect(call.write_text(path, "-0-1"), 4)
    expect(call.read_text(path), "2 510\n512 512\n1024 512\n1536 465\n")


@case(source=f"nullb_device_badblocks_store: {_MAIN}", machine=MACHINE)
@param("text", ["1-10", "+5-3", "+x-1", "+1", "zz", "+-1", "+ 1-2", "1"])
def bad_blocks_that_are_none(call: Call, text: str) -> None:
    call.mkdir(_DEVICE)
    expect(call.write_text(f"{_DEVICE}/badblocks", text), EINVAL)
    expect(call.read_text(f"{_DEVICE}/badblocks"), "")


@case(
    source="badblocks_show: block/badblocks.c; fill_read_buffer: fs/configfs/file.c, 6.12",
    machine=MACHINE,
    since="6.12",
    until="7.2",
)
def too_many_bad_blocks_to_show(call: Call) -> None:
    """A text of more than a page is an error. 7.2 takes no such range, which is not modelled."""
    call.mkdir(_DEVICE)
    expect(call.write_text(f"{_DEVICE}/badblocks", "+1-10000000"), 11)
    expect(call.read_text(f"{_DEVICE}/badblocks"), EIO)
