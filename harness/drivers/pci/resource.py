# SPDX-License-Identifier: Apache-2.0
"""Files of bytes: ``config`` and ``resourceN`` (drivers/pci/pci-sysfs.c, 6.1)."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from harness.drivers.pci.device import (
    IORESOURCE_IO,
    IORESOURCE_PREFETCH,
    PCI_ROM_RESOURCE,
    PCI_STD_NUM_BARS,
)
from harness.kernel.errors import Errno
from harness.kernel.kernfs import BinaryFile, KernfsRoot, OpenBinary
from harness.kernel.sysfs import BinaryAttribute
from harness.kernel.task import Caller
from harness.kernel.vfs import OpenFile, Pages
from harness.uapi.fs import CAP_SYS_ADMIN, PAGE_SIZE

if TYPE_CHECKING:
    from harness.drivers.pci.device import PciDevice

#: What anybody may read of the configuration space.
_HEADER_SIZE = 64


def _accesses(offset: int, count: int) -> Iterator[tuple[int, int]]:
    """Offsets and sizes of the aligned accesses that a range is split into."""
    end = offset + count
    while offset < end:
        left = end - offset
        if offset & 1 or left == 1:
            size = 1
        elif (offset & 3 or left < 4) and left >= 2:
            size = 2
        else:
            size = 4
        yield offset, size
        offset += size


def pci_read_config(device: PciDevice, opener: Caller, offset: int, count: int) -> bytes:
    """All of it for openers with CAP_SYS_ADMIN, the header for others."""
    privileged = opener.credentials.capable(CAP_SYS_ADMIN)
    size = device.config_size if privileged else _HEADER_SIZE
    count = min(count, size - offset)
    return b"".join(
        device.pci_read_config(position, width).to_bytes(width, "little")
        for position, width in _accesses(offset, max(count, 0))
    )


def pci_write_config(device: PciDevice, opener: Caller, offset: int, data: bytes) -> int:
    """Write what fits."""
    for position, width in _accesses(offset, len(data)):
        value = data[position - offset : position - offset + width]
        device.pci_write_config(position, width, int.from_bytes(value, "little"))
    return len(data)


def config_attribute(device: PciDevice) -> BinaryAttribute:
    """``config`` with the size that the function's space has."""
    return BinaryAttribute("config", 0o644, device.config_size, pci_read_config, pci_write_config)


def pci_read_rom(device: PciDevice, opener: Caller, offset: int, count: int) -> bytes:
    """The images; EINVAL until something was written, EIO without a first image."""
    if not device.rom_attr_enabled:
        raise Errno(errno.EINVAL)
    image = device.function.rom_image
    if not image:
        raise Errno(errno.EIO)
    return image[offset : offset + count]


def pci_write_rom(device: PciDevice, opener: Caller, offset: int, data: bytes) -> int:
    """What says no ends reading, what says yes allows it; EINVAL for anything else."""
    device.rom_attr_enabled = device.kernel.kstrtobool(data)
    return len(data)


def rom_attribute(device: PciDevice) -> BinaryAttribute:
    """``rom`` with the size of the function's expansion ROM."""
    size = device.resources[PCI_ROM_RESOURCE].size
    return BinaryAttribute("rom", 0o600, size, pci_read_rom, pci_write_rom)


def vpd_read(device: PciDevice, opener: Caller, offset: int, count: int) -> bytes:
    """ENODEV: vital product data is in no machine file, so the function never answers
    (pci_vpd_available: drivers/pci/vpd.c, 6.1)."""
    raise Errno(errno.ENODEV)


def vpd_write(device: PciDevice, opener: Caller, offset: int, data: bytes) -> int:
    """ENODEV, likewise."""
    raise Errno(errno.ENODEV)


VPD = BinaryAttribute("vpd", 0o600, 0, vpd_read, vpd_write)


def pci_resource_io(device: PciDevice, bar: int, offset: int, count: int) -> int:
    """How many bytes to move: exactly 1, 2 or 4 inside the BAR, else EINVAL; 0 past its end."""
    size = device.resources[bar].size
    if offset >= size:
        return 0
    if offset + count > size or count not in (1, 2, 4):
        raise Errno(errno.EINVAL)
    return count


def pci_read_resource_io(
    device: PciDevice, bar: int, opener: Caller, offset: int, count: int
) -> bytes:
    """Read an I/O port."""
    count = pci_resource_io(device, bar, offset, count)
    return device.function.load(bar, offset, count).to_bytes(count, "little") if count else b""


def pci_write_resource_io(
    device: PciDevice, bar: int, opener: Caller, offset: int, data: bytes
) -> int:
    """Write an I/O port."""
    count = pci_resource_io(device, bar, offset, len(data))
    if count:
        device.function.store(bar, offset, count, int.from_bytes(data, "little"))
    return count


class ResourceFile(BinaryFile):
    """``resourceN`` or ``resourceN_wc`` of a memory BAR: it has nothing but mmap."""

    __slots__ = ("bar", "device")

    def __init__(self, root: KernfsRoot, name: str, device: PciDevice, bar: int) -> None:
        super().__init__(root, name, 0o600, device.resources[bar].size)
        self.device = device
        self.bar = bar

    def new_open_file(self, caller: Caller) -> OpenFile:
        """See :class:`OpenResource`."""
        return OpenResource(self, caller)


class OpenResource(OpenBinary):
    """An open memory BAR; read and write have no method (EIO)."""

    __slots__ = ()
    node: ResourceFile

    def mmap(self, caller: Caller, offset: int, length: int, prot: int, flags: int) -> Pages:
        """pci_mmap_resource: EINVAL unless all pages are of the BAR (pci_mmap_fits)."""
        node = self.node
        pages = -(-node.size // PAGE_SIZE)
        first, count = offset // PAGE_SIZE, -(-length // PAGE_SIZE)
        if first + count > pages:
            raise Errno(errno.EINVAL)

        def load(position: int, size: int) -> bytes:
            value: int = node.device.function.load(node.bar, offset + position, size)
            return value.to_bytes(size, "little")

        def store(position: int, data: bytes) -> None:
            value = int.from_bytes(data, "little")
            node.device.function.store(node.bar, offset + position, len(data), value)

        return Pages(length, load=load, store=store)


def pci_create_resource_files(device: PciDevice) -> None:
    """One file for each BAR, a second one for those that may be write-combined."""
    directory = device.sysfs
    for bar, resource in enumerate(device.resources[:PCI_STD_NUM_BARS]):
        if not resource.size:
            continue
        name = f"resource{bar}"
        if resource.flags & IORESOURCE_IO:
            read = partial(pci_read_resource_io, device, bar)
            write = partial(pci_write_resource_io, device, bar)
            node = BinaryFile(directory.root, name, 0o600, resource.size, read, write)
            directory.add(node)
            continue
        directory.add(ResourceFile(directory.root, name, device, bar))
        if resource.flags & IORESOURCE_PREFETCH and device.pci_bus.section.write_combining:
            directory.add(ResourceFile(directory.root, f"{name}_wc", device, bar))


def pci_remove_resource_files(device: PciDevice) -> None:
    """Take them away again."""
    for name in [name for name in device.sysfs.children if _is_resource_file(name)]:
        device.sysfs.remove(name)


def _is_resource_file(name: str) -> bool:
    return name.startswith("resource") and name != "resource"
