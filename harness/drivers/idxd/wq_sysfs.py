# SPDX-License-Identifier: Apache-2.0
"""Attributes of work queues: drivers/dma/idxd/sysfs.c, 6.1 and 6.12.

``op_config`` and ``prs_disable`` are hidden without that capability, ``max_batch_size`` on IAX, and
from 6.12 on ``ats_disable`` without the capability too; all others are always there. A
configuration that firmware fixed refuses most stores, as does a queue that is enabled.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from harness.drivers.idxd.parse import (
    bitmap_parse,
    bitmap_text,
    or_einval,
    roundup_pow_of_two,
    signed_or_einval,
    strim,
    unsigned_or_einval,
)
from harness.kernel.errors import Errno
from harness.kernel.kstrtox import c_string, kstrtouint, kstrtoull, sysfs_streq
from harness.kernel.sysfs import Attribute, AttributeGroup, BinaryAttribute
from harness.kernel.task import Caller
from harness.kernel.uuid import NIL_UUID, stored_uuid
from harness.uapi.idxd import (
    DSA_OPCODE_BATCH,
    IDXD_MAX_OPCAP_BITS,
    WQCFG_OCCUP_IDX,
    WQCFG_OCCUP_MASK,
)

if TYPE_CHECKING:
    from harness.drivers.idxd.device import IdxdDevice
    from harness.drivers.idxd.wq import IdxdWq

IDXD_MAX_PRIORITY = 15
IDXD_ENQCMDS_MAX_RETRIES = 64
WQ_NAME_SIZE = 1024
DRIVER_NAME_SIZE = 128
_WQ_TYPES = ("none", "kernel", "user")
_U32 = 0xFFFFFFFF
_U64 = 0xFFFFFFFFFFFFFFFF


def _require_configurable(wq: IdxdWq) -> None:
    if not wq.idxd.configurable:
        raise Errno(errno.EPERM)


def _require_disabled(wq: IdxdWq, number: int = errno.EPERM) -> None:
    if wq.state != "disabled":
        raise Errno(number)


def wq_clients_show(wq: IdxdWq, caller: Caller) -> str:
    return f"{wq.client_count}\n"


def wq_state_show(wq: IdxdWq, caller: Caller) -> str:
    return f"{wq.state}\n"


def wq_group_id_show(wq: IdxdWq, caller: Caller) -> str:
    return f"{wq.group.id if wq.group is not None else -1}\n"


def wq_group_id_store(wq: IdxdWq, caller: Caller, data: bytes) -> None:
    group_id = signed_or_einval(data)
    _require_configurable(wq)
    _require_disabled(wq)
    if group_id > wq.idxd.max_groups - 1 or group_id < -1:
        raise Errno(errno.EINVAL)
    if wq.group is not None:
        wq.group.num_wqs -= 1
        wq.group = None
    if group_id != -1:
        wq.group = wq.idxd.idxd_groups[group_id]
        wq.group.num_wqs += 1


def wq_mode_show(wq: IdxdWq, caller: Caller) -> str:
    return "dedicated\n" if wq.dedicated else "shared\n"


def wq_mode_store(wq: IdxdWq, caller: Caller, data: bytes) -> None:
    """A dedicated queue loses its threshold."""
    _require_configurable(wq)
    _require_disabled(wq)
    if sysfs_streq(data, "dedicated"):
        wq.dedicated = True
        wq.threshold = 0
    elif sysfs_streq(data, "shared"):
        wq.dedicated = False
    else:
        raise Errno(errno.EINVAL)


def wq_size_show(wq: IdxdWq, caller: Caller) -> str:
    return f"{wq.size}\n"


def total_claimed_wq_size(idxd: IdxdDevice) -> int:
    """The sum over all queues, as an int of 32 bits."""
    total = sum(wq.size for wq in idxd.wqs) & _U32
    return total - (total >> 31 << 32)


def wq_size_store(wq: IdxdWq, caller: Caller, data: bytes) -> None:
    """EPERM with the device enabled; EINVAL if all queues together get too long, modulo 2^64."""
    idxd = wq.idxd
    size = unsigned_or_einval(data)
    _require_configurable(wq)
    if idxd.state == "enabled":
        raise Errno(errno.EPERM)
    if size + total_claimed_wq_size(idxd) - wq.size & _U64 > idxd.max_wq_size:
        raise Errno(errno.EINVAL)
    wq.size = size & _U32


def wq_priority_show(wq: IdxdWq, caller: Caller) -> str:
    return f"{wq.priority}\n"


def wq_priority_store(wq: IdxdWq, caller: Caller, data: bytes) -> None:
    priority = unsigned_or_einval(data)
    _require_configurable(wq)
    _require_disabled(wq)
    if priority > IDXD_MAX_PRIORITY:
        raise Errno(errno.EINVAL)
    wq.priority = priority


def wq_block_on_fault_show(wq: IdxdWq, caller: Caller) -> str:
    return f"{wq.block_on_fault:d}\n"


def wq_block_on_fault_store(wq: IdxdWq, caller: Caller, data: bytes) -> None:
    """EOPNOTSUPP without the capability; ENXIO, not EPERM, on an enabled queue."""
    if not wq.idxd.hw.gen_cap.block_on_fault:
        raise Errno(errno.EOPNOTSUPP)
    _require_configurable(wq)
    _require_disabled(wq, errno.ENXIO)
    block_on_fault = wq.kernel.kstrtobool(data)
    if block_on_fault and wq.prs_disable:
        raise Errno(errno.EOPNOTSUPP)  # 6.12
    wq.block_on_fault = block_on_fault


def wq_threshold_show(wq: IdxdWq, caller: Caller) -> str:
    return f"{wq.threshold}\n"


def wq_threshold_store(wq: IdxdWq, caller: Caller, data: bytes) -> None:
    """A number of any base from 1 to the queue's size; EINVAL on a dedicated queue."""
    value = or_einval(kstrtouint, data, 0)
    if value > wq.size or value == 0:
        raise Errno(errno.EINVAL)
    _require_configurable(wq)
    _require_disabled(wq, errno.ENXIO)
    if wq.dedicated:
        raise Errno(errno.EINVAL)
    wq.threshold = value


def wq_type_show(wq: IdxdWq, caller: Caller) -> str:
    return f"{wq.type}\n"


def wq_type_store(wq: IdxdWq, caller: Caller, data: bytes) -> None:
    """A fixed configuration does not matter. A new type loses the name, and the UUIDs."""
    _require_disabled(wq)
    types = _WQ_TYPES if wq.idxd.module.section.mdev is None else (*_WQ_TYPES, "mdev")
    chosen = next((kind for kind in types if sysfs_streq(data, kind)), None)
    if chosen is None:
        raise Errno(errno.EINVAL)
    if chosen != wq.type:
        wq.type = chosen
        wq.wq_name = b""
        wq.uuids.clear()


def wq_uuid_show(wq: IdxdWq, caller: Caller) -> str:
    """v1 of the mdev series: a line each."""
    return "".join(f"{uuid}\n" for uuid in wq.uuids)


def wq_uuid_store(wq: IdxdWq, caller: Caller, data: bytes) -> None:
    """v1 of the mdev series: EPERM for another type, EINVAL for what is no UUID.

    The nil UUID clears the list, one that is listed is taken off it. EPERM for a new one if the
    queue is not enabled, or is dedicated and has one.
    """
    if wq.type != "mdev":
        raise Errno(errno.EPERM)
    uuid = stored_uuid(data)
    if uuid == NIL_UUID:
        wq.uuids.clear()
    elif uuid in wq.uuids:
        wq.uuids.remove(uuid)
    elif wq.state != "enabled" or (wq.dedicated and wq.uuids):
        raise Errno(errno.EPERM)
    else:
        wq.uuids.append(uuid)


def _name(wq: IdxdWq, data: bytes, limit: int) -> bytes:
    """EPERM on an enabled queue; EINVAL for no or more than ``limit`` bytes."""
    _require_disabled(wq)
    text = c_string(data)
    if len(text) > limit or not text:
        raise Errno(errno.EINVAL)
    return strim(text)


def wq_name_show(wq: IdxdWq, caller: Caller) -> bytes:
    return wq.wq_name + b"\n"


def wq_name_store(wq: IdxdWq, caller: Caller, data: bytes) -> None:
    """EINVAL for no or more than 1024 bytes; in 6.1 no names for kernel queues with PASIDs."""
    name = _name(wq, data, WQ_NAME_SIZE)
    if not wq.idxd.module.section.kernel_wq_pasid and wq.type == "kernel" and wq.idxd.pasid_enabled:
        raise Errno(errno.EOPNOTSUPP)
    wq.wq_name = name


def wq_driver_name_show(wq: IdxdWq, caller: Caller) -> bytes:
    """6.12."""
    return wq.driver_name + b"\n"


def wq_driver_name_store(wq: IdxdWq, caller: Caller, data: bytes) -> None:
    """6.12: EPERM, EINVAL for no or more than 128 bytes."""
    wq.driver_name = _name(wq, data, DRIVER_NAME_SIZE)


def wq_cdev_minor_show(wq: IdxdWq, caller: Caller) -> str:
    if wq.idxd_cdev is None:
        if wq.idxd.module.section.cdev_minor_always:
            return "-1\n"
        raise Errno(errno.ENXIO)
    return f"{wq.idxd_cdev.minor}\n"


def get_sysfs_u64(data: bytes) -> int:
    """A number of any base but 0, rounded up to a power of two."""
    value = or_einval(kstrtoull, data, 0)
    if value == 0:
        raise Errno(errno.EINVAL)
    return roundup_pow_of_two(value)


def wq_max_transfer_size_show(wq: IdxdWq, caller: Caller) -> str:
    return f"{wq.max_xfer_bytes}\n"


def wq_max_transfer_size_store(wq: IdxdWq, caller: Caller, data: bytes) -> None:
    _require_configurable(wq)
    _require_disabled(wq)
    size = get_sysfs_u64(data)
    if size > wq.idxd.max_xfer_bytes:
        raise Errno(errno.EINVAL)
    wq.max_xfer_bytes = size


def wq_max_batch_size_show(wq: IdxdWq, caller: Caller) -> str:
    return f"{wq.max_batch_size}\n"


def wq_max_batch_size_store(wq: IdxdWq, caller: Caller, data: bytes) -> None:
    _require_configurable(wq)
    _require_disabled(wq)
    size = get_sysfs_u64(data)
    if size > wq.idxd.max_batch_size:
        raise Errno(errno.EINVAL)
    wq.set_max_batch_size(size)


def wq_ats_disable_show(wq: IdxdWq, caller: Caller) -> str:
    return f"{wq.ats_disable:d}\n"


def wq_ats_disable_store(wq: IdxdWq, caller: Caller, data: bytes) -> None:
    """EPERM, EOPNOTSUPP without the capability; 6.12: EPERM, EPERM not configurable."""
    _require_disabled(wq)
    if wq.idxd.module.section.wq_prs_disable:
        _require_configurable(wq)
    elif not wq.idxd.hw.wq_cap.wq_ats_support:
        raise Errno(errno.EOPNOTSUPP)
    wq.ats_disable = wq.kernel.kstrtobool(data)


def wq_prs_disable_show(wq: IdxdWq, caller: Caller) -> str:
    """6.12."""
    return f"{wq.prs_disable:d}\n"


def wq_prs_disable_store(wq: IdxdWq, caller: Caller, data: bytes) -> None:
    """6.12: EPERM, EPERM not configurable. Without page requests nothing can block on a fault."""
    _require_disabled(wq)
    _require_configurable(wq)
    wq.prs_disable = wq.kernel.kstrtobool(data)
    if wq.prs_disable:
        wq.block_on_fault = False


def wq_occupancy_show(wq: IdxdWq, caller: Caller) -> str:
    """Asks the hardware; EOPNOTSUPP without the capability."""
    idxd = wq.idxd
    if not idxd.hw.wq_cap.occupancy:
        raise Errno(errno.EOPNOTSUPP)
    register = idxd.reg_base.ioread32(idxd.wqcfg_register(wq, WQCFG_OCCUP_IDX))
    return f"{register & WQCFG_OCCUP_MASK}\n"


def wq_enqcmds_retries_show(wq: IdxdWq, caller: Caller) -> str:
    if wq.dedicated:
        raise Errno(errno.EOPNOTSUPP)
    return f"{wq.enqcmds_retries}\n"


def wq_enqcmds_retries_store(wq: IdxdWq, caller: Caller, data: bytes) -> None:
    """EINVAL or ERANGE as the number says; what is too much is cut. The state does not matter."""
    if wq.dedicated:
        raise Errno(errno.EOPNOTSUPP)
    wq.enqcmds_retries = min(kstrtouint(data, 10), IDXD_ENQCMDS_MAX_RETRIES)


def op_cap_show_common(idxd: IdxdDevice, opcap_bmap: int) -> str:
    """Without BATCH where programs may not be trusted with it."""
    if idxd.batch_unsafe:
        opcap_bmap &= ~(1 << DSA_OPCODE_BATCH)
    return bitmap_text(opcap_bmap, IDXD_MAX_OPCAP_BITS) + "\n"


def wq_op_config_show(wq: IdxdWq, caller: Caller) -> str:
    return op_cap_show_common(wq.idxd, wq.opcap_bmap)


def idxd_verify_supported_opcap(idxd: IdxdDevice, opmask: int) -> None:
    """EINVAL for an operation that the device does not have."""
    if opmask & ~idxd.opcap_bmap:
        raise Errno(errno.EINVAL)


def wq_op_config_store(wq: IdxdWq, caller: Caller, data: bytes) -> None:
    _require_disabled(wq)
    opmask = bitmap_parse(data, IDXD_MAX_OPCAP_BITS)
    idxd_verify_supported_opcap(wq.idxd, opmask)
    wq.opcap_bmap = opmask


_MAX_BATCH_SIZE = Attribute(
    "max_batch_size", 0o644, wq_max_batch_size_show, wq_max_batch_size_store
)
_OP_CONFIG = Attribute("op_config", 0o644, wq_op_config_show, wq_op_config_store)
_ATS_DISABLE = Attribute("ats_disable", 0o644, wq_ats_disable_show, wq_ats_disable_store)
_PRS_DISABLE = Attribute("prs_disable", 0o644, wq_prs_disable_show, wq_prs_disable_store)
_DRIVER_NAME = Attribute("driver_name", 0o644, wq_driver_name_show, wq_driver_name_store)
_UUID = Attribute("uuid", 0o644, wq_uuid_show, wq_uuid_store)


def idxd_wq_attr_visible(wq: IdxdWq, attribute: Attribute | BinaryAttribute) -> int:
    """The mode, or 0 for what this device, or this driver, does not have."""
    section, capabilities = wq.idxd.module.section, wq.idxd.hw.wq_cap
    if attribute.name in section.absent:
        return 0
    if attribute is _UUID and not (section.mdev and section.mdev.queue_uuids):
        return 0
    if attribute is _DRIVER_NAME and not section.wq_driver_name:
        return 0
    if attribute is _PRS_DISABLE and not (section.wq_prs_disable and capabilities.wq_prs_support):
        return 0
    if attribute is _ATS_DISABLE and section.wq_prs_disable and not capabilities.wq_ats_support:
        return 0
    if attribute is _OP_CONFIG and not wq.idxd.hw.wq_cap.op_config:
        return 0
    if attribute is _MAX_BATCH_SIZE and wq.idxd.data.is_iax:
        return 0
    return attribute.mode


IDXD_WQ_GROUPS = (
    AttributeGroup(
        (
            Attribute("clients", 0o444, wq_clients_show),
            Attribute("state", 0o444, wq_state_show),
            Attribute("group_id", 0o644, wq_group_id_show, wq_group_id_store),
            Attribute("mode", 0o644, wq_mode_show, wq_mode_store),
            Attribute("size", 0o644, wq_size_show, wq_size_store),
            Attribute("priority", 0o644, wq_priority_show, wq_priority_store),
            Attribute("block_on_fault", 0o644, wq_block_on_fault_show, wq_block_on_fault_store),
            Attribute("threshold", 0o644, wq_threshold_show, wq_threshold_store),
            Attribute("type", 0o644, wq_type_show, wq_type_store),
            Attribute("name", 0o644, wq_name_show, wq_name_store),
            Attribute("cdev_minor", 0o444, wq_cdev_minor_show),
            Attribute(
                "max_transfer_size", 0o644, wq_max_transfer_size_show, wq_max_transfer_size_store
            ),
            _MAX_BATCH_SIZE,
            _ATS_DISABLE,
            _PRS_DISABLE,
            Attribute("occupancy", 0o444, wq_occupancy_show),
            Attribute("enqcmds_retries", 0o644, wq_enqcmds_retries_show, wq_enqcmds_retries_store),
            _OP_CONFIG,
            _DRIVER_NAME,
            _UUID,
        ),
        is_visible=idxd_wq_attr_visible,
    ),
)
