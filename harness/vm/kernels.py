# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels, made ready to boot: unpacked, with modules and the samples Debian leaves out.

    kernels/NAME/vmlinux            the kernel, uncompressed
    kernels/NAME/root/lib/modules   its modules, and what depmod makes of them; usr/lib is lib
    kernels/NAME/manifest.json      what all this is; the folder is made whole or not at all

No step needs root. It takes from ten seconds to a minute and is done once a machine.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from harness.packages import (
    MAX_AGE,
    Package,
    Progress,
    Suite,
    Unavailable,
    cache_folder,
    locked,
    one_line_errors,
    silent,
    whole,
)
from harness.vm import kernel_table
from harness.vm.bzimage import vmlinux
from harness.vm.kernel_table import KernelTable
from harness.vm.programs import BuildError, need, run
from harness.vm.samples import build_samples

#: What the result depends on besides packages and table; a change here makes all kernels anew.
_RECIPE = 1
_MANIFEST = "manifest.json"
#: Packages of an image that is split, as it is from 7.x on.
_PARTS = ("linux-binary-", "linux-modules-")


@frozen
class KernelImage:
    """A kernel ready to boot. ``release`` is what uname(1) -r says in it.

    ``modules`` is a root with ``lib/modules/RELEASE``. ``extra`` are the sample modules, which are
    among those too; ``missing`` says why a sample module could not be built.
    """

    name: str
    release: str
    suite: str
    package: str
    version: str
    vmlinux: Path
    modules: Path
    extra: Mapping[str, Path]
    missing: Mapping[str, str]


def build(name: str, progress: Progress = silent, *, refresh: bool = False) -> KernelImage:
    """The kernel ``name``: a profile of Debian's kernels, a suite, or how a version begins.

    What was built before is used, unless ``refresh`` asks whether there is a newer one; then only
    what cannot be had stays as it was. PackagesError; Unavailable if it cannot be had here.
    """
    table = kernel_table.load()
    suites, pattern = table.look(name)
    folder = cache_folder() / "kernels" / name
    recipe = _recipe(table)
    with locked(folder, progress):
        built = _read(folder, recipe)
        if built is not None and not refresh:
            return built
        try:
            suite, image = _choose(suites, pattern, progress, refresh)
        except Unavailable as error:
            if built is None:
                raise
            progress(f"{name}: stays as it was: {error}")
            return built
        if built is not None and built.version == image.version:
            return built
        with whole(folder) as partial:
            made = _make(name, suite, image, table, partial, progress)
            _write(made, partial, recipe)
        return attrs.evolve(
            made,
            vmlinux=folder / made.vmlinux.relative_to(partial),
            modules=folder / made.modules.relative_to(partial),
            extra={key: folder / path.relative_to(partial) for key, path in made.extra.items()},
        )


def _choose(
    suites: tuple[str, ...], pattern: str, progress: Progress, refresh: bool
) -> tuple[Suite, Package]:
    """The first suite that has such an image, and its newest one."""
    reasons = []
    for name in suites:
        suite = Suite(name, progress=progress, max_age=0.0 if refresh else MAX_AGE)
        try:
            return suite, _real_image(suite, suite.newest(pattern))
        except Unavailable as error:
            reasons.append(str(error))
    raise Unavailable("; ".join(reasons))


def _real_image(suite: Suite, image: Package) -> Package:
    """Behind a package that only depends on an image, that image."""
    for name in image.needs():
        if name.startswith("linux-image-"):
            return suite.package(name)
    return image


def _make(
    name: str,
    suite: Suite,
    image: Package,
    table: KernelTable,
    folder: Path,
    progress: Progress,
) -> KernelImage:
    release = image.name.removeprefix("linux-image-")
    root = folder / "root"
    scratch = folder / "scratch"
    unpacked = scratch / "image"
    with one_line_errors():
        unpacked.mkdir(parents=True)
    suite.extract(unpacked, image, *_parts(suite, image))
    progress(f"{name}: unpacking the kernel")
    _take_kernel(unpacked, release, folder / "vmlinux")
    _take_modules(unpacked, release, root)
    extra, missing = build_samples(suite, image, table.samples, scratch, progress)
    extra = _install(extra, root / "lib/modules" / release / "extra")
    progress(f"{name}: depmod")
    run([*need("depmod"), "-b", root, release], what="depmod")
    with one_line_errors():
        shutil.rmtree(scratch)
    return KernelImage(
        name,
        release,
        suite.name,
        image.name,
        image.version,
        folder / "vmlinux",
        root,
        extra,
        missing,
    )


def _parts(suite: Suite, image: Package) -> list[Package]:
    return [suite.package(name, image.version) for name in image.needs() if name.startswith(_PARTS)]


def _take_kernel(unpacked: Path, release: str, target: Path) -> None:
    places = [unpacked / "boot" / f"vmlinuz-{release}"]
    places.extend(unpacked / lib / "modules" / release / "vmlinuz" for lib in ("lib", "usr/lib"))
    with one_line_errors():
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise BuildError(f"the package of the kernel {release} has no kernel in it")
        target.write_bytes(vmlinux(found.read_bytes()))


def _take_modules(unpacked: Path, release: str, root: Path) -> None:
    """Where modules are has changed from ``/lib`` to ``/usr/lib``; both lead there."""
    places = [unpacked / lib / "modules" / release for lib in ("lib", "usr/lib")]
    with one_line_errors():
        found = next((place for place in places if (place / "kernel").is_dir()), None)
        if found is None:
            raise BuildError(f"the package of the kernel {release} has no modules in it")
        (root / "lib/modules").mkdir(parents=True)
        (root / "usr").mkdir()
        (root / "usr/lib").symlink_to("../lib")
        found.rename(root / "lib/modules" / release)


def _install(modules: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    with one_line_errors():
        folder.mkdir()
        return {
            name: Path(shutil.copyfile(path, folder / path.name)) for name, path in modules.items()
        }


# --- the manifest: a KernelImage, with paths relative to its folder


def _recipe(table: KernelTable) -> str:
    text = json.dumps([_RECIPE, attrs.asdict(table)["samples"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _write(image: KernelImage, folder: Path, recipe: str) -> None:
    def plain(_: Any, __: Any, value: Any) -> Any:
        return str(value.relative_to(folder)) if isinstance(value, Path) else value

    document = {"recipe": recipe, **attrs.asdict(image, value_serializer=plain)}
    with one_line_errors():
        (folder / _MANIFEST).write_text(json.dumps(document, indent=1) + "\n")


def _read(folder: Path, recipe: str) -> KernelImage | None:
    """What is in ``folder``; None if nothing is, or it was made by another recipe."""
    try:
        document = json.loads((folder / _MANIFEST).read_text())
        if document.pop("recipe") != recipe:
            return None
        image = KernelImage(
            **{
                **document,
                "vmlinux": folder / document["vmlinux"],
                "modules": folder / document["modules"],
                "extra": {name: folder / path for name, path in document["extra"].items()},
            }
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return image if image.vmlinux.is_file() else None
