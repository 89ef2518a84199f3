# SPDX-License-Identifier: Apache-2.0
"""The first file system of a virtual machine: busybox, the agent, modules, and an init of ours.

Written as a cpio archive of the format "newc", which the kernel documents in
Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import stat
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

#: The program that init hands the machine to, and where modules lie.
AGENT, MODULES = "/bin/agent", "/lib/modules"
#: The name of the port over which the agent talks.
PORT = "uapi-harness.agent"
_MAGIC = "070701"
_CONSOLE, _NULL = (5, 1), (1, 3)
#: What runs as process 1.
_INIT = f"""\
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
ln -s /proc/self/fd /dev/fd
for module in $(cat /etc/modules); do
    [ -d "/sys/module/$module" ] || modprobe "$module"
done
[ -d /sys/kernel/config ] && mount -t configfs configfs /sys/kernel/config
[ -d /sys/kernel/debug ] && mount -t debugfs debugfs /sys/kernel/debug
if [ -x /etc/start ]; then
    /etc/start
else
    for port in /sys/class/virtio-ports/*; do
        [ "$(cat "$port/name")" = {PORT} ] && {AGENT} <>"/dev/${{port##*/}}" >&0
    done
    echo "uapi-harness: the agent ended with $?"
fi
poweroff -f
"""


class Archive:
    """A cpio archive in the making. Paths are absolute; folders above them are made."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._known: set[str] = set()
        self._inode = 0

    def folder(self, path: str) -> None:
        """A folder of mode 0755, unless it is there."""
        path = path.rstrip("/")
        if not path or path in self._known:
            return
        self.folder(os.path.dirname(path))
        self._add(path, stat.S_IFDIR | 0o755)

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """A regular file."""
        self._add(path, stat.S_IFREG | mode, content)

    def device(self, path: str, number: tuple[int, int], mode: int) -> None:
        """A character device."""
        self._add(path, stat.S_IFCHR | mode, device=number)

    def content(self) -> bytes:
        """The whole archive."""
        end = self._entry("TRAILER!!!", 0, b"", (0, 0))
        return b"".join([*self._parts, end])

    def _add(
        self, path: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)
    ) -> None:
        if path in self._known:
            raise ValueError(f"{path} is there twice")
        self.folder(os.path.dirname(path))
        self._known.add(path)
        self._parts.append(self._entry(path.lstrip("/"), mode, content, device))

    def _entry(self, name: str, mode: int, content: bytes, device: tuple[int, int]) -> bytes:
        self._inode += 1
        encoded = name.encode() + b"\0"
        links, owner, time, checksum, no_device = 1, 0, 0, 0, 0
        numbers = (self._inode, mode, owner, owner, links, time, len(content))
        places = (no_device, no_device, *device, len(encoded), checksum)
        head = _MAGIC + "".join(f"{number:08X}" for number in (*numbers, *places))
        return _padded(head.encode() + encoded) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def build(
    *,
    busybox: Path,
    agent: Path | None,
    modules: Path,
    release: str,
    load: Iterable[str],
    extra_modules: Mapping[str, Path],
    files: Mapping[str, bytes] | None = None,
) -> bytes:
    """The archive for a kernel ``release`` whose modules are below ``modules``.

    ``load`` are the modules that init loads, in this order; what they need comes along.
    ``extra_modules`` are files outside the kernel's tree by their modules' names. ``files`` are
    more files, executable, by path; one of the path /etc/start runs in the place of the agent.
    """
    archive = Archive()
    for path in ("/proc", "/sys", "/dev", "/tmp", "/root"):
        archive.folder(path)
    archive.device("/dev/console", _CONSOLE, 0o600)
    archive.device("/dev/null", _NULL, 0o666)
    archive.file("/bin/busybox", busybox.read_bytes(), 0o755)
    if agent is not None:
        archive.file(AGENT, agent.read_bytes(), 0o755)
    archive.file("/init", _INIT.encode(), 0o755)
    archive.file("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    archive.file("/etc/group", b"root:x:0:\n")
    load = list(load)
    archive.file("/etc/modules", "".join(f"{name}\n" for name in load).encode())
    for path, content in (files or {}).items():
        archive.file(path, content, 0o755)
    tree = ModuleTree(modules / "lib/modules" / release, extra_modules)
    _add_modules(archive, tree, f"{MODULES}/{release}", load)
    return archive.content()


class ModuleTree:
    """The modules of a kernel, and what each needs by its own word (``depends`` of modinfo(8))."""

    def __init__(self, folder: Path, extra: Mapping[str, Path]) -> None:
        files = (Path(top, name) for top, _, names in os.walk(folder) for name in names)
        self._paths = {module_name(path.name): path for path in files if ".ko" in path.suffixes}
        self._paths |= {module_name(name): path for name, path in extra.items()}
        self._contents: dict[str, bytes] = {}

    def content(self, name: str) -> bytes:
        """The module's ELF file."""
        if name not in self._contents:
            self._contents[name] = content_of(self._paths[name])
        return self._contents[name]

    def needs(self, name: str) -> list[str]:
        """The modules that must be loaded before ``name``, in an order in which they can be."""
        return self.closure(name)[:-1]

    def closure(self, name: str) -> list[str]:
        """The module and all it needs, itself last; nothing for what is no module here: either the
        kernel has it built in, which not every release's packages tell, or not at all."""
        ordered: dict[str, None] = {}
        self._collect(module_name(name), ordered)
        return list(ordered)

    def _collect(self, name: str, ordered: dict[str, None]) -> None:
        if name in ordered or name not in self._paths:
            return
        for needed in _depends(self.content(name)):
            self._collect(needed, ordered)
        ordered[name] = None


def _depends(module: bytes) -> list[str]:
    """The names in the module's ``depends=``, a NUL-terminated string of its section .modinfo."""
    _, _, rest = module.partition(b"\0depends=")
    names = rest.partition(b"\0")[0].decode()
    return [module_name(name) for name in names.split(",") if name]


def _add_modules(archive: Archive, tree: ModuleTree, folder: str, names: Iterable[str]) -> None:
    """Modules without their compression, and a modules.dep that modprobe(8) of busybox reads."""
    chosen = dict.fromkeys(needed for name in names for needed in tree.closure(name))
    lines = []
    for name in chosen:
        archive.file(f"{folder}/{name}.ko", tree.content(name))
        lines.append(
            f"{name}.ko:{''.join(f' {needed}.ko' for needed in reversed(tree.needs(name)))}\n"
        )
    archive.file(f"{folder}/modules.dep", "".join(lines).encode())


def module_name(path: str) -> str:
    """The name the kernel gives the module in a file: no folder, no suffix, and underscores."""
    return os.path.basename(path).partition(".")[0].replace("-", "_")


def content_of(path: Path) -> bytes:
    """A module file, uncompressed."""
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        program = shutil.which("zstd")
        if program is None:
            raise FileNotFoundError(f"zstd is needed to read {path.name}: apt-get install zstd")
        return subprocess.run([program, "-dc"], input=data, capture_output=True, check=True).stdout
    return data
