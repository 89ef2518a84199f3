# SPDX-License-Identifier: Apache-2.0
"""Structures that begin with their size, ``argsz``, in a caller's memory."""

from __future__ import annotations

import ctypes
import errno
from ctypes import LittleEndianStructure
from typing import TypeVar

from harness.kernel.errors import Errno
from harness.kernel.task import Caller

Structure = TypeVar("Structure", bound=LittleEndianStructure)


def copy_in(
    caller: Caller, address: int, kind: type[Structure], minimum: int | None = None
) -> Structure:
    """The structure at ``address``, of which callers must give ``minimum`` bytes (default: all).

    EFAULT; EINVAL if its ``argsz`` says that it is shorter.
    """
    size = ctypes.sizeof(kind)
    needed = size if minimum is None else minimum
    content = caller.copy_from_user(address, needed)
    structure = kind.from_buffer_copy(content.ljust(size, b"\0"))
    if structure.argsz < needed:
        raise Errno(errno.EINVAL)
    return structure


def copy_out(caller: Caller, address: int, structure: LittleEndianStructure) -> None:
    """Write the structure back, or EFAULT. What the caller has room for behind it stays."""
    caller.copy_to_user(address, bytes(structure))
