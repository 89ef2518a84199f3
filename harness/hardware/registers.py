# SPDX-License-Identifier: Apache-2.0
"""What a machine file says of an accelerator's registers (``registers:``).

The defaults are one of the accelerators in a Sapphire Rapids processor. Public sources: the
capability registers and the counts are in reports of accel-config and dmesg from such systems
(gen_cap 0x40915f0107 and 0x71f10901f0105, table offsets 0x300, 0x400, 0x200). Nobody has judged
the flags of WQCAP and GRPCAP, op_cap's bits 7 and 8, and the number of interrupt handles.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, TypeVar

import cattrs
from attrs import field, frozen

Registers = TypeVar("Registers", bound="DsaRegisters")


@frozen
class DsaRegisters:
    """Intel DSA 1.0.

    ``gen_cap``, ``op_cap`` (256 bits) and ``cmd_cap`` are the registers as they are. The counts
    have the names that sysfs gives them; the flags are those of WQCAP and GRPCAP. Offsets are in
    bytes and multiples of 0x100. ``iaa_cap`` and ``dsa_caps`` are IAACAP (IAA from version 0x200
    on) and DSACAP0 to 2 (DSA from version 0x300 on), at the same place. ``grpcfg`` (64-bit words)
    and ``wqcfg`` (32-bit words) by index are what firmware configured, for a device whose gen_cap
    lacks bit 31. Without ``configuration_checks`` commands refuse next to nothing and locked
    registers can be written.
    """

    version: int = 0x100
    gen_cap: int = 0x40915F0107
    op_cap: int = 0x1003F03FF
    cmd_cap: int = 0
    max_work_queues: int = 8
    max_work_queues_size: int = 128
    max_engines: int = 4
    max_groups: int = 4
    max_read_buffers: int = 96
    wqcfg_size: int = 32
    shared_mode: bool = True
    dedicated_mode: bool = True
    ats: bool = True
    priority: bool = True
    occupancy: bool = True
    occupancy_interrupt: bool = True
    op_config: bool = False
    page_request: bool = False
    read_buffer_control: bool = True
    read_buffer_limit: bool = True
    progress_limit: bool = False
    grpcfg_offset: int = 0x300
    wqcfg_offset: int = 0x400
    msix_perm_offset: int = 0x200
    interrupt_handles: int = 2048
    iaa_cap: int = 0
    dsa_caps: tuple[int, ...] = ()
    grpcfg: Mapping[int, tuple[int, ...]] = field(factory=dict)
    wqcfg: Mapping[int, tuple[int, ...]] = field(factory=dict)
    configuration_checks: bool = True


@frozen
class IaaRegisters(DsaRegisters):
    """Intel IAA 1.0: no batches, no read buffers, more engines."""

    gen_cap: int = 0x71F10901F0105
    op_cap: int = 0x7F331C << 64 | 0xD
    max_engines: int = 8
    max_read_buffers: int = 0
    read_buffer_control: bool = False
    read_buffer_limit: bool = False


def _exactly(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{value!r} is not {'true or false' if kind is bool else 'a number'}")
    return value


_converter = cattrs.Converter(forbid_extra_keys=True)
_converter.register_structure_hook(int, _exactly)
_converter.register_structure_hook(bool, _exactly)


#: How many bits the registers have for each number (VERSION, GENCAP, OPCAP, CMDCAP, WQCAP, ENGCAP,
#: GRPCAP, IAACAP and the offsets of tables, which are multiples of 0x100).
_BITS = {
    "version": 32,
    "gen_cap": 64,
    "op_cap": 256,
    "cmd_cap": 32,
    "max_work_queues": 8,
    "max_work_queues_size": 16,
    "max_engines": 8,
    "max_groups": 8,
    "max_read_buffers": 8,
    "grpcfg_offset": 24,
    "wqcfg_offset": 24,
    "msix_perm_offset": 24,
    "interrupt_handles": 16,
    "iaa_cap": 64,
}
_TABLES = ("grpcfg_offset", "wqcfg_offset", "msix_perm_offset")
_DSA_CAP_BITS, _GRPCFG_BITS, _WQCFG_BITS, _OFFSET_UNIT = 64, 64, 32, 0x100


def _check_bits(registers: DsaRegisters) -> None:
    """ValueError for a number that its register cannot hold."""
    numbers = [(name, getattr(registers, name), bits) for name, bits in _BITS.items()]
    numbers += [("dsa_caps", word, _DSA_CAP_BITS) for word in registers.dsa_caps]
    for name, table, bits in (
        ("grpcfg", registers.grpcfg, _GRPCFG_BITS),
        ("wqcfg", registers.wqcfg, _WQCFG_BITS),
    ):
        numbers += [(name, word, bits) for words in table.values() for word in words]
    for name, number, bits in numbers:
        if not 0 <= number < 1 << bits:
            raise ValueError(f"{name} takes numbers of {bits} bits, not {reprlib.repr(number)}")
    for name in _TABLES:
        if getattr(registers, name) % _OFFSET_UNIT:
            raise ValueError(f"{name} is a multiple of {_OFFSET_UNIT:#x}")


def structure_registers(values: Mapping[str, Any], kind: type[Registers]) -> Registers:
    """The registers that ``values`` describe. Raises cattrs' validation errors, or ValueError."""
    registers = _converter.structure(values, kind)
    _check_bits(registers)
    if registers.wqcfg_size not in (32, 64):
        raise ValueError(f"wqcfg_size is 32 or 64, not {registers.wqcfg_size}")
    if registers.op_config and registers.wqcfg_size != 64:
        raise ValueError("op_config needs a wqcfg_size of 64")
    if registers.iaa_cap and registers.dsa_caps:
        raise ValueError("a device has iaa_cap or dsa_caps, not both")
    if len(registers.dsa_caps) > 3:
        raise ValueError(f"dsa_caps are at most 3 numbers, not {len(registers.dsa_caps)}")
    return registers
