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
from attrs import frozen

from harness.data import data_path, load_yaml

PROBES = Path(os.environ.get("UAPI_PROBES", "/nonexistent"))


@frozen
class Program:
    """A probe program: the machine that it was run in, and where what it found is.

    ``recording`` is the name of the recordings, without the profile's, and ``categories`` which of
    the probes in them are this program's. ``options`` are those of ``run`` that it needs.
    """

    machine: str
    recording: str
    categories: tuple[str, ...]
    at_least: int
    options: tuple[str, ...] = ()

    def golden(self, profile):
        """What the kernel answered, by probe."""
        kernel = profile.removesuffix("+iommufd")
        name = f"{self.recording}-{kernel}" if self.recording else kernel
        text = data_path("fixtures", "golden", "probes", f"{name}.json").read_text()
        return answers(text, self.categories)

    def known(self, name, profile):
        """Probe to reason; of hundred, two may differ."""
        known = load_yaml(data_path("fixtures", "known-differences.yaml"))["probes"]
        return known.get(f"{name}-{profile}", {})


_IOMMUFD = ("cdev", "mtty-mig", "attach", "life", "iommufd")
_VFIO = ("group", "container", "type1", "limit", "edu", "edu-dma", "nvme", "e1000e")
PROGRAMS = {
    "idxd": Program("qemu-q35-dsa", "idxd", ("idxd",), 200),
    "pci": Program("qemu-q35", "", ("pci",), 60, ("--system",)),
    "mdev": Program("qemu-q35", "", ("mdev", "mtty-vfio"), 100),
    "vfio": Program("qemu-q35", "", _VFIO, 850),
    "configfs": Program("qemu-q35", "", ("configfs", "nullb", "nvmet"), 85),
    "iommufd": Program("qemu-q35", "iommufd", _IOMMUFD, 140),
}
RUNS = [
    *((name, profile) for name in ("idxd", "pci", "vfio") for profile in ("6.1", "6.12", "7.2")),
    *((name, profile) for name in ("mdev", "configfs") for profile in ("6.1", "6.12")),
    ("iommufd", "6.12+iommufd"),
]


def answers(text, categories):
    """Results and errors by probe, of those in ``categories``: p_vfio uses some names twice."""
    found = defaultdict(list)
    for probe in json.loads(text)["probes"]:
        if probe["probe"].partition("/")[0] in categories:
            found[probe["probe"]].append((probe["result"], probe["errno"]))
    return found


@pytest.mark.parametrize(("name", "profile"), RUNS)
def test_every_probe_agrees(command_line, tmp_path, name, profile):
    program, source = PROGRAMS[name], PROBES / f"p_{name}.py"
    if not source.exists():
        pytest.skip(f"UAPI_PROBES names no folder with {source.name}")
    run = command_line(
        "run",
        "--machine",
        program.machine,
        "--profile",
        profile,
        *program.options,
        "--",
        sys.executable,
        str(source),
        env={**os.environ, "PROBE_OUT": str(tmp_path)},
    )
    assert run.returncode == 0, run.stderr
    ours = answers((tmp_path / f"out-{name}.json").read_text(), program.categories)
    golden, known = program.golden(profile), program.known(name, profile)
    assert len(golden) > program.at_least
    assert len(known) <= len(golden) * 2 // 100
    differing = {
        probe: (ours[probe], recorded)
        for probe, recorded in golden.items()
        if any(answer not in ours[probe] for answer in recorded)
    }
    assert differing.keys() == known.keys(), differing
