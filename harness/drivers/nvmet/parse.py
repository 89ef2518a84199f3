# SPDX-License-Identifier: Apache-2.0
"""How stores of nvmet read text, and attributes that are made of nothing but a value."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from harness.kernel.errors import Errno
from harness.kernel.kstrtox import c_string, kstrtoll, kstrtoull
from harness.kernel.sysfs import Attribute
from harness.kernel.system import Kernel
from harness.kernel.task import Caller

_DIGITS = re.compile(rb"[ \t\n\v\f\r]*(\d+)")


def fail(*unless: bool) -> None:
    """EINVAL unless all of it is so."""
    if not all(unless):
        raise Errno(errno.EINVAL)


def number(bits: int) -> Callable[[bytes], int]:
    """kstrtouint and its like in any base, whose every error becomes EINVAL."""

    def parse(data: bytes) -> int:
        try:
            return kstrtoull(data, 0, bits)
        except Errno:
            raise Errno(errno.EINVAL) from None

    return parse


def signed(data: bytes) -> int:
    """kstrtoint in any base, whose every error becomes EINVAL."""
    try:
        return kstrtoll(data, 0, 32)
    except Errno:
        raise Errno(errno.EINVAL) from None


def scan_u16(data: bytes) -> int:
    """``%hu`` of sscanf: blanks, digits, anything; only 16 bits of it count."""
    found = _DIGITS.match(c_string(data))
    if found is None:
        raise Errno(errno.EINVAL)
    return int(found[1]) & 0xFFFF


def line(data: bytes, longest: int) -> str:
    """The first line: EINVAL if it is empty, longer, or not of printable ASCII characters."""
    text = first_line(data)
    fail(0 < len(text) <= longest, all(0x20 <= char <= 0x7E for char in text))
    return text.decode()


def first_line(data: bytes) -> bytes:
    """The text up to a newline."""
    return c_string(data).split(b"\n", 1)[0]


def word(data: bytes) -> str:
    """``%s`` of sscanf: the first word, empty if there is none."""
    return (c_string(data).split() or [b""])[0].decode(errors="surrogateescape")


def streq(data: bytes, name: str) -> bool:
    """Equal but for one newline at the end (sysfs_streq)."""
    text = c_string(data)
    return text.removesuffix(b"\n") == name.encode(errors="surrogateescape")


def one_of(data: bytes, names: Iterable[str]) -> str:
    """The name that the text is; EINVAL."""
    for name in names:
        if streq(data, name):
            return name
    raise Errno(errno.EINVAL)


def value(
    name: str,
    field: str,
    parse: Callable[[bytes], Any],
    shown: str = "{}",
    check: Callable[[Any, Any], None] | None = None,
) -> Attribute:
    """An attribute that shows and stores ``field`` of its item; ``check(item, value)`` may
    refuse."""
    return _value(name, field, lambda item, data: parse(data), shown, check)


def flag(name: str, field: str, check: Callable[[Any, Any], None] | None = None) -> Attribute:
    """The same of a boolean, which is shown as 0 or 1."""
    return _value(name, field, _boolean, "{}", check)


def _boolean(item: Any, data: bytes) -> bool:
    kernel: Kernel = item.module.kernel
    return kernel.kstrtobool(data)


def _value(
    name: str,
    field: str,
    parse: Callable[[Any, bytes], Any],
    shown: str,
    check: Callable[[Any, Any], None] | None,
) -> Attribute:
    def show(item: Any, caller: Caller) -> str:
        current = getattr(item, field)
        return shown.format(int(current) if isinstance(current, bool) else current) + "\n"

    def store(item: Any, caller: Caller, data: bytes) -> None:
        new = parse(item, data)
        if check is not None:
            check(item, new)
        setattr(item, field, new)

    show.__name__, store.__name__ = f"nvmet_{name}_show", f"nvmet_{name}_store"
    return Attribute(name, 0o644, show, store)


def chosen(table: Collection[Attribute], names: Iterable[str]) -> tuple[Attribute, ...]:
    """The attributes of these names, in this order."""
    known: Mapping[str, Attribute] = {attribute.name: attribute for attribute in table}
    return tuple(known[name] for name in names)
