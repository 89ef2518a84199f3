# SPDX-License-Identifier: Apache-2.0
"""How attribute stores read text: lib/kstrtox.c, lib/string_helpers.c of Linux 6.1.

``data`` is what a write handed over; the kernel ends it with a NUL, so text stops at the first one.
"""

from __future__ import annotations

import errno

from harness.kernel.errors import Errno


def c_string(data: bytes) -> bytes:
    """``data`` up to its first NUL."""
    return data.split(b"\0", 1)[0]


def _magnitude(text: bytes, base: int) -> int:
    """_parse_integer and _kstrtoull: digits, then nothing but one newline."""
    if base == 0:
        base = 10
        if text[:1] == b"0":
            hexadecimal = text[1:2] in (b"x", b"X") and text[2:3] in _HEX
            base = 16 if hexadecimal else 8
    if base == 16 and text[:2].lower() == b"0x":
        text = text[2:]
    digits = text[:-1] if text.endswith(b"\n") else text
    if not digits or not digits.isalnum():
        raise Errno(errno.EINVAL)
    try:
        value = int(digits, base)
    except ValueError:
        raise Errno(errno.EINVAL) from None
    if value >= 1 << 64:
        raise Errno(errno.ERANGE)
    return value


_HEX = frozenset(bytes([char]) for char in b"0123456789abcdefABCDEF")


def kstrtoull(data: bytes, base: int, bits: int = 64) -> int:
    """An unsigned number, ``+`` allowed. EINVAL for other text, ERANGE above ``bits`` bits."""
    text = c_string(data)
    value = _magnitude(text[1:] if text[:1] == b"+" else text, base)
    if value >= 1 << bits:
        raise Errno(errno.ERANGE)
    return value


def kstrtoll(data: bytes, base: int, bits: int = 64) -> int:
    """A signed number. EINVAL for other text, ERANGE outside ``bits`` bits."""
    text = c_string(data)
    if text[:1] == b"-":
        value = -_magnitude(text[1:], base)
    else:
        value = _magnitude(text[1:] if text[:1] == b"+" else text, base)
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise Errno(errno.ERANGE)
    return value


def kstrtoul(data: bytes, base: int) -> int:
    """unsigned long of x86-64."""
    return kstrtoull(data, base)


def kstrtol(data: bytes, base: int) -> int:
    """long of x86-64."""
    return kstrtoll(data, base)


def kstrtoint(data: bytes, base: int) -> int:
    """int."""
    return kstrtoll(data, base, 32)


def kstrtouint(data: bytes, base: int) -> int:
    """unsigned int."""
    return kstrtoull(data, base, 32)


def kstrtobool(data: bytes, *, words: bool = False) -> bool:
    """Looks at the first character (and the second after an ``o``) and ignores the rest.

    ``words``: there are ``enabled`` and ``disabled``, too, which Kernel.kstrtobool knows."""
    text = c_string(data)
    first = text[:1].lower()
    if first in (b"y", b"t", b"1") or (words and first == b"e"):
        return True
    if first in (b"n", b"f", b"0") or (words and first == b"d"):
        return False
    if first == b"o":
        if text[1:2] in (b"n", b"N"):
            return True
        if text[1:2] in (b"f", b"F"):
            return False
    raise Errno(errno.EINVAL)


def sysfs_streq(data: bytes, word: str | bytes) -> bool:
    """Equal, ignoring one trailing newline on either side."""
    expected = word.encode() if isinstance(word, str) else word
    return c_string(data).removesuffix(b"\n") == expected.removesuffix(b"\n")
