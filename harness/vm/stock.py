# SPDX-License-Identifier: Apache-2.0
"""Kernels as Debian builds them, with the sample modules that it leaves out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from harness.packages import Package, Progress, Suite, need_room, one_line_errors
from harness.vm.bzimage import vmlinux
from harness.vm.image import KernelImage, describe, digest, first_with
from harness.vm.programs import BuildError, need, run
from harness.vm.samples import build_samples

#: Packages of an image that is split, as it is from 7.x on.
_PARTS = ("linux-binary-", "linux-modules-")
#: What packages, headers and source take while a kernel is made ready, in MiB.
_ROOM = 1500
#: Where modules are has changed.
_LIBRARIES = ("lib", "usr/lib")


@frozen
class Stock:
    """The kernel ``name``: the newest package ``pattern`` of the first of ``suites`` with one."""

    name: str
    suites: tuple[str, ...]
    pattern: str
    samples: Mapping[str, tuple[str, ...]]

    def digest(self) -> str:
        """See :class:`harness.vm.image.Recipe`."""
        return digest(self.suites, self.pattern, dict(self.samples))

    def choose(self, progress: Progress, max_age: float) -> tuple[Suite, Package]:
        """The image itself, not a package that only depends on the newest one."""
        suite, image = first_with(self.suites, self.pattern, progress, max_age)
        real = [name for name in image.needs() if name.startswith("linux-image-")]
        return suite, suite.package(real[0]) if real else image

    def make(self, suite: Suite, package: Package, folder: Path, progress: Progress) -> KernelImage:
        """See :class:`harness.vm.image.Recipe`."""
        need_room(folder, _ROOM)
        release = package.name.removeprefix("linux-image-")
        root, scratch = folder / "root", folder / "scratch"
        unpacked = scratch / "image"
        with one_line_errors():
            unpacked.mkdir(parents=True)
        parts = [name for name in package.needs() if name.startswith(_PARTS)]
        suite.extract(unpacked, package, *(suite.package(name, package.version) for name in parts))
        progress(f"{self.name}: unpacking the kernel")
        _take_kernel(unpacked, release, folder / "vmlinux")
        _take_modules(unpacked, release, root)
        built, missing = build_samples(suite, package, self.samples, scratch, progress)
        extra = _install(built, root / "lib/modules" / release / "extra")
        progress(f"{self.name}: listing its modules")
        run([*need("depmod"), "-b", root, release], what="depmod")
        with one_line_errors():
            shutil.rmtree(scratch)
        return describe(self.name, release, suite, package, folder, extra, missing)


def _take_kernel(unpacked: Path, release: str, target: Path) -> None:
    places = [unpacked / "boot" / f"vmlinuz-{release}"]
    places.extend(unpacked / lib / "modules" / release / "vmlinuz" for lib in _LIBRARIES)
    with one_line_errors():
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise BuildError(f"the package of the kernel {release} has no kernel in it")
        target.write_bytes(vmlinux(found.read_bytes()))


def _take_modules(unpacked: Path, release: str, root: Path) -> None:
    places = [unpacked / lib / "modules" / release for lib in _LIBRARIES]
    with one_line_errors():
        found = next((place for place in places if (place / "kernel").is_dir()), None)
        if found is None:
            raise BuildError(f"the package of the kernel {release} has no modules in it")
        (root / "lib/modules").mkdir(parents=True)
        # For a kmod that looks in the newer place.
        (root / "usr").mkdir()
        (root / "usr/lib").symlink_to("../lib")
        found.rename(root / "lib/modules" / release)


def _install(modules: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    with one_line_errors():
        folder.mkdir()
        return {
            name: Path(shutil.copyfile(path, folder / path.name)) for name, path in modules.items()
        }
