# SPDX-License-Identifier: Apache-2.0
"""The target ``host``, on a host that is a fake machine: there it finds what the cases need."""

import json
import os
import sys

CONFORM = (sys.executable, "-m", "harness", "conform", "--format", "json", "--target", "host")


def states(command_line, *words):
    """The states of the cases, from inside of qemu-q35-dsa."""
    machine = ("--machine", "qemu-q35-dsa", "--profile", "6.1", "--char-devices")
    # Where skips are failures, these are what is asked for.
    environment = {**os.environ, "UAPI_STRICT": "0"}
    command = (*CONFORM, "--profile", "6.1", *words)
    process = command_line(*machine, "--", *command, env=environment)
    out, err = process.communicate(timeout=100)
    assert process.returncode in (0, 3), err
    report = json.loads(out)
    runs = report.get("runs", [report])
    return [(case["id"], case["state"], case.get("reason") or "") for case in runs[0]["cases"]]


def test_what_changes_nothing_is_asked(command_line):
    found = states(command_line, "--suite", "kernfs", "-k", "kernfs/readdir::")
    assert {state for _, state, _ in found} == {"pass"}


def test_what_could_change_the_host_is_refused(command_line):
    found = states(command_line, "--suite", "driver_core", "-k", "driver_core/bind::")
    assert {state for _, state, _ in found} == {"not-runnable"}
    assert all(
        "could change this host; --modify-host allows it" in reason for _, _, reason in found
    )


def test_it_is_done_if_that_is_allowed(command_line):
    words = ("--modify-host", "--suite", "driver_core", "-k", "driver_core/uevent::")
    assert {state for _, state, _ in states(command_line, *words)} == {"pass"}


def test_a_host_without_the_functions_is_no_judge(command_line):
    found = states(command_line, "--suite", "idxd", "-k", "crypto")
    assert {state for _, state, _ in found} <= {"skip"}
