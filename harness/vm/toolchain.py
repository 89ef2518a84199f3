# SPDX-License-Identifier: Apache-2.0
"""A kernel's headers, with the compiler that it was built with: this host's, or the suite's own.

Modules must be compiled by the kernel's own compiler; the headers even come with flags that others
do not know, and with programs that may need a newer C library than this host's. Where it is not at
hand, it is unpacked beside the headers and runs with that folder as its root directory, which a
plain user may do in a user namespace.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from attrs import frozen

from harness.packages import Package, PackagesError, Suite, one_line_errors
from harness.vm.programs import find, need, run

_COMPILER = re.compile(r"(?:^|-)(gcc-\d+)")
#: Beginnings of the names of packages that a package of headers is of no use without.
_HEADERS = ("linux-headers-", "linux-kbuild-", "linux-compiler-")
#: What make's recipes call, besides the compiler.
_PROGRAMS = ("make", "dash", "coreutils", "sed", "grep", "mawk", "findutils", "binutils")
_MERGED = ("bin", "sbin", "lib", "lib64")
# /dev/null is all of /dev that a compiler needs; a namespace's user may bind it, but not make it.
# objtool asks /proc for its limits.
_ENTER = 'mount --bind /dev/null "$0/dev/null" && mount --rbind /proc "$0/proc" && exec "$@"'


@frozen
class Toolchain:
    """Headers below ``root``, and a compiler for them: inside of ``root`` or on this host."""

    root: Path
    headers: Path
    compiler: str
    inside: bool

    def make(self, *words: str, folder: Path, what: str) -> None:
        """Build the modules of ``folder``, which is below ``root``. BuildError begins with
        ``what``."""
        places = ["-C", self._seen(self.headers), f"M={self._seen(folder)}"]
        run([*self._enter(), "make", *places, f"CC={self.compiler}", *words], what=what)

    def try_out(self) -> None:
        """BuildError if the compiler does not run."""
        what = "the compiler of the kernel's release does not run in a user namespace here"
        run([*self._enter(), self.compiler, "--version"], what=what)

    def _enter(self) -> list[str]:
        if not self.inside:
            return []
        unshare, shell, chroot = need("unshare", "sh", "chroot")
        root = str(self.root)
        return [unshare, "--map-root-user", "--mount", shell, "-c", _ENTER, root, chroot, root]

    def _seen(self, path: Path) -> str:
        return f"/{path.relative_to(self.root)}" if self.inside else str(path)


def prepare(suite: Suite, headers: Package, root: Path) -> Toolchain:
    """Unpack ``headers`` and what belongs to them below ``root``, an empty folder.

    BuildError if there is no compiler for them here and none can be run out of a folder.
    """
    _merge_usr(root)
    belonging = [suite.package(name) for name in headers.needs() if name.startswith(_HEADERS)]
    suite.extract(root, headers, *belonging)
    compilers = {match[1]: name for name in headers.needs() if (match := _COMPILER.search(name))}
    if not compilers:
        raise PackagesError(f"{headers.name} names no compiler")
    ((compiler, package),) = compilers.items()
    folder = root / "usr/src" / headers.name
    if find(compiler) and find("make") and _runs_here(folder):
        # The headers of one flavour include the common ones by an absolute path.
        with one_line_errors():
            makefile = folder / "Makefile"
            makefile.write_text(makefile.read_text().replace("/usr/src/", f"{root}/usr/src/"))
        return Toolchain(root, folder, compiler, inside=False)
    kbuild = [one.name for one in belonging if one.name.startswith("linux-kbuild-")]
    suite.extract(root, *suite.closure([package, *kbuild, *_PROGRAMS]))
    _finish(root, compiler)
    toolchain = Toolchain(root, folder, compiler, inside=True)
    toolchain.try_out()
    return toolchain


def _merge_usr(root: Path) -> None:
    with one_line_errors():
        for name in _MERGED:
            (root / "usr" / name).mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
        for name in ("dev", "proc", "tmp"):
            (root / name).mkdir()
        (root / "dev/null").touch()


def _runs_here(headers: Path) -> bool:
    """Whether the programs among the headers run: they may need a newer C library than ours."""
    fixdep = headers / "scripts/basic/fixdep"
    try:
        said = subprocess.run([fixdep], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return "Usage" in said.stdout + said.stderr


def _finish(root: Path, compiler: str) -> None:
    """The names that installation scripts would have made."""
    programs = root / "usr/bin"
    links = {"awk": "mawk", "sh": "dash", compiler: f"x86_64-linux-gnu-{compiler}"}
    with one_line_errors():
        for name, target in links.items():
            if not (programs / name).is_symlink() and not (programs / name).exists():
                (programs / name).symlink_to(target)
