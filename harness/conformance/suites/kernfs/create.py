# SPDX-License-Identifier: Apache-2.0
"""Nothing can be made, removed or renamed by hand."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EACCES, EEXIST, EISDIR, ENOENT, ENOTDIR, EPERM
from harness.conformance.suites._steps import PCI_DEVICE, plain_user
from harness.uapi.fs import O_CREAT, O_EXCL, O_RDWR

_NAMEI = "fs/namei.c, 6.1"
_KERNFS = "fs/kernfs/dir.c, 6.1"
_NEW = f"{PCI_DEVICE}/new"
_FILE = f"{PCI_DEVICE}/vendor"
_DIRECTORY = f"{PCI_DEVICE}/power"
_S_IFREG, _S_IFIFO = 0o100000, 0o10000


@case(source=f"lookup_open: {_NAMEI}", evidence="kernel-run")
@param("flags", [O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_EXCL])
def file(call: Call, flags: int) -> None:
    expect(call.open(_NEW, flags), EACCES)
    expect(call.access(_NEW, 0), ENOENT)


@case(source=f"kernfs_iop_mkdir: {_KERNFS}", evidence="kernel-run")
def directory(call: Call) -> None:
    expect(call.mkdir(_NEW), EPERM)
    expect(call.access(_NEW, 0), ENOENT)


@case(source=f"vfs_symlink, vfs_link, vfs_mknod: {_NAMEI}")
def links_and_nodes(call: Call) -> None:
    expect(call.symlink("vendor", _NEW), EPERM)
    expect(call.link(_FILE, _NEW), EPERM)
    expect(call.mknod(_NEW, _S_IFIFO | 0o600), EPERM)


@case(source=f"vfs_create in do_mknodat: {_NAMEI}")
@param("mode", [0o600, _S_IFREG | 0o600])
def file_by_mknod(call: Call, mode: int) -> None:
    """A regular file is refused as open refuses it."""
    expect(call.mknod(_NEW, mode), EACCES)


@case(source=f"filename_create: {_NAMEI}")
@param("path", [_FILE, _DIRECTORY, f"{PCI_DEVICE}/subsystem"])
def what_exists(call: Call, path: str) -> None:
    """That the name is taken is seen first, for a link too."""
    expect(call.mkdir(path), EEXIST)
    expect(call.symlink("x", path), EEXIST)
    expect(call.link(_FILE, path), EEXIST)
    expect(call.mknod(path, _S_IFREG | 0o600), EEXIST)


@case(source=f"link_path_walk: {_NAMEI}")
def below_nothing(call: Call) -> None:
    expect(call.mkdir(f"{_NEW}/x"), ENOENT)
    expect(call.mkdir(f"{_FILE}/x"), ENOTDIR)
    expect(call.open(f"{_NEW}/x", O_RDWR | O_CREAT), ENOENT)


@case(source=f"vfs_unlink, may_delete: {_NAMEI}", evidence="kernel-run")
def unlink(call: Call) -> None:
    expect(call.unlink(_FILE), EPERM)
    expect(call.unlink(f"{PCI_DEVICE}/subsystem"), EPERM)
    expect(call.unlink(_DIRECTORY), EISDIR)
    expect(call.unlink(_NEW), ENOENT)
    expect(call.read_text(_FILE), "0x8086\n")


@case(source=f"kernfs_iop_rmdir: {_KERNFS}; may_delete: {_NAMEI}")
def rmdir(call: Call) -> None:
    expect(call.rmdir(_DIRECTORY), EPERM)
    expect(call.rmdir(_FILE), ENOTDIR)
    expect(call.rmdir(f"{PCI_DEVICE}/subsystem"), ENOTDIR)
    expect(call.rmdir(_NEW), ENOENT)


@case(source=f"kernfs_iop_rename: {_KERNFS}", evidence="kernel-run")
def rename(call: Call) -> None:
    expect(call.rename(_FILE, _NEW), EPERM)
    expect(call.rename(_DIRECTORY, _NEW), EPERM)
    expect(call.rename(_NEW, _FILE), ENOENT)
    expect(call.read_text(_FILE), "0x8086\n")


@case(source=f"may_create, may_delete: {_NAMEI}")
def by_a_plain_user(call: Call) -> None:
    """The directory's mode bits come before what the file system can do."""
    user = plain_user(call)
    expect(user.mkdir(_NEW), EACCES)
    expect(user.symlink("x", _NEW), EACCES)
    expect(user.open(_NEW, O_RDWR | O_CREAT), EACCES)
    expect(user.unlink(_FILE), EACCES)
    expect(user.rmdir(_DIRECTORY), EACCES)
    expect(user.rename(_FILE, _NEW), EACCES)
    expect(user.mkdir(_FILE), EEXIST)
    expect(user.unlink(_NEW), ENOENT)
