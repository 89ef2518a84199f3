# SPDX-License-Identifier: Apache-2.0
"""The module ``iommufd`` (iommufd_init, 6.12): the misc device ``iommu``."""

from __future__ import annotations

from harness.drivers.iommufd import device, eventq, hw_pagetable, ioas, vfio_compat, viommu
from harness.drivers.iommufd.main import Commands, IommuNode
from harness.drivers.iommufd.profile import IommufdSection
from harness.kernel.driver_core import device_add
from harness.kernel.module import BoolParameter, Module, Parameter
from harness.kernel.profile import Profile
from harness.kernel.system import Kernel
from harness.kernel.watched import Watched
from harness.uapi import fd_commands

_PARTS = (ioas, vfio_compat, device, hw_pagetable, eventq, viommu)


def has_iommufd(profile: Profile) -> bool:
    """CONFIG_IOMMUFD."""
    return profile.section("iommufd", IommufdSection).present


def iommufd_init(kernel: Kernel) -> None:
    """Module init."""
    section = kernel.profile.section("iommufd", IommufdSection)
    operations = {
        number: operation
        for part in _PARTS
        for number, operation in part.OPERATIONS.items()
        if number <= section.last_command
    }
    commands = Commands(operations, vfio_compat.iommufd_vfio_ioctl)
    device_add(IommuNode(kernel, section, commands))


def iommufd_parameters() -> tuple[Parameter, ...]:
    """The parameters of a newly loaded iommufd."""
    return (BoolParameter("allow_unsafe_interrupts", False),)


def _watched(profile: Profile) -> Watched:
    return Watched(fd_commands=fd_commands.IOMMUFD, unpollable=True)


MODULES = (
    Module(
        "iommufd",
        iommufd_init,
        parameters=iommufd_parameters,
        in_kernel=has_iommufd,
        watched=_watched,
    ),
)
