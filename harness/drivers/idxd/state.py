# SPDX-License-Identifier: Apache-2.0
"""What the driver keeps once for each kernel (the static variables of drivers/dma/idxd)."""

from __future__ import annotations

from attrs import define, field

from harness.drivers.dmaengine import DmaEngine
from harness.drivers.idxd.bus import DsaBus
from harness.drivers.idxd.profile import IdxdSection
from harness.drivers.idxd.sva import Pasids
from harness.kernel.ida import Ida
from harness.kernel.system import Kernel


@define(eq=False)
class CdevContext:
    """Numbers of one kind's character devices (struct idxd_cdev_context)."""

    major: int
    minor_ida: Ida = field(factory=Ida)


@define(eq=False)
class IdxdModule:
    """The loaded module. ``cdevs`` is by kind; numbers of devices are shared by all kinds."""

    kernel: Kernel
    section: IdxdSection
    bus: DsaBus
    dmaengine: DmaEngine
    cdevs: dict[str, CdevContext]
    pasids: Pasids = field(factory=Pasids)
    idxd_ida: Ida = field(factory=Ida)
    #: Numbers of open files, shared by all devices (6.12).
    file_ida: Ida = field(factory=Ida)

    @property
    def sva(self) -> bool:
        """The module's parameter."""
        return bool(self.kernel.modules["idxd"].parameters["sva"].value)

    @property
    def tc_override(self) -> bool:
        """The module's parameter."""
        return bool(self.kernel.modules["idxd"].parameters["tc_override"].value)

    @property
    def support_enqcmd(self) -> bool:
        """Whether the processor can submit to shared queues."""
        return self.kernel.cpu.enqcmd
