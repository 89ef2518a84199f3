# SPDX-License-Identifier: Apache-2.0
"""Displays of Bochs that are not there: samples/vfio-mdev/mbochs.c, 6.1."""

from __future__ import annotations

import errno

from attrs import define

from harness.drivers.mdev import MdevDevice, MdevType
from harness.drivers.samples.mbochs_device import MbochsDevice
from harness.drivers.samples.parent import (
    SampleDriver,
    sample_init,
    sample_module,
    vendor_group,
)
from harness.drivers.vfio.vfio_main import VfioDevice
from harness.kernel.errors import Errno
from harness.kernel.module import Parameter, UintParameter
from harness.kernel.sysfs import Attribute
from harness.kernel.system import Kernel
from harness.kernel.task import Caller


@define(eq=False)
class MbochsType(MdevType):
    """A type by its video memory in MB, and the largest picture in pixels; 0: any (struct
    mbochs_type)."""

    mbytes: int = 0
    max_x: int = 0
    max_y: int = 0


def memory_show(device: MdevDevice, caller: Caller) -> str:
    assert isinstance(device.type, MbochsType)
    return f"{device.type.mbytes} MB\n"


class MbochsDriver(SampleDriver):
    """All devices share a pool of video memory, which the driver counts."""

    name = "mbochs"
    counts = True
    dev_groups = vendor_group(Attribute("memory", 0o444, memory_show))

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.types = tuple(
            MbochsType(size, f"mbochs-{size}", mbytes=mbytes, max_x=max_x, max_y=max_y)
            for size, mbytes, max_x, max_y in (
                ("small", 4, 800, 600),
                ("medium", 16, 1920, 1440),
                ("large", 64, 0, 0),
            )
        )
        self.avail_mbytes: int = kernel.modules["mbochs"].parameters["count"].value

    def get_available(self, type: MdevType) -> int:
        """mbochs_get_available."""
        assert isinstance(type, MbochsType)
        return self.avail_mbytes // type.mbytes

    def show_description(self, type: MdevType) -> str:
        """mbochs_show_description."""
        assert isinstance(type, MbochsType)
        return f"virtual display, {type.mbytes} MB video memory"

    def init_device(self, device: MdevDevice) -> None:
        """ENOSPC if too little memory is left (mbochs_init_dev)."""
        assert isinstance(device.type, MbochsType)
        if self.avail_mbytes < device.type.mbytes:
            raise Errno(errno.ENOSPC)
        self.avail_mbytes -= device.type.mbytes

    def vfio_device(self, device: MdevDevice) -> VfioDevice:
        """See :mod:`.mbochs_device`."""
        assert isinstance(device.type, MbochsType)
        kind = device.type
        return MbochsDevice(device, self.section, kind.mbytes, kind.max_x, kind.max_y)

    def release_device(self, device: MdevDevice) -> None:
        """mbochs_release_dev."""
        assert isinstance(device.type, MbochsType)
        self.avail_mbytes += device.type.mbytes


def mbochs_dev_init(kernel: Kernel) -> None:
    """Module init."""
    sample_init(MbochsDriver(kernel))


def mbochs_parameters() -> tuple[Parameter, ...]:
    """How much video memory there is, in MB."""
    return (UintParameter("count", 256, 0o444),)


MBOCHS = sample_module("mbochs", mbochs_dev_init, mbochs_parameters, suites=("mdev", "samples"))
