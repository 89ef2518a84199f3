# SPDX-License-Identifier: Apache-2.0
"""Reading, writing and mapping the regions of a device."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.call import Buffer
from harness.conformance.errnos import EFAULT, EINVAL, EIO, EPERM, ESPIPE
from harness.conformance.suites.vfio_pci._device import (
    BAR0,
    COMMAND,
    CONFIG,
    E1000E,
    EDU,
    INTX_DISABLE,
    MACHINE,
    MASTER,
    MEMORY,
    NVME,
    SET,
    STATUS,
    TESTDEV,
    device_fd,
    feature,
    open_device,
    region,
)
from harness.uapi import vfio as u
from harness.uapi.fs import POLLIN, POLLOUT, SEEK_SET

_CONFIG = "vfio_config_do_rw: drivers/vfio/pci/vfio_pci_config.c, 6.1"
_BASIC = "vfio_basic_config_write: drivers/vfio/pci/vfio_pci_config.c, 6.1"
_BAR = "vfio_pci_bar_rw: drivers/vfio/pci/vfio_pci_rdwr.c, 6.1"
_MMAP = "vfio_pci_core_mmap: drivers/vfio/pci/vfio_pci_core.c, 6.1"
_READ, _WRITE, _EXEC = 1, 2, 4
_SHARED, _PRIVATE = 1, 2
_SIGBUS = 7
_PAGE = 4096


def _word(value: int) -> bytes:
    return value.to_bytes(2, "little")


# --- configuration space


@case(source=_CONFIG, machine=MACHINE)
@param(
    "address count offset content",
    [
        (EDU, 4, 0, "3412e811"),
        (EDU, 1, 1, "12"),
        (EDU, 4, 1, "12e81103"),
        (EDU, 0, 0, ""),
        (EDU, 2, 0x2C, "f41a"),
        (NVME, 4, 0, "361b1000"),
        (NVME, 4, 0x34, "40000000"),
        (E1000E, 4, 0, "8680d310"),
    ],
    id="{address}-{offset:#x}-{count}",
)
def config(call: Call, address: str, count: int, offset: int, content: str) -> None:
    fd = open_device(call, address).fd
    expect(call.pread(fd, count, CONFIG + offset), bytes.fromhex(content))


@case(source=_CONFIG, machine=MACHINE)
@param("address size", [(EDU, 256), (NVME, 4096)])
def config_to_its_end(call: Call, address: str, size: int) -> None:
    """A range that is not all inside is a fault, and no short read."""
    fd = open_device(call, address).fd
    expect(len(expect(call.pread(fd, size, CONFIG))), size)
    expect(call.pread(fd, size + 1, CONFIG), EFAULT)
    expect(call.pread(fd, 4, CONFIG + size - 2), EFAULT)
    expect(call.pread(fd, 1, CONFIG + size), EFAULT)
    expect(call.pread(fd, 0, CONFIG + size), b"")
    expect(call.pwrite(fd, bytes(4), CONFIG + size - 2), EFAULT)
    expect(call.pwrite(fd, bytes(1), CONFIG + size), EFAULT)


@case(source=_CONFIG, machine=MACHINE)
def identity_is_fixed(call: Call) -> None:
    fd = open_device(call).fd
    header = expect(call.pread(fd, 64, CONFIG))
    expect(call.pwrite(fd, b"\xff\xff\xff\xff", CONFIG), 4)
    expect(call.pwrite(fd, b"\xff" * 4, CONFIG + 8), 4)
    expect(call.pwrite(fd, b"\xff", CONFIG + 0x34), 1)
    expect(call.pwrite(fd, b"\x05", CONFIG + 0x3D), 1)
    expect(call.pread(fd, 64, CONFIG), header)


@case(source="vfio_bar_fixup: drivers/vfio/pci/vfio_pci_config.c, 6.1", machine=MACHINE)
@param(
    "address bar size",
    [
        (EDU, 0, "0000f0ff"),
        (EDU, 1, "00000000"),
        (NVME, 0, "04c0ffff"),
        (NVME, 1, "ffffffff"),
        (E1000E, 2, "e1ffffff"),
        (E1000E, 3, "00c0ffff"),
    ],
    id="{address}-{bar}",
)
def size_of_a_bar(call: Call, address: str, bar: int, size: str) -> None:
    """All ones leave what the size allows; the hardware's own register is not touched."""
    fd = open_device(call, address).fd
    place = BAR0 + 4 * bar
    before = expect(call.pread(fd, 4, place))
    expect(call.pwrite(fd, b"\xff" * 4, place), 4)
    expect(call.pread(fd, 4, place), bytes.fromhex(size))
    expect(call.pwrite(fd, before, place), 4)
    expect(call.pread(fd, 4, place), before)
    hardware = f"/sys/bus/pci/devices/{address}/config"
    with call.opened(hardware, 0) as config_file:
        expect(call.pread(config_file, 4, place - CONFIG), before)


@case(source=_BASIC, machine=MACHINE)
def interrupt_line_is_the_users(call: Call) -> None:
    fd = open_device(call).fd
    expect(call.pwrite(fd, b"\x5a", CONFIG + 0x3C), 1)
    expect(call.pread(fd, 2, CONFIG + 0x3C), b"\x5a\x01")


@case(source="vfio_pci_core_enable: drivers/vfio/pci/vfio_pci_core.c, 6.1", machine=MACHINE)
@param("address", [EDU, NVME, E1000E])
def command_at_first(call: Call, address: str) -> None:
    """Memory is on, the function may not be a bus master, and INTx is not disabled."""
    fd = open_device(call, address).fd
    command = int.from_bytes(expect(call.pread(fd, 2, COMMAND)), "little")
    expect(command & (MEMORY | MASTER | INTX_DISABLE), MEMORY)


@case(source=_BASIC, machine=MACHINE)
def command(call: Call) -> None:
    """The bit that disables INTx is virtual; the others are the hardware's."""
    fd = open_device(call).fd
    for value in (0, MEMORY | MASTER, MEMORY | INTX_DISABLE, MEMORY):
        expect(call.pwrite(fd, _word(value), COMMAND), 2)
        expect(call.pread(fd, 2, COMMAND), _word(value))
    expect(call.pwrite(fd, b"\xff\xff", STATUS), 2)
    expect(call.pwrite(fd, bytes([INTX_DISABLE >> 8]), COMMAND + 1), 1)
    expect(call.pread(fd, 2, COMMAND), _word(MEMORY | INTX_DISABLE))


@case(source="vfio_msi_config_write: drivers/vfio/pci/vfio_pci_config.c, 6.1", machine=MACHINE)
def msi_is_enabled_by_ioctl_alone(call: Call) -> None:
    """Address and data are the user's to keep; enabling MSI is not for him."""
    fd = open_device(call).fd
    expect(call.pread(fd, 2, CONFIG + 0x40), b"\x05\x00")
    control = expect(call.pread(fd, 2, CONFIG + 0x42))
    expect(call.pwrite(fd, bytes([control[0] | 0x71]), CONFIG + 0x42), 1)
    expect(call.pread(fd, 2, CONFIG + 0x42), control)
    expect(call.pwrite(fd, b"\x00\x00\xe0\xfe", CONFIG + 0x44), 4)
    expect(call.pread(fd, 4, CONFIG + 0x44), b"\x00\x00\xe0\xfe")


@case(source="cap_perms: drivers/vfio/pci/vfio_pci_config.c, 6.1", machine=MACHINE)
def msix_is_read_only(call: Call) -> None:
    fd = open_device(call, NVME).fd
    before = expect(call.pread(fd, 12, CONFIG + 0x40))
    expect(before[:1], b"\x11")
    expect(call.pwrite(fd, b"\xff" * 12, CONFIG + 0x40), 12)
    expect(call.pread(fd, 12, CONFIG + 0x40), before)


@case(source="init_pci_cap_exp_perm: drivers/vfio/pci/vfio_pci_config.c, 6.1", machine=MACHINE)
def device_control(call: Call) -> None:
    """No phantom functions; payload and requests are virtual; a reset is over at once."""
    fd = open_device(call, NVME).fd
    place = CONFIG + 0x80 + 8
    expect(call.pread(fd, 1, CONFIG + 0x80), b"\x10")
    expect(call.pwrite(fd, _word(0x52E0), place), 2)
    expect(call.pread(fd, 2, place), _word(0x50E0))
    expect(call.pwrite(fd, _word(0xD0E0), place), 2)
    expect(call.pread(fd, 2, place), _word(0x50E0))


@case(source="init_pci_cap_pm_perm: drivers/vfio/pci/vfio_pci_config.c, 6.1", machine=MACHINE)
def power_management(call: Call) -> None:
    """Nobody wakes up a machine; in D3 memory is off, and it is back afterwards."""
    fd = open_device(call, NVME).fd
    place = CONFIG + 0x60
    expect(call.pread(fd, 1, place), b"\x01")
    capabilities = int.from_bytes(expect(call.pread(fd, 2, place + 2)), "little")
    expect(capabilities & 0xF800, 0)
    expect(call.pwrite(fd, _word(0x8103), place + 4), 2)
    control = int.from_bytes(expect(call.pread(fd, 2, place + 4)), "little")
    expect(control & 0x8103, 0x0003)
    expect(call.pread(fd, 4, region(0)), EIO)
    expect(call.pwrite(fd, _word(0), place + 4), 2)
    expect(len(expect(call.pread(fd, 4, region(0)))), 4)


@case(
    source="vfio_pm_config_write: drivers/vfio/pci/vfio_pci_config.c; "
    "pci_set_low_power_state: drivers/pci/pci.c, 6.1",
    machine=MACHINE,
)
@param("address position", [(NVME, 0x60), (E1000E, 0xC8)])
def power_states_that_it_lacks(call: Call, address: str, position: int) -> None:
    """D1 and D2 are refused without a word; out of D3 there is only the way up to D0."""
    fd = open_device(call, address).fd
    place = CONFIG + position + 4

    def state_after(value: int) -> int:
        expect(call.pwrite(fd, bytes([value]), place), 1)
        return expect(call.pread(fd, 1, place))[0] & 3

    expect([state_after(value) for value in (1, 2, 3, 2, 1, 0, 1)], [0, 0, 3, 3, 3, 0, 0])


@case(
    source="vfio_pci_set_power_state: drivers/vfio/pci/vfio_pci_core.c; "
    "pci_save_aer_state: drivers/pci/pcie/aer.c, 6.1",
    machine=MACHINE,
)
def errors_kept_over_a_sleep(call: Call) -> None:
    """How severe errors are is after D3 what it was before it."""
    fd = open_device(call, E1000E).fd
    power, severity = CONFIG + 0xC8 + 4, CONFIG + 0x10C
    expect(call.pwrite(fd, b"\x30\x20\x06\x00", severity), 4)
    expect(call.pwrite(fd, b"\x03", power), 1)
    expect(call.pwrite(fd, b"\x00\x50\x02\x00", severity), 4)
    expect(call.pread(fd, 4, severity), b"\x00\x50\x02\x00")
    expect(call.pwrite(fd, b"\x00", power), 1)
    expect(call.pread(fd, 4, severity), b"\x30\x20\x06\x00")


@case(source="pcie_cap_init: hw/pci/pcie.c, QEMU 7.2", machine=MACHINE)
def no_extended_capability(call: Call) -> None:
    """The place of the first says for good that there is none; what is behind it is memory."""
    fd = open_device(call, NVME).fd
    expect(call.pwrite(fd, b"\xff" * 8, CONFIG + 0x100), 8)
    expect(call.pread(fd, 8, CONFIG + 0x100), bytes(4) + b"\xff" * 4)
    expect(call.pwrite(fd, bytes(8), CONFIG + 0x100), 8)


@case(
    source="vfio_raw_config_write: drivers/vfio/pci/vfio_pci_config.c, 6.1; "
    "pci_init_wmask: hw/pci/pci.c, QEMU 7.2",
    machine=MACHINE,
)
@param("address spare", [(EDU, 0x50), (E1000E, 0x40), (NVME, 0x50), (TESTDEV, 0x40)])
def between_capabilities(call: Call, address: str, spare: int) -> None:
    """Whatever the hardware does: QEMU has memory there, which no reset clears."""
    fd = open_device(call, address).fd
    expect(call.pwrite(fd, b"\xa5\x5a\xff", CONFIG + spare + 1), 3)
    reset = call.ioctl(fd, u.VFIO_DEVICE_RESET)
    reset.looked_at = True
    expect(call.pread(fd, 3, CONFIG + spare + 1), b"\xa5\x5a\xff")
    expect(call.pwrite(fd, bytes(3), CONFIG + spare + 1), 3)
    expect(call.pread(fd, 3, CONFIG + spare + 1), bytes(3))


@case(
    source="vfio_basic_config_write: drivers/vfio/pci/vfio_pci_config.c, 6.1; "
    "pci_init_wmask: hw/pci/pci.c, QEMU 7.2",
    machine=MACHINE,
)
def command_bits(call: Call) -> None:
    """All that there are; QEMU has no parity errors to respond to."""
    fd = open_device(call).fd
    expect(call.pwrite(fd, _word(0xFFFF), COMMAND), 2)
    expect(call.pread(fd, 2, COMMAND), _word(0x0507))


@case(source="vfio_cap_init: drivers/vfio/pci/vfio_pci_config.c, 6.1", machine=MACHINE)
@param("address numbers", [(EDU, (5,)), (NVME, (0x11, 0x10, 1)), (E1000E, (1, 5, 0x10, 0x11))])
def capabilities(call: Call, address: str, numbers: tuple[int, ...]) -> None:
    """In the order of the list."""
    fd = open_device(call, address).fd
    found = []
    position = expect(call.pread(fd, 1, CONFIG + 0x34))[0]
    while position:
        number, position = expect(call.pread(fd, 2, CONFIG + position))
        found.append(number)
    expect(tuple(found), numbers)


@case(source="vfio_pci_core_disable: drivers/vfio/pci/vfio_pci_core.c, 6.1", machine=MACHINE)
def fresh_for_the_next(call: Call) -> None:
    """What the user did to configuration space is gone when the device is opened again."""
    opened = open_device(call)
    before = expect(call.pread(opened.fd, 256, CONFIG))
    expect(call.pwrite(opened.fd, b"\xff" * 4, BAR0), 4)
    expect(call.pwrite(opened.fd, _word(MASTER), COMMAND), 2)
    expect(call.close(opened.fd))
    fd = device_fd(call, opened.group, EDU)
    expect(call.pread(fd, 256, CONFIG), before)


# --- BARs


@case(source=f"vfio_pci_rw; {_BAR}", machine=MACHINE)
@param("index", [1, 5, 8, 9, 100])
def no_such_region(call: Call, index: int) -> None:
    """Nothing is looked at if nothing is asked for."""
    fd = open_device(call).fd
    expect(call.pread(fd, 4, region(index)), EINVAL)
    expect(call.pwrite(fd, bytes(4), region(index)), EINVAL)
    expect(call.pread(fd, 0, region(index)), b"")
    expect(call.pwrite(fd, b"", region(index)), 0)


@case(source=f"do_io_rw; {_BAR}", machine=MACHINE)
@param(
    "address count offset content",
    [
        (NVME, 4, 0, "ff07010f"),
        (NVME, 4, 2, "010f2018"),
        (NVME, 12, 0, "ff07010f2018400000040100"),
        (E1000E, 4, 0, "41021400"),
        (E1000E, 2, 2, "4102"),
        (E1000E, 12, 0, "410214000000000083020800"),
    ],
    id="{address}-{offset}-{count}",
)
def registers(call: Call, address: str, count: int, offset: int, content: str) -> None:
    """A transfer is made of aligned accesses, which e1000e takes for such to whole registers."""
    fd = open_device(call, address).fd
    expect(call.pread(fd, count, region(0) + offset), bytes.fromhex(content))


@case(source=_BAR, machine=MACHINE)
def end_of_a_bar(call: Call) -> None:
    """A transfer ends there."""
    fd = open_device(call, NVME).fd
    expect(len(expect(call.pread(fd, 8, region(0) + 0x3FFC))), 4)
    expect(call.pwrite(fd, bytes(8), region(0) + 0x3FFC), 4)
    expect(call.pread(fd, 1, region(0) + 0x4000), EINVAL)
    expect(call.pwrite(fd, b"a", region(0) + 0x4000), EINVAL)


@case(source=_BAR, machine=MACHINE)
def rom(call: Call) -> None:
    """Without one, with one, and never for writing."""
    expect(call.pread(open_device(call, EDU).fd, 4, region(6)), EINVAL)
    fd = open_device(call, E1000E).fd
    expect(call.pread(fd, 2, region(6)), b"\x55\xaa")
    expect(call.pread(fd, 4, region(6) + 0x3FFFC), b"\xff" * 4)
    expect(len(expect(call.pread(fd, 8, region(6) + 0x3FFFC))), 4)
    expect(call.pwrite(fd, b"a", region(6)), EINVAL)


@case(source=f"do_io_rw; {_BAR}", machine=MACHINE)
def table_of_msix(call: Call) -> None:
    """It reads as ones, and drops what is written to it; around it all is as ever."""
    fd = open_device(call, NVME).fd
    table = region(0) + 0x2000
    expect(call.pread(fd, 16, table), b"\xff" * 16)
    expect(call.pwrite(fd, b"\x5a" * 16, table), 16)
    expect(call.pread(fd, 16, table + 64 * 16), b"\xff" * 16)
    crossing = expect(call.pread(fd, 8, table - 4))
    expect(crossing[4:], b"\xff" * 4)
    expect(len(expect(call.pread(fd, 32, table + 64 * 16))), 32)


@case(source=f"__vfio_pci_memory_enabled; {_BAR}", machine=MACHINE)
def memory_switched_off(call: Call) -> None:
    """I/O ports do not care for memory."""
    fd = open_device(call, E1000E).fd
    expect(call.pwrite(fd, _word(1), COMMAND), 2)
    expect(call.pread(fd, 4, region(0)), EIO)
    expect(call.pwrite(fd, bytes(4), region(0) + 4), EIO)
    expect(call.pread(fd, 4, region(0) + 0x20000), EINVAL)
    expect(len(expect(call.pread(fd, 4, region(2)))), 4)
    expect(call.pwrite(fd, _word(MEMORY), COMMAND), 2)
    expect(len(expect(call.pread(fd, 4, region(0)))), 4)


@case(source="vfio_device_fops: drivers/vfio/vfio_main.c, 6.1", machine=MACHINE)
def position_and_poll(call: Call) -> None:
    """The file has a position, which reads and writes move, but lseek does not."""
    fd = open_device(call).fd
    expect(call.lseek(fd, 0, SEEK_SET), ESPIPE)
    first = expect(call.read(fd, 4))
    expect(first, b"\xed\x00\x00\x01")
    expect(call.poll({fd: POLLIN | POLLOUT}), {fd: POLLIN | POLLOUT})


@case(
    source="vfio_device_fops: drivers/vfio/vfio_main.c; do_epoll_ctl: fs/eventpoll.c, 6.1",
    machine=MACHINE,
)
def no_epoll(call: Call) -> None:
    """There is no poll method."""
    expect(call.epoll(open_device(call).fd, POLLIN), EPERM)


# --- mapping


@case(source=_MMAP, machine=MACHINE)
@param(
    "address offset length flags",
    [
        (EDU, region(0), _PAGE, _PRIVATE),
        (EDU, region(0), 0x101000, _SHARED),
        (EDU, region(0) + 0xFF000, 2 * _PAGE, _SHARED),
        (EDU, region(0) + 0x100000, _PAGE, _SHARED),
        (EDU, region(0) + 1, _PAGE, _SHARED),
        (EDU, region(1), _PAGE, _SHARED),
        (EDU, region(6), _PAGE, _SHARED),
        (EDU, region(7), _PAGE, _SHARED),
        (EDU, region(8), _PAGE, _SHARED),
        (EDU, region(9), _PAGE, _SHARED),
        (EDU, region(100), _PAGE, _SHARED),
        (E1000E, region(2), _PAGE, _SHARED),
        (E1000E, region(6), _PAGE, _SHARED),
    ],
    id="{address}-{offset:#x}-{length:#x}-{flags}",
)
def cannot_be_mapped(call: Call, address: str, offset: int, length: int, flags: int) -> None:
    fd = open_device(call, address).fd
    expect(call.mmap(length, _READ | _WRITE, flags, fd, offset), EINVAL)


@case(source=_MMAP, machine=MACHINE)
def mapped(call: Call) -> None:
    """All of a BAR, or some pages; what one stores there the other reads."""
    fd = open_device(call).fd
    whole = expect(call.mmap(0x100000, _READ | _WRITE, _SHARED, fd, region(0)))
    expect(call.load(whole, 4), 0x010000ED)
    expect(call.store(whole + 4, 4, 0x12345678))
    expect(call.pread(fd, 4, region(0) + 4), b"\x87\xa9\xcb\xed")
    expect(call.load(whole + 4, 4), 0xEDCBA987)
    last = expect(call.mmap(_PAGE, _READ, _SHARED, fd, region(0) + 0xFF000))
    expect(call.munmap(last))
    expect(call.munmap(whole))


@case(source=_MMAP, machine=MACHINE)
def mapped_by_two_processes(call: Call) -> None:
    """What one stores is what the other reads, mapped or not; 0x2800 keeps what it is given."""
    fd = open_device(call, E1000E).fd
    pages = expect(call.mmap(0x20000, _READ | _WRITE, _SHARED, fd, region(0)))
    other = call.fork()
    expect(call.store(pages + 0x2800, 4, 0x12345670))
    expect(other.call.pread(fd, 4, region(0) + 0x2800), b"\x70\x56\x34\x12")
    expect(other.call.pwrite(fd, b"\x60\x45\x23\x01", region(0) + 0x2800), 4)
    expect(call.load(pages + 0x2800, 4), 0x01234560)
    expect(other.call.store(pages + 0x2800, 4, 0x00ABCDE0))
    expect(call.pread(fd, 4, region(0) + 0x2800), b"\xe0\xcd\xab\x00")
    expect(call.load(pages + 0x2800, 4), 0x00ABCDE0)
    expect(other.exit())


@case(source=f"vfio_pci_mmap_fault; {_MMAP}", machine=MACHINE)
def mapped_with_memory_off(call: Call) -> None:
    """Touching it is SIGBUS, until memory is on again."""
    fd = open_device(call).fd
    pages = expect(call.mmap(_PAGE, _READ, _SHARED, fd, region(0)))
    expect(call.load(pages, 4), 0x010000ED)
    expect(call.pwrite(fd, bytes(2), COMMAND), 2)
    _dies_of(call, pages)
    expect(call.pwrite(fd, _word(MEMORY), COMMAND), 2)
    expect(call.load(pages, 4), 0x010000ED)


@case(source=f"vfio_pci_mmap_fault; {_MMAP}", machine=MACHINE)
def mapped_in_low_power(call: Call) -> None:
    """The same, until low power is left."""
    fd = open_device(call).fd
    pages = expect(call.mmap(_PAGE, _READ, _SHARED, fd, region(0)))
    expect(feature(call, fd, u.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY | SET)[0], 0)
    _dies_of(call, pages)
    expect(feature(call, fd, u.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT | SET)[0], 0)
    expect(call.load(pages, 4), 0x010000ED)


def _dies_of(call: Call, pages: Buffer) -> None:
    """A task that touches the pages gets SIGBUS."""
    child = call.fork()
    child.call.start(child.call.load, pages, 4)
    expect(expect(call.wait(child)) & 0x7F, _SIGBUS)


@case(source=f"{_MMAP}; path_noexec: mm/mmap.c, 7.2", machine=MACHINE)
def mapped_for_execution(call: Call) -> None:
    """From 7.2 on files without a path cannot be."""
    fd = open_device(call).fd
    result = call.mmap(_PAGE, _READ | _EXEC, _SHARED, fd, region(0))
    if call.since("7.2"):
        expect(result, EPERM)
    else:
        expect(result)


@case(source=f"{_MMAP}; msix_mappable_cap", machine=MACHINE)
def mapped_with_the_table_of_msix(call: Call) -> None:
    fd = open_device(call, NVME).fd
    pages = expect(call.mmap(0x4000, _READ | _WRITE, _SHARED, fd, region(0)))
    expect(
        call.load(pages + 8, 4), int.from_bytes(expect(call.pread(fd, 4, region(0) + 8)), "little")
    )
