# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin: a fake machine in a test, programs in it, and files of conformance cases.

Importing this is cheap, because every pytest of the environment does: all else is imported by the
fixtures that need it. Each test has its own machine, so tests run in parallel and in any order.
"""

from __future__ import annotations

import gc
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from harness.machine import Machine
    from harness.mounts.inprocess import InProcessMount
    from harness.mounts.process import Child, ProcessMount

_MARKER = "uapi_machine(name, profile=None): the machine of the fixture uapi_machine"
#: What may name a machine or a profile.
_TEXT = (str, os.PathLike, type(None))
_MOUNT_MARKER = "uapi_mount(uevents=False): what programs of the fixture uapi_run have besides"
DEFAULT_MACHINE = "spr-2s"
#: How long a program may take, in seconds, unless a test says otherwise.
_TIMEOUT = 60.0
#: What case files are to be run on, if anything.
_PLAN = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and their settings; an option outranks the setting, a marker outranks both."""
    group = parser.getgroup("uapi-harness")
    machine = f"machine of the fixture uapi_machine, a name or a file (default: {DEFAULT_MACHINE})"
    profile = "kernel profile, instead of the machine's own; of case files also several with commas"
    target = "collect case files, for model, inprocess or process, or several with commas"
    strict = "fail where a test would be skipped because this host lacks something"
    group.addoption("--uapi-machine", metavar="NAME|FILE", help=machine)
    group.addoption("--uapi-profile", metavar="P", help=profile)
    group.addoption("--uapi-target", metavar="T", help=target)
    group.addoption("--uapi-strict", action="store_true", default=None, help=strict)
    parser.addini("uapi_machine", machine, default=DEFAULT_MACHINE)
    parser.addini("uapi_profile", profile, default="")
    parser.addini("uapi_target", target, default="")
    parser.addini("uapi_case_files", "names of case files", type="args", default=["cases_*.py"])
    parser.addini("uapi_strict", strict, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and what case files are to be run on."""
    config.addinivalue_line("markers", _MARKER)
    config.addinivalue_line("markers", _MOUNT_MARKER)
    targets = _setting(config, "uapi_target")
    if targets:
        from harness.pytest_cases import Plan

        plan = Plan.of(targets, _setting(config, "uapi_profile"), _strict(config))
        config.stash[_PLAN] = plan


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Case files, if a target is named: see :func:`_is_case_file`."""
    plan = parent.config.stash.get(_PLAN, None)
    if plan is None or not _is_case_file(file_path, parent.session):
        return None
    from harness.pytest_cases import CaseFile

    return CaseFile.from_parent(parent, path=file_path, plan=plan)


def _is_case_file(path: Path, session: pytest.Session) -> bool:
    """One that the setting ``uapi_case_files`` is about, or that the command line names."""

    def named(setting: str) -> bool:
        return any(fnmatch(path.name, pattern) for pattern in session.config.getini(setting))

    given = session.isinitpath(path) and path.suffix == ".py" and not named("python_files")
    return given or named("uapi_case_files")


def pytest_pycollect_makeitem(obj: object) -> list[pytest.Item] | None:
    """A case in a test file, or in a case file that pytest reads as one, is no test function."""
    return [] if hasattr(obj, "uapi_case") else None


def _setting(config: pytest.Config, name: str) -> Any:
    option = config.getoption(name)
    return option if option is not None else config.getini(name)


def _strict(config: pytest.Config) -> bool:
    return bool(_setting(config, "uapi_strict")) or os.environ.get("UAPI_STRICT") == "1"


def _cannot(config: pytest.Config, reason: str) -> NoReturn:
    """This host lacks something: a skip, or a failure where nothing may be left out."""
    if _strict(config):
        pytest.fail(f"{reason} (strict: not skipped)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def uapi_machine(request: pytest.FixtureRequest) -> Machine:
    """A fresh machine: the one that the test's marker names, or the option, or the setting.

    Its clock is virtual, but real where programs run in it.
    """
    from harness.kernel.wait import RealClock
    from harness.machine import MachineError, load_machine

    name = _setting(request.config, "uapi_machine")
    profile = _setting(request.config, "uapi_profile") or None
    marker = request.node.get_closest_marker("uapi_machine")
    if marker is not None:
        name, profile = _marked(marker, name, profile)
    clock = RealClock() if "uapi_run" in request.fixturenames else None
    try:
        return load_machine(name, profile=profile, clock=clock)
    except MachineError as error:
        pytest.fail(str(error), pytrace=False)


def _marked(
    marker: pytest.Mark, name: str, profile: str | None
) -> tuple[str | os.PathLike[str], str | None]:
    texts = [*marker.args, *marker.kwargs.values()]
    unknown = marker.kwargs.keys() - {"profile"}
    if len(marker.args) > 1 or unknown or not all(isinstance(one, _TEXT) for one in texts):
        pytest.fail(f"@pytest.mark.{_MARKER}", pytrace=False)
    return (marker.args[0] if marker.args else name), marker.kwargs.get("profile", profile)


class UapiRun:
    """Programs in a machine. ``machine`` is open to assertions, and changes, between them."""

    def __init__(self, machine: Machine, mount: ProcessMount) -> None:
        self.machine = machine
        self._mount = mount

    def __call__(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        input: str = "",
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        uid: int = 0,
        check: bool = False,
        timeout: float = _TIMEOUT,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; what it wrote is text. ``uid`` is who it is.

        ``returncode`` is 128+n after signal n. Raises CommandError if it cannot be executed,
        subprocess.CalledProcessError with ``check``, TimeoutError after ``timeout`` seconds.
        """
        with tempfile.TemporaryFile() as stdin:
            stdin.write(input.encode())
            stdin.seek(0)
            child = self._mount.popen(
                argv, stdin=stdin, stdout=-1, stderr=-1, env=env, cwd=cwd, uid=uid
            )
            try:
                stdout, stderr = child.communicate(timeout)
            finally:
                if child.poll() is None:
                    child.destroy()
        done = subprocess.CompletedProcess(
            child.argv,
            child.wait(),
            stdout.decode(errors="surrogateescape"),
            stderr.decode(errors="surrogateescape"),
        )
        if check:
            done.check_returncode()
        return done

    def popen(self, argv: Sequence[str | os.PathLike[str]], **options: Any) -> Child:
        """Start a program, as ProcessMount.popen; what still runs at the test's end is killed."""
        return self._mount.popen(argv, **options)

    def flush(self) -> None:
        """Let programs see at once what the test changed in the machine."""
        self._mount.flush()


@pytest.fixture
def uapi_run(request: pytest.FixtureRequest, uapi_machine: Machine) -> Iterator[UapiRun]:
    """Run programs in ``uapi_machine``. Skips where this host cannot, saying what it lacks.

    A file that is still open in the machine when all programs have ended fails the test.
    """
    from harness.doctor import missing_for_process_mount
    from harness.mounts.process import MountOptions, ProcessMount

    reason = missing_for_process_mount()
    if reason is not None:
        _cannot(request.config, reason)
    with ExitStack() as stack:
        # An ordinary user has but one id in the mount, so the machine must tell users apart.
        by_machine = True if os.geteuid() else None
        marker = request.node.get_closest_marker("uapi_mount")
        try:
            options = MountOptions(**(marker.kwargs if marker else {}))
        except TypeError:
            pytest.fail(f"@pytest.mark.{_MOUNT_MARKER}", pytrace=False)
        mount = ProcessMount(uapi_machine, server_permissions=by_machine, options=options)
        yield UapiRun(uapi_machine, stack.enter_context(mount))
    leaks = uapi_machine.leaks()
    if leaks:
        pytest.fail(f"still open after all programs ended: {', '.join(leaks)}", pytrace=False)


@pytest.fixture
def uapi_inprocess(
    request: pytest.FixtureRequest, uapi_machine: Machine
) -> Iterator[InProcessMount]:
    """``uapi_machine`` for the Python code of the test itself: os, open, pathlib, fcntl, select.

    Programs that the code starts run in the machine too; where this host cannot do that, the test
    skips at that point. A file that the test leaves open, or a program that it leaves running,
    fails the test.
    """
    try:
        from harness.mounts.inprocess import InProcessMount
    except ModuleNotFoundError as error:
        _cannot(request.config, f"{error.name} is not installed: uapi-harness[inprocess] has it")
    mount = InProcessMount(uapi_machine, cannot=lambda reason: _cannot(request.config, reason))
    with mount:
        yield mount
        gc.collect()  # a file object that is only garbage is no leak
        left = sorted(mount.open_paths())
    if left or mount.killed:
        problems = [f"still open: {path}" for path in left]
        problems += [f"still running: {program}" for program in mount.killed]
        pytest.fail("; ".join(problems), pytrace=False)
