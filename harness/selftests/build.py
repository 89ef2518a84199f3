# SPDX-License-Identifier: Apache-2.0
"""Compiling the kernel's selftests/vfio, which Debian does not package."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.packages import Package, Progress, Suite, need_room, one_line_errors
from harness.packages.places import cache_folder, locked, whole
from harness.packages.suite import MAX_AGE
from harness.vm.custom import unpack_source
from harness.vm.image import first_with
from harness.vm.programs import need, run

#: The kernel whose tests they are, and where Debian has its source.
KERNEL = "7.2"
_SUITES = ("sid", "forky")
#: The parts of the source that they are made of.
_PARTS = (
    "tools/testing/selftests/vfio",
    "tools/testing/selftests/*.h",
    "tools/testing/selftests/*.mk",
    "tools/include",
    "tools/arch/x86/include",
    "tools/scripts",
    "scripts/subarch.include",
    "include/linux/pci_ids.h",
    "drivers/dma/idxd/registers.h",
    "drivers/dma/ioat",
)
#: What the folders of built tests are called, before the version of Debian's package.
_NAME = "selftests-vfio-"
_TESTS = "tools/testing/selftests/vfio"
#: 7.2.13 calls this in one place and has it nowhere; later kernels have.
_MISSING = "calloc_assert"
_MISSING_DEFINED = (
    "#include <stdlib.h>\n"
    "static inline void *calloc_assert(size_t n, size_t size)\n"
    "{ void *p = calloc(n, size); if (!p) abort(); return p; }\n"
)
#: What the unpacked package and the parts of the source take, in MiB.
_ROOM = 800


def build(progress: Progress, max_age: float = MAX_AGE) -> Path:
    """The folder with the programs and, in ``scripts``, what sets a device up. PackagesError."""
    suite, package = first_with(_SUITES, f"linux-source-{KERNEL}", progress, max_age)
    folder = cache_folder() / "tools" / f"{_NAME}{package.version}"
    with locked(folder, progress):
        if not folder.is_dir():
            with whole(folder) as partial:
                _make(suite, package, partial, progress)
    return folder


def version(folder: Path) -> str:
    """The version of the kernel that the tests in ``folder`` are of, such as 7.2.13."""
    return folder.name.removeprefix(_NAME).rpartition("-")[0]


def programs(folder: Path) -> list[str]:
    """The names of the tests that were built, sorted."""
    return sorted(path.name for path in folder.iterdir() if path.name.endswith("_test"))


def _make(suite: Suite, package: Package, folder: Path, progress: Progress) -> None:
    need("gcc", "make", "tar", "xz", "nice")
    need_room(folder, _ROOM)
    work = folder / "work"
    source, headers = work / "source", work / "headers"
    with one_line_errors():
        headers.mkdir(parents=True)
    suite.extract(headers, suite.package("linux-libc-dev"))
    progress("selftests/vfio: unpacking the source")
    unpack_source(suite, package, source, ["--wildcards", *(f"*/{part}" for part in _PARTS)])
    progress("selftests/vfio: compiling")
    _compile(source / _TESTS, headers / "usr/include", folder)
    with one_line_errors():
        shutil.copytree(source / _TESTS / "scripts", folder / "scripts")
        shutil.rmtree(work)


def _compile(tests: Path, headers: Path, folder: Path) -> None:
    flags = ""
    if not any(f"{_MISSING}(" in file.read_text() for file in tests.rglob("*.h")):
        missing = folder / "work" / "missing.h"
        missing.write_text(_MISSING_DEFINED)
        flags = f"-include {missing}"
    words = [
        f"KHDR_INCLUDES=-isystem {headers} -isystem {headers / 'x86_64-linux-gnu'}",
        f"EXTRA_CFLAGS={flags}",
        f"OUTPUT={folder}",
    ]
    run([*need("nice", "make"), "-s", "-C", tests, *words], what="selftests/vfio")
    with one_line_errors():
        for file in [*folder.rglob("*.o"), *folder.rglob("*.d")]:
            file.unlink()
        shutil.rmtree(folder / "libvfio")
