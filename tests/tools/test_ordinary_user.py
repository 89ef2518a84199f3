# SPDX-License-Identifier: Apache-2.0
"""An ordinary user of the host has all of it, too: uevents, udevd, modules, devices."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def as_user():
    """``as_user(options, script)``: what a shell says in a machine of user 65534's."""

    def run(options, script):
        words = [sys.executable, str(ROOT / "tests/process/plain_user.py"), "env"]
        with tempfile.TemporaryDirectory() as cache:
            Path(cache).chmod(0o777)
            words += [f"XDG_CACHE_HOME={cache}", sys.executable, "-m", "harness", "run"]
            words += ["--machine", "no-driver", *options, "--", "sh", "-c", script]
            done = subprocess.run(words, capture_output=True, text=True, timeout=100, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_modules_and_devices(need, as_user):
    need("modprobe")
    said = as_user(
        ["--system", "--char-devices"],
        "modprobe idxd && grep -c dsa /proc/devices && modprobe -r idxd && ls -l /dev | grep -c ^c",
    )
    assert said.split()[0] == "1"


def test_udevd(need, as_user):
    need("udevadm")
    script = "udevadm trigger --settle; udevadm info -q property /sys/bus/pci/devices/0000:6a:01.0"
    assert "ID_PATH=pci-0000:6a:01.0\n" in as_user(["--udevd"], script)
