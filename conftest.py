# SPDX-License-Identifier: Apache-2.0
"""Strict mode: in CI a test that was skipped is a test that failed.

Where UAPI_STRICT=1 is set, or --strict-skips is given, every skip is turned into a failure that
quotes its reason, so that a machine which lacks something cannot look green. A whole file that
skips itself (``importorskip`` at its top) makes no test to fail, so its collection fails.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--strict-skips",
        action="store_true",
        default=os.environ.get("UAPI_STRICT") == "1",
        help="a skipped test is a failed test (default: on if UAPI_STRICT=1)",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # An expected failure reports itself as skipped, too.
    if not hasattr(report, "wasxfail"):
        _fail_if_skipped(item.config, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(collector.config, report)
    return report


def _fail_if_skipped(
    config: pytest.Config, report: pytest.TestReport | pytest.CollectReport
) -> None:
    if report.skipped and config.option.strict_skips:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, and skips are failures in strict mode: {reason}"
