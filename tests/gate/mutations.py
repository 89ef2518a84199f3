# SPDX-License-Identifier: Apache-2.0
"""The adversarial set: a header and a snapshot, and what is done to them."""

from pathlib import Path

import pytest

from harness.data import load_yaml

HERE = Path(__file__).parent


def changed(text, edits):
    """``text`` with each edit made; each must be in it once."""
    for before, after in edits:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


def mutations(name):
    """A parameter for each entry of a file of mutations."""
    return [pytest.param(entry, id=entry["name"]) for entry in load_yaml(HERE / name)]


def expect(findings, entry):
    """The findings are those that the entry names, and no others."""
    assert sorted(one.rule_id for one in findings) == sorted(entry["rules"])
    assert (findings[0].verdict if findings else "none") == entry["verdict"]
