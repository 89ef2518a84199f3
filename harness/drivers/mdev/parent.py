# SPDX-License-Identifier: Apache-2.0
"""Parents and the types that they offer: drivers/vfio/mdev/{mdev_core,mdev_sysfs}.c, 6.1."""

from __future__ import annotations

from harness.drivers.mdev.device import mdev_device_create, mdev_device_remove_common
from harness.drivers.mdev.driver import MdevParentOps, mdev_bus
from harness.drivers.mdev.objects import MdevDevice, MdevParent, MdevType
from harness.kernel.driver_core import Device, dev_driver_string
from harness.kernel.kernfs import KernfsDirectory
from harness.kernel.sysfs import (
    Attribute,
    AttributeGroup,
    sysfs_create_group,
    sysfs_create_link,
    sysfs_remove_link,
)
from harness.kernel.system import Kernel
from harness.kernel.task import Caller
from harness.kernel.uuid import stored_uuid

_TYPES = "mdev_supported_types"
#: In seconds; then the wait begins anew (down_write has no limit).
_PATIENCE = 10.0


def mdev_bus_class(kernel: Kernel) -> KernfsDirectory:
    """/sys/class/mdev_bus, made by the first to ask (class_compat_register)."""
    return kernel.sysfs.directory("class").directory("mdev_bus")


def mdev_register_parent(
    device: Device, ops: MdevParentOps, types: tuple[MdevType, ...]
) -> MdevParent:
    """From now on, devices of these types can be made below ``device``.

    ``ops`` is the driver of the devices, or the parent's own operations where it makes its devices
    itself (mdev_register_device, 5.8).
    """
    parent = MdevParent(device, ops, types, ops.max_instances)
    parent_create_sysfs_files(parent)
    sysfs_create_link(mdev_bus_class(device.kernel), device.sysfs, device.name)
    device.uevent("change", MDEV_STATE="registered")
    return parent


def mdev_unregister_parent(parent: MdevParent) -> None:
    """No device can be made any more, and those that were made go.

    It waits for removes that have begun, and until nobody has a device open.
    """
    device = parent.device
    parent.unregistering = True
    while parent.readers:
        device.kernel.scheduler.wait_for_current(
            parent.idle, lambda: not parent.readers, _PATIENCE, interruptible=False
        )
    sysfs_remove_link(mdev_bus_class(device.kernel), device.name)
    for mdev in list(mdev_bus(device.kernel).devices.values()):
        if isinstance(mdev, MdevDevice) and mdev.type.parent is parent:
            mdev_device_remove_common(mdev)
    device.sysfs.remove(_TYPES)  # parent_remove_sysfs_files
    device.uevent("change", MDEV_STATE="unregistered")


# --- mdev_sysfs.c


def parent_create_sysfs_files(parent: MdevParent) -> None:
    """A directory for each type, named after the driver of the parent and the type."""
    types = parent.device.sysfs.directory(_TYPES)
    for type in parent.types:
        type.parent = parent
        name = f"{dev_driver_string(parent.device)}-{type.sysfs_name}"
        type.directory = types.directory(name)
        sysfs_create_group(type.directory, type, _TYPE_GROUP)
        type.directory.directory("devices")


def create_store(type: MdevType, caller: Caller, data: bytes) -> None:
    """EINVAL for anything but a UUID and perhaps one more byte; then mdev_device_create's."""
    mdev_device_create(type, stored_uuid(data))


def device_api_show(type: MdevType, caller: Caller) -> str:
    return f"{type.parent.ops.device_api}\n"


def name_show(type: MdevType, caller: Caller) -> str:
    return f"{type.pretty_name or type.sysfs_name}\n"


def available_instances_show(type: MdevType, caller: Caller) -> str:
    return f"{type.parent.ops.get_available(type)}\n"


def description_show(type: MdevType, caller: Caller) -> str:
    return f"{type.parent.ops.show_description(type)}\n"


_DESCRIPTION = Attribute("description", 0o444, description_show)


def mdev_types_core_is_visible(type: MdevType, attribute: object) -> int:
    """There is no ``description`` where the driver has none."""
    assert isinstance(attribute, Attribute)
    if attribute is _DESCRIPTION and type.parent.ops.show_description(type) is None:
        return 0
    return attribute.mode


_TYPE_GROUP = AttributeGroup(
    (
        Attribute("create", 0o200, None, create_store),
        Attribute("device_api", 0o444, device_api_show),
        Attribute("name", 0o444, name_show),
        Attribute("available_instances", 0o444, available_instances_show),
        _DESCRIPTION,
    ),
    is_visible=mdev_types_core_is_visible,
)
