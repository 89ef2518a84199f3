# SPDX-License-Identifier: Apache-2.0
"""What drivers copy from and to programs (include/linux/uaccess.h, mm/util.c, 6.1)."""

from __future__ import annotations

import errno
from ctypes import LittleEndianStructure, sizeof
from typing import TypeVar

from harness.kernel.errors import Errno
from harness.kernel.task import Caller
from harness.uapi.fs import PAGE_SIZE

#: The end of what programs can map on x86-64 with four levels of page tables.
TASK_SIZE_MAX = (1 << 47) - PAGE_SIZE

Structure = TypeVar("Structure", bound=LittleEndianStructure)


def access_ok(address: int, size: int) -> bool:
    """Whether the range can be a program's at all."""
    return address + size <= TASK_SIZE_MAX


def copy_from_user(caller: Caller, kind: type[Structure], address: int) -> Structure:
    """A structure at ``address``; EFAULT."""
    return kind.from_buffer_copy(caller.copy_from_user(address, sizeof(kind)))


def get_user_u32(caller: Caller, address: int) -> int:
    """A number of 32 bits at ``address``; EFAULT."""
    return int.from_bytes(caller.copy_from_user(address, 4), "little")


def get_user_s32(caller: Caller, address: int) -> int:
    """A signed number of 32 bits at ``address``; EFAULT."""
    return int.from_bytes(caller.copy_from_user(address, 4), "little", signed=True)


def clear_user(caller: Caller, address: int, count: int) -> None:
    """Zeros there; EFAULT at the first page that is not."""
    end = address + count
    while address < end:
        step = min(PAGE_SIZE - address % PAGE_SIZE, end - address)
        caller.copy_to_user(address, bytes(step))
        address += step


def strndup_user(caller: Caller, address: int, limit: int) -> bytes:
    """The string at ``address``, without its NUL: EFAULT, EINVAL if it has none in ``limit``."""
    text = b""
    while len(text) < limit:
        position = address + len(text)
        chunk = caller.copy_from_user(
            position, min(PAGE_SIZE - position % PAGE_SIZE, limit - len(text))
        )
        end = chunk.find(b"\0")
        if end >= 0:
            return text + chunk[:end]
        text += chunk
    raise Errno(errno.EINVAL)
