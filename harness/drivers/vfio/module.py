# SPDX-License-Identifier: Apache-2.0
"""The modules ``vfio`` and ``vfio_iommu_type1`` (vfio_init, vfio_iommu_type1_init, 6.1).

The plan: vfio brings the class ``vfio`` with the character device major of groups, the misc device
``vfio``, and the class ``vfio-dev``; it has the parameter enable_unsafe_noiommu_mode.
vfio_iommu_type1 brings the driver that maps memory, with three parameters.
"""

from __future__ import annotations

from harness.drivers.vfio.container import VfioContainers
from harness.drivers.vfio.group import VfioGroups
from harness.drivers.vfio.profile import VfioSection
from harness.drivers.vfio.type1 import Type1Driver
from harness.drivers.vfio.vfio_main import Vfio, vfio
from harness.kernel.driver_core import DeviceClass
from harness.kernel.module import BoolParameter, Module, Parameter, UintParameter
from harness.kernel.system import Kernel
from harness.uapi import fd_commands


def vfio_init(kernel: Kernel) -> None:
    """Module init of vfio."""
    module = kernel.modules["vfio"]
    noiommu = module.parameters["enable_unsafe_noiommu_mode"]
    assert isinstance(noiommu, BoolParameter)
    module.data = Vfio(
        kernel=kernel,
        section=kernel.profile.section("vfio", VfioSection),
        noiommu=noiommu,
        groups=VfioGroups(kernel),
        containers=VfioContainers(kernel, noiommu),
        device_class=DeviceClass(kernel, "vfio-dev"),
    )
    module.data.containers.add_node()
    kernel.fd_commands |= fd_commands.VFIO_GROUP | fd_commands.VFIO_DEVICE
    kernel.maps_files = True


def vfio_iommu_type1_init(kernel: Kernel) -> None:
    """Module init of vfio_iommu_type1."""
    core = vfio(kernel)
    limit = kernel.modules["vfio_iommu_type1"].parameters["dma_entry_limit"]
    assert isinstance(limit, UintParameter)
    core.containers.register_iommu_driver(Type1Driver(core.section, limit))


def vfio_parameters() -> tuple[Parameter, ...]:
    """The parameters of a newly loaded vfio."""
    return (BoolParameter("enable_unsafe_noiommu_mode", False),)


def vfio_iommu_type1_parameters() -> tuple[Parameter, ...]:
    """The parameters of a newly loaded vfio_iommu_type1."""
    return (
        BoolParameter("allow_unsafe_interrupts", False),
        BoolParameter("disable_hugepages", False),
        UintParameter("dma_entry_limit", 65535),
    )


MODULES = (
    Module("vfio", vfio_init, parameters=vfio_parameters),
    Module(
        "vfio_iommu_type1",
        vfio_iommu_type1_init,
        depends=("vfio",),
        parameters=vfio_iommu_type1_parameters,
    ),
)
