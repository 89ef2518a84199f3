# SPDX-License-Identifier: Apache-2.0
"""Nodes and behaviours that were changed on purpose: every verdict right, and no false alarm."""

import pytest
from mutations import HERE, changed, expect, mutations

from harness.gate.judge import judge
from harness.gate.snapshot import load

BASE = HERE / "lamp.yaml"


@pytest.mark.parametrize("entry", mutations("sysfs_mutations.yaml"))
def test_sysfs_mutation(entry, tmp_path):
    new = tmp_path / "lamp.yaml"
    new.write_text(changed(BASE.read_text(), entry["edits"]))
    expect(judge(load(BASE), load(new)), entry)


def test_there_are_enough_of_them():
    assert len(mutations("sysfs_mutations.yaml")) >= 20
