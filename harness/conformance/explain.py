# SPDX-License-Identifier: Apache-2.0
"""Where an answer comes from: ``uapi-harness explain CASE|NODE``."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator

from harness.conformance.cases import Case, discover
from harness.conformance.golden import evidence
from harness.conformance.probes import recorded
from harness.conformance.runner import ConformError
from harness.data import data_path, profile_names
from harness.kernel.errors import Errno, errno_name
from harness.kernel.task import LocalCaller
from harness.kernel.vfs import is_directory, is_link
from harness.machine import Machine, load_machine
from harness.uapi.fs import O_RDONLY, O_WRONLY

#: The machine whose tree was recorded from each kernel.
RECORDED = "qemu-q35-dsa"


def explain(subject: str, machine: str) -> list[str]:
    """Lines about a case, by its id, or a node of ``machine``, by its path. ConformError."""
    if subject.startswith("/"):
        return list(_node(subject, machine))
    cases = {case.id: case for case in discover()}
    matching = [subject] if subject in cases else [name for name in cases if subject in name]
    if not matching:
        near = difflib.get_close_matches(subject, cases, n=3, cutoff=0.3)
        hint = f"; near: {', '.join(near)}" if near else ""
        raise ConformError(f"no case's id has {subject!r} in it{hint}")
    if len(matching) > 1:
        return [f"{len(matching)} cases have {subject!r} in their id:", *matching]
    return list(_case(cases[matching[0]]))


def _case(case: Case) -> Iterator[str]:
    kernels = [name for name in profile_names() if case.is_about(name)]
    yield case.id
    if case.function.__doc__:
        yield _entry("says", " ".join(case.function.__doc__.split()))
    yield _entry("source", case.source)
    yield _entry("machine", case.machine)
    for name in kernels:
        yield _entry(name, evidence(case, name))
    for reference in case.golden:
        for name in kernels:
            probe = recorded(reference, name)
            if probe is not None:
                yield _entry("golden", f"{name}: {json.dumps(probe)}")
    yield _entry("again", f"uapi-harness conform --profile {kernels[0]} -k '{case.id}'")


def _node(path: str, name: str) -> Iterator[str]:
    yield f"{path} of {name}"
    for profile in profile_names():
        loaded = load_machine(name, profile=profile)
        yield _entry(profile, _shown(loaded, path))
        tree = data_path("fixtures", "trees", f"q35-dsa-{profile}.json")
        if name == RECORDED and os.path.exists(tree):
            found = json.loads(tree.read_text())
            node = found["nodes"].get(_real(loaded, path))
            yield _entry("golden", "not there" if node is None else json.dumps(node))


def _real(machine: Machine, path: str) -> str:
    """The path without links before its last name, as a recorded tree has it."""
    try:
        return machine.kernel.walk(LocalCaller(), path, follow=False).path()
    except Errno:
        return path


def _shown(machine: Machine, path: str) -> str:
    """What the node is, and the kernel functions that answer for it."""
    caller, kernel = LocalCaller(), machine.kernel
    try:
        node = kernel.walk(caller, path, follow=False)
    except Errno as error:
        return f"not there ({errno_name(error.errno)})"
    if is_link(node):
        return f"link to {kernel.call(caller, 'readlink', node)}"
    if is_directory(node):
        return f"directory, mode {node.mode & 0o7777:#o}"
    told = [f"mode {node.mode & 0o7777:#o}, size {node.size}"]
    for operation, flags, bits in (("read", O_RDONLY, 0o444), ("write", O_WRONLY, 0o222)):
        if not node.mode & bits:
            continue
        try:
            file = kernel.call(caller, "open", node, flags)
        except Errno as error:
            told.append(f"{operation}: open gives {errno_name(error.errno)}")
            continue
        told.append(f"{operation}: {file.decider(operation)}")
        kernel.release(file)
    return "; ".join(told)


def _entry(label: str, text: str) -> str:
    return f"  {label:<9} {text}"
