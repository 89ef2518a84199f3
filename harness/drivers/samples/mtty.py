# SPDX-License-Identifier: Apache-2.0
"""Serial ports that are not there, one or two a device: samples/vfio-mdev/mtty.c, 6.1."""

from __future__ import annotations

import errno

from attrs import define

from harness.drivers.mdev import MdevDevice, MdevType
from harness.drivers.samples.mtty_device import MttyDevice
from harness.drivers.samples.parent import (
    SampleDriver,
    sample_init,
    sample_module,
    vendor_group,
)
from harness.drivers.vfio.vfio_main import VfioDevice
from harness.kernel.errors import Errno
from harness.kernel.sysfs import Attribute
from harness.kernel.system import Kernel
from harness.kernel.task import Caller

MAX_MTTYS = 24


@define(eq=False)
class MttyType(MdevType):
    """A type whose devices have ``nr_ports`` ports (struct mtty_type)."""

    nr_ports: int = 1


def sample_mdev_dev_show(device: MdevDevice, caller: Caller) -> str:
    return f"This is MDEV {device.name}\n"


class MttyDriver(SampleDriver):
    """All devices share a pool of ports, which the driver counts."""

    name = "mtty"
    counts = True
    dev_groups = vendor_group(Attribute("sample_mdev_dev", 0o444, sample_mdev_dev_show))

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.types = (
            MttyType("1", "Single port serial", nr_ports=1),
            MttyType("2", "Dual port serial", nr_ports=2),
        )
        self.avail_ports = MAX_MTTYS

    def get_available(self, type: MdevType) -> int:
        """mtty_get_available."""
        assert isinstance(type, MttyType)
        return self.avail_ports // type.nr_ports

    def init_device(self, device: MdevDevice) -> None:
        """ENOSPC if too few ports are left (mtty_init_dev)."""
        assert isinstance(device.type, MttyType)
        if self.avail_ports < device.type.nr_ports:
            raise Errno(errno.ENOSPC)
        self.avail_ports -= device.type.nr_ports

    def vfio_device(self, device: MdevDevice) -> VfioDevice:
        """See :mod:`.mtty_device`."""
        assert isinstance(device.type, MttyType)
        return MttyDevice(device, self.section, device.type.nr_ports)

    def release_device(self, device: MdevDevice) -> None:
        """mtty_release_dev."""
        assert isinstance(device.type, MttyType)
        self.avail_ports += device.type.nr_ports


def mtty_dev_init(kernel: Kernel) -> None:
    """Module init."""
    sample_init(MttyDriver(kernel))


MTTY = sample_module("mtty", mtty_dev_init, suites=("mdev", "samples"))
