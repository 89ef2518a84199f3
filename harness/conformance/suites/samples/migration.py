# SPDX-License-Identifier: Apache-2.0
"""States of a migration, and the file that the data are in."""

from __future__ import annotations

import struct

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import (
    EBADF,
    EFAULT,
    EINVAL,
    EMFILE,
    ENODEV,
    ENOMEM,
    ENOTTY,
    EPERM,
    ESPIPE,
    ErrorNumber,
)
from harness.conformance.suites._steps import no_more_fds
from harness.conformance.suites.samples._device import (
    ANOTHER,
    MACHINE,
    get_state,
    open_mtty,
    set_state,
)
from harness.conformance.suites.vfio_pci._device import GET, PROBE, SET, ask, feature, region
from harness.uapi import vfio as u
from harness.uapi.fs import POLLIN

_MTTY = "samples/vfio-mdev/mtty.c, 6.12"
_SET = f"mtty_set_state: {_MTTY}; vfio_mig_get_next_state: drivers/vfio/vfio_main.c, 6.12"
_DATA = f"mtty_save_read, mtty_resume_write: {_MTTY}"
_MIGRATION, _STATE, _SIZE = (
    u.VFIO_DEVICE_FEATURE_MIGRATION,
    u.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
    u.VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
)
_ERROR, _STOP, _RUNNING, _STOP_COPY, _RESUMING, _RUNNING_P2P, _PRE_COPY, _PRE_COPY_P2P = range(8)
_HEADER = 24
_INFO_V2 = u.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2
_V2 = "vfio_check_precopy_ioctl: include/linux/vfio.h, 7.2; mtty_precopy_ioctl: mtty.c, 7.2"


def _go(call: Call, fd: Fd, state: int) -> Fd | None:
    """Change the state; the file of data if there is one."""
    result, number = set_state(call, fd, state)
    expect(result, 0)
    return None if number == -1 else Fd(number, "mtty_mig")


def _go_with_file(call: Call, fd: Fd, state: int) -> Fd:
    file = _go(call, fd, state)
    if file is None:
        expect(file, "a file")
    assert file is not None
    return file


@case(source=f"vfio_ioctl_device_feature_migration; {_SET}", machine=MACHINE, since="6.12")
@param("ports size", [(1, 60), (2, 96)])
def flags_and_size(call: Call, ports: int, size: int) -> None:
    fd = open_mtty(call, ports)
    for number in (_MIGRATION, _SIZE):
        expect(feature(call, fd, number | PROBE)[0], 0)
        expect(feature(call, fd, number | GET, b"", 8)[0], EINVAL)
        expect(feature(call, fd, number | SET, bytes(8))[0], EINVAL)
    expect(feature(call, fd, _MIGRATION | GET, bytes(8))[1], struct.pack("<Q", 7))
    expect(feature(call, fd, _SIZE | GET, bytes(8))[1], struct.pack("<Q", size))
    expect(feature(call, fd, _STATE | PROBE | GET | SET)[0], 0)


@case(source=f"vfio_ioctl_device_feature: {_SET}", machine=MACHINE, until="6.12")
def none_before(call: Call) -> None:
    fd = open_mtty(call)
    for number in (_MIGRATION, _STATE):
        expect(feature(call, fd, number | PROBE)[0], ENOTTY)
        expect(feature(call, fd, number | GET, bytes(8))[0], ENOTTY)


@case(source="vfio_ioctl_device_feature: drivers/vfio/vfio_main.c, 6.1", machine=MACHINE)
@param("number", [0, 3, 5, 10, 11, 999, 0xFFFF])
def features_that_it_has_not(call: Call, number: int) -> None:
    fd = open_mtty(call)
    for operation in (0, GET, SET, PROBE, GET | PROBE, SET | PROBE):
        expect(feature(call, fd, number | operation, bytes(64))[0], ENOTTY)
    expect(feature(call, fd, number | GET | SET, bytes(64))[0], EINVAL)
    expect(feature(call, fd, number | GET, bytes(64), 7)[0], EINVAL)


@case(source=_V2, machine=MACHINE)
def flags_with_what_is_left(call: Call) -> None:
    """Who asked for them is given them, until the device is closed."""
    fd = open_mtty(call)
    if not call.since("7.2"):
        for operation in (0, GET, SET, PROBE):
            expect(feature(call, fd, _INFO_V2 | operation)[0], ENOTTY)
        return
    for operation in (0, GET, GET | PROBE):
        expect(feature(call, fd, _INFO_V2 | operation)[0], EINVAL)
    expect(feature(call, fd, _INFO_V2 | SET | PROBE)[0], 0)
    file = _go_with_file(call, fd, _PRE_COPY)
    expect(_left(call, file), (0, 0x80000001))
    expect(feature(call, fd, _INFO_V2 | SET)[0], 0)
    expect(_left(call, file), (0, 0))


def _left(call: Call, file: Fd) -> tuple[int, int]:
    """What is dirty, and the flags, of which all but one bit are the caller's."""
    request = struct.pack("<IIQQ", 24, 0x80000001, 77, 77)
    result, after = ask(call, file, u.VFIO_MIG_GET_PRECOPY_INFO, request)
    expect(result, 0)
    _, flags, _, dirty = struct.unpack("<IIQQ", after)
    return dirty, flags


@case(source=_SET, machine=MACHINE, since="6.12")
@param(
    "way states",
    [
        ("stop", [_STOP]),
        ("stop and go", [_RUNNING_P2P, _STOP, _RUNNING]),
        ("copy in advance", [_PRE_COPY, _RUNNING]),
        ("between both ways to do that", [_PRE_COPY, _PRE_COPY_P2P, _PRE_COPY]),
        ("to P2P", [_PRE_COPY_P2P, _RUNNING_P2P]),
        ("copy", [_STOP_COPY, _STOP, _RUNNING]),
        ("copy all the way", [_PRE_COPY, _STOP_COPY, _RUNNING]),
    ],
)
def ways(call: Call, way: str, states: list[int]) -> None:
    """Of several steps, too. A file comes with what begins to save, and once only."""
    fd = open_mtty(call)
    expect(get_state(call, fd), (_RUNNING, -1))
    saving = False
    for state in states:
        file = _go(call, fd, state)
        saves = state in (_PRE_COPY, _PRE_COPY_P2P, _STOP_COPY)
        expect(file is not None, saves and not saving)
        saving = saves
        expect(get_state(call, fd), (state, -1))


@case(source=f"vfio_ioct_mig_return_fd: vfio_main.c, 6.12; {_SET}", machine=MACHINE, since="6.12")
@param("state", [_STOP_COPY, _RESUMING])
def no_fd_for_the_data(call: Call, state: int) -> None:
    """The state is new all the same; of the structure nothing is written."""
    fd = open_mtty(call)
    no_more_fds(call)
    result, number = set_state(call, fd, state)
    expect(result, EMFILE)
    expect(number, 77)
    expect(get_state(call, fd), (state, -1))


@case(source=_SET, machine=MACHINE, since="6.12")
@param("state", [_ERROR, 8, 99, 0xFFFFFFFF])
def no_such_state(call: Call, state: int) -> None:
    """The structure is written back all the same."""
    fd = open_mtty(call)
    result, number = set_state(call, fd, state)
    expect(result, EINVAL)
    expect(number, -1)
    expect(get_state(call, fd), (_RUNNING, -1))


@case(source=_SET, machine=MACHINE, since="6.12")
def no_way_back_to_copying(call: Call) -> None:
    """Once stopped, copying in advance makes no sense."""
    fd = open_mtty(call)
    _go(call, fd, _STOP_COPY)
    for state in (_PRE_COPY, _PRE_COPY_P2P):
        expect(set_state(call, fd, state)[0], EINVAL)
    expect(get_state(call, fd), (_STOP_COPY, -1))


@case(source=_DATA, machine=MACHINE, since="6.12")
def saved_and_resumed(call: Call) -> None:
    """What one port was sent, the port of another device receives."""
    source, target = open_mtty(call), open_mtty(call, uuid=ANOTHER)
    for byte in b"moved":
        expect(call.pwrite(source, bytes([byte]), region(0)), 1)
    expect(call.pwrite(source, b"\xa5", region(0) + 7), 1)
    file = _go_with_file(call, source, _STOP_COPY)
    data = expect(call.read(file, 4096))
    expect(len(data), 60)
    expect(call.read(file, 4096), b"")
    expect(call.pread(file, 4, 0), ESPIPE)
    resuming = _go_with_file(call, target, _RESUMING)
    expect(call.write(resuming, data[:10]), 10)
    expect(call.write(resuming, data[10:]), 50)
    expect(call.write(resuming, b"x"), ENOMEM)
    expect(_go(call, target, _RUNNING), None)
    received = b"".join(expect(call.pread(target, 1, region(0))) for _ in range(5))
    expect(received, b"moved")
    expect(call.pread(target, 1, region(0) + 7), b"\xa5")
    expect(call.write(resuming, b"x"), ENODEV)
    expect(_go(call, source, _RUNNING), None)
    expect(call.read(file, 1), ENODEV)


@case(source=f"{_DATA}; do_epoll_ctl: fs/eventpoll.c, 6.1", machine=MACHINE, since="6.12")
@param("state", [_STOP_COPY, _RESUMING])
def data_without_poll(call: Call, state: int) -> None:
    file = _go_with_file(call, open_mtty(call), state)
    expect(call.epoll(file, POLLIN), EPERM)


@case(source=_DATA, machine=MACHINE, since="6.12")
@param("place", [0, 8, 12, 16, 20], id="{place}")
def not_of_this_device(call: Call, place: int) -> None:
    """Magic, version, number of ports and flags must be its own."""
    fd = open_mtty(call)
    file = _go_with_file(call, fd, _STOP_COPY)
    data = bytearray(expect(call.read(file, 4096)))
    data[place] ^= 0x40
    resuming = _go_with_file(call, fd, _RESUMING)
    expect(call.write(resuming, bytes(data)), EFAULT)


@case(source=f"mtty_load_state: {_MTTY}; mtty_reset", machine=MACHINE, since="6.12")
@param("length error", [(0, EINVAL), (_HEADER, EINVAL), (59, EINVAL)])
def too_little_to_resume(call: Call, length: int, error: ErrorNumber) -> None:
    """The state stays, and only a reset leads out of it."""
    fd = open_mtty(call)
    data = expect(call.read(_go_with_file(call, fd, _STOP_COPY), 4096))
    resuming = _go_with_file(call, fd, _RESUMING)
    if length:
        expect(call.write(resuming, data[:length]), length)
    for state in (_STOP, _RUNNING):
        expect(set_state(call, fd, state)[0], error)
        expect(get_state(call, fd), (_RESUMING, -1))
    expect(call.ioctl(fd, u.VFIO_DEVICE_RESET), 0)
    expect(get_state(call, fd), (_RUNNING, -1))
    expect(call.write(resuming, b"x"), ENODEV)


@case(source=f"mtty_precopy_ioctl: {_MTTY}", machine=MACHINE, since="6.12")
def copied_in_advance(call: Call) -> None:
    """Only the header is there before the device stops, and then there is more."""
    fd = open_mtty(call)
    file = _go_with_file(call, fd, _PRE_COPY)

    def ask_for(argsz: int) -> tuple[object, tuple[int, ...]]:
        request = u.PrecopyInfo(argsz, 0, 99, 99)
        result, data = ask(call, file, u.VFIO_MIG_GET_PRECOPY_INFO, request)
        return result, struct.unpack("<IIQQ", data)

    result, found = ask_for(23)
    expect(result, EINVAL)
    result, found = ask_for(24)
    expect(result, 0)
    expect(found, (24, 0, _HEADER, 0))
    expect(len(expect(call.read(file, 10))), 10)
    result, found = ask_for(24)
    expect(found, (24, 0, _HEADER - 10, 0))
    expect(call.ioctl(file, u.VFIO_DEVICE_GET_INFO), ENOTTY)
    expect(_go(call, fd, _STOP_COPY), None)
    result, found = ask_for(24)
    expect(result, EINVAL)
    expect(len(expect(call.read(file, 4096))), 50)


@case(source=f"mtty_save_fops, mtty_resume_fops: {_MTTY}", machine=MACHINE, since="6.12")
def files_go_one_way(call: Call) -> None:
    fd = open_mtty(call)
    expect(call.write(_go_with_file(call, fd, _STOP_COPY), b"x"), EBADF)
    expect(call.read(_go_with_file(call, fd, _RESUMING), 1), EBADF)
