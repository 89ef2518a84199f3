# SPDX-License-Identifier: Apache-2.0
"""What the C compiler says of one header: its macros, their values, and an object with its types.

A header's macros are read of ``-E -dD``, which says in which file each was defined. Values come out
of one compiled probe for all of them. What the compiler refuses there is no number, and is left out
of the next try; when it does not say which it refuses, the half that has it is looked for.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from attrs import frozen

from harness.gate.errors import GateError, NotHere
from harness.packages import run

#: What headers that do not compile by themselves most often want before them.
PRELUDE = ("stddef.h", "stdint.h", "sys/types.h", "sys/time.h", "sys/socket.h", "net/if.h")
_MARK = '"@uapi@"'
_MARKER = re.compile(r'# (\d+) "((?:[^"\\]|\\.)*)"')
_DEFINE = re.compile(r"#define (\w+)(\([^)]*\))?(?: (.*))?")
_ERROR = re.compile(r"(.*?):(\d+)(?::\d+)?: (?:fatal )?error: (.*)")
#: A variable with a value and whether it is negative. An enumerator must be an integer constant
#: expression, which says that this is one.
_PROBE = (
    "const struct {{ unsigned long long v, n; char c[sizeof(enum {{ uapi_e{number} = ({text}) }})];"
    " }} uapi_v{number} = {{ (unsigned long long)({text}), ({text}) < 0 }};"
)
_TRIES = 4
#: Messages about a header that wants another one before it; all others mean that it is broken.
_WANTS_MORE = re.compile(
    r"unknown type name|incomplete (?:element )?type|undeclared|No such file|^#error"
    r"|has no member|parameter names \(without types\)"
)


class HeaderError(GateError):
    """A header does not compile. ``wants_more``: it may, after another header."""

    def __init__(self, message: str, *, wants_more: bool) -> None:
        super().__init__(message)
        self.wants_more = wants_more


@frozen
class Macro:
    """A macro as it was defined, in which line of the header. ``parameters`` None: it has none."""

    body: str
    line: int
    parameters: str | None = None


class Compiler:
    """gcc, or what has its options, with a directory of headers before the system's own."""

    def __init__(self, folders: Sequence[Path], command: str | None = None) -> None:
        self._command = command or os.environ.get("CC") or "gcc"
        if shutil.which(self._command) is None:
            raise NotHere(f"no {self._command} here; headers are read with a C compiler")
        self._options = ["-w", *(f"-I{folder}" for folder in folders)]

    def architecture(self) -> str:
        """For which processor it compiles, such as ``x86_64``."""
        said = run([self._command, "-dumpmachine"]).output.decode().strip()
        return said.partition("-")[0]

    def _run(self, *options: str, text: str) -> tuple[bytes, list[str]]:
        """What it wrote, and what it complained of if it failed."""
        command = [self._command, "-x", "c", *self._options, *options, "-"]
        ended = run(command, stdin=text.encode())
        return ended.output, (ended.complaint or ["failed without a word"]) if ended.status else []

    def object_file(self, header: str) -> tuple[str, bytes]:
        """The text that includes ``header`` and what it wants before it, and the object of that.

        It has DWARF about all types, used or not. HeaderError.
        """
        options = ("-gdwarf-5", "-fno-eliminate-unused-debug-types", "-c")
        complaints = []
        for prelude in ((), PRELUDE):
            text = "".join(f"#include <{name}>\n" for name in (*prelude, header))
            content, complaint = self._compiled(text, options)
            if not complaint:
                return text, content
            complaints.append(complaint)
        raise _header_error(header, complaints[0])

    def macros(self, include: str, path: Path) -> Mapping[str, Macro]:
        """The macros that the file ``path`` defines and does not take back."""
        output, _ = self._run("-E", "-dD", text=include)
        found: dict[str, Macro] = {}
        for line, number in _lines_of(output.decode(errors="replace"), path):
            if match := _DEFINE.fullmatch(line):
                name, parameters, body = match.groups()
                found[name] = Macro((body or "").strip(), number, parameters)
            elif line.startswith("#undef "):
                found.pop(line.split()[1], None)
        return found

    def expanded(self, include: str, names: Sequence[str], extra: str = "") -> dict[str, str]:
        """What each macro without parameters becomes, after the definitions in ``extra``."""
        if not names:
            return {}
        lines = [f'"{name}" {name}' for name in names]
        output, _ = self._run("-E", "-P", text="\n".join([include, extra, _MARK, *lines, ""]))
        # A header may leave nothing before the mark.
        after = f"\n{output.decode(errors='replace')}".partition(f"\n{_MARK}\n")[2]
        # The preprocessor may break a line, but never within the name at its beginning.
        texts = re.split(r'(?m)^"(\w+)"', after)[1:]
        words = zip(texts[::2], texts[1::2], strict=True)
        return {name: " ".join(text.split()) for name, text in words}

    def _compiled(self, text: str, options: Sequence[str]) -> tuple[bytes, list[str]]:
        with tempfile.TemporaryDirectory(prefix="uapi-gate-") as folder:
            target = Path(folder, "probe.o")
            _, complaint = self._run(*options, "-o", str(target), text=text)
            if not complaint and not target.exists():
                raise GateError(f"{self._command} makes no object; a C compiler is wanted")
            return (b"" if complaint else target.read_bytes()), complaint

    def values(self, include: str, expressions: Mapping[str, str]) -> dict[str, int]:
        """The value of each expression that is an integer constant, by its key."""
        left = dict(expressions)
        for _ in range(_TRIES):
            content, refused = self._try(include, left)
            if content:
                return _numbers(content, list(left))
            kept = {
                key: text
                for number, (key, text) in enumerate(left.items())
                if number not in refused
            }
            if len(kept) == len(left):
                break
            left = kept
        return self._halves(include, left)

    def _halves(self, include: str, left: Mapping[str, str]) -> dict[str, int]:
        if len(left) < 2:
            content, _ = self._try(include, left) if left else (b"", set())
            return _numbers(content, list(left)) if content else {}
        items = list(left.items())
        middle = len(items) // 2
        return self.values(include, dict(items[:middle])) | self.values(
            include, dict(items[middle:])
        )

    def _try(self, include: str, expressions: Mapping[str, str]) -> tuple[bytes, set[int]]:
        """The object; or, if there is none, the numbers of the expressions that were refused."""
        if not expressions:
            return b"", set()
        lines = [
            _PROBE.format(number=number, text=text)
            for number, text in enumerate(expressions.values())
        ]
        first = include.count("\n") + 1
        content, complaint = self._compiled(include + "\n".join([*lines, ""]), ["-c"])
        errors = [match for line in complaint if (match := _ERROR.match(line))]
        return content, {int(match[2]) - first for match in errors if match[1] == "<stdin>"}


def _numbers(content: bytes, keys: Sequence[str]) -> dict[str, int]:
    """The probe's values; ``n`` says whether the expression is negative."""
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    elf = ELFFile(io.BytesIO(content))
    order: Literal["little", "big"] = "little" if elf.little_endian else "big"
    sections: dict[int, bytes] = {}
    found: dict[str, int] = {}
    symbols = elf.get_section_by_name(".symtab")
    for symbol in symbols.iter_symbols() if isinstance(symbols, SymbolTableSection) else ():
        if not symbol.name.startswith("uapi_v"):
            continue
        index, place = symbol["st_shndx"], symbol["st_value"]
        if index not in sections:
            sections[index] = elf.get_section(index).data()
        data = sections[index][place : place + 16]
        value = int.from_bytes(data[:8], order)
        found[keys[int(symbol.name[6:])]] = value - (1 << 64) if any(data[8:]) else value
    return found


def _lines_of(text: str, path: Path) -> Iterator[tuple[str, int]]:
    """The lines that come from the file ``path``, with their numbers there."""
    here, number = False, 0
    names: dict[str, bool] = {}
    for line in text.splitlines():
        if match := _MARKER.match(line):
            name = match[2]
            if name not in names:
                names[name] = not name.startswith("<") and Path(name).resolve() == path
            here, number = names[name], int(match[1])
            continue
        if here:
            yield line, number
        number += 1


def _header_error(header: str, complaint: Sequence[str]) -> HeaderError:
    """One line: where in which file, and what. One broken spot makes a broken header."""
    found = [match for line in complaint if (match := _ERROR.match(line))]
    if not found:
        return HeaderError(f"{header}: {complaint[0]}", wants_more=False)
    broken = next((match for match in found if not _WANTS_MORE.search(match[3])), None)
    match = broken or found[0]
    place = match[1].partition("/include/")[2] or match[1]
    said = match[3].replace("\u2018", "'").replace("\u2019", "'")
    if place == "<stdin>":  # where we include it: something in it does not end, or it is not there
        where = header
    elif place.endswith(header):
        where = f"{header}: line {match[2]}"
    else:
        where = f"{header}: {place}:{match[2]}"
    return HeaderError(f"{where}: {said}", wants_more=broken is None)
