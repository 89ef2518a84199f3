# SPDX-License-Identifier: Apache-2.0
"""Programs for :mod:`tests.vm.differential`."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from ctypes import LittleEndianStructure, sizeof
from functools import partial
from typing import Any

from harness.conformance.call import Fd
from harness.conformance.suites.samples._device import open_sample
from harness.conformance.suites.vfio_pci._device import (
    BRIDGED_EDU,
    CONFIG,
    E1000E,
    EDU,
    NVME,
    PCI,
    TESTDEV,
    bind,
    eventfd,
    group_path,
    open_device,
)
from harness.uapi import vfio as u
from tests.vm.differential import ARENA, Part, Program, Ptr, Script

FUNCTIONS = {
    "edu": (EDU, 256),
    "e1000e": (E1000E, 4096),
    "nvme": (NVME, 4096),
    "bridged": (BRIDGED_EDU, 256),
    "testdev": (TESTDEV, 256),
}
SAMPLES = {
    "mtty1": ("mtty", "mtty-1"),
    "mtty2": ("mtty", "mtty-2"),
    "mdpy": ("mdpy", "mdpy-vga"),
    "mdpy-hd": ("mdpy", "mdpy-hd"),
    "mbochs": ("mbochs", "mbochs-small"),
    "mbochs-large": ("mbochs", "mbochs-large"),
}
U32, U64 = (1 << 32) - 1, (1 << 64) - 1
BITS = [1 << n for n in range(32)]
PARITY = 0x40


def device(script: Script, name: str) -> Fd:
    """An open function of vfio-pci, or sample."""
    if name in SAMPLES:
        return open_sample(script.call, *SAMPLES[name])
    return open_device(script.call, FUNCTIONS[name][0]).fd


# --- structures


def fields(kind: type[LittleEndianStructure]) -> list[tuple[str, int]]:
    """Names and sizes, those of what it extends in front."""
    found = []
    for base in reversed(kind.__mro__):
        for name, of, *_ in base.__dict__.get("_fields_", ()):
            if issubclass(of, LittleEndianStructure):
                found += [(f"{name}.{inner}", size) for inner, size in fields(of)]
            else:
                found.append((name, sizeof(of)))
    return found


def parts(kind: type[LittleEndianStructure], values: Mapping[str, Any]) -> tuple[Part, ...]:
    """A structure with these values, and 0 elsewhere."""
    made: list[Part] = []
    for name, size in fields(kind):
        value = values.get(name, 0)
        made.append(
            (value & (1 << 8 * size) - 1).to_bytes(size, "little")
            if isinstance(value, int)
            else value
        )
    return tuple(made)


def sweep(
    script: Script,
    fd: Fd,
    command: int,
    kind: type[LittleEndianStructure],
    base: Mapping[str, Any],
    pools: Mapping[str, Sequence[Any]],
    tail: tuple[Part, ...] = (),
    chance: int = 40,
    size: str = "argsz",
    flags: bool = True,
) -> None:
    """A command with one field after the other at all that it may be, then by chance."""
    whole = sizeof(kind) + sum(8 if isinstance(one, Ptr) else 4 if isinstance(one, Fd) else len(one) for one in tail)
    base = {size: whole, **base}

    def ask(**values: Any) -> None:
        script.ioctl(fd, command, *parts(kind, {**base, **values}), *tail, room=64)

    ask()
    sizes = [*range(whole + 10), 4096, 1 << 16, U32]
    for argsz in sizes:
        ask(**{size: argsz})
    if flags:
        for bit in (0, *BITS, U32):
            ask(flags=bit)
    for name, pool in pools.items():
        for value in pool:
            ask(**{name: value})
    known = {**pools, size: [whole, whole, whole, *sizes[::5]]}
    if flags and "flags" not in pools:
        known["flags"] = [base.get("flags", 0)] * 6 + BITS[:6]
    for _ in range(chance):
        ask(**{name: script.random.choice(pool) for name, pool in known.items()})
    bad_places(script, fd, command, script.bytes_of(parts(kind, base) + tail))


def bad_places(script: Script, fd: Fd, command: int, content: bytes) -> None:
    """A structure that is not all in memory, or that cannot be written to."""
    for inside in (1, 4, 8, 12, 16, 20, 24, len(content) - 1, len(content)):
        if inside > len(content):
            continue
        script.put(ARENA - inside, content[:inside])
        script.plain(fd, command, Ptr(ARENA - inside))
    script.plain(fd, command, 0)
    script.plain(fd, command, Ptr(ARENA))
    script.plain(fd, command, U64)
    script.plain(fd, command, 1 << 47)
    script.plain(fd, command, Ptr(0, read_only=True))


# --- configuration space


def config_reads(script: Script, fd: Fd, size: int) -> None:
    """The whole space, in the ways that it can be read."""
    script.pread(fd, size, CONFIG)
    for step in (1, 2, 3, 4, 5, 7, 8):
        for offset in range(0, size, 1 if size <= 256 else 13):
            script.pread(fd, step, CONFIG + offset)
    for offset in range(size - 4, size + 5):
        for count in (0, 1, 2, 4, 8, 4096):
            script.pread(fd, count, CONFIG + offset)


def config_sweep(script: Script, name: str) -> None:
    """Each byte written with ones, zeros and chance, and the space read each time."""
    fd = device(script, name)
    size = FUNCTIONS[name][1] if name in FUNCTIONS else 256
    config_reads(script, fd, size)
    for width in (1, 2, 4, 3, 8, 5):
        for offset in range(0, min(size, 0x180), width if width < 5 else 7):
            for value in (b"\xff" * width, bytes(width), script.random.randbytes(width)):
                script.pwrite(fd, without_parity(offset, value), CONFIG + offset)
                script.pread(fd, min(size, 0x200), CONFIG)
    script.pread(fd, size, CONFIG)


def without_parity(offset: int, value: bytes) -> bytes:
    """A bit that QEMU's hardware lacks."""
    data = bytearray(value)
    if offset <= 4 < offset + len(data):
        data[4 - offset] &= ~PARITY & 0xFF
    return bytes(data)


# --- devices


INDICES = [*range(12), 0x7F, 0xFF, 1 << 15, 1 << 31, U32]


def infos(script: Script, fd: Fd) -> None:
    """What a device says of itself."""
    sweep(script, fd, u.VFIO_DEVICE_GET_INFO, u.DeviceInfoCaps, {}, {"num_regions": [U32]})
    sweep(script, fd, u.VFIO_DEVICE_GET_REGION_INFO, u.RegionInfo, {}, {"index": INDICES})
    for index in range(12):
        for argsz in (*range(28, 100, 4), 128, 4096):
            content = parts(u.RegionInfo, {"argsz": argsz, "index": index, "flags": 0xEE})
            script.ioctl(fd, u.VFIO_DEVICE_GET_REGION_INFO, *content, room=128)
    sweep(script, fd, u.VFIO_DEVICE_GET_IRQ_INFO, u.IrqInfo, {}, {"index": INDICES})


def others(script: Script, fd: Fd) -> None:
    """Commands of other files, numbers that nobody has, and the device's that are left."""
    for number in range(256):
        command = u.VFIO_TYPE << 8 | number
        if command == u.VFIO_DEVICE_RESET:
            continue
        for argument in (0, Ptr(0), Ptr(ARENA)):
            script.put(0, bytes(64))
            script.plain(fd, command, argument)
    for command in (0x5401, 0x541B, 0xC0043B64, 0x80043B6B, 0x3B6B | 1 << 40):
        script.plain(fd, command, Ptr(0))
    pools = {"count": [0, 1, 2, 3, 8, 100, U32]}
    sweep(script, fd, u.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, u.HotResetInfo, {}, pools)
    for argsz in range(12, 80, 2):
        content = parts(u.HotResetInfo, {"argsz": argsz, "count": 9})
        script.ioctl(fd, u.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, *content, room=128)
    tail = (struct.pack("<i", -1), struct.pack("<i", 99))
    pools = {"count": [0, 1, 2, 3, 8, 100, 1 << 16, U32]}
    sweep(script, fd, u.VFIO_DEVICE_PCI_HOT_RESET, u.HotReset, {"count": 1}, pools, tail)
    plane = {"flags": [0, 1, 2, 3, 4, 5, 6, 7, 8], "drm_plane_type": [0, 1, 2, 3, U32]}
    for flags in range(8):
        sweep(
            script, fd, u.VFIO_DEVICE_QUERY_GFX_PLANE, u.GfxPlaneInfo, {"flags": flags}, plane,
            chance=5, flags=False,
        )
    for value in (0, 1, 2, U32):
        script.ioctl(fd, u.VFIO_DEVICE_GET_GFX_DMABUF, struct.pack("<I", value), room=8)
    script.plain(fd, u.VFIO_DEVICE_RESET)


def ioeventfds(script: Script, fd: Fd) -> None:
    """Places of registers at which an eventfd's signal writes."""
    event = eventfd(script.call)
    bars = [n << 40 for n in range(10)]
    offsets = [
        *bars, 1, 2, 3, 4, 0xFFC, 0x1000, 0x2000, 0x3FFC, 0x1FFFC, 0x20000, 0xFFFFC, 0xFFFF8,
        0x100000, (1 << 40) - 4, (3 << 40) + 8, (7 << 40) + 4, (1 << 48) - 4,
    ]
    pools = {"offset": offsets, "data": [0, 1, U64], "fd": [-1, -2, 99, event, fd]}
    for size in (0, 1, 2, 4, 8, 3, 16):
        base = {"flags": size, "fd": event, "offset": 0x80}
        sweep(script, fd, u.VFIO_DEVICE_IOEVENTFD, u.Ioeventfd, base, pools, chance=30)


def features(script: Script, fd: Fd) -> None:
    """Each feature probed, got and set, with data of all sizes."""
    event = eventfd(script.call)
    flags = [g << 16 for g in range(16)]
    datas: list[tuple[Part, ...]] = [
        (),
        (bytes(4),),
        (bytes(8),),
        (bytes(16),),
        (bytes(24),),
        (bytes(32),),
        (struct.pack("<I", 1),),
        (struct.pack("<II", 1, 0),),
        (event, bytes(4)),
        (event, struct.pack("<I", 1)),
        (struct.pack("<iI", -1, 0),),
        (struct.pack("<QII", 4096, 1, 0), Ptr(0x1000)),
        (struct.pack("<QII", 4096, 0, 0), Ptr(0x1000)),
        (struct.pack("<QQQ", 0, 4096, 4096), Ptr(0x1000)),
        (b"\xff" * 32,),
        (script.random.randbytes(16),),
    ]
    for number in (*range(16), 100, 0xFFFF):
        for flag in flags:
            if number in (3, 4) and flag == u.VFIO_DEVICE_FEATURE_SET:
                continue
            for data in datas:
                script.ioctl(
                    fd, u.VFIO_DEVICE_FEATURE,
                    parts(u.Feature, {"argsz": 8 + _size(data), "flags": number | flag})[0],
                    struct.pack("<I", number | flag), *data, room=64,
                )
    for number in range(13):
        for flag in (1 << 16, 2 << 16, 4 << 16, 5 << 16, 6 << 16, 7 << 16):
            if number in (3, 4) and flag == u.VFIO_DEVICE_FEATURE_SET:
                continue
            for argsz in (*range(14), 16, 20, 24, 28, 32, 40, 4096, U32):
                script.ioctl(
                    fd, u.VFIO_DEVICE_FEATURE, struct.pack("<II", argsz, number | flag), room=64
                )
    bad_places(script, fd, u.VFIO_DEVICE_FEATURE, struct.pack("<II", 24, 1 | 1 << 16) + bytes(16))


def _size(data: tuple[Part, ...]) -> int:
    return sum(8 if isinstance(one, Ptr) else 4 if isinstance(one, Fd) else len(one) for one in data)


def device_sweep(script: Script, name: str) -> None:
    """All commands of a device."""
    fd = device(script, name)
    infos(script, fd)
    others(script, fd)
    features(script, fd)
    ioeventfds(script, fd)


def irq_sweep(script: Script, name: str) -> None:
    """SET_IRQS of all kinds."""
    fd = device(script, name)
    if name in SAMPLES:
        script.ioctl(fd, u.VFIO_DEVICE_GET_INFO, *parts(u.DeviceInfo, {"argsz": 16}))
    events = [eventfd(script.call) for _ in range(4)]
    nothing = struct.pack("<i", -1)
    tails: list[tuple[Part, ...]] = [
        (),
        (b"\0",),
        (b"\1",),
        (b"\1\0\1\1",),
        (events[0],),
        (events[0], events[1]),
        (nothing,),
        (nothing, events[2], nothing),
        (struct.pack("<i", -2),),
        (fd,),
        (struct.pack("<i", 999),),
    ]
    for index in (0, 1, 2, 3, 4, 5, U32):
        for flags in range(64):
            for tail in tails[:9] if flags & 4 else tails[:5]:
                for start, count in ((0, 0), (0, 1), (1, 1), (0, 2), (U32, 1), (0, U32)):
                    if count > 1 and flags & 7 == 1 and count == U32:
                        continue
                    one_irq(script, fd, index, flags, start, count, tail)
                    if flags & 7 == 4 and start == 0 and count <= 1:
                        drain(script, events)
    sweep(
        script, fd, u.VFIO_DEVICE_SET_IRQS, u.IrqSet, {"flags": 0x21, "index": 0, "count": 0},
        {"index": INDICES, "start": [0, 1, 2, U32], "count": [0, 1, 2, 3, 16, 32, 33, U32]},
        chance=200,
    )


def one_irq(
    script: Script, fd: Fd, index: int, flags: int, start: int, count: int, tail: tuple[Part, ...]
) -> None:
    """One SET_IRQS that says how long it is."""
    values = {
        "argsz": 20 + _size(tail), "flags": flags, "index": index, "start": start, "count": count
    }
    script.ioctl(fd, u.VFIO_DEVICE_SET_IRQS, *parts(u.IrqSet, values), *tail)


def drain(script: Script, events: Sequence[Fd]) -> None:
    """What the eventfds had."""
    for event in events:
        script.keep(script.call.read(event, 8))


def irq_chance(script: Script, name: str) -> None:
    """SET_IRQS at random, one after the other."""
    fd = device(script, name)
    random = script.random
    if name in SAMPLES:
        script.ioctl(fd, u.VFIO_DEVICE_GET_INFO, *parts(u.DeviceInfo, {"argsz": 16}))
    events = [eventfd(script.call) for _ in range(6)]
    for _ in range(1500):
        index = random.choice([0, 0, 1, 1, 2, 2, 3, 4, 4, 5])
        data = random.choice([1, 2, 4, 4, 4])
        action = random.choice([8, 0x10, 0x20, 0x20, 0x20, 0x20])
        start = random.choice([0, 0, 0, 0, 1, 2, 3, 5, 31, 64])
        count = random.choice([0, 0, 1, 1, 1, 2, 3, 4, 5, 32])
        if data == 1:
            tail: tuple[Part, ...] = ()
        elif data == 2:
            tail = (bytes(random.choice([0, 1]) for _ in range(count)),)
        else:
            tail = tuple(
                random.choice([*events, struct.pack("<i", -1)] * 3 + [fd, b"\x63\0\0\0"])
                for _ in range(count)
            )
        one_irq(script, fd, index, data | action, start, count, tail)
        if random.random() < 0.5:
            drain(script, events)
        if random.random() < 0.1:
            script.pread(fd, 256, CONFIG)
        if random.random() < 0.1:
            value = random.choice([0, 4, 0x400, 0x404, 6, 0x406, 7, 0x407])
            script.pwrite(fd, struct.pack("<H", value), CONFIG + 4)
        if random.random() < 0.02:
            script.plain(fd, u.VFIO_DEVICE_RESET)


# --- containers and groups

IOVAS = [
    0, 1, 0x800, 0xFFF, 0x1000, 0x1001, 0x2000, 0x3000, 0x10000, 0x11000, 0x200000, 0xFEDFF000,
    0xFEE00000, 0xFEEFF000, 0xFEF00000, 0x100000000, (1 << 39) - 0x1000, (1 << 39) - 0x2000,
    1 << 39, 1 << 40, 1 << 47, 1 << 63, U64 - 0xFFF, U64 - 0x1FFF, U64,
]
SIZES = [
    0, 1, 0x800, 0xFFF, 0x1000, 0x1001, 0x2000, 0x3000, 0x10000, 0x11000, 1 << 39, 1 << 63,
    U64 - 0xFFF, U64,
]
PLACES = [Ptr(n) for n in (0, 0x1000, 0x3000, 0x8000, 0xF000, 0x10000, 1, 0x800)] + [0, U64, U64 - 0xFFF, 1 << 47]


def container_commands(script: Script, container: Fd, chance: int = 40) -> None:
    """All that a container may be asked."""
    script.plain(container, u.VFIO_GET_API_VERSION)
    script.plain(container, u.VFIO_GET_API_VERSION, 1)
    for extension in (*range(16), U32, 1 << 32 | 1, 1 << 63):
        script.plain(container, u.VFIO_CHECK_EXTENSION, extension)
    sweep(script, container, u.VFIO_IOMMU_GET_INFO, u.IommuType1InfoCaps, {}, {}, chance=5)
    for argsz in range(16, 140, 4):
        content = parts(u.IommuType1InfoCaps, {"argsz": argsz})
        script.ioctl(container, u.VFIO_IOMMU_GET_INFO, *content, room=200)
    sweep(
        script, container, u.VFIO_IOMMU_MAP_DMA, u.DmaMap,
        {"flags": 3, "vaddr": Ptr(0), "iova": 0x10000, "size": 0x1000},
        {"iova": IOVAS, "size": SIZES, "vaddr": PLACES, "flags": [0, 1, 2, 3, 4, 5, 6, 7, 8]},
        chance=chance,
    )
    bitmap = (struct.pack("<QQ", 4096, 8), Ptr(0x2000))
    for flags in (0, 1, 2, 4):
        sweep(
            script, container, u.VFIO_IOMMU_UNMAP_DMA, u.DmaUnmap,
            {"flags": flags, "iova": 0, "size": 0}, {"iova": IOVAS, "size": SIZES}, bitmap,
            chance=chance, flags=flags == 0,
        )
    ranges = {"iova": IOVAS, "size": SIZES, "bitmap.pgsize": [0, 1, 4096, 8192, 1 << 21],
              "bitmap.size": [0, 1, 7, 8, 9, 16, 1 << 28, (1 << 28) + 1, U64],
              "bitmap.data": PLACES}
    for flags in (1, 4, 2, 0):
        sweep(
            script, container, u.VFIO_IOMMU_DIRTY_PAGES, DirtyGet,
            {"flags": flags, "size": 0x1000, "bitmap.pgsize": 4096, "bitmap.size": 8,
             "bitmap.data": Ptr(0x2000)}, ranges, chance=chance, flags=flags == 4,
        )
    for command in (u.VFIO_IOMMU_ENABLE, u.VFIO_IOMMU_DISABLE, u.VFIO_DEVICE_RESET):
        script.plain(container, command)


class DirtyGet(LittleEndianStructure):
    """Both parts of what DIRTY_PAGES takes."""

    _fields_ = [*u.DirtyBitmap._fields_, *u.DirtyBitmapGet._fields_]


def containers(script: Script) -> None:
    """A container in each of its states."""
    bind(script.call, EDU)
    path = group_path(script.call, EDU)
    for kind in (None, 0, u.VFIO_TYPE1_IOMMU, u.VFIO_TYPE1v2_IOMMU, u.VFIO_TYPE1_NESTING_IOMMU, 7, 8):
        container, group = script.open("/dev/vfio/vfio"), script.open(path)
        if kind is None:
            for number in (*range(12), U32):
                script.plain(container, u.VFIO_SET_IOMMU, number)
        else:
            script.ioctl(group, u.VFIO_GROUP_SET_CONTAINER, container)
            script.plain(container, u.VFIO_SET_IOMMU, kind)
        container_commands(script, container)
        for number in (*range(12), U32):
            script.plain(container, u.VFIO_SET_IOMMU, number)
        for number in range(256):
            if not 0x64 <= number <= 0x76:
                script.plain(container, u.VFIO_TYPE << 8 | number, Ptr(0))
        script.pread(container, 8, 0)
        script.pwrite(container, bytes(8), 0)
        script.keep(script.call.poll({container: 0x7FFF}))
        script.close(group)
        script.plain(container, u.VFIO_CHECK_EXTENSION, 1)
        script.close(container)


def groups(script: Script) -> None:
    """A group in each of its states."""
    call = script.call
    bind(call, EDU)
    path = group_path(call, EDU)
    for state in range(4):
        container, group = script.open("/dev/vfio/vfio"), script.open(path)
        if state >= 1:
            script.ioctl(group, u.VFIO_GROUP_SET_CONTAINER, container)
        if state >= 2:
            script.plain(container, u.VFIO_SET_IOMMU, u.VFIO_TYPE1v2_IOMMU)
        script.open(path)
        if state >= 3:
            script.ioctl(group, u.VFIO_GROUP_GET_DEVICE_FD, EDU.encode() + b"\0")
        sweep(script, group, u.VFIO_GROUP_GET_STATUS, u.GroupStatus, {}, {})
        for number in (-1, -2, 999, group, container):
            part = number if isinstance(number, Fd) else struct.pack("<i", number)
            script.ioctl(group, u.VFIO_GROUP_SET_CONTAINER, part)
        bad_places(script, group, u.VFIO_GROUP_SET_CONTAINER, struct.pack("<i", -1))
        for name in (
            b"", b"x", EDU.encode(), EDU.encode()[:-1], EDU.encode() + b"x", E1000E.encode(),
            EDU.encode() + b" ", b" " + EDU.encode(), EDU.encode() + b" vf_token=x",
            EDU.encode() + b"\n", b"a" * 4095, EDU.encode() + b" vf_token=", EDU.encode() + b"  ",
            EDU.encode() + b" vf_token=2ab74924-c335-45f4-9b16-8569e5b08258",
            EDU.upper().encode(), EDU[5:].encode(), b"\xff\xfe",
        ):
            number = script.ioctl(group, u.VFIO_GROUP_GET_DEVICE_FD, name + b"\0")
            if number > 2:
                script.close(Fd(number, "device"))
        bad_places(script, group, u.VFIO_GROUP_GET_DEVICE_FD, b"0000:00:05.0")
        for number in range(256):
            if number not in (0x68, 0x69):
                script.put(0, bytes(64))
                script.plain(group, u.VFIO_TYPE << 8 | number, Ptr(0))
        for argument in (0, 1, Ptr(0)):
            script.plain(group, u.VFIO_GROUP_UNSET_CONTAINER, argument)
        script.pread(group, 8, 0)
        script.pwrite(group, bytes(8), 0)
        script.keep(script.call.poll({group: 0x7FFF}))
        script.close(group)
        script.close(container)
        script.close(script.open(path))


def every(program: Any, names: Sequence[str], prefix: str) -> dict[str, Program]:
    """A program of each device."""
    return {f"{prefix}-{name}": partial(program, name=name) for name in names}


ALL = [*FUNCTIONS, *SAMPLES]
PROGRAMS: dict[str, Program] = {
    **every(config_sweep, ALL, "config"),
    **every(device_sweep, ALL, "device"),
    **every(irq_sweep, ALL, "irqs"),
    **every(irq_chance, ALL, "irqchance"),
    "containers": containers,
    "groups": groups,
}
__all__ = ["PCI", "PROGRAMS"]
