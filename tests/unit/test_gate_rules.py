# SPDX-License-Identifier: Apache-2.0
"""The table of rules: documented, used, and each shown by an example of the adversarial set."""

import re
from pathlib import Path

import harness.gate
from harness.data import load_yaml
from harness.gate.rules import RULES
from harness.gate.rules_document import document

ROOT = Path(__file__).parents[2]


def test_the_document_is_made_of_the_table():
    text = (ROOT / "docs" / "gate-rules.md").read_text()
    assert text == "\n".join(document()).rstrip() + "\n"


def test_every_rule_is_used():
    sources = [path.read_text() for path in Path(harness.gate.__file__).parent.rglob("*.py")]
    code = "\n".join(text for text in sources if "def _rules(" not in text)
    # Those of one kind of thing are put together of its name and what became of it.
    composed = {f"{kind}-{what}" for kind in KINDS for what in ("added", "removed")}
    assert [rule for rule in RULES if f'"{rule}"' not in code and rule not in composed] == []
    assert composed <= set(RULES)


KINDS = ("constant", "ioctl", "string", "macro", "struct", "typedef")


def test_every_rule_of_headers_and_nodes_is_in_the_adversarial_set():
    sets = ("header_mutations.yaml", "sysfs_mutations.yaml")
    entries = [entry for name in sets for entry in load_yaml(ROOT / "tests" / "gate" / name)]
    shown = {rule for entry in entries for rule in entry["rules"]}
    # Of whole headers, capabilities and policies other tests tell.
    elsewhere = re.compile(
        r"header-|suppression-|struct-grown-capability|name-moved|values-unknown"
    )
    assert [rule for rule in RULES if rule not in shown and not elsewhere.match(rule)] == []
    assert shown <= set(RULES)
