# SPDX-License-Identifier: Apache-2.0
"""Kernels by name, made ready to boot once and kept in the user's cache directory.

    kernels/NAME/vmlinux            the kernel, uncompressed
    kernels/NAME/root/lib/modules   its modules, and what depmod makes of them; usr/lib is lib
    kernels/NAME/manifest.json      what all this is; the folder is made whole or not at all

No step needs root. A kernel of Debian's takes a minute, a custom one some ten; then nothing.
"""

from __future__ import annotations

from pathlib import Path

from harness.packages import (
    Package,
    Progress,
    Unavailable,
    cache_folder,
    locked,
    silent,
    whole,
)
from harness.vm import image, kernel_table
from harness.vm.changed import Changed
from harness.vm.custom import Custom
from harness.vm.image import KernelImage, Recipe
from harness.vm.kernel_table import KernelTable
from harness.vm.stock import Stock

__all__ = ["KernelImage", "build", "built", "names"]


def names() -> list[str]:
    """The kernels that have names of their own, and others that were built.

    One that was built by another version of this tool may mean none to this one.
    """
    table = kernel_table.load()
    known = dict.fromkeys([*table.profiles, *table.custom, *table.changed])
    found = sorted(path.parent.name for path in cache_folder().glob("kernels/*/manifest.json"))
    return [*known, *(name for name in found if name not in known and _means_one(name, table))]


def _means_one(name: str, table: KernelTable) -> bool:
    try:
        _recipe(name, table)
    except Unavailable:
        return False
    return True


def built(name: str) -> KernelImage | None:
    """The kernel, if it was built before. PackagesError for a name that means none."""
    return image.read(_folder(name), _recipe(name, kernel_table.load()).digest())


#: An archive drops a kernel when a newer one comes; a list of this age (seconds) seldom misses it.
_MAX_AGE = 600.0


def build(name: str, progress: Progress = silent, *, refresh: bool = False) -> KernelImage:
    """The kernel ``name``: that of a profile, of a suite, or how a version begins.

    What was built before is used, unless ``refresh`` asks whether there is a newer one; then only
    what cannot be had stays as it was. PackagesError; Unavailable if it cannot be had here.
    """
    recipe = _recipe(name, kernel_table.load())
    digest = recipe.digest()
    folder = _folder(name)
    with locked(folder, progress):
        built = image.read(folder, digest)
        if built is not None and not refresh:
            return built
        try:
            suite, package = recipe.choose(progress, 0.0 if refresh else _MAX_AGE)
        except Unavailable as error:
            if built is None:
                raise
            progress(f"{name}: stays as it was: {error}")
            return built
        if built is not None and _is_current(built, package):
            return built
        with whole(folder) as partial:
            image.write(recipe.make(suite, package, partial, progress), partial, digest)
        made = image.read(folder, digest)
        assert made is not None, "the manifest that was just written"
        return made


def _folder(name: str) -> Path:
    return cache_folder() / "kernels" / name


def _is_current(built: KernelImage, package: Package) -> bool:
    """What could not be built the last time is tried again."""
    same = (built.package, built.version) == (package.name, package.version)
    return same and not built.missing


def _recipe(name: str, table: KernelTable) -> Recipe:
    if name in table.custom:
        source, configuration = table.custom[name].source, table.custom[name].configuration
        return Custom(name, source, table.look(source)[0], configuration, tuple(table.samples))
    changed = table.changed.get(name)
    suites, pattern = table.look(changed.kernel if changed is not None else name)
    stock = Stock(name, suites, pattern, table.samples)
    if changed is None:
        return stock
    return Changed(stock, changed.module, changed.folder, changed.setting)
