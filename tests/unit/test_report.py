# SPDX-License-Identifier: Apache-2.0
"""The report as text, as JSON and as JUnit XML."""

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st

import harness.report
from harness.conformance.records import Record, Run, State
from harness.conformance.results import Failure
from harness.report.json_report import write_json
from harness.report.junit import write_junit
from harness.report.text import write_text

SCHEMA = json.loads((Path(harness.report.__file__).parent / "report.schema.json").read_text())
LONG = Failure(
    "write(/sys/bus/dsa/devices/wq0.0/name, b'" + "a" * 200 + "')",
    "EINVAL",
    "some words " * 30,
)


def record(id, state, evidence="source", **options):
    return Record(id, state, "model", "6.1", evidence, "f: dir/file.c, 6.1", 0.25, **options)


EVERYTHING = [
    record("idxd/size::a", State.PASS, "kernel-run"),
    record("idxd/size::b[x y]", State.FAIL, "kernel-run", failure=LONG),
    record("kernfs/poll::c", State.CRASHED, reason="the agent died"),
    record("kernfs/poll::d", State.TIMEOUT, reason="no end after 20 s"),
    record("kernfs/poll::e", State.SKIP, reason="is about 6.12, not 6.1"),
    record("kernfs/poll::f", State.NOT_RUNNABLE, reason="target model has no exec"),
    record("kernfs/poll::g", State.NOT_RUNNABLE, reason="target model has no exec"),
    record(
        "kernfs/poll::h",
        State.KNOWN_DIFFERENCE,
        reason="the VFS answers first",
        failure=Failure("c", "1", "2"),
    ),
    record("kernfs/poll::i", State.PASS, "document"),
]


def junit_of(records, strict=False):
    """The root of a document that the schema allows."""
    output = io.StringIO()
    write_junit([Run("model", "6.1", records, strict)], output)
    schema = xmlschema.XMLSchema(str(Path(harness.report.__file__).parent / "junit.xsd"))
    schema.validate(output.getvalue())
    return ElementTree.fromstring(output.getvalue())


def text(records, strict=False):
    output = io.StringIO()
    write_text([Run("model", "6.1", records, strict)], output)
    return output.getvalue()


def json_of(records, strict=False):
    output = io.StringIO()
    write_json([Run("model", "6.1", records, strict)], output)
    return json.loads(output.getvalue())


def test_text():
    lines = text(EVERYTHING).splitlines()
    assert lines[0] == "target model, profile 6.1: 9 cases"
    table = [line.split() for line in lines[2:6]]
    assert table == [
        ["suite", *(state.value for state in State)],
        ["idxd", "1", "1", "0", "0", "0", "0", "0"],
        ["kernfs", "1", "0", "1", "1", "1", "2", "1"],
        ["all", "2", "1", "1", "1", "1", "2", "1"],
    ]
    assert "kernel-run  1 of 2 agree (a real kernel gave this answer)" in lines
    assert "source      0 of 3 agree (unjudged)" in lines
    assert "FAIL idxd/size::b[x y]" in lines
    assert "  expected  EINVAL" in lines
    assert "  source    f: dir/file.c, 6.1 (kernel-run)" in lines
    assert "  reason    the agent died" in lines
    assert "not-runnable (2): target model has no exec" in lines
    assert "known-difference (1): the VFS answers first" in lines
    assert not any(line.startswith(("PASS", "SKIP", "KNOWN")) for line in lines)


def test_text_is_no_wider_than_a_page():
    assert max(len(line) for line in text(EVERYTHING).splitlines()) <= 100


WORDS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=250)
IDS = st.builds("{}/{}::{}[{}]".format, WORDS, WORDS, WORDS, WORDS)
FAILURES = st.none() | st.builds(Failure, WORDS, WORDS, WORDS)


@st.composite
def runs(draw):
    """Targets by profiles, each with the same few cases in whatever states."""
    ids = draw(st.lists(IDS, min_size=1, max_size=3))
    targets = draw(st.lists(st.sampled_from(["model", "inprocess", "vm:6.12.95"]), min_size=1))
    profiles = draw(st.lists(st.sampled_from(["6.1", "6.12+iommufd", "oa"]), min_size=1))
    file = draw(st.none() | WORDS)
    strict = draw(st.booleans())

    def a_record(id, target, profile):
        state, failure = draw(st.sampled_from(State)), draw(FAILURES)
        reason, source = draw(st.none() | WORDS), draw(WORDS)
        return Record(id, state, target, profile, "source", source, 0.1, failure, reason, file)

    return [
        Run(target, profile, [a_record(id, target, profile) for id in ids], strict)
        for target in targets
        for profile in profiles
    ]


@given(runs())
def test_no_report_is_wider_than_a_page(several):
    output = io.StringIO()
    write_text(several, output)
    wide = [line for line in output.getvalue().split("\n") if len(line) > 100]
    assert wide == []


def test_many_runs_are_several_tables():
    profiles = [f"profile-{number}" for number in range(20)]
    records = [record("a-suite-with-a-name-of-some-length/x::a", State.PASS)]
    output = io.StringIO()
    write_text([Run("model", profile, records) for profile in profiles], output)
    lines = output.getvalue().split("target model")[0].splitlines()
    heads = [line.split() for line in lines if line.startswith("suite")]
    assert [profile for head in heads for profile in head[1:]] == profiles
    assert len(heads) > 1


def test_the_command_to_run_a_case_again():
    lines = text(EVERYTHING).splitlines()
    command = "uapi-harness conform --target model --profile 6.1 -k 'idxd/size::b[x y]'"
    assert f"  again     {command}" in lines


def test_what_could_not_run_is_a_finding_in_strict_mode():
    lines = text(EVERYTHING, strict=True).splitlines()
    assert "NOT-RUNNABLE kernfs/poll::f" in lines
    assert not any(line.startswith("not-runnable (") for line in lines)


def test_no_cases():
    assert text([]).splitlines()[1] == "no case was chosen, which is a failure"


@pytest.mark.parametrize("records", [EVERYTHING, EVERYTHING[:1], []])
@pytest.mark.parametrize("strict", [True, False])
def test_json_is_as_the_schema_says(records, strict):
    report = json_of(records, strict)
    jsonschema.validate(report, SCHEMA)
    assert report["exit_status"] == Run("model", "6.1", records, strict).exit_status
    assert sum(report["counts"].values()) == len(report["cases"]) == len(records)


def test_json_has_the_failure():
    cases = {case["id"]: case for case in json_of(EVERYTHING)["cases"]}
    assert cases["idxd/size::b[x y]"]["failure"] == {
        "call": LONG.call,
        "expected": LONG.expected,
        "got": LONG.got,
    }
    assert cases["idxd/size::a"]["failure"] is None
    assert cases["kernfs/poll::d"]["reason"] == "no end after 20 s"


def test_the_schema_is_strict():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    report = json_of(EVERYTHING)
    report["cases"][0]["state"] = "maybe"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report, SCHEMA)


def test_junit():
    root = junit_of(EVERYTHING)
    counts = [
        {key: suite.get(key) for key in ("name", "tests", "failures", "errors", "skipped")}
        for suite in root
    ]
    assert counts == [
        {
            "name": "idxd on model, 6.1",
            "tests": "2",
            "failures": "1",
            "errors": "0",
            "skipped": "0",
        },
        {
            "name": "kernfs on model, 6.1",
            "tests": "7",
            "failures": "0",
            "errors": "2",
            "skipped": "4",
        },
    ]
    (failure,) = root.iter("failure")
    assert failure.get("type") == "fail"
    assert "expected EINVAL, got some words" in failure.get("message")
    assert "again: uapi-harness conform --target model --profile 6.1 -k" in failure.text
    assert [case.get("name") for case in root[0]] == ["a", "b[x y]"]
    assert {skipped.get("message") for skipped in root.iter("skipped")} == {
        "is about 6.12, not 6.1",
        "target model has no exec",
        "the VFS answers first",
    }


def test_junit_strict():
    assert len(list(junit_of(EVERYTHING, strict=True).iter("failure"))) == 3


def test_junit_of_what_xml_cannot_hold():
    failure = Failure("read()", "a\x00b", "c\ud800\x1bd")
    root = junit_of([record("s/f::n\x01", State.FAIL, failure=failure)])
    (element,) = root.iter("failure")
    assert element.get("message") == "read(): expected a\ufffdb, got c\ufffd\ufffdd"


def test_junit_of_no_case():
    assert len(junit_of([])) == 0


def test_several_runs_are_one_table_and_then_each():
    records = [record("kernfs/x::a", State.PASS), record("kernfs/x::b", State.FAIL, failure=LONG)]
    runs = [
        Run(target, profile, records)
        for target in ("model", "inprocess", "process")
        for profile in ("6.1", "6.12", "7.2")
    ]
    output = io.StringIO()
    write_text(runs, output)
    lines = output.getvalue().splitlines()
    assert lines[0].split() == ["model", "inprocess", "process"]
    assert lines[1].split() == ["suite", *["6.1", "6.12", "7.2"] * 3]
    assert lines[2].split()[1:] == ["1/2"] * 9
    assert max(map(len, lines)) <= 100
    assert sum(line.startswith("target ") for line in lines) == 9
    output = io.StringIO()
    write_json(runs, output)
    several = json.loads(output.getvalue())
    jsonschema.validate(several, SCHEMA)
    assert [one["target"] for one in several["runs"]] == [one.target for one in runs]
    output = io.StringIO()
    write_junit(runs, output)
    assert output.getvalue().count("<testsuite ") == 9
