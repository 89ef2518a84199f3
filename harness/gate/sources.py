# SPDX-License-Identifier: Apache-2.0
"""What a snapshot can be taken of; a snapshot that is there already is one, too."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from harness.data import DataError, load_yaml
from harness.gate import abi_documents, machines
from harness.gate import snapshot as snapshots
from harness.gate.errors import GateError, NotHere
from harness.gate.headers import include_folder, matches, read_headers
from harness.gate.kernel_tree import installed_headers, is_kernel_tree
from harness.gate.snapshot import SCHEMA, Snapshot
from harness.packages import PackagesError, Suite, Unavailable

_PROFILE, _GIT, _PACKAGE = "profile:", "git:", "package:"
#: Debian's package of the kernel's headers.
_HEADERS = "linux-libc-dev"
#: What lists of nodes recorded of a machine begin their paths with.
_SYS = "/sys"
Lines = Mapping[str, Mapping[str, int]]


@frozen
class Options:
    """``headers`` are patterns of the names of those that are wanted (none: all)."""

    headers: Sequence[str] = ()
    compiler: str | None = None
    progress: Callable[[str], None] = lambda what: None


def take(source: str, options: Options) -> tuple[Snapshot, Lines]:
    """The snapshot of ``source``, and in which lines of its headers things are. GateError."""
    snapshot, lines = _take(source, options)
    return only(snapshot, options.headers), lines


def only(snapshot: Snapshot, wanted: Sequence[str]) -> Snapshot:
    """The snapshot with the headers whose names match one of ``wanted`` (none: all)."""
    if not wanted:
        return snapshot

    def kept(parts: Mapping[str, Any]) -> dict[str, Any]:
        return {name: part for name, part in parts.items() if matches(name, wanted)}

    return evolve(snapshot, headers=kept(snapshot.headers), skipped=kept(snapshot.skipped))


def _take(source: str, options: Options) -> tuple[Snapshot, Lines]:
    if source.startswith(_PROFILE):
        name = source.removeprefix(_PROFILE)
        nodes = machines.nodes_of_profile(name)
        behaviours = machines.behaviours_of_profile(name, options.progress)
        return Snapshot(SCHEMA, source, sysfs=nodes, behaviours=behaviours), {}
    if source.startswith(_GIT):
        return _of_revision(source, options)
    if source.startswith(_PACKAGE):
        return _of_package(source.removeprefix(_PACKAGE), options)
    path = Path(source)
    # Not Path's own, which fails for a name that is too long.
    if os.path.isdir(path):
        return _of_folder(path, source, options)
    if path.suffix == ".h" and os.path.isfile(path):
        return _of_header(path, options)
    if path.suffix == ".json":
        return _of_json(path), {}
    return _of_yaml(path), {}


def _of_folder(folder: Path, source: str, options: Options) -> tuple[Snapshot, Lines]:
    documents = (folder, folder / "Documentation/ABI", folder / "ABI")
    found = next((place for place in documents if abi_documents.is_documents(place)), None)
    if found is not None and not is_kernel_tree(folder):
        return Snapshot(SCHEMA, _named(source), sysfs=abi_documents.read_documents(found)), {}
    place = include_folder(folder) if not is_kernel_tree(folder) else folder / "usr/include"
    if place is None or not place.is_dir():
        raise GateError(
            f"{folder}: neither headers (a folder `linux`; of a kernel tree, run "
            "`make headers_install` first) nor ABI documents (a folder `stable` or `testing`)"
        )
    return _of_headers(place, _named(source), options)


def _of_headers(folder: Path, name: str, options: Options) -> tuple[Snapshot, Lines]:
    read = read_headers(
        folder, options.headers, command=options.compiler, progress=options.progress
    )
    taken = Snapshot(SCHEMA, name, read.architecture, read.headers, read.skipped)
    return taken, read.lines


def _named(source: str) -> str:
    """A snapshot tells its source by name, not where on this machine that was."""
    return Path(source).name if os.path.isabs(source) else source


def _of_header(path: Path, options: Options) -> tuple[Snapshot, Lines]:
    """One header; its folder is taken for that of its kind if it is called so."""
    path = path.resolve()
    folder = path.parent.parent if path.parent.name == "linux" else path.parent
    this = evolve(options, headers=[str(path.relative_to(folder))])
    return _of_headers(folder, path.name, this)


def _of_revision(source: str, options: Options) -> tuple[Snapshot, Lines]:
    tree, colon, revision = source.removeprefix(_GIT).rpartition(":")
    if not colon:
        raise GateError(f"{source}: write git:DIR:REVISION")
    with tempfile.TemporaryDirectory(prefix="uapi-gate-") as folder:
        place = installed_headers(Path(tree), revision, Path(folder), options.progress)
        return _of_headers(place, f"{Path(tree).resolve().name} {revision}", options)


def _of_package(suite: str, options: Options) -> tuple[Snapshot, Lines]:
    """The headers of a suite of Debian's, such as ``bookworm``."""
    try:
        archive = Suite(suite, progress=options.progress)
        package = archive.newest(_HEADERS)
        folder = archive.unpack(package) / "usr/include"
    except Unavailable as error:
        raise NotHere(str(error)) from None
    except PackagesError as error:
        raise GateError(str(error)) from None
    return _of_headers(folder, f"{_HEADERS} {package.version}", options)


def _of_json(path: Path) -> Snapshot:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GateError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise GateError(f"{path}: {error}") from None
    if isinstance(document, Mapping) and any(str(key).startswith(_SYS) for key in document):
        try:
            return Snapshot(SCHEMA, path.name, sysfs=machines.sysfs([document]))
        except (AttributeError, TypeError, ValueError) as error:
            raise GateError(f"{path}: no nodes as a machine's tree has them: {error}") from None
    return Snapshot(SCHEMA, path.name, behaviours=machines.of_results(document, str(path)))


def _of_yaml(path: Path) -> Snapshot:
    """A snapshot, or a machine file such as ``uapi-harness record`` writes."""
    try:
        document: Any = load_yaml(path)
    except DataError as error:
        raise GateError(str(error)) from None
    if isinstance(document, Mapping) and "pci" in document:
        return Snapshot(SCHEMA, path.name, sysfs=machines.of_machine(str(path)))
    return snapshots.structured_document(document, str(path))
