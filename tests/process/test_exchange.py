# SPDX-License-Identifier: Apache-2.0
"""A mount that goes on with another machine shows nothing of the first."""

import os
import subprocess

import pytest

from harness.kernel.wait import RealClock
from harness.machine import load_machine
from harness.mounts.process import ProcessMount

DSA = "/sys/bus/dsa"
DEVICE = "/sys/bus/pci/devices/0000:6a:01.0"
SHOW = r"""
stat -c '%n %a %u' /sys/bus/dsa /sys/bus/dsa/devices/*/state /sys/bus/pci/devices/0000:6a:01.0
cd /sys/bus && find dsa/ pci/ ! -type l -printf '%p %y %m %U %n %s\n' | sort
find dsa/ pci/ -type l -printf '%p %l\n' | sort
cat dsa/devices/*0*/state dsa/devices/wq0*/size dsa/drivers_autoprobe
find /dev/dsa -printf '%p %y %m\n' | sort
cat dsa/devices/nonesuch dsa/drivers/idxd/wq0.0/state
"""
#: What a program did in the first machine.
HISTORIES = {
    "nothing": "",
    "looked": SHOW,
    "unbound": f"echo 0000:6a:01.0 > {DEVICE}/driver/unbind; {SHOW}",
    "bound again": f"cd {DEVICE}/driver; echo 0000:6a:01.0 > unbind; {SHOW}"
    "echo 0000:6a:01.0 > /sys/bus/pci/drivers/idxd/bind;" + SHOW,
    "removed": f"{SHOW} echo 1 > {DEVICE}/remove; ls {DEVICE}; {SHOW}",
    "rescanned": f"echo 1 > {DEVICE}/remove; {SHOW} echo 1 > /sys/bus/pci/rescan; {SHOW}",
    "modes": f"chmod 0 {DSA}/devices/*/state; chmod 700 /sys/bus/dsa; stat {DSA}",
    "absent": f"ls {DSA}/devices/wq9.9 /dev/dsa/wq0.0 {DSA}/drivers/user/wq0.0; {SHOW}",
    "enabled": f"""
        cd {DSA}/devices; echo 8 > wq0.0/size; echo 0 > wq0.0/group_id; echo user > wq0.0/type
        echo app > wq0.0/name; echo dedicated > wq0.0/mode; echo 10 > wq0.0/priority
        echo 0 > engine0.0/group_id; echo 0 > wq0.0/threshold; echo dsa0 > ../drivers/idxd/bind
        echo wq0.0 > ../drivers/user/bind; test -e /dev/dsa/wq0.0 || exit 9
        {SHOW}""",
}


def machine():
    return load_machine("spr-2s", profile="6.1", clock=RealClock())


def shown(mount, script=SHOW):
    child = mount.popen(["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = child.communicate(60)
    assert child.wait() != 9
    return out.decode(), err.decode()


@pytest.fixture(scope="module")
def fresh():
    with ProcessMount(machine()) as mount:
        return shown(mount)


@pytest.mark.parametrize("history", HISTORIES)
def test_the_next_machine_is_as_in_a_new_mount(fresh, history):
    with ProcessMount(machine()) as mount:
        for _ in range(2):
            shown(mount, HISTORIES[history])
            assert mount.exchange(machine())
            assert shown(mount) == fresh


def test_a_file_that_is_still_open_stays_the_old_machines():
    old, new = machine(), machine()
    with ProcessMount(old) as mount:
        reads, writes = os.pipe()
        child = mount.popen(
            ["sh", "-c", f"exec 3>{DSA}/drivers_autoprobe; echo; read line; echo 0 >&3"],
            stdin=reads,
            stdout=subprocess.PIPE,
        )
        os.close(reads)
        assert child.stdout.readline() == b"\n"
        assert mount.exchange(new)
        os.write(writes, b"go on\n")
        os.close(writes)
        child.communicate(60)
        assert child.wait() == 0
    assert (old.read(f"{DSA}/drivers_autoprobe"), new.read(f"{DSA}/drivers_autoprobe")) == (
        "0\n",
        "1\n",
    )


def test_a_place_of_the_hosts_that_was_taken_cannot_be_given_back():
    """What was bound there is gone from the mount; the caller makes a new one."""
    with ProcessMount(machine()) as mount:
        hosts = next(name for name in sorted(os.listdir("/sys/class")) if name != "misc")
        with mount._kernel.lock:
            mount._kernel.sysfs.directory("class").directory(hosts)
        mount.flush()
        shown(mount, f"ls -d /sys/class/{hosts}")
        assert not mount.exchange(machine())
