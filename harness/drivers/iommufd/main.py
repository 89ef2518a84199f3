# SPDX-License-Identifier: Apache-2.0
"""/dev/iommu: objects by number, and commands on them (drivers/iommu/iommufd/main.c, 6.12).

The plan: every open of the node makes a context. Its objects are address spaces (IOAS), page
tables of the hardware made from them (HWPT), and devices that were bound to it. Commands on devices
of VFIO bind and attach them. What is no command of its own is what a container would be asked.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable
from ctypes import LittleEndianStructure, sizeof
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, field, frozen

from harness.drivers.iommufd.io_pagetable import Accounting, IoPagetable
from harness.drivers.iommufd.profile import IommufdSection
from harness.kernel.chardev import CharDevice
from harness.kernel.driver_core import Device, DeviceClass
from harness.kernel.errors import Errno
from harness.kernel.ida import Ida
from harness.kernel.iommu import IommuCapabilities, IommuGroup
from harness.kernel.task import AddressSpace, Caller
from harness.kernel.uaccess import get_user_u32
from harness.kernel.vfs import CommandFile, Pages
from harness.uapi import iommufd as u
from harness.uapi.fs import CAP_IPC_LOCK, PAGE_SIZE, RLIMIT_MEMLOCK

if TYPE_CHECKING:
    from harness.kernel.system import Kernel

MISC_MAJOR = 10


class IommufdObject:
    """Something with a number (struct iommufd_object). ``users`` are others that need it."""

    def __init__(self, context: IommufdContext) -> None:
        self.context = context
        self.id = context.ids.alloc()
        self.users = 0
        context.objects[self.id] = self

    def destroy(self) -> None:
        """It is gone; nobody needed it."""
        del self.context.objects[self.id]
        self.context.ids.free(self.id)


class Ioas(IommufdObject):
    """An address space (struct iommufd_ioas)."""

    def __init__(self, context: IommufdContext) -> None:
        super().__init__(context)
        self.table = IoPagetable()
        self.hwpts: list[Hwpt] = []

    def destroy(self) -> None:
        """iommufd_ioas_destroy."""
        self.table.unmap(0, (1 << 64) - 1)
        if self.context.vfio_ioas is self:
            self.context.vfio_ioas = None
        super().destroy()


class Hwpt(IommufdObject):
    """A page table of the hardware (struct iommufd_hwpt_paging).

    ``auto_domain`` if a device made it by being attached; it goes with the last device then.
    """

    def __init__(self, ioas: Ioas, capabilities: IommuCapabilities, *, auto_domain: bool) -> None:
        super().__init__(ioas.context)
        self.ioas = ioas
        self.capabilities = capabilities
        self.auto_domain = auto_domain
        self.fault: FaultQueue | None = None
        try:
            ioas.table.add_domain(self, capabilities)
        except Errno:
            super().destroy()
            raise
        ioas.users += 1
        ioas.hwpts.append(self)

    def report_to(self, fault: FaultQueue) -> None:
        """Faults of devices go there (iommufd_hwpt_alloc)."""
        self.fault = fault
        fault.users += 1

    def destroy(self) -> None:
        """iommufd_hwpt_paging_destroy."""
        if self.fault is not None:
            self.fault.users -= 1
        self.ioas.hwpts.remove(self)
        self.ioas.table.remove_domain(self)
        self.ioas.users -= 1
        super().destroy()


class FaultQueue(IommufdObject):
    """Where page tables report the faults of devices (struct iommufd_fault)."""


class BoundDevice(IommufdObject):
    """A device that is bound (struct iommufd_device, struct iommufd_access). VFIO needs it."""

    def __init__(
        self, context: IommufdContext, dev: Device | None, group: IommuGroup | None
    ) -> None:
        """``dev`` and ``group`` are None for one that does no DMA of its own."""
        super().__init__(context)
        self.dev = dev
        self.group = group
        self.users = 1
        self.hwpt: Hwpt | None = None
        self.ioas: Ioas | None = None


@frozen
class Unaccounted:
    """Pages of who may lock any number (IOPT_PAGES_ACCOUNT_NONE)."""

    payer = None

    def lock(self, pages: int) -> None:
        """Nothing."""

    def unlock(self, pages: int) -> None:
        """Nothing."""


@define(eq=False)
class LockedPages:
    """Pages that count against the user (IOPT_PAGES_ACCOUNT_USER)."""

    counts: dict[int, int]
    uid: int
    memory: AddressSpace
    limit: int

    @property
    def payer(self) -> Hashable:
        """The user, and the process, whose statistics have them too."""
        return self.uid, self.memory.identity

    def lock(self, pages: int) -> None:
        """ENOMEM beyond RLIMIT_MEMLOCK of who mapped them."""
        count = self.counts.get(self.uid, 0) + pages
        if count > self.limit:
            raise Errno(errno.ENOMEM)
        self.counts[self.uid] = count

    def unlock(self, pages: int) -> None:
        """They count no longer."""
        self.counts[self.uid] -= pages


@define(eq=False)
class LockedByProcess:
    """Pages that count as those that the program locked itself (IOPT_PAGES_ACCOUNT_MM)."""

    memory: AddressSpace
    limit: int

    @property
    def payer(self) -> Hashable:
        """The process."""
        return self.memory.identity

    def lock(self, pages: int) -> None:
        """ENOMEM beyond RLIMIT_MEMLOCK of who mapped them."""
        if self.memory.locked_pages + pages > self.limit:
            raise Errno(errno.ENOMEM)
        self.memory.locked_pages += pages

    def unlock(self, pages: int) -> None:
        """They count no longer."""
        self.memory.locked_pages -= pages


@define(eq=False)
class IommufdContext:
    """What one open of /dev/iommu has (struct iommufd_ctx)."""

    kernel: Kernel
    section: IommufdSection
    locked: dict[int, int]
    objects: dict[int, IommufdObject] = field(factory=dict)
    ids: Ida = field(factory=lambda: Ida(1))
    vfio_ioas: Ioas | None = None
    account_mm: bool = False

    def get(self, number: int, kind: type[ObjectKind]) -> ObjectKind:
        """ENOENT if there is no such object of this kind (iommufd_get_object)."""
        found = self.objects.get(number)
        if not isinstance(found, kind):
            raise Errno(errno.ENOENT)
        return found

    def accounting(self, caller: Caller, *, mm: bool = False) -> Accounting:
        """Whom pages that ``caller`` maps count against (iopt_alloc_pages)."""
        if caller.credentials.capable(CAP_IPC_LOCK):
            return Unaccounted()
        return self.account(caller, mm=mm)

    def account(self, caller: Caller, *, mm: bool = False) -> Accounting:
        """The caller's, or its user's."""
        limit = caller.rlimit(RLIMIT_MEMLOCK) // PAGE_SIZE
        if mm or self.account_mm:
            return LockedByProcess(caller.address_space, limit)
        return LockedPages(self.locked, caller.credentials.uid, caller.address_space, limit)

    def release(self) -> None:
        """The last to use it is gone (iommufd_fops_release): what others need goes after them."""
        while self.objects:
            free = [found for found in self.objects.values() if not found.users]
            for found in free:
                found.destroy()
            if not free:
                return


ObjectKind = TypeVar("ObjectKind", bound=IommufdObject)


@frozen
class Request:
    """One command with its structure, and what answers go into (struct iommufd_ucmd)."""

    file: IommufdFile
    caller: Caller
    address: int
    size: int
    command: Any

    @property
    def context(self) -> IommufdContext:
        """What the file has."""
        return self.file.context

    def respond(self) -> int:
        """As much of the structure goes back as the caller knows (iommufd_ucmd_respond)."""
        self.caller.copy_to_user(self.address, bytes(self.command)[: self.size])
        return 0


@frozen
class Operation:
    """struct iommufd_ioctl_op: callers must give the structure up to ``last``."""

    kind: type[LittleEndianStructure]
    last: str
    execute: Callable[[Request], int]

    @property
    def minimum(self) -> int:
        """In bytes."""
        place = getattr(self.kind, self.last)
        end: int = place.offset + place.size
        return end


def copy_struct_from_user(
    caller: Caller, kind: type[LittleEndianStructure], address: int, size: int
) -> Any:
    """What is missing is 0; E2BIG if there is more, and not 0 (include/linux/uaccess.h)."""
    known = sizeof(kind)
    position, end = address + known, address + size
    while position < end:
        count = min(PAGE_SIZE - position % PAGE_SIZE, end - position)
        if any(caller.copy_from_user(position, count)):
            raise Errno(errno.E2BIG)
        position += count
    return kind.from_buffer_copy(
        caller.copy_from_user(address, min(size, known)).ljust(known, b"\0")
    )


@frozen
class Commands:
    """What a context takes: its own by number, and what it does in place of a container."""

    operations: dict[int, Operation]
    compat: Callable[[IommufdContext, Caller, int, int], int]


class IommufdFile(CommandFile):
    """An open context. Devices that are bound keep it open."""

    __slots__ = ("commands", "context", "users")

    def __init__(
        self, node: CharDevice, opener: Caller, context: IommufdContext, commands: Commands
    ) -> None:
        super().__init__(node, opener)
        self.context = context
        self.commands = commands
        self.users = 1
        context.kernel.modules["iommufd"].references += 1

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """iommufd_fops_ioctl."""
        number = command & 0xFF
        operation = self.commands.operations.get(number)
        if operation is None:
            return self.commands.compat(self.context, caller, command, argument)
        size = get_user_u32(caller, argument)
        if command != u.IOMMUFD_TYPE << 8 | number:
            raise Errno(errno.ENOTTY)
        if size < operation.minimum:
            raise Errno(errno.EINVAL)
        given = copy_struct_from_user(caller, operation.kind, argument, size)
        return operation.execute(Request(self, caller, argument, size, given))

    def mmap(self, caller: Caller, offset: int, length: int, prot: int, flags: int) -> Pages:
        """iommufd_fops_mmap: nothing is at any offset. Without the method, ENODEV."""
        raise Errno(errno.ENXIO if self.context.section.mappable else errno.ENODEV)

    def release(self) -> None:
        """The program's last fd is closed."""
        self.put()

    def put(self) -> None:
        """One user less."""
        self.users -= 1
        if not self.users:
            self.context.release()
            self.context.kernel.modules["iommufd"].references -= 1


class IommuNode(Device):
    """The misc device ``iommu`` (iommu_misc_dev)."""

    devmode = 0o660

    def __init__(self, kernel: Kernel, section: IommufdSection, commands: Commands) -> None:
        super().__init__(kernel, "iommu", None, None)
        self.device_class = DeviceClass(kernel, "misc")
        self.devt = (MISC_MAJOR, section.minor)
        locked: dict[int, int] = {}
        self.open_method = lambda node, caller, flags: IommufdFile(
            node, caller, IommufdContext(kernel, section, locked), commands
        )
