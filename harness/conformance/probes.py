# SPDX-License-Identifier: Apache-2.0
"""Results recorded from real kernels, and the command that takes a recording in.

``python -m harness.conformance.probes import FILE`` checks a recording (an object with ``meta`` and
``probes``) and writes it to ``fixtures/golden/probes`` under its own name, with where it came from.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness.conformance.cases import Case, Evidence
from harness.data import data_path

SCHEMA = 1


class GoldenError(ValueError):
    """A file is no recording: which file, and what is wrong with it."""


@cache
def probes(name: str) -> Mapping[str, Any]:
    """The probes of ``fixtures/golden/probes/NAME.json`` by name; none if there is no such file."""
    try:
        text = data_path("fixtures", "golden", "probes", f"{name}.json").read_text()
    except FileNotFoundError:
        return {}
    return {probe["probe"]: probe for probe in json.loads(text)["probes"]}


def recorded(reference: str, profile: str) -> Mapping[str, Any] | None:
    """What the kernel of ``profile`` answered to the probe ``NAME:PROBE``; None if nobody asked.

    NAME is ``idxd`` for the recordings of each kernel, or ``idxd-6.1`` for that of one alone.
    """
    name, _, probe = reference.partition(":")
    if not name.endswith(f"-{profile}"):
        name = f"{name}-{profile}"
    found: Mapping[str, Any] | None = probes(name).get(probe)
    return found


def evidence(case: Case, profile: str) -> Evidence:
    """``kernel-run`` if this profile's kernel was seen to answer, else what the case says."""
    if any(recorded(reference, profile) for reference in case.golden):
        return "kernel-run"
    return case.evidence


def import_recording(source: Path, directory: Path) -> Path:
    """Write the recording ``source`` into ``directory``; returns the new file."""
    data = source.read_bytes()
    try:
        recording = json.loads(data)
    except ValueError as error:
        raise GoldenError(f"{source}: {error}") from None
    if not isinstance(recording, dict) or set(recording) != {"meta", "probes"}:
        raise GoldenError(f"{source}: not an object with meta and probes")
    names = [probe.get("probe") for probe in recording["probes"]]
    if len(set(names)) != len(names) or None in names:
        raise GoldenError(f"{source}: a probe has no name, or two have one")
    provenance = {"file": source.name, "sha256": hashlib.sha256(data).hexdigest()}
    head = {"schema": SCHEMA, "provenance": provenance, "meta": recording["meta"]}
    lines = [f"{json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items()]
    probes = ",\n".join(json.dumps(probe) for probe in recording["probes"])
    target = directory / source.name
    # A probe a line, so that a diff shows which answers changed.
    target.write_text("{\n" + "".join(lines) + f'"probes": [\n{probes}\n]\n}}\n')
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 for a file that is no recording."""
    parser = argparse.ArgumentParser(prog="python -m harness.conformance.probes")
    parser.add_argument("command", choices=("import",))
    parser.add_argument("source", type=Path, help="a recording as the probe programs write it")
    parser.add_argument("--to", type=Path, default=Path("fixtures/golden/probes"), metavar="FOLDER")
    options = parser.parse_args(arguments)
    try:
        print(import_recording(options.source, options.to))
    except (GoldenError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
