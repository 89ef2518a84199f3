# SPDX-License-Identifier: Apache-2.0
"""Statically linked programs, which no library can be put under: C and Go."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NODE = "/dev/dsa/wq0.0"
CONFIGURE = """
    cd /sys/bus/dsa/devices
    echo 0 > wq0.0/group_id; echo 16 > wq0.0/size; echo dedicated > wq0.0/mode
    echo 9 > wq0.0/priority; echo user > wq0.0/type; echo app > wq0.0/name
    echo 0 > engine0.0/group_id; test ! -e wq0.0/driver_name || echo user > wq0.0/driver_name
    echo dsa0 > /sys/bus/dsa/drivers/idxd/bind; echo wq0.0 > /sys/bus/dsa/drivers/user/bind
"""


@pytest.fixture(params=["c", "go"])
def program(request, tmp_path):
    compiler, path = {"c": "gcc", "go": "go"}[request.param], tmp_path / "program"
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here; fixtures/packages.yaml names its Debian package")
    words = {"c": ["gcc", "-static", "-O2", "-o"], "go": ["go", "build", "-o"]}[request.param]
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOCACHE": str(tmp_path / "go"),
        "GO111MODULE": "off",
    }
    source = HERE / f"static.{request.param}"
    subprocess.run([*words, path, source], check=True, env=environment)
    return str(path)


@pytest.mark.parametrize("profile", ["6.1", "6.12", "7.2"])
def test_it_sees_the_machine(inside, program, profile):
    machine = inside("spr-2s", mount=["system", "char_devices"], profile=profile)
    machine("sh", "-c", CONFIGURE)
    kernel = machine.machine.kernel
    number = machine.machine.read("/sys/bus/dsa/devices/dsa!wq0.0/dev").strip()
    expected = f"{kernel.section.release} enabled 62656572 1 {number}\n"
    assert machine(program, NODE).out == expected
