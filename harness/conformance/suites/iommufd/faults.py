# SPDX-License-Identifier: Apache-2.0
"""/dev/iommu: queues of the faults of devices."""

from __future__ import annotations

from harness.conformance import Call, case, expect
from harness.conformance.errnos import (
    EBUSY,
    EFAULT,
    EINVAL,
    EMFILE,
    ENODEV,
    ENOENT,
    ENOTTY,
    EOPNOTSUPP,
    EPERM,
    ESPIPE,
)
from harness.conformance.suites._steps import no_more_fds
from harness.conformance.suites.iommufd._steps import (
    FEATURE,
    NOWHERE,
    attach,
    bound,
    open_cdev,
    open_context,
    sized,
)
from harness.conformance.suites.vfio._steps import PAGE
from harness.conformance.suites.vfio_pci._device import MACHINE
from harness.uapi import iommufd as u
from harness.uapi.fs import POLLIN, POLLOUT, RLIMIT_NOFILE, SEEK_SET

_FILE = "drivers/iommu/iommufd/fault.c, 6.12 (eventq.c, 7.2)"
_VALID = u.IOMMU_HWPT_FAULT_ID_VALID


@case(source=f"iommufd_fault_alloc: {_FILE}", machine=MACHINE, since=FEATURE)
def made(call: Call) -> None:
    """Its file keeps it, and the context."""
    context = open_context(call)
    result, data = context.ask(u.IOMMU_FAULT_QUEUE_ALLOC, sized(u.FaultAlloc, flags=1))
    expect(result, EOPNOTSUPP)
    expect(data[8:], bytes(8))
    expect(call.ioctl(context.fd, u.IOMMU_FAULT_QUEUE_ALLOC), EFAULT)
    number, file = context.fault_queue()
    expect(number, 1)
    expect(context.fault_queue()[0], 2)
    expect(context.destroy(number), EBUSY)
    expect(call.close(file), None)
    expect(context.destroy(number), 0)
    number, file = context.fault_queue()
    expect(number, 1)
    expect(call.close(context.fd), None)
    expect(call.read(file, 40), b"")


@case(source=f"iommufd_fault_alloc: {_FILE}", machine=MACHINE, since=FEATURE)
def without_an_fd(call: Call) -> None:
    """Flags are looked at first; of the structure nothing is written."""
    context = open_context(call)
    limit = no_more_fds(call)
    result, _ = context.ask(u.IOMMU_FAULT_QUEUE_ALLOC, sized(u.FaultAlloc, flags=1))
    expect(result, EOPNOTSUPP)
    result, data = context.ask(u.IOMMU_FAULT_QUEUE_ALLOC, sized(u.FaultAlloc))
    expect(result, EMFILE)
    expect(data[8:], bytes(8))
    expect(call.setrlimit(RLIMIT_NOFILE, limit))
    expect(context.fault_queue()[0], 1)


@case(source=f"iommufd_fault_fops: {_FILE}", machine=MACHINE, since=FEATURE)
def file_operations(call: Call) -> None:
    """Whole faults are read and whole answers are written; nobody waits."""
    context = open_context(call)
    _, file = context.fault_queue()
    for count in (0, 40, 80):
        expect(call.read(file, count), b"")
    for count in (1, 39, 41):
        expect(call.read(file, count), ESPIPE)
    for data, answer in (
        (b"", 0),
        (bytes(7), ESPIPE),
        (bytes(9), ESPIPE),
        (bytes(8), EINVAL),
        (bytes(16), EINVAL),
        (b"\0\0\0\0\5\0\0\0", EINVAL),
    ):
        expect(call.write(file, data), answer)
    expect(call.lseek(file, 0, SEEK_SET), ESPIPE)
    expect(call.pread(file, 40, 0), ESPIPE)
    expect(call.pwrite(file, bytes(8), 0), ESPIPE)
    expect(call.ioctl(file, 0x5401, call.buffer(64)), ENOTTY)
    expect(call.mmap(PAGE, 0x1, 0x1, file), ENODEV)
    expect(call.poll({file: POLLIN | POLLOUT}), {file: POLLOUT})


@case(
    source=f"iommufd_fault_fops: {_FILE}; do_epoll_ctl: fs/eventpoll.c, 6.12",
    machine=MACHINE,
    since=FEATURE,
)
def by_epoll(call: Call) -> None:
    """The queue can be polled, the context and the device cannot."""
    context = open_context(call)
    expect(call.epoll(context.fault_queue()[1], POLLIN | POLLOUT), POLLOUT)
    expect(call.epoll(context.fd, POLLIN), EPERM)
    expect(call.epoll(open_cdev(call), POLLIN), EPERM)


@case(
    source="iommufd_hwpt_alloc: drivers/iommu/iommufd/hw_pagetable.c, 7.2",
    machine=MACHINE,
    since=FEATURE,
)
def of_a_page_table(call: Call) -> None:
    """A page table may have one, but no device that could ask for pages."""
    context, device, number = bound(call)
    ioas = context.ioas()
    queue, file = context.fault_queue()
    result, table = context.hwpt(number, ioas, _VALID, fault_id=queue)
    if not call.since("7.2"):
        expect(result, EOPNOTSUPP)
        return
    expect(result, 0)
    expect(context.hwpt(number, ioas, _VALID, fault_id=NOWHERE)[0], ENOENT)
    expect(context.hwpt(number, ioas, _VALID, fault_id=ioas)[0], ENOENT)
    expect(attach(call, device, table)[0], ENODEV)
    expect(call.close(file), None)
    expect(context.destroy(queue), EBUSY)
    expect(context.destroy(table), 0)
    expect(context.destroy(queue), 0)
