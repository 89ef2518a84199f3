# SPDX-License-Identifier: Apache-2.0
"""VFIO_DEVICE_FEATURE and VFIO_DEVICE_IOEVENTFD."""

from __future__ import annotations

import struct

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import (
    EACCES,
    EBADF,
    EEXIST,
    EFAULT,
    EINVAL,
    EMFILE,
    ENODEV,
    ENOMEM,
    ENOTTY,
    EOVERFLOW,
    ErrorNumber,
)
from harness.conformance.results import Result
from harness.conformance.suites._steps import no_more_fds
from harness.conformance.suites.vfio_pci._device import (
    COMMAND,
    E1000E,
    EDU,
    GET,
    MACHINE,
    MEMORY,
    NVME,
    PROBE,
    SET,
    ask,
    count,
    eventfd,
    fds,
    feature,
    not_an_eventfd,
    open_device,
    region,
    unbind,
)
from harness.uapi import vfio as u
from harness.uapi.fs import O_RDONLY, O_RDWR, O_WRONLY, POLLIN, RLIMIT_NOFILE, SEEK_END

_FEATURE = "vfio_ioctl_device_feature: drivers/vfio/vfio_main.c, 6.1"
_PCI = "vfio_pci_core_ioctl_feature: drivers/vfio/pci/vfio_pci_core.c, 6.1"
_LOW_POWER = "vfio_pci_core_pm_entry: drivers/vfio/pci/vfio_pci_core.c, 6.1"
_IOEVENTFD = "vfio_pci_ioctl_ioeventfd: drivers/vfio/pci/vfio_pci_core.c, 6.1"
_ENTRY, _WITH_WAKEUP, _EXIT = (
    u.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
    u.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
    u.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
)


_ONE = (1).to_bytes(8, "little")
_PATIENCE = 2000


@case(source=_FEATURE, machine=MACHINE)
@param(
    "flags argsz",
    [(_ENTRY | SET, 7), (_EXIT | SET, 0), (GET | SET, 72), (1 << 19 | GET, 72), (1 << 31, 72)],
    id="{flags:#x}-{argsz}",
)
def feature_refused(call: Call, flags: int, argsz: int) -> None:
    fd = open_device(call).fd
    expect(feature(call, fd, flags, bytes(64), argsz)[0], EINVAL)


@case(source=f"{_FEATURE}; {_PCI}", machine=MACHINE)
@param(
    "number",
    [
        u.VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
        u.VFIO_DEVICE_FEATURE_MIGRATION,
        u.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
        u.VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
        u.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
        u.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
        u.VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
        u.VFIO_DEVICE_FEATURE_BUS_MASTER,
        999,
        0xFFFF,
    ],
)
def feature_not_there(call: Call, number: int) -> None:
    """That is looked at before the operation."""
    fd = open_device(call).fd
    for operation in (0, GET, SET, PROBE, GET | PROBE, SET | PROBE, GET | SET | PROBE):
        expect(feature(call, fd, number | operation, bytes(64))[0], ENOTTY)


@case(source=f"vfio_check_feature; {_FEATURE}", machine=MACHINE)
@param("number", [_ENTRY, _WITH_WAKEUP, _EXIT])
def feature_operations(call: Call, number: int) -> None:
    """Asking for it changes nothing."""
    fd = open_device(call).fd
    for operation in (0, GET, GET | PROBE, GET | SET | PROBE):
        expect(feature(call, fd, number | operation, bytes(64))[0], EINVAL)
    for operation in (PROBE, SET | PROBE):
        result, data = feature(call, fd, number | operation, b"\xee" * 16)
        expect(result, 0)
        expect(data, b"\xee" * 16)
    expect(feature(call, fd, number | PROBE, b"", 8)[0], 0)
    expect(call.ioctl(fd, u.VFIO_DEVICE_FEATURE, 0), EFAULT)


@case(source=_LOW_POWER, machine=MACHINE)
@param("address", [EDU, NVME])
def low_power(call: Call, address: str) -> None:
    """Once; leaving it is no error either way. Calls wake the device up for themselves."""
    fd = open_device(call, address).fd
    expect(feature(call, fd, _EXIT | SET)[0], 0)
    expect(feature(call, fd, _ENTRY | SET)[0], 0)
    expect(feature(call, fd, _ENTRY | SET)[0], EINVAL)
    before = expect(call.pread(fd, 4, region(0)))
    expect(feature(call, fd, _EXIT | SET)[0], 0)
    expect(call.pread(fd, 4, region(0)), before)
    expect(feature(call, fd, _ENTRY | SET)[0], 0)


@case(source="vfio_pci_core_pm_entry_with_wakeup: vfio_pci_core.c, 6.1", machine=MACHINE)
def low_power_with_wakeup(call: Call) -> None:
    """The next call wakes the device up for good, and says so."""
    fd = open_device(call).fd
    null = not_an_eventfd(call)
    wakeup = eventfd(call)
    expect(feature(call, fd, _WITH_WAKEUP | SET, fds(wakeup))[0], EINVAL)
    expect(feature(call, fd, _WITH_WAKEUP | SET, fds(-1, 0))[0], EINVAL)
    expect(feature(call, fd, _WITH_WAKEUP | SET, fds(999, 0))[0], EBADF)
    expect(feature(call, fd, _WITH_WAKEUP | SET, fds(null, 0))[0], EINVAL)
    expect(feature(call, fd, _WITH_WAKEUP | SET, fds(wakeup, 0))[0], 0)


@case(
    source="vfio_ioctl_device_feature_migration_precopy_info_v2: vfio_main.c, 7.2", machine=MACHINE
)
def precopy_info_of_no_migration(call: Call) -> None:
    """Of what cannot be copied in advance this one feature is not unknown, but wrong."""
    fd = open_device(call).fd
    answer = EINVAL if call.since("7.2") else ENOTTY
    for operation in (0, GET, SET, PROBE, GET | PROBE, SET | PROBE, GET | SET | PROBE):
        given = u.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 | operation
        expect(feature(call, fd, given, bytes(64))[0], answer)


# --- BARs as dmabufs

_DMA_BUF = "vfio_pci_core_feature_dma_buf: drivers/vfio/pci/vfio_pci_dmabuf.c, 7.2"
_NO_P2P = "vfio_pci_core_feature_dma_buf (CONFIG_VFIO_PCI_DMABUF): vfio_pci_priv.h, 7.2"


def _dma_buf(
    call: Call,
    fd: Fd,
    *ranges: tuple[int, int],
    bar: int = 0,
    open_flags: int = O_RDWR,
    flags: int = 0,
    count: int | None = None,
) -> Result[int]:
    """VFIO_DEVICE_FEATURE_DMA_BUF with offset and length of each range."""
    number = len(ranges) if count is None else count
    data = struct.pack("<IIII", bar, open_flags, flags, number)
    data += b"".join(struct.pack("<QQ", *one) for one in ranges)
    return feature(call, fd, u.VFIO_DEVICE_FEATURE_DMA_BUF | GET, data)[0]


@case(source=_NO_P2P, machine=MACHINE, until="7.2")
def no_dma_buf(call: Call) -> None:
    fd = open_device(call).fd
    for operation in (0, GET, SET, PROBE, GET | PROBE):
        given = u.VFIO_DEVICE_FEATURE_DMA_BUF | operation
        expect(feature(call, fd, given, bytes(64))[0], ENOTTY)


@case(source=_NO_P2P, machine=MACHINE, since="7.2")
def dma_buf_probed(call: Call) -> None:
    """Where there is no DMA between devices, there is nothing to be had."""
    fd = open_device(call).fd
    result = feature(call, fd, u.VFIO_DEVICE_FEATURE_DMA_BUF | PROBE | GET)[0]
    expect(result, ENOTTY if call.since("+iommufd") else 0)


@case(source=_DMA_BUF, machine=MACHINE, since="7.2", until="+iommufd")
@param(
    "what ranges more answer",
    [
        ("no range", [], {}, EINVAL),
        ("flags", [(0, 4096)], {"flags": 1}, EINVAL),
        ("flags come first", [(0, 4096)], {"flags": 1, "bar": 9}, EINVAL),
        ("no BAR there", [(0, 4096)], {"bar": 5}, ENODEV),
        ("the ROM", [(0, 4096)], {"bar": 6}, ENODEV),
        ("configuration space", [(0, 4096)], {"bar": 7}, ENODEV),
        ("far beyond", [(0, 4096)], {"bar": 0xFFFFFFFF}, ENODEV),
        ("BAR before ranges", [(1, 1)], {"bar": 5}, ENODEV),
        ("ports", [(0, 4096)], {"bar": 2}, EINVAL),
        ("nothing", [(0, 0)], {}, EINVAL),
        ("nothing in the second", [(0, 4096), (0, 0)], {}, EINVAL),
        ("offset in a page", [(0x800, 4096)], {}, EINVAL),
        ("length in a page", [(0, 0x1800)], {}, EINVAL),
        ("beyond the end", [(0x1F000, 0x2000)], {}, EINVAL),
        ("behind the end", [(0x20000, 4096)], {}, EINVAL),
        ("wraps", [(1 << 64 - 1, 4096), ((1 << 64) - 4096, 4096)], {}, EINVAL),
        ("wraps alone", [((1 << 64) - 4096, 4096)], {}, EOVERFLOW),
        ("more than all", [(0, 1 << 63), (0, 1 << 63)], {}, EINVAL),
        ("half of all", [(0, 1 << 63)], {}, EINVAL),
        ("less than half of all", [(0, (1 << 63) - 4096)], {}, EINVAL),
        ("ranges without end", [(0, 4096)], {"count": 0xFFFFFFFF}, ENOMEM),
    ],
    id="{what}",
)
def dma_buf_refused(
    call: Call, what: str, ranges: list[tuple[int, int]], more: dict[str, int], answer: ErrorNumber
) -> None:
    fd = open_device(call, E1000E).fd
    expect(_dma_buf(call, fd, *ranges, **more), answer)


@case(source=f"vfio_check_feature; {_DMA_BUF}", machine=MACHINE, since="7.2", until="+iommufd")
def dma_buf_operations(call: Call) -> None:
    fd = open_device(call).fd
    number = u.VFIO_DEVICE_FEATURE_DMA_BUF
    for operation in (0, SET, SET | PROBE, GET | SET | PROBE):
        expect(feature(call, fd, number | operation, bytes(64))[0], EINVAL)
    for operation in (PROBE, GET | PROBE):
        expect(feature(call, fd, number | operation)[0], 0)
    expect(feature(call, fd, number | GET, bytes(16), 23)[0], EINVAL)


@case(source=f"dma_buf_fops; {_DMA_BUF}", machine=MACHINE, since="7.2", until="+iommufd")
@param("open_flags", [O_RDONLY, O_WRONLY, O_RDWR], id="{open_flags}")
def dma_buf(call: Call, open_flags: int) -> None:
    """A file with the size of all ranges, which cannot be mapped."""
    fd = open_device(call, E1000E).fd
    ranges = [(0, 4096), (0x2000, 0x2000), (0, 4096)]
    dmabuf = Fd(expect(_dma_buf(call, fd, *ranges, open_flags=open_flags)), "dmabuf")
    expect(call.lseek(dmabuf, 0, SEEK_END), 0x4000)
    expect(call.poll({dmabuf: POLLIN}), {dmabuf: POLLIN})
    expect(call.read(dmabuf, 8), EBADF if open_flags == O_WRONLY else EINVAL)
    expect(call.write(dmabuf, bytes(8)), EBADF if open_flags == O_RDONLY else EINVAL)
    expect(call.mmap(4096, 1, 1, dmabuf), EACCES if open_flags == O_WRONLY else EINVAL)
    expect(call.mmap(4096, 3, 1, dmabuf), EINVAL if open_flags == O_RDWR else EACCES)


@case(
    source=f"vfio_pci_dma_buf_cleanup; {_DMA_BUF}", machine=MACHINE, since="7.2", until="+iommufd"
)
def dma_buf_outlives_the_device(call: Call) -> None:
    """It keeps nobody from taking the function back."""
    opened = open_device(call)
    dmabuf = Fd(expect(_dma_buf(call, opened.fd, (0, 4096))), "dmabuf")
    expect(call.close(opened.fd))
    unbind(call, EDU)
    expect(call.lseek(dmabuf, 0, SEEK_END), 4096)
    expect(call.close(dmabuf))


@case(source=f"dma_buf_fd; {_DMA_BUF}", machine=MACHINE, since="7.2", until="+iommufd")
def dma_buf_without_an_fd(call: Call) -> None:
    """All else is looked at first."""
    fd = open_device(call).fd
    limit = no_more_fds(call)
    expect(_dma_buf(call, fd, (0x100000, 4096)), EINVAL)
    expect(_dma_buf(call, fd, (0, 4096)), EMFILE)
    expect(call.setrlimit(RLIMIT_NOFILE, limit))
    expect(_dma_buf(call, fd, (0, 4096)))


# --- writes by eventfd


def _ioeventfd(
    call: Call, fd: object, flags: int, offset: int, data: int, number: int, argsz: int = 32
) -> object:
    request = struct.pack("<IIQQiI", argsz, flags, offset, data, number, 0)
    assert hasattr(fd, "number")
    return ask(call, fd, u.VFIO_DEVICE_IOEVENTFD, request)[0]  # type: ignore[arg-type]


@case(source=_IOEVENTFD, machine=MACHINE)
@param(
    "flags offset number argsz",
    [
        (4, region(0), 999, 27),
        (0, region(0), 999, 32),
        (5, region(0), 999, 32),
        (0x14, region(0), 999, 32),
        (4, region(0), -2, 32),
        (4, region(7), 999, 32),
        (4, region(6), 999, 32),
        (4, region(0) + 0x3FFE, 999, 32),
        (4, region(0) + 0x2000, 999, 32),  # the table of MSI-X
        (8, region(0) + 0x2000 - 4, 999, 32),
        (4, region(2), 999, 32),
    ],
    id="{flags:#x}-{offset:#x}-{number}-{argsz}",
)
def ioeventfd_refused(call: Call, flags: int, offset: int, number: int, argsz: int) -> None:
    fd = open_device(call, NVME).fd
    expect(_ioeventfd(call, fd, flags, offset, 0, number, argsz), EINVAL)


@case(source=f"vfio_pci_ioeventfd: vfio_pci_rdwr.c, 6.1; {_IOEVENTFD}", machine=MACHINE)
def ioeventfd_once(call: Call) -> None:
    """The same write twice, one that is not there, and fds that are none."""
    fd = open_device(call).fd
    place, trigger = region(0) + 4, eventfd(call)
    null = not_an_eventfd(call)
    expect(_ioeventfd(call, fd, 4, place, 1, -1), ENODEV)
    expect(_ioeventfd(call, fd, 4, place, 1, 999), EBADF)
    expect(_ioeventfd(call, fd, 4, place, 1, null.number), EINVAL)
    expect(_ioeventfd(call, fd, 4, place, 1, trigger.number), 0)
    expect(_ioeventfd(call, fd, 4, place, 1, trigger.number), EEXIST)
    expect(_ioeventfd(call, fd, 4, place, 1, 999), EEXIST)
    expect(_ioeventfd(call, fd, 4, place, 2, trigger.number), 0)
    expect(_ioeventfd(call, fd, 2, place, 1, trigger.number), 0)
    expect(_ioeventfd(call, fd, 4, place, 1, -1), 0)
    expect(_ioeventfd(call, fd, 4, place, 1, -1), ENODEV)


@case(source="vfio_pci_ioeventfd_handler: vfio_pci_rdwr.c, 6.1", machine=MACHINE)
def ioeventfd_writes(call: Call) -> None:
    """Unless memory is off."""
    fd = open_device(call).fd
    place, trigger = region(0) + 4, eventfd(call)
    expect(_ioeventfd(call, fd, 4, place, 0x12345678, trigger.number), 0)
    _write_and_settle(call, trigger)
    expect(call.pread(fd, 4, place), b"\x87\xa9\xcb\xed")
    expect(call.pwrite(fd, bytes(4), place), 4)
    expect(call.pwrite(fd, bytes(2), COMMAND), 2)
    _write_and_settle(call, trigger)
    expect(call.pwrite(fd, bytes([MEMORY, 0]), COMMAND), 2)
    expect(call.pread(fd, 4, place), b"\xff" * 4)
    expect(_ioeventfd(call, fd, 4, place, 0x12345678, -1), 0)
    expect(call.write(trigger, _ONE), 8)
    expect(count(call, trigger), 1)


def _write_and_settle(call: Call, trigger: Fd) -> None:
    """Write to the eventfd, and wait until the kernel has taken that."""
    expect(call.write(trigger, _ONE), 8)
    for _ in range(_PATIENCE):
        if not expect(call.poll({trigger: POLLIN}))[trigger]:
            return
    expect(call.poll({trigger: POLLIN}), {trigger: 0})
