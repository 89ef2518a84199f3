# SPDX-License-Identifier: Apache-2.0
"""A directory of kernel headers becomes the part ``headers`` of a snapshot.

It is what ``headers_install`` makes, an unpacked ``linux-libc-dev``, or ``/usr/include``.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from attrs import Factory, frozen

from harness.gate.compiler import Compiler, HeaderError, Macro
from harness.gate.errors import GateError, NotHere
from harness.gate.layouts import Types, types
from harness.gate.snapshot import DIRECTIONS, Header, Ioctl, Struct
from harness.packages import PackagesError

#: The folders that are the kernel's; those that it shares with the C library are not among them.
FOLDERS = (
    *("linux", "asm", "asm-generic", "cxl", "drm", "fwctl", "misc", "mtd"),
    *("rdma", "regulator", "sound", "video", "xen"),
)
_COMMAND = "__uapi_ioc"
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_STRINGS = re.compile(rf"(?:{_STRING.pattern}\s*)+")
_CHARACTER = re.compile(r"'(?:[^'\\]|\\.)+'")
#: What no constant expression has in it; the compiler judges the rest.
_NO_EXPRESSION = re.compile(
    r'["{};]|\b(?:struct|union|do|while|if|extern|static|inline|asm)\b(?!\s*\w+\s*\))'
)


@frozen
class Headers:
    """The headers that could be read, why others could not, and where in them things are."""

    architecture: str
    headers: Mapping[str, Header]
    skipped: Mapping[str, str]
    lines: Mapping[str, Mapping[str, int]] = Factory(dict)


def read_headers(
    folder: Path,
    wanted: Sequence[str] = (),
    *,
    command: str | None = None,
    progress: Callable[[str], None] = lambda what: None,
) -> Headers:
    """Read all headers below ``folder``, or those whose names match one of ``wanted``.

    GateError if there are none, if one that was asked for does not compile, or if one is broken.
    Others that do not compile are named.
    """
    if find_spec("elftools") is None:
        raise NotHere("headers need pyelftools; install uapi-harness[gate]")
    roots = _roots(folder)
    names = list(_names(roots, wanted))
    if not names:
        what = f" that match {', '.join(wanted)}" if wanted else f" in {', '.join(FOLDERS)}"
        raise GateError(f"{folder}: there are no headers{what}")
    compiler = Compiler(roots, command)
    found: dict[str, Header] = {}
    lines: dict[str, dict[str, int]] = {}
    skipped: dict[str, str] = {}
    try:
        with _pool() as pool:
            tasks = [(name, pool.submit(_read, compiler, roots, name)) for name in names]
            for number, (name, task) in enumerate(tasks):
                try:
                    found[name], lines[name] = task.result()
                except HeaderError as error:
                    if name in wanted or not error.wants_more:
                        raise
                    skipped[name] = str(error).removeprefix(f"{name}: ")
                progress(f"{number + 1} of {len(names)} headers: {name}")
    except PackagesError as error:
        raise GateError(str(error)) from None
    if not found:
        name = next(iter(skipped))
        raise GateError(f"{name}: {skipped[name]}")
    return Headers(compiler.architecture(), found, skipped, lines)


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Threads, one a core; what has not begun is left undone after an error or an interrupt."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def include_folder(folder: Path) -> Path | None:
    """Where below ``folder`` the kernel's headers are; None if there are none."""
    for place in (folder, folder / "usr/include", folder / "include"):
        if any((place / name).is_dir() for name in ("linux", "asm-generic")):
            return place
    return folder if next(folder.glob("*.h"), None) is not None else None


def _roots(folder: Path) -> list[Path]:
    """The directory, and that of the one architecture whose ``asm`` it has."""
    folder = folder.resolve()
    machine = f"{os.uname().machine}-linux-gnu"
    return [folder, *(place for place in [folder / machine] if (place / "asm").is_dir())]


def _names(roots: Sequence[Path], wanted: Sequence[str]) -> Iterator[str]:
    tops = [top for top in FOLDERS if any((root / top).is_dir() for root in roots)] or [""]
    seen = {
        str(path.relative_to(root))
        for root in roots
        for top in tops
        for path in (root / top).rglob("*.h")
    }
    for name in sorted(seen):
        if not wanted or matches(name, wanted):
            yield name


def matches(name: str, wanted: Sequence[str]) -> bool:
    """Whether the name of a header matches one of the patterns."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in wanted)


def _read(compiler: Compiler, roots: Sequence[Path], name: str) -> tuple[Header, dict[str, int]]:
    """One header, and in which line what is."""
    found = next((root / name for root in roots if (root / name).is_file()), None)
    if found is None:
        raise GateError(f"{name}: it is no file that can be read")
    path = found.resolve()
    include, content = compiler.object_file(name)
    macros = compiler.macros(include, path)
    own = types(content, path)
    simple = [one for one, macro in macros.items() if macro.parameters is None and macro.body]
    hidden = f"#undef _IOC\n#define _IOC(d, t, n, s) {_COMMAND}(d, t, n, s)"
    texts = compiler.expanded(include, simple, hidden)
    values = _values(compiler, include, texts, own)
    lines = {one: macro.line for one, macro in macros.items()} | own.lines
    return _header(macros, texts, values, own), lines


def _values(
    compiler: Compiler, include: str, texts: Mapping[str, str], own: Types
) -> Mapping[str, int]:
    expressions = {
        name: name for name, text in texts.items() if text and text != name and _may_be_number(text)
    }
    alignments = {f"{name} ": f"_Alignof({name})" for name in own.structs}
    return compiler.values(include, expressions | alignments)


def _may_be_number(text: str) -> bool:
    bare = _CHARACTER.sub("0", text)
    return not _NO_EXPRESSION.search(bare) and _balanced(bare)


def _balanced(text: str) -> bool:
    depth = 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            return False
    return depth == 0


def _header(
    macros: Mapping[str, Macro],
    texts: Mapping[str, str],
    values: Mapping[str, int],
    own: Types,
) -> Header:
    constants, ioctls, strings = dict(own.anonymous), {}, {}
    others = {
        name: f"{macro.parameters} {macro.body}".strip()
        for name, macro in macros.items()
        if macro.parameters is not None
    }
    for name, text in texts.items():
        if name in values and (size := _size_argument(text)) is not None:
            ioctls[name] = _ioctl(values[name], size)
        elif name in values:
            constants[name] = values[name]
        elif _STRINGS.fullmatch(text):
            strings[name] = _joined(text)
        elif text and text != name:
            others[name] = text
    structs = {
        name: Struct(struct.size, values.get(f"{name} ", 0), struct.fields)
        for name, struct in own.structs.items()
    }
    return Header(constants, own.enums, ioctls, others, strings, structs, own.typedefs)


def _joined(text: str) -> str:
    """Literals as the compiler joins them."""
    return f'"{"".join(_STRING.findall(text))}"'


def _size_argument(text: str) -> str | None:
    """The last argument of the command's macro; None if this is no command."""
    while text.startswith("(") and text.endswith(")") and _balanced(text[1:-1]):
        text = text[1:-1].strip()
    if not text.startswith(f"{_COMMAND}(") or not _balanced(text[len(_COMMAND) + 1 : -1]):
        return None
    arguments, depth = [""], 0
    for letter in text[len(_COMMAND) + 1 : -1]:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            arguments.append("")
        else:
            arguments[-1] += letter
    return arguments[-1].strip()


def _ioctl(number: int, size: str) -> Ioctl:
    """The parts of a number (asm-generic/ioctl.h: 8 bits nr, 8 type, 14 size, 2 direction)."""
    while size.startswith("(") and size.endswith(")") and _balanced(size[1:-1]):
        size = size[1:-1].strip()
    match = re.fullmatch(r"sizeof\s*\((.*)\)", size)
    return Ioctl(
        number,
        DIRECTIONS[number >> 30 & 3],
        number >> 16 & 0x3FFF,
        match[1].strip() if match else None,
    )
