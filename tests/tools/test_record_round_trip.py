# SPDX-License-Identifier: Apache-2.0
"""``uapi-harness record`` in a machine, as on a real one, and what programs see of the result."""

import json
import shutil
import sys

import pytest

RECORD = (sys.executable, "-m", "harness", "record")
MACHINES = ["spr-2s", "gnr-1s", "qemu-q35-dsa"]


@pytest.fixture
def in_machine(command_line):
    """``in_machine(name, *command)`` runs it there; what it prints."""

    def run(machine, *command, **options):
        done = command_line("run", "--machine", machine, "--", *command, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def script(command_line, need):
    """For hosts without Python, so with no other program than busybox here."""
    need("busybox")
    return command_line("record", "--script").stdout


@pytest.mark.parametrize("machine", MACHINES)
def test_accel_config_sees_no_difference(in_machine, need, tmp_path, machine):
    need("accel-config")
    path = str(tmp_path / "recorded.yaml")
    assert in_machine(machine, *RECORD, "--all", "-o", path) == ""
    listed = in_machine(path, "accel-config", "list", "-i")
    assert json.loads(listed)
    assert listed == in_machine(machine, "accel-config", "list", "-i")


@pytest.mark.parametrize("machine", MACHINES)
def test_the_script_packs_all_that_is_read(in_machine, command_line, script, tmp_path, machine):
    packed = tmp_path / "packed.txt"
    shell = ("env", "-i", "PATH=", shutil.which("busybox"), "sh", "-s")
    packed.write_text(in_machine(machine, *shell, input=script))
    done = command_line("record", "--all", "--from", str(packed))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == in_machine(machine, *RECORD, "--all")


def test_the_script_as_an_ordinary_user(command_line, script):
    words = ("--machine", "spr-1s", "--uid", "1000", "--", "busybox", "sh", "-s")
    stream = command_line("run", *words, input=script).stdout
    done = command_line("record", "idxd", "--from", "-", input=stream)
    assert done.stderr == ""
    assert done.stdout.count("only the header of its configuration space could be read") == 2
