# SPDX-License-Identifier: Apache-2.0
"""Files of Debian's source packages, through an apt configuration of our own.

Derived from the machine's package source, with nothing of the system changed and no root needed.
"""

import re
import subprocess
import tarfile
from pathlib import Path


def source_file(package, name, directory):
    """Download the source of ``package`` into ``directory``; the content of the file ``name``.

    RuntimeError with what apt said if it cannot be had.
    """
    parts = directory / "parts"
    for folder in (parts, directory / "lists" / "partial", directory / "archives" / "partial"):
        folder.mkdir(parents=True)
    for file in sorted([Path("/etc/apt/sources.list"), *Path("/etc/apt").glob("sources.list.d/*")]):
        if file.suffix == ".sources":
            text = re.sub(r"(?m)^Types:.*", "Types: deb-src", file.read_text())
        elif file.suffix == ".list" and file.is_file():
            text = re.sub(r"(?m)^deb\s", "deb-src ", file.read_text())
        else:
            continue
        (parts / file.name).write_text(text)
    options = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": parts,
        "Dir::State::lists": directory / "lists",
        "Dir::Cache": directory,
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items())]
    for words in (["update"], ["source", "--download-only", package]):
        done = subprocess.run([*apt, *words], cwd=directory, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"apt-get {' '.join(words)}: {done.stderr.strip()}")
    (archive,) = directory.glob(f"{package}_*.orig.tar.*")
    with tarfile.open(archive) as tar:
        for member in tar:
            if Path(member.name).name == name:
                return tar.extractfile(member).read()
    raise RuntimeError(f"{archive.name} has no {name}")
