# SPDX-License-Identifier: Apache-2.0
"""The runner: what becomes of a case, and of workers that die or hang."""

import multiprocessing
import os
import tempfile
import time
from contextlib import contextmanager

import pytest

from harness.agent.client import AgentError
from harness.agent.program import Message, Op, Status
from harness.conformance import expect, known, runner
from harness.conformance.call import Context
from harness.conformance.cases import Case, suite_names
from harness.conformance.errnos import EBADF, ENOENT
from harness.conformance.known import KnownDifference
from harness.conformance.records import Record, Run, State
from harness.conformance.results import Failure, NotRunnableError
from harness.conformance.runner import ConformError, judge, run_case, select
from harness.conformance.targets import TARGETS, Target


class ToyEndpoint:
    """Every close is EBADF, stat ends the task, lstat takes for ever, all else works."""

    def perform(self, task, op, fields, seconds):
        empty = Message(op, 0, task)
        answers = {
            Op.CLOSE: empty._replace(result=-1, error=9),
            Op.STAT: empty._replace(status=Status.GONE),
            Op.MMAP: empty._replace(status=Status.UNABLE, fields=(b"no memory here",)),
            Op.IOCTL: empty._replace(status=Status.UNKNOWN),
        }
        if op is Op.LSTAT:
            raise TimeoutError
        if op is Op.UNLINK:
            raise AgentError("the agent died")
        return answers.get(op, empty._replace(result=3))


class ToyTarget(Target):
    name = "toy"
    features = frozenset({"toys"})

    @contextmanager
    def open(self, machine, profile):
        if machine == "none":
            raise NotRunnableError("no machine today")
        with tempfile.TemporaryDirectory(prefix="toy-"):
            yield ToyEndpoint()


def make_toy():
    return ToyTarget()


def good(call):
    expect(call.close(call.open("/x", 0)), EBADF)


def wrong(call):
    expect(call.close(call.open("/x", 0)), ENOENT)


def unseen(call):
    call.close(call.open("/x", 0))


def unseen_and_wrong(call):
    call.close(call.open("/x", 0))
    expect(1, 2)


def broken(call):
    raise KeyError("oops")


def dies(call):
    os._exit(7)


def hangs(call):
    time.sleep(600)


def a_case(function, **options):
    return Case(f"toy/file::{function.__name__}", function, "toy.c", "source", **options)


def toy_cases(suites=None):
    functions = (good, dies, wrong, hangs, unseen)
    return [a_case(function, limit=0.1 if function is hangs else 5.0) for function in functions]


def run(function, **options):
    return run_case(a_case(function, **options), ToyTarget(), "6.1")


def test_pass():
    record = run(good)
    assert (record.state, record.failure, record.reason) == (State.PASS, None, None)
    assert (record.id, record.suite, record.target) == ("toy/file::good", "toy", "toy")
    assert record.duration >= 0


def test_fail():
    record = run(wrong)
    assert record.state is State.FAIL
    assert record.failure == Failure("close(/x)", "ENOENT", "EBADF")


@pytest.mark.parametrize("function", [unseen, unseen_and_wrong])
def test_a_failed_call_that_nobody_looked_at(function):
    """It is the first cause of what comes later."""
    assert run(function).failure == Failure("close(/x)", "success", "EBADF")


@pytest.mark.parametrize(
    ("call", "state", "reason"),
    [
        (lambda call: call.stat("/x"), State.CRASHED, "the task ended in stat('/x')"),
        (lambda call: call.unlink("/x"), State.CRASHED, "the agent died"),
        (lambda call: call.lstat("/x"), State.TIMEOUT, "no end after 20 s"),
        (lambda call: call.buffer(), State.NOT_RUNNABLE, "no memory here"),
        (lambda call: call.ioctl(call.open("/x", 0), 1), State.NOT_RUNNABLE, "no operation IOCTL"),
    ],
)
def test_what_is_no_answer(call, state, reason):
    record = run_case(Case("toy/f::x", call, "toy.c", "source"), ToyTarget(), "6.1")
    assert record.state is state
    assert reason in record.reason


def test_an_error_of_the_case_itself():
    record = run(broken)
    assert record.state is State.CRASHED
    assert "KeyError: 'oops' (test_runner.py:" in record.reason


def test_what_does_not_fit():
    assert run(good, since="6.12").reason == "is about kernels from 6.12, not 6.1"
    assert run(good, until="6.1").reason == "is about kernels before 6.1, not 6.1"
    assert run(good, since="6.12").state is State.SKIP
    assert run(good, needs=("toys", "stamps")).reason == "target toy has no stamps"
    assert run(good, needs=("toys", "stamps")).state is State.NOT_RUNNABLE
    assert run(good, needs=("toys", "users")).state is State.SKIP
    assert run(good, needs=("toys",), since="6.1").state is State.PASS
    assert run(good, machine="none").reason == "no machine today"


def test_time_is_limited():
    context = Context(ToyEndpoint(), deadline=time.monotonic() - 1)
    assert context.seconds_left() == 0
    assert judge(a_case(good), context) is None


@pytest.fixture
def toys(monkeypatch):
    """The runner with a toy target and these cases only."""

    monkeypatch.setitem(TARGETS, "toy", make_toy)
    monkeypatch.setattr(runner, "discover", toy_cases)
    monkeypatch.setattr(runner, "GRACE", 5.0)


@pytest.mark.usefixtures("toys")
def test_workers_that_die_or_hang_cost_one_case(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    seen = []
    result = runner.run(target="toy", profile="6.1", jobs=2, progress=seen.append)
    assert [record.state for record in result.records] == [
        State.PASS,
        State.CRASHED,
        State.FAIL,
        State.TIMEOUT,
        State.FAIL,
    ]
    assert result.records[1].reason == "the worker ended with status 7"
    assert sorted(seen, key=lambda record: record.id) == sorted(
        result.records, key=lambda record: record.id
    )
    assert result.exit_status == 1
    # The one that hung has tidied up; the one that died had no chance to.
    assert len(list(tmp_path.glob("toy-*"))) == 1


@pytest.mark.usefixtures("toys")
def test_a_worker_that_dies_between_two_cases_costs_one():
    """It is given one before anybody knows."""
    seen = []

    def kill(record):
        seen.append(record.state)
        if len(seen) == 1:
            for worker in multiprocessing.active_children():
                worker.kill()
                worker.join()

    runner.run(target="toy", profile="6.1", jobs=1, progress=kill)
    assert seen == [State.PASS, State.CRASHED, State.FAIL, State.TIMEOUT, State.FAIL]


def test_the_time_of_a_case_begins_when_its_worker_does():
    """However long the machine, which is busy, takes to start it."""
    seen = []
    pool = runner._Pool([], "toy", "6.1", list, list, seen.append)
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        worker = runner._Worker(None, ours, a_case(good, limit=5.0))
        before = worker.deadline
        theirs.send(None)
        pool._take(worker)
    assert worker.deadline < before
    assert seen == []


@pytest.mark.usefixtures("toys")
def test_no_case_at_all_is_a_failure():
    result = runner.run(target="toy", profile="6.1", pattern="nonesuch")
    assert (result.records, result.exit_status) == ([], 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"target": "moon"},
            "unknown target 'moon'; allowed: model, inprocess, process, host, vm:KERNEL",
        ),
        ({"profile": "9.9"}, "unknown profile '9.9'; allowed: .*6.1"),
        ({"suites": ["x"]}, "unknown suite 'x'; allowed: configfs, driver_core, "),
        ({"jobs": 0}, "0 jobs; at least 1"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(options, message):
    with pytest.raises(ConformError, match=message):
        runner.run(**{"target": "model", "profile": "6.1", **options})


def test_select():
    everything = select(None, None)
    assert {case.suite for case in everything} == set(suite_names())
    assert select(["idxd"], "kernfs/") == []
    assert select(None, "kernfs/write::append") == [
        case for case in everything if case.id == "kernfs/write::append"
    ]


def record(state, id="s/f::x", target="model", profile="6.1", **options):
    return Record(id, state, target, profile, "source", "src", 0.1, **options)


@pytest.mark.parametrize(
    ("states", "strict", "status"),
    [
        ([State.PASS], False, 0),
        ([State.PASS, State.SKIP, State.NOT_RUNNABLE, State.KNOWN_DIFFERENCE], False, 0),
        ([State.PASS, State.NOT_RUNNABLE], True, 1),
        ([State.PASS, State.SKIP, State.KNOWN_DIFFERENCE], True, 0),
        ([State.PASS, State.FAIL], False, 1),
        ([State.PASS, State.CRASHED], False, 1),
        ([State.PASS, State.TIMEOUT], False, 1),
        ([State.SKIP, State.NOT_RUNNABLE], False, 3),
        ([State.SKIP, State.NOT_RUNNABLE], True, 1),
        ([], False, 1),
    ],
)
def test_exit_status(states, strict, status):
    assert Run("model", "6.1", [record(state) for state in states], strict).exit_status == status


KNOWN = [KnownDifference("s/f::x", "process", "the VFS answers first")]


def test_a_known_difference():
    failed = record(State.FAIL, target="process", failure=Failure("c", "1", "2"))
    applied = known.apply(failed, KNOWN)
    assert (applied.state, applied.reason) == (State.KNOWN_DIFFERENCE, "the VFS answers first")
    assert applied.failure == failed.failure


def test_a_known_difference_that_agrees_is_a_failure():
    applied = known.apply(record(State.PASS, target="process"), KNOWN)
    assert applied.state is State.FAIL
    assert "take it out of known-differences.yaml" in applied.reason


@pytest.mark.parametrize(
    "other",
    [
        record(State.FAIL, target="model"),
        record(State.FAIL, target="process", id="s/f::y"),
        record(State.CRASHED, target="process"),
        record(State.TIMEOUT, target="process"),
        record(State.NOT_RUNNABLE, target="process"),
    ],
)
def test_a_known_difference_covers_nothing_else(other):
    assert known.apply(other, KNOWN) == other


def test_a_known_difference_of_one_profile():
    only = [KnownDifference("s/f::x", "model", "why", profile="6.12")]
    assert known.apply(record(State.FAIL), only).state is State.FAIL
    assert known.apply(record(State.FAIL, profile="6.12"), only).state is State.KNOWN_DIFFERENCE


def test_a_known_difference_of_kernels_before_one():
    entry = [KnownDifference("s/f::x", "model", "why", until="+iommufd")]
    before, after = (record(State.FAIL, profile=name) for name in ("6.12", "6.12+iommufd"))
    assert known.apply(before, entry).state is State.KNOWN_DIFFERENCE
    assert known.apply(after, entry).state is State.FAIL


def test_entries_with_unknown_keys_are_refused():
    with pytest.raises(Exception, match="While structuring"):
        known.structure([{"id": "x", "target": "model", "reason": "r", "since": 1}])


def test_every_known_difference_is_about_a_case_that_exists():
    ids = {case.id for case in select(None, None)}
    assert {difference.id for difference in known.load()} <= ids


@pytest.fixture
def own_case(tmp_path):
    """A file of cases, one of which fails on the model."""
    path = tmp_path / "mine.py"
    path.write_text(
        "from harness.conformance import case, expect\n"
        "@case(source='s')\n"
        "def wrong(call): expect(call.listdir('/sys/bus/dsa/devices'), [])\n"
        "@case(source='s')\n"
        "def right(call): expect(call.stat('/sys'))\n"
    )
    return path


def test_somebodys_own_file(own_case):
    path = str(own_case)
    result = runner.run(target="model", profile="6.1", suites=[path], jobs=2)
    assert [(one.id, one.state, one.file) for one in result.records] == [
        ("mine::wrong", State.FAIL, path),
        ("mine::right", State.PASS, path),
    ]


def test_known_differences_of_somebodys_own_file(own_case, tmp_path):
    beside = tmp_path / "known-differences.yaml"
    beside.write_text("cases: [{id: 'mine::wrong', target: model, reason: new}]")
    result = runner.run(target="model", profile="6.1", suites=[str(own_case)], pattern="wrong")
    assert [(one.state, one.reason) for one in result.records] == [(State.KNOWN_DIFFERENCE, "new")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cases: [{id: a, target: b}]", "known-differences.yaml: required field missing .*"),
        ("cases: {", "known-differences.yaml:1: .*"),
        ("cases: 7", "known-differences.yaml:1: a mapping with the list cases is wanted"),
        ("", "known-differences.yaml:1: a mapping with the list cases is wanted"),
        ("cases: []\ncase: []", "known-differences.yaml:2: case: unknown key; allowed: schema, "),
    ],
)
def test_a_wrong_list_of_known_differences_is_one_line(own_case, tmp_path, text, message):
    (tmp_path / "known-differences.yaml").write_text(text)
    with pytest.raises(ConformError, match=message) as raised:
        runner.run(target="model", profile="6.1", suites=[str(own_case)])
    assert "\n" not in str(raised.value)
