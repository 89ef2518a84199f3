# SPDX-License-Identifier: Apache-2.0
"""Which registers of a configuration space a program's reads and writes are about.

Capabilities are where the bytes that the program was given say that they are: what it has not read,
it cannot know either.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.ioctl_arguments import names
from harness.uapi import pci_regs as u

#: A capability's header of 8 bits each for id and next, and an extended one's of 32 bits.
_HEADER, _EXTENDED_HEADER = 2, 4
_LOWEST = 0x40


class ConfigAccesses:
    """What a program does to one function's configuration space."""

    def __init__(self) -> None:
        self._image = bytearray(u.CONFIG_SIZE)
        self._known = bytearray(u.CONFIG_SIZE)

    def read(self, offset: int, data: bytes) -> set[str]:
        """The names of registers that it was given, and of what is in them."""
        data = data[: max(u.CONFIG_SIZE - offset, 0)]
        self._image[offset : offset + len(data)] = data
        self._known[offset : offset + len(data)] = b"\1" * len(data)
        return set(self._touched(offset, data))

    def write(self, offset: int, data: bytes) -> set[str]:
        """The names of registers that it writes, and of what it puts in them."""
        return set(self._touched(offset, data))

    def _touched(self, offset: int, data: bytes) -> Iterator[str]:
        end = offset + len(data)
        for start, register in self._registers():
            first = start + register.offset
            last = first + register.size
            if offset < last and first < end:
                yield from (register.name,) if register.name is not None else ()
                if offset <= first and last <= end:
                    value = int.from_bytes(data[first - offset : last - offset], "little")
                    yield from names(register.constants, value)

    def _registers(self) -> Iterator[tuple[int, u.Register]]:
        """All that are known to be there, with the place that their offsets count from."""
        kind = self._number(u.PCI_HEADER_TYPE, 1) or 0
        is_bridge = kind & u.PCI_HEADER_TYPE_MASK == u.PCI_HEADER_TYPE_BRIDGE
        yield from ((0, register) for register in (u.BRIDGE if is_bridge else u.DEVICE))
        for start, number in self._capabilities():
            following = u.CAPABILITIES.get(number, ())
            yield from ((start, register) for register in (*u.CAPABILITY, *following))
        for start, number in self._extended():
            following = u.EXTENDED_CAPABILITIES.get(number, ())
            yield from ((start, register) for register in (*u.EXTENDED_CAPABILITY, *following))

    def _number(self, offset: int, size: int) -> int | None:
        """What is there, if all of it was read."""
        if not all(self._known[offset : offset + size]):
            return None
        return int.from_bytes(self._image[offset : offset + size], "little")

    def _capabilities(self) -> Iterator[tuple[int, int]]:
        """Place and id of each."""
        start, seen = (self._number(u.PCI_CAPABILITY_LIST, 1) or 0) & ~3, set[int]()
        while start >= _LOWEST and start not in seen:
            seen.add(start)
            header = self._number(start, _HEADER)
            if header is None:
                return
            yield start, header & 0xFF
            start = header >> 8 & ~3

    def _extended(self) -> Iterator[tuple[int, int]]:
        start, seen = u.EXTENDED_START, set[int]()
        while start >= u.EXTENDED_START and start not in seen:
            seen.add(start)
            header = self._number(start, _EXTENDED_HEADER)
            if not header:
                return
            yield start, header & 0xFFFF
            start = header >> 20 & ~3
