# SPDX-License-Identifier: Apache-2.0
"""How this driver's attributes read and write text."""

from __future__ import annotations

import errno
from collections.abc import Callable

from harness.kernel.errors import Errno
from harness.kernel.kstrtox import kstrtol, kstrtoul

_WORD_BITS = 32
#: isspace of lib/ctype.c.
_SPACE = b" \t\n\v\f\r\xa0"
_SEPARATORS = _SPACE + b","
_DIGITS = b"0123456789abcdefABCDEF"


def or_einval(parse: Callable[[bytes, int], int], data: bytes, base: int) -> int:
    """Numbers that do not parse are EINVAL here, those that are too big included."""
    try:
        return parse(data, base)
    except Errno:
        raise Errno(errno.EINVAL) from None


def signed_or_einval(data: bytes) -> int:
    """A decimal long."""
    return or_einval(kstrtol, data, 10)


def unsigned_or_einval(data: bytes) -> int:
    """A decimal unsigned long."""
    return or_einval(kstrtoul, data, 10)


def hexadecimal(value: int) -> str:
    """``%#x`` of the kernel, which puts 0x before zero too."""
    return f"{value:#x}"


def bitmap_text(bitmap: int, bits: int) -> str:
    """``%*pb``: words of eight digits, the highest first, with commas between."""
    shifts = reversed(range(0, bits, _WORD_BITS))
    return ",".join(f"{bitmap >> shift & 0xFFFFFFFF:08x}" for shift in shifts)


def bitmap_parse(data: bytes, bits: int) -> int:
    """Words of hexadecimal digits with commas or white space between (lib/bitmap.c).

    EINVAL for other characters, EOVERFLOW for a word of more than eight digits and for too many
    words; text is read from its end, so the last thing that is wrong decides.
    """
    text = data.split(b"\0", 1)[0].split(b"\n", 1)[0]
    words: list[int] = []
    end = len(text)
    while True:
        while end and text[end - 1] in _SEPARATORS:
            end -= 1
        if not end:
            break
        if len(words) == bits // _WORD_BITS:
            raise Errno(errno.EOVERFLOW)
        word, end = _bitmap_get_x32_reverse(text, end)
        words.append(word)
    return sum(word << _WORD_BITS * position for position, word in enumerate(words))


def _bitmap_get_x32_reverse(text: bytes, end: int) -> tuple[int, int]:
    """The word that stops at ``end``, and where to go on.

    A character in front of eight digits that is neither a digit nor a separator is passed over.
    """
    for start in reversed(range(max(end - 8, 0), end)):
        if text[start] not in _DIGITS:
            raise Errno(errno.EINVAL)
        if start == 0 or text[start - 1] in _SEPARATORS:
            return int(text[start:end], 16), start
    if text[end - 9] in _DIGITS:
        raise Errno(errno.EOVERFLOW)
    return int(text[end - 8 : end], 16), end - 9


def strim(text: bytes) -> bytes:
    """Without white space at both ends (lib/string_helpers.c)."""
    return text.strip(_SPACE)


def roundup_pow_of_two(number: int) -> int:
    """The next power of two; beyond 2^63 the processor's shift by 64 gives 1."""
    return 1 << ((number - 1).bit_length() & 63)
