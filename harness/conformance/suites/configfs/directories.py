# SPDX-License-Identifier: Apache-2.0
"""What can be made and removed, and where."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import (
    EACCES,
    EEXIST,
    EINVAL,
    EISDIR,
    ENAMETOOLONG,
    ENOENT,
    ENOTDIR,
    ENOTEMPTY,
    EPERM,
    ErrorNumber,
)
from harness.conformance.suites._steps import plain_user
from harness.conformance.suites.configfs._sample import (
    CHILDLESS,
    DIR,
    FILE,
    GROUPS,
    MACHINE,
    NAMEI,
    ROOT,
    SIMPLE,
    SYMLINK,
)
from harness.uapi.fs import O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY

_S_IFREG, _S_IFIFO = 0o100000, 0o10000


@case(source=f"configfs_root_inode_operations: {DIR}", machine=MACHINE)
def mkdir_at_the_root(call: Call) -> None:
    expect(call.mkdir(f"{ROOT}/foo"), EPERM)
    expect(call.mkdir(CHILDLESS), EEXIST)


@case(source=f"configfs_root_inode_operations: {DIR}", machine=MACHINE)
@param("name", ["01-childless", "02-simple-children", "03-group-children"])
def rmdir_of_a_subsystem(call: Call, name: str) -> None:
    expect(call.rmdir(f"{ROOT}/{name}"), EPERM)
    expect(call.stat(f"{ROOT}/{name}"), mode=0o40755)


@case(source=f"configfs_mkdir: {DIR}", machine=MACHINE)
def mkdir_where_nothing_can_be_made(call: Call) -> None:
    """A group without make_item, and an item that is no group."""
    expect(call.mkdir(f"{CHILDLESS}/a"), EPERM)
    expect(call.mkdir(f"{SIMPLE}/a"))
    expect(call.mkdir(f"{SIMPLE}/a/b"), EPERM)


@case(source=f"configfs_mkdir: {DIR}", machine=MACHINE)
def mkdir_makes_an_item(call: Call) -> None:
    expect(call.listdir(SIMPLE), ["description"])
    expect(call.mkdir(f"{SIMPLE}/a"))
    expect(call.listdir(f"{SIMPLE}/a"), ["storeme"])
    expect(sorted(expect(call.listdir(SIMPLE))), ["a", "description"])
    expect(call.mkdir(f"{SIMPLE}/a"), EEXIST)
    expect(call.rmdir(f"{SIMPLE}/a"))
    expect(call.listdir(SIMPLE), ["description"])
    expect(call.rmdir(f"{SIMPLE}/a"), ENOENT)


@case(source=f"configfs_mkdir, configfs_new_dirent: {DIR}", machine=MACHINE)
def modes(call: Call) -> None:
    """The mode that mkdir asks for means nothing."""
    expect(call.mkdir(f"{SIMPLE}/a", 0o700))
    expect(call.stat(f"{SIMPLE}/a"), mode=0o40755, uid=0, gid=0, nlink=2)
    expect(call.stat(f"{SIMPLE}/a/storeme"), mode=0o100644, size=4096, nlink=1)
    expect(call.stat(f"{CHILDLESS}/showme"), mode=0o100444, size=4096)
    expect(call.stat(ROOT), mode=0o40755)


@case(source="configfs_create, simple_rmdir: fs/configfs/inode.c, 6.1", machine=MACHINE)
def link_counts(call: Call) -> None:
    before = expect(call.stat(SIMPLE)).nlink
    call.mkdir(f"{SIMPLE}/a")
    expect(call.stat(SIMPLE), nlink=before + 1)
    call.rmdir(f"{SIMPLE}/a")
    expect(call.stat(SIMPLE), nlink=before)


@case(source=f"configfs_lookup: {DIR}", machine=MACHINE)
@param("length wanted", [(254, None), (255, None), (256, ENAMETOOLONG), (1000, ENAMETOOLONG)])
def name_length(call: Call, length: int, wanted: ErrorNumber | None) -> None:
    path = f"{SIMPLE}/{'n' * length}"
    expect(call.mkdir(path), wanted)
    if wanted is None:
        expect(call.rmdir(path))


@case(source=f"filename_create: {NAMEI}", machine=MACHINE)
def taken_names(call: Call) -> None:
    """An attribute's name is taken, too."""
    expect(call.mkdir(f"{SIMPLE}/description"), EEXIST)
    expect(call.symlink(SIMPLE, f"{SIMPLE}/description"), EEXIST)
    expect(call.mknod(f"{SIMPLE}/description", _S_IFIFO | 0o600), EEXIST)
    expect(call.open(f"{SIMPLE}/description", O_RDONLY | O_CREAT | O_EXCL), EEXIST)


@case(source=f"configfs_detach_prep: {DIR}", machine=MACHINE)
def group_with_children(call: Call) -> None:
    """A group is removed when all that was made in it is."""
    expect(call.mkdir(f"{GROUPS}/g"))
    expect(call.listdir(f"{GROUPS}/g"), ["description"])
    expect(call.mkdir(f"{GROUPS}/g/c"))
    expect(call.listdir(f"{GROUPS}/g/c"), ["storeme"])
    expect(call.rmdir(f"{GROUPS}/g"), ENOTEMPTY)
    expect(call.rmdir(f"{GROUPS}/g/c"))
    expect(call.rmdir(f"{GROUPS}/g"))
    expect(call.listdir(GROUPS), ["description"])


@case(source=f"configfs_mkdir: {DIR}", machine=MACHINE)
def deeper_than_groups_go(call: Call) -> None:
    call.mkdir(f"{GROUPS}/g")
    call.mkdir(f"{GROUPS}/g/c")
    expect(call.mkdir(f"{GROUPS}/g/c/d"), EPERM)
    expect(call.mkdir(f"{GROUPS}/g/description/d"), ENOTDIR)
    expect(call.mkdir(f"{GROUPS}/g/none/d"), ENOENT)


@case(source=f"lookup_open: {NAMEI}", machine=MACHINE)
@param("directory", [ROOT, CHILDLESS, SIMPLE])
def create_a_file(call: Call, directory: str) -> None:
    expect(call.open(f"{directory}/f", O_WRONLY | O_CREAT), EACCES)
    expect(call.mknod(f"{directory}/f", _S_IFREG | 0o644), EACCES)
    expect(call.mknod(f"{directory}/f", _S_IFIFO | 0o644), EPERM)
    expect(call.link(f"{CHILDLESS}/storeme", f"{directory}/f"), EPERM)
    expect(call.access(f"{directory}/f", 0), ENOENT)


@case(source=f"configfs_unlink: {SYMLINK}; may_delete: {NAMEI}", machine=MACHINE)
def unlink(call: Call) -> None:
    call.mkdir(f"{SIMPLE}/a")
    expect(call.unlink(f"{SIMPLE}/a/storeme"), EPERM)
    expect(call.unlink(f"{SIMPLE}/description"), EPERM)
    expect(call.unlink(f"{SIMPLE}/a"), EISDIR)
    expect(call.unlink(SIMPLE), EISDIR)
    expect(call.unlink(f"{SIMPLE}/none"), ENOENT)
    expect(call.rmdir(f"{SIMPLE}/description"), ENOTDIR)
    expect(call.read_text(f"{SIMPLE}/a/storeme"), "0\n")


@case(source=f"vfs_rename: {NAMEI}", machine=MACHINE)
def rename(call: Call) -> None:
    call.mkdir(f"{SIMPLE}/a")
    call.mkdir(f"{SIMPLE}/b")
    expect(call.rename(f"{SIMPLE}/a", f"{SIMPLE}/z"), EPERM)
    expect(call.rename(f"{SIMPLE}/a", f"{SIMPLE}/b"), EPERM)
    expect(call.rename(f"{SIMPLE}/a", f"{GROUPS}/a"), EPERM)
    expect(call.rename(CHILDLESS, f"{ROOT}/x"), EPERM)
    expect(call.rename(f"{SIMPLE}/a/storeme", f"{SIMPLE}/a/x"), EPERM)
    expect(call.rename(f"{SIMPLE}/a", f"{SIMPLE}/description"), ENOTDIR)
    expect(call.rename(f"{SIMPLE}/description", f"{SIMPLE}/a"), EISDIR)
    expect(call.rename(f"{SIMPLE}/none", f"{SIMPLE}/a"), ENOENT)
    expect(sorted(expect(call.listdir(SIMPLE))), ["a", "b", "description"])


@case(source=f"do_renameat2, lock_rename: {NAMEI}", machine=MACHINE)
def rename_to_itself_or_into_itself(call: Call) -> None:
    call.mkdir(f"{GROUPS}/g")
    call.mkdir(f"{GROUPS}/g/c")
    expect(call.rename(f"{GROUPS}/g", f"{GROUPS}/g"))
    expect(call.rename(f"{GROUPS}/description", f"{GROUPS}/description"))
    expect(call.rename(f"{GROUPS}/g", f"{GROUPS}/g/x"), EINVAL)
    expect(call.rename(f"{GROUPS}/g", f"{GROUPS}/g/c/x"), EINVAL)
    expect(call.rename(f"{GROUPS}/g/c", f"{GROUPS}/g"), ENOTEMPTY)
    expect(call.listdir(f"{GROUPS}/g/c"), ["storeme"])


@case(source=f"configfs_symlink: {SYMLINK}", machine=MACHINE)
def links_that_no_item_allows(call: Call) -> None:
    """No allow_link: EPERM, wherever the target is, and before it is looked up."""
    call.mkdir(f"{SIMPLE}/a")
    expect(call.symlink(f"{SIMPLE}/a", f"{SIMPLE}/l"), EPERM)
    expect(call.symlink(f"{SIMPLE}/a", f"{SIMPLE}/a/l"), EPERM)
    expect(call.symlink(CHILDLESS, f"{ROOT}/l"), EPERM)
    expect(call.symlink(f"{SIMPLE}/none", f"{SIMPLE}/l"), EPERM)
    expect(call.symlink("/sys", f"{SIMPLE}/l"), EPERM)


@case(source=f"may_create, may_delete: {NAMEI}", machine=MACHINE)
def by_a_plain_user(call: Call) -> None:
    call.mkdir(f"{SIMPLE}/a")
    user = plain_user(call)
    expect(user.mkdir(f"{SIMPLE}/b"), EACCES)
    expect(user.mkdir(f"{SIMPLE}/a"), EEXIST)
    expect(user.rmdir(f"{SIMPLE}/a"), EACCES)
    expect(user.symlink(SIMPLE, f"{SIMPLE}/l"), EACCES)
    expect(user.open(f"{SIMPLE}/a/storeme", O_RDWR), EACCES)
    expect(user.read_text(f"{SIMPLE}/a/storeme"), "0\n")


@case(source=f"configfs_setattr: fs/configfs/inode.c; {DIR}", machine=MACHINE, needs=["users"])
def a_user_may_be_let_in(call: Call) -> None:
    """chmod and chown last while the item does; what is made there belongs to root."""
    call.chown(SIMPLE, 1000, 1000)
    user = plain_user(call)
    expect(user.mkdir(f"{SIMPLE}/a"))
    expect(call.stat(f"{SIMPLE}/a"), uid=0, gid=0, mode=0o40755)
    expect(user.write_text(f"{SIMPLE}/a/storeme", "1"), EACCES)
    expect(call.chmod(f"{SIMPLE}/a/storeme", 0o666))
    expect(user.write_text(f"{SIMPLE}/a/storeme", "1"), 1)
    expect(user.rmdir(f"{SIMPLE}/a"))
    expect(user.mkdir(f"{SIMPLE}/a"))
    expect(call.stat(f"{SIMPLE}/a/storeme"), mode=0o100644)


@case(source=f"configfs_new_dirent, configfs_readdir: {DIR}", machine=MACHINE)
def order_of_attributes(call: Call) -> None:
    """The reverse of the order in which they are declared."""
    expect(call.listdir(CHILDLESS), ["description", "storeme", "showme"])


@case(source=f"configfs_new_dirent, configfs_readdir: {DIR}", machine=MACHINE)
def order_of_items(call: Call) -> None:
    """The newest first; for later kernels behind the attributes, the oldest first."""
    for name in ("a", "c", "b"):
        call.mkdir(f"{SIMPLE}/{name}")
    if call.since("7.2"):
        expect(call.listdir(SIMPLE), ["description", "a", "c", "b"])
    else:
        expect(call.listdir(SIMPLE), ["b", "c", "a", "description"])


@case(source=f"configfs_open_file: {FILE}", machine=MACHINE)
def names_of_any_kind(call: Call) -> None:
    for name in ("a b\n", "\xe4", "-", "...", "x" * 20, "\udcff"):
        expect(call.mkdir(f"{SIMPLE}/{name}"))
        expect(call.read_text(f"{SIMPLE}/{name}/storeme"), "0\n")
        expect(call.rmdir(f"{SIMPLE}/{name}"))
