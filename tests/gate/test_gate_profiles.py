# SPDX-License-Identifier: Apache-2.0
"""What docs/uapi-history.md says of the profiles is what is found."""

import re
from functools import cache
from pathlib import Path

import pytest

from harness.gate.judge import judge
from harness.gate.machines import behaviours_of_profile, nodes_of_profile
from harness.gate.snapshot import SCHEMA, Snapshot

HISTORY = (Path(__file__).parents[2] / "docs" / "uapi-history.md").read_text()
ROWS = re.findall(r"^\| (\S+), (\S+) \| ([a-z-]+) \| `(.*?)` \|", HISTORY, re.MULTILINE)


@cache
def nodes(profile):
    return Snapshot(SCHEMA, profile, sysfs=nodes_of_profile(profile))


def behaviour(profile, case):
    found = behaviours_of_profile(profile, lambda what: None, case)
    return Snapshot(SCHEMA, profile, behaviours=found)


@pytest.mark.parametrize(("old", "new", "rule", "subject"), ROWS)
def test_finding(old, new, rule, subject):
    if subject.startswith("/sys/"):
        found = judge(nodes(old), nodes(new))
    else:
        found = judge(behaviour(old, subject), behaviour(new, subject))
    assert (rule, subject) in {(one.rule_id, one.subject) for one in found}


def test_there_are_findings():
    assert len(ROWS) >= 5


@pytest.mark.parametrize("profile", ["6.1"])
def test_nothing_changed(profile):
    again = Snapshot(SCHEMA, profile, sysfs=nodes_of_profile(profile))
    assert judge(nodes(profile), again) == []
