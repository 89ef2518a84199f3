# SPDX-License-Identifier: Apache-2.0
"""The core: devices that drivers hand to programs, and their open files (vfio_main.c, 6.1).

The plan: a driver makes a :class:`VfioDevice` over its device and registers it; that is the device
``vfioX`` of class ``vfio-dev`` below it. Programs get a :class:`VfioDeviceFile` from the device's
group. Unregistering asks the driver to ask for the device back, and waits until all of them are
closed.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from attrs import define, field

from harness.drivers.vfio.device_cdev import (
    vfio_df_ioctl_attach_pt,
    vfio_df_ioctl_bind_iommufd,
    vfio_df_ioctl_detach_pt,
)
from harness.drivers.vfio.feature import vfio_ioctl_device_feature
from harness.drivers.vfio.iommufd import (
    vfio_iommufd_attach,
    vfio_iommufd_bind,
    vfio_iommufd_unbind,
)
from harness.kernel.driver_core import Device, DeviceClass, device_add, device_del
from harness.kernel.errors import Errno
from harness.kernel.ida import Ida
from harness.kernel.task import Caller
from harness.kernel.vfs import Node, NoSeekFile, OpenFile, Pages
from harness.kernel.wait import WaitQueue
from harness.uapi import vfio as u

if TYPE_CHECKING:
    from harness.drivers.iommufd.main import BoundDevice, IommufdFile
    from harness.drivers.vfio.container import VfioContainers
    from harness.drivers.vfio.group import VfioGroup, VfioGroups
    from harness.drivers.vfio.profile import VfioSection
    from harness.kernel.chardev import CharDevice
    from harness.kernel.iommu import IommuDomain
    from harness.kernel.module import Parameter
    from harness.kernel.system import Kernel

#: How long unregistering waits before it asks for the device again, in seconds.
REQUEST_INTERVAL = 10


@define(eq=False)
class Vfio:
    """What the module ``vfio`` keeps for one machine."""

    kernel: Kernel
    section: VfioSection
    #: The parameter that allows devices without an IOMMU; None if the kernel has no such mode.
    noiommu: Parameter | None
    groups: VfioGroups
    containers: VfioContainers
    device_class: DeviceClass
    #: Of the nodes of devices; 0 where they have none.
    device_major: int = 0
    device_ida: Ida = field(factory=Ida)
    #: How many devices have an inode of vfio_fs_type, which is mounted for the first of them.
    fs_count: int = 0
    device_sets: dict[object, VfioDeviceSet] = field(factory=dict)

    def hold_module(self, change: int) -> None:
        """One reference to the module more, or that many."""
        self.kernel.modules["vfio"].references += change

    def fs_inode_new(self) -> None:
        """Mount vfio_fs_type for the first device (vfio_fs_inode_new)."""
        self.fs_count += 1
        if self.fs_count == 1 and self.section.device_inodes:
            self.hold_module(1)

    def release_fs(self) -> None:
        """Unmount it after the last (simple_release_fs)."""
        self.fs_count -= 1
        if not self.fs_count and self.section.device_inodes:
            self.hold_module(-1)


def vfio(kernel: Kernel) -> Vfio:
    """The module's data; it is loaded."""
    data = kernel.modules["vfio"].data
    assert isinstance(data, Vfio)
    return data


@define(eq=False)
class VfioDeviceSet:
    """Devices that are reset together (struct vfio_device_set)."""

    set_id: object
    devices: list[VfioDevice] = field(factory=list)

    @property
    def open_count(self) -> int:
        """Of all its devices (vfio_device_set_open_count)."""
        return sum(device.open_count for device in self.devices)


class VfioClassDevice(Device):
    """The device ``vfioX`` of class ``vfio-dev`` (struct vfio_device.device)."""

    def __init__(self, device: VfioDevice) -> None:
        super().__init__(device.kernel, f"vfio{device.index}", None, device.dev)
        core = vfio(device.kernel)
        self.device_class = core.device_class
        self.vfio_device = device
        if core.section.device_cdev:
            self.devt = (core.device_major, device.index)
            self.open_method = self.vfio_device_fops_cdev_open

    @property
    def devname(self) -> str:
        """vfio_device_devnode."""
        return f"vfio/devices/{self.name}"

    def vfio_device_fops_cdev_open(
        self, node: CharDevice, caller: Caller, flags: int
    ) -> VfioDeviceFile:
        """ENODEV while it is being unregistered; as often as wanted otherwise."""
        device = self.vfio_device
        if not device.references:
            raise Errno(errno.ENODEV)
        device.references += 1
        return VfioDeviceFile(node, caller, device, by_group=False)


class VfioDevice:
    """A device that a driver hands to programs (struct vfio_device, struct vfio_device_ops).

    Drivers subclass it. A method that a driver leaves alone answers as the core does for a missing
    operation. ``caller`` is who makes the call; ``argument`` is the address that he gave.
    """

    #: What the driver's migration can do (VFIO_MIGRATION_*); 0 if it has none.
    migration_flags = 0
    #: Whether it can log which memory it writes to (log_ops).
    logs_dma = False
    #: Whether it has the operation match_token_uuid.
    matches_tokens = False

    def __init__(self, dev: Device) -> None:
        """``dev`` is the driver's device; its directory is there (vfio_alloc_device)."""
        self.dev = dev
        self.kernel = dev.kernel
        self.core = vfio(self.kernel)
        self.index = self.core.device_ida.alloc()
        self.device = VfioClassDevice(self)
        self.device_set: VfioDeviceSet | None = None
        self._group: VfioGroup | None = None
        #: Open files, and one for the registration; 0 once it is being unregistered and closed.
        self.references = 0
        #: How many of the open files are in use (have had open_device called for them).
        self.open_count = 0
        self.closed = WaitQueue()
        #: Whether a program wants flags with what is left to copy in advance.
        self.precopy_info_v2 = False
        #: The iommufd that it is bound to, and its object there.
        self.iommufd: IommufdFile | None = None
        self.bound: BoundDevice | None = None
        #: How it is attached there: without a PASID, and by which ones.
        self.iommufd_attached = False
        self.pasids: set[int] = set()

    @property
    def cdev_opened(self) -> bool:
        """Whether it is open by its own node (vfio_device_cdev_opened)."""
        return self.bound is not None and self.group.cdev_device_open_count > 0

    @property
    def name(self) -> str:
        """The name of the driver's device, by which programs ask for it."""
        return self.dev.name

    @property
    def group(self) -> VfioGroup:
        """The group that it is registered in."""
        assert self._group is not None
        return self._group

    @group.setter
    def group(self, group: VfioGroup | None) -> None:
        self._group = group

    @property
    def domain(self) -> IommuDomain | None:
        """Where its DMA goes: what its programs mapped, or None while nobody has it open.

        A PCI function's own DMA goes to ``dev.iommu_group.domain``, which is the same thing as
        long as the group has a container or the device is attached.
        """
        if self.bound is not None:
            ioas = self.bound.ioas if self.bound.hwpt is None else self.bound.hwpt.ioas
            return ioas.table if ioas is not None else None
        return self.group.domain

    def module_references(self, change: int) -> None:
        """Hold or let go the driver's module (try_module_get)."""
        driver = self.dev.driver
        if driver is not None and driver.module is not None:
            self.kernel.modules[driver.module].references += change

    def put_registration(self) -> None:
        """One file less, or the registration is over (vfio_device_put_registration)."""
        self.references -= 1
        if not self.references:
            self.closed.wake()

    # --- operations

    def open_device(self) -> None:
        """The first file is opened."""

    def close_device(self) -> None:
        """The last file is closed."""

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """Any command but DEVICE_FEATURE. No method: EINVAL."""
        raise Errno(errno.EINVAL)

    def device_feature(self, caller: Caller, flags: int, argument: int, argsz: int) -> int:
        """A feature that is not the core's: ``argument`` is the address of its ``argsz`` bytes.

        No method: ENOTTY.
        """
        raise Errno(errno.ENOTTY)

    def read(self, caller: Caller, offset: int, count: int) -> bytes:
        """No method: EINVAL."""
        raise Errno(errno.EINVAL)

    def write(self, caller: Caller, offset: int, data: bytes) -> int:
        """No method: EINVAL."""
        raise Errno(errno.EINVAL)

    def mmap(self, caller: Caller, offset: int, length: int, prot: int, flags: int) -> Pages:
        """No method: EINVAL."""
        raise Errno(errno.EINVAL)

    def request(self, count: int) -> None:
        """The host wants the device back; ``count`` is how often it said so before."""

    def match(self, caller: Caller, name: str) -> bool:
        """Whether a program that gave ``name`` means this device; may raise Errno.

        No method: the name of the driver's device, exactly.
        """
        return name == self.name

    def match_token_uuid(self, uuid: bytes | None) -> None:
        """A program that binds the device to an iommufd gave this token, or none; may raise."""

    def dma_unmap(self, iova: int, length: int) -> None:
        """A program unmapped this range; the driver lets go of what it pinned there."""

    def pm_runtime_get(self) -> None:
        """Wake the device up before a command, a read or a write; EIO if it does not."""

    def pm_runtime_put(self) -> None:
        """The command is over."""

    def migration_set_state(self, caller: Caller, state: int) -> OpenFile | None:
        """Go to ``state`` (VFIO_DEVICE_STATE_*); a file for data if there are any to come."""
        raise Errno(errno.ENOTTY)

    def migration_get_state(self) -> int:
        """The state it is in (VFIO_DEVICE_STATE_*)."""
        raise Errno(errno.ENOTTY)

    def migration_get_data_size(self) -> int:
        """How many bytes stopping and copying will give."""
        raise Errno(errno.ENOTTY)


# --- registration


def vfio_put_device(device: VfioDevice) -> None:
    """The driver needs it no more: after unregistering it, or if that failed (vfio_put_device)."""
    module = vfio(device.kernel)
    if device.device_set is not None:
        device.device_set.devices.remove(device)
        if not device.device_set.devices:
            del module.device_sets[device.device_set.set_id]
    module.device_ida.free(device.index)


def vfio_assign_device_set(device: VfioDevice, set_id: object) -> None:
    """Say which devices are reset together with this one."""
    sets = vfio(device.kernel).device_sets
    device.device_set = sets.setdefault(set_id, VfioDeviceSet(set_id))
    device.device_set.devices.append(device)


def vfio_register_group_dev(device: VfioDevice) -> None:
    """Hand a device to programs. EINVAL if it has no IOMMU group and there is no no-IOMMU mode."""
    _vfio_register_dev(device, emulated=False)


def vfio_register_emulated_iommu_dev(device: VfioDevice) -> None:
    """Hand a device to programs that does no DMA of its own; it gets a group of its own."""
    _vfio_register_dev(device, emulated=True)


def _vfio_register_dev(device: VfioDevice, *, emulated: bool) -> None:
    if device.device_set is None:
        vfio_assign_device_set(device, device)
    core = vfio(device.kernel)
    device.group = core.groups.set_group(device.dev, emulated=emulated)
    core.fs_inode_new()
    device_add(device.device)
    device.references = 1
    device.group.register(device)


def vfio_unregister_group_dev(device: VfioDevice) -> None:
    """Take a device back: asks its driver to ask for it until all its files are closed.

    A signal does not end the wait; from then on nothing interrupts it.
    """
    section = vfio(device.kernel).section
    if section.hidden_before_wait:
        _hide(device)
    device.put_registration()
    scheduler = device.kernel.scheduler
    count = 0
    interruptible = True
    while device.references:
        device.request(count)
        count += 1
        try:
            scheduler.wait_for_current(
                device.closed,
                lambda: not device.references,
                REQUEST_INTERVAL,
                interruptible=interruptible,
            )
        except Errno:
            interruptible = False
    if not section.hidden_before_wait:
        _hide(device)
    vfio(device.kernel).release_fs()
    vfio(device.kernel).groups.remove_group(device)


def _hide(device: VfioDevice) -> None:
    """Nobody can open the device any more; its device of the class goes."""
    device.group.unregister(device)
    device_del(device.device)


# --- open files


class VfioDeviceFile(NoSeekFile):
    """An open device (struct vfio_device_file). ``by_group`` unless its own node was opened."""

    __slots__ = ("_module_references", "access_granted", "by_group", "device")

    def __init__(
        self, node: Node, opener: Caller, device: VfioDevice, *, by_group: bool = True
    ) -> None:
        super().__init__(node, opener)
        self.device = device
        self.by_group = by_group
        #: Whether the device is open by it.
        self.access_granted = False
        # Of a node, the node is held, too (chrdev_open, anon_inode_getfile).
        self._module_references = 1 if by_group else 2
        device.core.hold_module(self._module_references)

    def open(self, caller: Caller) -> None:
        """Open the device, which the first file does in earnest (vfio_df_group_open)."""
        device = self.device
        if not device.group.has_iommu:
            raise Errno(errno.EINVAL)
        if not device.open_count:
            self._first_open(device.group.iommufd, caller)
        elif not device.core.section.iommu_first_open:
            device.group.check_iommu(caller)
        device.open_count += 1
        self.access_granted = True

    def bind(self, file: IommufdFile) -> int:
        """Open the device on an iommufd: EINVAL if another file has it; its number there."""
        device = self.device
        if device.open_count:
            raise Errno(errno.EINVAL)
        self._first_open(file, None)
        device.open_count = 1
        device.group.cdev_device_open_count += 1
        self.access_granted = True
        assert device.bound is not None
        return device.bound.id

    def _first_open(self, file: IommufdFile | None, caller: Caller | None) -> None:
        """vfio_df_device_first_open; ``caller`` is None unless it goes by the group."""
        device = self.device
        group = device.group
        if caller is not None:
            group.use_iommu(caller)
        try:
            if file is not None:
                vfio_iommufd_bind(device, file)
            try:
                device.open_device()
                if file is not None and caller is not None:
                    vfio_iommufd_attach(device, group.compat_ioas_id)
            except Errno:
                if file is not None:
                    vfio_iommufd_unbind(device)
                raise
        except Errno:
            if caller is not None:
                group.unuse_iommu()
            raise
        device.module_references(1)
        if group.container is not None and group.container.data is not None:
            group.container.data.register_device(device)

    def _last_close(self) -> None:
        """vfio_df_device_last_close."""
        device = self.device
        group = device.group
        if group.container is not None and group.container.data is not None:
            group.container.data.unregister_device(device)
        device.close_device()
        if device.bound is not None:
            vfio_iommufd_unbind(device)
        if self.by_group:
            group.unuse_iommu()
        device.precopy_info_v2 = False
        device.module_references(-1)

    def ioctl(self, caller: Caller, command: int, argument: int) -> int:
        """vfio_device_fops_unl_ioctl."""
        device = self.device
        if command == u.VFIO_DEVICE_BIND_IOMMUFD and device.core.section.device_cdev:
            return vfio_df_ioctl_bind_iommufd(self, caller, argument)
        if not self.access_granted:
            raise Errno(errno.EINVAL)
        device.pm_runtime_get()
        try:
            if not self.by_group and command == u.VFIO_DEVICE_ATTACH_IOMMUFD_PT:
                return vfio_df_ioctl_attach_pt(self, caller, argument)
            if not self.by_group and command == u.VFIO_DEVICE_DETACH_IOMMUFD_PT:
                return vfio_df_ioctl_detach_pt(self, caller, argument)
            if command == u.VFIO_DEVICE_FEATURE:
                return vfio_ioctl_device_feature(device, caller, argument)
            return device.ioctl(caller, command, argument)
        finally:
            device.pm_runtime_put()

    def read(self, caller: Caller, offset: int, count: int) -> bytes:
        """vfio_device_fops_read."""
        if not self.access_granted:
            raise Errno(errno.EINVAL)
        return self.device.read(caller, offset, count)

    def write(self, caller: Caller, offset: int, data: bytes) -> int:
        """vfio_device_fops_write."""
        if not self.access_granted:
            raise Errno(errno.EINVAL)
        return self.device.write(caller, offset, data)

    def mmap(self, caller: Caller, offset: int, length: int, prot: int, flags: int) -> Pages:
        """vfio_device_fops_mmap."""
        if not self.access_granted:
            raise Errno(errno.EINVAL)
        return self.device.mmap(caller, offset, length, prot, flags)

    def close(self) -> None:
        """The device is no longer open by it (vfio_df_group_close, vfio_df_unbind_iommufd)."""
        device = self.device
        if not self.access_granted:
            return
        if device.open_count == 1:
            self._last_close()
        device.open_count -= 1
        self.access_granted = False
        if not self.by_group:
            device.group.cdev_device_open_count -= 1

    def release(self) -> None:
        """vfio_device_fops_release."""
        self.close()
        self.device.core.hold_module(-self._module_references)
        self.device.put_registration()
