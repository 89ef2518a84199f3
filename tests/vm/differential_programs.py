# SPDX-License-Identifier: Apache-2.0
"""Programs for :mod:`tests.vm.differential`."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from ctypes import LittleEndianStructure, sizeof
from functools import partial
from typing import Any

from harness.conformance.call import Fd
from harness.conformance.suites.samples._device import create, open_sample
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
from harness.uapi import iommufd as i
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
    whole = sizeof(kind) + sum(
        8 if isinstance(one, Ptr) else 4 if isinstance(one, Fd) else len(one) for one in tail
    )
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
        for offset in range(0, size - step, 1 if size <= 256 else 13):
            script.pread(fd, step, CONFIG + offset)
    for offset in range(size - 4, size + 5):
        for count in (0, 1, 2, 4, 8, 4096):
            if not fd.path.startswith("83") or offset + count <= size:
                # mtty reads on in the kernel's memory.
                script.pread(fd, count, CONFIG + offset)


def config_sweep(script: Script, name: str) -> None:
    """Each byte written with ones, zeros and chance, and the space read each time."""
    fd = device(script, name)
    size = FUNCTIONS[name][1] if name in FUNCTIONS else 256
    config_reads(script, fd, size)
    for width in (1, 2, 4, 3, 8, 5):
        for offset in range(0, min(size, 0x180) - width + 1, width if width < 5 else 7):
            for value in (b"\xff" * width, bytes(width), script.random.randbytes(width)):
                script.pwrite(fd, value, CONFIG + offset)
                script.pread(fd, min(size, 0x200), CONFIG)
    script.pread(fd, size, CONFIG)


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
            script,
            fd,
            u.VFIO_DEVICE_QUERY_GFX_PLANE,
            u.GfxPlaneInfo,
            {"flags": flags},
            plane,
            chance=5,
            flags=False,
        )
    for value in (0, 1, 2, U32):
        script.ioctl(fd, u.VFIO_DEVICE_GET_GFX_DMABUF, struct.pack("<I", value), room=8)
    script.plain(fd, u.VFIO_DEVICE_RESET)


def ioeventfds(script: Script, fd: Fd) -> None:
    """Places of registers at which an eventfd's signal writes."""
    event = eventfd(script.call)
    bars = [n << 40 for n in range(10)]
    offsets = [
        *bars,
        1,
        2,
        3,
        4,
        0xFFC,
        0x1000,
        0x2000,
        0x3FFC,
        0x1FFFC,
        0x20000,
        0xFFFFC,
        0xFFFF8,
        0x100000,
        (1 << 40) - 4,
        (3 << 40) + 8,
        (7 << 40) + 4,
        (1 << 48) - 4,
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
                    fd,
                    u.VFIO_DEVICE_FEATURE,
                    parts(u.Feature, {"argsz": 8 + _size(data), "flags": number | flag})[0],
                    struct.pack("<I", number | flag),
                    *data,
                    room=64,
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
    return sum(
        8 if isinstance(one, Ptr) else 4 if isinstance(one, Fd) else len(one) for one in data
    )


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
                    if name in SAMPLES and flags & 4 and _size(tail) < 4 and start + count < 3:
                        # mtty takes an eventfd of nowhere.
                        continue
                    one_irq(script, fd, index, flags, start, count, tail)
                    if flags & 7 == 4 and start == 0 and count <= 1:
                        drain(script, events)
    sweep(
        script,
        fd,
        u.VFIO_DEVICE_SET_IRQS,
        u.IrqSet,
        {"flags": 0x21, "index": 0, "count": 0},
        {"index": INDICES, "start": [0, 1, 2, U32], "count": [0, 1, 2, 3, 16, 32, 33, U32]},
        chance=200,
    )


def one_irq(
    script: Script, fd: Fd, index: int, flags: int, start: int, count: int, tail: tuple[Part, ...]
) -> None:
    """One SET_IRQS that says how long it is."""
    values = {
        "argsz": 20 + _size(tail),
        "flags": flags,
        "index": index,
        "start": start,
        "count": count,
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
            # Where BARs are is not always the same.
            script.pread(fd, 0x10, CONFIG)
            script.pread(fd, 256 - 0x34, CONFIG + 0x34)
        if random.random() < 0.1:
            value = random.choice([0, 4, 0x400, 0x404, 6, 0x406, 7, 0x407])
            script.pwrite(fd, struct.pack("<H", value), CONFIG + 4)
        if random.random() < 0.02:
            script.plain(fd, u.VFIO_DEVICE_RESET)


# --- containers and groups

#: Addresses and sizes about pages.
_SMALL = [0, 1, 0x800, 0xFFF, 0x1000, 0x1001, 0x2000, 0x3000, 0x10000, 0x11000]
IOVAS = [
    *_SMALL,
    0x200000,
    0xFEDFF000,
    0xFEE00000,
    0xFEEFF000,
    0xFEF00000,
    0x100000000,
    (1 << 39) - 0x1000,
    (1 << 39) - 0x2000,
    1 << 39,
    1 << 40,
    1 << 47,
    1 << 63,
    U64 - 0xFFF,
    U64 - 0x1FFF,
    U64,
]
SIZES = [
    *_SMALL,
    1 << 39,
    1 << 63,
    U64 - 0xFFF,
    U64,
]
PLACES = [Ptr(n) for n in (0, 0x1000, 0x3000, 0x8000, 0xF000, 0x10000, 1, 0x800)] + [
    0,
    U64,
    U64 - 0xFFF,
    1 << 47,
]


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
        script,
        container,
        u.VFIO_IOMMU_MAP_DMA,
        u.DmaMap,
        {"flags": 3, "vaddr": Ptr(0), "iova": 0x10000, "size": 0x1000},
        {"iova": IOVAS, "size": SIZES, "vaddr": PLACES, "flags": [0, 1, 2, 3, 4, 5, 6, 7, 8]},
        chance=chance,
    )
    bitmap = (struct.pack("<QQ", 4096, 8), Ptr(0x2000))
    for flags in (0, 1, 2, 4):
        sweep(
            script,
            container,
            u.VFIO_IOMMU_UNMAP_DMA,
            u.DmaUnmap,
            {"flags": flags, "iova": 0, "size": 0},
            {"iova": IOVAS, "size": SIZES},
            bitmap,
            chance=chance,
            flags=flags == 0,
        )
    ranges = {
        "iova": IOVAS,
        "size": SIZES,
        "bitmap.pgsize": [0, 1, 4096, 8192, 1 << 21],
        "bitmap.size": [0, 1, 7, 8, 9, 16, 1 << 28, (1 << 28) + 1, U64],
        "bitmap.data": PLACES,
    }
    for flags in (1, 4, 2, 0):
        sweep(
            script,
            container,
            u.VFIO_IOMMU_DIRTY_PAGES,
            DirtyGet,
            {
                "flags": flags,
                "size": 0x1000,
                "bitmap.pgsize": 4096,
                "bitmap.size": 8,
                "bitmap.data": Ptr(0x2000),
            },
            ranges,
            chance=chance,
            flags=flags == 4,
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
    for kind in (
        None,
        0,
        u.VFIO_TYPE1_IOMMU,
        u.VFIO_TYPE1v2_IOMMU,
        u.VFIO_TYPE1_NESTING_IOMMU,
        7,
        8,
    ):
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
            b"",
            b"x",
            EDU.encode(),
            EDU.encode()[:-1],
            EDU.encode() + b"x",
            E1000E.encode(),
            EDU.encode() + b" ",
            b" " + EDU.encode(),
            EDU.encode() + b" vf_token=x",
            EDU.encode() + b"\n",
            b"a" * 4095,
            EDU.encode() + b" vf_token=",
            EDU.encode() + b"  ",
            EDU.encode() + b" vf_token=2ab74924-c335-45f4-9b16-8569e5b08258",
            EDU.upper().encode(),
            EDU[5:].encode(),
            b"\xff\xfe",
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


# --- all of it, in any order

MDEVS = [f"83b8f4f2-509f-382f-3c1e-e6bfe0fa200{n}" for n in (1, 2)]


class Life:
    """Containers, groups and devices that come and go."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.random = script.random
        call = script.call
        for address in (EDU, E1000E, BRIDGED_EDU, TESTDEV):
            bind(call, address)
        self.names = [EDU, E1000E, BRIDGED_EDU, TESTDEV, *MDEVS]
        for name in MDEVS:
            create(call, "mtty", "mtty-1", name)
        self.paths = [group_path(call, name) for name in (EDU, E1000E, BRIDGED_EDU)]
        for name in MDEVS:
            link = call.readlink(f"/sys/bus/mdev/devices/{name}/iommu_group").value
            self.paths.append(f"/dev/vfio/{link.rsplit('/', 1)[1]}")
        gone = Fd(-1, "none")
        self.containers = [gone] * 3
        self.groups = [gone] * 5
        self.devices = [gone] * 4
        self.open: set[int] = set()
        self.event = eventfd(call)

    def one(self) -> None:
        """Something."""
        chosen = self.random.choices(*zip(*self.WAYS, strict=True))[0]
        chosen(self)

    def _slot(self, slots: list[Fd]) -> int:
        return self.random.randrange(len(slots))

    def _closed(self, slots: list[Fd], index: int) -> None:
        self.script.close(slots[index])

    def open_container(self) -> None:
        index = self._slot(self.containers)
        self.script.close(self.containers[index])
        self.containers[index] = self.script.open(
            "/dev/vfio/vfio", self.random.choice([0, 1, 2, 2, 2])
        )

    def open_group(self) -> None:
        index = self._slot(self.groups)
        if self.random.random() < 0.7:
            self.script.close(self.groups[index])
        # Numbers of groups are not the same everywhere.
        flags = self.random.choice([0, 1, 2, 2, 2])
        self.groups[index] = self.script.open(self.paths[index], flags, f"group {index}")

    def close(self) -> None:
        slots = self.random.choice([self.containers, self.groups, self.devices, self.devices])
        index = self._slot(slots)
        self.script.close(slots[index])
        if self.random.random() < 0.8:
            slots[index] = Fd(-1, "none")

    def set_container(self) -> None:
        self.script.ioctl(self.group, u.VFIO_GROUP_SET_CONTAINER, self.container)

    @property
    def container(self) -> Fd:
        return self._one(self.containers)

    def _one(self, slots: list[Fd]) -> Fd:
        """Most often one that is open."""
        there = [fd for fd in slots if fd.number >= 0]
        return self.random.choice(there if there and self.random.random() < 0.95 else slots)

    @property
    def group(self) -> Fd:
        return self._one(self.groups)

    @property
    def device(self) -> Fd:
        return self._one(self.devices)

    @property
    def any(self) -> Fd:
        return self.random.choice([self.container, self.group, self.device])

    def attach(self) -> None:
        """The way that leads somewhere."""
        container, group = self.container, self.group
        self.script.ioctl(group, u.VFIO_GROUP_SET_CONTAINER, container)
        self.script.plain(container, u.VFIO_SET_IOMMU, self.random.choice([1, 3, 3]))

    def unset_container(self) -> None:
        self.script.plain(self.group, u.VFIO_GROUP_UNSET_CONTAINER)

    def status(self) -> None:
        self.script.ioctl(self.any, u.VFIO_GROUP_GET_STATUS, struct.pack("<II", 8, 0))

    def set_iommu(self) -> None:
        self.script.plain(
            self.container, u.VFIO_SET_IOMMU, self.random.choice([0, 1, 3, 3, 6, 7, 8])
        )

    def check(self) -> None:
        self.script.plain(self.any, u.VFIO_CHECK_EXTENSION, self.random.randrange(11))

    def get_device(self) -> None:
        name, slot = self.random.choice(self.names), self._slot(self.devices)
        right = {EDU: 0, E1000E: 1, BRIDGED_EDU: 2, TESTDEV: 2, MDEVS[0]: 3, MDEVS[1]: 4}[name]
        for group in (self.group, self.groups[right]):
            number = self.script.ioctl(group, u.VFIO_GROUP_GET_DEVICE_FD, name.encode() + b"\0")
            if number > 2:
                self.script.close(self.devices[slot])
                self.devices[slot] = Fd(number, name)

    def info(self) -> None:
        self.script.ioctl(self.any, u.VFIO_DEVICE_GET_INFO, struct.pack("<IIIII", 20, 0, 0, 0, 0))

    def reset(self) -> None:
        self.script.plain(self.any, u.VFIO_DEVICE_RESET)

    def hot_info(self) -> None:
        given = parts(u.HotResetInfo, {"argsz": self.random.choice([12, 12 + 8, 12 + 24, 200])})
        self.script.ioctl(self.device, u.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, *given, room=64)

    def hot_reset(self) -> None:
        count = self.random.choice([0, 1, 1, 2])
        fds = [self.group for _ in range(count)]
        given = parts(u.HotReset, {"argsz": 12 + 4 * count, "count": count})
        self.script.ioctl(self.device, u.VFIO_DEVICE_PCI_HOT_RESET, *given, *fds)

    def dma_map(self) -> None:
        values = {
            "argsz": 32,
            "flags": self.random.choice([1, 2, 3, 3, 3]),
            "vaddr": Ptr(self.random.choice([0, 0x1000, 0x2000])),
            "iova": self.random.choice([0, 0x1000, 0x2000, 0x3000, 0xFEE00000]),
            "size": self.random.choice([0x1000, 0x1000, 0x2000, 0x4000, 0]),
        }
        self.script.ioctl(self.container, u.VFIO_IOMMU_MAP_DMA, *parts(u.DmaMap, values))

    def dma_unmap(self) -> None:
        values = {
            "argsz": 24,
            "flags": self.random.choice([0, 0, 0, 2]),
            "iova": self.random.choice([0, 0x1000, 0x2000, 0x3000]),
            "size": self.random.choice([0x1000, 0x2000, 0x4000, 1 << 39, 0]),
        }
        self.script.ioctl(self.container, u.VFIO_IOMMU_UNMAP_DMA, *parts(u.DmaUnmap, values))

    def iommu_info(self) -> None:
        given = parts(u.IommuType1InfoCaps, {"argsz": 200})
        self.script.ioctl(self.container, u.VFIO_IOMMU_GET_INFO, *given, room=200)

    def dirty(self) -> None:
        flags = self.random.choice([1, 2, 4])
        values = {
            "argsz": 48,
            "flags": flags,
            "iova": self.random.choice([0, 0x1000]),
            "size": self.random.choice([0x1000, 0x2000, 0x4000]),
            "bitmap.pgsize": 4096,
            "bitmap.size": 8,
            "bitmap.data": Ptr(0x8000),
        }
        self.script.put(0x8000, bytes(8))
        self.script.ioctl(self.container, u.VFIO_IOMMU_DIRTY_PAGES, *parts(DirtyGet, values))
        self.script.look(0x8000, 8)

    def config(self) -> None:
        offset = self.random.choice([0, 4, 6, 0x34, 0x3C, 0x40, 0xFC, 0x100])
        if self.random.random() < 0.5:
            self.script.pread(self.any, 4, CONFIG + offset)
        else:
            value = self.random.choice([0, 2, 4, 6, 0x400])
            self.script.pwrite(self.device, struct.pack("<H", value), CONFIG + 4)

    def irq(self) -> None:
        given = parts(
            u.IrqSet,
            {
                "argsz": 24,
                "flags": 0x24,
                "index": self.random.choice([0, 1, 2, 4]),
                "count": 1,
            },
        )
        self.script.ioctl(self.device, u.VFIO_DEVICE_SET_IRQS, *given, self.event)

    def poll(self) -> None:
        self.script.keep(self.script.call.poll({self.any: 0x1F}))

    def unbind(self) -> None:
        """Only without open devices: it waits for their end."""
        for device in self.devices:
            if device.number >= 0:
                self.script.close(device)
        self.devices = [Fd(-1, "none")] * len(self.devices)
        address = self.random.choice([EDU, E1000E, BRIDGED_EDU, TESTDEV])
        driver = f"{PCI}/drivers/vfio-pci"
        self.script.keep(self.script.call.write_text(f"{driver}/unbind", address))
        for _ in range(4):
            self.one()
        self.script.keep(self.script.call.write_text(f"{driver}/bind", address))

    def remove_mdev(self) -> None:
        """Only without open devices, too."""
        for device in self.devices:
            if device.number >= 0:
                self.script.close(device)
        self.devices = [Fd(-1, "none")] * len(self.devices)
        name = self.random.choice(MDEVS)
        call = self.script.call
        self.script.keep(call.write_text(f"/sys/bus/mdev/devices/{name}/remove", "1"))
        self.one()
        path = "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create"
        self.script.keep(call.write_text(path, name))

    def look(self) -> None:
        names = self.script.call.listdir("/dev/vfio").value
        self.script.note("groups", len(names))

    WAYS = (
        (open_container, 4),
        (open_group, 8),
        (close, 4),
        (set_container, 6),
        (attach, 8),
        (unset_container, 2),
        (status, 4),
        (set_iommu, 3),
        (check, 3),
        (get_device, 8),
        (info, 3),
        (reset, 2),
        (hot_info, 3),
        (hot_reset, 2),
        (dma_map, 8),
        (dma_unmap, 4),
        (iommu_info, 2),
        (dirty, 5),
        (config, 5),
        (irq, 3),
        (poll, 1),
        (unbind, 1),
        (remove_mdev, 1),
        (look, 1),
    )


def life(script: Script) -> None:
    """Everything in any order."""
    state = Life(script)
    for _ in range(800):
        state.one()


# --- iommufd

IDS = [0, 1, 2, 3, 4, 5, 6, 99, U32]
IOMMUFD = {
    i.IOMMU_DESTROY: (i.Destroy, {"id": 99}),
    i.IOMMU_IOAS_ALLOC: (i.IoasAlloc, {}),
    i.IOMMU_IOAS_IOVA_RANGES: (
        i.IoasIovaRanges,
        {"ioas_id": 1, "num_iovas": 4, "allowed_iovas": Ptr(0x4000)},
    ),
    i.IOMMU_IOAS_ALLOW_IOVAS: (
        i.IoasAllowIovas,
        {"ioas_id": 1, "num_iovas": 1, "allowed_iovas": Ptr(0x5000)},
    ),
    i.IOMMU_IOAS_MAP: (
        i.IoasMap,
        {"flags": 7, "ioas_id": 1, "user_va": Ptr(0), "length": 0x1000, "iova": 0x10000},
    ),
    i.IOMMU_IOAS_MAP_FILE: (
        i.IoasMapFile,
        {"flags": 7, "ioas_id": 1, "length": 0x1000, "iova": 0x30000, "fd": -1 & U32},
    ),
    i.IOMMU_IOAS_COPY: (
        i.IoasCopy,
        {
            "flags": 7,
            "dst_ioas_id": 2,
            "src_ioas_id": 1,
            "length": 0x1000,
            "dst_iova": 0x20000,
            "src_iova": 0x10000,
        },
    ),
    i.IOMMU_IOAS_UNMAP: (i.IoasUnmap, {"ioas_id": 1, "iova": 0x10000, "length": 0x1000}),
    i.IOMMU_OPTION: (i.Option, {"option_id": 1, "op": 1, "object_id": 1}),
    i.IOMMU_VFIO_IOAS: (i.VfioIoas, {"op": 0}),
    i.IOMMU_HWPT_ALLOC: (i.HwptAlloc, {"dev_id": 3, "pt_id": 1}),
    i.IOMMU_GET_HW_INFO: (i.HwInfo, {"dev_id": 3, "data_len": 64, "data_uptr": Ptr(0x6000)}),
    i.IOMMU_HWPT_SET_DIRTY_TRACKING: (i.HwptSetDirtyTracking, {"flags": 1, "hwpt_id": 4}),
    i.IOMMU_HWPT_GET_DIRTY_BITMAP: (
        i.HwptGetDirtyBitmap,
        {"hwpt_id": 4, "iova": 0x10000, "length": 0x1000, "page_size": 4096, "data": Ptr(0x7000)},
    ),
    i.IOMMU_HWPT_INVALIDATE: (
        i.HwptInvalidate,
        {"hwpt_id": 4, "data_uptr": Ptr(0x7000), "entry_len": 32},
    ),
    i.IOMMU_FAULT_QUEUE_ALLOC: (i.FaultAlloc, {}),
    i.IOMMU_VIOMMU_ALLOC: (i.ViommuAlloc, {"dev_id": 3, "hwpt_id": 4}),
    i.IOMMU_VDEVICE_ALLOC: (i.VdeviceAlloc, {"viommu_id": 1, "dev_id": 3}),
    i.IOMMU_IOAS_CHANGE_PROCESS: (i.IoasChangeProcess, {}),
    i.IOMMU_VEVENTQ_ALLOC: (i.VeventqAlloc, {"viommu_id": 1, "type": 1, "veventq_depth": 4}),
    i.IOMMU_HW_QUEUE_ALLOC: (i.HwQueueAlloc, {"viommu_id": 1, "type": 1, "length": 4096}),
}


def iommufd_pool(script: Script, name: str) -> Sequence[Any]:
    """What a field may be, by its name."""
    if name.endswith("_id") or name == "id":
        return IDS
    if name.endswith("_uptr") or name in ("user_va", "data", "allowed_iovas"):
        return PLACES
    if ("iova" in name and name != "num_iovas") or name == "start":
        return IOVAS
    if name == "length":
        return SIZES
    if name == "page_size":
        return [0, 1, 2048, 4096, 8192, 1 << 21, 1 << 63, U64]
    if name in ("data_len", "entry_len", "entry_num", "num_iovas"):
        return [0, 1, 2, 4, 8, 23, 24, 25, 32, 64, 100, U32]
    if name == "fd":
        return [-1, 99, *script.files]
    return [0, 1, 2, 3, 4, 5, 0xFF, 0x7F]


def iommufd_sweep(script: Script) -> None:
    """All commands of a context, alone and with a device."""
    script.files += [eventfd(script.call), script.call.memfd().value]
    script.files.append(script.open("/sys/bus/pci/rescan", 0))
    for with_device in (False, True):
        context = script.open("/dev/iommu")
        for _ in range(2):
            script.ioctl(context, i.IOMMU_IOAS_ALLOC, *parts(i.IoasAlloc, {"size": 12}))
        device = Fd(-1, "none")
        if with_device:
            device = open_cdev(script, EDU)
            bind_to(script, device, context)
            given = struct.pack("<III", 12, 0, 1)
            script.ioctl(device, u.VFIO_DEVICE_ATTACH_IOMMUFD_PT, given)
        for command, (kind, base) in IOMMUFD.items():
            names = [name for name, _ in fields(kind) if name not in ("size", "flags")]
            pools = {name: iommufd_pool(script, name) for name in names}
            script.put(0x5000, struct.pack("<QQQQ", 0, 0xFFFFF, 0x200000, 0x2FFFFF))
            has_flags = any(name == "flags" for name, _ in fields(kind))
            sweep(
                script, context, command, kind, base, pools, size="size", flags=has_flags, chance=40
            )
            script.look(0x4000, 64)
            script.look(0x6000, 64)
        for number in range(256):
            for size in (0, 4, 8, 16, 64):
                script.put(0, struct.pack("<I", size) + bytes(60))
                script.plain(context, 0x3B << 8 | number, Ptr(0))
        script.close(device)
        script.close(context)


def iommufd_compat(script: Script) -> None:
    """A context in a container's place."""
    bind(script.call, EDU)
    path = group_path(script.call, EDU)
    for state in range(4):
        context, group = script.open("/dev/iommu"), script.open(path, 2, "group")
        if state >= 1:
            script.ioctl(context, i.IOMMU_IOAS_ALLOC, *parts(i.IoasAlloc, {"size": 12}))
            set_ioas = parts(i.VfioIoas, {"size": 12, "ioas_id": 1, "op": 1})
            script.ioctl(context, i.IOMMU_VFIO_IOAS, *set_ioas)
        if state >= 2:
            script.ioctl(group, u.VFIO_GROUP_SET_CONTAINER, context)
        if state >= 3:
            script.plain(context, u.VFIO_SET_IOMMU, u.VFIO_TYPE1v2_IOMMU)
            script.ioctl(group, u.VFIO_GROUP_GET_DEVICE_FD, EDU.encode() + b"\0")
        container_commands(script, context)
        for number in (*range(12), U32):
            script.plain(context, u.VFIO_SET_IOMMU, number)
        script.ioctl(group, u.VFIO_GROUP_GET_STATUS, struct.pack("<II", 8, 0))
        script.plain(group, u.VFIO_GROUP_UNSET_CONTAINER)
        script.close(group)
        script.close(context)


def cdev_sweep(script: Script) -> None:
    """A function's own file in each of its states."""
    call = script.call
    for state in range(4):
        context = script.open("/dev/iommu")
        script.ioctl(context, i.IOMMU_IOAS_ALLOC, *parts(i.IoasAlloc, {"size": 12}))
        fd = open_cdev(script, EDU)
        other = open_cdev(script, EDU)
        if state == 0:
            infos(script, fd)
            others(script, fd)
        if state == 3:
            group = script.open(group_path(call, EDU), 2, "group")
        if state >= 1:
            script.ioctl(
                fd, u.VFIO_DEVICE_BIND_IOMMUFD, struct.pack("<II", 16, 0), context, bytes(4)
            )
        if state >= 2:
            script.ioctl(fd, u.VFIO_DEVICE_ATTACH_IOMMUFD_PT, struct.pack("<III", 12, 0, 1))
        sweep(
            script,
            fd,
            u.VFIO_DEVICE_BIND_IOMMUFD,
            u.BindIommufd,
            {"iommufd": context},
            {"iommufd": [-1, -2, 99, fd, context]},
            (bytes(8),),
            chance=20,
        )
        sweep(
            script,
            other,
            u.VFIO_DEVICE_BIND_IOMMUFD,
            u.BindIommufd,
            {"iommufd": -1},
            {"iommufd": [-1, -2, 99, fd, context]},
            (Ptr(0x4000),),
            chance=20,
        )
        ids = {"pt_id": IDS, "pasid": [0, 1, U32]}
        sweep(
            script,
            fd,
            u.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
            u.AttachIommufdPtFull,
            {"pt_id": 1},
            ids,
            chance=40,
        )
        sweep(
            script,
            fd,
            u.VFIO_DEVICE_DETACH_IOMMUFD_PT,
            u.DetachIommufdPtFull,
            {},
            {"pasid": [0, 1, U32]},
            chance=20,
        )
        infos(script, fd)
        others(script, fd)
        if state == 3:
            script.ioctl(group, u.VFIO_GROUP_SET_CONTAINER, context)
            script.ioctl(group, u.VFIO_GROUP_GET_DEVICE_FD, EDU.encode() + b"\0")
            script.close(group)
        script.close(fd)
        script.close(other)
        script.close(context)


def open_cdev(script: Script, address: str) -> Fd:
    """A function's own file."""
    bind(script.call, address)
    (name,) = script.call.listdir(f"{PCI}/devices/{address}/vfio-dev").value
    return script.open(f"/dev/vfio/devices/{name}", 2, address)


def bind_to(script: Script, device: Fd, context: Fd) -> None:
    """VFIO_DEVICE_BIND_IOMMUFD."""
    given = struct.pack("<II", 16, 0)
    script.ioctl(device, u.VFIO_DEVICE_BIND_IOMMUFD, given, context, bytes(4))


def cdev_hot_reset(script: Script) -> None:
    """Hot resets by functions' own files, as one after the other is bound."""
    call = script.call
    for order in ((BRIDGED_EDU, TESTDEV), (TESTDEV, BRIDGED_EDU), (EDU, BRIDGED_EDU)):
        for same in (True, False):
            contexts = [script.open("/dev/iommu"), script.open("/dev/iommu")]
            devices = []
            for number, address in enumerate(order):
                devices.append(open_cdev(script, address))
                bind_to(script, devices[-1], contexts[0 if same else number])
                hot_resets(script, devices, contexts)
            for device in (*devices, *contexts):
                script.close(device)
    group = script.open(group_path(call, BRIDGED_EDU), 2, "group")
    device = open_cdev(script, BRIDGED_EDU)
    context = script.open("/dev/iommu")
    bind_to(script, device, context)
    hot_resets(script, [device], [context, group])


def hot_resets(script: Script, devices: Sequence[Fd], others: Sequence[Fd]) -> None:
    """What would be reset, and resets with all numbers of files."""
    for device in devices:
        for argsz in (11, 12, 16, 20, 28, 36, 44, 52, 200):
            given = parts(u.HotResetInfo, {"argsz": argsz, "flags": 7, "count": 7})
            script.ioctl(device, u.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, *given, room=64)
        for count in (0, 1, 2, 3):
            for fds in ([], list(others), list(devices)):
                for flags in (0, 1):
                    given = parts(
                        u.HotReset, {"argsz": 12 + 4 * count, "flags": flags, "count": count}
                    )
                    script.ioctl(device, u.VFIO_DEVICE_PCI_HOT_RESET, *given, *fds, bytes(12))


def cdev_pasids(script: Script) -> None:
    """Attaching and detaching by PASID."""
    context = script.open("/dev/iommu")
    for _ in range(2):
        script.ioctl(context, i.IOMMU_IOAS_ALLOC, *parts(i.IoasAlloc, {"size": 12}))
    device = open_cdev(script, EDU)
    bind_to(script, device, context)
    hwpt = parts(i.HwptAlloc, {"size": 48, "dev_id": 3, "pt_id": 1})
    script.ioctl(context, i.IOMMU_HWPT_ALLOC, *hwpt)
    random = script.random
    for _ in range(300):
        flags = random.choice([0, 0, 1, 1, 1, 1])
        pasid = random.choice([0, 0, 0, 1, 2, 0xFFFFF, 1 << 20, 0x7FFFFFFF, 1 << 31, U32])
        if random.random() < 0.6:
            values = {
                "argsz": 16,
                "flags": flags,
                "pt_id": random.choice([1, 1, 2, 3, 4, 4, 9]),
                "pasid": pasid,
            }
            given = parts(u.AttachIommufdPtFull, values)
            script.ioctl(device, u.VFIO_DEVICE_ATTACH_IOMMUFD_PT, *given)
        else:
            given = parts(u.DetachIommufdPtFull, {"argsz": 12, "flags": flags, "pasid": pasid})
            script.ioctl(device, u.VFIO_DEVICE_DETACH_IOMMUFD_PT, *given)


def invalidations(script: Script) -> None:
    """How much is too much."""
    context = script.open("/dev/iommu")
    counts = [
        0,
        1,
        2,
        16,
        255,
        256,
        4095,
        4096,
        4097,
        1 << 16,
        (1 << 16) + 1,
        1 << 17,
        1 << 18,
        1 << 19,
        (1 << 19) + 1,
        (1 << 20) - 1,
        1 << 20,
        1 << 24,
        1 << 28,
        1 << 30,
        (1 << 31) - 1,
        1 << 31,
        U32,
    ]
    for length in counts:
        for count in counts:
            values = {
                "size": 32,
                "hwpt_id": 9,
                "data_uptr": Ptr(0),
                "entry_len": length,
                "entry_num": count,
            }
            script.ioctl(context, i.IOMMU_HWPT_INVALIDATE, *parts(i.HwptInvalidate, values))


def iommufd_chance(script: Script) -> None:
    """Address spaces that are mapped, copied and unmapped."""
    random, place = script.random, (0, 0x1000, 0x2000, 0x3000, 0x5000)
    context = script.open("/dev/iommu")
    for _ in range(3):
        script.ioctl(context, i.IOMMU_IOAS_ALLOC, *parts(i.IoasAlloc, {"size": 12}))
    device = open_cdev(script, EDU)
    bind_to(script, device, context)
    iovas = [0, 0x1000, 0x2000, 0x3000, 0x10000, 0xFEE00000, 0xFEDFF000, (1 << 39) - 0x1000, 0x800]
    lengths = [0x1000, 0x1000, 0x2000, 0x3000, 0x4000, 0x800, 1]
    for _ in range(1500):
        command = random.choice(
            [
                i.IOMMU_IOAS_MAP,
                i.IOMMU_IOAS_MAP,
                i.IOMMU_IOAS_MAP,
                i.IOMMU_IOAS_COPY,
                i.IOMMU_IOAS_COPY,
                i.IOMMU_IOAS_UNMAP,
                i.IOMMU_IOAS_UNMAP,
                i.IOMMU_IOAS_IOVA_RANGES,
                i.IOMMU_IOAS_ALLOW_IOVAS,
                i.IOMMU_OPTION,
                i.IOMMU_HWPT_ALLOC,
                i.IOMMU_DESTROY,
                i.IOMMU_IOAS_ALLOC,
                i.IOMMU_VFIO_IOAS,
                0,
                1,
                2,
            ]
        )
        identity = random.choice([1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8])
        if command == 0:
            given = struct.pack("<III", 12, 0, identity)
            script.ioctl(device, u.VFIO_DEVICE_ATTACH_IOMMUFD_PT, given)
            continue
        if command == 1:
            script.ioctl(device, u.VFIO_DEVICE_DETACH_IOMMUFD_PT, struct.pack("<II", 8, 0))
            continue
        if command == 2:
            given = parts(u.IommuType1InfoCaps, {"argsz": 200})
            script.ioctl(context, u.VFIO_IOMMU_GET_INFO, *given, room=200)
            continue
        kind, base = IOMMUFD[command]
        values: dict[str, Any] = {
            "ioas_id": identity,
            "flags": random.choice([7, 7, 6, 3, 5, 1, 2, 4]),
            "user_va": Ptr(random.choice(place) + random.choice([0, 0, 0, 0, 0x10])),
            "length": random.choice(lengths),
            "iova": random.choice(iovas),
            "dst_ioas_id": random.choice([1, 2, 3]),
            "src_ioas_id": random.choice([1, 2, 3]),
            "dst_iova": random.choice(iovas),
            "src_iova": random.choice(iovas),
            "num_iovas": random.choice([0, 1, 2, 2, 3, 8]),
            "object_id": random.choice([0, identity]),
            "op": random.choice([0, 1, 1, 2]),
            "option_id": random.choice([0, 1, 1]),
            "val64": random.choice([0, 1, 1, 2]),
            "pt_id": identity,
            "dev_id": random.choice([4, 4, identity]),
            "id": identity,
        }
        if command == i.IOMMU_IOAS_UNMAP and random.random() < 0.1:
            values |= {"iova": 0, "length": U64}
        if command in (i.IOMMU_HWPT_ALLOC, i.IOMMU_IOAS_ALLOC):
            values["flags"] = random.choice([0, 0, 0, 1, 2, 4, 8])
        if command == i.IOMMU_IOAS_ALLOW_IOVAS:
            content = b""
            for _ in range(3):
                start = random.choice([0, 0x1000, 0x2000, 0x10000, 1 << 32])
                last = start + random.choice([0xFFF, 0x1FFF, 0x3FFF, 0xFFFFFFFF, 0, -1])
                content += struct.pack("<Qq", start, last)
            script.put(0x5000, content)
        known = {name for name, _ in fields(kind)}
        chosen = {name: value for name, value in values.items() if name in known}
        size = sizeof(kind)
        script.put(0x4000, bytes(128))
        script.ioctl(context, command, *parts(kind, {**base, **chosen, "size": size}), at=0x8000)
        if command == i.IOMMU_IOAS_IOVA_RANGES:
            script.look(0x4000, 128)


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
    "life": life,
    "iommufd-sweep": iommufd_sweep,
    "iommufd-compat": iommufd_compat,
    "iommufd-chance": iommufd_chance,
    "cdev": cdev_sweep,
    "cdev-hot-reset": cdev_hot_reset,
    "cdev-pasids": cdev_pasids,
    "invalidations": invalidations,
}
__all__ = ["PCI", "PROGRAMS"]
