# SPDX-License-Identifier: Apache-2.0
"""The very program that was run on a real kernel, run in the fake machine: every answer agrees.

The probe programs are not part of this repository; UAPI_PROBES names the folder that has them.
"""

import json
import os
import sys
from pathlib import Path

import pytest

from harness.data import data_path, load_yaml

PROBES = Path(os.environ.get("UAPI_PROBES", "/nonexistent"))


def known_differences(profile):
    """Probe name to reason; at most five may be needed."""
    known = load_yaml(data_path("fixtures", "known-differences.yaml"))["probes"][f"idxd-{profile}"]
    assert len(known) <= 5
    return known


@pytest.mark.parametrize("profile", ["6.1", "6.12", "7.2"])
def test_every_idxd_probe_agrees(command_line, tmp_path, profile):
    program = PROBES / "p_idxd.py"
    if not program.exists():
        pytest.skip("UAPI_PROBES names no folder with p_idxd.py")
    run = command_line(
        "run",
        "--machine",
        "qemu-q35-dsa",
        "--profile",
        profile,
        "--",
        sys.executable,
        str(program),
        env={**os.environ, "PROBE_OUT": str(tmp_path)},
    )
    assert run.returncode == 0, run.stderr
    answers = {
        probe["probe"]: (probe["result"], probe["errno"])
        for probe in json.loads((tmp_path / "out-idxd.json").read_text())["probes"]
    }
    recording = data_path("fixtures", "golden", "probes", f"idxd-{profile}.json")
    golden = json.loads(recording.read_text())["probes"]
    assert len(golden) > 200
    known = known_differences(profile)
    differing = {
        probe["probe"]: (answers.get(probe["probe"]), (probe["result"], probe["errno"]))
        for probe in golden
        if answers.get(probe["probe"]) != (probe["result"], probe["errno"])
    }
    assert differing.keys() == known.keys(), differing
