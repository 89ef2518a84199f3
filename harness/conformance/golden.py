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
import os
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import cattrs
from attrs import asdict, frozen

from harness import machine_file
from harness.conformance import probes
from harness.conformance.cases import Case, Evidence
from harness.conformance.probes import GoldenError
from harness.conformance.records import NOT_RUN, Record, Run, State
from harness.conformance.results import Failure
from harness.data import data_path, load_yaml

SCHEMA = 1
_SUITES = "harness.conformance.suites"
_IGNORED = frozenset({tokenize.COMMENT, tokenize.NL, tokenize.ENCODING})


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
    parts = [repr(sorted(case.arguments.items())), _machine_text(case.machine)]
    parts += _sources(case.function, set())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@cache
def _machine_text(name: str) -> str:
    """The machine without its file's comments; a user's own file is named by its path."""
    return repr(load_yaml(machine_file.find(name)))


def _sources(function: Any, seen: set[str]) -> Iterator[str]:
    """The function's source, and what it takes from modules of the suites."""
    if function.__qualname__ in seen:
        return
    seen.add(function.__qualname__)
    yield _tokens(function)
    for name in sorted(_names(function.__code__)):
        value = function.__globals__.get(name)
        if isinstance(value, FunctionType):
            if value.__module__.startswith(_SUITES):
                yield from _sources(inspect.unwrap(value), seen)
        elif isinstance(value, str | int | float | tuple | list | dict):
            yield f"{name} = {value!r}"


def _names(code: CodeType) -> set[str]:
    """The global names that code uses, functions inside it included."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


def _tokens(function: Any) -> str:
    """The source as its tokens: layout, comments and the docstring do not count."""
    source = inspect.cleandoc(inspect.getsource(function))
    documentation = function.__doc__
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    words = [token.string for token in tokens if token.type not in _IGNORED]
    if documentation is not None:
        words = [word for word in words if documentation not in word]
    return " ".join(words)


# --- reading


def folder() -> Path:
    """Where golden data is looked for."""
    return data_path("fixtures", "golden", "cases")


@cache
def load(kernel: str) -> Golden | None:
    """The golden data of a kernel; None if it was never recorded. GoldenError."""
    path = folder() / f"{kernel}.json"
    try:
        document = json.loads(path.read_text())
        converter = cattrs.Converter(forbid_extra_keys=True)
        golden = converter.structure(document, Golden)
    except FileNotFoundError:
        return None
    except (ValueError, cattrs.BaseValidationError) as error:
        raise GoldenError(f"{path}: {' '.join(cattrs.transform_error(error))}") from None
    if golden.schema != SCHEMA:
        raise GoldenError(f"{path}: schema {golden.schema} is not {SCHEMA}")
    return golden


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


def write(run: Run, cases: Mapping[str, Case], provenance: Mapping[str, str], to: Path) -> Path:
    """Write a run on a real kernel into the folder ``to``; the new file, whole or not at all.

    Cases that could not run there are kept, too: that they could not is an answer. Records of cases
    that the run left out stay as they are.
    """
    to.mkdir(parents=True, exist_ok=True)
    path = to / f"{run.profile}.json"
    kept = {one.id: one for one in _present(path)}
    kept |= {record.id: _judgement(record, cases[record.id]) for record in run.records}
    head = {"schema": SCHEMA, "kernel": run.profile, "provenance": dict(provenance)}
    lines = [f"{json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items()]
    # A case a line, so that a diff shows which answers changed.
    body = ",\n".join(_line(kept[name]) for name in sorted(kept))
    new = to / f".{path.name}.{os.getpid()}"
    try:
        new.write_text("{\n" + "".join(lines) + f'"cases": [\n{body}\n]\n}}\n')
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return path


def _present(path: Path) -> Sequence[Judgement]:
    try:
        return cattrs.structure(json.loads(path.read_text()), Golden).cases
    except FileNotFoundError:
        return ()
    except (ValueError, cattrs.BaseValidationError) as error:
        raise GoldenError(f"{path}: {' '.join(cattrs.transform_error(error))}") from None


def _judgement(record: Record, case: Case) -> Judgement:
    return Judgement(record.id, digest(case), record.state, record.failure, record.reason)


def _line(judgement: Judgement) -> str:
    values = asdict(judgement, filter=lambda attribute, value: value is not None)
    return json.dumps(values)
