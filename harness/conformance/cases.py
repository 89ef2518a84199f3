# SPDX-License-Identifier: Apache-2.0
"""Cases: how a function becomes one, and how the suites are found.

A case is a function in ``suites/SUITE/FILE.py`` with the decorator :func:`case`; its first argument
is ``call``. Its id is ``SUITE/FILE::NAME``, with ``[ROW]`` behind it for each row of a
:func:`param` table. Ids are stable: recorded results, known differences and reports key on them.
A file of somebody's own is a suite by itself, whose cases have the ids ``FILE::NAME``.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any, Literal, TypeVar, get_args

from attrs import define, evolve, field, frozen

from harness import machine_file
from harness.data import lineage, profile_names

Evidence = Literal["kernel-run", "source", "document"]
Function = TypeVar("Function", bound=Callable[..., None])

DEFAULT_MACHINE = "qemu-q35-dsa"
_DEFAULT_LIMIT = 20.0
_LONG = 80
#: How the names of recorded probes shorten values.
_LONG_IN_PROBES = 20


@frozen
class Case:
    """One case with its row filled in.

    ``source`` is the kernel function, file and version (or document) that says what must happen;
    ``evidence`` is what that alone is worth. ``golden`` are the recorded probes that may have seen
    the same answer: ``PROBE`` or ``idxd:PROBE`` on any kernel, ``idxd-6.1:PROBE`` on that one.
    ``since`` is the first profile that it is about, ``until`` the first that it is not; ``needs``
    are features that the target must have; ``limit`` is in seconds. ``file`` is the path by which
    somebody's own file was named.
    """

    id: str
    function: Callable[..., None]
    source: str
    evidence: Evidence
    golden: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    machine: str = DEFAULT_MACHINE
    needs: tuple[str, ...] = ()
    limit: float = _DEFAULT_LIMIT
    arguments: Mapping[str, Any] = field(factory=dict)
    file: str | None = None

    @property
    def suite(self) -> str:
        """The directory the case is in, or the file if it is somebody's own."""
        return suite_of(self.id)

    def is_about(self, profile: str) -> bool:
        """Whether this kernel is one of those that the case is about."""
        kernels = lineage(profile)
        return self.since in (None, *kernels) and self.until not in kernels


class CaseFileError(ValueError):
    """A file of cases cannot be used: ``FILE:LINE: what is wrong``."""


def suite_of(id: str) -> str:
    """The suite of the case with this id."""
    return id.partition("::")[0].partition("/")[0]


@define
class _Declaration:
    """What the decorators leave on a function."""

    options: dict[str, Any] = field(factory=dict)
    names: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ((),)
    id_format: str = ""


#: The attribute of a function that is a case.
ATTRIBUTE = "uapi_case"


def case(
    *,
    source: str,
    evidence: Evidence = "source",
    golden: str | Sequence[str] = (),
    since: str | None = None,
    until: str | None = None,
    machine: str = DEFAULT_MACHINE,
    needs: Sequence[str] = (),
    limit: float = _DEFAULT_LIMIT,
) -> Callable[[Function], Function]:
    """Make a function a case; the arguments are those of :class:`Case`.

    ``golden`` may hold ``{name}`` or ``{name!r}`` of the row's columns. A case is worth
    ``kernel-run`` where a probe it names was recorded, and ``evidence`` elsewhere.
    """
    if evidence not in get_args(Evidence):
        raise ValueError(f"evidence {evidence!r}; allowed: {', '.join(get_args(Evidence))}")
    if not isinstance(limit, int | float) or limit <= 0:
        raise ValueError(f"limit {limit!r}; seconds are wanted, more than 0")
    for profile in (since, until):
        if profile is not None and profile not in _since_words():
            raise ValueError(f"profile {profile!r}; allowed: {', '.join(_since_words())}")

    def decorate(function: Function) -> Function:
        _check_function(function)
        declaration = _declaration(function)
        declaration.options = {
            "source": source,
            "evidence": evidence,
            "golden": (golden,) if isinstance(golden, str) else tuple(golden),
            "since": since,
            "until": until,
            "machine": machine,
            "needs": tuple(needs),
            "limit": limit,
        }
        return function

    return decorate


def _check_function(function: Callable[..., None]) -> None:
    """ValueError for one that would run nothing, or in the place of another case."""
    name = function.__name__
    if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
        raise ValueError(f"{name} makes an iterator or a coroutine, and runs nothing")
    before = function.__globals__.get(name)
    if before is not function and hasattr(before, ATTRIBUTE):
        raise ValueError(f"{name} is a case already, further up in this file")


@cache
def _since_words() -> tuple[str, ...]:
    """What ``since`` and ``until`` may name: profiles, and what all of a configuration have."""
    names = profile_names()
    return (*names, *sorted({f"+{name.partition('+')[2]}" for name in names if "+" in name}))


def param(names: str, rows: Sequence[Any], id: str | None = None) -> Callable[[Function], Function]:
    """Run the case once for each row. Written below ``@case``.

    ``names`` are the columns, separated by blanks. ``id`` is a format of the row's name; without
    it, the first column's value is.
    """
    columns = tuple(names.split())
    table = tuple(row if isinstance(row, tuple) else (row,) for row in rows)
    for row in table:
        if len(row) != len(columns):
            raise ValueError(f"row {row!r} does not fit the columns {names!r}")

    def decorate(function: Function) -> Function:
        declaration = _declaration(function)
        declaration.names, declaration.rows = columns, table
        declaration.id_format = f"{{{columns[0]}}}" if id is None else id
        return function

    return decorate


def _declaration(function: Callable[..., None]) -> _Declaration:
    declaration: _Declaration | None = getattr(function, ATTRIBUTE, None)
    if declaration is None:
        declaration = _Declaration()
        setattr(function, ATTRIBUTE, declaration)
    return declaration


class _Word(str):
    """A text value in the name of a row or of a probe.

    ``{value}`` is the text where it is plain and quoted where it is not; ``{value!r}`` is quoted as
    the recorded probes do it. Both show long text as its first character and length, ``a*128``.
    """

    __slots__ = ()

    def __format__(self, specification: str) -> str:
        plain = self.isascii() and self.isprintable() and self and " " not in self
        return self._within(_LONG) if plain else repr(self._within(_LONG))

    def __repr__(self) -> str:
        return repr(self._within(_LONG_IN_PROBES))

    def _within(self, limit: int) -> str:
        return str(self) if len(self) < limit else f"{self[0]}*{len(self)}"


def cases_of(module: ModuleType, prefix: str) -> Iterator[Case]:
    """All cases of one file, in the order they are written. ``prefix`` is ``SUITE/FILE``."""
    for function in vars(module).values():
        declaration = getattr(function, ATTRIBUTE, None)
        if declaration is None or function.__module__ != module.__name__:
            continue
        if "source" not in declaration.options:
            raise ValueError(f"{prefix}::{function.__name__} has @param but no @case")
        for row in declaration.rows:
            yield _case(function, declaration, row, f"{prefix}::{function.__name__}")


def _case(
    function: Callable[..., None], declaration: _Declaration, row: tuple[Any, ...], name: str
) -> Case:
    arguments = dict(zip(declaration.names, row, strict=True))
    words = {
        key: _Word(value) if isinstance(value, str) else value for key, value in arguments.items()
    }
    options = dict(declaration.options)
    options["golden"] = tuple(reference.format(**words) for reference in options["golden"])
    suffix = f"[{declaration.id_format.format(**words)}]" if declaration.names else ""
    return Case(id=name + suffix, function=function, arguments=arguments, **options)


def _modules(package: ModuleType) -> Iterator[tuple[str, ModuleType]]:
    """The modules and packages in a package by name, without those whose name begins with _."""
    for found in sorted(pkgutil.iter_modules(package.__path__), key=lambda found: found.name):
        if not found.name.startswith("_"):
            yield found.name, importlib.import_module(f"{package.__name__}.{found.name}")


def suite_names() -> list[str]:
    """The names of all suites."""
    return [name for name, _ in _modules(_suites())]


def discover(suites: Sequence[str] | None = None) -> list[Case]:
    """The cases of the given suites and files, or of all suites.

    ValueError if two cases have one id; CaseFileError, one of them, for a file that is of no use.
    """
    found: dict[str, Case] = {}
    for one in _found(suites):
        if one.id in found:
            raise CaseFileError(f"two cases have the id {one.id}")
        found[one.id] = one
    return list(found.values())


def _found(suites: Sequence[str] | None) -> Iterator[Case]:
    for suite, package in _modules(_suites()):
        if suites is None or suite in suites:
            for name, module in _modules(package):
                yield from cases_of(module, f"{suite}/{name}")
    for path in suites or ():
        if is_path(path):
            yield from load_file(path)


def is_path(suite: str) -> bool:
    """Whether what stands for a suite is the path of somebody's own file."""
    return os.sep in suite or suite.endswith(".py")


def load_file(path: str) -> list[Case]:
    """The cases in a file of somebody's own. CaseFileError.

    The file may import what lies next to it, and name machine files from there.
    """
    folder, name = os.path.split(os.path.abspath(path))
    stem = name.removesuffix(".py")
    module = _execute(path, f"uapi_case_file_{stem}", folder)
    try:
        found = [_placed(one, path, folder) for one in cases_of(module, stem)]
    except LookupError as error:
        raise CaseFileError(f"{path}: {error} is no column of its table") from None
    except ValueError as error:
        raise CaseFileError(f"{path}: {error}") from None
    if not found:
        raise CaseFileError(f"{path}: no function has the decorator @case")
    return found


def _execute(path: str, name: str, folder: str) -> ModuleType:
    """The module in the file ``path``, by another name than its own import would give it."""
    file = os.path.abspath(path)
    specification = importlib.util.spec_from_file_location(name, file)
    if specification is None or specification.loader is None:
        raise CaseFileError(f"{path}: a file of cases is a Python file, FILE.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        specification.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        raise _case_file_error(error, path, file) from None
    return module


def _case_file_error(error: BaseException, path: str, file: str) -> BaseException:
    """What to tell of a file that could not be executed."""
    if isinstance(error, SyntaxError):
        own = error.filename in (None, file)
        place = f"{path if own else error.filename}:{error.lineno or 1}"
        return CaseFileError(f"{place}: SyntaxError: {error.msg}")
    if not isinstance(error, Exception | SystemExit):
        return error
    if isinstance(error, OSError) and error.filename == file:
        return CaseFileError(f"{path}: {error.strerror}")
    return CaseFileError(f"{path}{_line(error, file)}: {_problem(error)}")


def _line(error: BaseException, file: str) -> str:
    """``:LINE`` of the last place in the file that the error passed through, if any."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    return f":{lines[-1]}" if lines else ""


def _problem(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _placed(case: Case, path: str, folder: str) -> Case:
    machine = case.machine
    if machine_file.is_path(machine):
        machine = os.path.join(folder, machine)
    return evolve(case, file=path, machine=machine)


def _suites() -> ModuleType:
    return importlib.import_module("harness.conformance.suites")
