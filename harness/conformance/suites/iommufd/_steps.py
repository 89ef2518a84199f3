# SPDX-License-Identifier: Apache-2.0
"""What the cases share."""

from __future__ import annotations

from ctypes import LittleEndianStructure
from typing import Any

from attrs import frozen

from harness.conformance import Call, Fd, expect
from harness.conformance.call import Buffer
from harness.conformance.errnos import ErrorNumber
from harness.conformance.results import Result
from harness.conformance.suites.vfio_pci._device import EDU, PCI, ask, bind
from harness.uapi import iommufd as u
from harness.uapi import vfio
from harness.uapi.fs import O_RDWR

FEATURE = "+iommufd"
FIXED, WRITE, READ = (
    u.IOMMU_IOAS_MAP_FIXED_IOVA,
    u.IOMMU_IOAS_MAP_WRITEABLE,
    u.IOMMU_IOAS_MAP_READABLE,
)
ALL = FIXED | WRITE | READ
NOWHERE = 9999


def sized(structure: Any, **values: Any) -> bytes:
    """A structure that begins with its own size."""
    return bytes(structure(size=len(bytes(structure())), **values))


@frozen
class Context:
    """An open /dev/iommu."""

    call: Call
    fd: Fd

    def ask(self, command: int, data: bytes | LittleEndianStructure) -> tuple[Result[int], bytes]:
        """A command with its structure."""
        return ask(self.call, self.fd, command, data)

    def ioas(self) -> int:
        """A new address space's number."""
        result, data = self.ask(u.IOMMU_IOAS_ALLOC, sized(u.IoasAlloc))
        expect(result, 0)
        number: int = u.IoasAlloc.from_buffer_copy(data).out_ioas_id
        return number

    def map(
        self,
        ioas: int,
        iova: int,
        length: int,
        memory: Buffer | int,
        flags: int = ALL,
        reserved: int = 0,
    ) -> tuple[Result[int], int]:
        """IOMMU_IOAS_MAP: the result, and the address that the structure has then."""
        place = memory.address if isinstance(memory, Buffer) else memory
        given = sized(
            u.IoasMap,
            flags=flags,
            ioas_id=ioas,
            reserved=reserved,
            user_va=place,
            length=length,
            iova=iova,
        )
        result, data = self.ask(u.IOMMU_IOAS_MAP, given)
        return result, u.IoasMap.from_buffer_copy(data).iova

    def unmap(self, ioas: int, iova: int, length: int) -> tuple[Result[int], int]:
        """IOMMU_IOAS_UNMAP: the result, and the length that the structure has then."""
        given = sized(u.IoasUnmap, ioas_id=ioas, iova=iova, length=length)
        result, data = self.ask(u.IOMMU_IOAS_UNMAP, given)
        return result, u.IoasUnmap.from_buffer_copy(data).length

    def ranges(
        self, ioas: int, room: int, answer: int | ErrorNumber = 0
    ) -> tuple[int, list[tuple[int, int]], int]:
        """IOMMU_IOAS_IOVA_RANGES: how many there are, those that fit, and the alignment."""
        place = self.call.buffer(4096)
        given = sized(u.IoasIovaRanges, ioas_id=ioas, num_iovas=room, allowed_iovas=place.address)
        result, data = self.ask(u.IOMMU_IOAS_IOVA_RANGES, given)
        expect(result, answer)
        found = u.IoasIovaRanges.from_buffer_copy(data)
        content = expect(self.call.peek(place, 16 * min(room, found.num_iovas)))
        pairs = [
            u.IovaRange.from_buffer_copy(content[n : n + 16]) for n in range(0, len(content), 16)
        ]
        shown = [(pair.start, pair.last) for pair in pairs]
        return found.num_iovas, shown, found.out_iova_alignment

    def map_file(
        self, ioas: int, iova: int, length: int, fd: Fd | int, start: int = 0, flags: int = ALL
    ) -> tuple[Result[int], int]:
        """IOMMU_IOAS_MAP_FILE: the result, and the address that the structure has then."""
        given = sized(
            u.IoasMapFile,
            flags=flags,
            ioas_id=ioas,
            fd=fd.number if isinstance(fd, Fd) else fd,
            start=start,
            length=length,
            iova=iova,
        )
        result, data = self.ask(u.IOMMU_IOAS_MAP_FILE, given)
        return result, u.IoasMapFile.from_buffer_copy(data).iova

    def hwpt(
        self, device: int, parent: int, flags: int = 0, **values: int
    ) -> tuple[Result[int], int]:
        """IOMMU_HWPT_ALLOC: the result, and the number of what was made."""
        given = sized(u.HwptAlloc, flags=flags, dev_id=device, pt_id=parent, **values)
        result, data = self.ask(u.IOMMU_HWPT_ALLOC, given)
        return result, u.HwptAlloc.from_buffer_copy(data).out_hwpt_id

    def fault_queue(self) -> tuple[int, Fd]:
        """A new queue's number, and its file."""
        result, data = self.ask(u.IOMMU_FAULT_QUEUE_ALLOC, sized(u.FaultAlloc))
        expect(result, 0)
        made = u.FaultAlloc.from_buffer_copy(data)
        return made.out_fault_id, Fd(made.out_fault_fd, "anon_inode:[iommufd-pgfault]")

    def destroy(self, number: int) -> Result[int]:
        """IOMMU_DESTROY."""
        return self.ask(u.IOMMU_DESTROY, sized(u.Destroy, id=number))[0]

    def bind(self, device: Fd, flags: int = 0, argsz: int = 16) -> tuple[Result[int], int]:
        """VFIO_DEVICE_BIND_IOMMUFD: the result, and the device's number."""
        given = vfio.BindIommufd(argsz, flags, self.fd.number, 0)
        result, data = ask(self.call, device, vfio.VFIO_DEVICE_BIND_IOMMUFD, given)
        return result, vfio.BindIommufd.from_buffer_copy(data).out_devid


def bound(call: Call) -> tuple[Context, Fd, int]:
    """A context, edu's file that is bound to it, and its number there."""
    context, device = open_context(call), open_cdev(call)
    result, number = context.bind(device)
    expect(result, 0)
    return context, device, number


def open_context(call: Call) -> Context:
    """A new one."""
    return Context(call, expect(call.open("/dev/iommu", O_RDWR)))


def cdev_path(call: Call, address: str = EDU) -> str:
    """The node of a function that vfio-pci has."""
    (name,) = expect(call.listdir(f"{PCI}/devices/{address}/vfio-dev"))
    return f"/dev/vfio/devices/{name}"


def open_cdev(call: Call, address: str = EDU) -> Fd:
    """Give a function to vfio-pci, and open its node."""
    bind(call, address)
    return expect(call.open(cdev_path(call, address), O_RDWR))


def attach(
    call: Call, device: Fd, number: int, flags: int = 0, argsz: int = 12
) -> tuple[Result[int], int]:
    """VFIO_DEVICE_ATTACH_IOMMUFD_PT: the result, and the number in the structure then."""
    given = vfio.AttachIommufdPt(argsz, flags, number)
    result, data = ask(call, device, vfio.VFIO_DEVICE_ATTACH_IOMMUFD_PT, given)
    return result, vfio.AttachIommufdPt.from_buffer_copy(data).pt_id


def detach(call: Call, device: Fd, flags: int = 0, argsz: int = 8) -> Result[int]:
    """VFIO_DEVICE_DETACH_IOMMUFD_PT."""
    given = vfio.DetachIommufdPt(argsz, flags)
    return ask(call, device, vfio.VFIO_DEVICE_DETACH_IOMMUFD_PT, given)[0]
