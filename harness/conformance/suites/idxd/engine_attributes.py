# SPDX-License-Identifier: Apache-2.0
"""Stores into an engine's ``group_id``."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EINVAL
from harness.conformance.suites.idxd._dsa import DEVICES, ENGINE, GROUP, Wanted, enable, store

_SOURCE = "engine_group_id_store: drivers/dma/idxd/sysfs.c, 6.1"
_ROWS = (
    ("-1", "-1\n", ""),
    ("-2", EINVAL, ""),
    ("0", "0\n", "engine0.0\n"),
    ("3", "3\n", ""),
    ("4", EINVAL, ""),
    ("100", EINVAL, ""),
    ("x", EINVAL, ""),
    ("1.5", EINVAL, ""),
)


@case(source=_SOURCE, golden="idxd:idxd/engine_group_id={value!r}")
@param("value wanted engines", _ROWS)
def group_id(call: Call, value: str, wanted: Wanted, engines: str) -> None:
    """``engines`` is what group 0 then lists."""
    store(call, f"{ENGINE}/group_id", value, wanted)
    expect(call.read_text(f"{GROUP}/engines"), engines)


@case(source="vfs_write: fs/read_write.c, 6.1", golden="idxd:idxd/engine_group_id=''")
def group_id_empty(call: Call) -> None:
    call.write_text(f"{ENGINE}/group_id", "3")
    store(call, f"{ENGINE}/group_id", "", "3\n")
    expect(call.read_text(f"{GROUP}/engines"), "")


@case(source=_SOURCE)
def group_id_moves(call: Call) -> None:
    """An engine is in one group at a time; -1 takes it out."""
    for value, first, second in (
        ("0", "engine0.0\n", ""),
        ("1", "", "engine0.0\n"),
        ("-1", "", ""),
    ):
        call.write_text(f"{ENGINE}/group_id", value)
        expect(call.read_text(f"{GROUP}/engines"), first)
        expect(call.read_text(f"{DEVICES}/group0.1/engines"), second)


@case(source=_SOURCE, golden=("idxd:idxd/enabled_engine", "idxd:idxd/enabled_engine_other"))
@param("engine", ["engine0.0", "engine0.1"])
def group_id_while_enabled(call: Call, engine: str) -> None:
    """There is no check of the state: it takes effect at the next configuration."""
    enable(call)
    store(call, f"{DEVICES}/{engine}/group_id", "1", "1\n")
