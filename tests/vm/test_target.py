# SPDX-License-Identifier: Apache-2.0
"""The targets vm:KERNEL: what a suite must survive, and what is left behind: nothing."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import qemus
from harness.agent.client import AgentError
from harness.conformance.cases import discover
from harness.conformance.records import State
from harness.conformance.runner import run_case
from harness.conformance.targets.vm import VmTarget
from harness.vm.guest import machine_for
from harness.vm.session import Session

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("vm")]
HERE = Path(__file__).parent
WRONG = HERE / "cases_that_go_wrong.py"


def conform(command_line, kernel, *words, **options):
    """The report, by case's name, and the exit status."""
    target = ("--target", f"vm:{kernel}", "--profile", kernel, "--format", "json")
    run = command_line("conform", *target, *words, **options)
    assert run.stderr == ""
    report = json.loads(run.stdout)
    return {case["id"].partition("::")[2]: case for case in report["cases"]}, run.returncode


def test_some_cases_of_each_suite_agree(command_line, kernel):
    cases, status = conform(command_line, kernel.name, "-k", "attributes::priority")
    assert {case["state"] for case in cases.values()} == {"pass"}
    assert len(cases) > 3
    assert status == 0


def test_whatever_a_case_does_the_next_one_runs(command_line):
    """One worker, so that each case finds what the one before left."""
    cases, status = conform(command_line, "6.1", "--suite", WRONG, "--jobs", "1")
    assert {name: case["state"] for name, case in cases.items()} == {
        "before": "pass",
        "disables_interrupts_twice": "crashed",
        "crashes_the_kernel": "crashed",
        "hangs": "timeout",
        "after": "pass",
    }
    assert cases["crashes_the_kernel"]["reason"].startswith(
        "the target died: Kernel panic - not syncing: sysrq triggered crash"
    )
    assert "the target died: " in cases["disables_interrupts_twice"]["reason"]
    assert cases["hangs"]["reason"] == "no end after 2 s"
    assert status == 1


def test_a_case_on_a_machine_that_qemu_cannot_be_is_skipped(command_line, kernel):
    cases, _ = conform(command_line, kernel.name, "-k", "opened_without_sva")
    (case,) = cases.values()
    assert case["state"] == "skip"
    assert "gnr-1s has no section qemu" in case["reason"]


def test_qemu_that_is_killed_costs_one_case(kernel):
    """In the middle of a suite; the next case has a new boot."""
    target = VmTarget(kernel.name)
    first, second, third = [one for one in discover(["kernfs"]) if "stat::size" in one.id][:3]
    try:
        assert run_case(first, target, kernel.name).state is State.PASS
        before = target._session
        os.kill(before.vm.pid, signal.SIGKILL)
        assert run_case(second, target, kernel.name).state is State.CRASHED
        assert run_case(third, target, kernel.name).state is State.PASS
        assert target._session is not before
    finally:
        target.close()


def test_nothing_is_left_of_a_run_that_is_killed(kernel):
    words = ["conform", "--target", f"vm:{kernel.name}", "--profile", kernel.name]
    run = subprocess.Popen(
        [sys.executable, "-m", "harness", *words],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not qemus(run.pid):
        assert time.monotonic() < deadline
        assert run.poll() is None
        time.sleep(0.1)
    run.kill()
    run.wait()
    while qemus(run.pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def session(kernel):
    with Session(kernel, machine_for("qemu-q35-dsa")) as session:
        yield session


class TestSession:
    def test_it_is_the_kernel(self, session, kernel):
        assert session.run("uname -r") == f"{kernel.release}\n"

    def test_a_status_is_the_script_s(self, session):
        assert session.execute("exit 7", 30) == (7, "")
        assert session.execute("echo x; kill -9 $$", 30) == (137, "x\n")

    def test_a_script_that_takes_too_long(self, session):
        with pytest.raises(AgentError, match=r"no end of the script within 0\.2 s"):
            session.execute("sleep 3", 0.2)
        time.sleep(4)  # the agent's first task waits for it

    def test_reset(self, session):
        wq = "/sys/bus/dsa/devices/wq0.0/size"
        driver = session.run("ls -id /sys/module/idxd")
        assert session.run(f"echo 8 >{wq}; cat {wq}") == "8\n"
        assert session.reset([wq])
        assert session.run(f"cat {wq}") == "0\n"
        assert session.run("ls -id /sys/module/idxd") == driver

    def test_reset_of_a_driver(self, session):
        """It is loaded anew, so its directory is another."""
        before = session.run("ls -id /sys/module/idxd")
        assert session.reset(["/sys/bus/pci/drivers/idxd/new_id"])
        assert session.run("ls -id /sys/module/idxd") != before

    def test_what_no_reset_undoes_is_seen(self, session):
        session.run("mkdir /dev/dsa.new")
        assert not session.reset(["/dev/dsa.new"])
        session.run("rmdir /dev/dsa.new")


class TestCommands:
    def test_a_program_of_the_host(self, command_line, kernel):
        script = "import os; print(os.uname().release, os.path.exists('/sys/bus/dsa/devices/dsa0'))"
        run = command_line("vm", "shell", kernel.name, "--", sys.executable, "-I", "-c", script)
        assert (run.stdout, run.returncode) == (f"{kernel.release} True\n", 0)

    def test_its_status_is_passed_on(self, command_line, kernel):
        assert command_line("vm", "shell", kernel.name, "--", "sh", "-c", "exit 9").returncode == 9

    def test_list(self, command_line, kernel):
        run = command_line("vm", "list")
        (line,) = [line for line in run.stdout.splitlines() if line.startswith(f"{kernel.name} ")]
        assert line.split() == [kernel.name, kernel.release, kernel.version]

    @pytest.mark.parametrize(
        ("words", "status", "message"),
        [
            (("build", "nonesuch"), 3, '"nonesuch" names no kernel; known: 6.1,'),
            (("shell", "6.1", "--machine", "spr-1s"), 3, "the machine spr-1s has no section qemu"),
            (("shell", "6.1", "--machine", "x"), 2, 'there is no machine "x"; known: '),
        ],
    )
    def test_bad_input_is_one_line(self, command_line, words, status, message):
        run = command_line("vm", *words)
        assert (run.returncode, run.stdout, run.stderr.count("\n")) == (status, "", 1)
        assert message in run.stderr

    def test_a_kernel_that_does_not_exist_makes_nothing_runnable(self, command_line):
        run = command_line("conform", "--target", "vm:nonesuch", "--profile", "nonesuch")
        assert (run.returncode, run.stderr.count("\n")) == (2, 1)

    def test_without_room_on_the_disk(self, command_line, tmp_path):
        """A cache of 4 MiB: one line, and nothing that looks whole."""
        if os.geteuid() != 0:
            pytest.skip("only root can make a small disk")
        small = tmp_path / "cache"
        small.mkdir()
        mount = f"mount -t tmpfs -o size=4m none {small}"
        script = f"{mount} && exec {sys.executable} -m harness vm build 6.1"
        run = subprocess.run(
            ["unshare", "-m", "sh", "-c", script],
            env={**os.environ, "XDG_CACHE_HOME": str(small)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (run.returncode, run.stdout, run.stderr.count("\n")) in ((1, "", 1), (3, "", 1))
        assert "No space left on device" in run.stderr or "space" in run.stderr


def test_a_shell_on_the_terminal(kernel):
    """On a terminal of its own, as a person has it."""
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        [sys.executable, "-m", "harness", "vm", "shell", kernel.name],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    typed = False
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the terminal's other end is gone
            break
        if not typed and b"# " in shown.rpartition(b"switches it off.")[2]:
            os.write(ours, b"cat /sys/bus/dsa/devices/dsa0/state; exit\n")
            typed = True
    os.close(ours)
    assert shell.wait() == 0
    assert b"\r\ndisabled\r" in shown.replace(b"\r\r", b"\r")
    assert qemus(shell.pid) == []
