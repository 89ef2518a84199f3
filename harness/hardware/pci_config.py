# SPDX-License-Identifier: Apache-2.0
"""A PCI function's configuration space, built from what a machine file says of it.

Layouts follow the PCI Local Bus Specification 3.0 (header, MSI-X), the PCI Power Management
Specification 1.2 and the PCI Express Base Specification (all that begins at 0x100).
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import field, frozen

CONFIG_SIZE = 256
EXTENDED_CONFIG_SIZE = 4096

VENDOR_ID, DEVICE_ID, COMMAND, STATUS = 0x00, 0x02, 0x04, 0x06
REVISION_ID, CLASS_PROGRAMMING, CACHE_LINE_SIZE, HEADER_TYPE = 0x08, 0x09, 0x0C, 0x0E
BASE_ADDRESS_0, SUBSYSTEM_VENDOR_ID, SUBSYSTEM_ID = 0x10, 0x2C, 0x2E
ROM_ADDRESS, ROM_ENABLE = 0x30, 0x1
SECONDARY_BUS, SUBORDINATE_BUS = 0x19, 0x1A
#: Of a bridge: bases and limits of its windows, and what is above 16 and 32 bits of them.
IO_BASE, IO_LIMIT, IO_BASE_UPPER, IO_LIMIT_UPPER = 0x1C, 0x1D, 0x30, 0x32
MEMORY_BASE, MEMORY_LIMIT, PREF_BASE, PREF_LIMIT = 0x20, 0x22, 0x24, 0x26
PREF_BASE_UPPER, PREF_LIMIT_UPPER = 0x28, 0x2C
CAPABILITY_LIST, INTERRUPT_LINE, INTERRUPT_PIN = 0x34, 0x3C, 0x3D

COMMAND_IO, COMMAND_MEMORY, COMMAND_MASTER, COMMAND_INTX_DISABLE = 0x1, 0x2, 0x4, 0x400
STATUS_INTERRUPT, STATUS_CAP_LIST = 0x08, 0x10

BAR_IO, BAR_64BIT, BAR_PREFETCHABLE = 0x1, 0x4, 0x8

CAP_PM, CAP_VPD, CAP_MSI, CAP_SHPC, CAP_PCIE, CAP_MSIX = 0x01, 0x03, 0x05, 0x0C, 0x10, 0x11
MSIX_CONTROL, MSIX_ENABLE, MSIX_MASK_ALL, MSIX_SIZE = 2, 0x8000, 0x4000, 0x07FF
MSI_CONTROL, MSI_ENABLE, MSI_CAPABLE, MSI_ENABLED_COUNT = 2, 0x0001, 0x000E, 0x0070
MSI_64BIT, MSI_MASKING = 0x0080, 0x0100
PM_CAPABILITIES, PM_D1, PM_D2 = 2, 0x200, 0x400
PM_CONTROL, PM_STATE, PM_NO_SOFT_RESET, PM_DATA_SELECT = 4, 0x3, 0x8, 0x1E00
PCIE_FLAGS, PCIE_DEVICE, PCIE_LINK, PCIE_LINK_STATUS = 0x02, 0x04, 0x0C, 0x12
PCIE_DEVICE_FLR = 1 << 28
EXT_CAP_AER, EXT_CAP_DSN = 0x01, 0x03
EXT_CAP_ATS, EXT_CAP_SRIOV, EXT_CAP_PRI, EXT_CAP_PASID = 0x0F, 0x10, 0x13, 0x1B
SRIOV_CONTROL, SRIOV_INITIAL_VFS, SRIOV_TOTAL_VFS, SRIOV_NUM_VFS = 0x08, 0x0C, 0x0E, 0x10
SRIOV_OFFSET, SRIOV_STRIDE, SRIOV_VF_DEVICE, SRIOV_BAR_0 = 0x14, 0x16, 0x1A, 0x24
SRIOV_VF_ENABLE, SRIOV_VF_MEMORY = 0x01, 0x08
EXT_CAP_DVSEC = 0x23
#: Whose a vendor-specific capability is, and Intel's number for scalable I/O virtualisation.
VENDOR_INTEL, DVSEC_SIOV = 0x8086, 5


class ConfigError(ValueError):
    """A description that no configuration space can have. ``keys`` lead to what is wrong."""

    def __init__(self, message: str, *keys: str | int) -> None:
        super().__init__(message)
        self.keys = keys


@frozen
class Bar:
    """A base address register: ``size`` in bytes, ``address`` as firmware assigned it."""

    index: int
    size: int
    address: int = 0
    kind: str = "memory"
    prefetchable: bool = False
    bits: int = 32

    def flags(self) -> int:
        """The read-only low bits of the register."""
        if self.kind == "io":
            return BAR_IO
        return BAR_64BIT * (self.bits == 64) | BAR_PREFETCHABLE * self.prefetchable


@frozen
class Rom:
    """The expansion ROM: ``size`` in bytes, ``address`` as firmware assigned it.

    ``image`` is what it holds up to the end of its last image; empty if that is not known.
    """

    size: int
    address: int = 0
    image: bytes = b""


@frozen
class FunctionEntry:
    """A PCI function as a machine file describes it, without its place in the machine.

    ``config`` holds recorded bytes under all that the other fields add. ``capabilities`` are
    mappings as in :data:`CAPABILITIES`; ``registers`` are for the kind of device. ``rom`` is the
    expansion ROM. With ``qemu`` the bits that nothing says anything of are as QEMU has them.
    """

    kind: str = "function"
    vendor: int | None = None
    device: int | None = None
    subsystem_vendor: int | None = None
    subsystem_device: int | None = None
    class_code: int | None = None
    revision: int | None = None
    command: int | None = None
    bars: Mapping[int, Bar] = field(factory=dict)
    capabilities: tuple[Mapping[str, Any], ...] = ()
    registers: Mapping[str, Any] = field(factory=dict)
    config: bytes = b""
    rom: Rom | None = None
    qemu: bool = False


@frozen
class _Value:
    """Where a capability keeps one value, what it is by default, and how it is written.

    What is written is less than ``limit``, if there are other bits beside it.
    """

    offset: int
    size: int
    default: int = 0
    encode: Callable[[int], int] = int
    limit: int | None = None

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is a number that fits."""
        limit = self.limit or 1 << 8 * self.size
        return isinstance(value, int) and 0 <= self.encode(value) < limit


@frozen
class _Layout:
    """One kind of capability. ``version`` is set for those of the extended space."""

    number: int
    values: Mapping[str, _Value] = field(factory=dict)
    version: int | None = None


#: What a machine file may list below ``capabilities``, by ``kind``: the names of its values.
CAPABILITIES = {
    "pm": _Layout(CAP_PM, {"capabilities": _Value(2, 2, 3), "control": _Value(PM_CONTROL, 2)}),
    "msix": _Layout(
        CAP_MSIX,
        {
            "vectors": _Value(MSIX_CONTROL, 2, 1, lambda count: count - 1, MSIX_SIZE + 1),
            "table": _Value(4, 4),
            "pba": _Value(8, 4),
        },
    ),
    "pcie": _Layout(
        CAP_PCIE,
        {
            "flags": _Value(PCIE_FLAGS, 2, 2),
            "device": _Value(PCIE_DEVICE, 4),
            "device_control": _Value(8, 2),
            "link": _Value(PCIE_LINK, 4),
            "link_status": _Value(PCIE_LINK_STATUS, 2),
            "device2": _Value(0x24, 4),
        },
    ),
    "aer": _Layout(
        EXT_CAP_AER,
        {"uncorrectable_mask": _Value(8, 4), "uncorrectable_severity": _Value(12, 4)},
        version=2,
    ),
    "vc": _Layout(0x02, version=1),
    "ats": _Layout(EXT_CAP_ATS, {"capabilities": _Value(4, 2), "control": _Value(6, 2)}, version=1),
    "pri": _Layout(
        EXT_CAP_PRI,
        {
            "control": _Value(4, 2),
            "status": _Value(6, 2),
            "capacity": _Value(8, 4),
            "allocation": _Value(12, 4),
        },
        version=1,
    ),
    "tph": _Layout(0x17, {"capabilities": _Value(4, 4)}, version=1),
    "ltr": _Layout(0x18, version=1),
    "pasid": _Layout(
        EXT_CAP_PASID, {"capabilities": _Value(4, 2), "control": _Value(6, 2)}, version=1
    ),
    "dvsec": _Layout(
        EXT_CAP_DVSEC,
        {
            "vendor": _Value(4, 2),
            "length": _Value(6, 2, 0, lambda length: length << 4),
            "id": _Value(8, 2),
        },
        version=1,
    ),
}


def build_config(entry: FunctionEntry) -> bytearray:
    """The whole configuration space after reset and firmware: 4096 bytes for PCIe, else 256.

    Raises ConfigError, whose ``keys`` begin at the function's own description.
    """
    config = bytearray(EXTENDED_CONFIG_SIZE)
    config[: len(entry.config)] = entry.config
    _header(config, entry)
    for index, bar in entry.bars.items():
        _base_address(config, index, bar)
    if entry.rom is not None:
        _check_place(entry.rom, 32, "rom")
        if len(entry.rom.image) > entry.rom.size:
            raise ConfigError("the images are larger than the ROM", "rom")
        _store(config, ROM_ADDRESS, 4, entry.rom.address)
    previous = {False: 0, True: 0}
    for position, description in enumerate(entry.capabilities):
        try:
            _capability(config, description, previous)
        except ConfigError as error:
            raise ConfigError(str(error), "capabilities", position, *error.keys) from None
    if find_capability(config, CAP_PCIE) or len(entry.config) > CONFIG_SIZE:
        return config
    return config[:CONFIG_SIZE]


def load(config: bytes | bytearray, offset: int, size: int) -> int:
    """The little-endian number of ``size`` bytes at ``offset``."""
    return int.from_bytes(config[offset : offset + size], "little")


def _store(config: bytearray, offset: int, size: int, value: int) -> None:
    config[offset : offset + size] = value.to_bytes(size, "little")


def _header(config: bytearray, entry: FunctionEntry) -> None:
    for offset, size, value in (
        (VENDOR_ID, 2, entry.vendor),
        (DEVICE_ID, 2, entry.device),
        (COMMAND, 2, entry.command),
        (REVISION_ID, 1, entry.revision),
        (CLASS_PROGRAMMING, 3, entry.class_code),
        (SUBSYSTEM_VENDOR_ID, 2, entry.subsystem_vendor),
        (SUBSYSTEM_ID, 2, entry.subsystem_device),
    ):
        if value is not None:
            _store(config, offset, size, value)


def _base_address(config: bytearray, index: int, bar: Bar) -> None:
    _check_place(bar, bar.bits, "bars", index)
    _store(config, BASE_ADDRESS_0 + 4 * index, bar.bits // 8, bar.address | bar.flags())


def _check_place(place: Bar | Rom, bits: int, *keys: str | int) -> None:
    size, address = place.size, place.address
    power = 0 < size < 1 << bits and size & size - 1 == 0
    if not power or address % size or not 0 <= address < 1 << bits:
        what = "a BAR's size is a power of two, and its address a multiple of its size"
        raise ConfigError(f"{what}, both in {bits} bits", *keys)


def _capability(
    config: bytearray, description: Mapping[str, Any], previous: dict[bool, int]
) -> None:
    """Store one capability and link it from the one before it in the same list."""
    layout, values = _check_capability(description)
    offset: int = description["at"]
    extended = layout.version is not None
    header = 4 if extended else 2
    data = _data(description)
    config[offset + header : offset + header + len(data)] = data
    for name, value in layout.values.items():
        number = values.get(name, 0 if data else value.default)
        if number or name in values:
            _store(config, offset + value.offset, value.size, value.encode(number))
    if layout.version is None:
        config[offset] = layout.number
        config[previous[False] + 1 if previous[False] else CAPABILITY_LIST] = offset
        config[STATUS] |= STATUS_CAP_LIST
    else:
        _store(config, offset, 4, layout.number | layout.version << 16)
        if previous[True]:
            link = load(config, previous[True], 4) | offset << 20
            _store(config, previous[True], 4, link)
    previous[extended] = offset


def _check_capability(description: Mapping[str, Any]) -> tuple[_Layout, Mapping[str, int]]:
    """The kind's layout and the values given for it; ConfigError for what is wrong."""
    kind = description.get("kind")
    layout = CAPABILITIES.get(kind) if isinstance(kind, str) else None
    if layout is None:
        message = f'"{kind}" is not a capability; allowed: {", ".join(CAPABILITIES)}'
        raise ConfigError(message, *(["kind"] if kind is not None else []))
    first, last = (CONFIG_SIZE, 0xFFC) if layout.version is not None else (0x40, 0xFC)
    offset = description.get("at")
    if not isinstance(offset, int) or offset % 4 or not first <= offset <= last:
        message = f"the offset `at` is a multiple of 4 from {first:#x} to {last:#x}"
        raise ConfigError(message, *(["at"] if "at" in description else []))
    values = {key: value for key, value in description.items() if key not in _CAPABILITY_KEYS}
    for name, value in values.items():
        if name not in layout.values:
            allowed = ", ".join((*_CAPABILITY_KEYS, *layout.values))
            raise ConfigError(f"unknown key; allowed: {allowed}", name)
        if not layout.values[name].holds(value):
            raise ConfigError(f"{reprlib.repr(value)} is not a number that fits there", name)
    header = 2 if layout.version is None else 4
    sizes = [value.offset + value.size for value in layout.values.values()]
    last = CONFIG_SIZE if layout.version is None else EXTENDED_CONFIG_SIZE
    if offset + max([header + len(_data(description)), *sizes]) > last:
        raise ConfigError(f"the capability does not end before {last:#x}", "at")
    return layout, values


def _data(description: Mapping[str, Any]) -> bytes:
    """Recorded bytes of a capability, after its header."""
    try:
        return bytes.fromhex(description.get("data", ""))
    except (TypeError, ValueError):
        raise ConfigError("not an even number of hexadecimal digits in quotes", "data") from None


_CAPABILITY_KEYS = ("kind", "at", "data")


def capabilities(config: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Number and offset of each conventional capability; an endless list ends."""
    offset = config[CAPABILITY_LIST] & ~3 if config[STATUS] & STATUS_CAP_LIST else 0
    seen: set[int] = set()
    while 0x40 <= offset < len(config) - 1 and offset not in seen:
        seen.add(offset)
        yield config[offset], offset
        offset = config[offset + 1] & ~3


def extended_capabilities(config: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Number and offset of each extended capability; an endless list ends."""
    offset = CONFIG_SIZE
    seen: set[int] = set()
    while CONFIG_SIZE <= offset < len(config) and offset not in seen:
        seen.add(offset)
        header = load(config, offset, 4)
        if header:
            yield header & 0xFFFF, offset
        offset = header >> 20


def find_capability(config: bytes | bytearray, number: int) -> int:
    """The offset of a capability, 0 if it is not there (__pci_find_next_cap of Linux)."""
    offset = config[CAPABILITY_LIST] & ~3 if config[STATUS] & STATUS_CAP_LIST else 0
    for _ in range(CONFIG_SIZE // 4):
        if offset < 0x40 or config[offset] == number:
            break
        offset = config[offset + 1] & ~3
    return offset if offset >= 0x40 and config[offset] == number else 0


def find_extended_capability(config: bytes | bytearray, number: int) -> int:
    """The offset of an extended capability, 0 if it is not there."""
    found = (offset for kind, offset in extended_capabilities(config) if kind == number)
    return next(found, 0)
