# SPDX-License-Identifier: Apache-2.0
"""The table of real programs: which version of which tool did what, on which kernel.

``pytest tests/tools --scenarios FILE`` writes it, from the tests that ran: the tool is the package
that a test's module names (``PACKAGE``), the kernels are those of the machines that the test used.
"""

import shutil
import subprocess
from pathlib import Path

OUTCOMES = {"passed": "works", "failed": "fails", "skipped": "skipped"}
HEAD = """\
# Real programs in a machine

Written by `pytest tests/tools --scenarios {file}`; each line is a test of that name. What a
scenario must show is in the test.

| tool | version | kernel | scenario | result |
|---|---|---|---|---|
"""


def version_of(package):
    """The installed version of a Debian package."""
    if package is None or shutil.which("dpkg-query") is None:
        return "-"
    words = ["dpkg-query", "-W", "-f", "${Version}", package]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "-"


class Scenarios:
    """A pytest plugin that gathers the rows, from all workers, and writes them."""

    def __init__(self, file):
        self._file = Path(file)
        self._rows = []

    def pytest_runtest_logreport(self, report):
        """One row for each test: its call, or a set-up that was the end of it."""
        if report.when != "call" and not (report.when == "setup" and not report.passed):
            return
        known = {}
        for name, value in report.user_properties:
            known.setdefault(name, []).append(value)
        path, _, test = report.nodeid.partition("::")
        module = Path(path).stem
        tool, version = known.get("tool", [module.removeprefix("test_")])[-1], known.get("version")
        kernels = ", ".join(dict.fromkeys(known.get("profile", ["-"])))
        scenario = test.removeprefix("test_").replace("_", " ").replace("|", "/")
        row = (tool, version[-1] if version else "-", kernels, scenario)
        self._rows.append((*row, OUTCOMES[report.outcome]))

    def pytest_sessionfinish(self, session):
        """Write the table, unless this is but a worker."""
        if hasattr(session.config, "workerinput"):
            return
        lines = [f"| {' | '.join(row)} |\n" for row in sorted(self._rows)]
        self._file.write_text(HEAD.format(file=self._file) + "".join(lines))
