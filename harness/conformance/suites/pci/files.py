# SPDX-License-Identifier: Apache-2.0
"""Files of a function's directory: which there are, for whom, and what they take."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import (
    EACCES,
    EBUSY,
    EFBIG,
    EINVAL,
    EIO,
    ENOENT,
    EPERM,
    ErrorNumber,
)
from harness.conformance.suites._steps import plain_user
from harness.conformance.suites.pci._q35 import (
    BRIDGE,
    E1000E,
    EDU,
    MACHINE,
    NVME,
    ORDINARY,
    SMBUS,
    STUB,
    TESTDEV,
    device,
    give,
    take,
)
from harness.uapi.fs import CAP_SYS_ADMIN, O_RDONLY, O_RDWR, O_WRONLY

_SYSFS = "drivers/pci/pci-sysfs.c, 6.1"


@case(source=f"pci_dev_attrs: {_SYSFS}", machine=MACHINE)
@param(
    "name mode",
    [
        *((name, 0o444) for name in ("vendor", "device", "subsystem_vendor", "subsystem_device")),
        *((name, 0o444) for name in ("class", "revision", "irq", "local_cpus", "local_cpulist")),
        *((name, 0o444) for name in ("resource", "modalias", "ari_enabled", "power_state")),
        *((name, 0o444) for name in ("dma_mask_bits", "consistent_dma_mask_bits")),
        *((name, 0o644) for name in ("enable", "numa_node", "broken_parity_status", "msi_bus")),
        *((name, 0o644) for name in ("d3cold_allowed", "driver_override", "uevent")),
        ("remove", 0o220),
        ("rescan", 0o200),
    ],
)
def modes(call: Call, name: str, mode: int) -> None:
    """Every function has these."""
    for address in (EDU, NVME, BRIDGE, SMBUS):
        expect(call.stat(f"{device(address)}/{name}"), mode=0o100000 | mode, size=4096)
        if not mode & 0o444:
            expect(call.open(f"{device(address)}/{name}", O_RDONLY), EACCES)
        if not mode & 0o222:
            expect(call.open(f"{device(address)}/{name}", O_WRONLY), EACCES)


@case(source=f"pci_dev_attr_is_visible and its like: {_SYSFS}", machine=MACHINE)
@param(
    "name owners mode",
    [
        ("reset", (E1000E, NVME, BRIDGE), 0o200),
        ("reset_method", (E1000E, NVME, BRIDGE), 0o644),
        ("rom", (E1000E,), 0o600),
        ("current_link_speed", (E1000E, NVME, BRIDGE), 0o444),
        ("current_link_width", (E1000E, NVME, BRIDGE), 0o444),
        ("max_link_speed", (E1000E, NVME, BRIDGE), 0o444),
        ("max_link_width", (E1000E, NVME, BRIDGE), 0o444),
        ("aer_dev_correctable", (E1000E, BRIDGE), 0o444),
        ("aer_dev_fatal", (E1000E, BRIDGE), 0o444),
        ("aer_dev_nonfatal", (E1000E, BRIDGE), 0o444),
        ("secondary_bus_number", (BRIDGE,), 0o444),
        ("subordinate_bus_number", (BRIDGE,), 0o444),
        ("reset_subordinate", (BRIDGE,), 0o200),
        ("sriov_numvfs", (), 0),
        ("sriov_totalvfs", (), 0),
        ("boot_vga", (), 0),
        ("vpd", (), 0),
    ],
)
def only_some_have(call: Call, name: str, owners: tuple[str, ...], mode: int) -> None:
    for address in (EDU, E1000E, NVME, BRIDGE, TESTDEV):
        if address in owners:
            expect(call.stat(f"{device(address)}/{name}"), mode=0o100000 | mode)
        else:
            expect(call.stat(f"{device(address)}/{name}"), ENOENT)


@case(source=f"resource_show: {_SYSFS}", machine=MACHINE)
@param("address lines", [(EDU, 13), (NVME, 13), (BRIDGE, 17)])
def resource_lines(call: Call, address: str, lines: int) -> None:
    expect(len(expect(call.read_text(f"{device(address)}/resource")).splitlines()), lines)


@case(source=f"pci_read_config: {_SYSFS}", machine=MACHINE)
@param("address size", [(EDU, 256), (SMBUS, 256), (TESTDEV, 256), (NVME, 4096), (BRIDGE, 4096)])
def config(call: Call, address: str, size: int) -> None:
    """All for who has CAP_SYS_ADMIN when opening, 64 bytes for others."""
    path = f"{device(address)}/config"
    expect(call.stat(path), mode=0o100644, size=size)
    with call.opened(path, O_RDONLY) as fd:
        expect(len(expect(call.pread(fd, 8192, 0))), size)
        expect(call.pread(fd, 4, size), b"")
        expect(len(expect(call.pread(fd, 8, size - 3))), 3)
        user = plain_user(call)
        expect(len(expect(user.pread(fd, 256, 0))), 256)
    with user.opened(path, O_RDONLY) as fd:
        expect(len(expect(user.pread(fd, 4096, 0))), 64)
        expect(user.pread(fd, 4, 64), b"")
        expect(len(expect(user.pread(fd, 8, 60))), 4)
    expect(user.open(path, O_RDWR), EACCES)


@case(source=f"pci_write_config: {_SYSFS}", machine=MACHINE)
def config_is_written(call: Call) -> None:
    """The interrupt line takes anything, an id nothing."""
    with call.opened(f"{device(EDU)}/config", O_RDWR) as fd:
        line = expect(call.pread(fd, 1, 0x3C))
        expect(call.pwrite(fd, b"\x7f", 0x3C), 1)
        expect(call.pread(fd, 1, 0x3C), b"\x7f")
        expect(call.pwrite(fd, line, 0x3C), 1)
        expect(call.pwrite(fd, b"\0\0", 0), 2)
        expect(call.pread(fd, 2, 0), b"\x34\x12")
        expect(call.pwrite(fd, b"abcd", 254), 2)
        expect(call.pwrite(fd, b"a", 256), EFBIG)
    expect(call.read_text(f"{device(EDU)}/irq"), "10\n")


@case(source=f"pci_create_attr: {_SYSFS}", machine=MACHINE)
@param(
    "address name size",
    [
        (EDU, "resource0", 0x100000),
        (E1000E, "resource2", 0x20),
        (NVME, "resource0", 0x4000),
        (TESTDEV, "resource1", 0x100),
        (SMBUS, "resource4", 0x40),
    ],
    "{address}/{name}",
)
def resource_file(call: Call, address: str, name: str, size: int) -> None:
    """For root alone; memory has neither read nor write, and I/O ports have both."""
    path = f"{device(address)}/{name}"
    expect(call.stat(path), mode=0o100600, size=size)
    expect(call.lstat(f"{path}_wc"), ENOENT)
    expect(plain_user(call).open(path, O_RDONLY), EACCES)


@case(source=f"pci_create_attr: {_SYSFS}", machine=MACHINE)
def memory_is_not_read(call: Call) -> None:
    with call.opened(f"{device(EDU)}/resource0", O_RDWR) as fd:
        expect(call.pread(fd, 4, 0), EIO)
        expect(call.pwrite(fd, b"abcd", 0), EIO)


@case(source=f"pci_resource_io: {_SYSFS}", machine=MACHINE)
@param(
    "offset count wanted",
    [(0, 3, EINVAL), (0, 8, EINVAL), (0xFF, 2, 1), (0x100, 4, 0)],
    "{offset}+{count}",
)
def ports(call: Call, offset: int, count: int, wanted: int | ErrorNumber) -> None:
    """Exactly 1, 2 or 4 bytes; the file's end cuts them off first."""
    with call.opened(f"{device(TESTDEV)}/resource1", O_RDWR) as fd:
        result = call.pread(fd, count, offset)
        if isinstance(wanted, int):
            expect(len(expect(result)), wanted)
        else:
            expect(result, wanted)


@case(source=f"pci_write_rom, pci_read_rom: {_SYSFS}", machine=MACHINE)
def rom(call: Call) -> None:
    """Not before a yes was written to it; a no ends that, anything else changes nothing."""
    with call.opened(f"{device(E1000E)}/rom", O_RDWR) as fd:
        expect(call.pread(fd, 2, 0), EINVAL)
        for no in (b"0\n", b"0", b"0x10", b"n", b"off"):
            expect(call.pwrite(fd, no, 0), len(no))
            expect(call.pread(fd, 2, 0), EINVAL)
            for neither in (b"2", b"x", b"-", b" 1", b"\n"):
                expect(call.pwrite(fd, neither, 0), EINVAL)
                expect(call.pread(fd, 2, 0), EINVAL)
            for yes in (b"1", b"1x", b"y", b"on\n"):
                expect(call.pwrite(fd, yes, 0), len(yes))
                expect(call.pread(fd, 2, 0), b"\x55\xaa")
        expect(call.pwrite(fd, b"2", 0), EINVAL)
        expect(call.pread(fd, 2, 0), b"\x55\xaa")
    expect(plain_user(call).open(f"{device(E1000E)}/rom", O_RDONLY), EACCES)


@case(source=f"driver_override_store, driver_set_override: {_SYSFS}", machine=MACHINE)
@param(
    "text shown",
    [
        ("vfio-pci", "vfio-pci\n"),
        ("vfio-pci\n", "vfio-pci\n"),
        ("vfio-pci\nmore", "vfio-pci\n"),
        (" two words ", " two words \n"),
        ("\n", "(null)\n"),
        ("\0", "(null)\n"),
        ("a\0b", "a\n"),
        ("a" * 4094, "a" * 4094 + "\n"),
    ],
)
def override(call: Call, text: str, shown: str) -> None:
    """Up to the first newline or NUL; nothing clears it. No driver is bound or unbound."""
    path = f"{device(EDU)}/driver_override"
    expect(call.read_text(path), "(null)\n")
    call.write_text(path, "before")
    expect(call.write_text(path, text), len(text))
    expect(call.read_text(path), shown)
    expect(call.lstat(f"{device(EDU)}/driver"), ENOENT)


@case(source=f"driver_override_store: {_SYSFS}", machine=MACHINE)
@param("text wanted", [("a" * 4095, EINVAL), ("a" * 4096, EINVAL), ("a" * 5000, EINVAL), ("", 0)])
def override_is_kept(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    path = f"{device(EDU)}/driver_override"
    call.write_text(path, "before")
    expect(call.write_text(path, text), wanted)
    expect(call.read_text(path), "before\n")


@case(source=f"enable_store: {_SYSFS}", machine=MACHINE)
def enable(call: Call) -> None:
    """It counts; the first makes ACPI route the interrupt, and powers the function up."""
    base = device(EDU)
    expect(call.read_text(f"{base}/irq"), "10\n")
    expect(call.write_text(f"{base}/enable", "0"), EIO)
    expect(call.write_text(f"{base}/enable", "1\n"), 2)
    expect(call.write_text(f"{base}/enable", "2"), 1)
    expect(call.read_text(f"{base}/enable"), "2\n")
    expect(call.read_text(f"{base}/irq"), "21\n")
    expect(call.read_text(f"{base}/power_state"), "D0\n")
    expect(call.write_text(f"{base}/enable", "0"), 1)
    expect(call.write_text(f"{base}/enable", "0"), 1)
    expect(call.write_text(f"{base}/enable", "0"), EIO)
    expect(call.read_text(f"{base}/irq"), "21\n")
    expect(call.read_text(f"{base}/power_state"), "D0\n")


@case(source=f"enable_store: {_SYSFS}", machine=MACHINE)
@param("name", [STUB, ORDINARY])
def enable_with_a_driver(call: Call, name: str) -> None:
    give(call, EDU, name)
    count = "1\n" if name == ORDINARY else "0\n"
    expect(call.read_text(f"{device(EDU)}/enable"), count)
    for text in ("0", "1"):
        expect(call.write_text(f"{device(EDU)}/enable", text), EBUSY)
    expect(call.write_text(f"{device(EDU)}/enable", "x"), EINVAL)
    take(call, EDU, name)
    expect(call.read_text(f"{device(EDU)}/enable"), "0\n")


@case(source=f"enable_store and others: {_SYSFS}", machine=MACHINE)
@param(
    "address name text",
    [
        (EDU, "enable", "x"),
        (EDU, "msi_bus", "x"),
        (EDU, "numa_node", "x"),
        (BRIDGE, "reset_subordinate", "x"),
    ],
    "{name}",
)
def without_the_capability(call: Call, address: str, name: str, text: str) -> None:
    """It is looked at before the text, and when writing."""
    fd = expect(call.open(f"{device(address)}/{name}", O_WRONLY))
    task = call.fork()
    task.call.drop_capabilities(CAP_SYS_ADMIN)
    expect(task.call.write(fd, text.encode()), EPERM)
    expect(call.write(fd, text.encode()), EINVAL)


@case(source=f"numa_node_store: {_SYSFS}", machine=MACHINE)
@param(
    "text wanted",
    [
        ("-1", 2),
        ("0", 1),
        ("1", EINVAL),
        ("999", EINVAL),
        ("1024", EINVAL),
        ("-2", EINVAL),
        ("", 0),
    ],
)
def numa_node(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    expect(call.read_text(f"{device(EDU)}/numa_node"), "-1\n")
    expect(call.write_text(f"{device(EDU)}/numa_node", text), wanted)


@case(source=f"broken_parity_status_store, d3cold_allowed_store: {_SYSFS}", machine=MACHINE)
@param(
    "text wanted shown",
    [("1", 1, "1\n"), ("0x10\n", 5, "1\n"), ("0", 1, "0\n"), ("x", EINVAL, ""), ("-1", EINVAL, "")],
)
def flags(call: Call, text: str, wanted: int | ErrorNumber, shown: str) -> None:
    for name in ("broken_parity_status", "d3cold_allowed"):
        path = f"{device(EDU)}/{name}"
        before = expect(call.read_text(path))
        expect(call.write_text(path, text), wanted)
        expect(call.read_text(path), shown or before)


@case(source=f"reset_store, reset_method_show: {_SYSFS}", machine=MACHINE)
@param("address methods", [(NVME, "flr\n"), (E1000E, "pm\n"), (BRIDGE, "pm\n")])
def reset(call: Call, address: str, methods: str) -> None:
    base = device(address)
    expect(call.read_text(f"{base}/reset_method"), methods)
    for text in ("0", "2", "x"):
        expect(call.write_text(f"{base}/reset", text), EINVAL)
    expect(call.write_text(f"{base}/reset_method", "bus"), EINVAL)
    expect(call.write_text(f"{base}/reset_method", "nonesuch"), EINVAL)
    expect(call.read_text(f"{base}/reset_method"), methods)
    expect(call.write_text(f"{base}/reset_method", "\r\n"), EINVAL)
    expect(call.write_text(f"{base}/reset_method", f" {methods} \n"), len(methods) + 3)
    expect(call.read_text(f"{base}/reset_method"), methods)
    expect(call.write_text(f"{base}/reset_method", "\n"), 1)
    expect(call.read_text(f"{base}/reset_method"), "")
    expect(call.write_text(f"{base}/reset_method", "default\n"), 8)
    expect(call.read_text(f"{base}/reset_method"), methods)
