# SPDX-License-Identifier: Apache-2.0
"""Structs, unions, enums and typedefs of a header, out of the DWARF of an object."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import Factory, frozen

from harness.gate.snapshot import Field, Struct

#: DW_ATE_*: how the bits of a base type are to be read (DWARF 5, 7.8).
_ENCODINGS = {2: "bool", 4: "float", 5: "signed", 6: "signed", 7: "unsigned", 8: "unsigned"}
_AGGREGATES = {
    "DW_TAG_structure_type": "struct",
    "DW_TAG_union_type": "union",
    "DW_TAG_enumeration_type": "enum",
}
_QUALIFIERS = {
    "DW_TAG_const_type": "const",
    "DW_TAG_volatile_type": "volatile",
    "DW_TAG_restrict_type": "restrict",
}


@frozen
class Types:
    """What a header defines; ``anonymous`` are the constants of enums without a name.

    ``lines`` says where in the header each is.
    """

    structs: dict[str, Struct] = Factory(dict)
    enums: dict[str, dict[str, int]] = Factory(dict)
    anonymous: dict[str, int] = Factory(dict)
    typedefs: dict[str, str] = Factory(dict)
    lines: dict[str, int] = Factory(dict)


def types(content: bytes, path: Path) -> Types:
    """The types that the file ``path`` itself defines, of the object ``content``."""
    from elftools.elf.elffile import ELFFile

    found = Types()
    dwarf = ELFFile(io.BytesIO(content)).get_dwarf_info()
    for unit in dwarf.iter_CUs():
        own = _file_numbers(dwarf.line_program_for_CU(unit), path)
        for die in unit.get_top_DIE().iter_children():
            if _attribute(die, "DW_AT_decl_file") in own:
                _take(die, found)
    return found


def _file_numbers(program: Any, path: Path) -> set[int]:
    folders = [folder.decode() for folder in program["include_directory"]]
    numbers = set()
    for number, entry in enumerate(program["file_entry"]):
        folder = posixpath.join(folders[0], folders[entry.dir_index])
        if Path(folder, entry.name.decode()).resolve() == path:
            numbers.add(number)
    return numbers


def _attribute(die: Any, name: str) -> Any:
    attribute = die.attributes.get(name)
    if attribute is None:
        return None
    value = attribute.value
    return value.decode() if isinstance(value, bytes) else value


def _name(die: Any) -> str | None:
    name: str | None = _attribute(die, "DW_AT_name")
    return name


def _target(die: Any) -> Any:
    return die.get_DIE_from_attribute("DW_AT_type") if "DW_AT_type" in die.attributes else None


def _take(die: Any, found: Types) -> None:
    kind, name = _AGGREGATES.get(die.tag), _name(die)
    if die.tag == "DW_TAG_typedef" and name is not None:
        _take_typedef(die, name, found)
    elif kind == "enum":
        values = {
            _name(one) or "": _attribute(one, "DW_AT_const_value") for one in die.iter_children()
        }
        found.lines.update((_name(one) or "", _line(die)) for one in die.iter_children())
        if name is None:
            found.anonymous.update(values)
        else:
            found.enums[f"enum {name}"] = values
            found.lines[f"enum {name}"] = _line(die)
    elif kind is not None and name is not None and "DW_AT_declaration" not in die.attributes:
        found.structs[f"{kind} {name}"] = _struct(die)
        found.lines[f"{kind} {name}"] = _line(die)


def _line(die: Any) -> int:
    return _attribute(die, "DW_AT_decl_line") or 1


def _take_typedef(die: Any, name: str, found: Types) -> None:
    """A struct that has but a typedef for a name goes by that."""
    target = _target(die)
    found.lines[name] = _line(die)
    if (
        target is not None
        and _AGGREGATES.get(target.tag) in ("struct", "union")
        and not _name(target)
    ):
        found.structs[name] = _struct(target)
    elif target is not None and target.tag in _AGGREGATES and _name(target):
        found.typedefs[name] = _text(target)  # which is judged for itself
    else:
        found.typedefs[name] = f"{_text(target)} ({_size(target)} bytes, {_kind(target)})"


def _struct(die: Any) -> Struct:
    return Struct(_attribute(die, "DW_AT_byte_size") or 0, 0, dict(_fields(die, 0, "")))


def _fields(die: Any, base: int, prefix: str) -> Iterator[tuple[str, Field]]:
    """All members by the names by which a program writes them."""
    for member in die.iter_children():
        if member.tag != "DW_TAG_member":
            continue
        name, target = _name(member), _target(member)
        offset = base + (_attribute(member, "DW_AT_data_member_location") or 0)
        inner, count = _anonymous(target)
        if inner is not None:
            below = prefix if name is None else f"{prefix}{name}{count}."
            yield from _fields(inner, offset, below)
        elif name is not None and not (_size(target) == 0 and _kind(target) == "struct"):
            # Structs of no size are the kernel's trick to get a flexible array into a union.
            yield f"{prefix}{name}", _field(member, target, offset, base)


def _anonymous(target: Any) -> tuple[Any, str]:
    """The aggregate without a name that a member is of, and ``[]`` if it is an array of those."""
    count = ""
    while target is not None and target.tag in ("DW_TAG_array_type", *_QUALIFIERS):
        count = "[]" if target.tag == "DW_TAG_array_type" else count
        target = _target(target)
    if (
        target is not None
        and _AGGREGATES.get(target.tag) in ("struct", "union")
        and not _name(target)
    ):
        return target, count
    return None, ""


def _field(member: Any, target: Any, offset: int, base: int) -> Field:
    bits = None
    size = _size(target)
    if (count := _attribute(member, "DW_AT_bit_size")) is not None:
        first = base * 8 + (_attribute(member, "DW_AT_data_bit_offset") or 0)
        bits, offset = f"{first}:{count}", first // 8
    return Field(offset, size, _text(target), _kind(target), bits)


def _bounds(die: Any) -> Iterator[int | None]:
    """The number of elements of each dimension; None for a flexible one."""
    for child in die.iter_children():
        if child.tag == "DW_TAG_subrange_type":
            count = _attribute(child, "DW_AT_count")
            bound = _attribute(child, "DW_AT_upper_bound")
            yield count if count is not None else bound + 1 if bound is not None else None


def _text(die: Any) -> str:
    """The type as the header writes it."""
    if die is None:
        return "void"
    if die.tag == "DW_TAG_array_type":
        return _text(_target(die)) + _dimensions(die)
    if die.tag == "DW_TAG_pointer_type":
        return f"{_text(_target(die))} *"
    if die.tag in _QUALIFIERS:
        return f"{_QUALIFIERS[die.tag]} {_text(_target(die))}"
    if die.tag == "DW_TAG_subroutine_type":
        return "function"
    kind = _AGGREGATES.get(die.tag)
    name = _name(die) or "{}"
    return f"{kind} {name}" if kind is not None else name


def _dimensions(die: Any) -> str:
    return "".join(f"[{'' if count is None else count}]" for count in _bounds(die))


def _kind(die: Any) -> str:
    """What is behind all typedefs."""
    if die is None:
        return "void"
    if die.tag in ("DW_TAG_typedef", *_QUALIFIERS):
        return _kind(_target(die))
    if die.tag == "DW_TAG_array_type":
        return _kind(_target(die)) + _dimensions(die)
    if die.tag == "DW_TAG_pointer_type":
        return "pointer"
    if die.tag == "DW_TAG_base_type":
        if _name(die) == "char":
            return "char"
        return _ENCODINGS.get(_attribute(die, "DW_AT_encoding"), "other")
    return _AGGREGATES.get(die.tag, "other")


def _size(die: Any) -> int:
    if die is None:
        return 0
    size: int | None = _attribute(die, "DW_AT_byte_size")
    if size is not None:
        return size
    if die.tag == "DW_TAG_array_type":
        size = _size(_target(die))
        for count in _bounds(die):
            size *= count or 0
        return size
    return _size(_target(die)) if "DW_AT_type" in die.attributes else 0
