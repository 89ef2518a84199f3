# SPDX-License-Identifier: Apache-2.0
"""Machines that outlive one command: start, run --in, ctl, stop, ps."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.lasting import LastingError, client, control, ps, stop
from harness.mounts.process.launcher import receive, send

DSA0 = "/sys/bus/dsa/devices/dsa0"
WQ = "/sys/bus/dsa/devices/wq0.0"


@pytest.fixture
def harness(tmp_path):
    """The command line, in a place of its own; nothing may be left of it."""
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    root = str(pytest.importorskip("harness").__path__[0]).removesuffix("/harness")
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH")]))

    def run(*words, **options):
        command = [sys.executable, "-m", "harness", *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=env, **options
        )

    run.env = env
    yield run
    for line in run("ps").stdout.splitlines():
        run("stop", line.split()[0])
    assert run("ps").stdout == ""


@pytest.fixture
def lab(harness):
    made = harness("start", "lab", "--machine", "spr-1s")
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    return harness


def keeper(harness):
    return int(harness("ps").stdout.split()[3])


def test_programs_share_the_machine(lab):
    assert lab("run", "--in", "lab", "--", "sh", "-c", f"echo 8 >{WQ}/size").returncode == 0
    assert lab("run", "--in", "lab", "--", "cat", f"{WQ}/size").stdout == "8\n"
    assert lab("ctl", "lab", "read", f"{WQ}/size").stdout == "8\n"
    assert lab("ctl", "lab", "write", f"{WQ}/size", "16").returncode == 0
    assert lab("run", "--in", "lab", "--", "cat", f"{WQ}/size").stdout == "16\n"


def test_the_program_has_our_streams_directory_and_environment(lab, tmp_path):
    script = "cat; pwd; echo $WORD; echo problem >&2"
    lab.env["WORD"] = "word"
    done = lab("run", "--in", "lab", "--", "sh", "-c", script, input="in\n", cwd=tmp_path)
    assert (done.stdout, done.stderr) == (f"in\n{tmp_path}\nword\n", "problem\n")


def test_uevents_reach_its_programs(harness):
    assert harness("start", "loud", "--machine", "spr-1s", "--uevents").returncode == 0
    listener = str(Path(__file__).with_name("uevent_listener.py"))
    words = [sys.executable, listener, "1", f"echo add > {DSA0}/uevent"]
    assert '"add@/devices/' in harness("run", "--in", "loud", "--", *words).stdout
    late = harness("run", "--in", "loud", "--uevents", "--", "true")
    assert late.returncode == 125
    assert "--uevents" in late.stderr
    assert "are for new machines" in late.stderr


@pytest.mark.parametrize(
    ("script", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("exit 0", 0)], ids=str
)
def test_its_status_is_ours(lab, script, status):
    assert lab("run", "--in", "lab", "--", "sh", "-c", script).returncode == status


def test_what_cannot_be_executed(lab, tmp_path):
    missing = lab("run", "--in", "lab", "--", "/nonexistent/program")
    assert missing.returncode == 127
    assert missing.stderr == "uapi-harness run: /nonexistent/program: No such file or directory\n"
    file = tmp_path / "data"
    file.touch(mode=0o644)
    assert lab("run", "--in", "lab", "--", str(file)).returncode == 126


def test_another_user(lab):
    done = lab("run", "--in", "lab", "--uid", "1000", "--", "sh", "-c", f"id -u; echo 8 >{WQ}/size")
    assert done.stdout == "1000\n"
    assert "denied" in done.stderr


def test_look_and_change(lab):
    assert lab("ctl", "lab", "ls", "/sys/bus/dsa/drivers").stdout == "dmaengine\nidxd\nuser\n"
    assert lab("ctl", "lab", "unplug", "0000:6a:02.0").returncode == 0
    assert "iax1" not in lab("run", "--in", "lab", "--", "ls", "/sys/bus/dsa/devices").stdout
    last = lab("ctl", "lab", "uevents").stdout.splitlines()[-1]
    assert re.match(r"remove@/devices/pci0000:6a/0000:6a:02\.0 ACTION=remove DEVPATH=", last)
    assert lab("ctl", "lab", "plug", "0000:6a:02.0").returncode == 0
    assert "iax1" in lab("run", "--in", "lab", "--", "ls", "/sys/bus/dsa/devices").stdout


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["read", "/sys/nope"], 1, "/sys/nope: No such file or directory"),
        (["write", f"{DSA0}/state", "x"], 1, f"{DSA0}/state: Permission denied"),
        (["plug", "0000:6a:01.0"], 2, "0000:6a:01.0 is plugged in"),
        (["plug", "0000:00:00.0"], 2, "there is no function 0000:00:00.0"),
        (["read"], 2, "read takes 1 arguments, not 0"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_requests_that_are_refused(lab, words, status, message):
    refused = lab("ctl", "lab", *words)
    assert refused.returncode == status
    assert refused.stderr.startswith(f"uapi-harness ctl: {message}")
    assert refused.stderr.count("\n") == 1


def test_trace_follows(lab):
    command = [sys.executable, "-m", "harness", "ctl", "lab", "trace"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=lab.env) as tracing:
        # The trace begins some time after the client was started: go on until it shows.
        line = ""
        script = f"while :; do cat {DSA0}/version; done"
        again = [sys.executable, "-m", "harness", "run", "--in", "lab", "--", "sh", "-c", script]
        reads = subprocess.Popen(again, stdout=subprocess.DEVNULL, env=lab.env)
        while "version_show" not in line:
            line = tracing.stdout.readline()
        reads.kill()
        reads.wait()
        tracing.kill()
    assert f"read({DSA0.replace('bus/dsa/devices', 'devices/pci0000:6a/0000:6a:01.0')}" in line


def test_signals_reach_the_program(lab):
    script = "trap 'echo got; exit 3' TERM; echo ready; sleep 1000 & wait"
    command = [sys.executable, "-m", "harness", "run", "--in", "lab", "--", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=lab.env) as run:
        assert run.stdout.readline() == "ready\n"
        run.send_signal(signal.SIGTERM)
        assert run.stdout.read() == "got\n"
        assert run.wait() == 3


def runs(pid):
    """Not even as a zombie that nobody reaped yet has it a command line."""
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read() != ""
    except FileNotFoundError:
        return False


def started(harness, script):
    """A client whose program has written a line."""
    command = [sys.executable, "-m", "harness", "run", "--in", "lab", "--", "sh", "-c", script]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=harness.env)
    run.stdout.readline()
    return run


def test_a_client_that_is_killed_takes_its_program_along(lab):
    with started(lab, "echo; sleep 1000") as run:
        run.kill()
        # The program had the other end.
        assert run.stdout.read() == ""
    while lab("ps").stdout.split()[4] != "-":
        pass


def test_a_client_that_does_not_wait_for_the_answer_takes_its_program_along(lab, tmp_path):
    read, write = os.pipe()
    with connected(tmp_path) as client, open(read) as stdout:
        request = ("run", ["sleep", "1000"], dict(os.environ), None, os.getuid())
        send(client, request, (write, write, write))
        client.close()
        os.close(write)
        assert stdout.read() == ""


def connected(place):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(next(place.rglob("lab.sock"))))
    return client


def test_a_client_that_dies_while_it_asks_leaves_nothing_open(lab, tmp_path):
    read, write = os.pipe()
    with connected(tmp_path) as client, open(read) as stdout:
        rest = 1000
        socket.send_fds(client, [rest.to_bytes(4, sys.byteorder), b"some"], [write])
        client.close()
        os.close(write)
        assert stdout.read() == ""


def test_a_trace_that_nobody_reads_keeps_nobody_waiting(lab, tmp_path):
    with connected(tmp_path) as client:
        send(client, ("trace",))
        script = f"for i in $(seq 500); do echo {DSA0}/* {DSA0}/engine*/* >&2; done; cat {WQ}/size"
        done = lab("run", "--in", "lab", "--", "sh", "-c", script)
        assert done.stdout == "0\n"
        assert lab("stop", "lab").returncode == 0
        assert receive(client)[0][0] == "line"


def test_many_clients_at_once_do_not_make_it_deaf(harness, tmp_path):
    command = f"ulimit -n 40; exec {sys.executable} -m harness start lab --machine empty"
    subprocess.run(["sh", "-c", command], env=harness.env, check=True)
    fds = f"/proc/{keeper(harness)}/fd"
    connections = [connected(tmp_path) for _ in range(60)]
    while len(os.listdir(fds)) < 40:
        pass
    for connection in connections:
        connection.close()
    assert harness("ps").stdout.split()[:2] == ["lab", "empty"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where sockets of this process's own are machines."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "uapi-harness"


def test_two_may_stop_one_at_once(lab, place, monkeypatch):
    pidfd_open = os.pidfd_open

    def late(pid):
        monkeypatch.setattr(os, "pidfd_open", pidfd_open)
        stop("lab")
        return pidfd_open(pid)

    monkeypatch.setattr(os, "pidfd_open", late)
    stop("lab")
    assert lab("ps").stdout == ""


def test_a_machine_that_ends_while_it_is_asked(harness, place):
    assert ps() == []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "lab.sock"))
        listener.listen()

        def end():
            for _ in range(2):
                listener.accept()[0].close()

        thread = threading.Thread(target=end)
        thread.start()
        with pytest.raises(LastingError, match="lab has ended"):
            control("lab", "status")
        assert ps() == []
        thread.join()
    assert harness("ps").stdout == ""


def test_what_another_start_has_made_meanwhile_is_no_left_over(place, monkeypatch):
    assert ps() == []
    path = str(place / "lab.sock")
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(path)
    locked = client.locked
    with socket.socket(socket.AF_UNIX) as listener:

        def late(path):
            os.unlink(path)
            listener.bind(path)
            listener.listen()
            return locked(path)

        monkeypatch.setattr(client, "locked", late)
        with client._connect(path) as found:
            assert found.getpeername() == path
    os.unlink(path)


def test_stop_ends_what_runs(lab):
    with started(lab, "echo; sleep 1000") as run:
        assert lab("ps").stdout.split()[4] == "sh"
        pid = keeper(lab)
        assert lab("stop", "lab").returncode == 0
        assert not runs(pid)
        assert run.wait() in (125, 137)
    gone = lab("stop", "lab")
    assert gone.returncode == 2
    assert gone.stderr == (
        "uapi-harness stop: there is no machine lab; uapi-harness start lab makes one\n"
    )


def test_a_keeper_that_is_killed_leaves_nothing(lab):
    with started(lab, "echo; sleep 1000") as run:
        os.kill(keeper(lab), signal.SIGKILL)
        assert run.stdout.read() == ""
        assert run.wait() == 125
    assert lab("ps").stdout == ""
    assert lab("start", "lab").returncode == 0


def test_names_are_taken_once(lab):
    again = lab("start", "lab")
    assert again.returncode == 2
    assert again.stderr == "uapi-harness start: lab is running; uapi-harness stop lab ends it\n"
    assert lab("start", "other", "--machine", "empty").returncode == 0
    assert [line.split()[0] for line in lab("ps").stdout.splitlines()] == ["lab", "other"]


def test_of_two_that_start_at_once_one_does(harness):
    command = [sys.executable, "-m", "harness", "start", "lab", "--machine", "empty"]
    both = [subprocess.Popen(command, env=harness.env, stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    assert sorted(text.count(b"\n") for text in said) == [0, 1]
    assert [line.split()[0] for line in harness("ps").stdout.splitlines()] == ["lab"]


def test_what_is_no_socket_is_in_the_way(harness, tmp_path):
    place = tmp_path / "uapi-harness"
    (place / "lab.sock").mkdir(parents=True, mode=0o700)
    place.chmod(0o700)
    refused = harness("start", "lab", "--machine", "empty")
    assert refused.returncode == 2
    assert refused.stderr.endswith("lab.sock is there: was another started at the same time?\n")
    (place / "lab.sock").rmdir()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a/b"], '"a/b" is no name'),
        (["x", "--machine", "nope"], 'there is no machine "nope"'),
        (["x", "--profile", "2.4"], 'there is no profile "2.4"'),
    ],
    ids=["name", "machine", "profile"],
)
def test_what_cannot_be_started(harness, words, message):
    refused = harness("start", *words)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"uapi-harness start: {message}")
    assert refused.stderr.count("\n") == 1


def test_a_folder_of_somebody_else_is_not_used(harness, tmp_path):
    (tmp_path / "uapi-harness").mkdir(mode=0o755)
    os.chmod(tmp_path / "uapi-harness", 0o755)
    refused = harness("start", "lab")
    assert refused.returncode == 2
    assert "is not a folder of this user alone" in refused.stderr
    os.chmod(tmp_path / "uapi-harness", 0o700)
