# SPDX-License-Identifier: Apache-2.0
"""What has changed between two snapshots' headers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from harness.gate.findings import Finding
from harness.gate.names import (
    command_family,
    family,
    flag_family,
    is_flag,
    is_limit,
    is_mask,
)
from harness.gate.snapshot import Header, Ioctl, Snapshot
from harness.gate.struct_diff import compare_structs

#: The kinds of things that a header defines, in the words of the rules.
_KINDS = ("constants", "ioctls", "strings", "macros", "structs", "typedefs")
_WORDS = {kind: kind.removesuffix("s") for kind in _KINDS}
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\w+|\S')
_INTEGER = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)[uUlL]*")


def constants(header: Header) -> dict[str, int]:
    """All numbers: macros and enumerators of any enum."""
    found = dict(header.constants)
    for values in header.enums.values():
        found.update(values)
    return found


def _parts(header: Header) -> dict[str, Mapping[str, Any]]:
    return {kind: getattr(header, kind) for kind in _KINDS} | {"constants": constants(header)}


def compare_headers(old: Snapshot, new: Snapshot) -> Iterator[Finding]:
    """Every change, in no order."""
    moved = _Moved(new)
    for name in sorted({*old.headers, *old.skipped, *new.headers, *new.skipped}):
        if name in old.headers and name in new.headers:
            yield from _compare(name, old.headers[name], new.headers[name], moved)
        else:
            yield from _whole(name, old, new)


def _whole(name: str, old: Snapshot, new: Snapshot) -> Iterator[Finding]:
    """A header that one of the snapshots has not, or could not read."""
    if name in old.headers and name in new.skipped:
        yield Finding("header-broken", name, new.skipped[name], name)
    elif name not in new.headers and name not in new.skipped:
        yield Finding("header-removed", name, "it is gone", name)
    elif name not in old.headers and name not in old.skipped:
        yield Finding("header-added", name, "it is new", name)
    elif name in old.skipped and name in new.headers:
        yield Finding("header-unread", name, f"the older one: {old.skipped[name]}", name)


class _Moved:
    """Where the newer headers have what is no longer in its old header."""

    def __init__(self, new: Snapshot) -> None:
        self._places: dict[tuple[str, str], list[tuple[str, Any]]] = {}
        for name, header in new.headers.items():
            for kind, values in _parts(header).items():
                for one, value in values.items():
                    self._places.setdefault((kind, one), []).append((name, value))

    def to(self, kind: str, name: str, value: Any) -> str | None:
        """The header that has the very same; None if there is none."""
        places = self._places.get((kind, name), [])
        return next((header for header, found in places if found == value), None)


def _compare(header: str, old: Header, new: Header, moved: _Moved) -> Iterator[Finding]:
    before, after = _parts(old), _parts(new)
    kind_of = {name: kind for kind in _KINDS for name in after[kind]}
    for kind in _KINDS:
        for name in before[kind].keys() - after[kind].keys():
            value = before[kind][name]
            yield _gone(header, kind, name, value, kind_of.get(name), moved.to(kind, name, value))
        for name in before[kind].keys() & after[kind].keys():
            if before[kind][name] != after[kind][name]:
                pair = before[kind][name], after[kind][name]
                yield from _CHANGES[kind](header, name, *pair)
    was = {name for kind in _KINDS for name in before[kind]}
    yield from _new_constants(header, before["constants"], after["constants"], was)
    yield from _new_ioctls(header, old.ioctls, new.ioctls, was)
    for kind in ("strings", "macros", "structs", "typedefs"):
        for name in after[kind].keys() - was:
            yield Finding(f"{_WORDS[kind]}-added", name, "it is new", header)


def _gone(
    header: str, kind: str, name: str, value: Any, now: str | None, place: str | None
) -> Finding:
    if now is not None:
        if {kind, now} == {"typedefs", "structs"}:
            return Finding("typedef-untagged", name, f"it is a {_WORDS[now]} now", header)
        return Finding("kind-changed", name, f"a {_WORDS[kind]} became a {_WORDS[now]}", header)
    if place is not None:
        return Finding("name-moved", name, f"it is in {place} now", header)
    shown = f"; it was {_shown(value)}" if kind != "structs" else ""
    return Finding(f"{_WORDS[kind]}-removed", name, f"it is gone{shown}", header)


def _shown(value: Any) -> str:
    if isinstance(value, Ioctl):
        return f"{value.number:#x}"
    return f"{value:#x}" if isinstance(value, int) and value > 9 else str(value)


# --- what changed in its value


def _constant(header: str, name: str, old: int, new: int) -> Iterator[Finding]:
    yield Finding(
        _constant_rule(name, old, new), name, f"{_shown(old)} became {_shown(new)}", header
    )


def _constant_rule(name: str, old: int, new: int) -> str:
    if is_mask(name, old, new) and old >= 0 and new >= 0 and (old & new in (old, new)):
        return "mask-grew" if old & new == old else "mask-shrank"
    if is_limit(name) and flag_family(name) is None:
        return "limit-raised" if new > old else "limit-lowered"
    both = is_flag(old) and is_flag(new)
    return "flag-moved" if both and (old > 2 or flag_family(name)) else "constant-changed"


def _ioctl(header: str, name: str, old: Ioctl, new: Ioctl) -> Iterator[Finding]:
    """The number is the whole of it: nr and type, direction, size."""
    detail = f"{old.number:#x} became {new.number:#x}"
    if old.number & 0xFFFF != new.number & 0xFFFF:
        yield Finding("ioctl-number-changed", name, detail, header)
    elif old.direction != new.direction:
        detail = f"{old.direction} became {new.direction}: {detail}"
        yield Finding("ioctl-direction-changed", name, detail, header)
    elif old.size != new.size:
        detail = f"{old.size} bytes became {new.size}: {detail}"
        yield Finding("ioctl-size-changed", name, detail, header)


def _string(header: str, name: str, old: str, new: str) -> Iterator[Finding]:
    yield Finding("string-changed", name, f"{old} became {new}", header)


def _macro(header: str, name: str, old: str, new: str) -> Iterator[Finding]:
    if _tokens(old) != _tokens(new):
        yield Finding("macro-changed", name, f"{old} became {new}", header)


def _tokens(text: str) -> list[str]:
    """The words of C text, numbers by their value."""
    return [_plain(token) for token in _TOKEN.findall(text)]


def _plain(token: str) -> str:
    match = _INTEGER.fullmatch(token)
    if match is None:
        return token
    octal = match[1].startswith("0") and match[1].isdecimal()
    return str(int(match[1], 8 if octal else 0))


def _typedef(header: str, name: str, old: str, new: str) -> Iterator[Finding]:
    yield Finding("typedef-changed", name, f"{old} became {new}", header)


_CHANGES: Mapping[str, Callable[[str, str, Any, Any], Iterator[Finding]]] = {
    "constants": _constant,
    "ioctls": _ioctl,
    "strings": _string,
    "macros": _macro,
    "structs": compare_structs,
    "typedefs": _typedef,
}


# --- what is new may be in the place of something old


def _new_constants(
    header: str, old: Mapping[str, int], new: Mapping[str, int], was: set[str]
) -> Iterator[Finding]:
    lost = {name: value for name, value in old.items() if new.get(name) != value}
    for name in new.keys() - was:
        value = new[name]
        heirs = [
            one for one, had in lost.items() if had == value and _same_family(one, name, value)
        ]
        if heirs and not is_limit(name):
            detail = f"{_shown(value)} was {_listed(heirs)}"
            yield Finding("value-reused", name, detail, header, related=tuple(heirs))
            continue
        others = _sharing(name, value, old)
        if others:
            detail = f"{_shown(value)} is {_listed(others)}, too"
            yield Finding("flag-shared", name, detail, header, related=tuple(others))
        else:
            yield Finding("constant-added", name, f"it is new: {_shown(value)}", header)


def _same_family(one: str, other: str, value: int) -> bool:
    return not is_limit(one) and family(one) == family(other)


def _sharing(name: str, value: int, old: Mapping[str, int]) -> list[str]:
    """Older flags of the same word with the same bit."""
    word = flag_family(name)
    if word is None or not is_flag(value) or is_mask(name):
        return []
    return [
        one
        for one, had in old.items()
        if had == value and flag_family(one) == word and not is_mask(one)
    ]


def _new_ioctls(
    header: str, old: Mapping[str, Ioctl], new: Mapping[str, Ioctl], was: set[str]
) -> Iterator[Finding]:
    lost: dict[int, list[str]] = {}
    kept: dict[int, list[str]] = {}
    for name, ioctl in old.items():
        number = ioctl.number & 0xFFFF
        same = name in new and new[name].number & 0xFFFF == number
        (kept if same else lost).setdefault(number, []).append(name)
    staying = {name for names in kept.values() for name in names}
    moved = (old.keys() & new.keys()) - staying
    for name in sorted((new.keys() - was) | moved):
        number = new[name].number & 0xFFFF
        heirs = [one for one in lost.get(number, []) if command_family(one) == command_family(name)]
        others = kept.get(number, [])
        related = [one for one in others if command_family(one) == command_family(name)]
        if heirs:
            detail = f"its number was {_listed(heirs)}"
            yield Finding("ioctl-number-reused", name, detail, header, related=tuple(heirs))
        elif related:
            detail = f"so has {_listed(related)}"
            yield Finding("ioctl-number-taken", name, detail, header, related=tuple(related))
        elif name in moved:
            continue
        elif others:
            yield Finding("ioctl-number-shared", name, f"so has {_listed(others)}", header)
        else:
            yield Finding("ioctl-added", name, f"it is new: {new[name].number:#x}", header)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(names))
