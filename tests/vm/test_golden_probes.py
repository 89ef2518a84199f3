# SPDX-License-Identifier: Apache-2.0
"""The programs that were run on real kernels, run on real kernels once more: every answer agrees.

They are not part of this repository; UAPI_PROBES names the folder that has them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import KERNELS, built
from harness.conformance.probes import probes
from harness.vm.guest import machine_for
from harness.vm.session import Session
from harness.vm.shell import HOST_FILES, in_host_files

pytestmark = pytest.mark.timeout(900)
PROBES = Path(os.environ.get("UAPI_PROBES", "/nonexistent"))
#: A probe loads mtty from where the first recording had it.
MODULES = "mkdir -p /host/tmp/lib/mods; cp /lib/modules/*/mtty.ko /host/tmp/lib/mods/ 2>/dev/null\n"
_DEBIANS = ("p_pci", "p_vfio", "p_mdev", "p_configfs")
#: Kernel, recording, machine, and programs in the order in which they build on each other.
RECORDINGS = [
    *((name, f"idxd-{name}", "qemu-q35-dsa", ("p_idxd",)) for name in ("6.1", "6.12", "7.2")),
    *((name, name, "qemu-q35", _DEBIANS) for name in ("6.1", "6.12", "7.2")),
    ("6.12+iommufd", "iommufd-6.12", "qemu-q35", ("p_iommufd",)),
]
#: Probes that differ for a reason. The recorded kernel had no power management (CONFIG_PM).
DIFFERENT = {"iommufd-6.12": {"cdev/vfio_dev_ls"}}


def answers(folder):
    """What the first probe of each name answered."""
    found = {}
    for path in sorted(folder.glob("out-*.json")):
        for probe in json.loads(path.read_text())["probes"]:
            found.setdefault(probe["probe"], (probe["result"], probe["errno"]))
    return found


def excluded(name):
    """Probes that the recording itself calls random."""
    path = Path(__file__).parents[2] / "fixtures" / "golden" / "probes" / f"{name}.json"
    return set(json.loads(path.read_text())["meta"].get("excluded_nondeterministic", ()))


@pytest.mark.parametrize(
    ("kernel_name", "name", "machine", "programs"),
    [one for one in RECORDINGS if one[0] in KERNELS],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_recorded_probe_agrees(kernel_name, name, machine, programs):
    if not PROBES.is_dir():
        pytest.skip("UAPI_PROBES names no folder")
    golden = probes(name)
    assert len(golden) > 100
    with Session(built(kernel_name), machine_for(machine)) as session:
        script = HOST_FILES + MODULES
        assert session.execute(script, 60)[0] in (0, 1)
        for program in programs:
            command = ["env", "PROBE_OUT=/mnt", sys.executable, "-B", f"{PROBES}/{program}.py"]
            assert session.execute(in_host_files(command), 400) == (0, ""), program
        found = answers(session.share)
    differing = {
        probe: (found.get(probe), (wanted["result"], wanted["errno"]))
        for probe, wanted in golden.items()
        if found.get(probe) != (wanted["result"], wanted["errno"]) and probe not in excluded(name)
    }
    assert differing.keys() == DIFFERENT.get(name, set()), differing


@pytest.fixture(scope="module")
def recorded(kernel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    record = [sys.executable, "-m", "harness", "record"]
    script = subprocess.run(
        [*record, "--script"], capture_output=True, text=True, check=True
    ).stdout
    with Session(kernel, machine_for("qemu-q35-dsa")) as session:
        status, packed = session.execute(script, 120)
    assert status == 0
    (folder / "packed.txt").write_text(packed)
    machine = folder / "recorded.yaml"
    command = [*record, "--all", "--from", str(folder / "packed.txt"), "-o", str(machine)]
    subprocess.run(command, check=True, capture_output=True)
    return machine


class TestRecorded:
    """A guest with nothing but busybox is recorded, and becomes a machine."""

    def test_it_is_the_machine(self, command_line, kernel, recorded):
        words = ("run", "--profile", kernel.name, "--machine")
        command = ("--", "accel-config", "list", "-i")
        same = command_line(*words, recorded, *command)
        assert same.returncode == 0
        assert same.stdout == command_line(*words, "qemu-q35-dsa", *command).stdout

    def test_probes_agree_on_it(self, command_line, kernel, recorded, tmp_path):
        if not PROBES.is_dir():
            pytest.skip("UAPI_PROBES names no folder")
        # That this hardware refuses next to nothing is in no file of sysfs.
        machine = tmp_path / "machine.yaml"
        told = "    registers:\n"
        text = recorded.read_text()
        assert text.count(told) == 1
        machine.write_text(text.replace(told, f"{told}      configuration_checks: false\n"))
        words = ("run", "--profile", kernel.name, "--machine", machine, "--", sys.executable, "-B")
        environment = {**os.environ, "PROBE_OUT": str(tmp_path)}
        run = command_line(*words, PROBES / "p_idxd.py", env=environment)
        assert run.returncode == 0
        found = answers(tmp_path)
        differing = {
            probe: (found.get(probe), (wanted["result"], wanted["errno"]))
            for probe, wanted in probes(f"idxd-{kernel.name}").items()
            if found.get(probe) != (wanted["result"], wanted["errno"])
        }
        assert differing == {}
