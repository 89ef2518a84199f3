# SPDX-License-Identifier: Apache-2.0
"""Stores into the device's attributes."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EACCES, EINVAL, ENXIO, EPERM
from harness.conformance.suites.idxd._dsa import DSA, Wanted, bind, cmd_status, enable, store

_SYSFS = "drivers/dma/idxd/sysfs.c, 6.1"


_READ_ONLY = (
    "version",
    "max_work_queues",
    "state",
    "errors",
    "cdev_major",
    "op_cap",
    "gen_cap",
    "pasid_enabled",
    "configurable",
    "clients",
    "numa_node",
)


@case(
    source="kernfs_fop_open: fs/kernfs/file.c, 6.1",
    golden=[f"idxd:idxd/ro_write_{attribute}" for attribute in _READ_ONLY],
)
def read_only(call: Call) -> None:
    """Not even root opens an attribute for writing that nobody may write."""
    for attribute in _READ_ONLY:
        expect(call.write_text(f"{DSA}/{attribute}", "1"), EACCES)


_LIMITS = (
    ("-1", EINVAL),
    ("0", "0\n"),
    ("5", "5\n"),
    ("96", "96\n"),
    ("97", EINVAL),
    ("256", EINVAL),
    ("abc", EINVAL),
    ("0x10", EINVAL),
    (" 7", EINVAL),
    ("7\n", "7\n"),
    ("+7", "7\n"),
    ("18446744073709551616", EINVAL),
)


@case(
    source=f"read_buffer_limit_store: {_SYSFS}",
    golden="idxd:idxd/read_buffer_limit={value!r}",
)
@param("value wanted", _LIMITS)
def read_buffer_limit(call: Call, value: str, wanted: Wanted) -> None:
    store(call, f"{DSA}/read_buffer_limit", value, wanted)


@case(source="vfs_write: fs/read_write.c, 6.1", golden="idxd:idxd/read_buffer_limit=''")
def read_buffer_limit_empty(call: Call) -> None:
    """A write of no bytes never reaches the store."""
    call.write_text(f"{DSA}/read_buffer_limit", "96")
    store(call, f"{DSA}/read_buffer_limit", "", "96\n")


@case(source=f"token_limit_store: {_SYSFS}", golden="idxd:idxd/token_limit_alias")
def token_limit_is_the_same(call: Call) -> None:
    expect(call.write_text(f"{DSA}/token_limit", "3"), 1)
    expect(call.read_text(f"{DSA}/read_buffer_limit"), "3\n")
    expect(call.write_text(f"{DSA}/read_buffer_limit", "0"), 1)
    expect(call.read_text(f"{DSA}/token_limit"), "0\n")


@case(source=f"read_buffer_limit_store: {_SYSFS}", golden="idxd:idxd/enabled_rbl")
@param("value wanted", [("2", EPERM), ("97", EPERM), ("x", EINVAL)])
def read_buffer_limit_while_enabled(call: Call, value: str, wanted: Wanted) -> None:
    """The text is looked at before the state, the state before the range."""
    enable(call)
    store(call, f"{DSA}/read_buffer_limit", value, wanted)


@case(source=f"cmd_status_store: {_SYSFS}", golden="idxd:idxd/cmd_status_clear")
@param("value", ["1", "0x800d0000\n", "anything"])
def cmd_status_is_cleared_by_any_write(call: Call, value: str) -> None:
    expect(cmd_status(call), "0x800d0000\n")
    store(call, f"{DSA}/cmd_status", value, "0x0\n")


@case(source="vfs_write: fs/read_write.c, 6.1", evidence="source")
def cmd_status_is_not_cleared_by_nothing(call: Call) -> None:
    store(call, f"{DSA}/cmd_status", "", "0x800d0000\n")


@case(source="idxd_cmd_exec: drivers/dma/idxd/device.c, 6.1", golden="idxd:idxd/dev_state")
def cmd_status_of_success(call: Call) -> None:
    """Enabling the device leaves 0 behind, whatever was there before."""
    enable(call)
    expect(call.read_text(f"{DSA}/state"), "enabled\n")
    expect(cmd_status(call), "0x0\n")


@case(source="idxd_device_drv_probe: drivers/dma/idxd/device.c, 6.1")
def cmd_status_comes_back(call: Call) -> None:
    """A cleared status is set again by the next failure."""
    call.write_text(f"{DSA}/cmd_status", "1")
    expect(bind(call, "idxd", "dsa0"), ENXIO)
    expect(cmd_status(call), "0x800d0000\n")
