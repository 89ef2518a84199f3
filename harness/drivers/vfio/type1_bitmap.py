# SPDX-License-Identifier: Apache-2.0
"""Bitmaps of pages that devices wrote to: vfio_iommu_type1.c, 6.1."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from harness.kernel.errors import Errno
from harness.uapi import vfio as u

if TYPE_CHECKING:
    from harness.drivers.vfio.type1 import VfioDma
    from harness.kernel.task import Caller

_BITS = 64
_PAGES_MAX = (1 << 31) - 1


def bitmap_words(pages: int) -> int:
    """How many words of 64 bits a bitmap of ``pages`` has."""
    return -(-pages // _BITS)


def _shift(pgsize: int) -> int:
    """Of a size of pages; what is no size shifts by nothing, as the processor has it (__ffs)."""
    return (pgsize & -pgsize).bit_length() - 1 if pgsize else 0


def verify_bitmap_size(size: int, bitmap: u.Bitmap) -> None:
    """EINVAL unless the bitmap is for at least ``size`` bytes, and not too big."""
    pages = size >> _shift(bitmap.pgsize)
    if not pages or not bitmap_words(pages) * 8 <= bitmap.size <= bitmap_words(_PAGES_MAX) * 8:
        raise Errno(errno.EINVAL)


def update_user_bitmap(
    caller: Caller, bitmap: u.Bitmap, dma: VfioDma, base: int, all_dirty: bool
) -> None:
    """Put a mapping's bits into a bitmap that begins at ``base``, whole words at a time.

    If the mapping does not begin with a word, all bits that were set in its first word stay set:
    bitmap_or() goes by words. Bits behind the mapping become 0 otherwise.
    """
    shift = _shift(bitmap.pgsize)
    count = dma.size >> shift
    bits = (1 << count) - 1 if all_dirty else dma.dirty or 0
    word, below = divmod((dma.start - base) >> shift, _BITS)
    address = bitmap.data + 8 * word
    if below:
        bits = bits << below | int.from_bytes(caller.copy_from_user(address, 8), "little")
    caller.copy_to_user(address, bits.to_bytes(8 * bitmap_words(count + below), "little"))
