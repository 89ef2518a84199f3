# SPDX-License-Identifier: Apache-2.0
"""A virtual machine: QEMU with a Linux kernel, its console, and the agent's channel.

The kernel is told to panic whenever it oopses, and QEMU to end at a panic, so that a kernel that
went wrong is a QEMU that ended; the console tells the rest. The instructions are emulated (TCG):
hosts whose KVM can run an unmodified kernel are not the rule where tests run, and a boot takes
three seconds without it.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from harness.agent.client import AgentClient, AgentError
from harness.seccomp import StartError
from harness.vm.initramfs import PORT

PROGRAM = "qemu-system-x86_64"
#: Instructions that idxd asks for before it loads are announced; nothing here executes them.
CPU = "max,+movdir64b,x-force-features=on"
MEMORY = 512 << 20
#: Where the port of the agent is: the one function that the machine file does not have.
TRANSPORT_SLOT = "1e"
COMMAND_LINE = "console=ttyS0 quiet oops=panic panic=-1 edd=off no_timer_check"
_BOOT_SECONDS = 60.0
_END_SECONDS = 5.0
#: How much of the console is kept, and how much of it an error shows.
_CONSOLE_KEPT, _CONSOLE_LINES = 1 << 18, 12
#: What a kernel prints first when it goes wrong.
_TROUBLE = re.compile(
    r"BUG:|Oops|Kernel panic|general protection|Unable to handle|KASAN|call trace:", re.I
)
_TIMESTAMP = re.compile(r"^\[ *\d+\.\d+\] ")


class VmError(Exception):
    """A virtual machine could not be had, or came to its end. One line."""


#: Starts a command as subprocess.Popen does, with its options.
Start = Callable[..., "subprocess.Popen[Any]"]


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """A process that ends with us, whatever becomes of us (PR_SET_PDEATHSIG by setpriv(1))."""
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *command], **options)


@frozen
class Guest:
    """What a virtual machine is made of: QEMU's arguments for its devices, and Linux's.

    ``memory`` is in bytes. ``initramfs`` is the content of the first file system. ``start`` starts
    QEMU.
    """

    kernel: Path
    initramfs: bytes
    devices: tuple[str, ...] = ()
    command_line: str = ""
    memory: int = MEMORY
    start: Start = start


def program() -> str:
    """QEMU's path. VmError if there is none."""
    found = shutil.which(PROGRAM)
    if found is None:
        raise VmError(f"{PROGRAM} is not installed; apt-get install qemu-system-x86")
    return found


def version() -> str:
    """QEMU's version, as it tells it. VmError."""
    text = subprocess.run([program(), "--version"], capture_output=True, text=True, check=False)
    return text.stdout.partition("\n")[0].removeprefix("QEMU emulator version ")


@define(eq=False)
class Console:
    """What the kernel printed: the last part of it."""

    _fd: int
    _text: bytes = field(default=b"", init=False)
    _thread: threading.Thread = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._thread = threading.Thread(target=self._collect, name="console", daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        while data := os.read(self._fd, 1 << 16):
            self._text = (self._text + data)[-_CONSOLE_KEPT:]
        os.close(self._fd)

    def text(self) -> str:
        """The last part of what was printed."""
        return self._text.decode(errors="replace").replace("\r", "")

    def end(self) -> None:
        """Wait for what was printed last."""
        self._thread.join(_END_SECONDS)

    def trouble(self) -> str | None:
        """The first lines about what went wrong in the kernel, if it said anything."""
        lines = [_TIMESTAMP.sub("", line).strip() for line in self.text().splitlines()]
        for index, line in enumerate(lines):
            if _TROUBLE.search(line):
                return "; ".join(line for line in lines[index:][:_CONSOLE_LINES] if line)
        return None


class VirtualMachine:
    """A running virtual machine; a context manager, at whose end nothing of it is left."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._process: subprocess.Popen[Any] | None = None
        self.client: AgentClient | None = None

    def __enter__(self) -> VirtualMachine:
        """Boot, and wait for the agent. VmError."""
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        archive = os.memfd_create("initramfs")
        fds = (theirs.fileno(), archive)
        try:
            _write_all(archive, self._guest.initramfs)
            command = arguments(self._guest, *fds)
            self._process = self._guest.start(
                command, stdin=subprocess.DEVNULL, stdout=writing, stderr=writing, pass_fds=fds
            )
        except (OSError, StartError) as error:
            ours.close()
            os.close(reading)
            raise VmError(f"{PROGRAM} cannot be started: {error}") from error
        finally:
            theirs.close()
            os.close(archive)
            os.close(writing)
        self.console = Console(reading)
        # The client closes each of the two by itself.
        self.client = AgentClient(os.dup(ours.fileno()), ours.detach())
        try:
            self.client.hello(_BOOT_SECONDS)
        except AgentError as error:
            self._end()
            raise VmError(f"the kernel did not start: {self.last_words() or error}") from error
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """Switch it off."""
        self._end()

    @property
    def pid(self) -> int:
        """QEMU's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether QEMU has not ended."""
        return self._process is not None and self._process.poll() is None

    def last_words(self) -> str | None:
        """What the kernel said of its trouble, or the console's last line."""
        if (trouble := self.console.trouble()) is not None:
            return trouble
        lines = [line for line in self.console.text().splitlines() if line.strip()]
        return lines[-1].strip() if lines else None

    def wait_for_end(self) -> None:
        """Let a kernel that is dying finish what it prints."""
        assert self._process is not None
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return
        self.console.end()

    def _end(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.console.end()
        if self.client is not None:
            self.client.close()
            self.client = None


def arguments(guest: Guest, channel: int, initramfs: int) -> list[str]:
    """QEMU's command line; ``channel`` and ``initramfs`` are file descriptors it will have."""
    return [
        *_arguments(guest, initramfs),
        *("-device", f"virtio-serial-pci,addr={TRANSPORT_SLOT},disable-legacy=on"),
        *("-chardev", f"socket,id=agent,fd={channel}"),
        *("-device", f"virtserialport,chardev=agent,name={PORT}"),
    ]


@contextmanager
def terminal_arguments(guest: Guest) -> Iterator[tuple[int, list[str]]]:
    """QEMU's command line for a machine without agent, and the file descriptor it must have."""
    archive = os.memfd_create("initramfs")
    try:
        _write_all(archive, guest.initramfs)
        yield archive, _arguments(guest, archive)
    finally:
        os.close(archive)


def _arguments(guest: Guest, initramfs: int) -> list[str]:
    return [
        program(),
        *("-accel", "tcg,thread=multi", "-cpu", CPU, "-m", f"{guest.memory >> 20}"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot"),
        *("-serial", "stdio", "-kernel", f"{guest.kernel}"),
        *("-initrd", f"/proc/self/fd/{initramfs}"),
        *("-append", f"{COMMAND_LINE} {guest.command_line}".strip()),
        *guest.devices,
    ]


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
