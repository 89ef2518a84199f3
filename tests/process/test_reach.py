# SPDX-License-Identifier: Apache-2.0
"""What programs do reaches the machine: each open, each read, each event, and nothing false."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from harness import background
from harness.kernel.chardev import makedev
from harness.kernel.errors import Errno
from harness.kernel.sysfs import Attribute, sysfs_create_file
from harness.kernel.vfs import OpenFile
from harness.kernel.wait import RealClock, WaitQueue
from harness.machine import load_machine
from harness.mounts.process import ProcessMount

STATE = "/sys/bus/dsa/devices/dsa0/state"
PIPES = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


class Count:
    """An observer that counts operations on one file."""

    def __init__(self, name):
        self.name = name
        self.seen = Counter()

    def before(self, event):
        if event.object.endswith(self.name):
            offset = event.arguments[0] if event.operation == "read" else 0
            self.seen[event.operation, offset] += 1

    def after(self, event):
        pass


@pytest.mark.parametrize("flags", [(), ("-static",)], ids=["dynamic", "static"])
@pytest.mark.parametrize(("mode", "times"), [("read", 1), ("threads", 4), ("forks", 4)])
def test_every_open_and_every_read_at_0_is_seen(machine, mounted, program, flags, mode, times):
    counted = Count("/dsa0/state")
    machine.trace.observers.append(counted)
    output(mounted(), program(*flags), mode, STATE, "50")
    assert counted.seen["open", 0] == counted.seen["release", 0] == 50 * times
    assert counted.seen["read", 0] == 50 * times


def output(mount, *command):
    child = mount.popen(command, **PIPES)
    out, err = child.communicate(60)
    assert child.wait() == 0, err
    return out.decode()


def test_what_a_program_changed_is_seen_at_once_by_all(mounted):
    """The link is looked for first, so that its absence is cached."""
    mount = mounted()
    script = """
        exec 2>&1
        cd /sys/bus/dsa/devices
        echo 0 > engine0.0/group_id; echo 0 > wq0.0/group_id; echo 8 > wq0.0/size
        echo dedicated > wq0.0/mode; echo kernel > wq0.0/type; echo q > wq0.0/name
        ls -d dsa0/driver; stat -c %h dsa0/.
        echo dsa0 > ../drivers/idxd/bind && readlink dsa0/driver && ls ../drivers/idxd
        echo dsa0 > ../drivers/idxd/unbind; ls -d dsa0/driver; exit 0
    """
    said = output(mount, "sh", "-c", script).split()
    assert "../../../../bus/dsa/drivers/idxd" in said
    assert "dsa0" in said
    assert " ".join(said).count("No such file") == 2


def test_what_the_machine_changed_is_seen_after_a_flush(machine, mounted):
    mount = mounted()
    device = "/sys/bus/pci/devices/0000:00:05.0"
    child = mount.popen(
        ["sh", "-c", f"ls {device}/vendor; read go; ls {device}/vendor; exit 0"],
        **PIPES | {"stdin": subprocess.PIPE},
    )
    assert child.stdout.readline().decode().strip() == f"{device}/vendor"
    machine.unplug("0000:00:05.0")
    mount.flush()
    out, err = child.communicate(60)
    assert out == b""
    assert b"No such file" in err


OPEN_AND_CLOSE = """
import os

wq = "/sys/bus/dsa/devices/wq0.0"
cdev = f"{wq}/dsa!wq0.0"
gone = ["/sys/bus/dsa/devices/file0", f"{cdev}/file0", f"{cdev}/file0/cr_faults"]
stale = []
links = os.stat(cdev).st_nlink
for turn in range(400):
    queue = os.open("/dev/dsa/wq0.0", os.O_RDWR)
    for path in gone:
        os.stat(path)
    os.listdir(cdev)
    directory = os.open(gone[1], os.O_RDONLY)
    os.stat("pid", dir_fd=directory)
    assert os.stat(cdev).st_nlink == links + 1
    os.close(queue)
    if turn % 2 == 0 and os.stat(cdev).st_nlink != links:
        stale.append("link count")
    for path, options in [("pid", {"dir_fd": directory}), *((path, {}) for path in gone)]:
        try:
            os.stat(path, **options)
            stale.append(path)
        except FileNotFoundError:
            pass
    os.close(directory)
print(sorted(set(stale)), len(stale))
"""


#: An engine and a queue for programs, as stores below /sys/bus/dsa.
USER_QUEUE = {
    "devices/engine0.0/group_id": "0",
    "devices/wq0.0/group_id": "0",
    "devices/wq0.0/mode": "dedicated",
    "devices/wq0.0/size": "8",
    "devices/wq0.0/priority": "1",
    "devices/wq0.0/type": "user",
    "devices/wq0.0/name": "app",
    "devices/wq0.0/driver_name": "user",
    "drivers/idxd/bind": "dsa0",
    "drivers/user/bind": "wq0.0",
}


def test_what_goes_with_an_open_file_is_gone_when_close_returns():
    """Closing is a message that nobody waits for, so what hangs on it must not be cached."""
    machine = load_machine("gnr-1s", profile="7.2", clock=RealClock())
    for path, value in USER_QUEUE.items():
        machine.write(f"/sys/bus/dsa/{path}", value)
    with ProcessMount(machine) as mount:
        assert output(mount, sys.executable, "-c", OPEN_AND_CLOSE) == "[] 0\n"


# --- toy devices


class Toy(OpenFile):
    """One at a time if it is exclusive; a read waits until there is something."""

    def __init__(self, node, opener, device):
        super().__init__(node, opener)
        self.device = device

    def read(self, caller, offset, count):
        device = self.device
        device.kernel.scheduler.wait(caller, device.queue, lambda: bool(device.data))
        data, device.data = device.data, b""
        return data

    def write(self, caller, offset, data):
        self.device.data += data
        self.device.queue.wake()
        return len(data)

    def release(self):
        self.device.users -= 1


class ToldQueue(WaitQueue):
    """Tells by a semaphore that somebody has begun to wait."""

    __slots__ = ("begun",)

    def __init__(self):
        super().__init__()
        self.begun = threading.Semaphore(0)

    def add(self, waker):
        super().add(waker)
        self.begun.release()

    def await_waiters(self, count=1):
        for _ in range(count):
            assert self.begun.acquire(timeout=60)


class ToyDevice:
    def __init__(self, machine, exclusive=False):
        self.kernel = machine.kernel
        self.exclusive = exclusive
        self.users = 0
        self.data = b""
        self.queue = ToldQueue()
        with self.kernel.lock:
            self.kernel.devices.create_node("toy", makedev(240, 0), self.open, 0o666)

    def open(self, node, caller, flags):
        if self.exclusive and self.users:
            raise Errno(16)  # EBUSY
        self.users += 1
        return Toy(node, caller, self)


@pytest.fixture
def waiting(machine, mounted, program):
    """A toy, and a program that is blocked in reading it."""
    toy = ToyDevice(machine)
    mount = mounted()
    child = mount.popen([program(), "wait", "/dev/toy", "0"], **PIPES)
    assert child.stdout.readline() == b"waiting\n"
    toy.queue.await_waiters()
    return mount, toy, child


def test_a_read_waits_and_is_woken_by_another_program(waiting):
    mount, _, child = waiting
    assert output(mount, "sh", "-c", "echo hello > /dev/toy; cat /sys/bus/dsa/devices/dsa0/state")
    assert child.communicate(60)[0] == b"6 \n"


def test_without_another_thread_nobody_waits_and_everybody_is_served(
    machine, mounted, program, monkeypatch
):
    def no_more(thread):
        raise RuntimeError("can't start new thread")

    ToyDevice(machine)
    mount = mounted()
    output(mount, "true")  # what is started for the first program is there
    monkeypatch.setattr(background, "start", no_more)
    child = mount.popen([program(), "wait", "/dev/toy", "0"], **PIPES)
    assert child.communicate(60)[0].splitlines()[1] == b"-1 Resource temporarily unavailable"
    script = "cd /sys/bus/pci/drivers/idxd; for a in 0000:*; do echo $a > unbind; done; echo 0000:*"
    assert output(mount, "sh", "-c", script) == "0000:*\n"


def test_a_signal_interrupts_a_read(waiting):
    _, toy, child = waiting
    child.send_signal(signal.SIGUSR1)
    assert child.communicate(60)[0] == b"-1 Interrupted system call\n"
    assert not toy.queue._wakers


def test_a_killed_program_leaves_no_call_behind(waiting):
    _, toy, child = waiting
    child.kill()
    child.communicate(60)
    assert child.wait() == 128 + signal.SIGKILL
    assert toy.users == 0
    assert not toy.queue._wakers


def test_many_blocked_readers_do_not_keep_others_from_being_served(machine, mounted, program):
    toy = ToyDevice(machine)
    mount = mounted()
    children = [mount.popen([program(), "wait", "/dev/toy", "0"], **PIPES) for _ in range(20)]
    toy.queue.await_waiters(len(children))
    assert output(mount, "cat", STATE) == "disabled\n"
    for child in children:
        child.destroy()
        child.communicate(60)
    # What is killed with its init closes its files when the kernel comes to it.
    deadline = time.monotonic() + 30
    while toy.users:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_poll_is_woken_by_sysfs_notify(machine, mounted, program):
    def toy_show(owner, caller):
        return "toy\n"

    with machine.kernel.lock:
        bus = machine.kernel.sysfs.children["bus"]
        sysfs_create_file(bus, None, Attribute("toy", 0o444, toy_show))
        node = bus.children["toy"]
        node.poll_queue = queue = ToldQueue()
    child = mounted().popen([program(), "poll", "/sys/bus/toy", "0"], **PIPES)
    assert child.stdout.readline() == b"before 0\n"
    queue.await_waiters()
    with machine.kernel.lock:
        node.notify()
    assert child.communicate(60)[0] == b"after 1 POLLPRI\n"


def test_an_exclusive_node_is_never_busy_by_mistake(machine, mounted, program):
    """10,000 rounds: close is a message of its own, which the next open must not overtake."""
    toy = ToyDevice(machine, exclusive=True)
    rounds = os.environ.get("UAPI_OPEN_ROUNDS", "10000")
    child = mounted().popen([program("-static"), "turns", "/dev/toy", rounds], **PIPES)
    out, _ = child.communicate(100)
    assert (child.wait(), out) == (0, b"")
    assert toy.users == 0
