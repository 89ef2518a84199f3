# SPDX-License-Identifier: Apache-2.0
"""VFIO as a program under the server sees it, by the system calls that QEMU makes."""

import ctypes
import errno
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from harness.agent.build import agent_command
from harness.agent.client import AgentClient, AgentError
from harness.agent.program import FIRST_TASK, Op
from harness.gate.uses import Uses
from harness.hardware import pci_config as cfg
from harness.hardware.dsa import DsaFunction
from harness.hardware.pci import DmaFault, PciFunction
from harness.hardware.pci_config import Bar, FunctionEntry
from harness.kernel.trace import Trace
from harness.seccomp import StartError, start
from harness.uapi import idxd
from harness.uapi import vfio as u
from harness.vm.vfio_server import FIRST_FD, VfioServer

DSA, PLAIN = "0000:00:05.0", "0000:00:06.0"
PAGE = 4096
VECTORS = 9
CONFIG = u.VFIO_PCI_CONFIG_REGION_INDEX << u.VFIO_PCI_OFFSET_SHIFT
BAR2 = 2 << u.VFIO_PCI_OFFSET_SHIFT
MSIX_CONTROL = 0x80 + cfg.MSIX_CONTROL
MEMORY_AND_MASTER = cfg.COMMAND_MEMORY | cfg.COMMAND_MASTER
READ_WRITE = u.VFIO_DMA_MAP_FLAG_READ | u.VFIO_DMA_MAP_FLAG_WRITE
EVENTFD = u.VFIO_IRQ_SET_DATA_EVENTFD
TRIGGER = u.VFIO_IRQ_SET_ACTION_TRIGGER


@pytest.fixture(scope="module", autouse=True)
def _filters():
    try:
        process, listener = start(["true"], ())
    except StartError as error:
        pytest.skip(f"no seccomp listener here: {error}")
    listener.close()
    assert process.wait() == 0


def dsa():
    """A DSA with function level reset and an interrupt pin that leads nowhere."""
    return DsaFunction(
        FunctionEntry(
            vendor=0x8086,
            device=0x0B25,
            class_code=0x088000,
            bars={
                0: Bar(0, 0x10000, prefetchable=True, bits=64),
                2: Bar(2, 0x20000, prefetchable=True, bits=64),
            },
            capabilities=(
                {"kind": "pcie", "at": 0x40, "device": cfg.PCIE_DEVICE_FLR},
                {"kind": "msix", "at": 0x80, "vectors": VECTORS, "table": 0x2000, "pba": 0x3000},
            ),
            config=bytes(cfg.INTERRUPT_PIN) + b"\1",
        )
    )


def plain():
    """Conventional PCI, one BAR of memory, no interrupts."""
    return PciFunction(FunctionEntry(vendor=0x1234, device=0x5678, bars={0: Bar(0, 0x100)}))


class Program:
    """A program under the server: its system calls, OSError if they fail."""

    def __init__(self, server):
        agent_reads, requests = os.pipe()
        replies, agent_writes = os.pipe()
        self.process = server.start(agent_command(), stdin=agent_reads, stdout=agent_writes)
        os.close(agent_reads)
        os.close(agent_writes)
        self.client = AgentClient(replies, requests)
        self.client.hello(30)
        self.task = FIRST_TASK

    def ask(self, op, *fields):
        reply = self.client.ask(self.task, op, *fields)
        if reply.error:
            raise OSError(reply.error, os.strerror(reply.error))
        return reply

    def call(self, op, *fields):
        return self.ask(op, *fields).result

    def data(self, op, *fields):
        return self.ask(op, *fields).fields[0]

    def open(self, path):
        return self.call(Op.OPEN, path.encode(), os.O_RDWR, 0)

    def memory(self, pages=1):
        return self.call(Op.MMAP, pages * PAGE, 3, 0x22, -1, 0)

    def ioctl(self, fd, command, argument=0):
        return self.call(Op.IOCTL, fd, command, argument)

    def exchange(self, fd, command, structure, data=b""):
        """An ioctl with a structure, whose size is what it says or, if that is 0, what it is."""
        structure.argsz = structure.argsz or ctypes.sizeof(structure) + len(data)
        address = self.memory()
        try:
            self.call(Op.POKE, address, bytes(structure) + data)
            self.ioctl(fd, command, address)
            answer = self.data(Op.PEEK, address, ctypes.sizeof(structure))
            return type(structure).from_buffer_copy(answer)
        finally:
            self.call(Op.MUNMAP, address, PAGE)

    def container(self):
        return self.open("/dev/vfio/vfio")

    def put_into(self, group, container):
        address = self.memory()
        self.call(Op.POKE, address, struct.pack("<i", container))
        return self.ioctl(group, u.VFIO_GROUP_SET_CONTAINER, address)

    def device_of(self, group, name=DSA):
        address = self.memory()
        self.call(Op.POKE, address, name.encode() + b"\0")
        return self.ioctl(group, u.VFIO_GROUP_GET_DEVICE_FD, address)

    def load(self, device, offset, size):
        return int.from_bytes(self.data(Op.PREAD, device, size, offset), "little")

    def store(self, device, offset, size, value):
        return self.call(Op.PWRITE, device, value.to_bytes(size, "little"), offset)

    def set_irqs(self, device, index, flags, start=0, count=None, data=()):
        """SET_IRQS; ``data`` are eventfds."""
        request = u.IrqSet(0, flags, index, start, len(data) if count is None else count)
        return self.exchange(
            device, u.VFIO_DEVICE_SET_IRQS, request, struct.pack(f"<{len(data)}i", *data)
        )

    def eventfd(self):
        return self.call(Op.EVENTFD, 0, os.EFD_NONBLOCK)

    def count(self, eventfd):
        """What an eventfd has counted since."""
        try:
            return int.from_bytes(self.data(Op.READ, eventfd, 8), "little")
        except BlockingIOError:
            return 0

    def close(self, *fds):
        """Close descriptors; the server knows of it after the next call that it answers."""
        for fd in fds:
            self.call(Op.CLOSE, fd)
        self.call(Op.CLOSE, self.open("/dev/null"))


class Opened:
    """The DSA, opened as QEMU opens it."""

    def __init__(self, program):
        self.group = program.open("/dev/vfio/1")
        self.container = program.container()
        assert program.put_into(self.group, self.container) == 0
        assert program.ioctl(self.container, u.VFIO_SET_IOMMU, u.VFIO_TYPE1v2_IOMMU) == 0
        self.device = program.device_of(self.group)


@pytest.fixture
def uses():
    """What the program was seen to do, from when a test asks for it on."""
    return Uses()


@pytest.fixture
def server(request):
    observers = [request.getfixturevalue("uses")] if "uses" in request.fixturenames else []
    with VfioServer({DSA: dsa(), PLAIN: plain()}, Trace(observers)) as server:
        yield server


@pytest.fixture
def function(server):
    return server.functions[DSA]


@pytest.fixture
def program(server):
    program = Program(server)
    yield program
    program.client.close()
    program.process.wait()


@pytest.fixture
def opened(program):
    return Opened(program)


@pytest.fixture
def device(opened):
    return opened.device


def fails(number):
    return pytest.raises(OSError, match=f"^\\[Errno {number}\\] ")


class TestOpening:
    def test_descriptors_are_out_of_the_way(self, opened):
        assert {opened.group, opened.container, opened.device} == {*range(FIRST_FD, FIRST_FD + 3)}

    def test_other_paths_are_the_hosts(self, program):
        fd = program.open("/dev/null")
        assert fd < FIRST_FD
        with fails(errno.ENOENT):
            program.open("/no/such/file")
        with fails(errno.ENOTTY):
            program.ioctl(fd, u.VFIO_GET_API_VERSION)

    def test_a_program_with_a_low_limit_has_no_room(self, program):
        program.call(Op.SETRLIMIT, resource.RLIMIT_NOFILE, FIRST_FD)
        with fails(errno.EMFILE):
            program.open("/dev/vfio/2")
        program.call(Op.SETRLIMIT, resource.RLIMIT_NOFILE, FIRST_FD + 10)
        assert program.open("/dev/vfio/2") >= FIRST_FD

    def test_a_group_that_is_not_there(self, program):
        with fails(errno.ENOENT):
            program.open("/dev/vfio/3")

    def test_the_folder_is_what_qemu_reads(self, server):
        words = server.arguments[1].split(",")
        assert [words[0], *words[2:]] == ["vfio-pci", "bus=pcie.0", "addr=05.0"]
        folder = Path(words[1].removeprefix("sysfsdev="))
        assert folder.name == DSA
        assert (folder / "iommu_group").readlink().name == "1"

    def test_the_folder_is_gone_once_all_is_open(self, server, program, opened):
        folder = Path(server.arguments[1].split(",")[1].removeprefix("sysfsdev="))
        assert folder.exists()
        group = program.open("/dev/vfio/2")
        program.put_into(group, opened.container)
        program.device_of(group, PLAIN)
        assert not folder.parent.exists()

    @pytest.mark.parametrize("address", ["0000:01:00.0", "0000:00:05.1", "05.0", "0000:00:20.0"])
    def test_a_place_that_qemu_does_not_have(self, address):
        with pytest.raises(ValueError, match=f"^{address}: not the address of a slot"):
            VfioServer({address: dsa()})

    def test_a_program_that_cannot_be_started(self, server):
        with pytest.raises(StartError, match=r"^no-such-program: there is no such program$"):
            server.start(["no-such-program"])


class TestGroup:
    def test_is_open_once(self, program):
        group = program.open("/dev/vfio/1")
        with fails(errno.EBUSY):
            program.open("/dev/vfio/1")
        copy = program.call(Op.DUP, group)
        program.close(group)
        with fails(errno.EBUSY):
            program.open("/dev/vfio/1")
        program.close(copy)
        assert program.open("/dev/vfio/1") == group

    def test_status(self, program):
        group, container = program.open("/dev/vfio/1"), program.container()

        def status():
            return program.exchange(group, u.VFIO_GROUP_GET_STATUS, u.GroupStatus()).flags

        assert status() == u.VFIO_GROUP_FLAGS_VIABLE
        program.put_into(group, container)
        assert status() == u.VFIO_GROUP_FLAGS_VIABLE | u.VFIO_GROUP_FLAGS_CONTAINER_SET
        assert program.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER) == 0
        assert status() == u.VFIO_GROUP_FLAGS_VIABLE
        with fails(errno.EINVAL):
            program.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER)

    def test_goes_into_one_container_only(self, program):
        group, container = program.open("/dev/vfio/1"), program.container()
        with fails(errno.EBADF):
            program.put_into(group, 899)
        with fails(errno.EINVAL):
            program.put_into(group, program.open("/dev/null"))
        program.put_into(group, container)
        with fails(errno.EINVAL):
            program.put_into(group, container)

    def test_its_device(self, program):
        group, container = program.open("/dev/vfio/1"), program.container()
        with fails(errno.ENODEV):
            program.device_of(group, PLAIN)
        with fails(errno.EINVAL):
            program.device_of(group)
        program.put_into(group, container)
        with fails(errno.EINVAL):
            program.device_of(group)
        program.ioctl(container, u.VFIO_SET_IOMMU, u.VFIO_TYPE1_IOMMU)
        device = program.device_of(group)
        with fails(errno.EBUSY):
            program.ioctl(group, u.VFIO_GROUP_UNSET_CONTAINER)
        program.close(group)
        with fails(errno.EBUSY):
            program.open("/dev/vfio/1")
        program.close(device)
        assert program.open("/dev/vfio/1")

    def test_a_name_without_an_end(self, program, opened):
        address = program.memory(2)
        program.call(Op.POKE, address, b"x" * 2 * PAGE)
        with fails(errno.EINVAL):
            program.ioctl(opened.group, u.VFIO_GROUP_GET_DEVICE_FD, address)


class TestTrace:
    def test_what_an_observer_sees(self, uses, program, device):
        program.set_irqs(device, u.VFIO_PCI_MSIX_IRQ_INDEX, EVENTFD | TRIGGER, data=[-1])
        program.exchange(device, u.VFIO_DEVICE_GET_INFO, u.DeviceInfo())
        config = u.VFIO_PCI_CONFIG_REGION_INDEX << u.VFIO_PCI_OFFSET_SHIFT
        program.store(device, config + 4, 2, 6)
        program.load(device, config, 2)
        program.load(device, 0, 4)
        with fails(errno.EFAULT):
            program.ioctl(device, u.VFIO_DEVICE_GET_INFO, 8)
        found = uses.by_constant()
        assert found["VFIO_TYPE1v2_IOMMU"] == {"passed": ("VFIO_SET_IOMMU",)}
        assert found["VFIO_IRQ_SET_ACTION_TRIGGER"] == {"passed": ("VFIO_DEVICE_SET_IRQS",)}
        assert found["VFIO_DEVICE_FLAGS_PCI"] == {"given": ("VFIO_DEVICE_GET_INFO",)}
        where = "VFIO_PCI_CONFIG_REGION_INDEX"
        assert found["PCI_COMMAND_MASTER"] == {"passed": (where,)}
        assert found["PCI_VENDOR_ID"] == {"given": (where,)}
        assert "PCI_STATUS" not in found
        assert uses.nodes == {"/dev/vfio/vfio": {"ioctl"}, "/dev/vfio/<n>": {"ioctl"}}
        assert "VFIO_GROUP_GET_DEVICE_FD" in uses.ioctls


class TestContainer:
    def test_extensions(self, program):
        container = program.container()
        assert program.ioctl(container, u.VFIO_GET_API_VERSION) == 0
        answers = [program.ioctl(container, u.VFIO_CHECK_EXTENSION, n) for n in range(12)]
        assert [n for n, answer in enumerate(answers) if answer == 1] == [1, 3, 9]

    def test_without_an_iommu(self, program):
        container = program.container()
        with fails(errno.EINVAL):
            program.ioctl(container, u.VFIO_SET_IOMMU, u.VFIO_TYPE1v2_IOMMU)
        with fails(errno.EINVAL):
            program.exchange(container, u.VFIO_IOMMU_GET_INFO, u.IommuType1Info())
        program.put_into(program.open("/dev/vfio/1"), container)
        with fails(errno.ENODEV):
            program.ioctl(container, u.VFIO_SET_IOMMU, 8)

    def test_with_one(self, program, opened):
        with fails(errno.EINVAL):
            program.ioctl(opened.container, u.VFIO_SET_IOMMU, u.VFIO_TYPE1v2_IOMMU)
        info = program.exchange(opened.container, u.VFIO_IOMMU_GET_INFO, u.IommuType1Info())
        assert info.flags == u.VFIO_IOMMU_INFO_PGSIZES
        assert info.iova_pgsizes == (1 << 64) - PAGE


class TestDma:
    @pytest.fixture
    def map(self, program, opened):
        def map(iova, vaddr, size=PAGE, flags=READ_WRITE):
            request = u.DmaMap(0, flags, vaddr, iova, size)
            program.exchange(opened.container, u.VFIO_IOMMU_MAP_DMA, request)

        return map

    @pytest.fixture
    def unmap(self, program, opened):
        def unmap(iova, size=PAGE, flags=0):
            request = u.DmaUnmap(0, flags, iova, size)
            return program.exchange(opened.container, u.VFIO_IOMMU_UNMAP_DMA, request).size

        return unmap

    @pytest.mark.usefixtures("opened")
    def test_memory_of_the_program(self, program, function, map):
        first, second = program.memory(), program.memory()
        map(0x10000, first)
        map(0x11000, second)
        program.call(Op.POKE, first + PAGE - 2, b"ab")
        program.call(Op.POKE, second, b"cd")
        assert function.dma.read(0x11000 - 2, 4) == b"abcd"
        function.dma.write(0x11000 - 2, b"wxyz")
        assert program.data(Op.PEEK, first + PAGE - 2, 2) == b"wx"
        assert program.data(Op.PEEK, second, 2) == b"yz"

    def test_faults(self, program, function, map, unmap):
        address = program.memory()
        map(0x10000, address)
        map(0x20000, address, flags=u.VFIO_DMA_MAP_FLAG_READ)
        map(0x30000, 0x7000)  # nothing is there
        function.dma.read(0x20000, 8)
        for first, place in (
            (0x11000, 0x11000),
            (0x11000 - 4, 0x11000),
            (0, 0),
            (0x30000, 0x30000),
        ):
            with pytest.raises(DmaFault) as fault:
                function.dma.read(first, 8)
            assert fault.value.address == place
        with pytest.raises(DmaFault):
            function.dma.write(0x20000, b"x")
        unmap(0x10000)
        with pytest.raises(DmaFault):
            function.dma.read(0x10000, 8)

    def test_mapped_memory_is_not_that_of_another_program(self, program, function, map):
        map(0x10000, program.memory())
        program.ask(Op.FORK)  # a task that keeps the device open
        function.dma.read(0x10000, 8)
        program.client.ask(FIRST_TASK, Op.EXEC, b"/bin/sleep", b"sleep", b"1000")
        with pytest.raises(DmaFault):
            function.dma.read(0x10000, 8)

    @pytest.mark.parametrize(
        ("request_", "number"),
        [
            (u.DmaMap(0, 0, 0x1000, 0x1000, PAGE), errno.EINVAL),
            (u.DmaMap(0, 8, 0x1000, 0x1000, PAGE), errno.EINVAL),
            (u.DmaMap(31, 3, 0x1000, 0x1000, PAGE), errno.EINVAL),
            (u.DmaMap(0, 3, 0x1000, 0x1000, 0), errno.EINVAL),
            (u.DmaMap(0, 3, 0x1001, 0x1000, PAGE), errno.EINVAL),
            (u.DmaMap(0, 3, 0x1000, 0x1001, PAGE), errno.EINVAL),
            (u.DmaMap(0, 3, 0x1000, 0x1000, 1), errno.EINVAL),
            (u.DmaMap(0, 3, 0x1000, (1 << 64) - PAGE, 2 * PAGE), errno.EINVAL),
            (u.DmaMap(0, 3, 0x1000, 0x10000, PAGE), errno.EEXIST),
            (u.DmaMap(0, 3, 0x1000, 0xF000, 3 * PAGE), errno.EEXIST),
        ],
    )
    def test_bad_maps(self, program, opened, map, request_, number):
        map(0x10000, 0x1000)
        with fails(number):
            program.exchange(opened.container, u.VFIO_IOMMU_MAP_DMA, request_)

    def test_maps_beside_one_another(self, map, unmap):
        map(0x10000, 0x1000, 2 * PAGE)
        map(0x12000, 0x1000)
        map(0xF000, 0x1000)
        map((1 << 64) - PAGE, 0x1000)
        assert unmap(0xF000, 4 * PAGE) == 4 * PAGE
        assert unmap(0, 0, u.VFIO_DMA_UNMAP_FLAG_ALL) == PAGE
        assert unmap(0, 0, u.VFIO_DMA_UNMAP_FLAG_ALL) == 0

    def test_nothing_is_unmapped_in_part(self, function, map, unmap, program):
        map(0x10000, program.memory(2), 2 * PAGE)
        for iova, size in (
            (0x10000, PAGE),
            (0x11000, PAGE),
            (0x11000, 2 * PAGE),
            (0xF000, 2 * PAGE),
        ):
            with fails(errno.EINVAL):
                unmap(iova, size)
        assert function.dma.read(0x10000, 2 * PAGE) == bytes(2 * PAGE)
        assert unmap(0x20000, PAGE) == 0
        assert unmap(0xF000, 4 * PAGE) == 2 * PAGE

    @pytest.mark.parametrize(
        "request_",
        [
            u.DmaUnmap(23, 0, 0x1000, PAGE),
            u.DmaUnmap(0, 4, 0x1000, PAGE),
            u.DmaUnmap(0, 0, 0x1001, PAGE),
            u.DmaUnmap(0, 0, 0x1000, 0),
            u.DmaUnmap(0, 0, 0x1000, 1),
            u.DmaUnmap(0, 0, (1 << 64) - PAGE, 2 * PAGE),
            u.DmaUnmap(0, u.VFIO_DMA_UNMAP_FLAG_ALL, 0x1000, 0),
            u.DmaUnmap(0, u.VFIO_DMA_UNMAP_FLAG_ALL, 0, PAGE),
        ],
    )
    def test_bad_unmaps(self, program, opened, request_):
        with fails(errno.EINVAL):
            program.exchange(opened.container, u.VFIO_IOMMU_UNMAP_DMA, request_)

    def test_mappings_go_with_the_last_group(self, program, opened, function, map):
        address = program.memory()
        map(0x10000, address)
        dma = function.dma
        program.close(opened.device)
        assert function.dma is None
        program.close(opened.group)
        with pytest.raises(DmaFault):
            dma.read(0x10000, 8)


class TestInfo:
    def test_of_the_device(self, program, device):
        info = program.exchange(device, u.VFIO_DEVICE_GET_INFO, u.DeviceInfo())
        assert info.flags == u.VFIO_DEVICE_FLAGS_PCI | u.VFIO_DEVICE_FLAGS_RESET
        assert (info.num_regions, info.num_irqs) == (9, 5)

    def test_of_regions(self, program, device):
        sizes = {0: 0x10000, 2: 0x20000, 7: 4096}
        for index in range(8):
            request = u.RegionInfo(0, 99, index, 77)
            info = program.exchange(device, u.VFIO_DEVICE_GET_REGION_INFO, request)
            assert info.size == sizes.get(index, 0)
            assert info.flags == (3 if index in sizes else 0)
            assert info.offset == index << 40
            assert info.cap_offset == 77
        for index in (8, 9, 0xFFFFFFFF):
            with fails(errno.EINVAL):
                program.exchange(device, u.VFIO_DEVICE_GET_REGION_INFO, u.RegionInfo(0, 0, index))

    def test_of_interrupts(self, program, device):
        infos = [
            program.exchange(device, u.VFIO_DEVICE_GET_IRQ_INFO, u.IrqInfo(0, 0, index))
            for index in range(5)
        ]
        assert [(info.flags, info.count) for info in infos] == [
            (7, 0),
            (9, 0),
            (1, VECTORS),
            (9, 1),
            (9, 1),
        ]
        with fails(errno.EINVAL):
            program.exchange(device, u.VFIO_DEVICE_GET_IRQ_INFO, u.IrqInfo(0, 0, 5))

    def test_of_a_function_without_anything(self, program, opened):
        group = program.open("/dev/vfio/2")
        program.put_into(group, opened.container)
        device = program.device_of(group, PLAIN)
        info = program.exchange(device, u.VFIO_DEVICE_GET_INFO, u.DeviceInfo())
        assert info.flags == u.VFIO_DEVICE_FLAGS_PCI
        config = program.exchange(device, u.VFIO_DEVICE_GET_REGION_INFO, u.RegionInfo(0, 0, 7))
        assert config.size == 256
        msix = program.exchange(device, u.VFIO_DEVICE_GET_IRQ_INFO, u.IrqInfo(0, 0, 2))
        assert msix.count == 0
        with fails(errno.EINVAL):
            program.exchange(device, u.VFIO_DEVICE_GET_IRQ_INFO, u.IrqInfo(0, 0, 3))
        with fails(errno.EINVAL):
            program.ioctl(device, u.VFIO_DEVICE_RESET)
        with fails(errno.EINVAL):
            program.set_irqs(device, 2, u.VFIO_IRQ_SET_DATA_NONE | TRIGGER, count=0)
        program.store(device, CONFIG + cfg.COMMAND, 2, cfg.COMMAND_MEMORY)
        program.store(device, 0x10, 8, 0x1122334455667788)
        assert program.load(device, 0x14, 4) == 0x11223344

    @pytest.mark.parametrize(
        ("command", "structure"),
        [
            (u.VFIO_DEVICE_GET_INFO, u.DeviceInfo),
            (u.VFIO_DEVICE_GET_REGION_INFO, u.RegionInfo),
            (u.VFIO_DEVICE_GET_IRQ_INFO, u.IrqInfo),
            (u.VFIO_DEVICE_SET_IRQS, u.IrqSet),
            (u.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, u.HotResetInfo),
        ],
    )
    def test_too_short_and_out_of_reach(self, program, device, command, structure):
        with fails(errno.EINVAL):
            program.exchange(device, command, structure(ctypes.sizeof(structure) - 1))
        with fails(errno.EFAULT):
            program.ioctl(device, command, 8)

    def test_more_than_the_structure_is_left_alone(self, program, device):
        address = program.memory()
        program.call(Op.POKE, address, struct.pack("<I", 24) + b"\xee" * 20)
        program.ioctl(device, u.VFIO_DEVICE_GET_INFO, address)
        assert program.data(Op.PEEK, address + 16, 8) == b"\xee" * 8

    def test_no_bus_is_reset(self, program, device):
        with fails(errno.ENODEV):
            program.exchange(device, u.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, u.HotResetInfo())

    def test_unknown_commands(self, program, opened, caplog):
        for fd in (opened.container, opened.group, opened.device):
            with fails(errno.ENOTTY):
                program.ioctl(fd, 0x3B64 + 30)
        texts = [record.getMessage() for record in caplog.records]
        assert texts == [
            f"VFIO: unknown ioctl 0x3b82 on a {what}" for what in ("container", "group", "device")
        ]


class TestRegions:
    def test_configuration(self, program, device):
        assert program.load(device, CONFIG, 4) == 0x0B258086
        whole = program.data(Op.PREAD, device, 4096, CONFIG)
        assert len(whole) == 4096
        assert whole[:4] == bytes.fromhex("8680250b")
        program.store(device, CONFIG + cfg.COMMAND, 2, MEMORY_AND_MASTER)
        assert program.load(device, CONFIG + cfg.COMMAND, 2) == MEMORY_AND_MASTER
        for offset, count in ((4096, 1), (4095, 2), (0, 4097)):
            with fails(errno.EFAULT):
                program.data(Op.PREAD, device, count, CONFIG + offset)

    def test_no_line_is_connected_to_the_pin(self, program, device, function):
        assert function.config_read(cfg.INTERRUPT_PIN, 1) == 1
        assert program.load(device, CONFIG + cfg.INTERRUPT_PIN, 1) == 0
        assert program.load(device, CONFIG + cfg.INTERRUPT_LINE, 4) == 0

    def test_registers(self, program, device):
        with fails(errno.EIO):
            program.load(device, idxd.IDXD_VER_OFFSET, 4)
        with fails(errno.EIO):
            program.store(device, idxd.IDXD_GENCTRL_OFFSET, 4, 3)
        program.store(device, CONFIG + cfg.COMMAND, 2, cfg.COMMAND_MEMORY)
        assert program.load(device, idxd.IDXD_VER_OFFSET, 4) == 0x100
        program.store(device, idxd.IDXD_GENCTRL_OFFSET, 4, 3)
        assert program.load(device, idxd.IDXD_GENCTRL_OFFSET, 4) == 3
        assert program.load(device, BAR2, 8) == (1 << 64) - 1

    def test_accesses_are_aligned(self, program, device, function):
        program.store(device, CONFIG + cfg.COMMAND, 2, cfg.COMMAND_MEMORY)
        seen = []
        load = function.bar_load
        function.bar_load = lambda bar, offset, size: (
            seen.append((offset, size)) or load(bar, offset, size)
        )
        program.data(Op.PREAD, device, 20, 0x41)
        assert seen == [(0x41, 1), (0x42, 2), (0x44, 4), (0x48, 8), (0x50, 4), (0x54, 1)]

    def test_the_ends_of_regions(self, program, device):
        program.store(device, CONFIG + cfg.COMMAND, 2, cfg.COMMAND_MEMORY)
        assert len(program.data(Op.PREAD, device, 8, 0x10000 - 4)) == 4
        assert program.call(Op.PWRITE, device, bytes(8), 0x10000 - 4) == 4
        assert program.data(Op.PREAD, device, 0, 99 << 40) == b""
        assert program.call(Op.PWRITE, device, b"", 99 << 40) == 0
        for region, offset in ((0, 0x10000), (1, 0), (6, 0), (8, 0), (9, 0)):
            with fails(errno.EINVAL):
                program.load(device, (region << 40) + offset, 1)
            with fails(errno.EINVAL):
                program.store(device, (region << 40) + offset, 1, 0)

    def test_only_devices_are_read(self, program, opened):
        for fd in (opened.container, opened.group):
            with fails(errno.EINVAL):
                program.load(fd, 0, 4)
            with fails(errno.EINVAL):
                program.store(fd, 0, 4, 0)

    def test_the_vector_table_is_not_the_programs(self, program, device, function):
        program.store(device, CONFIG + cfg.COMMAND, 2, cfg.COMMAND_MEMORY)
        before = bytes(function.memory(0))
        assert program.call(Op.PWRITE, device, bytes(16 * VECTORS), 0x2000) == 16 * VECTORS
        assert function.memory(0) == before
        assert program.load(device, 0x200C, 4) == 0xFFFFFFFF
        program.store(device, CONFIG + MSIX_CONTROL, 2, 0xFFFF)
        assert program.load(device, CONFIG + MSIX_CONTROL, 2) == VECTORS - 1


def command(program, device, number, operand=0):
    """Give a command that ends with an interrupt."""
    program.store(device, idxd.IDXD_CMD_OFFSET, 4, 1 << 31 | number << 20 | operand)


class TestInterrupts:
    @pytest.fixture(autouse=True)
    def _decoding(self, program, device):
        program.store(device, CONFIG + cfg.COMMAND, 2, MEMORY_AND_MASTER)

    @pytest.fixture
    def msix(self, program, device):
        def msix(*eventfds, start=0, flags=EVENTFD | TRIGGER, count=None):
            program.set_irqs(device, u.VFIO_PCI_MSIX_IRQ_INDEX, flags, start, count, eventfds)

        return msix

    def test_a_command_ends(self, program, device, msix):
        eventfd = program.eventfd()
        msix(eventfd)
        command(program, device, idxd.IDXD_CMD_RESET_DEVICE)
        assert program.count(eventfd) == 1
        assert program.load(device, idxd.IDXD_INTCAUSE_OFFSET, 4) == idxd.IDXD_INTC_CMD
        msix(flags=u.VFIO_IRQ_SET_DATA_NONE | TRIGGER, count=0)
        command(program, device, idxd.IDXD_CMD_RESET_DEVICE)
        assert program.count(eventfd) == 0

    def test_vectors_come_one_by_one(self, program, msix, function):
        eventfds = [program.eventfd() for _ in range(VECTORS)]
        for vector, eventfd in enumerate(eventfds):
            msix(eventfd, start=vector)
        for vector in (0, 3, 3, 8):
            function.raise_interrupt(vector)
        assert [program.count(eventfd) for eventfd in eventfds] == [1, 0, 0, 2, 0, 0, 0, 0, 1]

    def test_a_vector_without_an_eventfd_waits(self, program, msix, function):
        first, second = program.eventfd(), program.eventfd()
        msix(first, -1)
        function.raise_interrupt(1)
        msix(second, start=1)
        assert (program.count(first), program.count(second)) == (0, 1)
        msix(-1)
        function.raise_interrupt(0)
        assert program.count(first) == 0

    @pytest.mark.parametrize("how", ["ioctl", "register"])
    def test_interrupts_survive_a_reset(self, program, device, msix, how):
        eventfd = program.eventfd()
        msix(eventfd)
        if how == "ioctl":
            program.ioctl(device, u.VFIO_DEVICE_RESET)
            assert program.load(device, CONFIG + cfg.COMMAND, 2) == MEMORY_AND_MASTER
        else:
            program.store(device, CONFIG + 0x48, 2, 0x8000)
            assert program.load(device, CONFIG + cfg.COMMAND, 2) == 0
            program.store(device, CONFIG + cfg.COMMAND, 2, MEMORY_AND_MASTER)
        command(program, device, idxd.IDXD_CMD_RESET_DEVICE)
        assert program.count(eventfd) == 1

    def test_what_the_guest_does_to_msix_does_not_count(self, program, device, msix):
        eventfd = program.eventfd()
        msix(eventfd)
        for control in (cfg.MSIX_ENABLE | cfg.MSIX_MASK_ALL, 0):
            program.store(device, CONFIG + MSIX_CONTROL, 2, control)
            command(program, device, idxd.IDXD_CMD_RESET_DEVICE)
            assert program.count(eventfd) == 1

    def test_a_full_eventfd_blocks_nobody(self, program, device, msix):
        eventfd = program.call(Op.EVENTFD, 0, 0)
        program.call(Op.WRITE, eventfd, struct.pack("<Q", 2**64 - 2))
        msix(eventfd)
        command(program, device, idxd.IDXD_CMD_RESET_DEVICE)
        assert program.load(device, idxd.IDXD_VER_OFFSET, 4) == 0x100
        assert program.count(eventfd) == 2**64 - 2

    def test_triggers(self, program, device, msix):
        first, second = program.eventfd(), program.eventfd()
        with fails(errno.EINVAL):
            msix(flags=u.VFIO_IRQ_SET_DATA_NONE | TRIGGER, count=1)
        msix(first, second)
        msix(flags=u.VFIO_IRQ_SET_DATA_NONE | TRIGGER, count=2)
        assert (program.count(first), program.count(second)) == (1, 1)
        request = u.IrqSet(0, u.VFIO_IRQ_SET_DATA_BOOL | TRIGGER, 2, 0, 2)
        program.exchange(device, u.VFIO_DEVICE_SET_IRQS, request, b"\0\1")
        assert (program.count(first), program.count(second)) == (0, 1)

    def test_bad_eventfds(self, program, msix, function):
        good, no_eventfd = program.eventfd(), program.open("/dev/null")
        for bad, number in ((no_eventfd, errno.EINVAL), (777, errno.EBADF)):
            with fails(number):
                msix(good, bad)
            assert not function.config_read(MSIX_CONTROL, 2) & cfg.MSIX_ENABLE
        msix(good)
        with fails(errno.EBADF):
            msix(777, start=1)
        function.raise_interrupt(0)
        assert program.count(good) == 1
        with fails(errno.EBADF):
            msix(good, 777)
        function.raise_interrupt(0)
        assert program.count(good) == 0

    def test_errors_and_requests(self, program, device):
        for index in (u.VFIO_PCI_ERR_IRQ_INDEX, u.VFIO_PCI_REQ_IRQ_INDEX):
            eventfd = program.eventfd()
            none, boolean = u.VFIO_IRQ_SET_DATA_NONE, u.VFIO_IRQ_SET_DATA_BOOL
            with fails(errno.EINVAL):
                program.set_irqs(device, index, none | TRIGGER, count=1)
            with fails(errno.EINVAL):
                program.set_irqs(device, index, EVENTFD | TRIGGER)
            program.set_irqs(device, index, EVENTFD | TRIGGER, data=(eventfd,))
            program.set_irqs(device, index, none | TRIGGER, count=1)
            request = u.IrqSet(0, boolean | TRIGGER, index, 0, 1)
            program.exchange(device, u.VFIO_DEVICE_SET_IRQS, request, b"\1")
            program.exchange(device, u.VFIO_DEVICE_SET_IRQS, request, b"\0")
            assert program.count(eventfd) == 2
            with fails(errno.EINVAL):
                program.set_irqs(device, index, boolean | TRIGGER, count=0)
            program.set_irqs(device, index, none | TRIGGER, count=0)
            with fails(errno.EINVAL):
                program.set_irqs(device, index, none | TRIGGER, count=0)
            program.set_irqs(device, index, EVENTFD | TRIGGER, data=(eventfd,))
            program.set_irqs(device, index, EVENTFD | TRIGGER, data=(-1,))
            with fails(errno.EINVAL):
                program.set_irqs(device, index, none | TRIGGER, count=1)

    @pytest.mark.parametrize(
        ("request_", "number"),
        [
            (u.IrqSet(0, 0x21, 5), errno.EINVAL),
            (u.IrqSet(0, 0x61, 2), errno.EINVAL),
            (u.IrqSet(0, 0x21, 0), errno.EINVAL),  # there is no interrupt line
            (u.IrqSet(0, 0x21, 1), errno.EINVAL),  # nor MSI
            (u.IrqSet(0, 0x21, 2, VECTORS, 0), errno.EINVAL),
            (u.IrqSet(0, 0x21, 2, 1, VECTORS), errno.EINVAL),
            (u.IrqSet(0, 0x21, 2, 0xFFFFFFFF, 1), errno.EINVAL),
            (u.IrqSet(0, 0x20, 2, 0, 1), errno.EINVAL),
            (u.IrqSet(0, 0x25, 2, 0, 1), errno.EINVAL),
            (u.IrqSet(0, 0x24, 2, 0, 1), errno.EINVAL),  # no data
            (u.IrqSet(0, 0x22, 2, 0, 1), errno.EINVAL),
            (u.IrqSet(0, 0x01, 2, 0, 1), errno.ENOTTY),
            (u.IrqSet(0, 0x31, 2, 0, 1), errno.ENOTTY),
            (u.IrqSet(0, 0x09, 2, 0, 1), errno.ENOTTY),
            (u.IrqSet(0, 0x11, 3, 0, 1), errno.ENOTTY),
        ],
    )
    def test_bad_requests(self, program, device, request_, number):
        with fails(number):
            program.exchange(device, u.VFIO_DEVICE_SET_IRQS, request_)


class TestClosing:
    def test_a_device_is_given_back_reset(self, program, opened, function):
        program.store(opened.device, CONFIG + cfg.COMMAND, 2, MEMORY_AND_MASTER)
        program.store(opened.device, idxd.IDXD_GENCTRL_OFFSET, 4, 3)
        second = program.device_of(opened.group)
        program.close(opened.device)
        assert program.load(second, idxd.IDXD_GENCTRL_OFFSET, 4) == 3
        program.close(second)
        assert function.interrupt is None
        assert function.bar_load(0, idxd.IDXD_GENCTRL_OFFSET, 4) == 0

    def test_with_a_process_all_is_closed(self, program, opened, function):
        child = program.ask(Op.FORK)
        program.close(opened.device, opened.group, opened.container)
        program.task = child.result
        assert program.load(opened.device, CONFIG, 4) == 0x0B258086
        program.client.ask(child.result, Op.EXIT, 0)
        program.task = FIRST_TASK
        program.ask(Op.WAIT, *child.fields)
        program.close()
        assert function.dma is None

    def test_a_killed_program(self, server, function):
        program = Program(server)
        Opened(program)
        program.process.kill()
        assert program.process.wait() == -signal.SIGKILL
        server.close()
        assert function.dma is None
        with pytest.raises(AgentError):
            program.call(Op.EVENTFD, 0, 0)
        program.client.close()

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_a_mistake_of_ours_ends_the_program(self, server, function):
        program = Program(server)
        device = Opened(program).device
        function.config_read = None
        with pytest.raises(AgentError):
            program.load(device, CONFIG, 4)
        assert program.process.wait() == -signal.SIGKILL
        program.client.close()

    def test_a_server_that_is_closed_first(self, server):
        program = Program(server)
        Opened(program)
        server.close()
        assert program.process.returncode == -signal.SIGKILL
        program.client.close()

    def test_a_killed_server(self, tmp_path):
        code = """
            import subprocess, sys, time
            from harness.hardware.pci import PciFunction
            from harness.hardware.pci_config import FunctionEntry
            from harness.vm.vfio_server import VfioServer
            client = '''
            import os, fcntl, struct, time, ctypes
            group, container = (os.open("/dev/vfio/" + n, os.O_RDWR) for n in ("1", "vfio"))
            fcntl.ioctl(group, 0x3B68, struct.pack("i", container))
            fcntl.ioctl(container, 0x3B66, 3)
            name = ctypes.create_string_buffer(b"0000:00:05.0")
            assert ctypes.CDLL(None).ioctl(group, 0x3B6A, name) > 900
            print(os.getpid(), flush=True)
            time.sleep(1000)
            '''
            with VfioServer({"0000:00:05.0": PciFunction(FunctionEntry())}) as server:
                lines = client.strip().splitlines()
                code = chr(10).join(line.strip() for line in lines)
                server.start([sys.executable, "-c", code]).wait()
            """
        command = [sys.executable, "-c", textwrap.dedent(code)]
        environment = os.environ | {"TMPDIR": str(tmp_path)}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=environment
        ) as supervisor:
            program = os.pidfd_open(int(supervisor.stdout.readline()))
            supervisor.kill()
            supervisor.wait()
            assert select.select([program], [], [], 30)[0] == [program]
            os.close(program)
        assert list(tmp_path.iterdir()) == []
