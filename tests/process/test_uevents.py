# SPDX-License-Identifier: Apache-2.0
"""Uevents are messages of the host's kernel to whoever listens in the machine."""

import json
import re
import subprocess
import sys
from pathlib import Path

from harness.mounts.process import MountOptions

LISTENER = str(Path(__file__).with_name("uevent_listener.py"))
UEVENTS = MountOptions(uevents=True)
DSA0 = "/sys/bus/dsa/devices/dsa0"


def listen(mount, count, command):
    """Start the listener; its command has ended."""
    words = [sys.executable, LISTENER, str(count), command]
    child = mount.popen(words, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"listening\n"
    return child


def received(child):
    with child.stdout as stream:
        lines = stream.readlines()
    assert child.wait(timeout=60) == 0
    return [json.loads(line) for line in lines]


def test_a_message_is_the_kernels_own(machine, mounted):
    machine.write(f"{DSA0}/uevent", "add")  # nobody listens yet
    child = listen(mounted(options=UEVENTS), 1, "true")
    machine.write(f"{DSA0}/uevent", "change")
    ((port, groups, sender, message, seen),) = received(child)
    event = machine.uevents[-1]
    assert (port, groups, sender, seen) == (0, 1, 0, True)
    *lines, sequence, end = message.split("\0")
    expected = [f"{key}={value}" for key, value in event.variables.items()]
    assert lines == [f"change@{event.devpath}", *expected[:-1]]
    assert re.fullmatch(r"SEQNUM=\d+", sequence)
    assert expected[-1].startswith("SEQNUM=")
    assert end == ""


def test_a_write_returns_after_its_event(machine, mounted):
    """The listener looks only when the writer has ended: the message waits for it already."""
    child = listen(mounted(options=UEVENTS), 1, f"echo add > {DSA0}/uevent")
    ((_, _, _, message, _),) = received(child)
    assert "SYNTH_UUID=0" in message.split("\0")


def test_who_hears_of_a_device_finds_it(machine, mounted):
    """The names were looked up in vain before, so that the host's kernel had cached that."""
    address = "0000:00:05.0"
    path = machine.kernel.buses["pci"].devices[address].devpath()
    mount = mounted(options=UEVENTS)
    machine.unplug(address)
    child = listen(mount, 1, f"! test -e /sys{path}")
    machine.plug(address)
    ((_, _, _, message, seen),) = received(child)
    assert message.startswith(f"add@{path}\0")
    assert seen


def test_the_network_is_the_machines_own(mounted):
    child = mounted(options=UEVENTS).popen(["cat", "/proc/net/dev"], stdout=subprocess.PIPE)
    out, _ = child.communicate(timeout=60)
    assert re.findall(rb"(\w+):", out) == [b"lo"]


def test_without_the_option_the_network_is_the_hosts(mounted):
    child = mounted().popen(["readlink", "/proc/self/ns/net"], stdout=subprocess.PIPE)
    out, _ = child.communicate(timeout=60)
    assert out.decode().strip() == str(Path("/proc/self/ns/net").readlink())


def test_an_ordinary_user_has_them_too(as_plain_user):
    command = [sys.executable, "-m", "harness", "run", "--machine", "qemu-q35-dsa", "--uevents"]
    words = ["--", sys.executable, LISTENER, "1", f"echo add > {DSA0}/uevent"]
    done = subprocess.run(
        [*as_plain_user, *command, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert '"add@' in done.stdout
