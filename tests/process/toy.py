# SPDX-License-Identifier: Apache-2.0
"""A driver that is nobody's: its device does what VFIO's files do with fds, and nothing else."""

import errno

from harness.kernel.anon_inode import AnonInode
from harness.kernel.chardev import makedev
from harness.kernel.errors import Errno
from harness.kernel.eventfd import eventfd_ctx_fdget
from harness.kernel.vfs import OpenFile, Pages
from harness.kernel.wait import WaitQueue
from harness.kernel.watched import Watched
from harness.uapi.fs import MAP_SHARED, PAGE_SIZE

#: Commands: hold an eventfd; signal all that are held; let go of them; the number of the toy that
#: is this fd; another toy; another toy, whose fd goes to a place in memory; call me when this
#: eventfd is written to; how often that was; a word of the device's memory, and one more of it;
#: copy a word from an address of the program's to the device's first; the byte at an address of
#: the program that opened the file; copy, but wait first for nothing.
HOLD, SIGNAL, LET_GO, WHICH, NEW, NEW_AT, WATCH, WOKEN, LOOK, ADD, COPY, OPENERS, WAIT_COPY = range(
    0x3B00, 0x3B0D
)

#: Where in a file its memory is, its registers, its doorbell, and pages that cannot be touched. A
#: register reads as one more than what was stored.
MEMORY, REGISTERS, DOORBELL, NOTHING = 0, 1 << 40, 2 << 40, 4 << 40


class Toy(OpenFile):
    """An open file with a number of its own. Content: the number."""

    __slots__ = ("driver", "held", "memory", "number", "woken")

    def __init__(self, node, opener, driver):
        super().__init__(node, opener)
        self.driver = driver
        self.held = []
        self.woken = []
        self.memory = opener.address_space
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
        if not 0 <= number < len(self.METHODS):
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
        caller.copy_to_user(address, bytes(4))
        fd = caller.install(self._another(caller))
        caller.copy_to_user(address, fd.to_bytes(4, "little"))
        return 0

    def _another(self, caller):
        return Toy(self.driver.anonymous, caller, self.driver)

    def look(self, caller, place):
        return int.from_bytes(self.driver.memory[place : place + 4], "little")

    def add(self, caller, place):
        word = self.look(caller, place) + 1
        self.driver.memory[place : place + 4] = word.to_bytes(4, "little")
        return word

    def copy(self, caller, address):
        self.driver.memory[:4] = caller.copy_from_user(address, 4)
        return 0

    def wait_and_copy(self, caller, address):
        """The thread that does it leads the others no more."""
        self.driver.scheduler.wait(caller, WaitQueue(), lambda: False, 0)
        return self.copy(caller, address)

    def openers(self, caller, address):
        return self.memory.read(address, 1)[0]

    def mmap(self, caller, offset, length, prot, flags):
        if not flags & MAP_SHARED:
            raise Errno(errno.EINVAL)
        if offset == MEMORY and length <= len(self.driver.memory):
            return Pages(length, memory=memoryview(self.driver.memory))
        if offset == REGISTERS:
            return Pages(length, load=self.driver.load, store=self.driver.store)
        if offset == DOORBELL:
            return Pages(length, load=self.driver.load, store=self.driver.store, doorbell=True)
        if offset == NOTHING:
            return Pages(length)
        raise Errno(errno.ENXIO)

    def watch(self, caller, fd):
        context = eventfd_ctx_fdget(caller, fd)
        self.held.append(context)
        return context.watch(self.woken.append)

    def how_often(self, caller, events):
        return self.woken.count(events)

    METHODS = (
        hold,
        signal,
        let_go,
        which,
        new,
        new_at,
        watch,
        how_often,
        look,
        add,
        copy,
        openers,
        wait_and_copy,
    )


class Driver:
    """The toys of one kernel: numbers of those open, and of those released, in order."""

    def __init__(self, kernel):
        self.scheduler = kernel.scheduler
        self.memory = bytearray(2 * PAGE_SIZE)
        self.registers = {}
        self.anonymous = AnonInode("[toy]")
        self.open = []
        self.released = []
        self._last = 0
        major = kernel.devices.alloc_chrdev_region("toy")
        node = kernel.devices.create_node("toy", makedev(major, 0), self._open_method, 0o666)
        node.mappable = True
        kernel.watched |= Watched(
            fd_commands=frozenset({NEW, NEW_AT}), maps_files=True, unpollable=True
        )

    def load(self, position, size):
        return (self.registers.get(position, 0) + 1).to_bytes(size, "little")

    def store(self, position, data):
        self.registers[position] = int.from_bytes(data, "little")

    def number(self):
        self._last += 1
        return self._last

    def _open_method(self, node, caller, flags):
        return Toy(node, caller, self)
