# SPDX-License-Identifier: Apache-2.0
"""How a program maps memory for devices, and what else the cases share."""

from __future__ import annotations

import struct
from ctypes import LittleEndianStructure, sizeof
from typing import TypeVar

from attrs import frozen

from harness.conformance import Call, Fd, expect
from harness.conformance.call import Buffer
from harness.conformance.results import Result
from harness.conformance.suites.vfio_pci._device import EDU, MACHINE, ask, bind, group_path
from harness.uapi import vfio as u
from harness.uapi.fs import O_RDWR, PAGE_SIZE

__all__ = ["EDU", "MACHINE", "PAGE", "READ", "U64", "WRITE", "ask", "bind", "group_path"]

PAGE = PAGE_SIZE
U64 = (1 << 64) - 1
READ, WRITE = u.VFIO_DMA_MAP_FLAG_READ, u.VFIO_DMA_MAP_FLAG_WRITE
V1, V2 = u.VFIO_TYPE1_IOMMU, u.VFIO_TYPE1v2_IOMMU
#: The first address that the IOMMU of the machine lacks, and where messages go.
END, MESSAGES = 1 << 39, 0xFEE00000

Structure = TypeVar("Structure", bound=LittleEndianStructure)


def number(call: Call, value: int) -> Buffer:
    """A signed number of 32 bits in memory."""
    memory = call.buffer(8)
    expect(call.poke(memory, struct.pack("<i", value)))
    return memory


def open_container(call: Call) -> Fd:
    """A new one."""
    return expect(call.open("/dev/vfio/vfio", O_RDWR))


def open_group(call: Call, address: str = EDU) -> Fd:
    """Give a function to vfio-pci, and open its group."""
    bind(call, address)
    return expect(call.open(group_path(call, address), O_RDWR))


def set_container(call: Call, group: Fd, container: Fd | int) -> Result[int]:
    """VFIO_GROUP_SET_CONTAINER."""
    fd = container.number if isinstance(container, Fd) else container
    return call.ioctl(group, u.VFIO_GROUP_SET_CONTAINER, number(call, fd))


def get_status(call: Call, group: Fd, argsz: int = 8) -> tuple[Result[int], u.GroupStatus]:
    """VFIO_GROUP_GET_STATUS."""
    result, data = ask(call, group, u.VFIO_GROUP_GET_STATUS, u.GroupStatus(argsz, 0xFFFFFFFF))
    return result, u.GroupStatus.from_buffer_copy(data)


def get_device_fd(call: Call, group: Fd, name: bytes) -> Result[int]:
    """VFIO_GROUP_GET_DEVICE_FD with a string that ends where ``name`` does."""
    memory = call.buffer(len(name) + 1)
    expect(call.poke(memory, name + b"\0"))
    return call.ioctl(group, u.VFIO_GROUP_GET_DEVICE_FD, memory)


@frozen
class Mapper:
    """A container that maps memory, and a group in it."""

    call: Call
    container: Fd
    group: Fd

    def close(self) -> None:
        """Close both, so that the group can be opened again."""
        expect(self.call.close(self.container))
        expect(self.call.close(self.group))

    def map(
        self,
        iova: int,
        size: int,
        memory: Buffer | int,
        flags: int = READ | WRITE,
        argsz: int = sizeof(u.DmaMap),
    ) -> Result[int]:
        """VFIO_IOMMU_MAP_DMA."""
        vaddr = memory.address if isinstance(memory, Buffer) else memory
        given = u.DmaMap(argsz, flags, vaddr, iova, size)
        return ask(self.call, self.container, u.VFIO_IOMMU_MAP_DMA, given)[0]

    def unmap(
        self, iova: int, size: int, flags: int = 0, argsz: int = sizeof(u.DmaUnmap)
    ) -> tuple[Result[int], int]:
        """VFIO_IOMMU_UNMAP_DMA: the result, and the size that the structure has then."""
        given = u.DmaUnmap(argsz, flags, iova, size)
        result, data = ask(self.call, self.container, u.VFIO_IOMMU_UNMAP_DMA, given)
        return result, u.DmaUnmap.from_buffer_copy(data).size

    def unmapped(self, iova: int, size: int, count: int, flags: int = 0) -> None:
        """Expect that an unmap succeeds and says ``count``."""
        result, left = self.unmap(iova, size, flags)
        expect(result, 0)
        expect(left, count)

    def dirty(self, flags: int, data: bytes = b"", argsz: int | None = None) -> Result[int]:
        """VFIO_IOMMU_DIRTY_PAGES."""
        size = sizeof(u.DirtyBitmap) + len(data) if argsz is None else argsz
        content = bytes(u.DirtyBitmap(size, flags)) + data
        return ask(self.call, self.container, u.VFIO_IOMMU_DIRTY_PAGES, content)[0]


def mapper(call: Call, kind: int = V2, address: str = EDU) -> Mapper:
    """A container with one group and type 1."""
    group = open_group(call, address)
    container = open_container(call)
    expect(set_container(call, group, container), 0)
    expect(call.ioctl(container, u.VFIO_SET_IOMMU, kind), 0)
    return Mapper(call, container, group)


def read_only(call: Call, size: int) -> Buffer:
    """Memory that cannot be written to."""
    # PROT_READ; MAP_PRIVATE | MAP_ANONYMOUS
    return expect(call.mmap(size, 0x1, 0x22, Fd(-1, "")))


def in_memory(call: Call, structure: LittleEndianStructure, room: int = 0) -> Buffer:
    """A structure in memory, with room behind it."""
    memory = call.buffer(sizeof(structure) + room)
    expect(call.poke(memory, bytes(structure)))
    return memory


def from_memory(call: Call, kind: type[Structure], memory: Buffer) -> Structure:
    """A structure out of memory."""
    return kind.from_buffer_copy(expect(call.peek(memory, sizeof(kind))))
