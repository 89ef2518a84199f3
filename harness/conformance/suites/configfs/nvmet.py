# SPDX-License-Identifier: Apache-2.0
"""Attributes of nvmet: what is stored, shown and refused."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EACCES, EBUSY, EINVAL, ENOENT, ErrorNumber
from harness.conformance.suites.configfs._sample import MACHINE, ROOT
from harness.uapi.fs import O_RDONLY

_NVMET = f"{ROOT}/nvmet"
_SUBSYSTEM = f"{_NVMET}/subsystems/s1"
_NS = f"{_SUBSYSTEM}/namespaces/1"
_PORT = f"{_NVMET}/ports/1"
_REFERRAL = f"{_PORT}/referrals/r"
_TARGET = "drivers/nvme/target/configfs.c, 6.1"
_UUID = "18d59379-7320-4b94-90b1-debbd89385e8"


def _made(call: Call) -> None:
    for path in (_SUBSYSTEM, _NS, _PORT, _REFERRAL):
        call.mkdir(path)


def _stored(call: Call, path: str, text: str, wanted: int | ErrorNumber, shown: str) -> None:
    """``wanted`` True means all of the text."""
    expect(call.write_text(path, text), len(text) if wanted is True else wanted)
    expect(call.read_text(path), shown)


def _is_left_out(call: Call, path: str) -> bool:
    """The configuration with iommufd has no CONFIG_BLK_DEV_INTEGRITY."""
    if not path.endswith("_pi_enable") or not call.since("+iommufd"):
        return False
    expect(call.lstat(path), ENOENT)
    return True


_OF_A_SUBSYSTEM = [
    ("attr_version", "1.4", True, "1.4\n"),
    ("attr_version", "1.2.3", True, "1.2.3\n"),
    ("attr_version", "1.3.0", True, "1.3\n"),
    ("attr_serial", "abc", True, "abc                 \n"),
    ("attr_serial", "12345678901234567890\n", True, "12345678901234567890\n"),
    ("attr_cntlid_min", "0", EINVAL, "1\n"),
    ("attr_cntlid_min", " 6", True, "6\n"),
    ("attr_cntlid_max", "0", EINVAL, "65519\n"),
    ("attr_cntlid_max", "100000", True, "34464\n"),
    ("attr_cntlid_max", "7x", True, "7\n"),
    ("attr_model", "abc def\n", True, "abc def\n"),
    ("attr_model", "\n", EINVAL, "Linux\n"),
    ("attr_model", "x" * 40, True, f"{'x' * 40}\n"),
    ("attr_model", "x" * 41, EINVAL, "Linux\n"),
    ("attr_model", "a\tb", EINVAL, "Linux\n"),
    ("attr_pi_enable", "1", True, "1\n"),
    ("attr_pi_enable", "2", EINVAL, "0\n"),
    ("attr_qid_max", "0", EINVAL, "128\n"),
    ("attr_qid_max", "5", True, "5\n"),
    ("attr_qid_max", "129", EINVAL, "128\n"),
    ("attr_allow_any_host", "x", EINVAL, "0\n"),
]


@case(source=f"nvmet_subsys_attr_*_store: {_TARGET}", machine=MACHINE)
@param("name text wanted shown", _OF_A_SUBSYSTEM, id="{name}={text}")
def of_a_subsystem(call: Call, name: str, text: str, wanted: int | ErrorNumber, shown: str) -> None:
    call.mkdir(_SUBSYSTEM)
    if not _is_left_out(call, f"{_SUBSYSTEM}/{name}"):
        _stored(call, f"{_SUBSYSTEM}/{name}", text, wanted, shown)


@case(source=f"nvmet_subsys_attr_cntlid_*_store: {_TARGET}", machine=MACHINE)
def range_of_controllers(call: Call) -> None:
    """6.1 wants more than one number in it."""
    call.mkdir(_SUBSYSTEM)
    smallest, largest = f"{_SUBSYSTEM}/attr_cntlid_min", f"{_SUBSYSTEM}/attr_cntlid_max"
    wanted = 1 if call.since("6.12") else EINVAL
    expect(call.write_text(largest, "1"), wanted)
    expect(call.write_text(largest, "5"), 1)
    expect(call.write_text(smallest, "5"), wanted)
    expect(call.write_text(smallest, "6"), EINVAL)
    expect(call.write_text(smallest, "4"), 1)
    expect(call.write_text(largest, "3"), EINVAL)


@case(source=f"nvmet_subsys_attr_*_store: {_TARGET}", machine=MACHINE)
def serial_numbers_and_versions_that_are_none(call: Call) -> None:
    """What a subsystem begins with is its own."""
    call.mkdir(_SUBSYSTEM)
    serial = expect(call.read_text(f"{_SUBSYSTEM}/attr_serial"))
    expect(len(serial), 21)
    for text in ("x" * 21, "a\tb", "\n"):
        _stored(call, f"{_SUBSYSTEM}/attr_serial", text, EINVAL, serial)
    expect(call.write_text(f"{_SUBSYSTEM}/attr_version", "2"), EINVAL)
    expect(call.write_text(f"{_SUBSYSTEM}/attr_version", "x"), EINVAL)


@case(source=f"nvmet_subsys_make: {_TARGET}", machine=MACHINE)
def name_of_the_discovery_subsystem(call: Call) -> None:
    nqn = f"{_NVMET}/subsystems/nqn.2014-08.org.nvmexpress.discovery"
    expect(call.mkdir(nqn), EINVAL)
    expect(call.mkdir(f"{nqn}\n"), EINVAL)
    expect(call.mkdir(f"{nqn}2"))


@case(
    source="nvmet_root_discovery_nqn_store: drivers/nvme/target/configfs.c, 6.12",
    machine=MACHINE,
    since="6.12",
)
def discovery_nqn(call: Call) -> None:
    """A newline is left over, and by itself is none."""
    path = f"{_NVMET}/discovery_nqn"
    call.mkdir(_SUBSYSTEM)
    expect(call.read_text(path), "nqn.2014-08.org.nvmexpress.discovery\n")
    expect(call.write_text(path, "nqn.x\n"), 5)
    expect(call.write_text(path, "\n"), EINVAL)
    expect(call.write_text(path, "s"), EINVAL)
    expect(call.mkdir(f"{_NVMET}/subsystems/nqn.x"), EINVAL)
    expect(call.read_text(path), "nqn.x\n")


@case(source=f"nvmet_ns_*_store: {_TARGET}", machine=MACHINE)
@param(
    "name text wanted shown",
    [
        ("device_path", "/dev/x\n", True, "/dev/x\n"),
        ("device_path", "\n", EINVAL, "(null)\n"),
        ("device_uuid", _UUID, True, f"{_UUID}\n"),
        ("device_uuid", f"{_UUID.upper()}zz", True, f"{_UUID}\n"),
        (
            "device_nguid",
            "000102030405060708090a0b0c0d0e0f",
            True,
            "00010203-0405-0607-0809-0a0b0c0d0e0f\n",
        ),
        (
            "device_nguid",
            "00-01:0203-0405060708090a0b0c0d0e0f",
            True,
            "00010203-0405-0607-0809-0a0b0c0d0e0f\n",
        ),
        ("device_nguid", "0001", EINVAL, "00000000-0000-0000-0000-000000000000\n"),
        ("ana_grpid", "0", EINVAL, "1\n"),
        ("ana_grpid", "2", True, "2\n"),
        ("ana_grpid", "128", True, "0\n"),
        ("ana_grpid", "129", EINVAL, "1\n"),
        ("buffered_io", "y", True, "1\n"),
        ("buffered_io", "x", EINVAL, "0\n"),
        ("enable", "1", EINVAL, "0\n"),
        ("enable", "x", EINVAL, "0\n"),
        ("enable", "0", True, "0\n"),
    ],
    id="{name}={text}",
)
def of_a_namespace(call: Call, name: str, text: str, wanted: int | ErrorNumber, shown: str) -> None:
    _made(call)
    _stored(call, f"{_NS}/{name}", text, wanted, shown)


@case(source=f"nvmet_ns_enable_store: {_TARGET}; nvmet_ns_enable: core.c", machine=MACHINE)
def a_namespace_that_is_enabled(call: Call) -> None:
    """It cannot be changed until it is disabled."""
    _made(call)
    call.write_text(f"{_NS}/device_path", "/dev/none")
    expect(call.write_text(f"{_NS}/enable", "1"), ENOENT)
    expect(call.write_text(f"{_NS}/revalidate_size", "1"), EINVAL)
    call.write_text(f"{_NS}/device_path", "/dev/nullb0")
    expect(call.write_text(f"{_NS}/enable", "1"), 1)
    expect(call.write_text(f"{_NS}/enable", "1"), 1)
    expect(call.read_text(f"{_NS}/enable"), "1\n")
    expect(call.write_text(f"{_NS}/device_path", "/dev/x"), EBUSY)
    expect(call.write_text(f"{_NS}/device_uuid", _UUID), EBUSY)
    expect(call.write_text(f"{_NS}/device_nguid", "0"), EBUSY)
    expect(call.write_text(f"{_NS}/buffered_io", "1"), EINVAL)
    expect(call.write_text(f"{_NS}/ana_grpid", "2"), 1)
    expect(call.write_text(f"{_NS}/revalidate_size", "1"), 1)
    expect(call.write_text(f"{_NS}/revalidate_size", "0"), EINVAL)
    expect(call.open(f"{_NS}/revalidate_size", O_RDONLY), EACCES)
    expect(call.rmdir(_NS))


@case(source=f"nvmet_addr_*_store: {_TARGET}", machine=MACHINE)
@param(
    "name text wanted shown",
    [
        ("addr_adrfam", "ipv4\n", True, "ipv4\n"),
        ("addr_adrfam", "loop", True, "loop\n"),
        ("addr_adrfam", "pcie", EINVAL, "\n"),
        ("addr_adrfam", "x", EINVAL, "\n"),
        ("addr_treq", "required", True, "required\n"),
        ("addr_treq", "not required", True, "not required\n"),
        ("addr_treq", "x", EINVAL, "not specified\n"),
        ("addr_traddr", "10.0.0.1", True, "10.0.0.1\n"),
        ("addr_traddr", "a b", True, "a\n"),
        ("addr_trsvcid", "4420", True, "4420\n"),
        ("addr_trsvcid", "1" * 33, EINVAL, "\n"),
        ("addr_trtype", "tcp\n", True, "tcp\n"),
        ("addr_trtype", "x", EINVAL, "\n"),
        ("param_inline_data_size", "-7", True, "-7\n"),
        ("param_inline_data_size", "x", EINVAL, "-1\n"),
        ("param_pi_enable", "1", True, "1\n"),
        ("param_pi_enable", "2", EINVAL, "0\n"),
        ("ana_groups/1/ana_state", "change", True, "change\n"),
        ("ana_groups/1/ana_state", "x", EINVAL, "optimized\n"),
    ],
    id="{name}={text}",
)
def of_a_port(call: Call, name: str, text: str, wanted: int | ErrorNumber, shown: str) -> None:
    call.mkdir(_PORT)
    if not _is_left_out(call, f"{_PORT}/{name}"):
        _stored(call, f"{_PORT}/{name}", text, wanted, shown)


@case(
    source=f"nvmet_port_subsys_allow_link: {_TARGET}; nvmet_enable_port: core.c",
    machine=MACHINE,
    golden="nvmet/link",
)
def a_port_without_a_transport(call: Call) -> None:
    """Neither one that says none nor one that says what no module brings can be opened."""
    _made(call)
    expect(call.symlink(_SUBSYSTEM, f"{_PORT}/subsystems/s1"), EINVAL)
    expect(call.symlink(_PORT, f"{_PORT}/subsystems/s1"), EINVAL)
    expect(call.write_text(f"{_PORT}/addr_trtype", "loop"), 4)
    expect(call.symlink(_SUBSYSTEM, f"{_PORT}/subsystems/s1"), EINVAL)
    expect(call.listdir(f"{_PORT}/subsystems"), [])


@case(source=f"nvmet_referral_enable_store, nvmet_is_port_enabled: {_TARGET}", machine=MACHINE)
def a_referral_that_is_enabled(call: Call) -> None:
    """Its address stays; text that is none is seen before that by some."""
    _made(call)
    _stored(call, f"{_REFERRAL}/addr_portid", "7", True, "7\n")
    _stored(call, f"{_REFERRAL}/addr_portid", "65536", EINVAL, "7\n")
    _stored(call, f"{_REFERRAL}/enable", "1", True, "1\n")
    expect(call.write_text(f"{_REFERRAL}/addr_portid", "8"), EACCES)
    expect(call.write_text(f"{_REFERRAL}/addr_portid", "x"), EINVAL)
    expect(call.write_text(f"{_REFERRAL}/addr_trtype", "tcp"), EACCES)
    expect(call.write_text(f"{_REFERRAL}/addr_trtype", "x"), EACCES)
    expect(call.write_text(f"{_REFERRAL}/enable", "x"), EINVAL)
    _stored(call, f"{_REFERRAL}/enable", "0", True, "0\n")
    expect(call.rmdir(_REFERRAL))


@case(
    source="nvmet_addr_tsas_store: drivers/nvme/target/configfs.c, 6.12",
    machine=MACHINE,
    since="6.12",
)
def what_a_transport_says_of_itself(call: Call) -> None:
    call.mkdir(_PORT)
    tsas = f"{_PORT}/addr_tsas"
    _stored(call, tsas, "none", EINVAL, "\n")
    call.write_text(f"{_PORT}/addr_trtype", "tcp")
    if call.since("+iommufd"):
        # Without CONFIG_NVME_TARGET_TCP_TLS.
        _stored(call, tsas, "tls1.3", EINVAL, "none\n")
    else:
        _stored(call, tsas, "tls1.3", True, "tls1.3\n")
        expect(call.read_text(f"{_PORT}/addr_treq"), "required\n")
        expect(call.write_text(f"{_PORT}/addr_treq", "not specified"), EINVAL)
    expect(call.write_text(f"{_PORT}/addr_treq", "not required"), 12)
    _stored(call, tsas, "none", True, "none\n")
    expect(call.read_text(f"{_PORT}/addr_treq"), "not specified\n")
    call.write_text(f"{_PORT}/addr_trtype", "rdma")
    _stored(call, tsas, "connected", True, "connected\n")
    _stored(call, tsas, "datagram", EINVAL, "connected\n")


@case(
    source="nvmet_passthru_*: drivers/nvme/target/configfs.c, 6.12",
    machine=MACHINE,
    since="6.12",
    until="+iommufd",
)
def passing_through(call: Call) -> None:
    call.mkdir(_SUBSYSTEM)
    group = f"{_SUBSYSTEM}/passthru"
    expect(call.write_text(f"{group}/enable", "1"), EINVAL)
    _stored(call, f"{group}/device_path", "\n", EINVAL, "(null)\n")
    _stored(call, f"{group}/device_path", "/dev/none", True, "/dev/none\n")
    _stored(call, f"{group}/enable", "1", ENOENT, "0\n")
    _stored(call, f"{group}/admin_timeout", "5", True, "5\n")
    _stored(call, f"{group}/io_timeout", "x", EINVAL, "0\n")


@case(
    source="nvmet_host_dhchap_*: drivers/nvme/target/{configfs,auth}.c, 6.12",
    machine=MACHINE,
    since="6.12",
    until="+iommufd",
)
def keys_of_a_host(call: Call) -> None:
    host = f"{_NVMET}/hosts/h"
    call.mkdir(host)
    key = "DHHC-1:00:Jc/My1o0qtLCWRp+sHhAVfdfaS7YQOMYhk9zSmlatobqB8C+:"
    _stored(call, f"{host}/dhchap_key", "x", EINVAL, "\n")
    _stored(call, f"{host}/dhchap_key", "DHHC-1:04:x:", EINVAL, "\n")
    _stored(call, f"{host}/dhchap_key", key, True, f"{key}\n")
    _stored(call, f"{host}/dhchap_hash", "hmac(sha512)", True, "hmac(sha512)\n")
    _stored(call, f"{host}/dhchap_hash", "x", EINVAL, "hmac(sha512)\n")
    _stored(call, f"{host}/dhchap_dhgroup", "ffdhe2048", True, "ffdhe2048\n")
    _stored(call, f"{host}/dhchap_dhgroup", "x", EINVAL, "ffdhe2048\n")


@case(
    source="nvmet_make_subsys, nvmet_host_type: drivers/nvme/target/configfs.c, 6.12",
    machine=MACHINE,
    since="+iommufd",
)
def without_what_is_configured_out(call: Call) -> None:
    """CONFIG_NVME_TARGET_PASSTHRU and CONFIG_NVME_TARGET_AUTH."""
    call.mkdir(_SUBSYSTEM)
    expect(call.lstat(f"{_SUBSYSTEM}/passthru"), ENOENT)
    call.mkdir(f"{_NVMET}/hosts/h")
    expect(call.listdir(f"{_NVMET}/hosts/h"), [])
