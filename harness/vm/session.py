# SPDX-License-Identifier: Apache-2.0
"""One boot of a machine on a real kernel, and what is done in it from outside."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection
from contextlib import ExitStack

from harness.agent.client import AgentClient, AgentError
from harness.agent.program import FIRST_TASK, Op
from harness.kernel.trace import Trace
from harness.machine import present_modules
from harness.machine_file import MachineFile
from harness.uapi.fs import O_RDONLY
from harness.vm.guest import TRANSPORT, prepared, qemu_of
from harness.vm.kernels import KernelImage
from harness.vm.qemu import VirtualMachine, VmError
from harness.vm.vfio_server import VfioServer

_SECONDS = 30.0
_OUTPUT = "/tmp/output"
#: Run by /bin/sh between two cases. $slots are the accelerators', or all that may be taken away,
#: $modules those of the machine's modules that are to be loaded anew, the first in front. Enabled
#: work queues go first: to take the function away from under an enabled kernel queue corrupts
#: memory of 6.1. Next are mediated devices, without which their parents can go, and what vfio-pci
#: was given. Default groups of configfs go with what they are in, and refuse to go by themselves.
_RESET = """
cd /sys/bus/dsa/devices 2>/dev/null && for device in wq* dsa* iax*; do
    read -r state 2>/dev/null <"$device/state" || continue
    [ "$state" = enabled ] && echo "$device" >"$device/driver/unbind"
done
cd /sys/kernel/config 2>/dev/null && {
    find . -type l -exec rm {} \\;
    find . -depth -mindepth 2 -type d -exec rmdir {} \\;
}
cd /
for device in /sys/bus/mdev/devices/*; do echo 1 >"$device/remove"; done
for device in /sys/bus/pci/drivers/vfio-pci/*:*; do
    echo "${device##*/}" >/sys/bus/pci/drivers/vfio-pci/unbind
done
for file in /sys/bus/pci/devices/*/driver_override; do
    read -r text <"$file"
    [ "$text" = "(null)" ] || echo >"$file"
done
backwards=
for module in $modules; do backwards="$module $backwards"; done
[ -z "$modules" ] || rmmod $backwards
for slot in $slots; do echo 1 >"/sys/bus/pci/devices/$slot/remove"; done
for file in /sys/bus/*/drivers_autoprobe; do echo 1 >"$file"; done
echo 1 >/sys/bus/pci/rescan
[ -z "$modules" ] || modprobe -a $modules
"""
#: What is the same after boot and after a reset that did its work.
_STATE = """
echo /sys/bus/*/devices/* /sys/bus/*/drivers/* /sys/bus/pci/drivers/*/* /dev/* /dev/dsa/*
echo /sys/kernel/config/*/* /dev/vfio/*
for file in /sys/bus/*/drivers_autoprobe /sys/bus/pci/devices/*/driver_override \
    /sys/kernel/iommu_groups/*/type; do
    read -r text <"$file"
    echo "$file: $text"
done
"""
#: The functions that nothing else needs: not what carries us, the host bridge, nor the chipset.
_SLOTS = """
for device in /sys/bus/pci/devices/*; do
    case "$(readlink "$device/driver")" in */virtio-pci) continue ;; esac
    case "${device##*/}" in *:00.0 | *:1f.?) continue ;; esac
    echo "${device##*/}"
done
"""
#: What belongs to PCI functions and their drivers.
_OF_PCI = re.compile(r"^/sys/(bus/pci|devices/pci|kernel/iommu_groups)")
#: Such as new_id, and what a subsystem of configfs keeps.
_OF_A_DRIVER = re.compile(r"/drivers/[^/]*/(?!(un)?bind$)|^/sys/module/|^/sys/kernel/config/")


class Session:
    """A running machine; a context manager."""

    def __init__(
        self, image: KernelImage, machine: MachineFile, trace: Trace | None = None
    ) -> None:
        """``trace`` is told what QEMU does to the machine's accelerators."""
        self._image = image
        self._trace = trace
        self._machine = machine
        #: The accelerators' addresses; those of all functions that may be taken away.
        self._slots = self._all_slots = ""
        self._stack = ExitStack()
        self._state = ""
        #: Serves the machine's accelerators, if it has any; hold its lock to touch them.
        self.server: VfioServer | None = None

    def __enter__(self) -> Session:
        """Boot. VmError."""
        with ExitStack() as stack:
            made = stack.enter_context(prepared(self._image, self._machine, trace=self._trace))
            self.share, self.server = made.share, made.server
            self._slots = " ".join(made.server.functions) if made.server is not None else ""
            self.vm = stack.enter_context(VirtualMachine(made.guest))
            self._check_modules()
            self._all_slots = " ".join(self.run(_SLOTS).split())
            self._state = self.run(_STATE)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        """Switch it off."""
        self._stack.close()

    @property
    def client(self) -> AgentClient:
        """The agent in the machine."""
        assert self.vm.client is not None
        return self.vm.client

    def run(self, script: str, **variables: str) -> str:
        """Run a script of /bin/sh in the machine; what it printed. AgentError."""
        settings = "".join(f"{name}={shlex.quote(text)}\n" for name, text in variables.items())
        return self.execute(settings + script, _SECONDS)[1]

    def execute(self, script: str, seconds: float) -> tuple[int, str]:
        """A script's exit status, 128+n after signal n, and what it printed. AgentError."""
        forked = self.client.ask(FIRST_TASK, Op.FORK)
        text = f"exec >{_OUTPUT} 2>&1\n{script}"
        self.client.ask(forked.result, Op.EXEC, b"/bin/sh", b"sh", b"-c", text.encode())
        waiting = self.client.begin(FIRST_TASK, Op.WAIT, forked.fields)
        try:
            status = os.waitstatus_to_exitcode(waiting.result(seconds).result)
        except TimeoutError:
            raise AgentError(f"no end of the script within {seconds:g} s") from None
        return (status if status >= 0 else 128 - status), self._read(_OUTPUT)

    def _read(self, path: str) -> str:
        fd = self.client.ask(FIRST_TASK, Op.OPEN, path.encode(), O_RDONLY, 0).result
        content = b""
        while isinstance(
            part := self.client.ask(FIRST_TASK, Op.READ, fd, 1 << 16).fields[0], bytes
        ):
            if not part:
                break
            content += part
        self.client.ask(FIRST_TASK, Op.CLOSE, fd)
        return content.decode(errors="replace")

    def _check_modules(self) -> None:
        script = 'for m in $modules; do [ -d "/sys/module/$m" ] || echo "$m"; done'
        own = present_modules(self._machine.modules, self._image.name)
        wanted = [*own, *qemu_of(self._machine).modules]
        missing = self.run(script, modules=" ".join(wanted)).split()
        if missing:
            raise VmError(f"the kernel {self._image.name} did not load {', '.join(missing)}")

    def reset(self, written: Collection[str]) -> bool:
        """Bring the machine back to where it was after boot; whether that worked. AgentError.

        ``written`` are the files that may have been changed since. What belongs to a device goes
        with it; drivers are only loaded anew if something else of theirs was written than
        which devices they have.
        """
        anew = any(_OF_A_DRIVER.search(path) for path in written)
        modules = " ".join(self._own_modules) if anew else ""
        pci = any(_OF_PCI.search(path) for path in written)
        script = f"{{\n{_RESET}\n}} >/dev/null 2>&1\n{_STATE}"
        slots = self._all_slots if pci else self._slots
        return self.run(script, slots=slots, modules=modules) == self._state

    @property
    def _own_modules(self) -> list[str]:
        """The machine's modules without those that carry us."""
        own = present_modules(self._machine.modules, self._image.name)
        return [name for name in own if name not in TRANSPORT]
