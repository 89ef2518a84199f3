# SPDX-License-Identifier: Apache-2.0
"""A kernel ready to boot, how one is made, and the manifest by which it is found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import attrs
from attrs import frozen

from harness.packages import Package, Progress, Suite, Unavailable, one_line_errors

_MANIFEST = "manifest.json"
#: A change of how kernels are made, besides what each recipe says; it makes all of them anew.
_FORMAT = 2


@frozen
class KernelImage:
    """A kernel ready to boot. ``release`` is what uname(1) -r says in it.

    ``package`` is Debian's, of its image or its source. ``modules`` is a root with
    ``lib/modules/RELEASE``. ``extra`` are the sample modules, which are among those too;
    ``missing`` says why a sample module could not be built.
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


def describe(
    name: str,
    release: str,
    suite: Suite,
    package: Package,
    folder: Path,
    extra: Mapping[str, Path],
    missing: Mapping[str, str],
) -> KernelImage:
    """The kernel that was made from ``package`` in ``folder``: ``vmlinux`` and ``root``."""
    return KernelImage(
        name=name,
        release=release,
        suite=suite.name,
        package=package.name,
        version=package.version,
        vmlinux=folder / "vmlinux",
        modules=folder / "root",
        extra=extra,
        missing=missing,
    )


class Recipe(Protocol):
    """How a kernel is made from a package."""

    def digest(self) -> str:
        """Changes with everything that the result depends on, the package excepted."""

    def choose(self, progress: Progress, max_age: float) -> tuple[Suite, Package]:
        """The package to start from, looked up in lists no older than ``max_age`` seconds."""

    def make(self, suite: Suite, package: Package, folder: Path, progress: Progress) -> KernelImage:
        """Make the kernel in ``folder``, which is empty. PackagesError."""


def first_with(
    suites: Iterable[str], pattern: str, progress: Progress, max_age: float
) -> tuple[Suite, Package]:
    """The first suite that has a package ``pattern``, and the newest of these."""
    reasons = []
    for name in suites:
        suite = Suite(name, progress=progress, max_age=max_age)
        try:
            return suite, suite.newest(pattern)
        except Unavailable as error:
            reasons.append(str(error))
    raise Unavailable("; ".join(reasons))


def digest(*parts: Any) -> str:
    """A short name of what can be JSON."""
    text = json.dumps([_FORMAT, *parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write(image: KernelImage, folder: Path, recipe: str) -> None:
    """Write the manifest of ``image``, all of whose files are in ``folder``."""

    def plain(_: Any, __: Any, value: Any) -> Any:
        return str(value.relative_to(folder)) if isinstance(value, Path) else value

    document = {"recipe": recipe, **attrs.asdict(image, value_serializer=plain)}
    with one_line_errors():
        (folder / _MANIFEST).write_text(json.dumps(document, indent=1) + "\n")


def read(folder: Path, recipe: str) -> KernelImage | None:
    """The kernel in ``folder``; None if there is none, or it was made by another recipe."""
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
    return image if image.vmlinux.is_file() and image.modules.is_dir() else None
