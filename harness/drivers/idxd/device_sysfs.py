# SPDX-License-Identifier: Apache-2.0
"""Attributes of accelerators: drivers/dma/idxd/sysfs.c, 6.1, 6.12 and 7.2.

``max_batch_size`` and what is about read buffers are hidden on IAX; ``iaa_cap`` on DSA and on
version 1, ``dsacaps`` on IAX and before version 3, ``event_log_size`` without an event log.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.drivers.idxd.mdev import idxd_ims_size
from harness.drivers.idxd.parse import bitmap_text, hexadecimal, unsigned_or_einval
from harness.drivers.idxd.wq_sysfs import op_cap_show_common
from harness.kernel.errors import Errno
from harness.kernel.sysfs import Attribute, AttributeGroup, BinaryAttribute
from harness.kernel.task import Caller
from harness.uapi import idxd as u

if TYPE_CHECKING:
    from harness.drivers.idxd.device import IdxdDevice


def version_show(idxd: IdxdDevice, caller: Caller) -> str:
    return f"{hexadecimal(idxd.hw.version)}\n"


def max_groups_show(idxd: IdxdDevice, caller: Caller) -> str:
    return f"{idxd.max_groups}\n"


def max_work_queues_show(idxd: IdxdDevice, caller: Caller) -> str:
    return f"{len(idxd.wqs)}\n"


def max_work_queues_size_show(idxd: IdxdDevice, caller: Caller) -> str:
    return f"{idxd.max_wq_size}\n"


def max_engines_show(idxd: IdxdDevice, caller: Caller) -> str:
    return f"{len(idxd.engines)}\n"


def numa_node_show(idxd: IdxdDevice, caller: Caller) -> str:
    return f"{idxd.pdev.numa_node}\n"


def max_batch_size_show(idxd: IdxdDevice, caller: Caller) -> str:
    return f"{idxd.max_batch_size}\n"


def max_transfer_size_show(idxd: IdxdDevice, caller: Caller) -> str:
    return f"{idxd.max_xfer_bytes}\n"


def op_cap_show(idxd: IdxdDevice, caller: Caller) -> str:
    return op_cap_show_common(idxd, idxd.opcap_bmap)


def gen_cap_show(idxd: IdxdDevice, caller: Caller) -> str:
    value = int.from_bytes(bytes(idxd.hw.gen_cap), "little")
    return f"{hexadecimal(value)}\n"


def configurable_show(idxd: IdxdDevice, caller: Caller) -> str:
    return f"{idxd.configurable:d}\n"


def clients_show(idxd: IdxdDevice, caller: Caller) -> str:
    return f"{sum(wq.client_count for wq in idxd.wqs)}\n"


def pasid_enabled_show(idxd: IdxdDevice, caller: Caller) -> str:
    return f"{idxd.user_pasid_enabled:d}\n"


def state_show(idxd: IdxdDevice, caller: Caller) -> str:
    return f"{idxd.state}\n"


def errors_show(idxd: IdxdDevice, caller: Caller) -> str:
    """SWERR as it was at the last error interrupt: four numbers of 64 bits, or a bitmap."""
    data = bytes(idxd.sw_err)
    if idxd.module.section.errors_bitmap:
        return bitmap_text(int.from_bytes(data, "little"), 256) + "\n"
    words = [int.from_bytes(data[start : start + 8], "little") for start in range(0, 32, 8)]
    return " ".join(f"{word:#018x}" for word in words) + "\n"


def max_read_buffers_show(idxd: IdxdDevice, caller: Caller) -> str:
    return f"{idxd.max_rdbufs}\n"


def read_buffer_limit_show(idxd: IdxdDevice, caller: Caller) -> str:
    return f"{idxd.rdbuf_limit}\n"


def read_buffer_limit_store(idxd: IdxdDevice, caller: Caller, data: bytes) -> None:
    """EINVAL, EPERM enabled, EPERM not configurable, EPERM without the capability, EINVAL."""
    value = unsigned_or_einval(data)
    if idxd.state == "enabled":
        raise Errno(errno.EPERM)
    if not idxd.configurable:
        raise Errno(errno.EPERM)
    if not idxd.hw.group_cap.rdbuf_limit:
        raise Errno(errno.EPERM)
    if value > idxd.max_rdbufs:
        raise Errno(errno.EINVAL)
    idxd.rdbuf_limit = value


def cdev_major_show(idxd: IdxdDevice, caller: Caller) -> str:
    return f"{idxd.module.cdevs[idxd.data.kind].major}\n"


def cmd_status_show(idxd: IdxdDevice, caller: Caller) -> str:
    own = idxd.cmd_status & u.IDXD_SCMD_SOFTWARE
    shown = 0 if own and not idxd.module.section.software_status else idxd.cmd_status
    return f"{hexadecimal(shown)}\n"


def cmd_status_store(idxd: IdxdDevice, caller: Caller, data: bytes) -> None:
    """Whatever is written clears it."""
    idxd.cmd_status = 0


def iaa_cap_show(idxd: IdxdDevice, caller: Caller) -> str:
    """6.12."""
    return f"{hexadecimal(idxd.hw.iaa_cap)}\n"


def event_log_size_show(idxd: IdxdDevice, caller: Caller) -> str:
    """6.12. EOPNOTSUPP without an event log."""
    if idxd.evl is None:
        raise Errno(errno.EOPNOTSUPP)
    return f"{idxd.evl.size}\n"


def event_log_size_store(idxd: IdxdDevice, caller: Caller, data: bytes) -> None:
    """6.12: EOPNOTSUPP, EINVAL, EPERM enabled, EPERM not configurable, EINVAL out of range."""
    if idxd.evl is None:
        raise Errno(errno.EOPNOTSUPP)
    value = unsigned_or_einval(data)
    if idxd.state == "enabled":
        raise Errno(errno.EPERM)
    if not idxd.configurable:
        raise Errno(errno.EPERM)
    if not u.IDXD_EVL_SIZE_MIN <= value <= u.IDXD_EVL_SIZE_MAX:
        raise Errno(errno.EINVAL)
    idxd.evl.size = value


def dsacaps_show(idxd: IdxdDevice, caller: Caller) -> str:
    """7.2: three registers, the last first."""
    return ",".join(f"{word:016x}" for word in reversed(idxd.hw.dsacaps)) + "\n"


def _read_only(name: str, show: Callable[[IdxdDevice, Caller], str]) -> Attribute:
    return Attribute(name, 0o444, show)


def ims_size_show(idxd: IdxdDevice, caller: Caller) -> str:
    """The mdev series."""
    return f"{idxd_ims_size(idxd)}\n"


_MAX_BATCH_SIZE = _read_only("max_batch_size", max_batch_size_show)
_READ_BUFFERS = (
    _read_only("max_tokens", max_read_buffers_show),
    _read_only("max_read_buffers", max_read_buffers_show),
    Attribute("token_limit", 0o644, read_buffer_limit_show, read_buffer_limit_store),
    Attribute("read_buffer_limit", 0o644, read_buffer_limit_show, read_buffer_limit_store),
)
_IAA_CAP = _read_only("iaa_cap", iaa_cap_show)
_EVENT_LOG_SIZE = Attribute("event_log_size", 0o644, event_log_size_show, event_log_size_store)
_DSACAPS = _read_only("dsacaps", dsacaps_show)
_IMS_SIZE = _read_only("ims_size", ims_size_show)


def idxd_device_attr_visible(idxd: IdxdDevice, attribute: Attribute | BinaryAttribute) -> int:
    """The mode, or 0 for what this device, or this driver, does not have."""
    section, version = idxd.module.section, idxd.hw.version
    if attribute.name in section.absent or (attribute is _IMS_SIZE and section.mdev is None):
        return 0
    if attribute is _IAA_CAP and not (
        section.iaa_cap and idxd.data.is_iax and version >= u.DEVICE_VERSION_2
    ):
        return 0
    if attribute is _EVENT_LOG_SIZE and idxd.evl is None:
        return 0
    if attribute is _DSACAPS and not (
        section.dsacaps and not idxd.data.is_iax and version >= u.DEVICE_VERSION_3
    ):
        return 0
    if idxd.data.is_iax and (attribute is _MAX_BATCH_SIZE or attribute in _READ_BUFFERS):
        return 0
    return attribute.mode


IDXD_DEVICE_GROUPS = (
    AttributeGroup(
        (
            _read_only("version", version_show),
            _read_only("max_groups", max_groups_show),
            _read_only("max_work_queues", max_work_queues_show),
            _read_only("max_work_queues_size", max_work_queues_size_show),
            _read_only("max_engines", max_engines_show),
            _read_only("numa_node", numa_node_show),
            _MAX_BATCH_SIZE,
            _read_only("max_transfer_size", max_transfer_size_show),
            _read_only("op_cap", op_cap_show),
            _read_only("gen_cap", gen_cap_show),
            _read_only("configurable", configurable_show),
            _read_only("clients", clients_show),
            _read_only("pasid_enabled", pasid_enabled_show),
            _read_only("state", state_show),
            _read_only("errors", errors_show),
            *_READ_BUFFERS,
            _read_only("cdev_major", cdev_major_show),
            Attribute("cmd_status", 0o644, cmd_status_show, cmd_status_store),
            _IAA_CAP,
            _EVENT_LOG_SIZE,
            _DSACAPS,
            _IMS_SIZE,
        ),
        is_visible=idxd_device_attr_visible,
    ),
)
