# SPDX-License-Identifier: Apache-2.0
"""From a machine file and a kernel to a virtual machine that is the same machine."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import frozen

from harness import machine_file
from harness.agent.build import static_agent
from harness.hardware import KINDS
from harness.hardware.pci import PciFunction
from harness.kernel.trace import Trace
from harness.machine_file import ACCELERATORS, MachineFile, PciEntry, QemuEntry, function_entry
from harness.vm import initramfs
from harness.vm.kernels import KernelImage
from harness.vm.qemu import MEMORY, Guest, VmError, start
from harness.vm.vfio_server import VfioServer

#: What the agent's channel needs, and what a machine with 9p devices does.
TRANSPORT = ("virtio_pci", "virtio_console")
_9P = ("9pnet_virtio", "9p", "overlay")


def machine_for(name: str) -> MachineFile | None:
    """The machine file; None if it does not say how QEMU is to be that machine. MachineError."""
    machine = machine_file.read(machine_file.find(name), [*KINDS])
    return machine if machine.qemu is not None else None


def qemu_of(machine: MachineFile) -> QemuEntry:
    """How QEMU is to be the machine; :func:`machine_for` gave it."""
    assert machine.qemu is not None
    return machine.qemu


def accelerators(machine: MachineFile, profile: str) -> dict[str, PciFunction]:
    """The accelerators of the machine, switched on just now, by slot."""
    return {
        entry.slot: KINDS[entry.kind](function_entry(entry, profile))
        for entry in _functions(machine.pci)
        if entry.kind in ACCELERATORS
    }


def _functions(entries: Iterable[PciEntry]) -> Iterator[PciEntry]:
    for entry in entries:
        yield entry
        yield from _functions(entry.children)


def make_initramfs(
    image: KernelImage, machine: MachineFile, *, start: bytes | None = None
) -> bytes:
    """The first file system for this machine; ``start`` is a script to run in the agent's place."""
    qemu = qemu_of(machine)
    nine_p = _9P if any("virtio-9p" in argument for argument in qemu.arguments) else ()
    return initramfs.build(
        busybox=static_busybox(),
        agent=_agent() if start is None else None,
        modules=image.modules,
        release=image.release,
        load=[*TRANSPORT, *nine_p, *machine.modules, *qemu.modules],
        extra_modules=image.extra,
        files={} if start is None else {"/etc/start": start},
    )


@frozen
class Prepared:
    """A virtual machine that can be started, with the host's ends of it.

    ``share`` is a folder that programs in it see where the machine has 9p; ``server`` serves the
    accelerators, if there are any.
    """

    guest: Guest
    share: Path
    server: VfioServer | None


@contextmanager
def prepared(
    image: KernelImage,
    machine: MachineFile,
    *,
    start: bytes | None = None,
    trace: Trace | None = None,
) -> Iterator[Prepared]:
    """The machine on this kernel, until the end of the block. VmError.

    ``start`` is a script to run in the agent's place; ``trace`` is told of QEMU's own commands.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="uapi-harness-"))
        hardware = accelerators(machine, image.name)
        archive = make_initramfs(image, machine, start=start)
        server = stack.enter_context(VfioServer(hardware, trace)) if hardware else None
        made = guest(image, machine, archive, Path(folder), server)
        yield Prepared(made, Path(folder), server)


def guest(
    image: KernelImage,
    machine: MachineFile,
    archive: bytes,
    share: Path,
    server: VfioServer | None = None,
) -> Guest:
    """The virtual machine. Programs in it see the folder ``share`` where the machine has 9p.

    ``server`` has the machine's accelerators.
    """
    return Guest(
        kernel=image.vmlinux,
        initramfs=archive,
        devices=(
            *("-fsdev", "local,id=root,path=/,readonly=on,security_model=none,multidevs=remap"),
            *("-fsdev", f"local,id=share,path={share},security_model=none,multidevs=remap"),
            *qemu_of(machine).arguments,
            *(server.arguments if server is not None else ()),
        ),
        start=server.start if server is not None else start,
        command_line="intel_iommu=on" if machine.iommu is not None else "",
        memory=machine.memory if machine.memory is not None else MEMORY,
    )


def _agent() -> Path:
    found = static_agent()
    if found is None:
        raise VmError("a virtual machine needs the agent in C: apt-get install gcc libc6-dev")
    return found


def static_busybox() -> Path:
    """A busybox that needs no libraries. VmError."""
    found = shutil.which("busybox")
    if found is not None:
        kind = subprocess.run(["ldd", found], capture_output=True, text=True, check=False)
        if kind.returncode != 0:
            return Path(found)
    raise VmError("no static busybox; apt-get install busybox-static")
