# SPDX-License-Identifier: Apache-2.0
"""Packages of any suite of the machine's Debian archive, with nothing of the system changed.

apt runs with lists, caches and sources of our own in the user's cache directory; the machine's
proxies and credentials stay in force. A folder ``SUITE`` is made whole or not at all, so what was
once had stays usable when the source cannot be reached.

    apt/SUITE/          lists of packages, and what apt derives from them
    apt/debs/           packages as downloaded, checked against the lists
    apt/unpacked/       packages as unpacked by dpkg-deb -x
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import frozen

from harness.packages.errors import PackagesError, Progress, Unavailable, silent
from harness.packages.places import cache_folder, locked, need_room, one_line_errors, whole
from harness.packages.processes import run
from harness.packages.sources import (
    SUITE_NAME,
    Derived,
    derive,
    paragraphs,
    system_entries,
)

#: Lists older than this, in seconds, are fetched anew.
MAX_AGE = 24 * 3600.0
# Hooks of the system's would work on the system. A frozen copy of the archive is as good as its
# signature, however long ago its Release file expired. As root apt would download as its own user,
# who cannot read root's cache directory.
_CONFIGURATION = """\
#clear APT::Update;
#clear DPkg;
Acquire::Check-Valid-Until "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
APT::Get::AllowUnauthenticated "false";
APT::Update::Error-Mode "any";
APT::Install-Recommends "false";
APT::Default-Release "";
APT::Sandbox::User "root";
"""
#: How apt says that a suite is not there; the other is for sources that are trusted anyhow.
_NO_SUITE = re.compile(
    r"The repository '\S+ (\S+) Release' does not have a Release file"
    r"|Failed to fetch \S+/dists/(\S+)/main/\S+ +(?:404|File not found)"
)
_FULL = re.compile(r"No space left on device|enough free space", re.IGNORECASE)
_DOWNLOADING = re.compile(r"dlstatus:\d+:(\d+)")
_HELPER = "/usr/lib/apt/apt-helper"
#: A line of apt's --print-uris: where from, and the name it gives the file.
_URI = re.compile(r"(?m)^'(\S+)' (\S+) ")
_BLOCK = 1 << 20
#: What the lists of a suite and apt's index of them take, in MiB.
_LISTS_ROOM = 300
#: After so many seconds without a byte a source is taken for dead.
_STALLED = 120.0


@frozen
class Package:
    """A package of a suite as its list describes it."""

    name: str
    version: str
    architecture: str
    sha256: str
    #: The field Depends as it stands.
    depends: str = ""

    @property
    def file_name(self) -> str:
        """As apt names the file that it downloads."""
        version = self.version.replace(":", "%3a")
        return f"{self.name}_{version}_{self.architecture}.deb"

    def needs(self) -> list[str]:
        """The names of the packages it depends on; of alternatives the first."""
        clauses = self.depends.split(",")
        return [name for clause in clauses for name in clause.split("|")[0].split()[:1]]


class Suite:
    """One suite, such as ``trixie`` or ``bookworm-backports``. All can raise PackagesError."""

    def __init__(
        self,
        name: str,
        *,
        progress: Progress = silent,
        etc: Path = Path("/etc/apt"),
        max_age: float = MAX_AGE,
    ) -> None:
        if not SUITE_NAME.fullmatch(name):
            raise PackagesError(f'"{name}" is no name of a suite')
        self.name = name
        self._progress = progress
        self._etc = etc
        self._max_age = max_age
        self._apt = cache_folder() / "apt"
        self._root = self._apt / name

    def newest(self, pattern: str) -> Package:
        """Of all packages whose whole name matches ``pattern``, the one of the highest version.

        Unavailable if there is none.
        """
        self._refresh()
        prefix = re.match(r"[\w-]*", pattern)
        names = self._cache_command("pkgnames", prefix[0] if prefix else "").split()
        wanted = [name for name in names if re.fullmatch(pattern, name)]
        found = self._records(wanted, "--all-versions") if wanted else []
        if not found:
            raise Unavailable(f"{self.name} has no package {pattern}")
        return max(found, key=lambda package: _version_key(package.version))

    def package(self, name: str, version: str | None = None) -> Package:
        """The package ``name`` in exactly that version, or in that which apt would install."""
        self._refresh()
        found = self._records([f"{name}={version}" if version else name])
        if not found:
            raise Unavailable(f"{self.name} has no package {name} {version or ''}".rstrip())
        return found[0]

    def closure(self, names: Iterable[str]) -> list[Package]:
        """``names`` and all that they depend on, as apt would install them on an empty system."""
        self._refresh()
        said = self._run(
            ["apt-get", *self._options(), "--simulate", "--quiet=2", "install", "--", *names]
        )
        chosen = re.findall(r"(?m)^Inst (\S+) \((\S+)", said)
        return self._records([f"{name}={version}" for name, version in chosen])

    def fetch(self, *packages: Package) -> list[Path]:
        """The packages' files, downloaded now or before and intact."""
        folder = self._apt / "debs"
        with locked(folder, self._progress):
            missing = [one for one in packages if not _is_intact(folder / one.file_name, one)]
            if missing:
                self._download(missing, folder)
        return [folder / package.file_name for package in packages]

    def unpack(self, package: Package) -> Path:
        """The folder with the package's files, unpacked now or before."""
        folder = self._apt / "unpacked" / package.file_name.removesuffix(".deb")
        with locked(folder, self._progress):
            if not folder.is_dir():
                with whole(folder) as partial:
                    self.extract(partial, package)
        return folder

    def extract(self, folder: Path, *packages: Package) -> None:
        """Unpack packages into ``folder`` among what is there."""
        for package, file in zip(packages, self.fetch(*packages), strict=True):
            self._progress(f"{package.name}: unpacking")
            self._run(["dpkg-deb", "--extract", os.fspath(file), os.fspath(folder)])

    def _refresh(self) -> None:
        """Have lists, new ones if possible."""
        with locked(self._root, self._progress):
            try:
                age = time.time() - (self._root / "suite.sources").stat().st_mtime
            except FileNotFoundError:
                self._update()
                return
            if age < self._max_age:
                return
            try:
                self._update()
            except PackagesError as error:
                self._progress(f"{self.name}: the lists of packages stay as they were: {error}")
        self._max_age = MAX_AGE

    def _update(self) -> None:
        derived = derive(self.name, system_entries(self._etc))
        with whole(self._root) as root:
            while True:
                missing = self._fetch_lists(root, derived)
                if not missing:
                    return
                derived = derived.without(missing)

    def _fetch_lists(self, root: Path, derived: Derived) -> list[str]:
        """Fetch all lists. The suites that are not there, if the rest can do without them."""
        need_room(root, _LISTS_ROOM)
        with one_line_errors():
            (root / "suite.sources").write_text(derived.text())
            (root / "apt.conf").write_text(_CONFIGURATION)
            (root / "status").touch()
        optional = {suite for entry in derived.optional for suite in entry.suites}
        self._progress(f"{self.name}: fetching lists of packages")
        try:
            self._run(["apt-get", *self._options(root), "update"], self._root.name)
        except _Failed as error:
            missing = _missing_suites(error.complaint)
            if not missing:
                raise
            if not optional.issuperset(missing):
                raise Unavailable(f"{self.name}: this machine's source has no such suite") from None
            return missing
        return []

    def _download(self, packages: Sequence[Package], folder: Path) -> None:
        """Download into ``folder``. What is there of a file when we are interrupted stays."""
        partial = folder / "partial"
        with one_line_errors():
            partial.mkdir(parents=True, exist_ok=True)
        try:
            self._get(packages, partial)
            for package in packages:
                self._take(package, partial / package.file_name, folder)
        except Unavailable:
            raise
        except PackagesError:  # most likely the disk is full
            shutil.rmtree(partial)
            raise

    def _get(self, packages: Sequence[Package], folder: Path) -> None:
        """apt-helper goes on with a file where it was ended, which apt-get does not."""
        sums = {package.file_name: f"SHA256:{package.sha256}" for package in packages}
        wanted = [f"{package.name}={package.version}" for package in packages]
        uris = self._run(["apt-get", *self._options(), "--print-uris", "download", "--", *wanted])
        words = [
            word
            for uri, name in _URI.findall(uris)
            for word in (uri, str(folder / name), sums.get(name, ""))
        ]
        what = packages[0].name if len(packages) == 1 else f"{len(packages)} packages"
        self._run([_HELPER, *self._options(), "download-file", *words], what)

    def _take(self, package: Package, file: Path, folder: Path) -> None:
        """Put a downloaded file where it belongs. Unavailable if it is not that package."""
        with one_line_errors():
            if file.is_symlink():  # how apt gives what is on this disk
                source = file.resolve()
                file.unlink()
                shutil.copyfile(source, file)
            if not _is_intact(file, package):
                file.unlink(missing_ok=True)
                raise Unavailable(f"{file.name}: not what the list of packages promises")
            os.replace(file, folder / file.name)

    def _records(self, wanted: Sequence[str], versions: str = "--no-all-versions") -> list[Package]:
        said = self._cache_command("show", versions, "--", *wanted)
        return [
            Package(
                found["package"],
                found["version"],
                found["architecture"],
                found["sha256"],
                found.get("depends", ""),
            )
            for found in paragraphs(said)
            if "sha256" in found
        ]

    def _cache_command(self, *words: str) -> str:
        return self._run(["apt-cache", *self._options(), *words], may_find_nothing=True)

    def _options(self, root: Path | None = None) -> list[str]:
        root = root or self._root
        options = {
            "Dir::Etc::SourceList": root / "suite.sources",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State": root,
            "Dir::State::Lists": root / "lists",
            "Dir::State::status": root / "status",
            "Dir::Cache": root,
            "Dir::Cache::Archives": root / "archives",
            "Dir::Cache::pkgcache": "pkgcache.bin",
            "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
            "APT::Status-Fd": "1",
        }
        if self.name.endswith("-backports"):  # else its release's packages are preferred
            options["APT::Default-Release"] = self.name
        return [f"--config-file={root / 'apt.conf'}", *(f"-o{k}={v}" for k, v in options.items())]

    def _run(
        self,
        command: list[str],
        what: str = "",
        *,
        may_find_nothing: bool = False,
    ) -> str:
        """What the command wrote. If it failed, PackagesError; Unavailable if apt could not get."""
        _need(command[0])
        output: list[str] = []
        status, since = "", time.monotonic()

        def listen(line: str) -> None:
            """All that comes but apt's messages about how far it is, which come for ever."""
            nonlocal status, since
            match = _DOWNLOADING.match(line)
            if match is None:
                output.append(line)
            elif status != line:
                status, since = line, time.monotonic()
                self._progress(f"{what}: downloading, {match[1]} %")
            elif time.monotonic() - since > _STALLED:
                raise Unavailable(f"{what}: nothing has come for {_STALLED:g} s")

        # apt is not to outlive us, whatever becomes of us (PR_SET_PDEATHSIG).
        ended = run(["setpriv", "--pdeathsig", "KILL", "--", *command], each_line=listen)
        if ended.status and not may_find_nothing:
            raise _failure(os.path.basename(command[0]), ended.complaint)
        return "".join(output)


def _missing_suites(complaint: list[str]) -> list[str]:
    found = (_NO_SUITE.search(line) for line in complaint)
    return [match[1] or match[2] for match in found if match is not None]


class _Failed(Unavailable):
    """A program failed; ``complaint`` is all that it said about it."""

    def __init__(self, message: str, complaint: list[str]) -> None:
        super().__init__(message)
        self.complaint = complaint


def _failure(program: str, complaint: list[str]) -> PackagesError:
    full = next((line for line in complaint if _FULL.search(line)), None)
    if full is not None:
        return PackagesError(f"{program}: {full}")
    errors = [line for line in complaint if line.startswith(("E:", "dpkg-deb: error:"))]
    text = (errors or complaint or ["failed without a word"])[0].removeprefix("E: ")
    message = f"{program}: {text}"
    return _Failed(message, complaint) if program.startswith("apt-") else PackagesError(message)


def _need(program: str) -> None:
    if shutil.which(program) is None:
        raise Unavailable(f"there is no {program} here; packages are had through Debian's apt")


def _is_intact(file: Path, package: Package) -> bool:
    digest = hashlib.sha256()
    try:
        with open(file, "rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    except FileNotFoundError:
        return False
    return digest.hexdigest() == package.sha256


@functools.cmp_to_key
def _version_key(first: str, second: str) -> int:
    """dpkg itself says which of two versions is the later one."""
    for relation, answer in (("lt", -1), ("gt", 1)):
        if not subprocess.run(["dpkg", "--compare-versions", first, relation, second]).returncode:
            return answer
    return 0
