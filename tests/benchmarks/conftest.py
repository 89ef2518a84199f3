# SPDX-License-Identifier: Apache-2.0
"""Loops that run side by side in one run, and a table of their ratios at the end.

Absolute times say little; each line compares two measurements of the same run. Nothing is asserted:
a ratio above its limit is marked in the table, for a reader to judge. The shortest round of each
measurement counts: whatever else this machine does only makes rounds longer.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile

import pytest

from harness import data
from harness.machine import load_machine

#: name of the measurement -> seconds for one operation
_times = {"a second": 1.0}
#: (what, measured, compared with, limit)
_ratios = []
#: (what, measured small and large, compared with small and large, limit)
_growths = []
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
        self._process.stdin.write(f"{self.count}\n".encode())
        self._process.stdin.flush()
        assert self._process.stdout.readline() == b"done\n"

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(30) == 0
        self._process.stdout.close()


@contextlib.contextmanager
def looping(arguments, count):
    """A :class:`Loop`, which ends well."""
    loop = Loop(arguments, count)
    try:
        yield loop
    finally:
        loop.close()


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
    return running_in("spr-2s")


def running_in(machine, *options):
    """The command line that runs what follows it in a machine."""
    return [sys.executable, "-m", "harness", "run", "--machine", machine, *options, "--"]


@contextlib.contextmanager
def on_tmpfs_copy(machine):
    """The command line that runs what follows it with a machine's /sys as plain files.

    They are bound where the machine's own mount is, so that paths are walked alike.
    """
    root = tempfile.mkdtemp(prefix="uapi-harness-bench-", dir="/dev/shm")
    try:
        for path, node in load_machine(machine).tree("/sys").items():
            copy = root + path
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            if "link" in node:
                os.symlink(node["link"], copy)
            elif "dir" in node:
                os.makedirs(copy, exist_ok=True)
            else:
                with open(copy, "w") as file:
                    file.write(node.get("text", ""))
        parts = ("bus", "class", "devices", "module")
        over = " && ".join(f"mount --rbind {root}/sys/{part} /sys/{part}" for part in parts)
        yield ["unshare", "-Urm", "sh", "-c", f'{over} && exec "$@"', "sh"]
    finally:
        shutil.rmtree(root)


@pytest.fixture(scope="session")
def many_devices(tmp_path_factory):
    """``many_devices(n)``: the file of a machine with so many DSA devices, each like spr-1s's."""

    def write(count):
        head, _, functions = (
            data.data_path("sysfs_models", "spr-1s.yaml").read_text().partition("pci:\n")
        )
        first = functions.partition("  - &iaa")[0]
        more = (
            _DEVICE.format(bus=0x6A + n // 16, slot=n % 16 + 1, high=n) for n in range(1, count)
        )
        path = tmp_path_factory.getbasetemp() / f"dsa-{count}.yaml"
        path.write_text(f"{head}pci:\n{first}{''.join(more)}")
        return str(path)

    return write


_DEVICE = """\
  - <<: *dsa
    slot: "0000:{bus:02x}:{slot:02x}.0"
    bars:
      0: {{size: 0x10000, address: 0x2{high:03x}fff40000, prefetchable: true, bits: 64}}
      2: {{size: 0x20000, address: 0x2{high:03x}fff00000, prefetchable: true, bits: 64}}
"""


@pytest.fixture
def measure(benchmark):
    """Measure a callable that does ``count`` operations, under a name for :func:`compare`."""

    def measure_it(name, function, count, rounds=9):
        benchmark.group = name.split(":")[0]
        function()  # warm caches
        benchmark.pedantic(function, rounds=rounds, iterations=1)
        _times[name] = benchmark.stats.stats.min / count

    return measure_it


@pytest.fixture
def measure_ends(benchmark):
    """Measure a callable that does ``count`` operations, ``rounds`` times before ``between()`` is
    called and as often after; as NAME: first and NAME: last."""

    def measure_it(name, function, count, rounds, between):
        benchmark.group = name
        done = iter(range(2 * rounds))

        def setup():
            if next(done) == rounds:
                between()

        benchmark.pedantic(function, setup=setup, rounds=2 * rounds, iterations=1)
        seconds = benchmark.stats.stats.data
        _times[f"{name}: first"] = min(seconds[:rounds]) / count
        _times[f"{name}: last"] = min(seconds[rounds:]) / count

    return measure_it


def compare(what, measured, reference, limit):
    """A line of the table: ``measured`` may take ``limit`` times what ``reference`` takes."""
    _ratios.append((what, measured, reference, limit))


def compare_growth(what, measured, reference, limit):
    """A line of the table about pairs of a small and a large one: how much more an operation costs
    in the large one of ``measured`` may be ``limit`` times what it is in ``reference``."""
    _growths.append((what, measured, reference, limit))


def _growth(pair):
    small, large = pair
    return _times[large] / _times[small]


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
                f"{what:<58}{microseconds} = {ratio:5.2f}  {verdict} {limit:.4g}"
            )
    for what, measured, reference, limit in _growths:
        if {*measured, *reference} <= _times.keys():
            ratio = _growth(measured) / _growth(reference)
            verdict = "within" if ratio <= limit else "ABOVE"
            factors = f"{_growth(measured):9.2f}    / {_growth(reference):9.2f}   "
            terminalreporter.write_line(f"{what:<58}{factors} = {ratio:5.2f}  {verdict} {limit}")
