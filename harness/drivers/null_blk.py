# SPDX-License-Identifier: Apache-2.0
"""null_blk as configfs shows it (drivers/block/null_blk/main.c, 6.1).

There are no block devices in a machine: a device that is powered has its number and the values that
the kernel would have given it, and nothing in /dev or /sys/block.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial

from attrs import define, field, frozen

from harness.kernel.configfs import ConfigGroup, ItemType, configfs_register_subsystem
from harness.kernel.errors import Errno
from harness.kernel.ida import Ida
from harness.kernel.kstrtox import c_string, kstrtoull
from harness.kernel.module import Module
from harness.kernel.sysfs import Attribute
from harness.kernel.system import Kernel
from harness.kernel.task import Caller
from harness.uapi.fs import INT_MAX, PAGE_SIZE

_SECTOR = 512
_UINT, _ULONG = 32, 64
_NULL_Q_BIO, _NULL_Q_RQ, _NULL_Q_MQ = 0, 1, 2
_NULL_IRQ_TIMER = 2
#: The first of some sectors, and what is behind the last.
Range = tuple[int, int]
#: Sectors that an entry of the list of bad blocks covers at most (BB_MAX_LEN), and entries.
_BB_MAX_LEN, _MAX_BADBLOCKS = 512, 512
#: Of the module's parameters, as it is loaded: one device, one queue for polling.
_NR_DEVICES = 1
_POLL_QUEUES = 1
_MBPS_MAX = 1024 * 40
_SECTORS_OF_PAGE = PAGE_SIZE // _SECTOR

#: What a device that was just made has, by attribute: whether it is a bool, its bits, its value.
_DEFAULTS: dict[str, bool | tuple[int, int]] = {
    "size": (_ULONG, 250 * 1024),
    "completion_nsec": (_ULONG, 10_000),
    "submit_queues": (_UINT, 1),
    "poll_queues": (_UINT, _POLL_QUEUES),
    "home_node": (_UINT, 0xFFFF_FFFF),
    "queue_mode": (_UINT, _NULL_Q_MQ),
    "blocksize": (_UINT, 512),
    "max_sectors": (_UINT, 0),
    "irqmode": (_UINT, 1),
    "hw_queue_depth": (_UINT, 64),
    "index": (_UINT, 0),
    "mbps": (_UINT, 0),
    "cache_size": (_ULONG, 0),
    "zone_size": (_ULONG, 256),
    "zone_capacity": (_ULONG, 0),
    "zone_nr_conv": (_UINT, 0),
    "zone_max_open": (_UINT, 0),
    "zone_max_active": (_UINT, 0),
    "zone_append_max_sectors": (_UINT, INT_MAX),
    **dict.fromkeys(("blocking", "use_per_node_hctx", "memory_backed", "discard", "zoned"), False),
    **dict.fromkeys(("virt_boundary", "no_sched", "shared_tags", "shared_tag_bitmap"), False),
    **dict.fromkeys(("zone_full", "rotational", "badblocks_once", "badblocks_partial_io"), False),
    "fua": True,
}


@frozen
class NullBlkSection:
    """The profile's section ``null_blk``.

    ``attributes`` in the order of their declaration, ``features`` as the attribute of that name
    lists them. With ``queue_limits`` the limits of the device's queue are checked, and bio-based
    devices are no more. ``zones``: there can be zoned ones (CONFIG_BLK_DEV_ZONED).
    """

    attributes: tuple[str, ...]
    features: tuple[str, ...]
    queue_limits: bool
    zones: bool = True


@define(eq=False)
class NullBlk:
    """The module in one machine."""

    kernel: Kernel
    section: NullBlkSection
    indexes: Ida = field(factory=Ida)


class NullbDevice(ConfigGroup):
    """A directory below ``nullb`` (struct nullb_device). ``values`` are its plain attributes."""

    def __init__(self, name: str, type: ItemType, module: NullBlk) -> None:
        super().__init__(name, type)
        self.module = module
        self.values = {
            key: int(default) if isinstance(default, bool) else default[1]
            for key, default in _DEFAULTS.items()
        }
        self.power = False
        #: Cannot be changed until it is switched off (NULLB_DEV_FL_CONFIGURED).
        self.configured = False
        #: Entries in order, each of at most _BB_MAX_LEN sectors.
        self.badblocks: list[Range] = []


def _parse(kernel: Kernel, name: str, data: bytes) -> int:
    """nullb_device_{bool,uint,ulong}_attr_store."""
    default = _DEFAULTS[name]
    if isinstance(default, bool):
        return int(kernel.kstrtobool(data))
    return kstrtoull(data, 0, default[0])


def nullb_device_attr_show(name: str, device: NullbDevice, caller: Caller) -> str:
    return f"{device.values[name]}\n"


def nullb_device_attr_store(name: str, device: NullbDevice, caller: Caller, data: bytes) -> None:
    """EINVAL, ERANGE for the text; EBUSY while it is switched on (NULLB_DEVICE_ATTR)."""
    value = _parse(device.module.kernel, name, data)
    if name in ("submit_queues", "poll_queues"):
        nullb_update_nr_hw_queues(device, **{name: value})
    elif device.configured:
        raise Errno(errno.EBUSY)
    device.values[name] = value


def nullb_update_nr_hw_queues(
    device: NullbDevice, submit_queues: int | None = None, poll_queues: int | None = None
) -> None:
    """EINVAL for no submission queue, more than CPUs, or more for polling than the module has."""
    if not device.power:
        return
    submit = device.values["submit_queues"] if submit_queues is None else submit_queues
    poll = device.values["poll_queues"] if poll_queues is None else poll_queues
    if not submit or submit > device.module.kernel.cpu.count or poll > _POLL_QUEUES:
        raise Errno(errno.EINVAL)


def nullb_device_power_show(device: NullbDevice, caller: Caller) -> str:
    return f"{device.power:d}\n"


def nullb_device_power_store(device: NullbDevice, caller: Caller, data: bytes) -> None:
    """Switch it on, which may be refused, or off."""
    power = device.module.kernel.kstrtobool(data)
    if power and not device.power:
        null_add_dev(device)
        device.power = device.configured = True
    elif device.power and not power:
        null_del_dev(device)


def null_add_dev(device: NullbDevice) -> None:
    """EINVAL for what cannot be a device; else all values become such as the device has."""
    null_validate_conf(device)
    if not device.values["hw_queue_depth"]:
        raise Errno(errno.EINVAL)  # blk_mq_alloc_tag_set
    if device.module.section.queue_limits:
        null_config_limits(device)
    if device.values["zoned"]:
        null_init_zoned_dev(device)
    if not device.values["memory_backed"] or device.values["zoned"]:
        device.values["discard"] = 0  # null_config_discard
    device.values["index"] = device.module.indexes.alloc()
    device.module.kernel.disks.add(device.name)


def null_validate_conf(device: NullbDevice) -> None:
    """EINVAL for the queue mode that is no more and for zones of no power of two; what is too
    large is cut."""
    values, module = device.values, device.module
    # A kernel without queue limits takes the mode and dies of it.
    if values["queue_mode"] == _NULL_Q_RQ:
        raise Errno(errno.EINVAL)
    if module.section.queue_limits:
        if values["queue_mode"] == _NULL_Q_BIO:
            values["queue_mode"] = _NULL_Q_MQ
    else:
        values["queue_mode"] = min(values["queue_mode"], _NULL_Q_MQ)
        _check_block_size(values["blocksize"])
    if values["use_per_node_hctx"] and values["queue_mode"] != _NULL_Q_BIO:
        values["submit_queues"] = 1  # nr_online_nodes
    values["submit_queues"] = min(max(values["submit_queues"], 1), module.kernel.cpu.count)
    values["poll_queues"] = min(values["poll_queues"], _POLL_QUEUES)
    values["irqmode"] = min(values["irqmode"], _NULL_IRQ_TIMER)
    if values["memory_backed"]:
        values["blocking"] = 1
    else:
        values["cache_size"] = 0
    values["mbps"] = min(values["mbps"], _MBPS_MAX)
    if values["queue_mode"] == _NULL_Q_BIO:
        values["mbps"] = 0
    if values["zoned"] and not _is_power_of_2(values["zone_size"]):
        raise Errno(errno.EINVAL)


def _check_block_size(size: int) -> None:
    """blk_validate_block_size."""
    if not (_is_power_of_2(size) and _SECTOR <= size <= PAGE_SIZE):
        raise Errno(errno.EINVAL)


def null_config_limits(device: NullbDevice) -> None:
    """EINVAL for a block size or a number of sectors that no queue can have; 0 is the default
    (blk_validate_limits: block/blk-settings.c, 6.12)."""
    size, sectors = device.values["blocksize"], device.values["max_sectors"]
    if size:
        _check_block_size(size)
    if sectors and sectors < _SECTORS_OF_PAGE:
        raise Errno(errno.EINVAL)


def null_init_zoned_dev(device: NullbDevice) -> None:
    """EINVAL for zones larger than the device, or smaller than what they hold (zoned.c), and
    without zones at all (null_blk.h)."""
    if not device.module.section.zones:
        raise Errno(errno.EINVAL)
    values = device.values
    if values["zone_size"] > values["size"]:
        raise Errno(errno.EINVAL)
    values["zone_capacity"] = values["zone_capacity"] or values["zone_size"]
    if values["zone_capacity"] > values["zone_size"]:
        raise Errno(errno.EINVAL)
    zones = -(-values["size"] // values["zone_size"])
    values["zone_nr_conv"] = min(values["zone_nr_conv"], zones - 1)
    sequential = zones - values["zone_nr_conv"]
    if values["zone_max_active"] >= sequential:
        values["zone_max_active"] = 0
    if values["zone_max_active"]:
        values["zone_max_open"] = min(values["zone_max_open"], values["zone_max_active"])
    if values["zone_max_open"] >= sequential:
        values["zone_max_open"] = 0


def null_del_dev(device: NullbDevice) -> None:
    """Switch it off; what it is may be changed again."""
    device.power = device.configured = False
    device.module.indexes.free(device.values["index"])
    device.module.kernel.disks.discard(device.name)


def nullb_device_badblocks_show(device: NullbDevice, caller: Caller) -> str:
    """Starts and lengths (badblocks_show; 6.1 has the entries of one long range in reverse, which
    is not modelled)."""
    return "".join(f"{start} {end - start}\n" for start, end in device.badblocks)


def nullb_device_badblocks_store(device: NullbDevice, caller: Caller, data: bytes) -> None:
    """``+FIRST-LAST`` adds, ``-FIRST-LAST`` takes away; EINVAL for any other text."""
    text = c_string(data).strip(b" \t\n\v\f\r")
    first, dash, last = text[1:].partition(b"-")
    if text[:1] not in (b"+", b"-") or not dash:
        raise Errno(errno.EINVAL)
    start, end = kstrtoull(first, 0), kstrtoull(last, 0) + 1
    if start >= end:
        raise Errno(errno.EINVAL)
    left = [piece for known in device.badblocks for piece in _without(known, (start, end))]
    device.badblocks = badblocks_set(left, start, end) if text[:1] == b"+" else left


def _without(whole: Range, hole: Range) -> list[Range]:
    """What is left of ``whole``."""
    pieces = (whole[0], min(whole[1], hole[0])), (max(whole[0], hole[1]), whole[1])
    return [piece for piece in pieces if piece[0] < piece[1]]


def badblocks_set(known: list[Range], start: int, end: int) -> list[Range]:
    """Add what none of ``known`` covers: to the entry before, as far as one can be long, in new
    entries, and with the one behind if they are one together. So many as the list has room for."""
    before = [entry for entry in known if entry[1] <= start]
    behind = known[len(before) :]
    if before and before[-1][1] == start:
        start = before.pop()[0]
    room = range(start, end, _BB_MAX_LEN)[: _MAX_BADBLOCKS - len(before) - len(behind)]
    before += [(at, min(at + _BB_MAX_LEN, end)) for at in room]
    if before and behind and behind[0][0] == end and behind[0][1] - before[-1][0] <= _BB_MAX_LEN:
        before[-1] = (before[-1][0], behind.pop(0)[1])
    return [*before, *behind]


def zone_cond_store(device: NullbDevice, caller: Caller, data: bytes) -> None:
    """EOPNOTSUPP without zones at all (null_blk.h); EINVAL unless the device is zoned and on; the
    sector names a zone (zoned.c)."""
    if not device.module.section.zones:
        raise Errno(errno.EOPNOTSUPP)
    if not device.values["zoned"] or not device.power:
        raise Errno(errno.EINVAL)
    zone = kstrtoull(data, 0) * _SECTOR // (device.values["zone_size"] << 20)
    if zone < device.values["zone_nr_conv"]:
        raise Errno(errno.EINVAL)


_SPECIAL = {
    attribute.name: attribute
    for attribute in (
        Attribute("power", 0o644, nullb_device_power_show, nullb_device_power_store),
        Attribute("badblocks", 0o644, nullb_device_badblocks_show, nullb_device_badblocks_store),
        Attribute("zone_readonly", 0o200, None, zone_cond_store),
        Attribute("zone_offline", 0o200, None, zone_cond_store),
    )
}


def _attribute(name: str) -> Attribute:
    if name in _SPECIAL:
        return _SPECIAL[name]
    show: Callable[..., str] = partial(nullb_device_attr_show, name)
    return Attribute(name, 0o644, show, partial(nullb_device_attr_store, name))


def _is_power_of_2(number: int) -> bool:
    return number > 0 and not number & number - 1


class NullbGroup(ConfigGroup):
    """The subsystem ``nullb``."""

    def __init__(self, module: NullBlk) -> None:
        attributes = (Attribute("features", 0o444, memb_group_features_show),)
        make, drop = nullb_group_make_group, nullb_group_drop_item
        super().__init__("nullb", ItemType(attributes, make_group=make, drop_item=drop))
        self.module = module
        self.device_type = ItemType(tuple(map(_attribute, module.section.attributes)))


def memb_group_features_show(group: NullbGroup, caller: Caller) -> str:
    return ",".join(group.module.section.features) + "\n"


def nullb_group_make_group(group: NullbGroup, name: str) -> ConfigGroup:
    """EEXIST for the name of a device that the module made by itself (null_find_dev_by_name)."""
    if name in [f"nullb{index}" for index in range(_NR_DEVICES)]:
        raise Errno(errno.EEXIST)
    return NullbDevice(name, group.device_type, group.module)


def nullb_group_drop_item(group: NullbGroup, device: NullbDevice) -> None:
    if device.power:
        null_del_dev(device)


def null_init(kernel: Kernel) -> None:
    """Module init: the subsystem, and the devices that need no configuration."""
    section = kernel.profile.section("null_blk", NullBlkSection)
    module = NullBlk(kernel, section)
    configfs_register_subsystem(kernel, NullbGroup(module))
    for _ in range(_NR_DEVICES):
        kernel.disks.add(f"nullb{module.indexes.alloc()}")


MODULES = (Module("null_blk", null_init, depends=("configfs",)),)
