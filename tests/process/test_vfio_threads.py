# SPDX-License-Identifier: Apache-2.0
"""Very many calls of many threads on several devices of VFIO: none is lost, none mixed up.

A few seconds of it; UAPI_STRESS_SECONDS=60 is a minute.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.kernel.wait import RealClock
from harness.machine import load_machine
from harness.mounts.process import ProcessMount

SECONDS = int(os.environ.get("UAPI_STRESS_SECONDS", "3"))
THREADS, DEVICES = 64, 8
SLOTS = [f"0000:00:{number:02x}.0" for number in range(0x10, 0x10 + DEVICES)]

HEAD = """\
schema: 1
description: eight times QEMU's edu, each in an IOMMU group of its own
modules: [vfio_iommu_type1, vfio_pci]
profile: "6.1"
iommu: {sva: false, pasid: false, type: DMA, address_width: 39, snoop_control: false}
pci:
"""
EDU = """\
  - slot: "{slot}"
    id: "1234:11e8"
    kind: edu
    irq: 21
    bars:
      0: {{size: 0x100000, address: 0xfe{number:x}00000}}
    config: >-
      3412e811030110001000ff0000000000 0000{number:x}0fe000000000000000000000000
      000000000000000000000000f41a0011 0000000040000000000000000a010000
      050080
"""


@pytest.fixture(params=["6.1", "6.12", "7.2"])
def machine(request, tmp_path):
    file = tmp_path / "eight-edus.yaml"
    functions = (EDU.format(slot=slot, number=number) for number, slot in enumerate(SLOTS))
    file.write_text(HEAD + "".join(functions))
    machine = load_machine(str(file), profile=request.param, clock=RealClock())
    for slot in SLOTS:
        machine.write(f"/sys/bus/pci/devices/{slot}/driver_override", "vfio-pci")
        machine.write("/sys/bus/pci/drivers_probe", slot)
    return machine


@pytest.fixture(scope="session")
def threads(tmp_path_factory):
    """The static program; nobody else's threads are in it."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here; fixtures/packages.yaml names its Debian package")
    path = tmp_path_factory.mktemp("threads") / "vfio_threads"
    source = Path(__file__).with_suffix("").with_name("vfio_threads.c")
    subprocess.run(["gcc", "-O2", "-static", "-pthread", "-o", path, source], check=True)
    return str(path)


@pytest.mark.timeout(SECONDS + 120)
def test_nothing_is_lost(machine, threads):
    assert len(machine.listdir("/sys/kernel/iommu_groups")) == DEVICES
    with ProcessMount(machine) as mount:
        command = [threads, str(SECONDS), str(THREADS), *SLOTS]
        child = mount.popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out, _ = child.communicate(timeout=SECONDS + 60)
        said = out.decode()
        assert child.wait() == 0, said
        machine.wait_for(lambda: machine.leaks() == [])
    counts, sums, *_ = said.splitlines()
    assert counts == "0 fds more, 0 idle threads, 0 wrong", said
    assert all(int(number) >= DEVICES for number in re.findall(r"\d+", sums)), said
