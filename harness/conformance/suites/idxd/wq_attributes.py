# SPDX-License-Identifier: Apache-2.0
"""Stores into a work queue's attributes while device and queue are disabled."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EACCES, EINVAL, ENOENT, ENXIO, EOPNOTSUPP, ERANGE
from harness.conformance.suites.idxd._dsa import DEVICES, WQ, Wanted, store

_SYSFS = "drivers/dma/idxd/sysfs.c, 6.1"

_GROUP_IDS = (
    ("-2", EINVAL),
    ("-1", "-1\n"),
    ("0", "0\n"),
    ("3", "3\n"),
    ("4", EINVAL),
    ("x", EINVAL),
)


@case(source=f"wq_group_id_store: {_SYSFS}", golden="idxd:idxd/wq_group_id={value!r}")
@param("value wanted", _GROUP_IDS)
def group_id(call: Call, value: str, wanted: Wanted) -> None:
    store(call, f"{WQ}/group_id", value, wanted)


_MODES = (
    ("dedicated", "dedicated\n"),
    ("shared", "shared\n"),
    ("Dedicated", EINVAL),
    ("dedicated\n", "dedicated\n"),
    ("none", EINVAL),
    ("ded", EINVAL),
    ("dedicatedx", EINVAL),
    ("exclusive", EINVAL),
    ("dedicated\n\n", EINVAL),
)


@case(source=f"wq_mode_store: {_SYSFS}", golden="idxd:idxd/wq_mode={value!r}")
@param("value wanted", _MODES)
def mode(call: Call, value: str, wanted: Wanted) -> None:
    """Words are compared whole, but for one newline at the end."""
    store(call, f"{WQ}/mode", value, wanted)


@case(source=f"wq_mode_store: {_SYSFS}")
def mode_dedicated_clears_threshold(call: Call) -> None:
    call.write_text(f"{WQ}/size", "16")
    call.write_text(f"{WQ}/threshold", "8")
    expect(call.read_text(f"{WQ}/threshold"), "8\n")
    store(call, f"{WQ}/mode", "dedicated", "dedicated\n")
    expect(call.read_text(f"{WQ}/threshold"), "0\n")


_SIZES = (
    ("-1", EINVAL),
    ("0", "0\n"),
    ("1", "1\n"),
    ("16", "16\n"),
    ("128", "128\n"),
    ("129", EINVAL),
    ("999", EINVAL),
    ("x", EINVAL),
    ("0x10", EINVAL),
    ("16\n", "16\n"),
    (" 16", EINVAL),
)


@case(source=f"wq_size_store: {_SYSFS}", golden="idxd:idxd/wq_size={value!r}")
@param("value wanted", _SIZES)
def size(call: Call, value: str, wanted: Wanted) -> None:
    """A decimal number, and nothing else."""
    store(call, f"{WQ}/size", value, wanted)


@case(
    source=f"total_claimed_wq_size: {_SYSFS}",
    golden=("idxd:idxd/size_sum_over", "idxd:idxd/size_sum_exact"),
)
def size_of_all_together(call: Call) -> None:
    """128 entries for all queues; a queue's own old size does not count."""
    expect(call.write_text(f"{DEVICES}/wq0.1/size", "100"), 3)
    store(call, f"{WQ}/size", "29", EINVAL)
    store(call, f"{WQ}/size", "28", "28\n")
    store(call, f"{WQ}/size", "28", "28\n")
    store(call, f"{WQ}/size", "27", "27\n")


_PRIORITIES = (
    ("-1", EINVAL),
    ("0", "0\n"),
    ("1", "1\n"),
    ("10", "10\n"),
    ("15", "15\n"),
    ("16", EINVAL),
    ("x", EINVAL),
)


@case(source=f"wq_priority_store: {_SYSFS}", golden="idxd:idxd/wq_priority={value!r}")
@param("value wanted", _PRIORITIES)
def priority(call: Call, value: str, wanted: Wanted) -> None:
    store(call, f"{WQ}/priority", value, wanted)


_BOOLEANS = (
    ("0", "0\n"),
    ("1", "1\n"),
    ("2", EINVAL),
    ("y", "1\n"),
    ("n", "0\n"),
    ("true", "1\n"),
    ("on", "1\n"),
    ("off", "0\n"),
    ("o", EINVAL),
    ("Yes please", "1\n"),
    ("x", EINVAL),
)


@case(
    source=f"wq_block_on_fault_store: {_SYSFS}; kstrtobool: lib/kstrtox.c, 6.1",
    golden="idxd:idxd/wq_block_on_fault={value!r}",
)
@param("value wanted", _BOOLEANS)
def block_on_fault(call: Call, value: str, wanted: Wanted) -> None:
    """A boolean is known by its first letter."""
    store(call, f"{WQ}/block_on_fault", value, wanted)


@case(source="kstrtobool: lib/kstrtox.c, 7.2")
@param(
    "value wanted",
    [("enabled", "1\n"), ("E", "1\n"), ("disabled", "0\n"), ("Dx", "0\n"), ("e\n", "1\n")],
)
def enabled_and_disabled(call: Call, value: str, wanted: Wanted) -> None:
    """Words that 7.2 takes for a boolean."""
    store(call, f"{WQ}/ats_disable", value, wanted if call.since("7.2") else EINVAL)


@case(
    source=f"wq_ats_disable_store: {_SYSFS}; kstrtobool: lib/kstrtox.c, 6.1",
    golden="idxd:idxd/wq_ats_disable={value!r}",
)
@param("value wanted", [*_BOOLEANS, ("yes", "1\n")])
def ats_disable(call: Call, value: str, wanted: Wanted) -> None:
    store(call, f"{WQ}/ats_disable", value, wanted)


@case(source=f"wq_threshold_store: {_SYSFS}", golden="idxd:idxd/wq_threshold={value!r}")
@param("value", ["0", "1", "16", "17", "-1", "x"])
def threshold_dedicated(call: Call, value: str) -> None:
    call.write_text(f"{WQ}/size", "128")
    call.write_text(f"{WQ}/mode", "dedicated")
    store(call, f"{WQ}/threshold", value, EINVAL)


_THRESHOLDS = (
    ("0", EINVAL),
    ("1", "1\n"),
    ("16", "16\n"),
    ("17", EINVAL),
    ("0x8", "8\n"),
    ("010", "8\n"),
    ("-1", EINVAL),
    ("x", EINVAL),
    ("4294967296", EINVAL),
)


@case(source=f"wq_threshold_store: {_SYSFS}")
@param("value wanted", _THRESHOLDS)
def threshold_shared(call: Call, value: str, wanted: Wanted) -> None:
    """A number in any base, from 1 to the queue's size."""
    call.write_text(f"{WQ}/size", "16")
    store(call, f"{WQ}/threshold", value, wanted)


_TYPES = (
    ("none", "none\n"),
    ("kernel", "kernel\n"),
    ("user", "user\n"),
    ("mdev", EINVAL),
    ("none\n", "none\n"),
    ("kern", EINVAL),
    (" user", EINVAL),
)


@case(source=f"wq_type_store: {_SYSFS}", golden="idxd:idxd/wq_type={value!r}")
@param("value wanted", _TYPES)
def type(call: Call, value: str, wanted: Wanted) -> None:
    store(call, f"{WQ}/type", value, wanted)


@case(source=f"wq_type_store: {_SYSFS}")
@param("value name", [("user", "\n"), ("kernel", "abc\n")])
def type_change_clears_name(call: Call, value: str, name: str) -> None:
    """Only a change does: the same type again leaves the name."""
    call.write_text(f"{WQ}/type", "kernel")
    call.write_text(f"{WQ}/name", "abc")
    store(call, f"{WQ}/type", value, f"{value}\n")
    expect(call.read_text(f"{WQ}/name"), name)


_NAMES: tuple[tuple[str, Wanted], ...] = (
    ("abc", "abc\n"),
    ("abc\n", "abc\n"),
    ("a" * 100, f"{'a' * 100}\n"),
    ("a" * 127, f"{'a' * 127}\n"),
    ("a" * 128, f"{'a' * 128}\n"),
    ("a" * 129, f"{'a' * 129}\n"),
    ("a" * 1024, f"{'a' * 1024}\n"),
    ("a" * 1025, EINVAL),
    ("with space", "with space\n"),
    ("dmaengine", "dmaengine\n"),
    ("\n", "\n"),
    (" lead", "lead\n"),
    (" x \n", "x\n"),
    ("\0", EINVAL),
    ("ab\0cd", "ab\n"),
)


@case(source=f"wq_name_store: {_SYSFS}", golden="idxd:idxd/wq_name={value!r}")
@param("value wanted", _NAMES)
def name(call: Call, value: str, wanted: Wanted) -> None:
    """1 to 1024 bytes before the first NUL, kept without white space around them."""
    store(call, f"{WQ}/name", value, wanted)


_TRANSFERS = (
    ("0", EINVAL),
    ("1", "1\n"),
    ("3000", "4096\n"),
    ("4096", "4096\n"),
    ("4097", "8192\n"),
    ("2147483648", "2147483648\n"),
    ("2147483649", EINVAL),
    ("4294967296", EINVAL),
    ("-1", EINVAL),
    ("x", EINVAL),
    ("0x1000", "4096\n"),
)


@case(
    source=f"wq_max_transfer_size_store: {_SYSFS}",
    golden="idxd:idxd/wq_max_transfer_size={value!r}",
)
@param("value wanted", _TRANSFERS)
def max_transfer_size(call: Call, value: str, wanted: Wanted) -> None:
    """Rounded up to a power of two, then compared with what the device can do."""
    store(call, f"{WQ}/max_transfer_size", value, wanted)


_BATCHES = (
    ("0", EINVAL),
    ("1", "1\n"),
    ("32", "32\n"),
    ("33", "64\n"),
    ("1024", "1024\n"),
    ("1025", EINVAL),
    ("-1", EINVAL),
    ("x", EINVAL),
)


@case(
    source=f"wq_max_batch_size_store: {_SYSFS}",
    golden="idxd:idxd/wq_max_batch_size={value!r}",
)
@param("value wanted", _BATCHES)
def max_batch_size(call: Call, value: str, wanted: Wanted) -> None:
    store(call, f"{WQ}/max_batch_size", value, wanted)


@case(
    source=f"wq_enqcmds_retries_store: {_SYSFS}",
    golden="idxd:idxd/wq_enqcmds_retries={value!r}",
)
@param("value", ["0", "1", "64", "65", "-1", "x"])
def enqcmds_retries_dedicated(call: Call, value: str) -> None:
    """A dedicated queue has none, whatever is written."""
    call.write_text(f"{WQ}/mode", "dedicated")
    expect(call.write_text(f"{WQ}/enqcmds_retries", value), EOPNOTSUPP)
    expect(call.read_text(f"{WQ}/enqcmds_retries"), EOPNOTSUPP)


_RETRIES = (
    ("0", "0\n"),
    ("1", "1\n"),
    ("64", "64\n"),
    ("65", "64\n"),
    ("1000", "64\n"),
    ("-1", EINVAL),
    ("x", EINVAL),
    ("4294967296", ERANGE),
)


@case(source=f"wq_enqcmds_retries_store: {_SYSFS}")
@param("value wanted", _RETRIES)
def enqcmds_retries_shared(call: Call, value: str, wanted: Wanted) -> None:
    """The one number of this driver that can be out of range by ERANGE."""
    store(call, f"{WQ}/enqcmds_retries", value, wanted)


_EMPTY = (
    ("group_id", (("group_id", "3"),), "3\n"),
    ("mode", (("mode", "dedicated"),), "dedicated\n"),
    ("size", (("size", "128"),), "128\n"),
    ("priority", (("priority", "15"),), "15\n"),
    ("block_on_fault", (("block_on_fault", "1"),), "1\n"),
    ("threshold", (("mode", "dedicated"),), "0\n"),
    ("type", (), "none\n"),
    ("name", (("name", "a" * 129),), f"{'a' * 129}\n"),
    ("max_transfer_size", (("max_transfer_size", "2147483648"),), "2147483648\n"),
    ("max_batch_size", (("max_batch_size", "1024"),), "1024\n"),
    ("ats_disable", (("ats_disable", "1"),), "1\n"),
)


@case(source="vfs_write: fs/read_write.c, 6.1", golden="idxd:idxd/wq_{attribute}=''")
@param("attribute before after", _EMPTY)
def empty_write(
    call: Call, attribute: str, before: tuple[tuple[str, str], ...], after: str
) -> None:
    """A write of no bytes never reaches the store."""
    for name, value in before:
        call.write_text(f"{WQ}/{name}", value)
    store(call, f"{WQ}/{attribute}", "", after)


@case(
    source="kernfs_fop_open: fs/kernfs/file.c, 6.1",
    golden=[
        "idxd:idxd/wq_state='enabled'",
        *(f"idxd:idxd/wq_{name}='1'" for name in ("clients", "cdev_minor", "occupancy")),
    ],
)
def read_only(call: Call) -> None:
    for attribute in ("state", "clients", "cdev_minor", "occupancy"):
        expect(call.write_text(f"{WQ}/{attribute}", "1"), EACCES)


_ABSENT = (
    ("prs_disable", ("0", "1", "2", "y", "x", "")),
    ("op_config", ("0", "1", "x", "00000000,00000001", "ffffffff", "", "1*20")),
)


@case(
    source=f"idxd_wq_attr_visible: {_SYSFS}",
    golden=[
        f"idxd:idxd/wq_{attribute}={value!r}" for attribute, values in _ABSENT for value in values
    ],
)
def absent(call: Call) -> None:
    """Newer kernels have the first; both need a capability that this device lacks."""
    for attribute, values in _ABSENT:
        for value in values:
            expect(call.write_text(f"{WQ}/{attribute}", value), ENOENT)


_DRIVER_NAMES = (
    ("user", "user\n"),
    ("dmaengine", "dmaengine\n"),
    (" lead\t\n", "lead\n"),
    ("a b", "a b\n"),
    ("\n", "\n"),
    ("x" * 128, "x" * 128 + "\n"),
    ("x" * 129, EINVAL),
    ("x" * 200, EINVAL),
)


@case(
    source="wq_driver_name_store: drivers/dma/idxd/sysfs.c, 6.12",
    golden="idxd:idxd/wq_driver_name={value!r}",
)
@param("value wanted", _DRIVER_NAMES)
def driver_name(call: Call, value: str, wanted: Wanted) -> None:
    """Up to 128 bytes, without white space around; 6.1 has no such attribute."""
    store(call, f"{WQ}/driver_name", value, wanted if call.since("6.12") else ENOENT)


@case(
    source="wq_driver_name_store: drivers/dma/idxd/sysfs.c, 6.12",
    golden="idxd:idxd/wq_driver_name=''",
)
def driver_name_of_nothing(call: Call) -> None:
    """A write of no bytes stores nothing."""
    if call.since("6.12"):
        call.write_text(f"{WQ}/driver_name", "dmaengine")
        expect(call.write_text(f"{WQ}/driver_name", ""), 0)
        expect(call.read_text(f"{WQ}/driver_name"), "dmaengine\n")
    else:
        expect(call.write_text(f"{WQ}/driver_name", ""), ENOENT)


@case(
    source=f"wq_state_show, wq_cdev_minor_show, wq_occupancy_show: {_SYSFS}",
    golden="idxd:idxd/wq_{attribute}_read",
)
@param(
    "attribute wanted",
    [("state", "disabled\n"), ("cdev_minor", ENXIO), ("occupancy", EOPNOTSUPP)],
)
def read_of(call: Call, attribute: str, wanted: Wanted) -> None:
    """There is no character device, and the device cannot tell the occupancy."""
    expect(call.read_text(f"{WQ}/{attribute}"), wanted)
