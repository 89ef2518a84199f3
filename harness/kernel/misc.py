# SPDX-License-Identifier: Apache-2.0
"""Devices of the class ``misc``: a node in /dev for a module that needs but one.

Follows drivers/char/misc.c, 6.1.
"""

from __future__ import annotations

from harness.kernel.chardev import OpenMethod
from harness.kernel.driver_core import Device, DeviceClass, device_add, device_del
from harness.kernel.system import Kernel
from harness.kernel.watched import Watched

MISC_MAJOR = 10
#: Minors that are handed out, from the top down (DYNAMIC_MINORS).
_DYNAMIC_MINORS = 128


class MiscDevice(Device):
    """A device below /sys/devices/virtual/misc with its node in /dev (struct miscdevice)."""

    power_managed = False

    def __init__(self, kernel: Kernel, name: str, number: int) -> None:
        super().__init__(kernel, name, None, None)
        self.device_class = DeviceClass(kernel, "misc")
        #: Counted from the top of the dynamic minors down.
        self.number = number


def misc_register(
    kernel: Kernel, name: str, open_method: OpenMethod, mode: int = 0o600, *, maps: bool = False
) -> MiscDevice:
    """Make /dev/NAME with a dynamic minor. EEXIST if there is a device of this name.

    ``open_method(node, opener, flags)`` returns the open file: a subclass of
    :class:`harness.kernel.vfs.OpenFile` whose constructor takes no more will do by itself.
    ``maps`` says that its files have an mmap method, which programs are watched for.
    """
    kernel.watched |= Watched(maps_files=maps, unpollable=True)
    device = MiscDevice(kernel, name, kernel.misc_minors.alloc())
    device.devt = (MISC_MAJOR, _DYNAMIC_MINORS - 1 - device.number)
    device.devmode = mode
    device.open_method = open_method
    try:
        device_add(device)
    except BaseException:
        kernel.misc_minors.free(device.number)
        raise
    return device


def misc_deregister(device: MiscDevice) -> None:
    """Take it away again; open files stay."""
    device_del(device)
    device.kernel.misc_minors.free(device.number)
