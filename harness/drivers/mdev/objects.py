# SPDX-License-Identifier: Apache-2.0
"""What there is of mediated devices: parents, their types, the devices (include/linux/mdev.h, 6.1).

The plan: a driver of hardware registers its device as a *parent*, with *types*. Writing a UUID to
a type's file ``create`` makes a device of this type below the parent; the parent's *mdev driver*
takes it at once. Writing 1 to the device's file ``remove`` ends it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import define, field

from harness.kernel.driver_core import Device
from harness.kernel.errors import Errno
from harness.kernel.kernfs import KernfsDirectory
from harness.kernel.wait import WaitQueue

if TYPE_CHECKING:
    from harness.drivers.mdev.driver import MdevBus, MdevParentOps


@define(eq=False)
class MdevType:
    """A kind of devices that a parent can make (struct mdev_type).

    ``sysfs_name`` is the name of its directory without the driver's in front; ``pretty_name`` is
    what the file ``name`` shows, if not that.
    """

    sysfs_name: str
    pretty_name: str | None = None
    parent: MdevParent = field(init=False)
    directory: KernfsDirectory = field(init=False)

    @property
    def devices(self) -> KernfsDirectory:
        """The directory of links to the devices of this type."""
        return self.directory.directory("devices")


@define(eq=False)
class MdevParent:
    """A device that mediated devices are made of (struct mdev_parent)."""

    device: Device
    ops: MdevParentOps
    types: tuple[MdevType, ...]
    #: What the core counts, for drivers that do not count for themselves.
    available_instances: int
    #: Whether it is about to go, and how many creates and removes have yet to end (unreg_sem).
    unregistering: bool = False
    readers: int = 0
    idle: WaitQueue = field(factory=WaitQueue)

    @contextmanager
    def read_lock(self) -> Iterator[None]:
        """While a device comes or goes; ENODEV if the parent is about to go."""
        if self.unregistering:
            raise Errno(errno.ENODEV)
        self.readers += 1
        try:
            yield
        finally:
            self.readers -= 1
            self.idle.wake()

    @property
    def counted(self) -> bool:
        """Whether the core counts, because the driver does not."""
        return not self.ops.counts


class MdevDevice(Device):
    """A mediated device (struct mdev_device)."""

    def __init__(self, bus: MdevBus, type: MdevType, uuid: str) -> None:
        super().__init__(bus.kernel, uuid, bus, type.parent.device)
        self.type = type
        #: Whether it was made whole, and is not being removed.
        self.active = False
