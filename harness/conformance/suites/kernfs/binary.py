# SPDX-License-Identifier: Apache-2.0
"""Binary attributes: PCI config space and the resource files."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EFBIG, EIO, ENOENT
from harness.conformance.suites._steps import PCI_DEVICE, plain_user
from harness.uapi.fs import CAP_SYS_ADMIN, O_APPEND, O_RDONLY, O_RDWR, O_WRONLY

_SYSFS = "sysfs_kf_bin_read, sysfs_kf_bin_write: fs/sysfs/file.c, 6.1"
_CONFIG = f"{PCI_DEVICE}/config"
_SIZE = 4096
_IDS = bytes.fromhex("8680250b")


@case(source="pci_read_config: drivers/pci/pci-sysfs.c, 6.1", evidence="kernel-run")
def config_is_read_whole_by_root(call: Call) -> None:
    with call.opened(_CONFIG, O_RDONLY) as fd:
        data = expect(call.read(fd, 2 * _SIZE))
        expect(len(data), _SIZE)
        expect(data[:4], _IDS)
        expect(call.read(fd, 1), b"")


@case(source="pci_read_config: drivers/pci/pci-sysfs.c, 6.1", evidence="kernel-run")
def config_is_cut_off_for_a_plain_user(call: Call) -> None:
    """The first 64 bytes, and then nothing."""
    user = plain_user(call)
    with user.opened(_CONFIG, O_RDONLY) as fd:
        expect(len(expect(user.read(fd, 256))), 64)
        expect(user.pread(fd, 16, 64), b"")
        expect(len(expect(user.pread(fd, 16, 60))), 4)


@case(source="file_ns_capable in pci_read_config: drivers/pci/pci-sysfs.c, 6.1")
def config_is_the_openers(call: Call) -> None:
    """Who opened the file decides, not who reads it."""
    fd = expect(call.open(_CONFIG, O_RDONLY))
    user = plain_user(call)
    expect(len(expect(user.pread(fd, _SIZE, 0))), _SIZE)


@case(source="file_ns_capable in pci_read_config: drivers/pci/pci-sysfs.c, 6.1")
def config_needs_the_capability(call: Call) -> None:
    """Root without CAP_SYS_ADMIN is as anybody."""
    expect(call.drop_capabilities(CAP_SYS_ADMIN))
    with call.opened(_CONFIG, O_RDONLY) as fd:
        expect(len(expect(call.read(fd, 256))), 64)


@case(source=_SYSFS, evidence="kernel-run")
@param("offset count", [(4092, 4), (4094, 2), (4096, 0), (5000, 0)])
def read_near_the_end(call: Call, offset: int, count: int) -> None:
    with call.opened(_CONFIG, O_RDONLY) as fd:
        expect(len(expect(call.pread(fd, 16, offset))), count)


@case(source=_SYSFS, evidence="kernel-run")
def write_near_the_end(call: Call) -> None:
    with call.opened(_CONFIG, O_WRONLY) as fd:
        expect(call.pwrite(fd, bytes(4), 4094), 2)
        expect(call.pwrite(fd, bytes(4), 4096), EFBIG)
        expect(call.pwrite(fd, bytes(4), 5000), EFBIG)


@case(source="pci_write_config: drivers/pci/pci-sysfs.c, 6.1")
def write_of_what_is_read_only(call: Call) -> None:
    """The device ignores it; the call knows nothing of that."""
    with call.opened(_CONFIG, O_RDWR) as fd:
        expect(call.pwrite(fd, b"\xff\xff", 0), 2)
        expect(call.pread(fd, 4, 0), _IDS)


@case(source=_SYSFS)
def write_goes_where_the_position_is(call: Call) -> None:
    """Cache line size, at 12, can be written."""
    with call.opened(_CONFIG, O_RDWR) as fd:
        expect(len(expect(call.read(fd, 12))), 12)
        expect(call.write(fd, b"\x10"), 1)
        expect(call.pread(fd, 1, 12), b"\x10")


@case(source="kernfs_fop_write_iter: fs/kernfs/file.c, 6.1")
def append_is_ignored(call: Call) -> None:
    """kernfs does not look at O_APPEND: the write is at the position, which is 0."""
    with call.opened(_CONFIG, O_WRONLY | O_APPEND) as fd:
        expect(call.write(fd, b"\x86\x80"), 2)


@case(source="pci_create_attr: drivers/pci/pci-sysfs.c, 6.1: a memory BAR is for mmap alone")
@param("name", ["resource0", "resource0_wc", "resource2", "resource2_wc"])
def memory_bar(call: Call, name: str) -> None:
    if name.endswith("_wc") and call.since("+iommufd"):
        # Without CONFIG_X86_PAT.
        expect(call.lstat(f"{PCI_DEVICE}/{name}"), ENOENT)
        return
    with call.opened(f"{PCI_DEVICE}/{name}", O_RDWR) as fd:
        expect(call.read(fd, 4), EIO)
        expect(call.write(fd, b"1234"), EIO)
