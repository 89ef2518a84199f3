# SPDX-License-Identifier: Apache-2.0
"""Who may open what, and how."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import (
    EACCES,
    EEXIST,
    EIO,
    EISDIR,
    ELOOP,
    ENAMETOOLONG,
    ENOENT,
    ENOTDIR,
    ErrorNumber,
)
from harness.conformance.suites._steps import PCI_BUS, PCI_DEVICE, plain_user
from harness.uapi.fs import (
    CAP_DAC_OVERRIDE,
    CAP_DAC_READ_SEARCH,
    MAY_EXEC,
    MAY_READ,
    MAY_WRITE,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOFOLLOW,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
)

_OPEN = "kernfs_fop_open: fs/kernfs/file.c, 6.1"
_NAMEI = "fs/namei.c, 6.1"


@case(source=_OPEN, evidence="kernel-run")
@param(
    "name flags",
    [
        ("vendor", O_WRONLY),
        ("vendor", O_RDWR),
        ("reset", O_RDONLY),
        ("reset", O_RDWR),
    ],
    id="{name}-{flags}",
)
def root_is_bound_by_the_mode(call: Call, name: str, flags: int) -> None:
    """Mode 0444 for writing, mode 0200 for reading: capabilities do not help."""
    expect(call.open(f"{PCI_DEVICE}/{name}", flags), EACCES)


@case(source=_OPEN)
@param("name flags", [("vendor", O_RDONLY), ("reset", O_WRONLY), ("remove", O_WRONLY)])
def root_may_what_the_mode_says(call: Call, name: str, flags: int) -> None:
    expect(call.close(call.open(f"{PCI_DEVICE}/{name}", flags)))


@case(source=f"handle_truncate, may_open: {_NAMEI}")
def truncating_what_is_opened_for_reading(call: Call) -> None:
    """O_TRUNC asks the mode bits for writing, which root passes; then the file is only read."""
    fd = call.open(f"{PCI_DEVICE}/vendor", O_RDONLY | O_TRUNC)
    expect(call.read(fd, 100), b"0x8086\n")


@case(source=f"inode_permission: {_NAMEI}")
@param(
    "name flags wanted",
    [
        ("vendor", O_RDONLY, None),
        ("vendor", O_WRONLY, EACCES),
        ("vendor", O_RDONLY | O_TRUNC, EACCES),
        ("driver_override", O_RDONLY, None),
        ("driver_override", O_WRONLY, EACCES),
        ("driver_override", O_RDWR, EACCES),
        ("reset", O_WRONLY, EACCES),
        ("reset", O_RDONLY, EACCES),
        ("resource0", O_RDONLY, EACCES),
        ("config", O_RDONLY, None),
        ("config", O_WRONLY, EACCES),
    ],
    id="{name}-{flags}",
)
def plain_user_opens(call: Call, name: str, flags: int, wanted: ErrorNumber | None) -> None:
    user = plain_user(call)
    result = user.open(f"{PCI_DEVICE}/{name}", flags)
    if wanted is None:
        expect(user.close(result))
    else:
        expect(result, wanted)


@case(source=f"acl_permission_check: {_NAMEI}")
def owner_needs_no_capability(call: Call) -> None:
    """Root without capabilities is still the owner."""
    expect(call.drop_capabilities(CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH))
    expect(call.open(f"{PCI_DEVICE}/driver_override", O_RDWR))
    expect(call.open(f"{PCI_DEVICE}/vendor", O_WRONLY), EACCES)


@case(source="do_faccessat: fs/open.c, 6.1")
@param(
    "name mode wanted",
    [
        ("vendor", 0, None),
        ("vendor", MAY_READ, None),
        ("vendor", MAY_WRITE, None),
        ("vendor", MAY_EXEC, EACCES),
        ("reset", MAY_READ, None),
        ("power", MAY_EXEC, None),
        ("nonesuch", 0, ENOENT),
    ],
    id="{name}-{mode}",
)
def access_asks_the_mode_alone(
    call: Call, name: str, mode: int, wanted: ErrorNumber | None
) -> None:
    """access(W_OK) of mode 0444 succeeds for root, though open does not."""
    result = call.access(f"{PCI_DEVICE}/{name}", mode)
    expect(result) if wanted is None else expect(result, wanted)


@case(source=f"do_faccessat: fs/open.c; acl_permission_check: {_NAMEI}")
@param("name mode", [("vendor", MAY_WRITE), ("reset", MAY_READ), ("resource0", MAY_READ)])
def access_of_a_plain_user(call: Call, name: str, mode: int) -> None:
    expect(plain_user(call).access(f"{PCI_DEVICE}/{name}", mode), EACCES)


@case(source=f"do_open, may_open, link_path_walk: {_NAMEI}")
@param(
    "path flags wanted",
    [
        (f"{PCI_DEVICE}/power", O_WRONLY, EISDIR),
        (f"{PCI_DEVICE}/power", O_RDWR, EISDIR),
        (f"{PCI_DEVICE}/power", O_RDONLY | O_CREAT, EISDIR),
        (f"{PCI_DEVICE}/vendor", O_RDONLY | O_DIRECTORY, ENOTDIR),
        (f"{PCI_DEVICE}/subsystem", O_RDONLY | O_NOFOLLOW, ELOOP),
        (f"{PCI_DEVICE}/vendor/x", O_RDONLY, ENOTDIR),
        (f"{PCI_DEVICE}/vendor/", O_RDONLY, ENOTDIR),
        (f"{PCI_DEVICE}/nonesuch", O_RDONLY, ENOENT),
        (f"{PCI_DEVICE}/nonesuch/vendor", O_RDONLY, ENOENT),
        (f"{PCI_DEVICE}/{'x' * 256}", O_RDONLY, ENOENT),
        (f"/dev/{'x' * 255}", O_RDONLY, ENOENT),
        (f"/dev/{'x' * 256}", O_RDONLY, ENAMETOOLONG),
        (f"{PCI_DEVICE}/vendor", O_RDONLY | O_CREAT | O_EXCL, EEXIST),
        ("", O_RDONLY, ENOENT),
    ],
    id="{path}-{flags}",
)
def refused_by_the_path(call: Call, path: str, flags: int, wanted: ErrorNumber) -> None:
    expect(call.open(path, flags), wanted)


@case(source=f"do_open: {_NAMEI}")
def create_of_what_is_there(call: Call) -> None:
    """O_CREAT of an existing name is a plain open."""
    fd = call.open(f"{PCI_DEVICE}/vendor", O_RDONLY | O_CREAT)
    expect(call.read(fd, 100), b"0x8086\n")


@case(source="dev_attr_store, dev_attr_show: drivers/base/core.c, 6.1")
def mode_can_be_changed_but_not_the_methods(call: Call) -> None:
    """After a chmod the open succeeds; a store or show that is not there answers EIO."""
    expect(call.chmod(f"{PCI_DEVICE}/vendor", 0o644))
    expect(call.write_text(f"{PCI_DEVICE}/vendor", "1"), EIO)
    expect(call.chmod(f"{PCI_BUS}/drivers/idxd/bind", 0o600))
    expect(call.read_text(f"{PCI_BUS}/drivers/idxd/bind"), EIO)
