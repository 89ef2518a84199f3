# SPDX-License-Identifier: Apache-2.0
"""Containers: /dev/vfio/vfio (drivers/vfio/container.c, 6.2; in 6.1 it is in vfio_main.c).

The plan: every open of the node makes a container. Groups are put into it, then SET_IOMMU chooses
the driver that maps memory for them, and from then on that driver answers all other commands.
The last group that leaves takes the driver with it. A container lives as long as its file or a
group that is in it.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Protocol

from harness.kernel.driver_core import Device, DeviceClass, device_add
from harness.kernel.errors import Errno
from harness.kernel.misc import MISC_MAJOR
from harness.kernel.task import Caller
from harness.kernel.vfs import CommandFile, Node
from harness.uapi import vfio as u
from harness.uapi.fs import CAP_SYS_RAWIO

if TYPE_CHECKING:
    from harness.drivers.vfio.group import VfioGroup
    from harness.drivers.vfio.vfio_main import VfioDevice
    from harness.kernel.iommu import IommuDomain
    from harness.kernel.module import Parameter
    from harness.kernel.system import Kernel

VFIO_MINOR = 196


class IommuData(Protocol):
    """What a driver keeps for one container (iommu_data of struct vfio_iommu_driver_ops)."""

    @property
    def domain(self) -> IommuDomain | None:
        """Where the DMA of devices in the container goes; None if nothing is translated."""

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """Any command that is not the container's."""

    def attach_group(self, caller: Caller, group: VfioGroup) -> None:
        """Map memory for a group too, or raise Errno."""

    def detach_group(self, group: VfioGroup) -> None:
        """A group leaves."""

    def register_device(self, device: VfioDevice) -> None:
        """A device of the container is open."""

    def unregister_device(self, device: VfioDevice) -> None:
        """It no longer is."""

    def release(self) -> None:
        """The last group has left."""


class IommuDriver(Protocol):
    """A way to map memory (struct vfio_iommu_driver_ops)."""

    @property
    def module(self) -> str:
        """The module that it comes from."""

    def check_extension(self, extension: int) -> int:
        """What it can do, before it is chosen."""

    def open(self, caller: Caller, kind: int) -> IommuData:
        """Begin to serve a container as IOMMU type ``kind``, or raise Errno."""


class NoiommuDriver:
    """Nothing is mapped: devices use the addresses of the host (vfio_noiommu_ops)."""

    module = "vfio"

    def __init__(self, parameter: Parameter) -> None:
        self._parameter = parameter

    def check_extension(self, extension: int) -> int:
        """vfio_noiommu_ioctl."""
        return int(self._parameter.value and extension == u.VFIO_NOIOMMU_IOMMU)

    def open(self, caller: Caller, kind: int) -> NoiommuData:
        """vfio_noiommu_open."""
        if kind != u.VFIO_NOIOMMU_IOMMU:
            raise Errno(errno.EINVAL)
        if not caller.credentials.capable(CAP_SYS_RAWIO):
            raise Errno(errno.EPERM)
        return NoiommuData(self)


class NoiommuData:
    """A container without translation."""

    domain = None

    def __init__(self, driver: NoiommuDriver) -> None:
        self._driver = driver

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """vfio_noiommu_ioctl: CHECK_EXTENSION, else ENOTTY."""
        if command == u.VFIO_CHECK_EXTENSION:
            return self._driver.check_extension(argument)
        raise Errno(errno.ENOTTY)

    def attach_group(self, caller: Caller, group: VfioGroup) -> None:
        """Always succeeds."""

    def detach_group(self, group: VfioGroup) -> None:
        """Nothing to undo."""

    def register_device(self, device: VfioDevice) -> None:
        """Nobody is told of unmaps."""

    def unregister_device(self, device: VfioDevice) -> None:
        """Nor is he forgotten."""

    def release(self) -> None:
        """Nothing is left."""


class VfioContainer:
    """struct vfio_container."""

    def __init__(self, containers: VfioContainers) -> None:
        self._containers = containers
        self.kernel = containers.kernel
        self.groups: list[VfioGroup] = []
        self.driver: IommuDriver | None = None
        self.data: IommuData | None = None
        self.noiommu = False

    def _allowed(self, driver: IommuDriver) -> bool:
        """Groups without an IOMMU have their own driver, which no others have
        (vfio_iommu_driver_allowed)."""
        return self.noiommu == isinstance(driver, NoiommuDriver)

    def check_extension(self, caller: Caller, extension: int) -> int:
        """What the chosen driver says, else the first that says yes
        (vfio_container_ioctl_check_extension)."""
        if self.data is not None:
            return self.data.ioctl(caller, u.VFIO_CHECK_EXTENSION, extension)
        for driver in self._containers.drivers:
            if self.groups and not self._allowed(driver):
                continue
            if answer := driver.check_extension(extension):
                return answer
        return 0

    def set_iommu(self, caller: Caller, kind: int) -> int:
        """EINVAL without a group or a second time; ENODEV if no driver has ``kind``, else what the
        last one said (vfio_ioctl_set_iommu)."""
        if not self.groups or self.driver is not None:
            raise Errno(errno.EINVAL)
        problem = Errno(errno.ENODEV)
        for driver in self._containers.drivers:
            if not self._allowed(driver) or driver.check_extension(kind) <= 0:
                continue
            try:
                data = driver.open(caller, kind)
                self._attach_groups(caller, data)
            except Errno as error:
                problem = error
                continue
            self.driver, self.data = driver, data
            self.kernel.modules[driver.module].references += 1
            return 0
        raise problem

    def _attach_groups(self, caller: Caller, data: IommuData) -> None:
        """All or none (__vfio_container_attach_groups)."""
        attached: list[VfioGroup] = []
        try:
            for group in self.groups:
                data.attach_group(caller, group)
                attached.append(group)
        except Errno:
            for group in reversed(attached):
                data.detach_group(group)
            data.release()
            raise

    def attach_group(self, caller: Caller, group: VfioGroup) -> None:
        """EPERM for no-IOMMU without CAP_SYS_RAWIO or beside real groups, then what claiming the
        group's DMA says, then what the driver says (vfio_container_attach_group)."""
        if group.noiommu and not caller.credentials.capable(CAP_SYS_RAWIO):
            raise Errno(errno.EPERM)
        if self.groups and self.noiommu != group.noiommu:
            raise Errno(errno.EPERM)
        iommu_group = group.iommu_group
        assert iommu_group is not None
        if group.physical:
            iommu_group.claim_dma_owner(group)
        if self.data is not None:
            try:
                self.data.attach_group(caller, group)
            except Errno:
                if group.physical:
                    iommu_group.release_dma_owner()
                raise
        group.container = self
        group.container_users = 1
        self.noiommu = group.noiommu
        self.groups.insert(0, group)

    def detach_group(self, group: VfioGroup) -> None:
        """The last group takes the driver with it (vfio_group_detach_container)."""
        iommu_group = group.iommu_group
        assert iommu_group is not None
        if self.data is not None:
            self.data.detach_group(group)
        if group.physical:
            iommu_group.release_dma_owner()
        group.container = None
        group.container_users = 0
        self.groups.remove(group)
        if self.data is not None and not self.groups:
            assert self.driver is not None
            self.data.release()
            self.kernel.modules[self.driver.module].references -= 1
            self.driver = self.data = None


class VfioContainerFile(CommandFile):
    """An open container."""

    __slots__ = ("container",)

    def __init__(self, node: Node, opener: Caller, container: VfioContainer) -> None:
        super().__init__(node, opener)
        self.container = container
        container.kernel.modules["vfio"].references += 1

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """vfio_fops_unl_ioctl: what is unknown is EINVAL until there is a driver to say it."""
        container = self.container
        if command == u.VFIO_GET_API_VERSION:
            return u.VFIO_API_VERSION
        if command == u.VFIO_CHECK_EXTENSION:
            return container.check_extension(caller, argument)
        if command == u.VFIO_SET_IOMMU:
            return container.set_iommu(caller, argument)
        if container.data is None:
            raise Errno(errno.EINVAL)
        return container.data.ioctl(caller, command, argument)

    def release(self) -> None:
        """vfio_fops_release: groups keep the container."""
        self.container.kernel.modules["vfio"].references -= 1


class VfioContainerDevice(Device):
    """The misc device ``vfio``, node /dev/vfio/vfio, for everybody (vfio_dev)."""

    devmode = 0o666

    def __init__(self, kernel: Kernel, containers: VfioContainers) -> None:
        super().__init__(kernel, "vfio", None, None)
        self.device_class = DeviceClass(kernel, "misc")
        self.devt = (MISC_MAJOR, VFIO_MINOR)
        self.open_method = lambda node, caller, flags: VfioContainerFile(
            node, caller, VfioContainer(containers)
        )

    @property
    def devname(self) -> str:
        """struct miscdevice has a name for the node of its own."""
        return "vfio/vfio"


class VfioContainers:
    """What containers of one machine share: the drivers that map memory, the last first."""

    def __init__(self, kernel: Kernel, noiommu: Parameter | None) -> None:
        self.kernel = kernel
        self.drivers: list[IommuDriver] = []
        if noiommu is not None:
            self.register_iommu_driver(NoiommuDriver(noiommu))

    def register_iommu_driver(self, driver: IommuDriver) -> None:
        """vfio_register_iommu_driver."""
        self.drivers.insert(0, driver)

    def add_node(self) -> None:
        """misc_register."""
        device_add(VfioContainerDevice(self.kernel, self))
