# SPDX-License-Identifier: Apache-2.0
"""What the mdev core of one kernel has of its own: the profile's section ``mdev``."""

from __future__ import annotations

from attrs import frozen


@frozen
class MdevSection:
    """The section ``mdev``. All is off in 6.1 and later.

    * ``vendor_create``: the parent's own create runs before the device is added, which the one
      driver ``vfio_mdev`` then takes as any device of the bus (mdev_device_create, 5.8);
    * ``bus_group``: a device's IOMMU group is the bus's business, and has no name (mdev_probe,
      5.8 to 5.15);
    * ``class_by_parent``: the class ``mdev_bus`` comes with the first parent, not with the module
      (mdev_register_device, 5.8; mdev_register_parent up to 6.4).
    """

    vendor_create: bool = False
    bus_group: bool = False
    class_by_parent: bool = False
