# SPDX-License-Identifier: Apache-2.0
"""A VFIO group: drivers/vfio/group.c, Linux 6.12."""

from __future__ import annotations

import errno

from harness.kernel.errors import Errno
from harness.uapi import vfio as u
from harness.vm.vfio_container import Container
from harness.vm.vfio_device import VfioDevice
from harness.vm.vfio_file import Caller, VfioFile, copy_in, copy_out, copy_string, unknown


class Group(VfioFile):
    """An IOMMU group with one device; its file, which can be open but once."""

    def __init__(self, number: int, device: VfioDevice) -> None:
        self.number = number
        self.path = f"/dev/vfio/{number}"
        self.device = device
        device.on_last_close = self._leave_if_unused
        self.container: Container | None = None
        self.is_open = False

    def open(self) -> None:
        """vfio_group_fops_open: EBUSY while it or its device is open."""
        if self.is_open or self.device.opened:
            raise Errno(errno.EBUSY)
        self.is_open = True

    def release(self) -> None:
        """Closed; an open device keeps it as it is."""
        self.is_open = False
        self._leave_if_unused()

    def _leave_if_unused(self) -> None:
        """Leave the container once neither the group nor the device is open."""
        if not self.is_open and not self.device.opened:
            self._detach()

    def _detach(self) -> None:
        if self.container is not None:
            self.container.detach()
            self.container = None

    def ioctl(self, caller: Caller, command: int, argument: int) -> int | VfioFile:
        """See VfioFile; vfio_group_fops_unl_ioctl."""
        match command:
            case u.VFIO_GROUP_GET_STATUS:
                status = copy_in(caller, argument, u.GroupStatus)
                status.flags = u.VFIO_GROUP_FLAGS_VIABLE
                if self.container is not None:
                    status.flags |= u.VFIO_GROUP_FLAGS_CONTAINER_SET
                copy_out(caller, argument, status)
            case u.VFIO_GROUP_SET_CONTAINER:
                self._set_container(caller, argument)
            case u.VFIO_GROUP_UNSET_CONTAINER:
                if self.container is None:
                    raise Errno(errno.EINVAL)
                if self.device.opened:
                    raise Errno(errno.EBUSY)
                self._detach()
            case u.VFIO_GROUP_GET_DEVICE_FD:
                return self._device(copy_string(caller, argument))
            case _:
                raise unknown("group", command)
        return 0

    def _set_container(self, caller: Caller, argument: int) -> None:
        number = int.from_bytes(caller.memory.read(argument, 4), "little", signed=True)
        container = caller.file(number)
        if self.container is not None or not isinstance(container, Container):
            raise Errno(errno.EINVAL)
        container.attach()
        self.container = container

    def _device(self, name: str) -> VfioFile:
        if name != self.device.name:
            raise Errno(errno.ENODEV)
        if self.container is None or self.container.iommu is None:
            raise Errno(errno.EINVAL)
        self.device.open(self.container.mappings)
        return self.device
