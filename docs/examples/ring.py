# SPDX-License-Identifier: Apache-2.0
"""A character device, /dev/ring: a queue of bytes with an ioctl, poll, and a page to be mapped."""

import errno

from harness.modules import (
    PAGE_SIZE,
    POLLIN,
    POLLOUT,
    Errno,
    Module,
    OpenFile,
    Pages,
    WaitQueue,
    misc_register,
)

RING_GET_COUNT = 0x80045200  # _IOR('R', 0, int)
RING_SIZE = 64


class Ring:
    def __init__(self):
        self.bytes, self.page, self.changed = bytearray(), bytearray(PAGE_SIZE), WaitQueue()


class RingFile(OpenFile):
    seekable = False

    def __init__(self, node, opener, ring):
        super().__init__(node, opener)
        self.ring = ring

    def read(self, caller, offset, count):
        if not self.ring.bytes:
            raise Errno(errno.EAGAIN)
        taken = bytes(self.ring.bytes[:count])
        del self.ring.bytes[:count]
        self.ring.changed.wake()
        return taken

    def write(self, caller, offset, data):
        room = RING_SIZE - len(self.ring.bytes)
        if not room:
            raise Errno(errno.EAGAIN)
        self.ring.bytes += data[:room]
        self.ring.page[0] = len(self.ring.bytes)
        self.ring.changed.wake()
        return min(len(data), room)

    def ioctl(self, caller, command, argument):
        if command != RING_GET_COUNT:
            raise Errno(errno.ENOTTY)
        caller.copy_to_user(argument, len(self.ring.bytes).to_bytes(4, "little"))
        return 0

    def poll(self, caller, table):
        table.add(self.ring.changed)
        room = len(self.ring.bytes) < RING_SIZE
        return (POLLIN if self.ring.bytes else 0) | (POLLOUT if room else 0)

    def mmap(self, caller, offset, length, prot, flags):
        if offset or length > PAGE_SIZE:
            raise Errno(errno.EINVAL)
        return Pages(PAGE_SIZE, memory=memoryview(self.ring.page))


def ring_init(kernel):
    ring = Ring()

    def ring_open(node, opener, flags):
        return RingFile(node, opener, ring)

    misc_register(kernel, "ring", ring_open, 0o666, maps=True)


MODULE = Module("ring", ring_init)
