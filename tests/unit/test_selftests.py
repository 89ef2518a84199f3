# SPDX-License-Identifier: Apache-2.0
"""What programs of selftests/vfio say becomes KTAP, and outcomes."""

import pytest

from harness.cli import main
from harness.selftests.run import ktap, outcomes, parse, script

OUTPUT = """\
scripts/setup.sh said something
uapi-harness: begin first_test
TAP version 13
1..3
# Starting 3 tests from 1 test cases.
ok 1 a.b
a.c: Assertion Failure
not ok 2 a.c
ok 3 a.d # SKIP no such thing
uapi-harness: status 1
uapi-harness: begin second_test
No driver found
uapi-harness: status 4
uapi-harness: begin third_test
TAP version 13
1..1
ok 1 x.y
Segmentation fault
uapi-harness: status 139
"""


def test_outcomes():
    assert outcomes(parse(OUTPUT)) == {
        "first_test": {"a.b": "pass", "a.c": "fail", "a.d": "skip"},
        "second_test": {"second_test": "skip"},
        "third_test": {"x.y": "pass", "third_test": "fail"},
    }


def test_ktap_has_each_program_as_a_subtest():
    assert list(ktap(parse(OUTPUT))) == [
        "KTAP version 1",
        "1..3",
        "  KTAP version 1",
        "  1..3",
        "  # Starting 3 tests from 1 test cases.",
        "  ok 1 a.b",
        "  # a.c: Assertion Failure",
        "  not ok 2 a.c",
        "  ok 3 a.d # SKIP no such thing",
        "not ok 1 first_test",
        "  # No driver found",
        "ok 2 second_test # SKIP No driver found",
        "  KTAP version 1",
        "  1..1",
        "  ok 1 x.y",
        "  # Segmentation fault",
        "not ok 3 third_test",
        "# Totals: pass:2 fail:1 skip:1",
    ]


def test_the_script_gives_the_devices_back(tmp_path):
    lines = script(tmp_path, ["0000:00:05.0"], ["a_test"]).splitlines()
    assert [line for line in lines if "scripts/" in line] == [
        "bash scripts/setup.sh 0000:00:05.0 || exit 125",
        "bash scripts/cleanup.sh 0000:00:05.0",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "host"], "unknown target 'host'; allowed: process, vm:KERNEL"),
        (["--machine", "nonesuch"], "nonesuch"),
    ],
)
def test_bad_input_is_one_line(capsys, words, message):
    assert main(["selftests", "0000:00:05.0", *words]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert message in err
