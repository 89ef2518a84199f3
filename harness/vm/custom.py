# SPDX-License-Identifier: Apache-2.0
"""Kernels with a configuration of our own, compiled from Debian's packages of the source.

They are for what no kernel of Debian's has, such as iommufd. The configuration is the smallest that
there is (tinyconfig) and what a reviewed file in ``fixtures/kernel-configs`` adds.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from harness import data
from harness.packages import (
    Package,
    PackagesError,
    Progress,
    Suite,
    need_room,
    one_line_errors,
)
from harness.vm.image import KernelImage, describe, digest, first_with
from harness.vm.programs import BuildError, need, run

_PROGRAMS = ("gcc", "ld", "make", "flex", "bison", "bc", "perl", "tar", "xz", "depmod", "nice")
#: No part of these is used, and there is much of it.
_LEFT_OUT = ("*/Documentation/*/*", "*/boot/dts/*", "*/tools/testing/*", "*/tools/perf/*")
_SETTING = re.compile(r"(CONFIG_\w+)=(.+)")
#: What the source and all that is compiled take, in MiB.
_ROOM = 4000
#: So that /proc/version names nobody's machine.
_BUILDER = ("KBUILD_BUILD_USER=uapi-harness", "KBUILD_BUILD_HOST=uapi-harness")


@frozen
class Custom:
    """The kernel ``name`` from the source of Debian's kernel ``source``."""

    name: str
    source: str
    suites: tuple[str, ...]
    configuration: str
    samples: tuple[str, ...]

    def digest(self) -> str:
        """See :class:`harness.vm.image.Recipe`."""
        return digest(self.suites, self._wanted(), self.samples, _compiler_version())

    def choose(self, progress: Progress, max_age: float) -> tuple[Suite, Package]:
        """See :class:`harness.vm.image.Recipe`."""
        return first_with(self.suites, f"linux-source-{re.escape(self.source)}", progress, max_age)

    def make(self, suite: Suite, package: Package, folder: Path, progress: Progress) -> KernelImage:
        """See :class:`harness.vm.image.Recipe`."""
        need(*_PROGRAMS)
        need_room(folder, _ROOM)
        source, root = folder / "source", folder / "root"
        progress(f"{self.name}: unpacking the source")
        excluded = [f"--exclude={pattern}" for pattern in _LEFT_OUT]
        unpack_source(suite, package, source, excluded)
        build = _Build(self.name, source, progress)
        build.configure(self._wanted())
        build.make("vmlinux", "modules")
        with one_line_errors():
            shutil.copyfile(source / "vmlinux", folder / "vmlinux")
            (root / "usr").mkdir(parents=True)
            (root / "usr/lib").symlink_to("../lib")
        build.make("modules_install", f"INSTALL_MOD_PATH={root}", "DEPMOD=true")
        (release,) = (path.name for path in (root / "lib/modules").iterdir())
        modules = root / "lib/modules" / release
        run([*need("depmod"), "-b", root, release], what="depmod")
        with one_line_errors():
            for link in ("build", "source"):
                (modules / link).unlink(missing_ok=True)
            shutil.rmtree(source)
        extra = {name: self._module(name, modules) for name in self.samples}
        return describe(self.name, release, suite, package, folder, extra, {})

    def _module(self, name: str, modules: Path) -> Path:
        found = next(modules.rglob(f"{name}.ko"), None)
        if found is None:
            raise BuildError(f"{self.name}: {self.configuration} does not build the module {name}")
        return found

    def _wanted(self) -> dict[str, str]:
        return settings(data.data_path("fixtures", "kernel-configs", self.configuration))


@frozen
class _Build:
    """A source tree and how make is called there."""

    name: str
    source: Path
    progress: Progress

    def configure(self, wanted: dict[str, str]) -> None:
        """Make the configuration. BuildError with the settings that the kernel did not take."""
        self.make("tinyconfig")
        file = self.source / ".config"
        with one_line_errors(), open(file, "a") as stream:
            stream.writelines(f"{name}={value}\n" for name, value in wanted.items())
        self.make("olddefconfig")
        lost = not_taken(wanted, settings(file))
        if lost:
            raise BuildError(
                f"{self.name}: this kernel does not take {', '.join(lost)}; "
                "something that they depend on is not set, or they are not of this version"
            )

    def make(self, *words: str) -> None:
        """Run make with little priority and as many jobs as there are CPUs for us."""
        done = 0

        def count(line: str) -> None:
            nonlocal done
            done += 1
            self.progress(f"{self.name}: make {words[0]}, {done} steps")

        run(
            [
                *need("nice", "make"),
                f"-j{len(os.sched_getaffinity(0))}",
                "-C",
                self.source,
                *_BUILDER,
                *words,
            ],
            what=f"{self.name}: make {words[0]}",
            each_line=count,
        )


def settings(file: Path) -> dict[str, str]:
    """The settings in a kernel's configuration file. What is not set is not there."""
    with one_line_errors():
        lines = file.read_text().splitlines()
    found = (_SETTING.fullmatch(line) for line in lines)
    return {match[1]: match[2] for match in found if match is not None}


def not_taken(wanted: dict[str, str], got: dict[str, str]) -> list[str]:
    """The settings in ``wanted`` that are otherwise in ``got``, where n and not set are one."""
    return [
        f"{name}={value} (is {got.get(name, 'n')})"
        for name, value in wanted.items()
        if got.get(name, "n") != value
    ]


def unpack_source(suite: Suite, package: Package, target: Path, selection: Sequence[str]) -> None:
    """The kernel's source, as far as tar's options in ``selection`` say, in the new folder
    ``target``."""
    packed = target.with_name("packed")
    with one_line_errors():
        packed.mkdir()
        target.mkdir()
    suite.extract(packed, package)
    archive = next(packed.glob("usr/src/*.tar.*"), None)
    if archive is None:
        raise PackagesError(f"{package.name} has no archive in it")
    run(
        [*need("tar"), "-xf", archive, "-C", target, "--strip-components=1", *selection],
        what=f"{package.name} cannot be unpacked",
    )
    with one_line_errors():
        shutil.rmtree(packed)


def _compiler_version() -> str:
    return run([*need("gcc"), "-dumpfullversion"], what="gcc").decode().strip()
