# SPDX-License-Identifier: Apache-2.0
"""A recorded machine as the text of a machine file: in the order, and as, one would write it."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from attrs import field, frozen
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarint import HexInt
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, FoldedScalarString

_WIDTH = 100
#: Numbers in hexadecimal, by key: how many digits at least.
_HEX_DIGITS = {
    "class": 6, "revision": 2, "size": 1, "address": 1, "version": 3, "gen_cap": 1, "op_cap": 1,
    "cmd_cap": 1, "iaa_cap": 1, "dsa_caps": 1, "flags": 4, "device": 4, "device_control": 4,
    "device2": 4, "table": 4, "pba": 4, "uncorrectable_mask": 4, "uncorrectable_severity": 4,
    "control": 4, "capabilities": 4, "vendor": 4, "status": 4, "capacity": 4, "allocation": 4,
    "at": 2,
}  # fmt: skip
#: Texts that another reader of YAML might take for a number.
_QUOTED = {"profile", "slot", "id", "subsystem", "data", "nodes"}
#: Mappings on one line: by the key that leads to them, or to the mapping or list that has them.
_ON_ONE_LINE = {"iommu", "cpu"}
_EACH_ON_ONE_LINE = {"bars", "capabilities"}


@frozen
class Recording:
    """A machine file's ``document``, with comments: at the top, and before functions by address."""

    document: dict[str, Any]
    head: list[str] = field(factory=list)
    remarks: dict[str, list[str]] = field(factory=dict)

    def text(self) -> str:
        """The whole file."""
        yaml = YAML()
        yaml.width = _WIDTH
        yaml.indent(mapping=2, sequence=4, offset=2)
        document = _styled("", self.document)
        for functions, indent in _lists_of_functions(document, 2):
            for index, entry in enumerate(functions):
                lines = self.remarks.get(str(entry["slot"]), [])
                if lines:
                    comment = "\n".join(_wrapped("; ".join(lines), _WIDTH - indent - 2))
                    functions.yaml_set_comment_before_after_key(index, comment, indent)
        stream = io.StringIO()
        yaml.dump(document, stream)
        return "".join(f"# {line}\n" for line in self._head()) + stream.getvalue()

    def _head(self) -> Iterator[str]:
        yield "SPDX-License-Identifier: Apache-2.0"
        for line in self.head:
            yield from _wrapped(line, _WIDTH - 2)


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)


def _lists_of_functions(entry: Mapping[str, Any], indent: int) -> Iterator[tuple[Any, int]]:
    """Each list of functions with where it is indented to."""
    functions: Sequence[Mapping[str, Any]] = entry.get("pci" if indent == 2 else "children", ())
    if functions:
        yield functions, indent
    for function in functions:
        yield from _lists_of_functions(function, indent + 4)


def _styled(key: str | int, value: Any) -> Any:
    """``value``, which is at ``key``, with how it is to be written."""
    if isinstance(value, Mapping):
        mapping = CommentedMap(
            {name: _styled(key if key == "nodes" else name, item) for name, item in value.items()}
        )
        if key in _ON_ONE_LINE:
            mapping.fa.set_flow_style()
        if key in _EACH_ON_ONE_LINE:
            for item in mapping.values():
                item.fa.set_flow_style()
        return mapping
    if isinstance(value, list):
        return _styled_list(key, value)
    if isinstance(value, str):
        return _styled_text(key, value)
    if isinstance(value, bool) or key not in _HEX_DIGITS:
        return value
    return HexInt(value, width=_HEX_DIGITS[key])


def _styled_list(key: str | int, value: list[Any]) -> CommentedSeq:
    sequence = CommentedSeq(
        _styled("" if isinstance(item, Mapping) else key, item) for item in value
    )
    if key in _EACH_ON_ONE_LINE:
        for item in sequence:
            item.fa.set_flow_style()
    elif not any(isinstance(item, Mapping) for item in value):
        sequence.fa.set_flow_style()
    return sequence


def _styled_text(key: str | int, value: str) -> Any:
    if key == "config":
        return _hex_lines(value)
    return DoubleQuotedScalarString(value) if key in _QUOTED else value


def _hex_lines(digits: str) -> Any:
    """32 bytes a line, in two groups."""
    groups = [digits[start : start + 32] for start in range(0, len(digits), 32)]
    lines = [" ".join(groups[start : start + 2]) for start in range(0, len(groups), 2)]
    text: Any = FoldedScalarString(" ".join(lines))
    # Where ruamel.yaml breaks the line: the positions of the spaces between ours.
    text.fold_pos = list(accumulate((len(line) + 1 for line in lines[:-1]), initial=-1))[1:]
    return text
