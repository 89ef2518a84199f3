# SPDX-License-Identifier: Apache-2.0
"""A driver that is nobody's: its device does what VFIO's files do with fds, and nothing else."""

import errno

from harness.kernel.anon_inode import AnonInode
from harness.kernel.chardev import makedev
from harness.kernel.errors import Errno
from harness.kernel.eventfd import eventfd_ctx_fdget
from harness.kernel.vfs import OpenFile

#: Commands: hold an eventfd; signal all that are held; let go of them; the number of the toy that
#: is this fd; another toy; another toy, whose fd goes to a place in memory; call me when this
#: eventfd is written to; how often that was.
HOLD, SIGNAL, LET_GO, WHICH, NEW, NEW_AT, WATCH, WOKEN = range(0x3B00, 0x3B08)


class Toy(OpenFile):
    """An open file with a number of its own. Content: the number."""

    __slots__ = ("driver", "held", "number", "woken")

    def __init__(self, node, opener, driver):
        super().__init__(node, opener)
        self.driver = driver
        self.held = []
        self.woken = []
        self.number = driver.number()
        driver.open.append(self.number)

    def read(self, caller, offset, count):
        return f"{self.number}\n".encode()[offset : offset + count]

    def release(self):
        for context in self.held:
            context.release()
        self.driver.open.remove(self.number)
        self.driver.released.append(self.number)

    def ioctl(self, caller, command, argument):
        number = command - HOLD
        if not 0 <= number <= WOKEN - HOLD:
            raise Errno(errno.ENOTTY)
        return self.METHODS[number](self, caller, argument)

    def hold(self, caller, fd):
        self.held.append(eventfd_ctx_fdget(caller, fd))
        return len({context.identity for context in self.held})

    def signal(self, caller, _):
        for context in self.held:
            context.signal()
        return 0

    def let_go(self, caller, _):
        while self.held:
            self.held.pop().release()
        return 0

    def which(self, caller, fd):
        found = caller.file(fd)
        if not isinstance(found, Toy):
            raise Errno(errno.EINVAL)
        return found.number

    def new(self, caller, _):
        return caller.install(self._another(caller))

    def new_at(self, caller, address):
        caller.address_space.write(address, bytes(4))
        fd = caller.install(self._another(caller))
        caller.address_space.write(address, fd.to_bytes(4, "little"))
        return 0

    def _another(self, caller):
        return Toy(AnonInode("[toy]"), caller, self.driver)

    def watch(self, caller, fd):
        context = eventfd_ctx_fdget(caller, fd)
        self.held.append(context)
        return context.watch(self.woken.append)

    def how_often(self, caller, events):
        return self.woken.count(events)

    METHODS = (hold, signal, let_go, which, new, new_at, watch, how_often)


class Driver:
    """The toys of one kernel: numbers of those open, and of those released, in order."""

    def __init__(self, kernel):
        self.open = []
        self.released = []
        self._last = 0
        major = kernel.devices.alloc_chrdev_region("toy")
        kernel.devices.create_node("toy", makedev(major, 0), self._open_method, 0o666)
        kernel.fd_commands |= {NEW, NEW_AT}

    def number(self):
        self._last += 1
        return self._last

    def _open_method(self, node, caller, flags):
        return Toy(node, caller, self)
