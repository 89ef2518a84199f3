# SPDX-License-Identifier: Apache-2.0
"""The conformance suites: on the model, against the recorded results, and their manners."""

import ast
import json
import re
import time
import types
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.agent.program import Op, Status
from harness.cli import main
from harness.conformance import Call, suites
from harness.conformance.call import Context
from harness.conformance.cases import cases_of, discover
from harness.conformance.probes import import_recording, probes, recorded
from harness.conformance.records import State
from harness.conformance.runner import judge, run_case
from harness.conformance.targets.model import ModelTarget
from harness.data import data_path, lineage

ROOT = Path(__file__).parents[2]
SUITE_FILES = sorted(Path(suites.__file__).parent.glob("**/*.py"))
CASES = discover()
PROFILE = "6.1"
PROFILES = ("6.1", "6.12", "7.2")
#: Recorded probes that no case restates, each with the reason.
UNUSED: Mapping[str, str] = {
    "mdev/vfio_dev": "its number is that of the fifth device, of which others had been bound before"
}


#: Never kernels, so that only cases that are about them alone are judged.
SERIES = ("rfc-v1", "rfc-v2", "v6", "oa")


ABOUT = [
    (case, profile)
    for profile in (*PROFILES, *SERIES)
    for case in CASES
    if case.is_about(profile) and (profile in PROFILES or case.since in SERIES)
]


@pytest.mark.parametrize(
    ("case", "profile"), ABOUT, ids=[f"{profile}-{case.id}" for case, profile in ABOUT]
)
def test_case_on_the_model(case, profile):
    record = run_case(case, ModelTarget(), profile)
    assert (record.state, record.failure, record.reason) == (State.PASS, None, None)


# --- recorded results


def golden_files():
    return sorted(path.stem for path in data_path("fixtures", "golden", "probes").glob("*.json"))


@pytest.mark.parametrize("profile", PROFILES)
def test_every_recorded_probe_is_restated_by_a_case_or_listed_with_a_reason(profile):
    """Recordings of interfaces that no suite is about yet are kept, and not looked at."""
    name = f"idxd-{profile}"
    restated = {
        reference.partition(":")[2]
        for case in CASES
        if case.is_about(profile)
        for reference in case.golden
        if reference.partition(":")[0] in ("idxd", name)
    }
    assert set(probes(name)) - restated == set()


@pytest.mark.parametrize("profile", ["6.1", "6.12"])
def test_every_recorded_probe_of_mdev_is_restated_or_listed_with_a_reason(profile):
    recorded_ones = {probe for probe in probes(profile) if probe.startswith("mdev/")}
    restated = {reference for case in CASES for reference in case.golden}
    assert recorded_ones - restated == set(UNUSED)


def test_every_case_that_names_probes_by_itself_names_recorded_ones():
    """A row's probe may not have been recorded, but a name without columns is a promise."""
    for case in CASES:
        if case.golden and not case.arguments:
            seen = [recorded(name, kernel) for name in case.golden for kernel in PROFILES]
            assert any(seen) or case.evidence == "source", case.id


def flat(value):
    """The parts of a recorded result: text without white space around it, numbers, errno names."""
    if isinstance(value, Mapping):
        return {part for item in value.values() for part in flat(item)}
    if isinstance(value, list | tuple):
        return {part for item in value for part in flat(item)}
    if value is None or value is False or value is True:
        return set()
    if isinstance(value, bytes):
        value = value.decode(errors="surrogateescape")
    return {value.strip() if isinstance(value, str) else value}


def expected_parts(probe):
    """What a case about this probe must have seen among the results of its calls."""
    if probe["errno"] is not None:
        return {named(probe["errno"])}
    name = probe["probe"]
    if "/flow_" in name:
        steps, states = probe["result"][:-1], probe["result"][-1]
        return {named(word) for step in steps for word in flow_words(step)} | flat(states)
    if name.endswith("_modes"):
        return {int(mode, 8) for mode in probe["result"].values()}
    # A probe that opened a file says "fd".
    return {named(part) for part in flat(probe["result"])} - {"", "fd"}


def flow_words(step):
    """``wq:ENXIO`` -> ENXIO, ``0x0`` as it is, ``conf`` and ``dev ok`` have no word."""
    _, colon, error = step.partition(":")
    return [error] if colon else [step] if step.startswith("0x") else []


def named(value):
    return "EOPNOTSUPP" if value == "ENOTSUP" else value


def seen_parts(results):
    """What the calls of a case gave, in the same form."""
    parts = set()
    for result in results:
        if result.error is not None:
            parts.add(str(result.error))
            continue
        value = result.value
        if isinstance(value, list):
            parts |= {entry.name for entry in value}
        elif hasattr(value, "mode"):
            parts.add(value.mode)
        else:
            parts |= flat(value)
    return parts


RESTATING = [
    (case, reference, profile)
    for case, profile in ABOUT
    for reference in case.golden
    if recorded(reference, profile)
]


@pytest.mark.parametrize(
    ("case", "reference", "profile"),
    RESTATING,
    ids=[f"{profile}-{case.id}-{name}" for case, name, profile in RESTATING],
)
def test_case_sees_what_the_probe_saw(case, reference, profile):
    """Each part of the recorded result is among the results of the case's calls.

    Where several cases share a probe, each has its part of it.
    """
    probe = recorded(reference, profile)
    with ModelTarget().open(case.machine, profile) as endpoint:
        context = Context(endpoint, time.monotonic() + case.limit, lineage(profile))
        assert judge(case, context) is None
    seen = seen_parts(context.results)
    sharing = [one for one, name, kernel in RESTATING if (name, kernel) == (reference, profile)]
    if len(sharing) == 1:
        assert expected_parts(probe) <= seen
    else:
        assert expected_parts(probe) & seen or not expected_parts(probe)


def test_golden_files_are_what_the_schema_says():
    for name in golden_files():
        document = json.loads(data_path("fixtures", "golden", "probes", f"{name}.json").read_text())
        assert document["schema"] == 1
        assert set(document["provenance"]) == {"file", "sha256"}
        assert document["meta"]["probes"] == len(document["probes"])
        for probe in document["probes"]:
            assert set(probe) == {"probe", "result", "errno"}
            assert (probe["errno"] is None) or probe["result"] == -1


def test_import_of_a_recording(tmp_path, capsys):
    source = tmp_path / "x-6.1.json"
    probe = {"probe": "x/a", "result": 1, "errno": None}
    source.write_text(json.dumps({"meta": {"probes": 1}, "probes": [probe]}))
    (tmp_path / "to").mkdir()
    written = json.loads(import_recording(str(source), str(tmp_path / "to")).read_text())
    assert written["probes"] == [probe]
    assert written["provenance"]["file"] == "x-6.1.json"
    assert main(["golden", "import", str(source), "-o", str(tmp_path / "to")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'to' / 'x-6.1.json'}\n"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "Expecting"),
        ("[]", "not an object with meta and probes"),
        ('{"meta": {}, "probes": [{}]}', "a probe has no name"),
        ('{"meta": {}, "probes": [{"probe": "a"}, {"probe": "a"}]}', "or two have one"),
    ],
)
def test_import_of_something_else(tmp_path, capsys, content, problem):
    source = tmp_path / "x.json"
    source.write_text(content)
    assert main(["golden", "import", str(source), "-o", str(tmp_path)]) == 2
    assert problem in capsys.readouterr().err


# --- manners


@pytest.mark.parametrize("path", SUITE_FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_case_touches_nothing_but_call(path):
    """No os, no time, no threading: only the conformance package, numbers, types and layouts."""
    allowed = re.compile(
        r"__future__|collections\.abc|typing|attrs|ctypes|struct"
        r"|harness\.conformance(\..*)?|harness\.uapi(\..*)?"
    )
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        else:
            continue
        assert all(allowed.fullmatch(name) for name in names), names


def test_every_case_names_its_source():
    for case in CASES:
        assert re.search(r"[a-z0-9_]+\.([ch]|rst)\b|\{[a-z,]+\}\.c", case.source), case.id


def test_every_case_says_something_else():
    """Two cases with the same function and the same values would be one too many."""
    seen = {(case.function, repr(sorted(case.arguments.items(), key=str))) for case in CASES}
    assert len(seen) == len(CASES)


# --- the document


def test_the_example_in_the_document_works():
    text = (ROOT / "docs" / "writing-cases.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    module = types.ModuleType("example")
    exec(compile(example, "writing-cases.md", "exec"), vars(module))
    found = list(cases_of(module, "idxd/example"))
    assert len(found) == 5
    for case in found:
        record = run_case(case, ModelTarget(), PROFILE)
        assert (record.state, record.failure, record.reason) == (State.PASS, None, None)


def test_the_document_names_what_call_has():
    text = (ROOT / "docs" / "writing-cases.md").read_text()
    section = text.partition("## What `call` can do")[2].partition("\n##")[0]
    documented = set(re.findall(r"`(?:call\.|with call\.)?(\w+)[`(]", section))
    methods = {name for name in vars(Call) if not name.startswith("_")}
    assert methods - documented == set()


def test_the_protocol_document_has_every_operation():
    text = (ROOT / "docs" / "agent-protocol.md").read_text()
    rows = dict(re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", text.split("## Operations")[1], re.M))
    assert rows == {str(op.value): op.name for op in Op}
    statuses = text.split("## Status")[1].split("## Operations")[0]
    rows = dict(re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", statuses, re.M))
    assert rows == {str(status.value): status.name for status in Status}
