# SPDX-License-Identifier: Apache-2.0
"""Displays that are not there: samples/vfio-mdev/mdpy.c, 6.1."""

from __future__ import annotations

from attrs import define

from harness.drivers.mdev import MdevDevice, MdevType
from harness.drivers.samples.mdpy_device import MdpyDevice
from harness.drivers.samples.parent import (
    SampleDriver,
    sample_init,
    sample_module,
    vendor_group,
)
from harness.drivers.vfio.vfio_main import VfioDevice
from harness.kernel.module import Parameter, UintParameter
from harness.kernel.sysfs import Attribute
from harness.kernel.system import Kernel
from harness.kernel.task import Caller


@define(eq=False)
class MdpyType(MdevType):
    """A type by the size of its display in pixels (struct mdpy_type)."""

    width: int = 0
    height: int = 0

    @property
    def resolution(self) -> str:
        """As text."""
        return f"{self.width}x{self.height}"


def resolution_show(device: MdevDevice, caller: Caller) -> str:
    assert isinstance(device.type, MdpyType)
    return f"{device.type.resolution}\n"


class MdpyDriver(SampleDriver):
    """The core counts the devices."""

    name = "mdpy"
    dev_groups = vendor_group(Attribute("resolution", 0o444, resolution_show))

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.max_instances = kernel.modules["mdpy"].parameters["count"].value
        self.types = (
            MdpyType("vga", "mdpy-vga", width=640, height=480),
            MdpyType("xga", "mdpy-xga", width=1024, height=768),
            MdpyType("hd", "mdpy-hd", width=1920, height=1080),
        )

    def vfio_device(self, device: MdevDevice) -> VfioDevice:
        """See :mod:`.mdpy_device`."""
        assert isinstance(device.type, MdpyType)
        return MdpyDevice(device, device.type.width, device.type.height)

    def show_description(self, type: MdevType) -> str:
        """mdpy_show_description."""
        assert isinstance(type, MdpyType)
        return f"virtual display, {type.resolution} framebuffer"


def mdpy_dev_init(kernel: Kernel) -> None:
    """Module init."""
    sample_init(MdpyDriver(kernel))


def mdpy_parameters() -> tuple[Parameter, ...]:
    """How many devices there may be."""
    return (UintParameter("count", 4, 0o444),)


MDPY = sample_module("mdpy", mdpy_dev_init, mdpy_parameters, suites=("mdev", "samples"))
