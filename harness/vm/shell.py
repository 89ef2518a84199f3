# SPDX-License-Identifier: Apache-2.0
"""A person, or a program of the host, in a virtual machine."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence

from harness.machine_file import MachineFile
from harness.vm.guest import prepared
from harness.vm.kernels import KernelImage
from harness.vm.qemu import terminal_arguments
from harness.vm.session import Session

#: Runs in the agent's place: a shell on the console, until it ends.
_INTERACTIVE = b"""\
#!/bin/sh
echo
echo "A shell in the virtual machine; exit, or Ctrl-D, switches it off."
exec setsid sh -c 'exec sh </dev/ttyS0 >/dev/ttyS0 2>&1'
"""
#: The host's files as the machine's own below /host, to be read. What is written into /tmp is lost
#: (and hides what is there, where the kernel has no overlays); /mnt is the session's ``share``.
HOST_FILES = """
options=trans=virtio,version=9p2000.L,msize=524288
mkdir -p /host
mount -t 9p -o $options,ro,cache=loose root /host || exit 125
for folder in proc sys dev; do mount -o rbind /$folder /host/$folder; done
mount -t tmpfs tmpfs /host/run
mkdir /above
mount -t tmpfs tmpfs /above
mkdir /above/tmp /above/work
mount -t overlay -o lowerdir=/host/tmp,upperdir=/above/tmp,workdir=/above/work tmp /host/tmp ||
    mount -t tmpfs tmpfs /host/tmp
mount -t 9p -o $options share /host/mnt
"""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def in_host_files(command: Sequence[str]) -> str:
    """A line of shell that runs a program of the host, after :data:`HOST_FILES`.

    The host's files become the root of a mount namespace, which is no chroot(2) to the kernel: in
    one of those it makes no user namespaces.
    """
    inside = f"cd /host && mount --move . / && exec chroot . {shlex.join(command)}"
    return f"PATH=/bin:{_PATH} unshare -m sh -c {shlex.quote(inside)}\n"


def interactive(image: KernelImage, machine: MachineFile) -> int:
    """A shell on this terminal, in the machine; QEMU's exit status. VmError."""
    with (
        prepared(image, machine, start=_INTERACTIVE) as made,
        terminal_arguments(made.guest) as (fd, command),
    ):
        process: subprocess.Popen[bytes] = made.guest.start(command, pass_fds=(fd,))
        try:
            return process.wait()
        finally:
            process.kill()
            process.wait()


def run_host_program(session: Session, command: Sequence[str], seconds: float) -> tuple[int, str]:
    """A program of the host in the machine, which must have 9p: its exit status and its output.

    It sees the host's files, read-only, and the machine's /sys, /dev and /proc.
    """
    return session.execute(HOST_FILES + in_host_files(command), seconds)
