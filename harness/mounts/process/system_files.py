# SPDX-License-Identifier: Apache-2.0
"""What programs see of the machine's kernel besides /sys and /dev: /lib/modules, files of /proc.

The files of /proc are copies, written anew whenever a program has loaded or unloaded a module. One
that the host's /proc does not have cannot be shown: /proc/modules of a host kernel without modules.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from harness.mounts.process import kernel_calls
from harness.mounts.process.module_files import module_folder
from harness.mounts.process.namespaces import Surroundings

if TYPE_CHECKING:
    from harness.kernel.system import Kernel
    from harness.mounts.process.notifications import Table

_NAMES = ("cmdline", "devices", "modules", "version")
_DEVICE = re.compile(r" *(\d+) (.*)")


class SystemFiles:
    """Those files of one mount, and the system calls that go with them."""

    def __init__(self, kernel: Kernel, table: Table) -> None:
        self._kernel = kernel
        self._modules = module_folder(kernel)
        #: By name, once they are there: what programs see of them can be written by nobody else.
        self._files: dict[str, TextIO] = {}
        kernel_calls.add_rules(table, self._write)

    def add_to(self, surroundings: Surroundings) -> None:
        """Have them shown."""
        surroundings.layers.append((os.path.realpath("/lib"), str(self._modules)))
        surroundings.proc += _NAMES

    def fill(self, fds: list[int]) -> None:
        """Write into the files of /proc, whose fds these are, now and from now on."""
        self._files = {name: os.fdopen(fd, "w") for name, fd in zip(_NAMES, fds, strict=True)}
        self._write()

    def close(self) -> None:
        """They end with the last process that sees them."""
        for file in self._files.values():
            file.close()

    def _write(self) -> None:
        kernel = self._kernel
        with kernel.lock:
            contents = {
                "cmdline": f"BOOT_IMAGE=/boot/vmlinuz-{kernel.section.release} ro quiet\n",
                "devices": proc_devices(kernel, _host_devices()),
                "modules": proc_modules(kernel),
                "version": proc_version(kernel),
            }
        for name, file in self._files.items():
            file.seek(0)
            file.truncate()
            file.write(contents[name])
            file.flush()


def proc_version(kernel: Kernel) -> str:
    """The kernel's banner (fs/proc/version.c)."""
    section = kernel.section
    return f"Linux version {section.release} {section.builder} {section.version}\n"


def proc_modules(kernel: Kernel) -> str:
    """All modules, the newest first (m_show of kernel/module/procfs.c)."""
    lines = []
    for module in reversed(kernel.modules.values()):
        holders = "".join(f"{name}," for name in module.holders) or "-"
        state = {"live": "Live", "coming": "Loading", "going": "Unloading"}[module.state]
        lines.append(
            f"{module.name} {module.coresize} {module.references} {holders} {state} "
            "0x0000000000000000\n"
        )
    return "".join(lines)


def proc_devices(kernel: Kernel, host: str) -> str:
    """The machine's majors among those that ``host`` has without them (fs/proc/devices.c)."""
    characters, _, blocks = host.partition("\n\n")
    numbers = {int(found[1]): found[2] for found in _DEVICE.finditer(characters)}
    numbers |= {major: name for name, major in kernel.devices.majors.items()}
    lines = [f"{number:3} {name}\n" for number, name in sorted(numbers.items())]
    return f"Character devices:\n{''.join(lines)}\n{blocks}"


def _host_devices() -> str:
    try:
        return Path("/proc/devices").read_text()
    except OSError:
        return "Character devices:\n\nBlock devices:\n"
