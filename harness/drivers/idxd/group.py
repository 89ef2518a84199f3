# SPDX-License-Identifier: Apache-2.0
"""Groups of engines and work queues: ``groupD.N`` (drivers/dma/idxd/sysfs.c, 6.1).

The plan: ``work_queues`` and ``engines`` (0444) list names. ``use_read_buffer_limit``,
``read_buffers_allowed`` and ``read_buffers_reserved``, with their old names ``use_token_limit``,
``tokens_allowed`` and ``tokens_reserved``, are hidden on IAX; ``desc_progress_limit`` and
``batch_progress_limit`` without that capability. ``traffic_class_a`` and ``_b`` are always there.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from harness.drivers.idxd.parse import or_einval, signed_or_einval, unsigned_or_einval
from harness.kernel.driver_core import Device
from harness.kernel.errors import Errno
from harness.kernel.kstrtox import kstrtoint
from harness.kernel.sysfs import Attribute, AttributeGroup, BinaryAttribute
from harness.kernel.task import Caller
from harness.uapi.idxd import DEVICE_VERSION_2, GrpCfg

if TYPE_CHECKING:
    from harness.drivers.idxd.device import IdxdDevice

_U8 = 0xFF


def _may_configure(idxd: IdxdDevice) -> None:
    """EPERM for a fixed configuration and for an enabled device."""
    if not idxd.configurable:
        raise Errno(errno.EPERM)
    if idxd.state == "enabled":
        raise Errno(errno.EPERM)


def _read_buffer_value(group: IdxdGroup, data: bytes) -> int:
    """What every store about read buffers checks first."""
    value = unsigned_or_einval(data)
    if group.idxd.data.is_iax:
        raise Errno(errno.EOPNOTSUPP)
    _may_configure(group.idxd)
    return value


def idxd_set_free_rdbufs(idxd: IdxdDevice) -> None:
    """What no group has reserved."""
    reserved = sum(group.rdbufs_reserved for group in idxd.idxd_groups)
    idxd.nr_rdbufs = idxd.max_rdbufs - reserved


def group_read_buffers_reserved_show(group: IdxdGroup, caller: Caller) -> str:
    return f"{group.rdbufs_reserved}\n"


def group_read_buffers_reserved_store(group: IdxdGroup, caller: Caller, data: bytes) -> None:
    """EINVAL for more than there are, and for more than others left."""
    idxd = group.idxd
    value = _read_buffer_value(group, data)
    if value > idxd.max_rdbufs:
        raise Errno(errno.EINVAL)
    if value > idxd.nr_rdbufs + group.rdbufs_reserved:
        raise Errno(errno.EINVAL)
    group.rdbufs_reserved = value
    idxd_set_free_rdbufs(idxd)


def group_read_buffers_allowed_show(group: IdxdGroup, caller: Caller) -> str:
    return f"{group.rdbufs_allowed}\n"


def group_read_buffers_allowed_store(group: IdxdGroup, caller: Caller, data: bytes) -> None:
    """EINVAL for fewer than four an engine, and for more than the group can ever get."""
    value = _read_buffer_value(group, data)
    most = group.rdbufs_reserved + group.idxd.nr_rdbufs
    if value < 4 * group.num_engines or value > most:
        raise Errno(errno.EINVAL)
    group.rdbufs_allowed = value & _U8


def group_use_read_buffer_limit_show(group: IdxdGroup, caller: Caller) -> str:
    return f"{group.use_rdbuf_limit:d}\n"


def group_use_read_buffer_limit_store(group: IdxdGroup, caller: Caller, data: bytes) -> None:
    """EPERM while the device has no limit."""
    value = _read_buffer_value(group, data)
    if group.idxd.rdbuf_limit == 0:
        raise Errno(errno.EPERM)
    group.use_rdbuf_limit = bool(value)


def _names(members: Iterable[Device]) -> str:
    """Names with blanks between and a newline; nothing at all for no name."""
    text = " ".join(member.name for member in members)
    return f"{text}\n" if text else ""


def group_engines_show(group: IdxdGroup, caller: Caller) -> str:
    return _names(engine for engine in group.idxd.engines if engine.group is group)


def group_work_queues_show(group: IdxdGroup, caller: Caller) -> str:
    return _names(wq for wq in group.idxd.wqs if wq.group is group)


def _traffic_class(group: IdxdGroup, data: bytes) -> int:
    """EPERM up to version 2 unless the module's parameter allows it; EINVAL outside 0..7."""
    idxd = group.idxd
    value = signed_or_einval(data)
    _may_configure(idxd)
    if idxd.hw.version <= DEVICE_VERSION_2 and not idxd.module.tc_override:
        raise Errno(errno.EPERM)
    if not 0 <= value <= 7:
        raise Errno(errno.EINVAL)
    return value


def group_traffic_class_a_show(group: IdxdGroup, caller: Caller) -> str:
    return f"{group.tc_a}\n"


def group_traffic_class_a_store(group: IdxdGroup, caller: Caller, data: bytes) -> None:
    group.tc_a = _traffic_class(group, data)


def group_traffic_class_b_show(group: IdxdGroup, caller: Caller) -> str:
    return f"{group.tc_b}\n"


def group_traffic_class_b_store(group: IdxdGroup, caller: Caller, data: bytes) -> None:
    group.tc_b = _traffic_class(group, data)


def _progress_limit(data: bytes) -> int:
    """Two bits; neither the configuration nor the device's state matters."""
    value = or_einval(kstrtoint, data, 10)
    if value & ~0x3:
        raise Errno(errno.EINVAL)
    return value


def group_desc_progress_limit_show(group: IdxdGroup, caller: Caller) -> str:
    return f"{group.desc_progress_limit}\n"


def group_desc_progress_limit_store(group: IdxdGroup, caller: Caller, data: bytes) -> None:
    group.desc_progress_limit = _progress_limit(data)


def group_batch_progress_limit_show(group: IdxdGroup, caller: Caller) -> str:
    return f"{group.batch_progress_limit}\n"


def group_batch_progress_limit_store(group: IdxdGroup, caller: Caller, data: bytes) -> None:
    group.batch_progress_limit = _progress_limit(data)


def _both_names(
    names: tuple[str, str],
    show: Callable[[IdxdGroup, Caller], str],
    store: Callable[[IdxdGroup, Caller, bytes], None],
) -> tuple[Attribute, ...]:
    """An attribute about read buffers, and its name from when they were called tokens."""
    return tuple(Attribute(name, 0o644, show, store) for name in names)


_READ_BUFFERS = (
    *_both_names(
        ("use_token_limit", "use_read_buffer_limit"),
        group_use_read_buffer_limit_show,
        group_use_read_buffer_limit_store,
    ),
    *_both_names(
        ("tokens_allowed", "read_buffers_allowed"),
        group_read_buffers_allowed_show,
        group_read_buffers_allowed_store,
    ),
    *_both_names(
        ("tokens_reserved", "read_buffers_reserved"),
        group_read_buffers_reserved_show,
        group_read_buffers_reserved_store,
    ),
)
_TRAFFIC_CLASSES = (
    Attribute("traffic_class_a", 0o644, group_traffic_class_a_show, group_traffic_class_a_store),
    Attribute("traffic_class_b", 0o644, group_traffic_class_b_show, group_traffic_class_b_store),
)
_PROGRESS_LIMITS = (
    Attribute(
        "desc_progress_limit",
        0o644,
        group_desc_progress_limit_show,
        group_desc_progress_limit_store,
    ),
    Attribute(
        "batch_progress_limit",
        0o644,
        group_batch_progress_limit_show,
        group_batch_progress_limit_store,
    ),
)


def idxd_group_attr_visible(group: IdxdGroup, attribute: Attribute | BinaryAttribute) -> int:
    """The mode, or 0 for what this device does not have."""
    idxd = group.idxd
    if attribute.name in idxd.module.section.absent:
        return 0
    if attribute in _PROGRESS_LIMITS and not idxd.hw.group_cap.progress_limit:
        return 0
    if attribute in _READ_BUFFERS and idxd.data.is_iax:
        return 0
    return attribute.mode


class IdxdGroup(Device):
    """A group (struct idxd_group). ``grpcfg`` is what is written to its registers."""

    devtype = "group"
    groups = (
        AttributeGroup(
            (
                Attribute("work_queues", 0o444, group_work_queues_show),
                Attribute("engines", 0o444, group_engines_show),
                *_READ_BUFFERS,
                *_TRAFFIC_CLASSES,
                *_PROGRESS_LIMITS,
            ),
            is_visible=idxd_group_attr_visible,
        ),
    )

    def __init__(self, idxd: IdxdDevice, number: int) -> None:
        super().__init__(idxd.kernel, f"group{idxd.id}.{number}", idxd.bus, idxd)
        self.idxd = idxd
        self.id = number
        self.clear_state()

    def clear_state(self) -> None:
        """As new (idxd_groups_clear_state). What is free of read buffers is not counted again."""
        self.grpcfg = GrpCfg()
        self.num_engines = self.num_wqs = 0
        self.use_rdbuf_limit = False
        everything = self.idxd.module.section.rdbufs_allowed_all
        self.rdbufs_allowed = self.idxd.max_rdbufs if everything else 0
        self.rdbufs_reserved = 0
        old = self.idxd.hw.version <= DEVICE_VERSION_2 and not self.idxd.module.tc_override
        #: -1 stands for the default of the hardware.
        self.tc_a = self.tc_b = 1 if old else -1
        self.desc_progress_limit = self.batch_progress_limit = 0
