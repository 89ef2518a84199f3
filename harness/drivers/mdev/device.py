# SPDX-License-Identifier: Apache-2.0
"""Mediated devices come and go: drivers/vfio/mdev/{mdev_core,mdev_sysfs}.c, 6.1."""

from __future__ import annotations

import errno

from harness.drivers.mdev.driver import MdevBus, MdevDriver, MdevVendorOps, mdev_bus
from harness.drivers.mdev.objects import MdevDevice, MdevParent, MdevType
from harness.kernel.driver_core import device_add, device_del, device_driver_attach
from harness.kernel.errors import Errno
from harness.kernel.kstrtox import kstrtoul
from harness.kernel.sysfs import Attribute, AttributeGroup, sysfs_create_link, sysfs_remove_link
from harness.kernel.task import Caller


def mdev_device_create(type: MdevType, uuid: str) -> None:
    """Make a device and give it to the parent's driver.

    EEXIST while a device with this UUID is anywhere, EUSERS if the core counts and none is left,
    ENODEV if the parent is going, EEXIST if the parent has a child of this name; then what the
    driver says.
    """
    parent = type.parent
    bus = mdev_bus(parent.device.kernel)
    if uuid in bus.mdev_list:
        raise Errno(errno.EEXIST)
    if parent.counted:
        if parent.available_instances == 0:
            raise Errno(errno.EUSERS)
        parent.available_instances -= 1
    mdev = MdevDevice(bus, type, uuid)
    mdev.groups = MDEV_DEVICE_GROUPS
    bus.mdev_list[uuid] = mdev
    try:
        with parent.read_lock():
            _add(parent, mdev)
            mdev.active = True
    except Errno:
        _mdev_device_release(bus, mdev)
        raise


def _add(parent: MdevParent, mdev: MdevDevice) -> None:
    if isinstance(parent.ops, MdevVendorOps):
        parent.ops.create(mdev)
        try:
            device_add(mdev)
        except Errno:
            parent.ops.remove(mdev)
            raise
    else:
        assert isinstance(parent.ops, MdevDriver)
        device_add(mdev)
        try:
            device_driver_attach(parent.ops, mdev)
        except Errno:
            device_del(mdev)
            raise
    mdev_create_sysfs_files(mdev)


def mdev_device_remove(mdev: MdevDevice) -> None:
    """End a device: ENODEV if it is not known or its parent is going, EAGAIN while it is new."""
    bus = mdev_bus(mdev.kernel)
    if bus.mdev_list.get(mdev.name) is not mdev:
        raise Errno(errno.ENODEV)
    if not mdev.active:
        raise Errno(errno.EAGAIN)
    mdev.active = False
    with mdev.type.parent.read_lock():
        mdev_device_remove_common(mdev)


def mdev_device_remove_common(mdev: MdevDevice) -> None:
    """The links go, then the driver lets go, then the device's directory goes."""
    mdev_remove_sysfs_files(mdev)
    device_del(mdev)
    ops = mdev.type.parent.ops
    if isinstance(ops, MdevVendorOps):
        ops.remove(mdev)
    _mdev_device_release(mdev_bus(mdev.kernel), mdev)


def _mdev_device_release(bus: MdevBus, mdev: MdevDevice) -> None:
    """Nobody holds the device any more: its UUID is free again, and its instance."""
    del bus.mdev_list[mdev.name]
    parent = mdev.type.parent
    if parent.counted:
        parent.available_instances += 1


# --- mdev_sysfs.c


def remove_store(mdev: MdevDevice, caller: Caller, data: bytes) -> None:
    """EINVAL for what is no number. 0 does nothing; the file is gone before the device is."""
    try:
        value = kstrtoul(data, 0)
    except Errno:
        raise Errno(errno.EINVAL) from None
    if value:
        mdev.sysfs.remove("remove")  # device_remove_file_self
        mdev_device_remove(mdev)


MDEV_DEVICE_GROUPS = (AttributeGroup((Attribute("remove", 0o200, None, remove_store),)),)


def mdev_create_sysfs_files(mdev: MdevDevice) -> None:
    """The links between a device and its type."""
    sysfs_create_link(mdev.type.devices, mdev.sysfs, mdev.name)
    sysfs_create_link(mdev.sysfs, mdev.type.directory, "mdev_type")


def mdev_remove_sysfs_files(mdev: MdevDevice) -> None:
    """Both links go."""
    sysfs_remove_link(mdev.sysfs, "mdev_type")
    sysfs_remove_link(mdev.type.devices, mdev.name)
