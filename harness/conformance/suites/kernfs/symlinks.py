# SPDX-License-Identifier: Apache-2.0
"""Symbolic links."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EINVAL, ENOENT
from harness.conformance.suites._steps import PCI_ADDRESS, PCI_BUS, PCI_DEVICE

_TARGET = "kernfs_get_target_path: fs/kernfs/symlink.c, 6.1"


@case(source=_TARGET)
@param(
    "path target",
    [
        (f"{PCI_BUS}/devices/{PCI_ADDRESS}", f"../../../devices/pci0000:00/{PCI_ADDRESS}"),
        (f"{PCI_DEVICE}/subsystem", "../../../bus/pci"),
        (f"{PCI_DEVICE}/driver", "../../../bus/pci/drivers/idxd"),
        (
            f"{PCI_BUS}/drivers/idxd/{PCI_ADDRESS}",
            f"../../../../devices/pci0000:00/{PCI_ADDRESS}",
        ),
        (f"{PCI_BUS}/drivers/idxd/module", "../../../../module/idxd"),
    ],
)
def target_is_relative(call: Call, path: str, target: str) -> None:
    expect(call.readlink(path), target)


@case(source="kernfs_init_inode: fs/kernfs/inode.c, 6.1")
def size_is_zero(call: Call) -> None:
    """A buffer for readlink cannot be sized by lstat."""
    expect(call.lstat(f"{PCI_DEVICE}/subsystem"), mode=0o120777, size=0)


@case(source="link_path_walk: fs/namei.c, 6.1")
def is_followed(call: Call) -> None:
    real = f"/sys/devices/pci0000:00/{PCI_ADDRESS}"
    there = expect(call.stat(real))
    expect(call.stat(PCI_DEVICE), ino=there.ino, mode=0o40755)
    expect(call.stat(f"{PCI_DEVICE}/"), ino=there.ino)
    expect(call.lstat(f"{PCI_DEVICE}/"), ino=there.ino)
    expect(call.read_text(f"{PCI_DEVICE}/driver/../../devices/{PCI_ADDRESS}/vendor"), "0x8086\n")
    expect(call.read_text(f"{PCI_DEVICE}/subsystem/devices/{PCI_ADDRESS}/vendor"), "0x8086\n")


@case(source="do_readlinkat: fs/stat.c, 6.1")
def readlink_of_something_else(call: Call) -> None:
    expect(call.readlink(f"{PCI_DEVICE}/vendor"), EINVAL)
    expect(call.readlink(f"{PCI_DEVICE}/power"), EINVAL)
    expect(call.readlink(f"{PCI_DEVICE}/nonesuch"), ENOENT)
