# SPDX-License-Identifier: Apache-2.0
"""The modules ``vfio`` and ``vfio_iommu_type1`` (vfio_init, vfio_iommu_type1_init, 6.1).

The plan: vfio brings the class ``vfio`` with the character device major of groups, the misc device
``vfio``, and the class ``vfio-dev``; it has the parameter enable_unsafe_noiommu_mode.
vfio_iommu_type1 brings the driver that maps memory, with three parameters.
"""

from __future__ import annotations

from harness.drivers.iommufd.module import has_iommufd
from harness.drivers.vfio.container import VfioContainers
from harness.drivers.vfio.group import VfioGroups
from harness.drivers.vfio.profile import VfioSection
from harness.drivers.vfio.type1 import Type1Driver
from harness.drivers.vfio.vfio_main import Vfio, vfio
from harness.kernel.driver_core import DeviceClass
from harness.kernel.module import BoolParameter, Module, Parameter, UintParameter
from harness.kernel.profile import Profile
from harness.kernel.system import Kernel
from harness.kernel.watched import Watched
from harness.uapi import fd_commands

_NOIOMMU = "enable_unsafe_noiommu_mode"


def vfio_init(kernel: Kernel) -> None:
    """Module init of vfio."""
    module = kernel.modules["vfio"]
    section = kernel.profile.section("vfio", VfioSection)
    noiommu = module.parameters.get(_NOIOMMU)
    module.data = Vfio(
        kernel=kernel,
        section=section,
        noiommu=noiommu,
        groups=VfioGroups(kernel),
        containers=VfioContainers(kernel, noiommu),
        device_class=DeviceClass(kernel, "vfio-dev").register(),
    )
    if module.data.section.device_cdev:  # vfio_cdev_init
        module.data.device_major = kernel.devices.alloc_chrdev_region("vfio-dev")
    module.data.containers.add_node()


def vfio_iommu_type1_init(kernel: Kernel) -> None:
    """Module init of vfio_iommu_type1."""
    core = vfio(kernel)
    parameters = kernel.modules["vfio_iommu_type1"].parameters
    limit, unsafe = parameters["dma_entry_limit"], parameters["allow_unsafe_interrupts"]
    assert isinstance(limit, UintParameter)
    assert isinstance(unsafe, BoolParameter)
    core.containers.register_iommu_driver(Type1Driver(core.section, limit, unsafe))


def vfio_parameters() -> tuple[Parameter, ...]:
    """The parameters of a newly loaded vfio."""
    return (BoolParameter(_NOIOMMU, False),)


def _has_parameter(profile: Profile, name: str) -> bool:
    return profile.section("vfio", VfioSection).noiommu


def _watched(profile: Profile) -> Watched:
    return Watched(
        fd_commands=fd_commands.VFIO_GROUP | fd_commands.VFIO_DEVICE,
        maps_files=True,
        unpollable=True,
        # QEMU and libvirt take a node for the device's only if its number is.
        known_by_number=profile.section("vfio", VfioSection).device_cdev,
    )


def vfio_iommu_type1_parameters() -> tuple[Parameter, ...]:
    """The parameters of a newly loaded vfio_iommu_type1."""
    return (
        BoolParameter("allow_unsafe_interrupts", False),
        BoolParameter("disable_hugepages", False),
        UintParameter("dma_entry_limit", 65535),
    )


MODULES = (
    Module(
        "vfio",
        vfio_init,
        depends=lambda profile: ("iommufd",) if has_iommufd(profile) else (),
        parameters=vfio_parameters,
        has_parameter=_has_parameter,
        watched=_watched,
    ),
    Module(
        "vfio_iommu_type1",
        vfio_iommu_type1_init,
        depends=("vfio",),
        parameters=vfio_iommu_type1_parameters,
    ),
)
