# SPDX-License-Identifier: Apache-2.0
"""Groups: /dev/vfio/N (drivers/vfio/group.c, 6.2; in 6.1 it is in vfio_main.c).

The plan: the first device of an IOMMU group that a driver registers makes the device ``N`` of class
``vfio``, ``noiommu-N`` where there is no IOMMU, and its node; the last one that goes takes them
away. One file of it can be open at a time; open devices keep it open. What mediates devices (mdev)
gives each an IOMMU group of its own, which is called vfio-noiommu although it is emulated.
"""

from __future__ import annotations

import errno
from enum import Enum
from typing import TYPE_CHECKING, Any

from harness.drivers.iommufd.main import IommufdFile
from harness.drivers.iommufd.vfio_compat import (
    get_compat_ioas,
    iommufd_vfio_compat_ioas_create,
)
from harness.drivers.vfio.container import VfioContainer, VfioContainerFile
from harness.drivers.vfio.vfio_main import VfioDevice, VfioDeviceFile, vfio
from harness.kernel.anon_inode import AnonInode
from harness.kernel.chardev import CharDevice
from harness.kernel.driver_core import Device, DeviceClass, device_add, device_del
from harness.kernel.errors import Errno
from harness.kernel.ida import Ida
from harness.kernel.task import Caller
from harness.kernel.uaccess import copy_from_user, get_user_s32, strndup_user
from harness.kernel.vfs import CommandFile, Node
from harness.uapi import vfio as u
from harness.uapi.fs import CAP_SYS_RAWIO, PAGE_SIZE

if TYPE_CHECKING:
    from harness.kernel.iommu import IommuDomain, IommuGroup
    from harness.kernel.system import Kernel


class VfioGroupType(Enum):
    """enum vfio_group_type."""

    IOMMU = "iommu"
    EMULATED_IOMMU = "emulated"
    NO_IOMMU = "noiommu"


class VfioGroup(Device):
    """The devices of an IOMMU group that drivers handed to programs (struct vfio_group)."""

    def __init__(self, groups: VfioGroups, iommu_group: IommuGroup, kind: VfioGroupType) -> None:
        prefix = "noiommu-" if kind is VfioGroupType.NO_IOMMU else ""
        super().__init__(groups.kernel, f"{prefix}{iommu_group.number}", None, None)
        self._groups = groups
        self.device_class = groups.device_class
        self.minor = groups.minor_ida.alloc()
        self.devt = (groups.major, self.minor)
        self.open_method = self.vfio_group_fops_open
        self.kind = kind
        #: None once the last device is gone, though its file may still be open.
        self.iommu_group: IommuGroup | None = iommu_group
        self.devices: list[VfioDevice] = []
        #: How many of its devices are registered or about to be.
        self.drivers = 1
        self.container: VfioContainer | None = None
        #: 1, and one for each device that is open.
        self.container_users = 0
        self.opened_file: VfioGroupFile | None = None
        #: In place of a container.
        self.iommufd: IommufdFile | None = None
        #: Devices that are open by nodes of their own.
        self.cdev_device_open_count = 0

    @property
    def has_iommu(self) -> bool:
        """Whether it is in a container, or on an iommufd (vfio_group_has_iommu)."""
        return self.container is not None or self.iommufd is not None

    @property
    def compat_ioas_id(self) -> int:
        """Of the iommufd that the group is on."""
        assert self.iommufd is not None
        return get_compat_ioas(self.iommufd.context).id

    def unset_iommufd(self) -> None:
        """Let go of it."""
        file, self.iommufd = self.iommufd, None
        if file is not None:
            file.put()

    @property
    def devname(self) -> str:
        """vfio_devnode."""
        return f"vfio/{self.name}"

    @property
    def physical(self) -> bool:
        """Whether there is an IOMMU before its devices."""
        return self.kind is VfioGroupType.IOMMU

    @property
    def noiommu(self) -> bool:
        """Whether its devices do DMA that nothing translates."""
        return self.kind is VfioGroupType.NO_IOMMU

    @property
    def domain(self) -> IommuDomain | None:
        """Where DMA of its devices goes; None without a container that has an IOMMU."""
        if self.container is None or self.container.data is None:
            return None
        return self.container.data.domain

    def vfio_group_fops_open(self, node: CharDevice, caller: Caller, flags: int) -> VfioGroupFile:
        """ENODEV without a device, EPERM, EBUSY while it or one of its devices is open."""
        if not self.drivers:
            raise Errno(errno.ENODEV)
        if self.noiommu and not caller.credentials.capable(CAP_SYS_RAWIO):
            raise Errno(errno.EPERM)
        if self.cdev_device_open_count or self.opened_file is not None:
            raise Errno(errno.EBUSY)
        self.opened_file = VfioGroupFile(node, caller, self)
        return self.opened_file

    def register(self, device: VfioDevice) -> None:
        """vfio_device_group_register."""
        self.devices.append(device)

    def unregister(self, device: VfioDevice) -> None:
        """vfio_device_group_unregister."""
        self.devices.remove(device)

    def check_iommu(self, caller: Caller) -> None:
        """EINVAL unless a container with an IOMMU is there, EPERM."""
        if self.iommufd is None and (self.container is None or self.container.data is None):
            raise Errno(errno.EINVAL)
        if self.noiommu and not caller.credentials.capable(CAP_SYS_RAWIO):
            raise Errno(errno.EPERM)

    def use_iommu(self, caller: Caller) -> None:
        """What :meth:`check_iommu` says; then the group's file stays open
        (vfio_device_group_use_iommu)."""
        self.check_iommu(caller)
        assert self.opened_file is not None
        self.opened_file.users += 1
        if self.container is not None:
            self.container_users += 1

    def unuse_iommu(self) -> None:
        """vfio_device_group_unuse_iommu."""
        assert self.opened_file is not None
        if self.container is not None:
            self.container_users -= 1
        self.opened_file.put()

    def put(self) -> None:
        """The minor is free once neither devices nor a file are left (vfio_group_release)."""
        if not self.drivers and self.opened_file is None:
            self._groups.minor_ida.free(self.minor)


class VfioGroupFile(CommandFile):
    """The open file of a group. ``users`` are the program, and devices that were opened by it."""

    __slots__ = ("group", "users")

    def __init__(self, node: Node, opener: Caller, group: VfioGroup) -> None:
        super().__init__(node, opener)
        self.group = group
        self.users = 1
        # Of the node and of its operations (chrdev_open).
        group.kernel.modules["vfio"].references += 2

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """vfio_group_fops_unl_ioctl."""
        if command == u.VFIO_GROUP_GET_DEVICE_FD:
            return self._get_device_fd(caller, argument)
        if command == u.VFIO_GROUP_GET_STATUS:
            return self._get_status(caller, argument)
        if command == u.VFIO_GROUP_SET_CONTAINER:
            return self._set_container(caller, argument)
        if command == u.VFIO_GROUP_UNSET_CONTAINER:
            return self._unset_container()
        raise Errno(errno.ENOTTY)

    def _get_status(self, caller: Caller, argument: int) -> int:
        """vfio_group_ioctl_get_status: EFAULT, EINVAL, ENODEV once the group is gone."""
        status = copy_from_user(caller, u.GroupStatus, argument)
        if status.argsz < u.offsetofend(u.GroupStatus, "flags"):
            raise Errno(errno.EINVAL)
        group = self.group
        if group.iommu_group is None:
            raise Errno(errno.ENODEV)
        status.flags = 0
        if group.has_iommu:
            status.flags = u.VFIO_GROUP_FLAGS_CONTAINER_SET | u.VFIO_GROUP_FLAGS_VIABLE
        elif not group.iommu_group.dma_owner_claimed:
            status.flags = u.VFIO_GROUP_FLAGS_VIABLE
        caller.copy_to_user(argument, bytes(status))
        return 0

    def _set_container(self, caller: Caller, argument: int) -> int:
        """vfio_group_ioctl_set_container: EFAULT, EBADF, EINVAL for a second one, ENODEV, then what
        a file that is no container is answered, then what the container says."""
        file = caller.file(get_user_s32(caller, argument))
        group = self.group
        if group.has_iommu:
            raise Errno(errno.EINVAL)
        if group.iommu_group is None:
            raise Errno(errno.ENODEV)
        if isinstance(file, IommufdFile):
            iommufd_vfio_compat_ioas_create(file.context)
            file.users += 1
            group.iommufd = file
            return 0
        if not isinstance(file, VfioContainerFile):
            aware = vfio(group.kernel).section.iommufd_aware
            raise Errno(errno.EBADFD if aware else errno.EINVAL)
        file.container.attach_group(caller, group)
        return 0

    def _unset_container(self) -> int:
        """vfio_group_ioctl_unset_container: EINVAL without one, EBUSY while a device is open."""
        group = self.group
        if not group.has_iommu:
            raise Errno(errno.EINVAL)
        if group.container is not None:
            if group.container_users != 1:
                raise Errno(errno.EBUSY)
            group.container.detach_group(group)
        group.unset_iommufd()
        return 0

    def _get_device_fd(self, caller: Caller, argument: int) -> int:
        """vfio_group_ioctl_get_device_fd: EFAULT, EINVAL for a string without end; then the name is
        looked up, then EMFILE, and only then can the device be opened."""
        name = strndup_user(caller, argument, PAGE_SIZE)
        device = self._device_get_from_name(caller, name.decode(errors="surrogateescape"))
        caller.check_unused_fd()
        device.references += 1
        file = VfioDeviceFile(AnonInode("[vfio-device]"), caller, device)
        try:
            file.open(caller)
        except Errno:
            file.release()
            raise
        try:
            return caller.install(file)
        except Errno:
            file.release()
            raise

    def _device_get_from_name(self, caller: Caller, name: str) -> VfioDevice:
        """ENODEV unless a device says that it is meant; one may also refuse."""
        for device in self.group.devices:
            if device.match(caller, name) and device.references:
                return device
        raise Errno(errno.ENODEV)

    def release(self) -> None:
        """The program's last fd is closed; devices that are open keep the file."""
        self.put()

    def put(self) -> None:
        """One user less; after the last, vfio_group_fops_release."""
        self.users -= 1
        if self.users:
            return
        group = self.group
        if group.container is not None:
            group.container.detach_group(group)
        group.unset_iommufd()
        group.opened_file = None
        group.kernel.modules["vfio"].references -= 2
        group.put()


class VfioGroups:
    """All groups of a machine."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.device_class = DeviceClass(kernel, "vfio").register()
        self.major = kernel.devices.alloc_chrdev_region("vfio")
        self.minor_ida = Ida()
        self._groups: list[VfioGroup] = []

    def set_group(self, dev: Device, *, emulated: bool) -> VfioGroup:
        """The group of a device that is to be registered; EINVAL without one
        (vfio_device_set_group)."""
        if emulated:
            return self._noiommu_group_alloc(dev, VfioGroupType.EMULATED_IOMMU)
        if dev.iommu_group is None:
            parameter = vfio(self.kernel).noiommu
            if parameter is not None and parameter.value:
                return self._noiommu_group_alloc(dev, VfioGroupType.NO_IOMMU)
            raise Errno(errno.EINVAL)
        for group in self._groups:
            if group.iommu_group is dev.iommu_group:
                group.drivers += 1
                return group
        return self._create_group(dev.iommu_group, VfioGroupType.IOMMU)

    def _noiommu_group_alloc(self, dev: Device, kind: VfioGroupType) -> VfioGroup:
        """A group for one device alone (vfio_noiommu_group_alloc)."""
        iommu_group = self.kernel.iommu_groups.alloc()
        iommu_group.set_name("vfio-noiommu")
        iommu_group.add_device(dev)
        return self._create_group(iommu_group, kind)

    def _create_group(self, iommu_group: IommuGroup, kind: VfioGroupType) -> VfioGroup:
        group = VfioGroup(self, iommu_group, kind)
        device_add(group)
        self._groups.append(group)
        return group

    def remove_group(self, device: Any) -> None:
        """A device went; the last one takes the group's node, and its container, with it
        (vfio_device_remove_group)."""
        group: VfioGroup = device.group
        iommu_group = group.iommu_group
        assert iommu_group is not None
        group.drivers -= 1
        if not group.drivers:
            self._groups.remove(group)
            device_del(group)
            if group.container is not None:
                group.container.detach_group(group)
            group.iommu_group = None
            group.put()
        if not group.physical:
            iommu_group.remove_device(device.dev)
