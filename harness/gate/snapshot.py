# SPDX-License-Identifier: Apache-2.0
"""A snapshot: what a uAPI looks like, as one YAML document that a diff of lines can be read of.

``snapshot.schema.json`` beside this file is its shape for others. All names are sorted, one thing
a line. Who rewrites a snapshot keeps the comments in it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cattrs
from attrs import Factory, field, fields, frozen
from attrs.validators import in_, matches_re, optional
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.scalarint import HexInt, OctalInt
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from harness.data import DataError, load_yaml, write_whole
from harness.gate.errors import GateError, problem_in

SCHEMA = 1
#: Of commands, by the two bits of their numbers (asm-generic/ioctl.h).
DIRECTIONS = ("none", "write", "read", "read-write")
#: Folders of the kernel's ABI documents, from what is promised most.
STATUSES = ("stable", "testing", "obsolete", "removed")


@frozen
class Field:
    """One member, those of anonymous members included. ``offset`` and ``size`` are in bytes.

    ``type`` is what the header says, ``kind`` what is behind all typedefs. ``bits`` of a bit field
    is ``FIRST:COUNT``, counted from the beginning of the struct.
    """

    offset: int
    size: int
    type: str
    kind: str
    bits: str | None = field(default=None, validator=optional(matches_re(r"\d+:\d+")))


@frozen
class Struct:
    """A struct or union. ``size`` and ``align`` are in bytes."""

    size: int
    align: int = 0
    fields: Mapping[str, Field] = Factory(dict)


@frozen
class Ioctl:
    """A command as the kernel sees it; ``struct`` is what its size was taken of, if it has one."""

    number: int
    direction: str = field(validator=in_(DIRECTIONS))
    size: int
    struct: str | None = None


@frozen
class Header:
    """What one header defines itself. ``enums`` are those with a name; all others' are constants.

    ``macros`` are those that are no number and no string, as they expand.
    """

    constants: Mapping[str, int] = Factory(dict)
    enums: Mapping[str, Mapping[str, int]] = Factory(dict)
    ioctls: Mapping[str, Ioctl] = Factory(dict)
    macros: Mapping[str, str] = Factory(dict)
    strings: Mapping[str, str] = Factory(dict)
    structs: Mapping[str, Struct] = Factory(dict)
    typedefs: Mapping[str, str] = Factory(dict)


@frozen
class SysfsNode:
    """A node, or all that have the same pattern. What is None is not known.

    ``visible`` is ``sometimes`` if not every device of its kind has it. ``values`` are what it
    takes. ``status`` is the folder of the kernel's ABI documents.
    """

    kind: str = field(default="file", validator=in_(("file", "link", "dir")))
    mode: int | None = None
    format: str | None = None
    values: tuple[str, ...] | None = None
    visible: str | None = field(default=None, validator=optional(in_(("always", "sometimes"))))
    status: str | None = field(default=None, validator=optional(in_(STATUSES)))


@frozen
class Behaviour:
    """How a case ended: its state, and what was answered where that was not as expected."""

    outcome: str
    answer: str | None = None


@frozen
class Snapshot:
    """One uAPI, or a part. ``skipped`` are headers that do not compile by themselves, and why."""

    schema: int
    source: str
    architecture: str | None = None
    headers: Mapping[str, Header] = Factory(dict)
    skipped: Mapping[str, str] = Factory(dict)
    sysfs: Mapping[str, SysfsNode] = Factory(dict)
    behaviours: Mapping[str, Behaviour] = Factory(dict)


# --- reading

_converter = cattrs.Converter(forbid_extra_keys=True)


def structured(document: Any, path: str, kind: type[Any]) -> Any:
    """``document``, of the YAML file ``path``, as a ``kind``. GateError that names the first thing
    that is wrong with it."""
    try:
        return _converter.structure(document, kind)
    except Exception as error:  # whatever cattrs makes of what is no mapping at all
        raise problem_in(path, error) from None


def load(path: str | os.PathLike[str]) -> Snapshot:
    """The snapshot in a file. GateError."""
    try:
        document = load_yaml(path)
    except DataError as error:
        raise GateError(str(error)) from None
    return structured_document(document, os.fspath(path))


def structured_document(document: Any, name: str) -> Snapshot:
    """The snapshot that a YAML document is. GateError."""
    if not isinstance(document, Mapping) or "schema" not in document:
        raise GateError(f"{name}: no snapshot: there is no key `schema`")
    if document["schema"] != SCHEMA:
        raise GateError(f"{name}: schema {document['schema']!r} is not {SCHEMA}")
    snapshot: Snapshot = structured(document, name, Snapshot)
    return snapshot


# --- writing


def _number(value: int) -> int:
    """Small and negative ones in decimal, flags and addresses in hexadecimal."""
    return HexInt(value) if value > 9 else value


def _flow(value: Any) -> CommentedMap:
    """A record on one line, without what is not known."""
    names = [attribute.name for attribute in fields(type(value))]
    known = {name: getattr(value, name) for name in names if getattr(value, name) is not None}
    line = CommentedMap((name, list(v) if isinstance(v, tuple) else v) for name, v in known.items())
    if "format" in line:
        line["format"] = DoubleQuotedScalarString(line["format"])
    if "mode" in line:
        line["mode"] = OctalInt(line["mode"])
    line.fa.set_flow_style()
    return line


def _sorted(values: Mapping[str, Any], form: Any) -> CommentedMap:
    return CommentedMap((name, form(values[name])) for name in sorted(values))


def _struct(struct: Struct) -> CommentedMap:
    by_place = sorted(struct.fields, key=lambda name: (_place(struct.fields[name]), name))
    members = CommentedMap((name, _flow(struct.fields[name])) for name in by_place)
    return CommentedMap(size=struct.size, align=struct.align, fields=members)


def _place(field: Field) -> tuple[int, int]:
    return field.offset, int(field.bits.partition(":")[0]) if field.bits else 0


def _ioctl(ioctl: Ioctl) -> CommentedMap:
    line = _flow(ioctl)
    line["number"] = HexInt(ioctl.number)
    return line


def _quoted(text: str) -> Any:
    return DoubleQuotedScalarString(text)


def _header(header: Header) -> CommentedMap:
    forms = {
        "constants": _number,
        "enums": lambda values: CommentedMap((name, _number(v)) for name, v in values.items()),
        "ioctls": _ioctl,
        "macros": _quoted,
        "strings": _quoted,
        "structs": _struct,
        "typedefs": str,
    }
    parts = {name: _sorted(getattr(header, name), form) for name, form in forms.items()}
    return CommentedMap((name, part) for name, part in parts.items() if part)


def _document(snapshot: Snapshot) -> CommentedMap:
    document = CommentedMap(schema=SCHEMA, source=snapshot.source)
    if snapshot.architecture is not None:
        document["architecture"] = snapshot.architecture
    parts = {
        "headers": _sorted(snapshot.headers, _header),
        "skipped": _sorted(snapshot.skipped, _quoted),
        "sysfs": _sorted(snapshot.sysfs, _flow),
        "behaviours": _sorted(snapshot.behaviours, _flow),
    }
    document.update((name, part) for name, part in parts.items() if part)
    return document


def _yaml() -> YAML:
    yaml = YAML()
    yaml.width = 1 << 20  # one thing a line
    return yaml


def write(snapshot: Snapshot, path: str | os.PathLike[str]) -> None:
    """Write a snapshot to a file. Comments of a snapshot that was there stay. GateError.

    Comments belong to the key before them, or the first key of the document.
    """
    target, document = Path(path), _document(snapshot)
    if target.is_file() and "#" in (before := _text(target)):
        load(target)  # never a comment out of a file that is no snapshot
        old = _yaml().load(before)
        _take_comments(old, document)
    stream = io.StringIO()
    _yaml().dump(document, stream)
    write_whole(target, stream.getvalue())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise GateError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise GateError(f"{path}: it is no text, hence no snapshot; not overwritten") from None


def _take_comments(old: Any, new: Any) -> None:
    """Give each node the comments that the node at the same place had."""
    if not isinstance(old, CommentedMap) or not isinstance(new, CommentedMap):
        return
    if old.ca.comment is not None:
        new.ca.comment = old.ca.comment
    for key, comment in old.ca.items.items():
        if key in new:
            new.ca.items[key] = comment
    for key in new:
        if key in old:
            _take_comments(old[key], new[key])
