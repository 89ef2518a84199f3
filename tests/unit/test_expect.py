# SPDX-License-Identifier: Apache-2.0
"""The verb ``expect`` and results that nobody looked at."""

import pytest

from harness.conformance.call import Stat
from harness.conformance.errnos import EINVAL, ENOTSUPP, EPERM
from harness.conformance.results import CaseFailedError, Failure, Result, expect, shown

TEXT = "write(/sys/x, b'1')"


def ok(value):
    return Result(TEXT, None, value)


def failed(error=EINVAL):
    return Result(TEXT, error)


def failure_of(function, *arguments, **fields):
    with pytest.raises(CaseFailedError) as caught:
        function(*arguments, **fields)
    return caught.value.failure


@pytest.mark.parametrize("value", [3, b"16\n", "text", None, [], {"a": 1}, 22])
def test_the_value_that_is_wanted(value):
    assert expect(ok(value), value) == value


def test_just_success():
    assert expect(ok(3)) == 3


def test_the_error_that_is_wanted():
    assert expect(failed(), EINVAL) is None


@pytest.mark.parametrize(
    ("result", "wanted", "expected", "got"),
    [
        (ok(3), 4, "4", "3"),
        (ok(22), EINVAL, "EINVAL", "22"),
        (failed(), 22, "22", "EINVAL"),
        (failed(), EPERM, "EPERM", "EINVAL"),
        (ok(b"a"), b"b", "b'b'", "b'a'"),
        (failed(ENOTSUPP), EINVAL, "EINVAL", "ENOTSUPP"),
        (ok(None), EINVAL, "EINVAL", "None"),
    ],
)
def test_anything_else_is_a_failure_that_says_it_all(result, wanted, expected, got):
    assert failure_of(expect, result, wanted) == Failure(TEXT, expected, got)


def test_an_error_where_success_was_wanted():
    assert failure_of(expect, failed()) == Failure(TEXT, "success", "EINVAL")


def test_a_failed_result_has_no_value():
    assert failure_of(lambda: failed().value) == Failure(TEXT, "success", "EINVAL")


def test_plain_values():
    assert expect(5, 5) == 5
    assert failure_of(expect, [1], [2]) == Failure("value", "[2]", "[1]")


def test_fields_of_a_result():
    stat = Stat(ino=1, mode=0o100644, nlink=1, uid=0, gid=0, size=4096, rdev=0)
    assert expect(ok(stat), mode=0o100644, size=4096) == stat
    assert failure_of(expect, ok(stat), mode=0o100600, size=4096, uid=5) == Failure(
        TEXT, "mode 0o100600, uid 5", "mode 0o100644, uid 0"
    )
    with pytest.raises(TypeError, match="no fields"):
        expect(ok(3), size=1)


def test_long_values_are_cut_in_the_report():
    assert shown("x" * 5000).endswith("x...")
    assert len(shown("x" * 5000)) < 500


def test_looking_at_a_result():
    for look in (lambda r: expect(r, EINVAL), lambda r: r.outcome):
        result = failed()
        assert not result.looked_at
        look(result)
        assert result.looked_at
