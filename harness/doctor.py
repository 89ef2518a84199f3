# SPDX-License-Identifier: Apache-2.0
"""What this host can do: each need of a process mount is tried, not guessed.

The proof is a mount with a program in it. Where it fails, the settings that commonly forbid it are
looked at, so that the answer says what to change.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from attrs import frozen

from harness.address_space import ProcessMemory
from harness.machine import Machine, load_machine
from harness.mounts.process import MountError, MountOptions, ProcessMount
from harness.mounts.process.options import PLAIN
from harness.mounts.process.stdio import DEVNULL, PIPE
from harness.mounts.process.udevd import PROGRAMS as UDEVD
from harness.vm.qemu import PROGRAM as QEMU

#: pidfd_open(2), by which the mount ends with its model.
OLDEST_KERNEL = (5, 3)
_TRIAL_MACHINE = "qemu-q35-dsa"
_TRIAL_SECONDS = 20.0

#: Setting, the value that forbids user namespaces, and how to change it.
_NAMESPACE_SETTINGS = (
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
)
#: Get an fd from a command of ioctl, then look at a page that is mapped by it.
_DEVICE_PROGRAM = """
import fcntl, mmap, os, sys
edu, bus = "0000:00:05.0", "/sys/bus/pci"
for file, text in ("devices/" + edu + "/driver_override", "vfio-pci"), ("drivers_probe", edu):
    with open(bus + "/" + file, "w") as attribute:
        attribute.write(text)
name = os.path.basename(os.readlink(bus + "/devices/" + edu + "/iommu_group"))
container, group = (os.open("/dev/vfio/" + name, os.O_RDWR) for name in ("vfio", name))
fcntl.ioctl(group, 0x3B68, container.to_bytes(4, sys.byteorder))  # VFIO_GROUP_SET_CONTAINER
fcntl.ioctl(container, 0x3B66, 1)  # VFIO_SET_IOMMU
memory = mmap.mmap(-1, 4096)
memory.write(edu.encode())
device = fcntl.ioctl(group, 0x3B6A, memory)  # VFIO_GROUP_GET_DEVICE_FD
os.pwrite(device, b"\\x02\\0", (7 << 40) + 4)  # PCI_COMMAND_MEMORY
print("fd", flush=True)
print(mmap.mmap(device, 4096, mmap.MAP_SHARED, mmap.PROT_READ)[:4].hex())
"""
_EDU_IDENTITY = "ed000001"
_NOTIFICATION_REMEDY = (
    "VFIO's ioctls cannot give fds, which takes seccomp's user notification: Linux 5.9, and in a "
    "container --security-opt seccomp=unconfined"
)
_DEVICE_MEMORY_REMEDY = (
    "programs cannot map a device's registers, which takes Linux 6.6; all else works"
)
_NETWORK_REMEDY = "needed: a network namespace of its own"
_OVERLAY_REMEDY = "needed: an overlay, which for an ordinary user takes Linux 5.11"
_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")
_CONTAINER_FLAGS = (
    "give the container: --device /dev/fuse --security-opt seccomp=unconfined "
    "--security-opt apparmor=unconfined"
)


@frozen
class Check:
    """One thing that was looked at: what was found, and what to do if it is not ``ok``."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def checks() -> Iterator[Check]:
    """All checks, in the order in which one depends on the other."""
    yield _platform()
    yield _kernel()
    yield _fuse()
    mount = list(_mount())
    yield from mount
    if all(check.ok for check in mount):
        yield from _devices()
        yield _option("uevents", _NETWORK_REMEDY)
        yield _option("system", _OVERLAY_REMEDY)
    yield _program("udevd", *UDEVD, package="udev", use="--udevd")
    yield _program("qemu", QEMU, package="qemu-system-x86", use="real kernels")
    yield _program("gcc", "gcc", package="gcc", use="real kernels and snapshots of headers")
    yield _program("accel-config", "accel-config", package="accel-config", use="its examples")


@functools.cache
def missing_for_process_mount() -> str | None:
    """Why this host cannot have a process mount, in one line with the remedy; None if it can."""
    for check in (_platform(), _kernel(), _fuse(), *_mount()):
        if not check.ok:
            return f"{check.name}: {check.found}; {check.remedy}"
    return None


def report(stream: TextIO) -> int:
    """Print all checks; returns 0 if everything is there and 1 if not."""
    good = True
    for check in checks():
        good = good and check.ok
        print(f"{_mark(check.ok, stream)}  {check.name:<18}{check.found}", file=stream)
        if not check.ok:
            print(f"    {'':<18}{check.remedy}", file=stream)
    return 0 if good else 1


def _mark(ok: bool, stream: TextIO) -> str:
    mark = "ok" if ok else "--"
    return f"\033[{32 if ok else 31}m{mark}\033[0m" if stream.isatty() else mark


def _platform() -> Check:
    system = os.uname()
    return Check(
        "platform",
        (system.sysname, system.machine) == ("Linux", "x86_64"),
        f"{system.sysname} {system.machine}",
        "Linux on x86-64 is needed; the target `model` works anywhere",
    )


def _kernel() -> Check:
    release = os.uname().release
    numbers = re.match(r"(\d+)\.(\d+)", release)
    version = tuple(map(int, numbers.groups())) if numbers else (0, 0)
    needed = "{}.{} or newer is needed".format(*OLDEST_KERNEL)
    return Check("kernel", version >= OLDEST_KERNEL, release, needed)


def _fuse() -> Check:
    name = "/dev/fuse"
    try:
        os.close(os.open(name, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        remedy = _CONTAINER_FLAGS if _in_container() else "modprobe fuse"
        return Check(name, False, "not there", remedy)
    except OSError as error:
        remedy = "chmod 0666 /dev/fuse"
        if error.errno == errno.EPERM or _in_container():
            remedy = _CONTAINER_FLAGS  # a cgroup denies the device
        return Check(name, False, os.strerror(error.errno or 0), remedy)
    return Check(name, True, "can be opened")


def _mount() -> Iterator[Check]:
    """A real mount with a program in it."""
    name = "process mount"
    try:
        with ProcessMount(load_machine(_TRIAL_MACHINE)) as mount:
            yield Check(name, True, "works")
            yield from _trial(mount)
    except MountError as error:
        yield Check(name, False, str(error).partition(";")[0], "; ".join(_mount_remedies()))


def _trial(mount: ProcessMount) -> Iterator[Check]:
    """A program that waits for its input, and then looks at itself in /proc."""
    script = "read line; test -r /proc/self/stat"
    child = mount.popen(["sh", "-c", script], stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL)
    try:
        ProcessMemory(child.pid)
        yield Check("memory", True, "of programs can be read and written")
    except OSError as error:
        remedy = "an ioctl's structures cannot be read; sysctl -w kernel.yama.ptrace_scope=0"
        yield Check("memory", False, f"of programs: {error.strerror}", remedy)
    child.communicate(_TRIAL_SECONDS)
    remedy = "programs see no process of their own there; --security-opt systempaths=unconfined"
    own = child.wait() == 0
    yield Check("/proc", own, f"{'one' if own else 'none'} of its own for each command", remedy)


def _mount_remedies() -> list[str]:
    remedies = [remedy for path, bad, remedy in _NAMESPACE_SETTINGS if _setting(path) == bad]
    if _in_container():
        remedies.append(_CONTAINER_FLAGS)
    return remedies or ["user namespaces must be allowed (see user_namespaces(7))"]


def _setting(path: str) -> str | None:
    try:
        return Path("/proc/sys", path).read_text().strip()
    except OSError:
        return None


def _in_container() -> bool:
    return any(os.path.exists(mark) for mark in _CONTAINER_MARKS)


def _devices() -> Iterator[Check]:
    """What programs do with device nodes: two things that FUSE alone does not give."""
    said = _ran([sys.executable, "-c", _DEVICE_PROGRAM], load_machine("qemu-q35", profile="6.1"))
    yield _verdict("fds of commands", "fd" in said.split(), _NOTIFICATION_REMEDY)
    yield _verdict("device memory", _EDU_IDENTITY in said.split(), _DEVICE_MEMORY_REMEDY)


def _option(name: str, remedy: str) -> Check:
    """Whether a program runs in a mount that was made with the option."""
    said = _ran(["echo", "works"], load_machine("empty"), MountOptions.of([name]))
    return _verdict(f"--{name}", said == "works\n", f"{said}; {remedy}" if said else remedy)


def _verdict(name: str, works: bool, remedy: str) -> Check:
    return Check(name, works, "works" if works else "does not work", remedy)


def _ran(argv: list[str], machine: Machine, options: MountOptions = PLAIN) -> str:
    """What a program writes in a mount, or why there can be no mount."""
    try:
        with ProcessMount(machine, options=options) as mount:
            child = mount.popen(argv, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
            return child.communicate(_TRIAL_SECONDS)[0].decode()
    except (MountError, TimeoutError) as error:
        return str(error)


def _program(name: str, *places: str, package: str, use: str) -> Check:
    found = next(filter(None, map(shutil.which, places)), None)
    remedy = f"apt-get install {package}; needed for {use}, and for nothing else"
    return Check(name, found is not None, found or "not installed", remedy)
