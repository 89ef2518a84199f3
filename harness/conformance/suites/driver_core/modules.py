# SPDX-License-Identifier: Apache-2.0
"""What /sys/module, and classes and bridges without a driver, say of a kernel that is up."""

from __future__ import annotations

from harness.conformance import Call, case, expect
from harness.conformance.errnos import EINVAL, ENOENT

_MODULES = "/sys/module"
_SYSFS = "kernel/module/sysfs.c, 6.1"
_BRIDGE = "/sys/devices/pci0000:00"
MACHINE = "qemu-q35"


@case(source=f"module_attr: {_SYSFS}", machine=MACHINE)
def versions_and_taints(call: Call) -> None:
    """A module from outside the kernel, without a signature, is told from the kernel's own.

    The configuration with iommufd has the samples."""
    taint = "\n" if call.since("+iommufd") else "OE\n"
    for name in ("configfs_sample", "mtty", "mdpy", "mbochs"):
        expect(call.read_text(f"{_MODULES}/{name}/taint"), taint)
    expect(call.read_text(f"{_MODULES}/nvmet/taint"), "\n")
    expect(call.read_text(f"{_MODULES}/uio_pci_generic/version"), "0.01.0\n")
    expect(call.lstat(f"{_MODULES}/pci_stub/version"), ENOENT)


@case(source=f"module_attr: {_SYSFS}", machine=MACHINE)
def sizes(call: Call) -> None:
    for name in ("vfio_pci_core", "pci_stub", "uio_pci_generic", "configfs", "nvmet"):
        size = int(expect(call.read_text(f"{_MODULES}/{name}/coresize")))
        expect(size > 0 and size % 4096 == 0, True)


@case(source="param_set_bool: kernel/params.c; kstrtobool: lib/kstrtox.c, 7.2", machine=MACHINE)
def words_for_a_boolean(call: Call) -> None:
    """7.2 knows more of them."""
    path = f"{_MODULES}/vfio_pci/parameters/nointxmask"
    expect(call.write_text(path, "on"), 2)
    expect(call.write_text(path, "disabled"), 8 if call.since("7.2") else EINVAL)
    expect(call.read_text(path), "N\n" if call.since("7.2") else "Y\n")


@case(source="alloc_super: fs/super.c, 6.1", machine=MACHINE)
def the_mount_of_configfs(call: Call) -> None:
    """It holds the module, besides the modules that use it."""
    holders = expect(call.listdir(f"{_MODULES}/configfs/holders"))
    expect(call.read_text(f"{_MODULES}/configfs/refcnt"), f"{len(holders) + 1}\n")


@case(source="dma_bus_init: drivers/dma/dmaengine.c, 6.1", machine=MACHINE)
def class_without_devices(call: Call) -> None:
    expect(call.listdir("/sys/class/dma"), [])


@case(source="acpi_bind_one: drivers/acpi/glue.c; device_add, 6.1", machine=MACHINE)
def host_bridge(call: Call) -> None:
    """It has an object in ACPI, and never a driver."""
    expect(call.readlink(f"{_BRIDGE}/firmware_node"), "../LNXSYSTM:00/LNXSYBUS:00/PNP0A08:00")
    expect(call.stat(f"{_BRIDGE}/waiting_for_supplier"), mode=0o100444, size=4096)
    expect(call.read_text(f"{_BRIDGE}/waiting_for_supplier"), "0\n")
    if not call.since("7.2"):
        expect(call.lstat(f"{_BRIDGE}/wakeup"), ENOENT)
        return
    (source,) = expect(call.listdir(f"{_BRIDGE}/wakeup"))
    expect(call.read_text(f"{_BRIDGE}/wakeup/{source}/name"), "PNP0A08:00\n")
