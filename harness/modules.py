# SPDX-License-Identifier: Apache-2.0
"""What the author of a module imports: everything here is stable, and nothing else needs to be.

A module is a Python file with ``MODULE = Module(name, init)``; ``init(kernel)`` makes what the
module brings. docs/writing-modules.md explains it, with examples.
"""

from harness.kernel.configfs import (
    ConfigBinaryAttribute,
    ConfigGroup,
    ConfigItem,
    ItemType,
    configfs_depend_item,
    configfs_register_subsystem,
    configfs_undepend_item,
    configfs_unregister_subsystem,
)
from harness.kernel.driver_core import (
    Bus,
    Device,
    DeviceClass,
    DeviceDriver,
    bus_register,
    device_add,
    device_del,
    driver_register,
)
from harness.kernel.errors import Errno
from harness.kernel.kernfs import KernfsDirectory, TextFile
from harness.kernel.kstrtox import kstrtobool, kstrtoll, kstrtoull
from harness.kernel.misc import MiscDevice, misc_deregister, misc_register
from harness.kernel.module import BoolParameter, Module
from harness.kernel.sysfs import (
    Attribute,
    AttributeGroup,
    BinaryAttribute,
    sysfs_create_file,
    sysfs_create_group,
    sysfs_create_link,
)
from harness.kernel.system import Kernel
from harness.kernel.task import Caller
from harness.kernel.vfs import Node, OpenFile, Pages, PollTable
from harness.kernel.wait import WaitQueue
from harness.uapi.fs import PAGE_SIZE, POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI

__all__ = [
    "PAGE_SIZE",
    "POLLERR",
    "POLLHUP",
    "POLLIN",
    "POLLOUT",
    "POLLPRI",
    "Attribute",
    "AttributeGroup",
    "BinaryAttribute",
    "BoolParameter",
    "Bus",
    "Caller",
    "ConfigBinaryAttribute",
    "ConfigGroup",
    "ConfigItem",
    "Device",
    "DeviceClass",
    "DeviceDriver",
    "Errno",
    "ItemType",
    "Kernel",
    "KernfsDirectory",
    "MiscDevice",
    "Module",
    "Node",
    "OpenFile",
    "Pages",
    "PollTable",
    "TextFile",
    "WaitQueue",
    "bus_register",
    "configfs_depend_item",
    "configfs_register_subsystem",
    "configfs_undepend_item",
    "configfs_unregister_subsystem",
    "device_add",
    "device_del",
    "driver_register",
    "kstrtobool",
    "kstrtoll",
    "kstrtoull",
    "misc_deregister",
    "misc_register",
    "sysfs_create_file",
    "sysfs_create_group",
    "sysfs_create_link",
]
