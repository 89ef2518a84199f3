# SPDX-License-Identifier: Apache-2.0
"""The kernel's ``Documentation/ABI`` becomes the part ``sysfs`` of a snapshot.

Each document has entries that begin with ``What:`` lines (Documentation/ABI/README). A mode is
taken only where a description says it in the words that most of them use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from harness.gate.errors import GateError
from harness.gate.snapshot import STATUSES, SysfsNode

_FIELD = re.compile(
    r"^(What|Date|KernelVersion|Contact|Description|Users)\s*:\s*(.*)$", re.IGNORECASE
)
_PLACE = re.compile(r"<[^>/]*>|\[[^\]/]*\]|\{[^}/]*\}|\.\.\.|\*|(?<![A-Z])[XYZN](?![A-Za-z])")
_MODES = (
    (
        re.compile(r"\(RW\)|\bread[- ]?write\b|\breadable and writ(?:e)?able\b", re.IGNORECASE),
        0o644,
    ),
    (re.compile(r"\(RO\)|\bread[- ]only\b", re.IGNORECASE), 0o444),
    (re.compile(r"\(WO\)|\bwrite[- ]only\b", re.IGNORECASE), 0o200),
)


def is_documents(folder: Path) -> bool:
    """Whether there are ABI documents right in ``folder``."""
    return any((folder / status).is_dir() for status in STATUSES)


def read_documents(folder: Path) -> dict[str, SysfsNode]:
    """All nodes of sysfs and configfs that the documents name. GateError."""
    nodes: dict[str, SysfsNode] = {}
    for status in STATUSES:
        for path in sorted((folder / status).rglob("*")):
            if path.is_file():
                for what, description in _entries(path):
                    mode = next((mode for words, mode in _MODES if words.search(description)), None)
                    nodes[place(what)] = SysfsNode(mode=mode, status=status)
    if not nodes:
        raise GateError(f"{folder}: no document has a line `What:`")
    return nodes


def place(what: str) -> str:
    """The pattern of a node, whatever the document calls what varies."""
    return _PLACE.sub("<n>", what)


def _entries(path: Path) -> Iterator[tuple[str, str]]:
    """Each node with its description; nodes that follow one another share one."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise GateError(f"{path}: {error.strerror}") from None
    names: list[str] = []
    field, description = "", ""
    for line in text.splitlines():
        match = _FIELD.match(line)
        if match is None:
            if field == "what" and line.strip().startswith("/"):
                names.append(line.strip())
            elif field == "description":
                description += f" {line.strip()}"
            continue
        if match[1].lower() == "what" and field != "what":
            yield from ((name, description) for name in names)
            names, description = [], ""
        field = match[1].lower()
        if field == "what" and match[2].startswith("/"):
            names.append(match[2].strip())
        elif field == "description":
            description = match[2]
    yield from ((name, description) for name in names)
