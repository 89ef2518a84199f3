# SPDX-License-Identifier: Apache-2.0
"""What has changed in a struct or union."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from harness.gate.findings import Finding
from harness.gate.names import is_reserved
from harness.gate.snapshot import Field, Struct

#: What VFIO and iommufd call the size that a program says its struct has.
_OWN_SIZE = ("argsz", "size")
_CAPABILITY = "struct vfio_info_cap_header"
#: How many fields a detail names.
_SHOWN = 3
_ORDERED = re.compile(r"__([lb]e)\d+")


def compare_structs(header: str, name: str, old: Struct, new: Struct) -> Iterator[Finding]:
    """Every change of one struct, in no order."""
    findings = list(_fields(header, name, old, new))
    yield from findings
    yield from _whole(header, name, old, new, findings)


def _fields(header: str, name: str, old: Struct, new: Struct) -> Iterator[Finding]:
    gone = [one for one in old.fields if one not in new.fields]
    added = [one for one in new.fields if one not in old.fields]
    renamed = _renamed(old, new, gone, added)
    for one in old.fields.keys() & new.fields.keys():
        compare = _reserved if is_reserved(one) else _field
        yield from compare(header, f"{name}.{one}", old.fields[one], new.fields[one])
    for one in gone:
        yield from _gone(header, name, one, old, new, renamed.get(one))
    heirs = {heir for one, heir in renamed.items() if not is_reserved(one) or is_reserved(heir)}
    for one in added:
        if one not in heirs:
            yield from _added(header, name, one, old, new)


def _renamed(old: Struct, new: Struct, gone: list[str], added: list[str]) -> dict[str, str]:
    """Which field has taken the very place of one that is gone."""
    places = {_place(new.fields[one]): one for one in reversed(added)}
    found = {one: places.get(_place(old.fields[one])) for one in gone}
    return {one: heir for one, heir in found.items() if heir is not None}


def _place(field: Field) -> tuple[int, int, str, str | None]:
    return field.offset, field.size, field.kind, field.bits


def _gone(
    header: str, name: str, one: str, old: Struct, new: Struct, heir: str | None
) -> Iterator[Finding]:
    subject = f"{name}.{one}"
    if is_reserved(one):
        if heir is None or is_reserved(heir):
            said = f"it is {heir} now" if heir else "it is gone"
            yield Finding("reserved-renamed", subject, said, header)
    elif heir is not None:
        yield Finding("field-renamed", subject, f"it is {heir} now", header)
    else:
        field = old.fields[one]
        detail = f"{field.type} at {field.offset} is gone"
        yield Finding("field-removed", subject, detail, header)


def _bits(field: Field) -> range:
    """Which bits of the struct a field takes."""
    if field.bits is not None:
        first, count = map(int, field.bits.split(":"))
        return range(first, first + count)
    return range(field.offset * 8, (field.offset + field.size) * 8)


def _overlap(one: Field, other: Field) -> bool:
    first, second = _bits(one), _bits(other)
    return first.start < second.stop and second.start < first.stop


def _added(header: str, name: str, one: str, old: Struct, new: Struct) -> Iterator[Finding]:
    """A new field: behind the old end, in place of nothing, or beside others."""
    field, subject = new.fields[one], f"{name}.{one}"
    where = f"{field.type} at {field.offset}"
    if field.size == 0 and field.offset >= old.size:
        yield Finding("tail-added", subject, f"{where} is new", header)
        return
    if field.offset >= old.size:
        return  # that the struct has grown says it all
    under = [had for had, was in old.fields.items() if _overlap(field, was)]
    used = [had for had in under if not is_reserved(had)]
    if used:
        detail = f"{where} is new, beside {_some(used)}"
        yield Finding("union-member-added", subject, detail, header)
    elif is_reserved(one):
        yield Finding("reserved-renamed", subject, f"{where} is reserved", header)
    else:
        detail = f"{where} was {', '.join(sorted(under)) or 'padding'}"
        rule = "padding-reused-by-flag" if _says_what_is_valid(old) else "padding-reused"
        yield Finding(rule, subject, detail, header)


def _some(names: list[str]) -> str:
    """Few enough of them to read."""
    shown = sorted(names)[:_SHOWN]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _own_size(fields: Mapping[str, Field]) -> str | None:
    """The field at the beginning that tells how large the program's struct is."""
    for name in _OWN_SIZE:
        field = fields.get(name)
        if field is not None and field.offset == 0 and field.kind == "unsigned":
            return name
    return None


def _is_capability(struct: Struct) -> bool:
    first = next((field for field in struct.fields.values() if field.offset == 0), None)
    return first is not None and first.type == _CAPABILITY


def _says_what_is_valid(struct: Struct) -> bool:
    """By flags, or by a capability's version."""
    by_flags = _own_size(struct.fields) == "argsz" and "flags" in struct.fields
    return by_flags or _is_capability(struct)


def _field(header: str, subject: str, old: Field, new: Field) -> Iterator[Finding]:
    if (old.offset, old.bits) != (new.offset, new.bits) and not _wider_bits(old, new):
        where = [f"bit {f.bits.partition(':')[0]}" if f.bits else f"{f.offset}" for f in (old, new)]
        yield Finding("field-moved", subject, f"from {where[0]} to {where[1]}", header)
    if (rule := _type_rule(old, new)) is not None:
        sizes = [f" ({_width(field)})" for field in (old, new)]
        first, second = sizes if rule == "field-size-changed" else ("", "")
        detail = f"{old.type}{first} became {new.type}{second}"
        yield Finding(rule, subject, detail, header)


def _width(field: Field) -> str:
    return f"bits {field.bits}" if field.bits else f"{field.size} bytes"


def _reserved(header: str, subject: str, old: Field, new: Field) -> Iterator[Finding]:
    """What else is there now is judged by what it is."""
    if old != new:
        where = [f"{field.type} at {field.offset}" for field in (old, new)]
        yield Finding("reserved-renamed", subject, f"{where[0]} became {where[1]}", header)


def _wider_bits(old: Field, new: Field) -> bool:
    """A bit field that begins where it began."""
    if old.bits is None or new.bits is None:
        return False
    return old.bits.partition(":")[0] == new.bits.partition(":")[0]


def _type_rule(old: Field, new: Field) -> str | None:
    if old.type == new.type and old.size == new.size and old.kind == new.kind:
        return "field-size-changed" if old.bits != new.bits and _wider_bits(old, new) else None
    if old.size != new.size:
        return "field-size-changed"
    if old.kind.replace("[0]", "[]") == new.kind and old.kind != new.kind:
        return "tail-made-flexible"
    if old.kind != new.kind:
        return _kind_rule(old.kind, new.kind)
    return _name_rule(old.type, new.type, old.kind)


def _kind_rule(old: str, new: str) -> str:
    """Same size, other kind."""
    signs = {"signed", "unsigned", "char", "bool", "enum"}
    first, second = old.partition("["), new.partition("[")
    if first[1:] == second[1:] and {first[0], second[0]} <= signs:
        return "field-sign-changed"
    # A pointer and the number that holds one; 32-bit programs are why it is not the same.
    if {old, new} == {"pointer", "unsigned"}:
        return "field-annotation-changed"
    return "field-type-changed"


def _name_rule(old: str, new: str, kind: str) -> str:
    """Same size and kind, other name."""
    first, second = _ORDERED.search(old), _ORDERED.search(new)
    if first is not None and second is not None and first[1] != second[1]:
        return "field-type-changed"
    if (first is None) != (second is None):
        return "field-annotation-changed"
    aggregate = kind.partition("[")[0] in ("struct", "union")
    return "field-type-changed" if aggregate else "field-type-renamed"


def _whole(
    header: str, name: str, old: Struct, new: Struct, findings: list[Finding]
) -> Iterator[Finding]:
    """What is to say about the struct that its fields do not say."""
    worst = {finding.rule_id for finding in findings}
    sizes = f"{old.size} bytes became {new.size}"
    if new.size > old.size:
        if not worst & {"field-moved", "field-size-changed"}:
            beyond = [one for one, field in new.fields.items() if field.offset >= old.size]
            detail = f"{sizes}: {', '.join(beyond)}" if beyond else sizes
            yield Finding(_growth_rule(old, new), name, detail, header)
    elif new.size < old.size:
        if not worst & {"field-moved", "field-size-changed"}:
            yield Finding("struct-shrunk", name, sizes, header)
    elif old.align != new.align and not worst & {"field-moved", "field-size-changed"}:
        yield Finding("alignment-changed", name, f"{old.align} became {new.align}", header)


def _growth_rule(old: Struct, new: Struct) -> str:
    if any(field.size == 0 for field in old.fields.values()):
        return "struct-grown"  # what was in the flexible array is elsewhere
    if _own_size(old.fields) is not None:
        return "struct-grown-argsz"
    return "struct-grown-capability" if _is_capability(old) else "struct-grown"
