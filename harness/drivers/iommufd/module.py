# SPDX-License-Identifier: Apache-2.0
"""The module ``iommufd`` (iommufd_init, 6.12): the misc device ``iommu``."""

from __future__ import annotations

from attrs import frozen

from harness.drivers.iommufd import device, ioas, vfio_compat
from harness.drivers.iommufd.main import Commands, IommuNode
from harness.kernel.driver_core import device_add
from harness.kernel.module import BoolParameter, Module, Parameter
from harness.kernel.profile import Profile
from harness.kernel.system import Kernel


@frozen
class IommufdSection:
    """The profile's section ``iommufd``: whether the kernel has it, and the minor of its node.

    The minor is a dynamic one, so it depends on what else the kernel has. ``mappable``: queues of
    the hardware could be mapped (iommufd_fops_mmap, 6.17).
    """

    present: bool = False
    minor: int = 126
    mappable: bool = False


def has_iommufd(profile: Profile) -> bool:
    """CONFIG_IOMMUFD."""
    return profile.section("iommufd", IommufdSection).present


def iommufd_init(kernel: Kernel) -> None:
    """Module init."""
    section = kernel.profile.section("iommufd", IommufdSection)
    operations = {**ioas.OPERATIONS, **vfio_compat.OPERATIONS, **device.OPERATIONS}
    commands = Commands(operations, vfio_compat.iommufd_vfio_ioctl, section.mappable)
    device_add(IommuNode(kernel, section.minor, commands))


def iommufd_parameters() -> tuple[Parameter, ...]:
    """The parameters of a newly loaded iommufd."""
    return (BoolParameter("allow_unsafe_interrupts", False),)


MODULES = (Module("iommufd", iommufd_init, parameters=iommufd_parameters, in_kernel=has_iommufd),)
