# SPDX-License-Identifier: Apache-2.0
"""The registers of a DSA or IAA, as far as the idxd driver shows them in sysfs.

What is shown is the driver's view of registers (sysfs.c of Linux 6.1 to 7.2); the machine file
wants the registers, so the reading goes the other way.
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from harness import data
from harness.hardware.registers import DsaRegisters
from harness.record.functions import Function
from harness.record.tree import Tree, number, text
from harness.uapi import idxd as u

_64_BITS = (1 << 64) - 1
_DEVICE = re.compile(r"(dsa|iax)\d+")
_KINDS = {"dsa": "dsa", "iax": "iaa"}
_COUNTS = (
    "max_work_queues",
    "max_work_queues_size",
    "max_engines",
    "max_groups",
    "max_read_buffers",
)
#: Not of every device: what has a value of its own only where it applies.
_SPECIAL = {"cmd_cap", "iaa_cap", "dsa_caps", "grpcfg", "wqcfg"}
#: Commands that every device has; those for interrupt handles are not among them.
_BASIC_COMMANDS = sum(
    1 << command for command in range(u.IDXD_CMD_ENABLE_DEVICE, u.IDXD_CMD_ABORT_PASID + 1)
)


def accelerator_kind(tree: Tree, function: Function, number: str) -> str | None:
    """``dsa`` or ``iaa``, by the device that the driver made or else by the function's id."""
    device = _device(tree, function)
    if device is not None:
        return _KINDS[device[:3]]
    known = {
        one["id"]: one["kind"]
        for name in data.profile_names()
        for one in data.load_profile(name)["idxd"]["devices"]
    }
    return _KINDS[known[number]] if number in known else None


def _device(tree: Tree, function: Function) -> str | None:
    names = (name for name in tree.names(function.path) if _DEVICE.fullmatch(name))
    return next(names, None)


def pasid_enabled(tree: Tree, function: Function) -> bool | None:
    """Whether programs may share their memory with the device; None without a driver."""
    device = _device(tree, function)
    shown = number(tree, f"{function.path}/{device}/pasid_enabled") if device else None
    return None if shown is None else bool(shown)


def read_registers(tree: Tree, function: Function, kind: str) -> tuple[dict[str, Any], list[str]]:
    """What is known of the registers, and the names of those that stay at their defaults."""
    device = _device(tree, function)
    found = {} if device is None else _shown(tree, f"{function.path}/{device}", kind)
    known = [field.name for field in attrs.fields(DsaRegisters)]
    ordered = {name: found[name] for name in known if name in found}
    return ordered, [name for name in known if name not in found and name not in _SPECIAL]


def _shown(tree: Tree, path: str, kind: str) -> dict[str, Any]:
    """All that can be told from the device's directory, its first queue's and its first group's."""
    values: dict[str, Any] = {name: number(tree, f"{path}/{name}") for name in _COUNTS}
    values |= {name: number(tree, f"{path}/{name}", 16) for name in ("version", "gen_cap")}
    values["iaa_cap"] = number(tree, f"{path}/iaa_cap", 16)
    if kind == "iaa":  # the driver hides them: there are none
        values["max_read_buffers"] = 0
    gen_cap = u.GenCap.from_buffer_copy(((values["gen_cap"] or 0) & _64_BITS).to_bytes(8, "little"))
    values["op_cap"] = _op_cap(
        text(tree, f"{path}/op_cap") or "", has_batch=_has_batch(kind, gen_cap)
    )
    if gen_cap.cmd_cap:
        values["cmd_cap"] = _BASIC_COMMANDS
    caps = re.fullmatch(
        r"([0-9a-f]{16}),([0-9a-f]{16}),([0-9a-f]{16})", text(tree, f"{path}/dsacaps") or ""
    )
    if caps is not None:
        values["dsa_caps"] = [int(word, 16) for word in reversed(caps.groups())]
    return {name: value for name, value in values.items() if value is not None} | _flags(tree, path)


def _has_batch(kind: str, gen_cap: u.GenCap) -> bool:
    return kind == "dsa" and bool(gen_cap.max_batch_shift)


def _op_cap(shown: str, *, has_batch: bool) -> int | None:
    """OPCAP; the driver does not show batches where it holds them back, but their size it does."""
    if re.fullmatch(r"[0-9a-f]+(,[0-9a-f]{8})*", shown) is None:
        return None
    return int(shown.replace(",", ""), 16) | has_batch << u.DSA_OPCODE_BATCH


def _flags(tree: Tree, path: str) -> dict[str, Any]:
    """Flags of WQCAP and GRPCAP that show in which attributes there are, and which can be read."""
    queue, group = (
        next((f"{path}/{name}" for name in tree.names(path) if name.startswith(prefix)), None)
        for prefix in ("wq", "group")
    )
    flags: dict[str, Any] = {}
    if queue is not None:
        names = tree.names(queue)
        if "occupancy" in names:
            # A copy of what cannot be read is often an empty file.
            flags["occupancy"] = bool(tree.data(f"{queue}/occupancy"))
        flags["ats"] = "ats_disable" in names
        flags["op_config"] = "op_config" in names
        if flags["op_config"]:
            flags["wqcfg_size"] = 64
        flags["page_request"] = "prs_disable" in names
    if group is not None:
        flags["progress_limit"] = "desc_progress_limit" in tree.names(group)
    return flags
