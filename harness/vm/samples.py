# SPDX-License-Identifier: Apache-2.0
"""Modules that Debian does not build, compiled for one of its kernels against its own headers."""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from harness.packages import Package, PackagesError, Progress, Suite, one_line_errors
from harness.vm.programs import BuildError
from harness.vm.toolchain import Toolchain, prepare


def build_samples(
    suite: Suite,
    image: Package,
    samples: Mapping[str, tuple[str, ...]],
    scratch: Path,
    progress: Progress,
) -> tuple[dict[str, Path], dict[str, str]]:
    """Compile all ``samples`` for the kernel ``image``; what was built, and why the rest was not.

    PackagesError if a package that they need cannot be had.
    """
    try:
        toolchain = prepare(suite, headers_of(suite, image), scratch / "root")
    except BuildError as error:
        return {}, dict.fromkeys(samples, str(error))
    sources = _sources(suite, image, samples, scratch, progress)
    built: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for name, files in samples.items():
        progress(f"{name}: compiling for {image.name}")
        try:
            built[name] = _compile(name, [sources / file for file in files], toolchain)
        except BuildError as error:
            missing[name] = str(error)
    return built, missing


def headers_of(suite: Suite, image: Package) -> Package:
    """The headers of that very kernel. PackagesError."""
    return suite.package(image.name.replace("linux-image-", "linux-headers-"), image.version)


def source_of(suite: Suite, image: Package) -> Package:
    """The source of that very kernel. PackagesError."""
    version = re.match(r"\d+\.\d+", image.version)
    return suite.package(f"linux-source-{version[0] if version else ''}", image.version)


def _sources(
    suite: Suite,
    image: Package,
    samples: Mapping[str, tuple[str, ...]],
    scratch: Path,
    progress: Progress,
) -> Path:
    """A folder with the files that ``samples`` name, from the source of that very kernel."""
    package = source_of(suite, image)
    packed = scratch / "packed"
    with one_line_errors():
        packed.mkdir()
    suite.extract(packed, package)
    progress(f"{package.name}: picking sources")
    wanted = {file for files in samples.values() for file in files}
    target = scratch / "source"
    with one_line_errors():
        pick(next(packed.glob("usr/src/*.tar.*")), wanted, target)
    return target


def pick(archive: Path, wanted: Iterable[str], target: Path) -> None:
    """Write the files ``wanted``, paths below the archive's one folder, below ``target``."""
    left = set(wanted)
    with tarfile.open(archive, "r|*") as tar:
        for member in tar:
            path = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            if str(path) not in left or (stream := tar.extractfile(member)) is None:
                continue
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(stream.read())
            left.remove(str(path))
            if not left:
                return
    raise PackagesError(f"{archive.name} has no {', '.join(sorted(left))}")


def _compile(name: str, files: list[Path], toolchain: Toolchain) -> Path:
    folder = toolchain.root / "build" / name
    with one_line_errors():
        folder.mkdir(parents=True)
        for file in files:
            shutil.copy(file, folder)
        (folder / "Makefile").write_text(f"obj-m := {name}.o\n")
    # The types of the kernel itself, which these would be written against, are not there.
    toolchain.make(
        "CONFIG_DEBUG_INFO_BTF_MODULES=",
        "modules",
        folder=folder,
        what=f"{name} cannot be compiled",
    )
    return folder / f"{name}.ko"
