# SPDX-License-Identifier: Apache-2.0
"""The only reader of machine files, profiles and golden data: source tree or wheel.

Files are read by ruamel.yaml's fast loader, which forgets line numbers. When a problem must be
reported, the file is read once more by the slow one, which keeps them (:func:`line_of`). What comes
along is kept parsed in the user's cache, as Python keeps its own modules: parsing it, and loading
the parser, takes as long as the rest of a machine's start.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_HERE = os.path.dirname(os.path.abspath(__file__))
_PROFILES = os.path.join(_HERE, "profiles")
#: What a profile's file has besides its sections.
_PROFILE_KEYS = ("schema", "name", "extends")
#: How long a file may be, in bytes: more is a mistake, or a device that has no end.
_MOST = 64 << 20
#: What this process has parsed of the files that come along, by path, with the source it was.
#: Nobody changes these documents.
_kept: dict[str, tuple[bytes, Any]] = {}


class DataError(ValueError):
    """A file of ours or of the user's cannot be used: ``FILE:LINE: what is wrong``."""


def _find(*parts: str) -> str:
    """In the wheel the data is inside the package, in the source tree beside it."""
    wheel = os.path.join(_HERE, "_data")
    root = wheel if os.path.isdir(wheel) else os.path.dirname(_HERE)
    return os.path.join(root, *parts)


def data_path(*parts: str) -> Path:
    """The path of a file or folder below ``sysfs_models`` or ``fixtures``."""
    from pathlib import Path

    return Path(_find(*parts))


def _names(folder: str) -> list[str]:
    return sorted(name[:-5] for name in os.listdir(folder) if name.endswith(".yaml"))


def machine_names() -> list[str]:
    """The machines that come along."""
    return _names(_find("sysfs_models"))


def machine_path(name: str) -> str:
    """The file of a machine that comes along."""
    return _find("sysfs_models", f"{name}.yaml")


def profile_names() -> list[str]:
    """The profiles that there are."""
    return _names(_PROFILES)


def load_profile(name: str) -> dict[str, Any]:
    """The sections of a profile, those that it extends included. DataError if it is wrong."""
    document = _profile_document(name)
    sections = {key: value for key, value in document.items() if key not in _PROFILE_KEYS}
    base = document.get("extends")
    return merge(load_profile(base), sections) if base is not None else sections


def _profile_document(name: str) -> dict[str, Any]:
    path = os.path.join(_PROFILES, f"{name}.yaml")
    if not os.path.exists(path):
        raise DataError(f"there is no profile {name!r}; known: {', '.join(profile_names())}")
    document: dict[str, Any] = load_yaml(path)
    return document


@cache
def lineage(name: str) -> tuple[str, ...]:
    """A profile and all that it extends, itself first. DataError if there is no such profile.

    ``X+FEATURE`` is followed by ``+FEATURE``, which all kernels of that configuration have.
    """
    found: list[str] = []
    base: str | None = name
    while base is not None:
        found.append(base)
        _, plus, feature = base.partition("+")
        if plus:
            found.append(plus + feature)
        base = _profile_document(base).get("extends")
    return tuple(found)


def merge(base: Mapping[str, Any], delta: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``delta`` over it: mappings key by key, everything else replaced."""
    merged = dict(base)
    for key, value in delta.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def load_yaml(path: str | os.PathLike[str]) -> Any:
    """The document in ``path``. DataError for syntax, duplicate keys and unreadable files."""
    if os.path.dirname(os.fspath(path)) in (_PROFILES, _find("sysfs_models")):
        return _load_kept(path)
    return _load(path, "safe")


def _load_kept(path: str | os.PathLike[str]) -> Any:
    """The document in a file that comes along, parsed now or before."""
    source = _source(path)
    kept = _kept.get(os.fspath(path))
    if kept is None or kept[0] != source:
        kept = _kept[os.fspath(path)] = (source, _cached(path, source))
    return kept[1]


def _cached(path: str | os.PathLike[str], source: bytes) -> Any:
    """The document ``source``, out of the user's cache if it was parsed before."""
    cached = _cache_file(path)
    if cached is None:
        return _load(path, "safe")
    try:
        with open(cached, "rb") as stream:
            kept = marshal.load(stream)
        if kept[0] == source:
            return kept[1]
    except (OSError, EOFError, ValueError, TypeError, LookupError):
        pass  # not there yet, or of no use
    document = _load(path, "safe")
    if not sys.dont_write_bytecode:
        _keep(cached, marshal.dumps((source, document)))
    return document


def cache_folder() -> str | None:
    """Our part of the user's cache directory (XDG Base Directory Specification); None for a user
    without a home."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(cache):  # is to be ignored, then
        cache = os.path.expanduser("~/.cache")
    return os.path.join(cache, "uapi-harness") if os.path.isabs(cache) else None


def _cache_file(path: str | os.PathLike[str]) -> str | None:
    folder = cache_folder()
    name = f"{os.path.basename(path)}.{sys.implementation.cache_tag}"
    return os.path.join(folder, name) if folder is not None else None


def _keep(cached: str, content: bytes) -> None:
    """Write whole or not at all; a cache that cannot be written is no problem."""
    new = f"{cached}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(cached), mode=0o700, exist_ok=True)
        with open(new, "xb") as stream:
            stream.write(content)
        os.replace(new, cached)
    except OSError:
        return


def _load(path: str | os.PathLike[str], kind: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.reader import ReaderError

    source = _source(path)
    try:
        return YAML(typ=kind, pure=True).load(source.decode())
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        problem = " ".join(f"{error.problem or error.context}".split())
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        problem = f"the byte {source[error.start]:#04x} is not UTF-8"
    except ReaderError as error:
        line = source.decode().count("\n", 0, error.position) + 1
        problem = f"the character {error.character:#x} is not allowed"
    except ValueError as error:
        line, problem = _bad_scalar(source), str(error).partition(";")[0]
    except RecursionError:
        line, problem = 1, "lists and mappings are too deep in one another"
    raise DataError(f"{os.fspath(path)}:{line}: {problem}")


def _bad_scalar(source: bytes) -> int:
    """The line of the first value that looks like a number or a date and is none."""
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor
    from ruamel.yaml.nodes import Node, ScalarNode

    lines: list[int] = []

    class Constructor(SafeConstructor):
        def construct_object(self, node: Node, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except ValueError:
                if isinstance(node, ScalarNode):
                    lines.append(node.start_mark.line + 1)
                raise

    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = Constructor
    with suppress(ValueError):
        yaml.load(source.decode())
    return next(iter(lines), 1)


def _source(path: str | os.PathLike[str]) -> bytes:
    try:
        with open(path, "rb") as stream:
            source = stream.read(_MOST + 1)
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: {error.strerror}") from None
    if len(source) > _MOST:
        raise DataError(f"{os.fspath(path)}: more than {_MOST >> 20} MiB; it is no such file")
    return source


def line_of(path: str | os.PathLike[str], keys: Sequence[str | int]) -> int:
    """The line, from 1, of what ``keys`` lead to; of the last of them that is there."""
    node = _load(path, "rt")
    line = 1
    for key in keys:
        try:
            marks = node.lc
            mark = marks.item(key) if isinstance(node, list) else marks.key(key)
            node, line = node[key], mark[0] + 1
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return line


def write_whole(path: str | os.PathLike[str], text: str) -> None:
    """Put ``text`` into the file ``path``, whole or not at all. DataError.

    What is there is replaced only if it is a regular file, and a link keeps leading to it. Into a
    device or a pipe the text is written.
    """
    place = os.path.realpath(path)
    new = f"{place}.{os.getpid()}"
    try:
        if os.path.lexists(place) and not os.path.isfile(place):
            with open(place, "w", encoding="utf-8") as stream:
                stream.write(text)
            return
        with open(new, "x", encoding="utf-8") as stream:
            try:
                stream.write(text)
                stream.flush()
                os.replace(new, place)
            except BaseException:
                os.unlink(new)
                raise
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: {error.strerror}") from None


def one_line(text: str) -> str:
    """``text`` with all that is no printable character (newline, NUL, half of a pair) escaped."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
