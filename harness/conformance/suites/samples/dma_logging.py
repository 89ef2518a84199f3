# SPDX-License-Identifier: Apache-2.0
"""Logging of what a device writes to memory. mtty can be asked for it, and logs nothing."""

from __future__ import annotations

import struct

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import (
    E2BIG,
    EFAULT,
    EINVAL,
    ENOTTY,
    EOPNOTSUPP,
    EOVERFLOW,
    ErrorNumber,
)
from harness.conformance.suites.samples._device import MACHINE, open_mtty, open_sample
from harness.conformance.suites.vfio_pci._device import GET, PROBE, SET, feature
from harness.uapi import vfio as u

_START, _STOP, _REPORT = (
    u.VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
    u.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
    u.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
)
_MAIN = "drivers/vfio/vfio_main.c, 6.12"
_LOG_START = f"vfio_ioctl_device_feature_logging_start: {_MAIN}"
_LOG_REPORT = f"vfio_ioctl_device_feature_logging_report: {_MAIN}"
_TOP = (1 << 64) - 4096
_PAGE = 4096


def _control(call: Call, page_size: int, ranges: list[tuple[int, int]], count: int) -> bytes:
    memory = call.buffer(2 * _PAGE)
    expect(call.poke(memory, b"".join(struct.pack("<QQ", *one) for one in ranges) or bytes(1)))
    return struct.pack("<QIIQ", page_size, count, 0, memory.address)


@case(source=f"vfio_ioctl_device_feature: {_MAIN}", machine=MACHINE)
@param("kind", ["mtty-1", "mdpy-hd"])
def without_log_ops(call: Call, kind: str) -> None:
    """mtty had them neither before it could migrate."""
    if kind.startswith("mtty") and call.since("6.12"):
        return
    fd = open_sample(call, kind.partition("-")[0], kind)
    for number in (_START, _STOP, _REPORT):
        for operation in (0, GET, SET, PROBE, GET | SET | PROBE):
            expect(feature(call, fd, number | operation, bytes(64))[0], ENOTTY)


@case(
    source=f"mtty_log_ops: samples/vfio-mdev/mtty.c, 6.12; {_MAIN}", machine=MACHINE, since="6.12"
)
@param(
    "number operation other size",
    [(_START, SET, GET, 24), (_STOP, SET, GET, 0), (_REPORT, GET, SET, 32)],
    id="{number}",
)
def operations(call: Call, number: int, operation: int, other: int, size: int) -> None:
    fd = open_mtty(call)
    for wrong in (0, other, other | PROBE, GET | SET | PROBE):
        expect(feature(call, fd, number | wrong, bytes(64))[0], EINVAL)
    for right in (PROBE, operation | PROBE):
        expect(feature(call, fd, number | right)[0], 0)
    if size:
        expect(feature(call, fd, number | operation, bytes(64), 8 + size - 1)[0], EINVAL)
    expect(feature(call, fd, number | operation, bytes(64), 7)[0], EINVAL)


@case(source=_LOG_START, machine=MACHINE, since="6.12")
@param(
    "what page_size ranges count answer",
    [
        ("one", 4096, [(0, 0x10000)], 1, 0),
        ("two", 4096, [(0, 0x1000), (0x1000, 0x1000)], 2, 0),
        ("in any order", 4096, [(0x4000, 0x1000), (0, 0x4000)], 2, 0),
        ("none", 4096, [(0, 0x1000)], 0, EINVAL),
        ("as many as a page has", 4096, [(n << 12, 4096) for n in range(256)], 256, 0),
        ("more", 4096, [(n << 12, 4096) for n in range(257)], 257, E2BIG),
        ("unaligned address", 8192, [(0x1000, 0x2000)], 1, EINVAL),
        ("unaligned length", 8192, [(0, 0x1000)], 1, EINVAL),
        ("pages of 100 bytes", 100, [(0, 0x1000)], 1, 0),
        ("pages of 3 bytes", 3, [(2, 2)], 1, EINVAL),
        ("pages of 0 bytes", 0, [(0, 0x1000)], 1, EINVAL),
        ("nothing, in pages of 0 bytes", 0, [(0, 0)], 1, 0),
        ("wraps", 4096, [(_TOP, 0x1000)], 1, EOVERFLOW),
        ("unaligned, and wraps", 4096, [(_TOP, 0x1800)], 1, EINVAL),
        ("up to the last page", 4096, [(0, _TOP)], 1, 0),
        ("the same twice", 4096, [(0, 0x1000), (0, 0x1000)], 2, EINVAL),
        ("overlap", 4096, [(0, 0x2000), (0x1000, 0x2000)], 2, EINVAL),
        ("one inside another", 4096, [(0x1000, 0x1000), (0, 0x4000)], 2, EINVAL),
        ("nothing at 0 is everything", 4096, [(0, 0), (0x1000, 0x1000)], 2, EINVAL),
    ],
    id="{what}",
)
def ranges(
    call: Call,
    what: str,
    page_size: int,
    ranges: list[tuple[int, int]],
    count: int,
    answer: ErrorNumber | int,
) -> None:
    """The size of a page is the caller's, and it is written back."""
    fd = open_mtty(call)
    control = _control(call, page_size, ranges, count)
    result, after = feature(call, fd, _START | SET, control)
    expect(result, answer)
    expect(after, control)


@case(source=_LOG_START, machine=MACHINE, since="6.12")
def ranges_nowhere(call: Call) -> None:
    """What is wrong with their number is said first, and of a good range before a missing one."""
    fd = open_mtty(call)
    for count, answer in ((0, EINVAL), (1, EFAULT), (257, E2BIG)):
        control = struct.pack("<QIIQ", 4096, count, 0, 0x1000)
        expect(feature(call, fd, _START | SET, control)[0], answer)


@case(source=f"mtty_log_start, mtty_log_stop: {_LOG_START}", machine=MACHINE, since="6.12")
def as_often_as_wanted(call: Call) -> None:
    """Nobody keeps account."""
    fd = open_mtty(call)
    expect(feature(call, fd, _STOP | SET)[0], 0)
    for _ in range(2):
        control = _control(call, 4096, [(0, 0x10000)], 1)
        expect(feature(call, fd, _START | SET, control)[0], 0)
    for _ in range(2):
        expect(feature(call, fd, _STOP | SET)[0], 0)


@case(source=_LOG_REPORT, machine=MACHINE, since="6.12")
@param(
    "what iova length page_size answer",
    [
        ("some", 0, 0x10000, 4096, 0),
        ("large pages", 0, 0x200000, 0x200000, 0),
        ("unaligned", 0x123, 0x456, 4096, 0),
        ("pages of 100 bytes", 0, 0x10000, 100, EINVAL),
        ("pages of 0 bytes", 0, 0x10000, 0, EINVAL),
        ("pages of 2048 bytes", 0, 0x10000, 2048, EINVAL),
        ("pages of 12288 bytes", 0, 0x10000, 12288, EINVAL),
        ("wraps", _TOP, 0x1000, 4096, EOVERFLOW),
        ("wraps, in pages of 100 bytes", _TOP, 0x1000, 100, EINVAL),
        ("nearly everything", 0, _TOP, 4096, 0),
        ("nothing", 0, 0, 4096, 0),
    ],
    id="{what}",
)
def report(
    call: Call, what: str, iova: int, length: int, page_size: int, answer: ErrorNumber | int
) -> None:
    """The bitmap stays as it was, wherever it is. A kernel without iommufd has no bitmaps."""
    fd = open_mtty(call)
    if answer == 0 and not call.since("+iommufd"):
        answer = EOPNOTSUPP
    bits = call.buffer(4096)
    expect(call.poke(bits, b"\xaa" * 64))
    for place in (bits.address, 0x1000):
        given = struct.pack("<QQQQ", iova, length, page_size, place)
        result, after = feature(call, fd, _REPORT | GET, given)
        expect(result, answer)
        expect(after, given)
    expect(call.peek(bits, 64), b"\xaa" * 64)
