# SPDX-License-Identifier: Apache-2.0
"""Symbolic links between items: hosts that a subsystem of nvmet allows."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import (
    EBUSY,
    EEXIST,
    EINVAL,
    ENOENT,
    ENOTDIR,
    ENOTEMPTY,
    EPERM,
    ErrorNumber,
)
from harness.conformance.suites.configfs._sample import DIR, MACHINE, ROOT, SYMLINK

_NVMET = f"{ROOT}/nvmet"
_SUBSYSTEM = f"{_NVMET}/subsystems/s1"
_ALLOWED = f"{_SUBSYSTEM}/allowed_hosts"
_HOST = f"{_NVMET}/hosts/h1"
_ALLOW = "nvmet_allowed_hosts_allow_link: drivers/nvme/target/configfs.c, 6.1"


def _made(call: Call) -> None:
    call.mkdir(_SUBSYSTEM)
    call.mkdir(_HOST)


@case(source=f"configfs_get_target_path: {SYMLINK}", machine=MACHINE, golden="nvmet/readlink")
def text(call: Call) -> None:
    """Up to the root of configfs, whatever was given; its size is 0."""
    _made(call)
    expect(call.symlink(_HOST, f"{_ALLOWED}/any"))
    expect(call.readlink(f"{_ALLOWED}/any"), "../../../../nvmet/hosts/h1")
    expect(call.lstat(f"{_ALLOWED}/any"), mode=0o120777, size=0, nlink=1)
    expect(call.stat(f"{_ALLOWED}/any"), mode=0o40755)
    expect(call.listdir(_ALLOWED), ["any"])
    expect(call.stat(_ALLOWED), nlink=2)


@case(source=f"get_target, configfs_symlink: {SYMLINK}", machine=MACHINE)
@param(
    "target wanted",
    [
        (f"{_NVMET}/hosts/none", ENOENT),
        (f"{_SUBSYSTEM}/attr_serial", ENOTDIR),
        (f"{_SUBSYSTEM}/attr_serial/x", ENOTDIR),
        ("/sys/kernel", EPERM),
        ("/dev", EPERM),
        ("/", EPERM),
        (ROOT, ENOENT),
        (_SUBSYSTEM, EINVAL),
        (f"{_NVMET}/hosts", EINVAL),
        (f"{ROOT}/02-simple-children", EINVAL),
        ("", ENOENT),
        ("h1", ENOENT),
        (f"{_NVMET}/hosts/../hosts/./h1/", None),
    ],
)
def targets(call: Call, target: str, wanted: ErrorNumber | None) -> None:
    """The target is looked up at once, from where the caller is, and the subsystem judges it."""
    _made(call)
    expect(call.symlink(target, f"{_ALLOWED}/l"), wanted)


@case(source=f"get_target: {SYMLINK}", machine=MACHINE)
def through_another_link(call: Call) -> None:
    _made(call)
    call.mkdir(f"{_NVMET}/subsystems/s2")
    expect(call.symlink(_HOST, f"{_ALLOWED}/h1"))
    expect(call.symlink(f"{_ALLOWED}/h1", f"{_NVMET}/subsystems/s2/allowed_hosts/h1"))
    expect(call.readlink(f"{_NVMET}/subsystems/s2/allowed_hosts/h1"), "../../../../nvmet/hosts/h1")


@case(source=f"configfs_symlink: {SYMLINK}; {_ALLOW}", machine=MACHINE)
def refused(call: Call) -> None:
    """Names first, then what the item can do, then what it says."""
    _made(call)
    call.mkdir(f"{_NVMET}/hosts/h2")
    expect(call.symlink(_HOST, f"{_ALLOWED}/h1"))
    expect(call.symlink(f"{_NVMET}/none", f"{_ALLOWED}/h1"), EEXIST)
    expect(call.symlink(_HOST, f"{_ALLOWED}/other"), EEXIST)
    expect(call.symlink(_HOST, f"{_SUBSYSTEM}/l"), EPERM)
    expect(call.symlink(_HOST, f"{_SUBSYSTEM}/namespaces/l"), EPERM)
    expect(call.symlink(_HOST, f"{_NVMET}/l"), EPERM)
    expect(call.mkdir(f"{_ALLOWED}/x"), EPERM)
    expect(call.mkdir(f"{_ALLOWED}/h1"), EEXIST)
    expect(call.listdir(_ALLOWED), ["h1"])


@case(source=f"configfs_detach_prep: {DIR}", machine=MACHINE, golden="nvmet/rmdir_with_link_inside")
def both_ends_stay(call: Call) -> None:
    """A target is busy; what has a link in it, or in its default groups, is not empty."""
    _made(call)
    expect(call.symlink(_HOST, f"{_ALLOWED}/h1"))
    expect(call.rmdir(_HOST), EBUSY)
    expect(call.rmdir(_SUBSYSTEM), ENOTEMPTY)
    expect(call.rmdir(_ALLOWED), EPERM)
    expect(call.rmdir(f"{_ALLOWED}/h1"), ENOTDIR)
    expect(call.unlink(f"{_ALLOWED}/h1"))
    expect(call.unlink(f"{_ALLOWED}/h1"), ENOENT)
    expect(call.rmdir(_HOST))
    expect(call.rmdir(_SUBSYSTEM))


@case(source=f"configfs_symlink, configfs_unlink: {SYMLINK}", machine=MACHINE)
def rename_a_link(call: Call) -> None:
    _made(call)
    expect(call.symlink(_HOST, f"{_ALLOWED}/h1"))
    expect(call.rename(f"{_ALLOWED}/h1", f"{_ALLOWED}/h2"), EPERM)
    expect(call.readlink(f"{_ALLOWED}/h1"), "../../../../nvmet/hosts/h1")


@case(source=f"{_ALLOW}; nvmet_subsys_attr_allow_any_host_store", machine=MACHINE)
def any_host_or_some(call: Call) -> None:
    _made(call)
    any_host = f"{_SUBSYSTEM}/attr_allow_any_host"
    expect(call.write_text(any_host, "1"), 1)
    expect(call.symlink(_HOST, f"{_ALLOWED}/h1"), EINVAL)
    expect(call.write_text(any_host, "0"), 1)
    expect(call.symlink(_HOST, f"{_ALLOWED}/h1"))
    expect(call.write_text(any_host, "1"), EINVAL)
    expect(call.unlink(f"{_ALLOWED}/h1"))
    expect(call.write_text(any_host, "1"), 1)
