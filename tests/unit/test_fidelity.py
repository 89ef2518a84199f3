# SPDX-License-Identifier: Apache-2.0
"""Our outcomes beside a kernel's: verdicts, the table, and the report."""

import io
import os
import sys

import pytest

from harness.conformance import fidelity, golden
from harness.conformance.cases import discover
from harness.conformance.fidelity import Verdict, compare, table
from harness.conformance.golden import Judgement
from harness.conformance.records import Record, Run, State
from harness.conformance.results import Failure
from harness.report.conform import conform
from harness.report.fidelity import fidelity_lines, fidelity_markdown
from harness.vm.qemu import Console

CASE = next(case for case in discover(["kernfs"]) if case.is_about("6.1"))
KERNEL_SAYS = Failure("open('/x')", expected="ENOENT", got="EACCES")
WE_SAY = Failure("open('/x')", expected="ENOENT", got="EINVAL")


def run(target, state, failure=None, reason=None):
    record = Record(CASE.id, state, target, "6.1", "source", "src", 0.1, failure, reason)
    return Run(target, "6.1", [record])


@pytest.mark.parametrize(
    ("ours", "kernel", "verdict"),
    [
        ((State.PASS,), (State.PASS,), Verdict.AGREE),
        ((State.FAIL, WE_SAY), (State.PASS,), Verdict.DIFFER),
        ((State.PASS,), (State.FAIL, KERNEL_SAYS), Verdict.DIFFER),
        ((State.FAIL, WE_SAY), (State.FAIL, KERNEL_SAYS), Verdict.DIFFER),
        ((State.FAIL, KERNEL_SAYS), (State.FAIL, KERNEL_SAYS), Verdict.AGREE),
        ((State.CRASHED,), (State.PASS,), Verdict.DIFFER),
        ((State.SKIP, None, "no fork"), (State.PASS,), Verdict.ONE),
        ((State.PASS,), (State.NOT_RUNNABLE, None, "no QEMU"), Verdict.ONE),
        ((State.KNOWN_DIFFERENCE, WE_SAY, "FUSE"), (State.PASS,), Verdict.DIFFER),
    ],
)
def test_verdict_on_a_run(ours, kernel, verdict):
    (one,) = compare([run("model", *ours), run("vm:6.1", *kernel)])
    assert (one.verdict, one.target, one.profile) == (verdict, "model", "6.1")


def test_both_answers_are_told():
    (one,) = compare([run("model", State.PASS), run("vm:6.1", State.FAIL, KERNEL_SAYS)])
    assert (one.call, one.ours, one.kernels) == ("open('/x')", "ENOENT", "EACCES")
    (one,) = compare([run("model", State.FAIL, WE_SAY), run("vm:6.1", State.PASS)])
    assert (one.ours, one.kernels) == ("EINVAL", "ENOENT")


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        (None, Verdict.UNJUDGED),
        (Judgement(CASE.id, "0" * 16, State.PASS), Verdict.STALE),
        (Judgement(CASE.id, golden.digest(CASE), State.PASS), Verdict.AGREE),
        (Judgement(CASE.id, golden.digest(CASE), State.FAIL, KERNEL_SAYS), Verdict.DIFFER),
        (Judgement(CASE.id, golden.digest(CASE), State.SKIP), Verdict.ONE),
    ],
)
def test_verdict_on_golden_data(monkeypatch, record, verdict):
    monkeypatch.setattr(golden, "recorded", lambda case, kernel: record)
    (one,) = compare([run("model", State.PASS)])
    assert one.verdict is verdict


def test_what_was_run_outranks_golden_data(monkeypatch):
    monkeypatch.setattr(golden, "recorded", lambda case, kernel: pytest.fail("asked"))
    (one,) = compare([run("model", State.PASS), run("vm:6.1", State.PASS)])
    assert one.verdict is Verdict.AGREE


def test_report():
    comparisons = compare(
        [run("model", State.FAIL, WE_SAY, "a reason " * 20), run("vm:6.1", State.PASS)]
    )
    lines = list(fidelity_lines(comparisons))
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    assert f"DIFFER {CASE.id} (model, 6.1)" in text
    for part in ("ours      EINVAL", "kernel    ENOENT", "source    src"):
        assert part in text
    assert table(comparisons)["6.1", "model", "kernfs"][Verdict.DIFFER] == 1
    markdown = list(fidelity_markdown(comparisons))
    assert markdown[2] == "| 6.1 | model | 0 | 1 | 0 | 0 | 0 |"


@pytest.mark.parametrize(("reason", "status"), [(None, 1), ("reviewed", 0)])
def test_a_difference_that_is_not_listed_is_a_finding(monkeypatch, reason, status):
    state = State.KNOWN_DIFFERENCE if reason else State.PASS
    runs = [run("model", state, WE_SAY if reason else None, reason)]
    kernel = Judgement(CASE.id, golden.digest(CASE), State.FAIL, KERNEL_SAYS)
    monkeypatch.setattr(golden, "recorded", lambda case, kernel_name: kernel)
    module = sys.modules["harness.report.conform"]  # the package has a function of that name
    monkeypatch.setattr(module, "run_all", lambda *words, **options: runs)
    assert conform(fidelity=True, output=io.StringIO()) == status


def test_one_stale_record_is_announced(monkeypatch):
    stale = Judgement(CASE.id, "0" * 16, State.PASS)
    monkeypatch.setattr(golden, "recorded", lambda case, kernel: stale)
    lines = list(fidelity_lines(compare([run("model", State.PASS)])))
    assert lines[-1].endswith("uapi-harness golden record --target vm:6.1")
    assert fidelity.Verdict.STALE.value in lines[2]


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("[    1.2] all is well\r\n", None),
        ("", None),
        ("[ 3.1] a\n[ 3.2] BUG: bad thing\r\n[ 3.3] RIP: f+0x1\n", "BUG: bad thing; RIP: f+0x1"),
        ("Kernel panic - not syncing: x\n", "Kernel panic - not syncing: x"),
    ],
)
def test_trouble_on_the_console(tmp_path, text, trouble):
    reading, writing = os.pipe()
    console = Console(reading)
    os.write(writing, text.encode())
    os.close(writing)
    console.end()
    assert console.trouble() == trouble
