# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels with one module compiled anew, with a setting that Debian leaves out.

They are for what changes nothing but that module, such as VFIO without an IOMMU.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from attrs import frozen

from harness.packages import Package, Progress, Suite, one_line_errors
from harness.vm.custom import unpack_source
from harness.vm.image import KernelImage, digest
from harness.vm.programs import BuildError, need, run
from harness.vm.samples import headers_of, source_of
from harness.vm.stock import Stock
from harness.vm.toolchain import prepare


@frozen
class Changed:
    """The kernel ``stock``, which has the name of the result, with another ``module``.

    ``folder`` of the kernel's source has the module's Makefile, and ``setting`` is set there.
    """

    stock: Stock
    module: str
    folder: str
    setting: str

    def digest(self) -> str:
        """See :class:`harness.vm.image.Recipe`."""
        return digest(self.stock.digest(), self.module, self.folder, self.setting)

    def choose(self, progress: Progress, max_age: float) -> tuple[Suite, Package]:
        """See :class:`harness.vm.image.Recipe`."""
        return self.stock.choose(progress, max_age)

    def make(self, suite: Suite, package: Package, folder: Path, progress: Progress) -> KernelImage:
        """See :class:`harness.vm.image.Recipe`."""
        made = self.stock.make(suite, package, folder, progress)
        modules = made.modules / "lib/modules" / made.release
        found = [path for path in modules.rglob(f"{self.module}.ko*") if path.parts[-2] != "extra"]
        if not found:
            raise BuildError(f"{made.name}: the kernel has no module {self.module}")
        scratch = folder / "scratch"
        compiled = self._compile(suite, package, scratch, progress)
        with one_line_errors():
            found[0].unlink()
            shutil.copyfile(compiled, found[0].with_name(compiled.name))
            shutil.rmtree(scratch)
        run([*need("depmod"), "-b", made.modules, made.release], what="depmod")
        return made

    def _compile(self, suite: Suite, package: Package, scratch: Path, progress: Progress) -> Path:
        with one_line_errors():
            scratch.mkdir()
        toolchain = prepare(suite, headers_of(suite, package), scratch / "root")
        progress(f"{self.module}: compiling for {self.stock.name}")
        source = toolchain.root / "source"
        only = ["--wildcards", "--no-wildcards-match-slash", f"*/{re.escape(self.folder)}/*"]
        unpack_source(suite, source_of(suite, package), source, only)
        built = source / self.folder
        # The Makefile has its settings from make, the source has its own from the compiler.
        toolchain.make(
            "CONFIG_DEBUG_INFO_BTF_MODULES=",
            f"{self.setting}=y",
            f"KCFLAGS=-D{self.setting}=1",
            f"{self.module}.ko",
            folder=built,
            what=f"{self.module} cannot be compiled",
        )
        return built / f"{self.module}.ko"
