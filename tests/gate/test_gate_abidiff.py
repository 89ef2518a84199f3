# SPDX-License-Identifier: Apache-2.0
"""What abidiff makes of a few of the adversarial set; beside_abidiff.py prints all."""

import shutil

import pytest
from beside_abidiff import BASE, abidiff
from mutations import HERE, changed

from harness.data import load_yaml

ENTRIES = {entry["name"]: entry for entry in load_yaml(HERE / "header_mutations.yaml")}

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("gcc", "abidiff"))),
    reason="no gcc or abidiff here; Debian's package is abigail-tools",
)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a command's number", "nothing"),
        ("a flag is another bit", "nothing"),
        ("a comment alone", "nothing"),
        ("a field is wider", "incompatible"),
    ],
)
def test_what_abidiff_sees(name, said, tmp_path):
    answer = abidiff(changed(BASE, ENTRIES[name]["edits"]), tmp_path)
    assert (answer == "nothing") == (said == "nothing")
