# SPDX-License-Identifier: Apache-2.0
"""Groups that come and go with what they are in: those of nvmet."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EINVAL, ENOENT, ENOTEMPTY, EPERM, ERANGE, ErrorNumber
from harness.conformance.suites.configfs._sample import DIR, MACHINE, ROOT

_NVMET = f"{ROOT}/nvmet"
_SUBSYSTEM = f"{_NVMET}/subsystems/s1"
_PORT = f"{_NVMET}/ports/1"
_TARGET = "drivers/nvme/target/configfs.c, 6.1"


@case(source=f"configfs_rmdir, configfs_mkdir: {DIR}", machine=MACHINE)
def stay(call: Call) -> None:
    """EPERM at every depth, and for mkdir where the parent makes nothing."""
    call.mkdir(_SUBSYSTEM)
    call.mkdir(_PORT)
    expect(call.rmdir(f"{_NVMET}/subsystems"), EPERM)
    expect(call.rmdir(f"{_SUBSYSTEM}/namespaces"), EPERM)
    expect(call.rmdir(f"{_PORT}/ana_groups/1"), EPERM)
    expect(call.mkdir(f"{_NVMET}/x"), EPERM)
    expect(call.mkdir(f"{_SUBSYSTEM}/x"), EPERM)


@case(source=f"nvmet_ports_make: {_TARGET}", machine=MACHINE, golden="nvmet/port")
def come_with_their_parent(call: Call) -> None:
    expect(call.mkdir(_PORT))
    names = set(expect(call.listdir(_PORT)))
    expect(names >= {"ana_groups", "referrals", "subsystems", "addr_traddr"}, True)
    expect(call.listdir(f"{_PORT}/ana_groups"), ["1"])
    expect(call.read_text(f"{_PORT}/ana_groups/1/ana_state"), "optimized\n")
    expect(call.stat(_PORT), nlink=5)


@case(source=f"configfs_detach_prep: {DIR}", machine=MACHINE)
def keep_their_parent(call: Call) -> None:
    """What was made in a default group keeps all above it; then all go at once."""
    call.mkdir(_PORT)
    call.mkdir(f"{_PORT}/ana_groups/2")
    expect(call.rmdir(_PORT), ENOTEMPTY)
    expect(call.rmdir(f"{_PORT}/ana_groups/2"))
    expect(call.rmdir(_PORT))
    expect(call.access(f"{_PORT}/ana_groups/1/ana_state", 0), ENOENT)
    expect(call.listdir(f"{_NVMET}/ports"), [])


@case(source=f"nvmet_ns_make: {_TARGET}", machine=MACHINE)
@param(
    "name wanted",
    [
        ("1", None),
        ("0x10", None),
        ("4294967294", None),
        ("0", EINVAL),
        ("4294967295", EINVAL),
        ("4294967296", ERANGE),
        ("-1", EINVAL),
        ("zz", EINVAL),
        ("1\n", None),
    ],
)
def make_group_may_refuse(call: Call, name: str, wanted: ErrorNumber | None) -> None:
    call.mkdir(_SUBSYSTEM)
    expect(call.mkdir(f"{_SUBSYSTEM}/namespaces/{name}"), wanted)


@case(source=f"nvmet_ports_make, nvmet_ana_groups_make_group: {_TARGET}", machine=MACHINE)
def numbers_of_ports_and_groups(call: Call) -> None:
    for name in ("65536", "-1", "abc"):
        expect(call.mkdir(f"{_NVMET}/ports/{name}"), EINVAL)
    expect(call.mkdir(_PORT))
    for name in ("0", "129", "x"):
        expect(call.mkdir(f"{_PORT}/ana_groups/{name}"), EINVAL)
    expect(call.mkdir(f"{_PORT}/ana_groups/4294967296"), ERANGE)
    expect(call.mkdir(f"{_PORT}/ana_groups/128"))
