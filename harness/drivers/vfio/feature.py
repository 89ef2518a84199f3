# SPDX-License-Identifier: Apache-2.0
"""DEVICE_FEATURE, and the states of a migration: vfio_ioctl_device_feature, vfio_main.c, 6.1."""

from __future__ import annotations

import errno
from ctypes import sizeof
from typing import TYPE_CHECKING

from harness.drivers.vfio.check_feature import vfio_check_feature
from harness.drivers.vfio.dma_logging import logging_report, logging_start, logging_stop
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.kernel.uaccess import copy_from_user
from harness.uapi import vfio as u

if TYPE_CHECKING:
    from harness.drivers.vfio.vfio_main import VfioDevice
    from harness.kernel.vfs import OpenFile

_GET, _SET, _PROBE = (
    u.VFIO_DEVICE_FEATURE_GET,
    u.VFIO_DEVICE_FEATURE_SET,
    u.VFIO_DEVICE_FEATURE_PROBE,
)
_NO_FD = -1


def vfio_ioctl_device_feature(device: VfioDevice, caller: Caller, argument: int) -> int:
    """EFAULT, EINVAL for the size, unknown flags, GET with SET; then the feature's own."""
    feature = copy_from_user(caller, u.Feature, argument)
    size = sizeof(u.Feature)
    if feature.argsz < size:
        raise Errno(errno.EINVAL)
    flags: int = feature.flags
    if flags & ~(u.VFIO_DEVICE_FEATURE_MASK | _GET | _SET | _PROBE):
        raise Errno(errno.EINVAL)
    if flags & (_GET | _SET | _PROBE) == _GET | _SET:
        raise Errno(errno.EINVAL)
    number = flags & u.VFIO_DEVICE_FEATURE_MASK
    data, argsz = argument + size, feature.argsz - size
    section = device.core.section
    match number:
        case u.VFIO_DEVICE_FEATURE_MIGRATION:
            return _migration(device, caller, flags, data, argsz)
        case u.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
            return _mig_device_state(device, caller, flags, data, argsz)
        case u.VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
            return logging_start(device, caller, flags, data, argsz)
        case u.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
            return logging_stop(device, flags, argsz)
        case u.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
            return logging_report(device, caller, flags, data, argsz)
        case u.VFIO_DEVICE_FEATURE_MIG_DATA_SIZE if section.mig_data_size:
            return _migration_data_size(device, caller, flags, data, argsz)
        case u.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 if section.precopy_info_v2:
            return _migration_precopy_info_v2(device, flags, argsz)
    return device.device_feature(caller, flags, data, argsz)


def _can_migrate(device: VfioDevice) -> None:
    if not device.migration_flags:
        raise Errno(errno.ENOTTY)


def _migration(device: VfioDevice, caller: Caller, flags: int, data: int, argsz: int) -> int:
    """vfio_ioctl_device_feature_migration."""
    _can_migrate(device)
    if vfio_check_feature(flags, argsz, _GET, sizeof(u.FeatureMigration)):
        answer = u.FeatureMigration(flags=device.migration_flags)
        caller.copy_to_user(data, bytes(answer))
    return 0


def _migration_data_size(
    device: VfioDevice, caller: Caller, flags: int, data: int, argsz: int
) -> int:
    """vfio_ioctl_device_feature_migration_data_size (6.2)."""
    _can_migrate(device)
    if vfio_check_feature(flags, argsz, _GET, sizeof(u.FeatureMigDataSize)):
        answer = u.FeatureMigDataSize(stop_copy_length=device.migration_get_data_size())
        caller.copy_to_user(data, bytes(answer))
    return 0


def _migration_precopy_info_v2(device: VfioDevice, flags: int, argsz: int) -> int:
    """vfio_ioctl_device_feature_migration_precopy_info_v2: EINVAL where nothing can be copied in
    advance."""
    if not device.migration_flags & u.VFIO_MIGRATION_PRE_COPY:
        raise Errno(errno.EINVAL)
    if vfio_check_feature(flags, argsz, _SET, 0):
        device.precopy_info_v2 = True
    return 0


def _mig_device_state(device: VfioDevice, caller: Caller, flags: int, data: int, argsz: int) -> int:
    """vfio_ioctl_device_feature_mig_device_state: the data are written back after a failure, too,
    unless it is only the file with data that the caller cannot have."""
    _can_migrate(device)
    if not vfio_check_feature(flags, argsz, _GET | _SET, sizeof(u.FeatureMigState)):
        return 0
    answer = copy_from_user(caller, u.FeatureMigState, data)
    if flags & _GET:
        answer.device_state = device.migration_get_state()
        answer.data_fd = _NO_FD
        caller.copy_to_user(data, bytes(answer))
        return 0
    try:
        file = device.migration_set_state(caller, answer.device_state)
    except Errno:
        answer.data_fd = _NO_FD
        caller.copy_to_user(data, bytes(answer))
        raise
    if file is not None:
        return _return_fd(caller, file, data, answer)
    answer.data_fd = _NO_FD
    caller.copy_to_user(data, bytes(answer))
    return 0


def _return_fd(caller: Caller, file: OpenFile, data: int, answer: u.FeatureMigState) -> int:
    """vfio_ioct_mig_return_fd: EMFILE, EFAULT; the file is closed then, the state stays new."""
    try:
        caller.check_unused_fd()
        # What is there already, to see that it can be written before there is an fd to write.
        caller.copy_to_user(data, bytes(answer))
    except Errno:
        file.release()
        raise
    answer.data_fd = caller.install(file)
    caller.copy_to_user(data, bytes(answer))
    return 0


_ERROR, _STOP, _RUNNING, _STOP_COPY, _RESUMING, _RUNNING_P2P, _PRE_COPY, _PRE_COPY_P2P = range(8)
#: The next state on the way from one to another, where it is not the other itself.
_NEXT = {
    _STOP: {_RUNNING: _RUNNING_P2P, _PRE_COPY: _RUNNING_P2P, _PRE_COPY_P2P: _RUNNING_P2P},
    _RUNNING: {
        _STOP: _RUNNING_P2P,
        _PRE_COPY_P2P: _RUNNING_P2P,
        _STOP_COPY: _RUNNING_P2P,
        _RESUMING: _RUNNING_P2P,
    },
    _PRE_COPY: {
        _STOP: _RUNNING,
        _STOP_COPY: _PRE_COPY_P2P,
        _RESUMING: _RUNNING,
        _RUNNING_P2P: _RUNNING,
    },
    _PRE_COPY_P2P: {
        _STOP: _RUNNING_P2P,
        _RUNNING: _RUNNING_P2P,
        _RESUMING: _RUNNING_P2P,
    },
    _STOP_COPY: {
        _RUNNING: _STOP,
        _RESUMING: _STOP,
        _RUNNING_P2P: _STOP,
        _PRE_COPY: _ERROR,
        _PRE_COPY_P2P: _ERROR,
    },
    _RESUMING: dict.fromkeys((_RUNNING, _PRE_COPY, _PRE_COPY_P2P, _STOP_COPY, _RUNNING_P2P), _STOP),
    _RUNNING_P2P: {_PRE_COPY: _RUNNING, _STOP_COPY: _STOP, _RESUMING: _STOP},
    _ERROR: dict.fromkeys(range(1, 8), _ERROR),
}
#: What a device must be able to do to be in a state.
_NEEDS = {
    _RUNNING_P2P: u.VFIO_MIGRATION_P2P,
    _PRE_COPY: u.VFIO_MIGRATION_PRE_COPY,
    _PRE_COPY_P2P: u.VFIO_MIGRATION_P2P | u.VFIO_MIGRATION_PRE_COPY,
}


def vfio_mig_get_next_state(device: VfioDevice, current: int, new: int) -> int:
    """The next state on the way from ``current`` to ``new``; states that the device lacks are
    passed over. EINVAL if there is no way."""

    def has(state: int) -> bool:
        needs = _NEEDS.get(state, 0)
        return state != _ERROR and device.migration_flags & needs == needs

    if new not in _NEXT or not has(current) or not has(new):
        raise Errno(errno.EINVAL)
    state = _NEXT[current].get(new, new)
    while state != _ERROR and not has(state):
        state = _NEXT[state].get(new, new)
    if state == _ERROR:
        raise Errno(errno.EINVAL)
    return state
