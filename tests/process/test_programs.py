# SPDX-License-Identifier: Apache-2.0
"""`uapi-harness run`: status, signals, users, and that nothing stays behind."""

import json
import os
import random
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.conformance.known import load
from harness.mounts.process.server import Server

ROOT = Path(__file__).parents[2]
SIZE = "/sys/bus/dsa/devices/wq0.0/size"


def finished(process, timeout=60):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
)
def test_the_status_is_the_commands_own(command_line, script, status):
    assert finished(command_line("--", "sh", "-c", script)) == (status, "", "")


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("/nonexistent/command", 127, "/nonexistent/command: No such file or directory"),
        ("/etc/passwd", 126, "/etc/passwd: Permission denied"),
        ("", 127, ": No such file or directory"),
    ],
)
def test_a_command_that_cannot_be_started(command_line, command, status, message):
    answer = finished(command_line("--", command))
    assert answer == (status, "", f"uapi-harness run: {message}\n")


def test_streams_and_folder_are_the_callers(command_line, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = command_line(
        "--", "sh", "-c", "cat; pwd", stdin=subprocess.PIPE, cwd=tmp_path, env=environment
    )
    out, err = process.communicate("text\n", timeout=60)
    assert (process.returncode, out, err) == (0, f"text\n{tmp_path}\n", "")


def closed(redirections, *words):
    """Exit status of a command whose standard streams are closed so."""
    command = ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stderr == ""
    return done.returncode


@pytest.mark.parametrize("redirections", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_streams(redirections):
    words = ["-m", "harness", "run", "--machine", "empty", "--", "sh", "-c", "echo && exit 5"]
    assert closed(redirections, *words) == 5


def test_closed_streams_of_who_uses_the_library():
    """What connects it with the launcher may then be what the launcher has for its streams."""
    code = """
from harness.machine import load_machine
from harness.mounts.process import ProcessMount
with ProcessMount(load_machine("empty")) as mount:
    raise SystemExit(mount.popen(["sh", "-c", "exit 5"]).wait())
"""
    assert closed("<&- >&-", "-c", code) == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on(command_line, number):
    script = f"trap 'exit 9' {number.name[3:]}; sleep 60 >&- 2>&- & echo ready; wait"
    before = signal.signal(number, signal.SIG_DFL)  # as of nohup a shell could not trap it
    process = command_line("--", "bash", "-c", script)
    signal.signal(number, before)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert finished(process)[0] == 9


def test_what_a_command_leaves_behind_is_killed_and_named(command_line):
    status, _, err = finished(command_line("--", "sh", "-c", "sleep 1000 >&- 2>&- & exit 4"))
    assert status == 4
    assert re.search("left behind, now killed: (sh|sleep)\n", err)


def test_it_is_named_even_if_the_command_has_unmounted_its_proc(command_line):
    """Below it is the host's, whose processes are none of ours."""
    script = "sleep 1000 >&- 2>&- & umount -l /proc"
    _, _, err = finished(command_line("--", "sh", "-c", script))
    assert err == "sh left behind, now killed: sleep\n"


def test_a_command_has_process_ids_of_its_own(command_line):
    status, out, _ = finished(command_line("--", "sh", "-c", "echo $$; readlink /proc/self/../1"))
    assert out.splitlines()[0] == "2"
    assert status != 125


USERS = [(False, "0"), (False, "1000"), (True, "0"), (True, "1000")]


@pytest.mark.parametrize(("plain", "uid"), USERS)
def test_users(as_plain_user, plain, uid):
    """Mode bits bind the machine's users alike, whoever the host's user is."""
    script = f"id -u; cat {SIZE}; echo 8 > {SIZE}; cat {SIZE}"
    words = ["-m", "harness", "run", "--machine", "qemu-q35-dsa", "--uid", uid, "--"]
    command = [*(as_plain_user if plain else []), sys.executable, *words, "sh", "-c", script]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    size = "8" if uid == "0" else "0"
    assert run.stdout.split() == [uid, "0", size], run.stderr
    assert ("ermission denied" in run.stderr) == (uid != "0")


def conform(prefix, *words):
    command = [*prefix, sys.executable, "-m", "harness", "conform", "--format", "json", *words]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=100)
    assert run.returncode == 0, run.stdout + run.stderr
    return {case["id"]: case["state"] for case in json.loads(run.stdout)["cases"]}


def test_cases_agree_on_model_and_mount_for_root_and_for_others(as_plain_user):
    some = ("--suite", "kernfs", "-k", "write")
    model = conform([], "--target", "model", *some)
    assert len(model) > 10
    known = {one.id: "known-difference" for one in load() if one.target == "process"}
    wanted = {id: known.get(id, state) for id, state in model.items()}
    assert conform([], "--target", "process", *some) == wanted
    assert conform(as_plain_user, "--target", "process", *some) == wanted


# --- nothing stays behind


def tasks(marker):
    """Process ids and states of all whose environment has ``marker``."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if marker.encode() in (entry / "environ").read_bytes():
                    status = (entry / "stat").read_text()
                    found[int(entry.name)] = status[status.rindex(")") + 2]
            except OSError:
                continue
    return found


def descendants(pid):
    """All processes below ``pid``."""
    below = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            children = list(map(int, (task / "children").read_text().split()))
        except OSError:
            continue
        for child in children:
            below += [child, *descendants(child)] if Path(f"/proc/{child}").exists() else []
    return below


BUSY = """
while :; do
    cat /sys/bus/dsa/devices/wq0.*/size >/dev/null
    echo 8 > /sys/bus/dsa/devices/wq0.0/size
    ls -lR /sys/bus/dsa > /dev/null
done
"""
ROUNDS = int(os.environ.get("UAPI_KILL_ROUNDS", "25"))


@pytest.mark.timeout(60 + 3 * ROUNDS)
def test_kill_at_random_moments_leaves_nothing(command_line):
    """The model, the launcher, the command or anything below it is killed while all are busy."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    choose = random.Random(seed)
    for round_number in range(ROUNDS):
        marker = f"UAPI_STORM={os.getpid()}-{seed}-{round_number}"
        name, _, value = marker.partition("=")
        process = command_line(
            "--", "sh", "-c", BUSY, env={**os.environ, name: value}, stdout=None, stderr=None
        )
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(choose.uniform(0.02, 0.6))
        victims = [process.pid, *descendants(process.pid)]
        with_luck = choose.choice(victims)
        try:
            os.kill(with_luck, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(process.pid, signal.SIGKILL)
        if with_luck not in (process.pid, *victims[1:2]):
            process.kill()  # the command goes on without one of its children
        process.wait(30)
        pidfds = [fd for fd in map(_pidfd, tasks(marker)) if fd is not None]
        for fd in pidfds:
            # What is dying still has its time; what hangs fails the test.
            _await_end(fd)
        assert tasks(marker) == {}, f"seed {seed}, round {round_number}"


def _pidfd(pid):
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _await_end(fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    ready = poll.poll(20000)
    os.close(fd)
    assert ready, "a process goes on"


def test_a_command_that_hangs_and_ignores_signals_ends_with_its_runner(command_line):
    marker = f"UAPI_HANG={os.getpid()}"
    script = "trap '' TERM INT HUP; echo ready; while :; do sleep 1000; done"
    process = command_line(
        "--", "sh", "-c", script, env={**os.environ, "UAPI_HANG": str(os.getpid())}
    )
    assert process.stdout.readline() == "ready\n"
    process.kill()
    finished(process)
    for fd in map(_pidfd, tasks(marker)):
        if fd is not None:
            _await_end(fd)
    assert tasks(marker) == {}


def test_a_crowd_of_forks_is_killed_with_its_command(command_line):
    script = "i=0; while [ $i -lt 100 ]; do sleep 1000 >&- 2>&- & i=$((i+1)); done; exit 0"
    status, _, err = finished(command_line("--", "sh", "-c", script))
    assert status == 0
    assert len(err.rpartition("killed: ")[2].split(", ")) == 100


def test_a_write_that_truncates_does_not_shorten_what_sendfile_gives(command_line):
    """The host's kernel would take the file to be as long as what was written to it."""
    script = "printf dedicated > $0; exec python3 -c 'import os; os.sendfile(1, 0, 0, 99)' < $0"
    mode = "/sys/bus/dsa/devices/wq0.0/mode"
    process = command_line("--", "sh", "-c", script, mode, stdout=subprocess.PIPE)
    out, err = process.communicate(timeout=60)
    assert (out, err) == ("dedicated\n", "")


LEAVES = """
import sys
from harness.modules import Module, OpenFile, misc_register

class Leaving(OpenFile):
    def read(self, caller, offset, count):
        sys.exit(3)

def init(kernel):
    misc_register(kernel, "leaving", lambda node, opener, flags: Leaving(node, opener), 0o600)

MODULE = Module("leaving", init)
"""


def test_a_module_that_exits_fails_the_call_alone(command_line, tmp_path):
    module = tmp_path / "leaving.py"
    module.write_text(LEAVES)
    script = "cat /dev/leaving; cat /dev/leaving; cat /sys/bus/dsa/devices/dsa0/state"
    status, out, err = finished(command_line("--module", str(module), "--", "sh", "-c", script))
    assert (status, out) == (0, "disabled\n")
    assert err.count("Input/output error") == 2
    assert err.count(f"{module}:7: SystemExit: 3, in read") == 2


def test_a_mount_that_cannot_go_on_lets_nobody_wait(mounted, monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(Server, "_finish", broken)
    script = "cd /sys/bus/pci/drivers/idxd; for a in 0000:*; do echo $a > unbind; done; cat uevent"
    child = mounted().popen(["sh", "-c", script], stderr=subprocess.DEVNULL)
    assert child.wait(60) == 1
    assert "broken on purpose" in caplog.text


@pytest.mark.parametrize(
    ("argv", "message"),
    [([], "one word or more"), (["a\0"], "without NUL"), ("ls -l", "'ls -l' is no list of words")],
)
def test_what_is_no_command(mounted, argv, message):
    mount = mounted()
    with pytest.raises(ValueError, match=message):
        mount.popen(argv)
