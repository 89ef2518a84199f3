# SPDX-License-Identifier: Apache-2.0
"""Structures of VFIO in a caller's memory: how they are read, and how capabilities follow them."""

from __future__ import annotations

import ctypes
import errno
from ctypes import LittleEndianStructure
from typing import Protocol, TypeVar

from attrs import define, field

from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.uapi import vfio as u


class _Sized(Protocol):
    argsz: int


Structure = TypeVar("Structure", bound=LittleEndianStructure)


def copy_from_user(caller: Caller, address: int, count: int) -> bytes:
    """Exactly ``count`` bytes, or EFAULT."""
    return caller.address_space.read(address, count)


def copy_in(
    caller: Caller, address: int, kind: type[Structure], minimum: int | None = None
) -> Structure:
    """The structure at ``address``, of which callers must give ``minimum`` bytes (default: all).

    EFAULT; EINVAL if its ``argsz`` says that it is shorter.
    """
    size = ctypes.sizeof(kind)
    needed = size if minimum is None else minimum
    structure = kind.from_buffer_copy(copy_from_user(caller, address, needed).ljust(size, b"\0"))
    if structure.argsz < needed:  # type: ignore[attr-defined]
        raise Errno(errno.EINVAL)
    return structure


def copy_out(caller: Caller, address: int, structure: LittleEndianStructure) -> None:
    """Write the structure back, or EFAULT. What the caller has room for behind it stays."""
    caller.address_space.write(address, bytes(structure))


@define
class InfoCaps:
    """Capabilities that follow a structure (struct vfio_info_cap).

    With ``padded``, as in kernels since 6.6, each begins at a multiple of 8.
    """

    padded: bool
    _caps: list[bytes] = field(factory=list)

    def add(self, capability: LittleEndianStructure, tail: bytes = b"") -> None:
        """One more; ``tail`` is what its structure does not have (vfio_info_add_capability)."""
        content = bytes(capability) + tail
        self._caps.append(content + bytes(-len(content) % 8 if self.padded else 0))

    @property
    def size(self) -> int:
        """Of all together, in bytes."""
        return sum(map(len, self._caps))

    def copy_out(self, caller: Caller, address: int, start: int) -> None:
        """Write them at ``start`` of a structure, each with the offset of the next."""
        offset = start
        for position, content in enumerate(self._caps):
            last = position == len(self._caps) - 1
            following = 0 if last else offset + len(content)
            header = u.InfoCapHeader.from_buffer_copy(content)
            header.next = following
            size = ctypes.sizeof(header)
            caller.address_space.write(address + offset, bytes(header) + content[size:])
            offset += len(content)
