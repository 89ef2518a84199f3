# SPDX-License-Identifier: Apache-2.0
"""Golden data of cases: digests, reading, writing, and what it is worth."""

import json
import os
import subprocess
import sys

import pytest
from attrs import evolve

from harness.conformance import expect, golden
from harness.conformance.cases import Case, discover
from harness.conformance.errnos import EINVAL, ENOENT
from harness.conformance.probes import GoldenError
from harness.conformance.records import Record, Run, State
from harness.conformance.results import Failure


def one(call):
    expect(call.close(1), EINVAL)


def one_laid_out_differently(call):
    """With a docstring."""
    # and a comment
    expect(
        call.close(1), EINVAL
    )  # fmt: skip


def another(call):
    expect(call.close(1), ENOENT)


def a_case(function=one, **options):
    return Case(
        **{"id": "s/f::x", "function": function, "source": "s", "evidence": "source"} | options
    )


#: The kernels that there are records of.
RECORDED = [path.stem for path in golden.folder().glob("*.json")]


class TestDigest:
    def test_it_is_the_same_each_time(self):
        assert golden.digest(a_case()) == golden.digest(a_case())

    @pytest.mark.parametrize(
        "changed",
        [
            a_case(another),
            a_case(arguments={"value": "1"}),
            a_case(machine="spr-1s"),
        ],
        ids=["function", "row", "machine"],
    )
    def test_it_changes_with_what_matters(self, changed):
        assert golden.digest(changed) != golden.digest(a_case())

    def test_layout_and_comments_do_not_matter(self):
        words = golden._tokens(one_laid_out_differently).replace("one_laid_out_differently", "one")
        assert words == golden._tokens(one)

    def test_what_a_case_uses_of_its_suite_counts(self, monkeypatch):
        case = next(
            one for one in discover(["idxd"]) if one.id.startswith("idxd/versions::open_file_is")
        )
        before = golden.digest(case)
        helper = case.function.__globals__["_user_queue"].__globals__["configure"]
        monkeypatch.setitem(helper.__globals__, "ENGINE", "/elsewhere")
        assert golden.digest(case) != before

    def test_it_is_the_same_in_every_process(self):
        """Nothing in it is an address or in the order of a set."""
        script = "from harness.conformance import cases, golden\n"
        script += "print(*map(golden.digest, cases.discover()))"
        digests = {
            subprocess.run(
                [sys.executable, "-c", script],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                check=True,
            ).stdout
            for seed in ("1", "2")
        }
        assert len(digests) == 1


def record(state=State.PASS, **options):
    values = {"id": "s/f::x", "state": state, "target": "vm:9", "profile": "9"}
    return Record(**values, evidence="source", source="s", duration=0.1, **options)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(golden, "folder", lambda: tmp_path)
    golden.load.cache_clear()
    golden._by_id.cache_clear()
    yield tmp_path
    golden.load.cache_clear()
    golden._by_id.cache_clear()


EXISTING = {"s/f::x", "s/f::y"}


def write(folder, *records, cases=None, existing=EXISTING):
    cases = cases or {one.id: a_case(id=one.id) for one in records}
    return golden.write(Run("vm:9", "9", records), cases, {"version": "9.1"}, folder, existing)


class TestRecords:
    def test_what_was_written_is_read(self, folder):
        failure = Failure("close(1)", "EINVAL", "0")
        write(folder, record(State.FAIL, failure=failure))
        found = golden.judgement(a_case(), "9")
        assert (found.state, found.failure) == (State.FAIL, failure)
        assert golden.load("9").provenance == {"version": "9.1"}
        assert list(folder.iterdir()) == [folder / "9.json"]

    def test_records_of_other_cases_are_kept(self, folder):
        write(folder, record())
        path = write(folder, evolve(record(), id="s/f::y"))
        assert [one["id"] for one in json.loads(path.read_text())["cases"]] == ["s/f::x", "s/f::y"]

    def test_records_of_cases_that_are_gone_go(self, folder):
        write(folder, record())
        path = write(folder, evolve(record(), id="s/f::y"), existing={"s/f::y"})
        assert [one["id"] for one in json.loads(path.read_text())["cases"]] == ["s/f::y"]

    @pytest.mark.parametrize("state", [State.TIMEOUT, State.NOT_RUNNABLE])
    def test_a_host_that_was_too_slow_is_no_answer(self, folder, state):
        write(folder, record())
        write(folder, record(state, reason="no end after 20 s"))
        assert golden.judgement(a_case(), "9").state is State.PASS

    @pytest.mark.parametrize(
        ("state", "worth"), [(State.PASS, "kernel-run"), (State.FAIL, "source")]
    )
    def test_worth(self, folder, state, worth):
        write(folder, record(state))
        assert golden.evidence(a_case(), "9") == worth

    def test_a_stale_record_judges_nothing(self, folder):
        write(folder, record())
        assert golden.judgement(a_case(another), "9") is None
        assert golden.recorded(a_case(another), "9").state is State.PASS
        assert golden.evidence(a_case(another), "9") == "source"

    def test_what_could_not_run_judges_nothing(self, folder):
        write(folder, record(State.SKIP, reason="no such machine"))
        assert golden.judgement(a_case(), "9") is None

    def test_nobody_asked(self, folder):
        assert golden.recorded(a_case(), "9") is None

    @pytest.mark.parametrize(
        "content",
        [
            "{",
            "[]",
            '{"schema": 1}',
            '{"schema": 2, "kernel": "9", "provenance": {}, "cases": []}',
            '{"schema": 1, "kernel": "9", "provenance": {}, "cases": [{"id": 1}]}',
        ],
    )
    def test_a_broken_file_is_named(self, folder, content):
        (folder / "9.json").write_text(content)
        with pytest.raises(GoldenError, match=r"9\.json: ."):
            golden.recorded(a_case(), "9")


@pytest.mark.parametrize("profile", RECORDED)
def test_what_comes_along_is_of_cases_that_exist(profile):
    found = golden.load(profile)
    known = {case.id for case in discover()}
    assert found is not None
    assert {one.id for one in found.cases} <= known
    assert {"package", "version", "release", "qemu", "accelerator", "date"} <= {*found.provenance}
