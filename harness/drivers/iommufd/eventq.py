# SPDX-License-Identifier: Apache-2.0
"""Queues of faults: drivers/iommu/iommufd/fault.c, 6.12 (eventq.c, 6.14).

A page table may report the faults of devices to a queue, whose file a program reads. No IOMMU here
takes requests for pages, so a queue is always empty.
"""

from __future__ import annotations

import errno

from harness.drivers.iommufd.main import FaultQueue, IommufdFile, Operation, Request
from harness.kernel.anon_inode import AnonInode
from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.kernel.vfs import OpenFile, PollTable
from harness.uapi import iommufd as u
from harness.uapi.fs import POLLOUT

_FAULT_SIZE, _RESPONSE_SIZE = len(bytes(u.HwptPgfault())), len(bytes(u.HwptPageResponse()))


class FaultFile(OpenFile):
    """iommufd_fault_fops. It keeps its queue, and the context, which ``file`` stands for."""

    __slots__ = ("fault", "file")

    seekable = False

    def __init__(self, caller: Caller, file: IommufdFile, fault: FaultQueue) -> None:
        super().__init__(AnonInode("[iommufd-pgfault]"), caller)
        self.file = file
        self.fault = fault
        file.users += 1
        fault.users += 1

    def read(self, caller: Caller, offset: int, count: int) -> bytes:
        """iommufd_fault_fops_read: whole faults, or ESPIPE; does not wait for one."""
        if count % _FAULT_SIZE:
            raise Errno(errno.ESPIPE)
        return b""

    def write(self, caller: Caller, offset: int, data: bytes) -> int:
        """iommufd_fault_fops_write: whole answers, or ESPIPE; EINVAL for one to no fault."""
        if len(data) % _RESPONSE_SIZE:
            raise Errno(errno.ESPIPE)
        if data:
            raise Errno(errno.EINVAL)
        return 0

    def poll(self, caller: Caller, table: PollTable) -> int:
        """iommufd_fault_fops_poll."""
        return POLLOUT

    def release(self) -> None:
        """iommufd_fault_fops_release."""
        self.fault.users -= 1
        self.file.put()


def iommufd_fault_alloc(request: Request) -> int:
    """EOPNOTSUPP for any flag. The fd comes last."""
    command, caller = request.command, request.caller
    if command.flags:
        raise Errno(errno.EOPNOTSUPP)
    fault = FaultQueue(request.context)
    file = FaultFile(caller, request.file, fault)
    try:
        # What is there already, since nothing that may fail can come after the fd.
        request.respond()
        command.out_fault_fd = caller.install(file)
    except Errno:
        file.release()
        fault.destroy()
        raise
    command.out_fault_id = fault.id
    return request.respond()


OPERATIONS = {
    u.IOMMUFD_CMD_FAULT_QUEUE_ALLOC: Operation(u.FaultAlloc, "out_fault_fd", iommufd_fault_alloc)
}
