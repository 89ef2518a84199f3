# SPDX-License-Identifier: Apache-2.0
"""Runs a stranger's tests with the plugin."""

import os
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import harness


@pytest.fixture
def strangers_pytest(pytester, monkeypatch):
    """``strangers_pytest(*options)``: run pytest where the test's files are."""
    root = str(Path(harness.__file__).parents[1])
    paths = [root, os.environ.get("PYTHONPATH")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    words = (*plugin(), "-p", "no:randomly")
    return lambda *options: pytester.runpytest_subprocess(*words, *options)


@pytest.fixture
def outcome(pytester, strangers_pytest):
    """``outcome(code, *options, **counts)``: run a test file, and see how its tests ended."""

    def run(code, *options, **counts):
        pytester.makepyfile(code)
        result = strangers_pytest(*options)
        result.assert_outcomes(**counts)
        return result

    return run


def plugin():
    """What makes the plugin known: nothing where the distribution is installed."""
    points = entry_points(group="pytest11")
    installed = any(point.value == "harness.pytest_plugin" for point in points)
    return () if installed else ("-p", "harness.pytest_plugin")
