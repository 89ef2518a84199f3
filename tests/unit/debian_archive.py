# SPDX-License-Identifier: Apache-2.0
"""A small archive on this disk, laid out as Debian's, and an /etc/apt that has it as its source."""

import hashlib
import os
import subprocess

RELEASE = """\
Origin: Debian
Suite: {suite}
Codename: {suite}
Date: Sat, 01 Jan 2022 00:00:00 UTC
Valid-Until: Sat, 08 Jan 2022 00:00:00 UTC
Architectures: amd64 all
Components: main
SHA256:
 {digest} {size} main/binary-amd64/Packages
"""


class Archive:
    """``add`` packages, then ``publish``. All is in ``folder``: etc, debian, security."""

    def __init__(self, folder):
        self.etc = folder / "etc"
        self.root = folder / "debian"
        self.security = folder / "security"
        self._build = folder / "build"
        self._packages = {}
        (self.etc / "sources.list.d").mkdir(parents=True)
        self.sources(
            f"deb [trusted=yes arch=amd64] file:{self.root} bookworm main",
            f"deb [trusted=yes arch=amd64] file:{self.security} bookworm-security main",
        )

    def sources(self, *lines):
        (self.etc / "sources.list").write_text("\n".join(lines) + "\n")

    def add(self, suite, name, version="1.0", depends="", files=None):
        """Build a package of ``files``, scripts among them executable. The path of its .deb."""
        tree = self._build / f"{name}_{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
        control += "Maintainer: Nobody <nobody@localhost>\n"
        control += f"Depends: {depends}\n" if depends else ""
        (tree / "DEBIAN/control").write_text(f"{control}Description: for a test\n")
        for path, content in (files or {"usr/share/what": name}).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content if isinstance(content, bytes) else content.encode())
            (tree / path).chmod(0o755 if content[:2] == "#!" else 0o644)
        place = self.security if suite.endswith("security") else self.root
        file = place / "pool" / f"{name}_{version}_amd64.deb"
        file.parent.mkdir(parents=True, exist_ok=True)
        command = ["dpkg-deb", "-Znone", "--root-owner-group", "-b", tree, file]
        subprocess.run(command, check=True, capture_output=True)
        self._packages.setdefault((place, suite), []).append((control, file))
        return file

    def publish(self):
        """Write the lists of all suites, as the packages' files are now."""
        for (place, suite), packages in self._packages.items():
            folder = place / "dists" / suite / "main/binary-amd64"
            folder.mkdir(parents=True, exist_ok=True)
            text = "\n".join(self._record(place, *package) for package in packages).encode()
            (folder / "Packages").write_bytes(text)
            digest = hashlib.sha256(text).hexdigest()
            release = RELEASE.format(suite=suite, digest=digest, size=len(text))
            (place / "dists" / suite / "Release").write_text(release)

    def vanish(self):
        """The source cannot be reached any more."""
        for place in (self.root, self.security):
            if place.exists():
                os.rename(place, f"{place}.gone")

    @staticmethod
    def _record(place, control, file):
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        where = file.relative_to(place)
        return f"{control}Filename: {where}\nSize: {len(content)}\nSHA256: {digest}\n"
