# SPDX-License-Identifier: Apache-2.0
"""Strict mode: in CI a test that was skipped is a test that failed.

Where UAPI_STRICT=1 is set, or --strict-skips is given, every skip is turned into a failure that
quotes its reason, so that a machine which lacks something cannot look green.
"""

import os

import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--strict-skips",
        action="store_true",
        default=os.environ.get("UAPI_STRICT") == "1",
        help="a skipped test is a failed test (default: on if UAPI_STRICT=1)",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.option.strict_skips:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, and skips are failures in strict mode: {reason}"
    return report
