# SPDX-License-Identifier: Apache-2.0
"""The kernel's own history: what is found is what was looked at, and explained."""

import io
import itertools
import json
from pathlib import Path

import jsonschema
import pytest

import harness.gate
from harness.data import data_path, load_yaml
from harness.gate.command import gate
from harness.gate.judge import judge
from harness.gate.rules import Verdict
from harness.gate.snapshot import load, write

ROOT = Path(__file__).parents[2]
HEADERS = data_path("fixtures", "headers")
VERSIONS = ("5.10", "6.1", "6.12", "7.3")
PAIRS = list(itertools.combinations(VERSIONS, 2))
HISTORY = (ROOT / "docs" / "uapi-history.md").read_text()
#: New things are too many to be named one by one, and hurt nobody.
IN_GENERAL = {"field-type-renamed", "union-member-added"}


def path(version):
    return HEADERS / f"{version}.yaml"


@pytest.mark.parametrize("version", VERSIONS)
def test_snapshot(version, tmp_path):
    schema = json.loads((Path(harness.gate.__file__).parent / "snapshot.schema.json").read_text())
    jsonschema.validate(load_yaml(path(version)), schema)
    write(load(path(version)), tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_text() == path(version).read_text()


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_report_of_each_pair(old, new):
    output = io.StringIO()
    status = gate(str(path(old)), str(path(new)), format="markdown", output=output)
    # Made by: uapi-harness gate OLD NEW --format markdown
    assert output.getvalue() == (HEADERS / "reports" / f"{old}-{new}.md").read_text()
    assert status == int("| breaking |" in output.getvalue())


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_each_finding_is_explained(old, new):
    for finding in judge(load(path(old)), load(path(new))):
        assert finding.rule_id in HISTORY
        general = finding.rule_id in IN_GENERAL or finding.rule_id.endswith("-added")
        of_idxd = finding.header == "linux/idxd.h" and finding.verdict is Verdict.COMPATIBLE
        assert general or of_idxd or f"`{finding.subject}`" in HISTORY, finding


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_changed(version):
    assert judge(load(path(version)), load(path(version))) == []
