# SPDX-License-Identifier: Apache-2.0
"""What a name tells: a flag, a mask, a limit, something reserved; and of which family it is.

C has no other way to say so, and the kernel's headers keep to these words.
"""

from __future__ import annotations

import re

_LIMIT = re.compile(r"(?:^|_)(?:MAX|LAST|COUNT|CNT|END|NR|NUM)(?:_|$)|_NUM_", re.IGNORECASE)
_MASK = re.compile(r"(?:^|_)(?:MASK|ALL|VALID)(?:_|$)|MASK$")
#: So many bits in a row are no number by chance.
_RANGE = 4
_FLAG = re.compile(r"(.*?_FLAGS?)(?:_|$)")
_RESERVED = re.compile(
    r"^_*(?:pad(?:ding)?|rsvd|rsv|resv?|reserved?|unused|spare|mbz)_*\d*$", re.IGNORECASE
)


def is_limit(name: str) -> bool:
    """How many there are, or which is the last: what is meant to move."""
    return _LIMIT.search(name) is not None


def is_mask(name: str, *values: int) -> bool:
    """Several bits together: it is called so, or all ``values`` are bits in a row, not from 0."""
    return _MASK.search(name) is not None or (bool(values) and all(map(_is_range, values)))


def _is_range(value: int) -> bool:
    bits = f"{value:b}".strip("0") if value > 0 else ""
    return len(bits) >= _RANGE and "0" not in bits and not value & 1


def is_flag(value: int) -> bool:
    """Exactly one bit."""
    return value > 0 and value & (value - 1) == 0


def is_reserved(field: str) -> bool:
    """A field that no program may use."""
    return _RESERVED.match(field.rpartition(".")[2].removesuffix("[]")) is not None


def flag_family(name: str) -> str | None:
    """What flags of one word begin with; None for what is not called a flag."""
    match = _FLAG.match(name)
    return match[1] if match else None


def family(name: str) -> str:
    """What constants of one kind begin with: all words but the last."""
    return flag_family(name) or name.rpartition("_")[0] or name


def command_family(name: str) -> str:
    """What commands to one kind of file begin with: two words."""
    return "_".join(name.split("_")[:2])
