# SPDX-License-Identifier: Apache-2.0
"""Debian's binaries of another release, run with that release's own libraries.

Fetched once into the cache, with nothing of the system changed and no root needed.
"""

from pathlib import Path

import pytest

from harness.packages import PackagesError, Suite
from harness.packages.places import cache_folder, locked, whole

_LIBRARIES = "usr/lib/x86_64-linux-gnu"


def words(suite, package, program):
    """What to put in place of ``program``; PackagesError with the reason if it cannot be had."""
    folder = cache_folder() / "tools" / f"{package}-{suite}"
    if not folder.is_dir():
        source = Suite(suite, progress=lambda text: None)
        with locked(folder, lambda text: None):
            if not folder.is_dir():
                with whole(folder) as partial:
                    source.extract(partial, *source.closure([package]))
    found = next((path for path in folder.glob(f"usr/*bin/{program}")), None)
    if found is None:
        raise PackagesError(f"{package} of {suite} has no {program}")
    loader = folder / _LIBRARIES / "ld-linux-x86-64.so.2"
    return [str(loader), "--library-path", str(Path(folder, _LIBRARIES)), str(found)]


#: For the fixture ``inside``, which then is :func:`inside_with`.
EACH_ACCEL_CONFIG = ["installed", "trixie"]


def inside_with(which, inside):
    """``inside`` with the installed accel-config, or with the one of Debian 13 (4.1.8)."""
    if which == "installed":
        return inside
    try:
        newer = words(which, "accel-config", "accel-config")
    except PackagesError as error:
        pytest.skip(str(error))

    def with_newer(name, **options):
        machine = inside(name, **options)
        machine.programs["accel-config"] = newer
        return machine

    return with_newer
