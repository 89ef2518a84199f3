# SPDX-License-Identifier: Apache-2.0
"""The runner: chooses cases, runs each in a fresh machine, and keeps a record of each.

A case runs in a worker process. A worker that dies or hangs costs the case it was at, which is
recorded as crashed or timed out; a new worker takes the next one.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from attrs import define, evolve, field

from harness.agent.client import AgentError
from harness.conformance import known
from harness.conformance.call import Call, Context, TaskGoneError
from harness.conformance.cases import Case, CaseFileError, discover, is_path, suite_names
from harness.conformance.golden import evidence
from harness.conformance.records import BAD, Record, Run, State
from harness.conformance.results import CaseFailedError, Failure, ImpossibleError, NotRunnableError
from harness.conformance.targets import FEATURES, Target, TargetError, target_maker
from harness.data import DataError, lineage, profile_names

#: How long a worker may take beyond a case's own limit: starting a machine and ending it.
GRACE = 30.0
#: How long a worker may take to begin, in seconds: a machine may be busy.
_START = 300.0
#: How long a worker that is told to end at once may take for that, in seconds.
_END = 5.0

Progress = Callable[[Record], None]


class ConformError(ValueError):
    """What was asked for does not exist: what, and what does."""


def _choose(kind: str, name: str, allowed: Iterable[str]) -> None:
    if name not in allowed:
        raise ConformError(f"unknown {kind} {name!r}; allowed: {', '.join(sorted(allowed))}")


def check_names(target: str, profile: str) -> Target:
    """The target. ConformError if there is no such target or profile."""
    _choose("profile", profile, profile_names())
    try:
        return target_maker(target)()
    except TargetError as error:
        raise ConformError(str(error)) from None


def select(suites: Sequence[str] | None, pattern: str | None) -> list[Case]:
    """The cases of ``suites`` (None: all) whose id has ``pattern`` in it. ConformError.

    A suite is a name, or the path of somebody's own file of cases.
    """
    for suite in suites or ():
        if not is_path(suite):
            _choose("suite", suite, suite_names())
    try:
        found = discover(suites or None)
    except CaseFileError as error:
        raise ConformError(str(error)) from None
    return [case for case in found if pattern is None or pattern in case.id]


def known_differences(cases: Iterable[Case]) -> list[known.KnownDifference]:
    """The known differences that these cases may have. ConformError."""
    try:
        return known.load(case.file for case in cases if case.file is not None)
    except DataError as error:
        raise ConformError(str(error)) from None


def run(
    *,
    target: str,
    profile: str,
    suites: Sequence[str] | None = None,
    pattern: str | None = None,
    jobs: int | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    make: Callable[[], Target] | None = None,
) -> Run:
    """Run what is chosen on ``jobs`` workers (None: one a core). Raises ConformError.

    ``make`` makes the target, also in other processes, if it is not the usual one of that name.
    """
    chosen_target = check_names(target, profile)
    if jobs is not None and jobs < 1:
        raise ConformError(f"{jobs} jobs; at least 1")
    chosen = select(suites, pattern)
    cases = [case for case in chosen if case.is_about(profile)]
    if chosen and not cases:
        raise ConformError(f"none of the cases chosen is about {profile}")
    count = min(jobs or len(os.sched_getaffinity(0)), len(cases))
    differences = known_differences(cases)
    records: dict[str, Record] = {}

    def keep(record: Record) -> None:
        record = known.apply(record, differences)
        records[record.id] = record
        if progress is not None:
            progress(record)

    try:
        chosen_target.prepare(profile)
    except NotRunnableError as error:
        for case in cases:
            outcome = (State.NOT_RUNNABLE, None, str(error))
            keep(_record(case, target, profile, 0.0, *outcome))
    else:
        load = partial(discover, suites or None)
        _Pool(cases, target, profile, make or target_maker(target), load, keep).run(count)
    return Run(target, profile, [records[case.id] for case in cases], strict)


# --- one case


def run_case(case: Case, target: Target, profile: str) -> Record:
    """Run one case in this process, in a fresh machine."""
    started = time.monotonic()
    target.unknown, target.observed = (), None
    outcome = _outcome(case, target, profile)
    record = _record(case, target.name, profile, time.monotonic() - started, *outcome)
    return evolve(record, unknown=target.unknown, observed=target.observed)


_Outcome = tuple[State, Failure | None, str | None]


def _record(
    case: Case,
    target: str,
    profile: str,
    duration: float,
    state: State,
    failure: Failure | None,
    reason: str | None,
) -> Record:
    return Record(
        id=case.id,
        state=state,
        target=target,
        profile=profile,
        evidence=evidence(case, profile),
        source=case.source,
        duration=duration,
        failure=failure,
        reason=reason,
        file=case.file,
    )


def _outcome(case: Case, target: Target, profile: str) -> _Outcome:
    if not case.is_about(profile):
        which = f"from {case.since}" if case.since else f"before {case.until}"
        return State.SKIP, None, f"is about kernels {which}, not {profile}"
    missing = sorted(set(case.needs) - target.features)
    if missing:
        # What no target has at all is a mistake of the case's.
        state = State.SKIP if FEATURES.issuperset(missing) else State.NOT_RUNNABLE
        return state, None, f"target {target.name} has no {', '.join(missing)}"
    try:
        with target.open(case.machine, profile) as endpoint:
            failure = judge(
                case, Context(endpoint, time.monotonic() + case.limit, lineage(profile))
            )
    except ImpossibleError as error:
        return State.SKIP, None, str(error)
    except NotRunnableError as error:
        return State.NOT_RUNNABLE, None, str(error)
    except TimeoutError:
        return State.TIMEOUT, None, _no_end(case)
    except (AgentError, TaskGoneError) as error:
        return State.CRASHED, None, str(error)
    except Exception as error:
        return State.CRASHED, None, _where(error)
    return (State.FAIL if failure else State.PASS), failure, None


def judge(case: Case, context: Context) -> Failure | None:
    """Run the case's function; what went against expectations, if anything did.

    A failed call that nobody looked at comes first: what follows it may only be its consequence.
    """
    try:
        case.function(Call(context), **case.arguments)
    except CaseFailedError as error:
        return context.first_unseen_failure() or error.failure
    return context.first_unseen_failure()


def _no_end(case: Case) -> str:
    return f"no end after {case.limit:g} s"


def _where(error: Exception) -> str:
    """An error of the harness or of the case itself, and the innermost place it came from."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(frame.filename)}:{frame.lineno}"
    return f"{type(error).__name__}: {error} ({place}, {frame.name})"


# --- workers


def _work(
    connection: Connection, make: Callable[[], Target], load: Callable[[], list[Case]], profile: str
) -> None:
    """The life of a worker: ids of cases in, records out, until the other end closes. None is the
    first that comes out, when it begins.
    """
    # A terminal's interrupt is our runner's affair, and SIGTERM how it ends us with all we hold.
    # Functions, not SIG_IGN: what we start must not inherit it.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    cases = {case.id: case for case in load()}
    # All this stays; machines come and go, and their garbage is looked for often.
    gc.freeze()
    with closing(make()) as target:
        try:
            connection.send(None)
            while True:
                case = cases[connection.recv()]
                connection.send(run_case(case, target, profile))
        except (EOFError, ConnectionError):
            return


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Also in a process that is started in here, until it has its own way of taking them."""
    # Its start would unblock them.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@define(eq=False)
class _Worker:
    """A process that runs one case at a time."""

    process: BaseProcess
    connection: Connection
    case: Case
    deadline: float = field(factory=lambda: time.monotonic() + _START)

    def give(self, case: Case) -> None:
        self.case = case
        with suppress(ConnectionError):  # it has died: what comes from it next is its end
            self.connection.send(case.id)

    def begin(self) -> None:
        """From now on it works at its case."""
        self.deadline = time.monotonic() + self.case.limit + GRACE

    def stop(self) -> None:
        """Let it end by itself: it is between two cases."""
        self.connection.close()
        self.process.join()

    def kill(self) -> None:
        """Let it give back what it holds, such as a virtual machine's folder; else without."""
        self.process.terminate()
        self.process.join(_END)
        self.process.kill()
        self.stop()


class _Pool:
    """Workers and the cases that wait for one."""

    def __init__(
        self,
        cases: Sequence[Case],
        target: str,
        profile: str,
        make: Callable[[], Target],
        load: Callable[[], list[Case]],
        keep: Progress,
    ) -> None:
        self.waiting = deque(cases)
        self.target = target
        self.profile = profile
        #: Makes the target, in a worker.
        self.make = make
        #: Finds the cases once more, in a worker.
        self.load = load
        self.keep = keep
        self.workers: list[_Worker] = []
        # A worker must not inherit threads' locks or file descriptors from whoever calls us.
        self.context = multiprocessing.get_context("spawn")

    def run(self, count: int) -> None:
        """Run all cases on ``count`` workers."""
        try:
            for _ in range(count):
                self._start()
            while self.workers:
                self._turn()
        finally:
            for worker in self.workers:
                worker.kill()

    def _start(self) -> None:
        """A new worker, if there is still a case for it."""
        if not self.waiting:
            return
        ours, theirs = self.context.Pipe()
        arguments = (theirs, self.make, self.load, self.profile)
        process = self.context.Process(target=_work, args=arguments, daemon=True)
        with _interrupts_blocked():
            process.start()
        theirs.close()
        case = self._next(None)
        worker = _Worker(process, ours, case)
        worker.give(case)
        self.workers.append(worker)

    def _next(self, machine: str | None) -> Case:
        """The next case for a worker that had ``machine``, which its target may have kept: one on
        the same, or else on one that no other worker has."""
        others = {worker.case.machine for worker in self.workers}
        chosen = self.waiting[0]
        for case in self.waiting:
            if case.machine == machine:
                chosen = case
                break
            if chosen.machine in others and case.machine not in others:
                chosen = case
        self.waiting.remove(chosen)
        return chosen

    def _turn(self) -> None:
        """Wait for a record, a death or the end of somebody's time."""
        nearest = min(worker.deadline for worker in self.workers)
        ready = wait(
            [worker.connection for worker in self.workers],
            max(0.0, nearest - time.monotonic()),
        )
        for worker in list(self.workers):
            if worker.connection in ready:
                self._take(worker)
            elif time.monotonic() >= worker.deadline:
                self._lost(worker, State.TIMEOUT, _no_end(worker.case))

    def _take(self, worker: _Worker) -> None:
        try:
            record: Record | None = worker.connection.recv()
        except (EOFError, ConnectionError):
            worker.process.join()
            status = worker.process.exitcode
            self._lost(worker, State.CRASHED, f"the worker ended with status {status}")
            return
        if record is None:
            worker.begin()
            return
        self.keep(record)
        if self.waiting:
            worker.give(self._next(worker.case.machine))
            worker.begin()
        else:
            self.workers.remove(worker)
            worker.stop()

    def _lost(self, worker: _Worker, state: State, reason: str) -> None:
        """A worker that is of no more use: its case is recorded, another worker starts."""
        self.workers.remove(worker)
        worker.kill()
        case = worker.case
        self.keep(_record(case, self.target, self.profile, case.limit, state, None, reason))
        self._start()


class TerminalProgress:
    """One line on a terminal that counts along; nothing where stderr is none."""

    def __init__(self) -> None:
        self.done = self.bad = 0
        self.active = sys.stderr.isatty()

    def __call__(self, record: Record) -> None:
        self.done += 1
        self.bad += record.state in BAD
        if self.active:
            sys.stderr.write(f"\r\033[K{self.done} cases, {self.bad} bad: {record.id[:60]}")
            sys.stderr.flush()

    def end(self) -> None:
        """Take the line away."""
        if self.active:
            sys.stderr.write("\r\033[K")
