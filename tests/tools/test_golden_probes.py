# SPDX-License-Identifier: Apache-2.0
"""The very programs that were run on a real kernel, run in the fake machine: every answer agrees.

The probe programs are not part of this repository; UAPI_PROBES names the folder that has them.
"""

import json
import os
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from harness.data import data_path, load_yaml

PROBES = Path(os.environ.get("UAPI_PROBES", "/nonexistent"))
_VFIO = tuple(
    f"{name}/"
    for name in ["group", "container", "type1", "limit", "edu", "edu-dma", "nvme", "e1000e"]
)
#: Program, machine, recording, how its probes' names begin, and how many there are at least.
PROGRAMS = {
    "idxd": ("p_idxd.py", "qemu-q35-dsa", "idxd-{profile}", "idxd/", 200),
    "mdev": ("p_mdev.py", "qemu-q35", "{profile}", "mdev/", 60),
    "vfio": ("p_vfio.py", "qemu-q35", "{profile}", _VFIO, 850),
}
RUNS = [
    *(("idxd", profile) for profile in ("6.1", "6.12", "7.2")),
    *(("mdev", profile) for profile in ("6.1", "6.12")),
    *(("vfio", profile) for profile in ("6.1", "6.12", "7.2")),
]


def known_differences(name, count):
    """Probe name to reason; at most five may be needed, or one in a hundred."""
    known = load_yaml(data_path("fixtures", "known-differences.yaml"))["probes"][name]
    assert len(known) <= max(5, count // 100)
    return known


@pytest.mark.parametrize(("name", "profile"), RUNS)
def test_every_probe_agrees(command_line, tmp_path, name, profile):
    """A program that needs what is not modelled ends there; what it did before counts."""
    file, machine, recording, prefix, least = PROGRAMS[name]
    program = PROBES / file
    if not program.exists():
        pytest.skip(f"UAPI_PROBES names no folder with {file}")
    run = command_line(
        "run",
        "--machine",
        machine,
        "--profile",
        profile,
        "--",
        sys.executable,
        str(program),
        env={**os.environ, "PROBE_OUT": str(tmp_path)},
    )
    stream = (tmp_path / "stream.txt").read_text()
    # A program may use a name twice; one of both was recorded.
    answers = defaultdict(list)
    for probe in map(json.loads, stream.splitlines()):
        answers[probe["probe"]].append((probe["result"], probe["errno"]))
    recorded = data_path(
        "fixtures", "golden", "probes", f"{recording.format(profile=profile)}.json"
    )
    golden = [
        probe
        for probe in json.loads(recorded.read_text())["probes"]
        if probe["probe"].startswith(prefix)
    ]
    assert len(golden) > least
    known = known_differences(f"{name}-{profile}", len(golden))
    differing = {
        probe["probe"]: (answers.get(probe["probe"]), (probe["result"], probe["errno"]))
        for probe in golden
        if (probe["result"], probe["errno"]) not in answers[probe["probe"]]
    }
    assert differing.keys() == known.keys(), (differing, run.stderr)
