# SPDX-License-Identifier: Apache-2.0
"""Every source file says its licence in its first lines, where licence scanners look."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINE = "SPDX-License-Identifier: Apache-2.0"
SUFFIXES = {".c", ".h", ".md", ".py", ".sh", ".toml", ".ini", ".yaml"}


def source_files():
    for name in ("harness", "tests", "docs", "sysfs_models"):
        yield from (path for path in (ROOT / name).rglob("*") if path.suffix in SUFFIXES)
    yield from (path for path in ROOT.iterdir() if path.suffix in SUFFIXES)
    yield ROOT / "fixtures" / "packages.yaml"
    # The scripts have no suffix.
    yield from (ROOT / ".ci").iterdir()


@pytest.mark.parametrize(
    "path", sorted(source_files()), ids=lambda path: str(path.relative_to(ROOT))
)
def test_licence_is_named(path):
    # The second line in a script, whose first is the interpreter's.
    assert LINE in "".join(path.read_text().splitlines(keepends=True)[:2])
