# SPDX-License-Identifier: Apache-2.0
"""VFIO inside the model: what a driver of devices can rely on, and what no case can see."""

import struct
import threading
import time

import pytest

from harness.drivers.vfio.feature import vfio_mig_get_next_state
from harness.drivers.vfio.vfio_main import (
    VfioDevice,
    vfio_put_device,
    vfio_register_emulated_iommu_dev,
    vfio_register_group_dev,
    vfio_unregister_group_dev,
)
from harness.kernel.driver_core import Device, device_add
from harness.kernel.errors import Errno
from harness.kernel.system_calls import DescriptorCaller
from harness.machine import load_machine
from harness.uapi import vfio as u
from harness.uapi.fs import O_RDWR

EDU = "0000:00:05.0"
PAGE = 4096


class Thing(VfioDevice):
    """A device that notes what it is asked."""

    def __init__(self, dev):
        super().__init__(dev)
        self.asked = []

    def open_device(self):
        self.asked.append("open")

    def close_device(self):
        self.asked.append("close")

    def request(self, count):
        self.asked.append(f"request {count}")

    def dma_unmap(self, iova, length):
        self.asked.append(f"unmap {iova:#x}+{length:#x}")


@pytest.fixture
def machine():
    return load_machine("qemu-q35", profile="6.12")


class Program:
    """A program that opens nodes and makes commands."""

    def __init__(self, machine):
        self.kernel = machine.kernel
        self.caller = DescriptorCaller()
        self.memory = self.caller.address_space

    def open(self, path):
        return self.kernel.call(self.caller, "open", self.kernel.walk(self.caller, path), O_RDWR)

    def put(self, data):
        address = self.memory.allocate(max(len(data), 1))
        self.memory.write(address, data)
        return address

    def ioctl(self, file, command, argument=0):
        return self.kernel.call(self.caller, "ioctl", file, command, argument)

    def install(self, file):
        return self.caller.install(file)

    def with_iommu(self, thing):
        """A container and the thing's group in it, with type 1."""
        self.container = self.open("/dev/vfio/vfio")
        self.group = self.open(f"/dev/vfio/{thing.group.name}")
        fd = self.install(self.container)
        self.ioctl(self.group, u.VFIO_GROUP_SET_CONTAINER, self.put(struct.pack("<i", fd)))
        self.ioctl(self.container, u.VFIO_SET_IOMMU, u.VFIO_TYPE1v2_IOMMU)

    def open_thing(self, thing):
        self.with_iommu(thing)
        name = self.put(thing.name.encode() + b"\0")
        return self.caller.file(self.ioctl(self.group, u.VFIO_GROUP_GET_DEVICE_FD, name))

    def map(self, iova, size, flags=3):
        vaddr = self.memory.allocate(size)
        given = u.DmaMap(32, flags, vaddr, iova, size)
        self.ioctl(self.container, u.VFIO_IOMMU_MAP_DMA, self.put(bytes(given)))
        return vaddr

    def unmap(self, iova, size):
        given = u.DmaUnmap(24, 0, iova, size)
        self.ioctl(self.container, u.VFIO_IOMMU_UNMAP_DMA, self.put(bytes(given)))


def a_function(machine):
    """edu as a thing, whose driver has let go of it."""
    thing = Thing(machine.kernel.buses["pci"].devices[EDU])
    vfio_register_group_dev(thing)
    return thing


def an_emulated_device(machine):
    """A device of no bus."""
    dev = Device(machine.kernel, "thing", None, None)
    device_add(dev)
    thing = Thing(dev)
    vfio_register_emulated_iommu_dev(thing)
    return thing


def refused(number, function, *arguments):
    with pytest.raises(Errno) as caught:
        function(*arguments)
    assert str(caught.value) == number


class TestDma:
    @pytest.mark.parametrize("make", [a_function, an_emulated_device])
    def test_goes_where_the_program_mapped_it(self, machine, make):
        thing, program = make(machine), Program(machine)
        program.open_thing(thing)
        first, second = program.map(0x10000, PAGE), program.map(0x11000, PAGE)
        thing.domain.write(0x10FFC, b"over the edge")
        assert program.memory.read(first + 0xFFC, 4) == b"over"
        assert program.memory.read(second, 9) == b" the edge"
        assert thing.domain.read(0x10FFC, 13) == b"over the edge"

    def test_faults_outside(self, machine):
        thing, program = a_function(machine), Program(machine)
        program.open_thing(thing)
        program.map(0x10000, PAGE)
        program.map(0x20000, PAGE, u.VFIO_DMA_MAP_FLAG_READ)
        program.map(0x30000, PAGE, u.VFIO_DMA_MAP_FLAG_WRITE)
        refused("EFAULT", thing.domain.read, 0xFFFF, 2)
        refused("EFAULT", thing.domain.read, 0x10FFF, 2)
        refused("EFAULT", thing.domain.write, 0x20000, b"x")
        refused("EFAULT", thing.domain.read, 0x30000, 1)
        program.unmap(0x10000, PAGE)
        refused("EFAULT", thing.domain.read, 0x10000, 1)

    def test_of_a_function_follows_its_group(self, machine):
        thing, program = a_function(machine), Program(machine)
        group = thing.dev.iommu_group
        assert group.domain is None
        file = program.open_thing(thing)
        program.map(0, PAGE)
        group.domain.write(0, b"dma")
        machine.kernel.release(file)
        machine.kernel.release(program.group)
        assert group.domain is None

    def test_of_dead_memory_faults(self, machine):
        thing, program = a_function(machine), Program(machine)
        program.open_thing(thing)
        program.map(0, PAGE)
        program.memory._areas.clear()
        refused("EFAULT", thing.domain.read, 0, 1)

    def test_a_driver_hears_of_unmaps(self, machine):
        thing, program = an_emulated_device(machine), Program(machine)
        file = program.open_thing(thing)
        program.map(0x10000, PAGE)
        program.unmap(0x10000, PAGE)
        assert "unmap 0x10000+0x1000" in thing.asked
        machine.kernel.release(file)
        program.map(0x10000, PAGE)
        program.unmap(0x10000, PAGE)
        assert thing.asked == ["open", "unmap 0x10000+0x1000", "close"]

    def test_written_pages_are_dirty(self, machine):
        thing, program = an_emulated_device(machine), Program(machine)
        program.open_thing(thing)
        program.map(0x10000, 4 * PAGE)
        start = u.DirtyBitmap(8, u.VFIO_IOMMU_DIRTY_PAGES_FLAG_START)
        program.ioctl(program.container, u.VFIO_IOMMU_DIRTY_PAGES, program.put(bytes(start)))
        thing.domain.write(0x11FFF, b"xx")
        bits = program.memory.allocate(8)
        asked = u.DirtyBitmapGet(0x10000, 4 * PAGE, u.Bitmap(PAGE, 8, bits))
        get = bytes(u.DirtyBitmap(48, u.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP)) + bytes(asked)
        for expected in (0b0110, 0):
            program.ioctl(program.container, u.VFIO_IOMMU_DIRTY_PAGES, program.put(get))
            assert program.memory.read(bits, 8) == expected.to_bytes(8, "little")


class TestLifetime:
    def test_what_is_locked_is_given_back(self, machine):
        thing, program = a_function(machine), Program(machine)
        file = program.open_thing(thing)
        program.map(0, 16 * PAGE)
        program.map(0x100000, PAGE)
        assert program.memory.locked_pages == 17
        program.unmap(0x100000, PAGE)
        assert program.memory.locked_pages == 16
        machine.kernel.release(program.container)
        machine.kernel.release(program.group)
        assert program.memory.locked_pages == 16
        machine.kernel.release(file)
        assert program.memory.locked_pages == 0
        assert thing.asked[-1] == "close"

    def test_all_that_a_dead_program_had_is_closed_in_any_order(self, machine):
        thing = a_function(machine)
        for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
            program = Program(machine)
            files = [program.open_thing(thing), program.container, program.group]
            program.map(0, PAGE)
            for number in order:
                machine.kernel.release(files[number])
            assert thing.open_count == 0
            assert thing.references == 1
            assert thing.group.container is None
            assert program.memory.locked_pages == 0

    def test_unregistering_waits_and_asks(self, machine):
        thing, program = a_function(machine), Program(machine)
        file = program.open_thing(thing)
        done = []

        def unregister():
            with machine.kernel.lock:
                vfio_unregister_group_dev(thing)
                vfio_put_device(thing)
            done.append(True)

        thread = threading.Thread(target=unregister)
        thread.start()
        while "request 0" not in thing.asked:
            time.sleep(0.001)
        assert not done
        machine.kernel.release(file)
        thread.join(10)
        assert done
        assert not machine.kernel.walk(program.caller, "/dev/vfio").readdir(program.caller)[1:]

    def test_a_number_is_free_again(self, machine):
        thing = an_emulated_device(machine)
        index, minor = thing.index, thing.group.minor
        with machine.kernel.lock:
            vfio_unregister_group_dev(thing)
            vfio_put_device(thing)
        again = an_emulated_device_named(machine, "other")
        assert (again.index, again.group.minor) == (index, minor)


def an_emulated_device_named(machine, name):
    dev = Device(machine.kernel, name, None, None)
    device_add(dev)
    thing = Thing(dev)
    vfio_register_emulated_iommu_dev(thing)
    return thing


class TestMissingOperations:
    def test_of_a_driver_that_has_none(self, machine):
        dev = Device(machine.kernel, "bare", None, None)
        device_add(dev)
        thing = VfioDevice(dev)
        vfio_register_emulated_iommu_dev(thing)
        program = Program(machine)
        file = program.open_thing(thing)
        memory = program.put(bytes(u.Feature(64, 4096 | u.VFIO_DEVICE_FEATURE_GET)) + bytes(64))
        for error, operation, arguments in (
            ("EINVAL", "ioctl", (u.VFIO_DEVICE_GET_INFO, memory)),
            ("ENOTTY", "ioctl", (u.VFIO_DEVICE_FEATURE, memory)),
            ("EINVAL", "read", (0, 4)),
            ("EINVAL", "write", (0, b"x")),
            ("EINVAL", "mmap", (0, PAGE, 3, 1)),
        ):
            refused(error, machine.kernel.call, program.caller, operation, file, *arguments)


def test_without_an_iommu_group_there_is_no_device(machine):
    dev = Device(machine.kernel, "thing", None, None)
    device_add(dev)
    refused("EINVAL", vfio_register_group_dev, Thing(dev))


class TestMigration:
    FULL = u.VFIO_MIGRATION_STOP_COPY | u.VFIO_MIGRATION_P2P | u.VFIO_MIGRATION_PRE_COPY

    @pytest.mark.parametrize(
        ("flags", "way"),
        [
            (1, [2, 1, 3]),
            (1, [4, 1, 2]),
            (3, [2, 5, 1, 3]),
            (3, [3, 1, 5, 2]),
            (FULL, [6, 7, 3]),
            (FULL, [6, 2, 5, 1, 4]),
            (FULL, [4, 1, 5, 2, 6]),
            (5, [6, 3]),
        ],
    )
    def test_goes_step_by_step(self, machine, flags, way):
        thing = an_emulated_device(machine)
        thing.migration_flags = flags
        steps = [way[0]]
        while steps[-1] != way[-1]:
            steps.append(vfio_mig_get_next_state(thing, steps[-1], way[-1]))
        assert steps == way

    @pytest.mark.parametrize(
        ("flags", "current", "new"), [(FULL, 3, 6), (1, 2, 5), (1, 2, 8), (1, 0, 1), (1, 2, 0)]
    )
    def test_has_no_way(self, machine, flags, current, new):
        thing = an_emulated_device(machine)
        thing.migration_flags = flags
        refused("EINVAL", vfio_mig_get_next_state, thing, current, new)
