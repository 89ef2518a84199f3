# SPDX-License-Identifier: Apache-2.0
"""What programs of selftests/vfio say becomes KTAP, and outcomes."""

import re
import subprocess

import pytest

from harness.cli import main
from harness.selftests.command import answers
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


class Folder:
    """A folder with scripts and one test, which write down that they ran."""

    def __init__(self, path):
        self.path = path
        self.temporary = path / "tmp"
        self.temporary.mkdir()
        (path / "scripts").mkdir()
        for name in ("setup", "cleanup"):
            self.write(f"scripts/{name}.sh", f"echo {name} $@ >>{path}/log")
        self.write("a_test", "touch $TMPDIR/x; echo ok 1 $@")

    def write(self, name, text):
        file = self.path / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def run(self, *slots):
        """What the script says."""
        command = ["bash", "-c", script(self.path, slots, ["a_test"])]
        environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(self.temporary)}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert not list(self.temporary.iterdir())
        return ended.stdout


@pytest.fixture
def folder(tmp_path, monkeypatch):
    functions = tmp_path / "functions"
    (functions / "0000:00:05.0").mkdir(parents=True)
    (functions / "0000:00:06.0").mkdir()
    monkeypatch.setattr("harness.selftests.run._FUNCTIONS", str(functions))
    return Folder(tmp_path)


def test_the_script_gives_the_devices_back(folder):
    (program,) = parse(folder.run("0000:00:05.0"))
    assert program.lines == ("ok 1 0000:00:05.0",)
    log = (folder.path / "log").read_text()
    assert log == "setup 0000:00:05.0\ncleanup 0000:00:05.0\n"


def test_a_function_that_is_not_there(folder):
    message = "there is no function 0000:00:07.0; known: 0000:00:05.0, 0000:00:06.0"
    with pytest.raises(ValueError, match=f"^{message}$"):
        answers(folder.run("0000:00:05.0", "0000:00:07.0"), ["a_test"])
    assert not (folder.path / "log").exists()


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        ("exit 3", "scripts/setup.sh ended with status 3"),
        ("echo 'vfio-pci: No such device'; exit 1",
         "scripts/setup.sh ended with status 1: vfio-pci: No such device"),
    ],
)  # fmt: skip
def test_a_function_that_cannot_be_set_up(folder, setup, message):
    folder.write("scripts/setup.sh", setup)
    with pytest.raises(ValueError, match=re.escape(message)):
        answers(folder.run("0000:00:05.0"), ["a_test"])


@pytest.mark.parametrize("slot", ["", "00:05.0", "0000:00:05", "0000:00:05.8", "../.."])
def test_what_is_no_address_is_told_before_anything_is_built(capsys, slot):
    with pytest.raises(SystemExit) as ended:
        main(["selftests", slot])
    assert ended.value.code == 2
    assert f"{slot!r} is no address such as 0000:00:05.0" in capsys.readouterr().err


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
