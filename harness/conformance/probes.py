# SPDX-License-Identifier: Apache-2.0
"""What probe programs recorded on real kernels: ``fixtures/golden/probes``.

``uapi-harness golden import FILE`` checks a recording (an object with ``meta`` and ``probes``) and
writes it there under its own name, with where it came from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from harness.data import data_path, write_whole

SCHEMA = 1


class GoldenError(ValueError):
    """A file of golden data is none: which file, and what is wrong with it."""


def probes_folder() -> Path:
    """Where recordings are looked for."""
    return data_path("fixtures", "golden", "probes")


@cache
def probes(name: str) -> Mapping[str, Any]:
    """The probes of ``fixtures/golden/probes/NAME.json`` by name; none if there is no such file."""
    try:
        text = (probes_folder() / f"{name}.json").read_text()
    except FileNotFoundError:
        return {}
    return {probe["probe"]: probe for probe in json.loads(text)["probes"]}


def recorded(reference: str, profile: str) -> Mapping[str, Any] | None:
    """What the kernel of ``profile`` answered to the probe ``NAME:PROBE``; None if nobody asked.

    NAME is ``idxd`` for the recordings of each kernel, or ``idxd-6.1`` for that of one alone. A
    probe without NAME is in the recording that bears the kernel's name alone.
    """
    name, colon, probe = reference.partition(":")
    if not colon:
        name, probe = profile, reference
    elif not name.endswith(f"-{profile}"):
        name = f"{name}-{profile}"
    found: Mapping[str, Any] | None = probes(name).get(probe)
    return found


def import_recording(file: str, folder: str | None = None) -> Path:
    """Write the recording ``file`` into ``folder``; returns the new file.

    GoldenError, OSError, DataError.
    """
    source = Path(file)
    directory = probes_folder() if folder is None else Path(folder)
    data = source.read_bytes()
    try:
        recording = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise GoldenError(f"{source}: {error}") from None
    if not isinstance(recording, dict) or set(recording) != {"meta", "probes"}:
        raise GoldenError(f"{source}: not an object with meta and probes")
    found = recording["probes"]
    if not isinstance(found, list) or not all(isinstance(probe, dict) for probe in found):
        raise GoldenError(f"{source}: probes is not a list of objects")
    names = [repr(probe.get("probe")) for probe in found]
    if len(set(names)) != len(names) or repr(None) in names:
        raise GoldenError(f"{source}: a probe has no name, or two have one")
    provenance = {"file": source.name, "sha256": hashlib.sha256(data).hexdigest()}
    head = {"schema": SCHEMA, "provenance": provenance, "meta": recording["meta"]}
    lines = [f"{json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items()]
    probes = ",\n".join(json.dumps(probe) for probe in recording["probes"])
    target = directory / source.name
    # A probe a line, so that a diff shows which answers changed.
    write_whole(target, "{\n" + "".join(lines) + f'"probes": [\n{probes}\n]\n}}\n')
    return target
