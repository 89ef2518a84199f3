# SPDX-License-Identifier: Apache-2.0
"""Loops that run side by side in one run, and a table of their ratios at the end.

Absolute times say little; each line compares two measurements of the same run. Nothing is asserted:
a ratio above its limit is marked in the table, for a reader to judge on a quiet machine.
"""

import os
import shutil
import subprocess
import sys

import pytest

#: name of the measurement -> seconds for one operation
_times = {}
#: (what, measured, compared with, limit)
_ratios = []
#: All loops and servers share the last CPU: across CPUs a round trip is bimodal.
CPU = str(max(os.sched_getaffinity(0)))


def pytest_collection_modifyitems(items):
    missing = [tool for tool in ("gcc", "taskset") if shutil.which(tool) is None]
    for item in items if missing else ():
        item.add_marker(pytest.mark.skip(reason=f"no {', '.join(missing)}"))


class Loop:
    """A running tests/benchmarks/loop.c; calling it does the operation ``count`` times."""

    def __init__(self, arguments, count):
        self._process = subprocess.Popen(
            ["taskset", "-c", CPU, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.count = count

    def __call__(self):
        self._process.stdin.write(b"%d\n" % self.count)
        self._process.stdin.flush()
        assert self._process.stdout.readline() == b"done\n"

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(30) == 0
        self._process.stdout.close()


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """Compile a C file of this folder; returns the program's path."""

    def compile_it(name, *flags):
        program = tmp_path_factory.getbasetemp() / name
        if not program.exists():
            source = os.path.join(os.path.dirname(__file__), f"{name}.c")
            subprocess.run(["gcc", "-O2", "-o", program, source, *flags], check=True)
        return str(program)

    return compile_it


@pytest.fixture
def uapi_run():
    """The command line that runs what follows it in the machine spr-2s."""
    return [sys.executable, "-m", "harness", "run", "--machine", "spr-2s", "--"]


@pytest.fixture
def measure(benchmark):
    """Measure a callable that does ``count`` operations, under a name for :func:`compare`."""

    def measure_it(name, function, count, rounds=9):
        benchmark.group = name.split(":")[0]
        function()  # warm caches
        benchmark.pedantic(function, rounds=rounds, iterations=1)
        _times[name] = benchmark.stats.stats.median / count

    return measure_it


def compare(what, measured, reference, limit):
    """A line of the table: ``measured`` may take ``limit`` times what ``reference`` takes."""
    _ratios.append((what, measured, reference, limit))


def pytest_terminal_summary(terminalreporter):
    if not _ratios:
        return
    terminalreporter.section("ratios, measured side by side")
    for what, measured, reference, limit in _ratios:
        if measured in _times and reference in _times:
            ratio = _times[measured] / _times[reference]
            verdict = "within" if ratio <= limit else "ABOVE"
            microseconds = f"{_times[measured] * 1e6:9.1f} us / {_times[reference] * 1e6:9.1f} us"
            terminalreporter.write_line(
                f"{what:<58}{microseconds} = {ratio:5.2f}  {verdict} {limit}"
            )
