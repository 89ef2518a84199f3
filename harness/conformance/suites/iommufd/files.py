# SPDX-License-Identifier: Apache-2.0
"""/dev/iommu: memory that is a file."""

from __future__ import annotations

import struct

from harness.conformance import Call, Fd, case, expect, param
from harness.conformance.errnos import (
    EBADF,
    EEXIST,
    EINVAL,
    ENOENT,
    ENOMEM,
    ENOTTY,
    EOPNOTSUPP,
    EOVERFLOW,
)
from harness.conformance.suites.iommufd._steps import (
    ALL,
    FEATURE,
    FIXED,
    NOWHERE,
    READ,
    WRITE,
    Context,
    attach,
    bound,
    open_context,
    sized,
)
from harness.conformance.suites.vfio._steps import PAGE, U64
from harness.conformance.suites.vfio_pci._device import COMMAND, MACHINE, MASTER, MEMORY
from harness.conformance.suites.vfio_pci._edu import BUFFER, quiet, transfer
from harness.uapi import iommufd as u
from harness.uapi.fs import RLIMIT_MEMLOCK

_FILE = "drivers/iommu/iommufd/ioas.c, 7.2"
_MAP = f"iommufd_ioas_map_file: {_FILE}"
_PIN = f"memfd_pin_folios: mm/gup.c, 7.2; {_MAP}"
_CHANGE = f"iommufd_ioas_change_process: {_FILE}"
_SINCE = "7.2+iommufd"
_IOVA = 0x100000


def _memory(call: Call, pages: int = 2) -> Fd:
    file = expect(call.memfd())
    expect(call.ftruncate(file, pages * PAGE), None)
    return file


@case(
    source="iommufd_ioctl_ops: drivers/iommu/iommufd/main.c, 6.12",
    machine=MACHINE,
    since=FEATURE,
    until="7.2",
)
@param("number", [(number,) for number in range(0x8F, 0x95)], id="{number:#x}")
def not_known_yet(call: Call, number: int) -> None:
    """Commands of later kernels."""
    context = open_context(call)
    expect(call.ioctl(context.fd, u.IOMMUFD_TYPE << 8 | number, call.buffer(64)), ENOTTY)


@case(source=_MAP, machine=MACHINE, since=_SINCE)
def refused(call: Call) -> None:
    context = open_context(call)
    ioas, file = context.ioas(), _memory(call)
    expect(context.map_file(ioas, 0, PAGE, file, flags=ALL | 0x10)[0], EOPNOTSUPP)
    expect(context.map_file(ioas, U64, PAGE, file)[0], EOVERFLOW)
    expect(context.map_file(ioas, 0, U64, file)[0], EOVERFLOW)
    expect(context.map_file(NOWHERE, 0, PAGE, file, flags=FIXED)[0], EINVAL)
    expect(context.map_file(NOWHERE, 0, 0, file)[0], ENOENT)
    expect(context.map_file(ioas, 0, 0, NOWHERE)[0], EINVAL)
    expect(context.map_file(ioas, 0, 2 * PAGE, NOWHERE, U64 - PAGE + 1)[0], EOVERFLOW)
    expect(context.map_file(ioas, 0, PAGE, NOWHERE)[0], EBADF)
    expect(context.map_file(ioas, 0, PAGE, -1)[0], EBADF)


@case(source=_MAP, machine=MACHINE, since=_SINCE)
def mapped(call: Call) -> None:
    """Nothing is asked of the file before it is pinned."""
    context = open_context(call)
    ioas, file = context.ioas(), _memory(call)
    expect(context.map_file(ioas, _IOVA, 2 * PAGE, file)[0], 0)
    expect(context.map_file(ioas, _IOVA, PAGE, file)[0], EEXIST)
    expect(context.map_file(ioas, 2 * _IOVA, 8 * PAGE, file, 0x800)[0], 0)
    expect(context.map_file(ioas, 3 * _IOVA, PAGE, context.fd)[0], 0)
    result, place = context.map_file(ioas, 0, PAGE, file, flags=READ | WRITE)
    expect(result, 0)
    expect(place, PAGE)
    result, length = context.unmap(ioas, _IOVA, 2 * PAGE)
    expect(result, 0)
    expect(length, 2 * PAGE)


@case(source=_PIN, machine=MACHINE, since=_SINCE)
def pinned(call: Call) -> None:
    """Shared memory alone can be, and no more than there is."""
    context, device, _ = bound(call)
    ioas, file = context.ioas(), _memory(call)
    expect(attach(call, device, ioas)[0], 0)
    expect(context.map_file(ioas, _IOVA, 2 * PAGE, file)[0], 0)
    expect(context.map_file(ioas, 2 * _IOVA, 2 * PAGE, file, PAGE)[0], EINVAL)
    expect(context.map_file(ioas, 2 * _IOVA, PAGE, file, 2 * PAGE)[0], EINVAL)
    expect(context.map_file(ioas, 2 * _IOVA, PAGE, file, 0x800)[0], EINVAL)
    expect(context.map_file(ioas, 2 * _IOVA, PAGE, context.fd)[0], EINVAL)
    expect(context.map_file(ioas, 2 * _IOVA, PAGE, expect(call.eventfd()))[0], EINVAL)
    expect(call.ftruncate(file, PAGE), None)
    expect(context.map_file(ioas, 2 * _IOVA, PAGE, file, PAGE)[0], EINVAL)


@case(source=f"iopt_table_add_domain: {_PIN}", machine=MACHINE, since=_SINCE)
def pinned_when_a_device_comes(call: Call) -> None:
    context, device, _ = bound(call)
    ioas, file = context.ioas(), _memory(call)
    expect(context.map_file(ioas, _IOVA, 3 * PAGE, file)[0], 0)
    expect(attach(call, device, ioas)[0], EINVAL)
    expect(call.ftruncate(file, 3 * PAGE), None)
    expect(attach(call, device, ioas)[0], 0)


def _as_bus_master(call: Call) -> tuple[Context, Fd, int]:
    context, device, _ = bound(call)
    ioas = context.ioas()
    expect(attach(call, device, ioas)[0], 0)
    expect(call.pwrite(device, struct.pack("<H", MEMORY | MASTER), COMMAND), 2)
    quiet(call, device)
    return context, device, ioas


@case(source=_MAP, machine=MACHINE, since=_SINCE)
def dma(call: Call) -> None:
    """The device reads what is in the file, and writes into it."""
    context, device, ioas = _as_bus_master(call)
    file = _memory(call)
    expect(context.map_file(ioas, _IOVA, 2 * PAGE, file)[0], 0)
    expect(call.pwrite(file, b"through the IOMMU", 0), 17)
    transfer(call, device, _IOVA, BUFFER, 17, 0)
    transfer(call, device, BUFFER, _IOVA + PAGE + 100, 17, 2)
    expect(call.pread(file, 17, PAGE + 100), b"through the IOMMU")


@case(source=_MAP, machine=MACHINE, since=_SINCE)
def dma_into_a_closed_file(call: Call) -> None:
    """The memory stays, for whoever has it."""
    context, device, ioas = _as_bus_master(call)
    file = _memory(call)
    other = expect(call.dup(file))
    expect(context.map_file(ioas, _IOVA, 2 * PAGE, file)[0], 0)
    expect(call.close(file), None)
    expect(call.pwrite(other, b"still there", PAGE), 11)
    transfer(call, device, _IOVA + PAGE, BUFFER, 11, 0)
    expect(call.close(other), None)
    transfer(call, device, BUFFER, _IOVA, 11, 2)
    transfer(call, device, _IOVA, BUFFER + 64, 11, 0)
    memory = call.buffer(PAGE)
    expect(context.map(ioas, 2 * _IOVA, PAGE, memory)[0], 0)
    transfer(call, device, BUFFER + 64, 2 * _IOVA, 11, 2)
    expect(call.peek(memory, 11), b"still there")


@case(source=_MAP, machine=MACHINE, since=_SINCE)
def dma_of_a_part(call: Call) -> None:
    """The first page in the IOMMU is not the first of the file; what is read only stays."""
    context, device, ioas = _as_bus_master(call)
    file = _memory(call, 4)
    expect(call.pwrite(file, b"second", PAGE), 6)
    expect(call.pwrite(file, b"fourth", 3 * PAGE), 6)
    expect(context.map_file(ioas, _IOVA, PAGE, file, PAGE, FIXED | READ)[0], 0)
    expect(context.map_file(ioas, _IOVA + PAGE, PAGE, file, 3 * PAGE)[0], 0)
    transfer(call, device, _IOVA, BUFFER, 6, 0)
    transfer(call, device, BUFFER, _IOVA + PAGE + 6, 6, 2)
    expect(call.pread(file, 12, 3 * PAGE), b"fourthsecond")
    transfer(call, device, BUFFER, _IOVA + 8, 6, 2)
    expect(call.pread(file, 16, PAGE), b"second".ljust(16, b"\0"))


# --- another process


def _change(context: Context, reserved: int = 0) -> object:
    given = sized(u.IoasChangeProcess, reserved=reserved)
    return context.ask(u.IOMMU_IOAS_CHANGE_PROCESS, given)[0]


@case(source=_CHANGE, machine=MACHINE, since=_SINCE)
def change_process(call: Call) -> None:
    """Memory of a process would stay behind."""
    context = open_context(call)
    ioas, file = context.ioas(), _memory(call)
    expect(_change(context), 0)
    expect(_change(context, 1), EOPNOTSUPP)
    expect(context.map_file(ioas, 0, PAGE, file)[0], 0)
    expect(_change(context), 0)
    expect(context.map(ioas, _IOVA, PAGE, call.buffer(PAGE))[0], 0)
    expect(_change(context, 1), EOPNOTSUPP)
    expect(_change(context), EINVAL)
    expect(context.unmap(ioas, _IOVA, PAGE)[0], 0)
    expect(_change(context), 0)


def _user(call: Call, context: Context, uid: int, pages: int) -> Context:
    """The context in the hands of a plain user, who may have so many pages pinned."""
    task = call.fork()
    task.call.setrlimit(RLIMIT_MEMLOCK, pages * PAGE)
    task.call.setuid(uid, uid)
    return Context(task.call, context.fd)


@case(source=f"charge_current: {_CHANGE}", machine=MACHINE, since=_SINCE)
def change_to_another_user(call: Call) -> None:
    """Pages count against somebody else from then on, if they may."""
    context, _, ioas = _as_bus_master(call)
    rich, poor = _user(call, context, 1000, 16), _user(call, context, 1001, 1)
    expect(rich.map_file(ioas, _IOVA, 2 * PAGE, _memory(rich.call))[0], 0)
    expect(_change(poor), ENOMEM)
    expect(rich.unmap(ioas, _IOVA, 2 * PAGE)[0], 0)
    expect(rich.map_file(ioas, _IOVA, PAGE, _memory(rich.call))[0], 0)
    expect(_change(poor), 0)
    memory = _memory(poor.call)
    expect(poor.map_file(ioas, 2 * _IOVA, PAGE, memory)[0], ENOMEM)
    expect(_change(rich), 0)
    expect(poor.map_file(ioas, 2 * _IOVA, PAGE, memory)[0], 0)


@case(source=f"need_charge_update: {_CHANGE}", machine=MACHINE, since=_SINCE)
def change_of_who_may_lock_anything(call: Call) -> None:
    """Pages that root mapped count against nobody, and go on so."""
    context, _, ioas = _as_bus_master(call)
    expect(context.map_file(ioas, _IOVA, 2 * PAGE, _memory(call))[0], 0)
    poor = _user(call, context, 1001, 1)
    expect(_change(poor), 0)
    expect(poor.map_file(ioas, 2 * _IOVA, PAGE, _memory(poor.call))[0], 0)
