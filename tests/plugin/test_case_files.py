# SPDX-License-Identifier: Apache-2.0
"""Somebody's own files of cases as pytest items."""

import pytest

pytest_plugins = ["pytester"]

CASES = """
    from harness.conformance import Call, case, expect, param
    from harness.conformance.errnos import EINVAL
    from my_paths import PRIORITY

    @case(source="wq_priority_store: drivers/dma/idxd/sysfs.c, 6.1")
    @param("value", ["1", "a::b", "16"])
    def priority(call: Call, value: str) -> None:
        expect(call.write_text(PRIORITY, value), len(value))

    @case(source="somewhere", since="7.2")
    def new(call: Call) -> None:
        expect(call.read_text(PRIORITY), "0\\n")

    @case(source="somewhere", needs=["magic"])
    def test_magic(call: Call) -> None:
        expect(call.read_text(PRIORITY), "0\\n")
"""


@pytest.fixture
def cases(pytester, outcome, monkeypatch):
    """``cases(*options, **counts)``: the files above and a test beside them, by pytest."""
    monkeypatch.delenv("UAPI_STRICT", raising=False)
    pytester.makepyfile(
        cases_my_device=CASES,
        my_paths='PRIORITY = "/sys/bus/dsa/devices/wq0.0/priority"',
    )
    test = "from cases_my_device import priority, test_magic\n\ndef test_it(): pass"
    return lambda *options, **counts: outcome(test, "-v", "-rs", *options, **counts)


def test_nothing_is_collected_unless_a_target_is_named(cases):
    cases(passed=1)
    result = cases("cases_my_device.py")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_items_by_target_and_profile(cases):
    names = ("--uapi-target", "model,inprocess", "--uapi-profile", "6.1,7.2")
    result = cases(*names, passed=1 + 4 + 2, failed=8, skipped=4)
    for line in (
        "cases_my_device.py::model-6.1::priority[[]1] PASSED*",
        "cases_my_device.py::inprocess-6.1::priority[[]16] FAILED*",
        "cases_my_device.py::inprocess-7.2::new PASSED*",
        "test_*.py::test_it PASSED*",
        "SKIPPED [[]2]*: target model has no magic",
    ):
        result.stdout.fnmatch_lines([line])
    result.stdout.no_fnmatch_line("*6.1::new*")


def test_a_failure_says_what_the_report_says(cases):
    one = "cases_my_device.py::model-6.1::priority[a::b]"
    result = cases("--uapi-target", "model", one, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*_ cases_my_device::priority[[]a::b] on model, 6.1 _*",
            "FAIL cases_my_device::priority[[]a::b]",
            "  call      write(/sys/bus/dsa/devices/wq0.0/priority, b'a::b')",
            "  expected  4",
            "  got       EINVAL",
            "  source    wq_priority_store: drivers/dma/idxd/sysfs.c, 6.1 (source)",
            "  again     uapi-harness conform --target model --profile 6.1 --suite cases_my_*",
        ],
        consecutive=True,
    )
    assert "Traceback" not in result.stdout.str()


def test_strict_fails_what_could_not_run(cases):
    options = ("--uapi-target", "model", "--uapi-strict", "-k", "magic")
    result = cases(*options, "cases_my_device.py", failed=1)
    result.stdout.fnmatch_lines(["NOT-RUNNABLE cases_my_device::test_magic", "  reason    *"])


def test_known_differences_beside_the_file(cases, pytester):
    known = """
        cases:
        - {id: "cases_my_device::priority[16]", target: model, reason: the device is too new}
        - {id: "cases_my_device::priority[1]", target: model, reason: not so any more}
    """
    pytester.makefile(".yaml", **{"known-differences": known})
    options = ("--uapi-target", "model,inprocess", "-k", "priority and not a::b", "-rx")
    result = cases(*options, "cases_my_device.py", xfailed=1, failed=2, passed=1)
    result.stdout.fnmatch_lines(["XFAIL *::model-6.1::priority[[]16] - the device is too new"])
    result.stdout.fnmatch_lines(["*take it out of known-differences.yaml: not so any more"])


def test_settings_and_other_names(cases, pytester):
    pytester.makeini(
        "[pytest]\nuapi_target = model, inprocess\nuapi_case_files = *_cases.py check_*.py\n"
    )
    (pytester.path / "cases_my_device.py").rename(pytester.path / "my_cases.py")
    cases("my_cases.py", "-k", "not priority", skipped=2)
    (pytester.path / "my_cases.py").rename(pytester.path / "other.py")
    cases("other.py", "-k", "not priority", skipped=2)
    cases("other.py::model-6.1::priority[1]", passed=1)


def test_workers_share_the_cases(cases):
    options = ("--uapi-target", "model,inprocess", "-n", "2")
    cases(*options, "cases_my_device.py", passed=2, failed=4, skipped=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--uapi-target", "moon"], "ERROR: unknown target 'moon'; allowed: *model*"),
        (["--uapi-target", "model", "--uapi-profile", "6.1,9"], "ERROR: unknown profile '9'; *"),
    ],
)
def test_a_wrong_option_is_one_line(strangers_pytest, options, message):
    result = strangers_pytest(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_a_wrong_file_is_one_line(pytester, outcome):
    pytester.makepyfile(cases_bad="import harness\n\n1 / 0\n")
    result = outcome("def test_it(): pass", "--uapi-target", "model", errors=1)
    result.stdout.fnmatch_lines(["cases_bad.py:3: ZeroDivisionError: division by zero"])
    assert "Traceback" not in result.stdout.str()
