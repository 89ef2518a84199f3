# SPDX-License-Identifier: Apache-2.0
"""Golden data of cases: how each ended on a real kernel, ``fixtures/golden/cases/KERNEL.json``.

``uapi-harness golden record`` writes these files, one line a case. A case's digest tells whether it
is still the one that was run: it covers its function and row, what the function uses of the suites,
and the machine. A record whose digest differs is stale and judges nothing.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import textwrap
import tokenize
from collections.abc import Container, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import cattrs
from attrs import asdict, frozen

from harness import machine_file
from harness.conformance import probes
from harness.conformance.cases import Case, Evidence
from harness.conformance.probes import GoldenError
from harness.conformance.records import NOT_RUN, Record, Run, State
from harness.conformance.results import Failure
from harness.data import data_path, load_yaml, write_whole

SCHEMA = 1
_SUITES = "harness.conformance.suites"
_LAYOUT = frozenset(
    {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
)


@frozen
class Judgement:
    """How a case ended on a kernel; ``failure`` is what the kernel answered instead."""

    id: str
    digest: str
    state: State
    failure: Failure | None = None
    reason: str | None = None


@frozen
class Golden:
    """What one kernel answered, and where that comes from."""

    schema: int
    kernel: str
    provenance: Mapping[str, str]
    cases: tuple[Judgement, ...]


# --- digests


def digest(case: Case) -> str:
    """What changes with anything that decides what the case does and expects: 16 hex digits."""
    parts = [_machine_text(case.machine), *_described(case.function, set())]
    parts += _described(dict(case.arguments), set())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@cache
def _machine_text(name: str) -> str:
    """The machine without its file's comments; a user's own file is named by its path."""
    return repr(load_yaml(machine_file.find(name)))


def _described(value: Any, seen: set[int]) -> Iterator[str]:
    """A value as text that is the same in every process; functions by what they are made of."""
    if isinstance(value, FunctionType):
        if id(value) not in seen:
            seen.add(id(value))
            yield from _function(inspect.unwrap(value), seen)
    elif isinstance(value, Mapping):
        for key in sorted(value, key=repr):
            yield repr(key)
            yield from _described(value[key], seen)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _described(item, seen)
    elif isinstance(value, frozenset | set):
        yield repr(sorted(value, key=repr))
    elif not isinstance(value, ModuleType | type):
        yield repr(value)


def _function(function: FunctionType, seen: set[int]) -> Iterator[str]:
    """The source, what is bound in it, and what of the suites it uses by name."""
    yield function.__qualname__
    yield _tokens(function)
    for cell in function.__closure__ or ():
        yield from _described(cell.cell_contents, seen)
    for name in sorted(_names(function.__code__)):
        value = function.__globals__.get(name)
        ours = not isinstance(value, FunctionType) or value.__module__.startswith(_SUITES)
        if name in function.__globals__ and ours:
            yield name
            yield from _described(value, seen)


@cache
def _names(code: CodeType) -> set[str]:
    """The global names that code uses, functions inside it included."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


@cache
def _tokens(function: FunctionType) -> str:
    """The source as its tokens: layout, comments and the docstring do not count."""
    source = textwrap.dedent(inspect.getsource(function))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    words = [token.string for token in tokens if token.type not in _LAYOUT]
    documentation = inspect.cleandoc(function.__doc__ or "")
    first = documentation.partition("\n")[0]
    return " ".join(word for word in words if not first or first not in word)


# --- reading


def folder() -> Path:
    """Where golden data is looked for."""
    return data_path("fixtures", "golden", "cases")


@cache
def load(kernel: str) -> Golden | None:
    """The golden data of a kernel; None if it was never recorded. GoldenError."""
    return _read(folder() / f"{kernel}.json")


def _read(path: Path) -> Golden | None:
    try:
        golden = _converter.structure(json.loads(path.read_text()), Golden)
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever cattrs makes of what is no object at all
        raise GoldenError(f"{path}: {'; '.join(cattrs.transform_error(error))}") from None
    if golden.schema != SCHEMA:
        raise GoldenError(f"{path}: schema {golden.schema} is not {SCHEMA}")
    return golden


_converter = cattrs.Converter(forbid_extra_keys=True)


@cache
def _by_id(kernel: str) -> Mapping[str, Judgement]:
    golden = load(kernel)
    return {} if golden is None else {judgement.id: judgement for judgement in golden.cases}


def recorded(case: Case, kernel: str) -> Judgement | None:
    """What the kernel did in this case, whatever its digest; None if nobody asked."""
    return _by_id(kernel).get(case.id)


def judgement(case: Case, kernel: str) -> Judgement | None:
    """What the kernel did in this very case; None if nobody asked, or the record is stale."""
    found = recorded(case, kernel)
    if found is None or found.state in NOT_RUN or found.digest != digest(case):
        return None
    return found


def evidence(case: Case, profile: str) -> Evidence:
    """``kernel-run`` if this profile's kernel was seen to answer so, else what the case says."""
    found = judgement(case, profile)
    if found is not None:
        return "kernel-run" if found.state is State.PASS else case.evidence
    if any(probes.recorded(reference, profile) for reference in case.golden):
        return "kernel-run"
    return case.evidence


# --- writing

#: Nothing of the kernel's: the host was too slow, or lacked something.
_NO_ANSWER = (State.TIMEOUT, State.NOT_RUNNABLE)


def write(
    run: Run,
    cases: Mapping[str, Case],
    provenance: Mapping[str, str],
    to: Path,
    existing: Container[str],
) -> Path:
    """Write a run on a real kernel into the folder ``to``; the new file, whole or not at all.

    Cases that are not for virtual machines are kept, too: that they are not is an answer. Records
    of cases that the run left out, or that a slow host kept from an end, stay as they are, unless
    they are no longer ``existing``: there, and about this kernel.
    """
    to.mkdir(parents=True, exist_ok=True)
    path = to / f"{run.profile}.json"
    before = _read(path)
    kept = {one.id: one for one in before.cases if one.id in existing} if before else {}
    kept |= {
        record.id: _judgement(record, cases[record.id])
        for record in run.records
        if record.state not in _NO_ANSWER
    }
    head = {"schema": SCHEMA, "kernel": run.profile, "provenance": dict(provenance)}
    lines = [f"{json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items()]
    # A case a line, so that a diff shows which answers changed.
    body = ",\n".join(_line(kept[name]) for name in sorted(kept))
    write_whole(path, "{\n" + "".join(lines) + f'"cases": [\n{body}\n]\n}}\n')
    return path


def _judgement(record: Record, case: Case) -> Judgement:
    return Judgement(record.id, digest(case), record.state, record.failure, record.reason)


def _line(judgement: Judgement) -> str:
    values = asdict(judgement, filter=lambda attribute, value: value is not None)
    return json.dumps(values)
