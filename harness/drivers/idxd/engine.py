# SPDX-License-Identifier: Apache-2.0
"""Engines: ``engineD.N`` with ``group_id`` (drivers/dma/idxd/sysfs.c, 6.1)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from harness.drivers.idxd.parse import signed_or_einval
from harness.kernel.driver_core import Device
from harness.kernel.errors import Errno
from harness.kernel.sysfs import Attribute, AttributeGroup
from harness.kernel.task import Caller

if TYPE_CHECKING:
    from harness.drivers.idxd.device import IdxdDevice
    from harness.drivers.idxd.group import IdxdGroup


def engine_group_id_show(engine: IdxdEngine, caller: Caller) -> str:
    return f"{engine.group.id if engine.group is not None else -1}\n"


def engine_group_id_store(engine: IdxdEngine, caller: Caller, data: bytes) -> None:
    """EINVAL, EPERM not configurable, EINVAL out of range. The device may be enabled."""
    idxd = engine.idxd
    group_id = signed_or_einval(data)
    if not idxd.configurable:
        raise Errno(errno.EPERM)
    if group_id > idxd.max_groups - 1 or group_id < -1:
        raise Errno(errno.EINVAL)
    if engine.group is not None:
        engine.group.num_engines -= 1
        engine.group = None
    if group_id != -1:
        engine.group = idxd.idxd_groups[group_id]
        engine.group.num_engines += 1


class IdxdEngine(Device):
    """An engine (struct idxd_engine)."""

    devtype = "engine"
    groups = (
        AttributeGroup(
            (Attribute("group_id", 0o644, engine_group_id_show, engine_group_id_store),)
        ),
    )

    def __init__(self, idxd: IdxdDevice, number: int) -> None:
        super().__init__(idxd.kernel, f"engine{idxd.id}.{number}", idxd.bus, idxd)
        self.idxd = idxd
        self.id = number
        self.group: IdxdGroup | None = None
